"""The command line: `mt-assets`."""

import logging
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from mt_assets.terminal import Terminal
from mt_assets.trainer.errors import TrainerError

app = typer.Typer(
    name="mt-assets",
    help="Train models as Dagster assets: a short training spec in, a tested and registered model out.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

WIDTH = None if sys.stdout.isatty() or "COLUMNS" in os.environ else 160
"""Of tables that go to a file or a pipe, which has no width of its own; there words are not to be broken for 80."""

out = Terminal(width=WIDTH)
err = Terminal(stderr=True)

SpecPath = Annotated[Path, typer.Argument(metavar="SPEC", help="Training spec, JSON or YAML.", show_default=False)]


def _writable(path: Path | None) -> Path | None:
    """Refuse, before hours are spent, a file that cannot be written."""
    if path is not None:
        place = path if path.exists() and not path.is_file() else next(p for p in path.absolute().parents if p.exists())
        if path.is_dir() or (place != path and not place.is_dir()) or not os.access(place, os.W_OK):
            raise typer.BadParameter(f"{path} cannot be written.")
    return path


def _process_began() -> float:
    """When this process was started, by `time.monotonic()`."""
    import psutil

    return time.monotonic() - max(0.0, time.time() - psutil.Process().create_time())


@app.command()
def train(
    spec: SpecPath,
    output: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write the result here, as JSON.", callback=_writable)
    ] = None,
) -> None:
    """Train, test and register a model. Exit code 1: training failed; 2: bad spec or data; 3: a gate was missed."""
    from mt_assets.result import TrainingResult
    from mt_assets.spec_reading import load_spec
    from mt_assets.trainer.recovery.failures import failure_report

    try:
        training_spec = load_spec(spec)
    except TrainerError as error:
        if output:
            TrainingResult(success=False, error=failure_report(error, phase="spec")).write(output)
        raise

    from mt_assets.trainer.search.workers import start_host

    # It imports beside our own imports, and beside reading the data.
    start_host(training_spec.algorithms, training_spec.model_type)

    from mt_assets.console import narrated, show_missed_gates, show_result
    from mt_assets.resources.narrator import began
    from mt_assets.training_run import train as run_training

    began.set(_process_began())

    try:
        with narrated(out, training_spec):
            outcome = run_training(training_spec)
    except TrainerError as error:
        if output:
            TrainingResult(success=False, error=failure_report(error, phase="start")).write(output)
        raise
    if training_spec.options.verbosity > 0 or not outcome.result.success:
        show_result(out, err, training_spec, outcome)
    else:
        show_missed_gates(err, outcome)
    if output:  # at last: where the disk is full, all has been said
        outcome.result.write(output)
    raise typer.Exit(outcome.exit_code)


@app.command()
def plan(spec: SpecPath) -> None:
    """Show every decision with its reason; nothing is trained."""
    from mt_assets.console import show_plan
    from mt_assets.planning_only import plan_only
    from mt_assets.spec_reading import load_spec

    show_plan(out, plan_only(load_spec(spec)))


@app.command()
def init(
    data: Annotated[
        str, typer.Argument(metavar="DATA", help="File of any kind, folder, glob or address.", show_default=False)
    ],
    target: Annotated[str | None, typer.Option(metavar="COLUMN", help="Column to predict.")] = None,
    output: Annotated[Path | None, typer.Option(metavar="FILE", help="By default specs/<name>.yaml.")] = None,
) -> None:
    """Write a first spec from a look at the data."""
    from mt_assets.first_spec import draft_spec, name_for

    path = output or Path("specs") / f"{name_for(data)}.yaml"
    if path.exists():
        raise typer.BadParameter(f"{path} exists already; name another file with --output.")
    text = draft_spec(data, target, path.parent)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    out.print(f"Wrote {path}. Next: mt-assets plan {path}, then mt-assets train {path}")


@app.command()
def sync(spec: SpecPath) -> None:
    """Tell the tracker what it missed while it was down; nothing is trained."""
    from mt_assets.console import narrated
    from mt_assets.spec_reading import load_spec
    from mt_assets.training_run import tell_tracker

    training_spec = load_spec(spec)
    with narrated(out, training_spec):
        told = tell_tracker(training_spec)
    if training_spec.options.verbosity > 0:
        news = f"The tracker was told of version {', '.join(map(str, told))}." if told else "Nothing was left to tell."
        out.print(news)


ModelName = Annotated[str, typer.Argument(metavar="NAME", help="Name of the model.", show_default=False)]


@app.command()
def predict(
    name: ModelName,
    data: Annotated[str, typer.Argument(metavar="DATA", help="File, glob, folder or address.", show_default=False)],
    output: Annotated[
        Path,
        typer.Option(
            metavar="FILE", help="Where the scored table goes: .csv, .parquet, .feather or .jsonl.", callback=_writable
        ),
    ],
    version: Annotated[int | None, typer.Option(metavar="N", help="By default the champion.")] = None,
) -> None:
    """Score new rows: the data as it is, with predictions (and probabilities of classes) beside it.

    Of a model of time series the data is history, and what is written are the steps that follow, with intervals.
    """
    from mt_assets.scoring import predict as score

    scored = score(name, data, output, version=version)
    added = ", ".join(scored.added)
    out.print(f"{scored.rows:,} rows scored by {scored.model} {scored.version}: {output} ({added})")
    for note in scored.notes:
        out.print(f"Note: {note}")


@app.command()
def models(
    name: Annotated[
        str | None, typer.Argument(metavar="[NAME]", help="List all versions of this model.", show_default=False)
    ] = None,
) -> None:
    """List the models with their champions, or the versions of one model."""
    from mt_assets.console import show_versions
    from mt_assets.model_versions import list_versions

    show_versions(out, list_versions(name))


Version = Annotated[int, typer.Argument(metavar="VERSION", show_default=False)]
By = Annotated[str, typer.Option(metavar="WHO", help="Who decides; by default the user of this machine.")]
Comment = Annotated[str, typer.Option(metavar="TEXT", help="Why; it is kept with the version.")]


@app.command()
def promote(
    name: ModelName,
    version: Version,
    despite_gates: Annotated[
        bool, typer.Option("--despite-gates", help="Also where the version missed a quality gate.")
    ] = False,
    by: By = "",
    comment: Comment = "",
) -> None:
    """Make a version the champion by hand, here and in the registry."""
    from mt_assets import model_versions
    from mt_assets.console import show_change

    said = model_versions.Signature(by, comment)
    change = model_versions.promote(model_versions.named(name), version, said, despite_gates=despite_gates)
    show_change(out, change)


@app.command()
def approve(
    name: ModelName,
    version: Annotated[
        int | None, typer.Argument(metavar="[VERSION]", help="By default the one that waits.", show_default=False)
    ] = None,
    by: By = "",
    comment: Comment = "",
) -> None:
    """Make the version that waits for approval (`promotion.approval: manual`) the champion."""
    from mt_assets import model_versions
    from mt_assets.console import show_change

    said = model_versions.Signature(by, comment)
    show_change(out, model_versions.approve(model_versions.named(name), version, said))


@app.command()
def reject(name: ModelName, version: Version, by: By = "", comment: Comment = "") -> None:
    """Refuse the version that waits for approval; the champion stays."""
    from mt_assets import model_versions

    model_versions.reject(model_versions.named(name), version, model_versions.Signature(by, comment))
    out.print(f"Version {version} of {name} stays a challenger.")


@app.command()
def rollback(name: ModelName, by: By = "", comment: Comment = "") -> None:
    """Put the previous champion back; doing it again undoes it."""
    from mt_assets import model_versions
    from mt_assets.console import show_change

    said = model_versions.Signature(by, comment)
    show_change(out, model_versions.rollback(model_versions.named(name), said))


@app.command()
def reproduce(
    name: ModelName,
    version: Annotated[
        int | None, typer.Argument(metavar="[VERSION]", help="By default the champion.", show_default=False)
    ] = None,
) -> None:
    """Make a version again by its record, in a process and a home of its own, and compare its predictions with those of
    the stored model. Exit code 1: they differ; 2: something that was recorded is missing."""
    from mt_assets.console import show_reproduction
    from mt_assets.reproduction import reproduce as make_again

    made = make_again(name, version)
    show_reproduction(out, made)
    raise typer.Exit(0 if made.reproduced else 1)


@app.command()
def clean(
    name: ModelName,
    keep_versions: Annotated[
        int | None, typer.Option(metavar="N", min=2, help="By default what the spec says, else 10.")
    ] = None,
    keep_days: Annotated[
        float | None, typer.Option(metavar="DAYS", min=0, help="By default what the spec says, else 7.")
    ] = None,
) -> None:
    """Remove what is no longer kept of a model now, and not only at the end of its next training."""
    from mt_assets.cleaning import clean as clean_now

    out.print(clean_now(name, keep_versions, keep_days, lambda text: err.print(text, markup=False)), markup=False)


@app.command("accept-schema")
def accept_schema(name: ModelName) -> None:
    """Hold the data of a model to the form that it has now; nothing is trained."""
    from mt_assets.console import show_accepted
    from mt_assets.schema_acceptance import accept_schema as accept

    show_accepted(out, accept(name))


def main() -> None:
    """Run the command line; what a person can mend is told in one paragraph, without a trace."""
    try:
        app()
    except TrainerError as error:
        _tell(type(error).__name__, error.message, error.suggestions)
        sys.exit(error.exit_code)
    except OSError as error:  # of a full disk, or a file that may not be written
        from mt_assets.trainer.recovery.failures import exit_code, failure_report

        report = failure_report(error, phase="command line")
        _tell(report.type, report.message, report.suggestions)
        sys.exit(exit_code(report))


def _tell(kind: str, message: str, suggestions: Sequence[str]) -> None:
    err.print(kind, style="red", end=" ")
    err.print(message)
    for suggestion in suggestions:
        err.print(f"  - {suggestion}")


def program() -> None:
    """Run the command line as a process of its own, which ends when all is said: taking hundreds of thousands of
    objects of libraries apart takes seconds."""
    try:
        main()
    except SystemExit as ended:
        if not isinstance(ended.code, int) or "mt_assets.trainer.search.workers" not in sys.modules:
            raise  # nothing of weight was imported
        sys.modules["mt_assets.trainer.search.workers"].end_host()
        logging.shutdown()
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(ended.code)


if __name__ == "__main__":
    program()
