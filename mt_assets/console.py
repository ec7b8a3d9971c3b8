"""What the command line shows: live progress on a terminal, plain lines elsewhere, and the result."""

import os
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any

import dagster as dg
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn
from rich.table import Table as Grid

from mt_assets.resources.narrator import EVERY_TRIAL, Narrator, narrator, progress_line, score_and_time
from mt_assets.spec import TrainingSpec
from mt_assets.terminal import Terminal
from mt_assets.trainer.planning.plan import TrainingPlan

if TYPE_CHECKING:
    from mt_assets.model_versions import Change, VersionRow
    from mt_assets.reproduction import Reproduction
    from mt_assets.result import TrainingResult
    from mt_assets.schema_acceptance import AcceptedSchema
    from mt_assets.trainer.search.result import SearchProgress
    from mt_assets.training_run import Outcome

PHASES = {
    "raw_data": "Reading the data",
    "data_profile": "Describing the columns",
    "splits": "Drawing train, validation and test",
    "training_plan": "Deciding",
    "preprocessor": "Fitting the preprocessor",
    "optuna_study": "Searching",
    "best_params": "Choosing",
    "trained_model": "Final fit",
    "test_metrics": "Testing",
    "feature_importance": "Explaining",
    "fairness": "Comparing groups",
    "promotion_decision": "Judging",
    "model_card": "Writing the model card",
    "experiment_run": "Logging the run",
    "registered_model": "Registering the model",
    "training_result": "Writing the result",
}


class ConsoleNarrator(Narrator):
    """Tells a person at a terminal, by a bar, or a log file, by lines, how a run stands."""

    def __init__(self, console: Console, bar: Progress | None) -> None:
        super().__init__()
        self._console = console
        self._bar = bar
        self._task = bar.add_task("Starting", total=None, note="") if bar else None

    def began(self, phase: str) -> None:
        text = PHASES.get(phase, phase)
        if self._bar is not None and self._task is not None:
            self._bar.remove_task(self._task)
            self._task = self._bar.add_task(text, total=None, note="")
        else:
            self._console.print(f"{text} ...")

    def waiting(self, log: dg.DagsterLogManager | None, message: str) -> None:
        self._console.print(message)

    def decided(self, plan: TrainingPlan, verbosity: int) -> None:
        if verbosity >= EVERY_TRIAL:
            for row in plan.table():
                self._console.print(f"  {row['decision']}: {row['value']}. {row['reason']}")

    def progress(self, log: dg.DagsterLogManager, state: "SearchProgress", verbosity: int) -> None:
        if self._bar is not None and self._task is not None:
            self._bar.update(self._task, completed=state.done, total=state.total, note=score_and_time(state))
        if (self._bar is None or verbosity >= EVERY_TRIAL) and self.is_due(state, verbosity):
            self._console.print(f"  {progress_line(state)}")


@contextmanager
def narrated(console: Console, spec: TrainingSpec) -> Iterator[None]:
    """Tell how runs stand for the length of the context: a bar on a terminal, plain lines elsewhere."""
    with ExitStack() as stack:
        shown = stack.enter_context(_past_dagster(console)) if spec.options.verbosity > 0 else Terminal(quiet=True)
        bar = None
        if shown.is_terminal:
            columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
            bar = stack.enter_context(
                Progress(*columns, TextColumn("{task.fields[note]}"), console=shown, transient=True)
            )
        token = narrator.set(ConsoleNarrator(shown, bar))
        stack.callback(narrator.reset, token)
        yield


@contextmanager
def _past_dagster(console: Console) -> Iterator[Console]:
    """Give a console that writes to where the process's output went before Dagster took hold of it.

    While a step runs, Dagster sends the output through a file, which delays lines by up to a second, drops the last
    ones and breaks a line that is written again and again.
    """
    try:
        descriptor = os.dup(console.file.fileno())
    except (OSError, ValueError):  # no file of the operating system
        yield console
        return
    with os.fdopen(descriptor, "w", encoding=console.encoding) as output:
        yield Terminal(output)


def show_plan(console: Console, plan: TrainingPlan) -> None:
    """Show the decisions of a plan, one row each."""
    grid = _grid("Decision", "Value", "Reason", "Change it with")
    for row in plan.table():
        grid.add_row(row["decision"], row["value"], row["reason"], row["override"])
    console.print(grid)


def show_result(out: Console, err: Console, spec: TrainingSpec, outcome: "Outcome") -> None:
    """Show what a person wants to know at the end: the leaderboard, the metrics, and where to look."""
    result = outcome.result
    if not result.success and result.error:
        err.print("Training failed", style="red", end=" ")
        err.print(f"in {result.error.phase}: {result.error.message}")
        for suggestion in result.error.suggestions:
            err.print(f"  - {suggestion}")
        return
    # Of several objectives the first is the score; the others stand in the row by their names.
    further = spec.hyperparameter_search.objectives[1:]
    board = _grid("Algorithm", f"{result.metric} (cross-validated)", *further, "Trials", "Seconds")
    for row in result.leaderboard:
        others = [_number(row[name]) for name in further]
        score = _score(row["score"], row["score_std"])
        board.add_row(row["algorithm"], score, *others, str(row["trials"]), f"{row['seconds']:.1f}")
    out.print(board)
    metrics = _grid("Metric", "Test", "Baseline")
    for name, value in result.metrics.test.items():
        metrics.add_row(name, _number(value), _number(result.metrics.baseline.get(name)))
    out.print(metrics)
    _show_gates(out, result.gates)
    for warning in result.warnings:
        out.print(f"Note: {warning}")
    _show_suggestions(out, result)
    if result.promotion:
        out.print(result.promotion["reason"])
    out.print(f"Model       {result.model_path}")
    if result.experiment.run_id:
        out.print(f"MLflow run  {result.experiment.run_id} at {result.experiment.tracking_uri}")
    out.print("To look around: make dev (Dagster UI, MLflow, study dashboard)")


def show_missed_gates(err: Console, outcome: "Outcome") -> None:
    """Show what went wrong where a gate was missed, and nothing else."""
    missed = [gate for gate in outcome.result.gates if not gate["passed"]]
    if missed:
        _show_gates(err, missed)
        _show_suggestions(err, outcome.result)


def _show_gates(console: Console, gates: Sequence[dict[str, Any]]) -> None:
    for gate in gates:
        verdict = "passed" if gate["passed"] else "MISSED"
        console.print(f"Gate {gate['gate']}: {verdict} ({gate['reason']})")


def _show_suggestions(console: Console, result: "TrainingResult") -> None:
    if result.suggestions:
        console.print("What may help:")
    for suggestion in result.suggestions:
        console.print(f"  - {suggestion}")


def show_versions(console: Console, versions: Sequence["VersionRow"]) -> None:
    """Show versions of models, one row each."""
    if not versions:
        console.print("Nothing has been trained here yet. Train a model with `mt-assets train SPEC`.")
        return
    grid = _grid("Model", "Version", "", "Algorithm", "Test score", "Trained (UTC)", "Verdict of its training")
    for row in versions:
        score = f"{row.metric} {_number(row.score)}"
        grid.add_row(row.model, str(row.number), row.role, row.algorithm, score, row.trained[:16], row.verdict)
    console.print(grid)


def show_change(console: Console, change: "Change") -> None:
    """Show that another version serves now, and what was before."""
    if change.champion == change.before:
        console.print(f"Version {change.champion} is the champion of {change.model} already.")
    else:
        before = f"; before it was version {change.before}" if change.before else ""
        console.print(f"Version {change.champion} is now the champion of {change.model}{before}.")
    console.print(change.registry)


def show_reproduction(console: Console, made: "Reproduction") -> None:
    """Show whether a version came out the same when it was made again, and what is other than it was."""
    from mt_assets.reproduction import CLOCK

    console.print(made.told(), markup=False)
    for note in (*made.differences, *(() if made.promised else (CLOCK,))):
        console.print(f"  - {note}", markup=False)


def show_accepted(console: Console, accepted: "AcceptedSchema") -> None:
    """Show what has changed in the form that data is held to."""
    for change in accepted.changes:
        console.print(change)
    held = "has this form now" if accepted.changes else "had this form already"
    console.print(f"The schema of {accepted.model} {held} ({accepted.rows:,} rows looked at).")


def _grid(*columns: str) -> Grid:
    grid = Grid(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        grid.add_column(column, overflow="fold")
    return grid


def _score(score: float | None, deviation: float | None) -> str:
    return _number(score) if deviation is None else f"{_number(score)} ± {_number(deviation)}"


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.4f}" if abs(value) < 1000 else f"{value:,.1f}"
