"""One phase of training as assets: the one place where the graph meets the store.

A phase is a function from the run and its inputs to what it made. Around it stands here what all phases share: names,
group, kinds and code version; reading and storing; the verdicts of checks; what is written down when it fails.
"""

import inspect
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import dagster as dg

from mt_assets import trainer
from mt_assets.assets.code_versions import code_version
from mt_assets.assets.verdicts import CHECKS, check_results, stop_if_blocked
from mt_assets.resources.model_runs import ModelRuns
from mt_assets.resources.tracking import MlflowTracking
from mt_assets.spec import TrainingSpec
from mt_assets.trainer.checks import Check
from mt_assets.trainer.clock import RunClock
from mt_assets.trainer.recovery.failures import failure_report, interrupted
from mt_assets.trainer.recovery.recovering import RemediedError, recovering
from mt_assets.trainer.store.model_store import RunStore
from mt_assets.trainer.store.record import Storable
from mt_assets.trainer.store.versions import AssetVersion

OWNERS = ["team:ml"]

OBSERVED = "source_data"
"""The one asset that has no value in the store."""


@dataclass(frozen=True)
class Made:
    """What a phase hands to the graph: a value to store, what people see on it, and verdicts."""

    value: Storable
    metadata: Mapping[str, Any] = field(default_factory=dict)
    checks: Sequence[Check] = ()


class PhaseRun:
    """What a phase may use besides its inputs."""

    def __init__(self, context: dg.AssetExecutionContext, spec: TrainingSpec, runs: ModelRuns) -> None:
        self.context = context
        self.spec = spec
        self.runs = runs
        self.run_id = context.run.run_id

    @property
    def tracking(self) -> MlflowTracking:
        return self.context.resources.tracking

    @property
    def log(self) -> dg.DagsterLogManager:
        return self.context.log

    @property
    def clock(self) -> RunClock:
        """What is left of the time budget."""
        return self.runs.clock(self.spec.options.time_budget)

    @cached_property
    def store(self) -> RunStore:
        return self.runs.session(self.spec.name)


@dataclass(frozen=True)
class AssetFace:
    """What people see of an asset before it is materialized."""

    description: str
    kinds: frozenset[str]


def phase(
    spec: TrainingSpec,
    outputs: Mapping[str, AssetFace],
    *,
    after: Sequence[str | dg.AssetKey],
    checks: Mapping[str, bool] | None = None,
    speaks_last: bool = False,
) -> Callable[[Callable[..., Made | Mapping[str, Made]]], dg.AssetsDefinition]:
    """Turn a function into the assets of one phase.

    The function's parameters name the assets that it reads. The store gives them in the versions that the run has
    pinned, so the graph draws only the edges that no other edge implies, and stays readable. What was read, and what
    comes directly before, is written down as what the outputs were made from.

    Parameters
    ----------
    spec : TrainingSpec
    outputs : mapping
        The assets that the phase makes. A phase of several returns `{name: Made}`, a phase of one returns `Made`.
    after : sequence of str or AssetKey
        The edges: assets that come directly before, by name, or by key where they are not of this model. Everything
        that the phase reads is one of them or upstream of one.
    checks : mapping, optional
        Name of each check that the phase reports, and whether it blocks. They belong to the last of the outputs.
    speaks_last : bool
        A failed blocking check fails the run only after the asset was materialized. Otherwise it stops the phase, and
        there is no materialization that could trigger anything.
    """
    blocking = dict(checks or {})
    last = list(outputs)[-1]

    def decorate(function: Callable[..., Made | Mapping[str, Made]]) -> dg.AssetsDefinition:
        inputs = [name for name in inspect.signature(function).parameters if name != "run"]
        before = [name for name in after if isinstance(name, str) and name != OBSERVED]
        made_from = list(dict.fromkeys([*inputs, *before]))
        code = code_version(function.__module__)

        @dg.multi_asset(
            name=f"{spec.name}__{function.__name__}",
            group_name=spec.name,
            deps=[name if isinstance(name, dg.AssetKey) else dg.AssetKey([spec.name, name]) for name in after],
            outs={
                name: dg.AssetOut(
                    key=dg.AssetKey([spec.name, name]),
                    description=face.description,
                    kinds=set(face.kinds),
                    owners=OWNERS,
                    code_version=code,
                    io_manager_key="store",
                    dagster_type=dg.Any,
                )
                for name, face in outputs.items()
            },
            check_specs=[
                dg.AssetCheckSpec(name, asset=dg.AssetKey([spec.name, last]), blocking=stops, description=CHECKS[name])
                for name, stops in blocking.items()
            ],
            required_resource_keys={"model_runs", "tracking"},
        )
        def compute(context: dg.AssetExecutionContext) -> Iterator[dg.MaterializeResult | dg.AssetCheckResult]:
            run = PhaseRun(context, spec, context.resources.model_runs)
            started = time.monotonic()
            run.runs.narrator.began(function.__name__)
            with failure_recorded(run, function.__name__):
                made, remedied = recovering(
                    lambda: function(run, **{name: run.store.read(name) for name in inputs}),
                    forget=run.store.forget_values,
                    left=run.clock.left,
                    tell=run.log.warning,
                )
                trainer.give_back()
                parts = {last: made} if isinstance(made, Made) else dict(made)
                verdicts = [check for part in parts.values() for check in part.checks]
                if not speaks_last:
                    yield from check_results(spec, last, verdicts, blocking)
                    stop_if_blocked(spec, verdicts, blocking)
                seconds = time.monotonic() - started
                for name, part in parts.items():
                    failed = (check for check in part.checks if not check.passed and not blocking[check.name])
                    doubts = (*(check.message for check in failed), *(remedied if name == last else ()))
                    version = run.store.stage(
                        name, part.value, phase=function.__name__, inputs=made_from, seconds=seconds, doubts=doubts
                    )
                    yield _materialized(dg.AssetKey([spec.name, name]), version, part)
            if speaks_last:
                yield from check_results(spec, last, verdicts, blocking)

        return compute

    return decorate


def _materialized(key: dg.AssetKey, version: AssetVersion, part: Made) -> dg.MaterializeResult[AssetVersion]:
    return dg.MaterializeResult(
        asset_key=key,
        value=version,
        metadata={"seconds": version.seconds, **part.metadata},
        data_version=dg.DataVersion(version.address),
    )


@contextmanager
def failure_recorded(run: PhaseRun, phase_name: str) -> Iterator[None]:
    """Write down what stops a phase before Dagster hears of it, so that no crash of anything else can lose it.

    Where it cannot be written down (the disk is full), Dagster is told all the same.
    """
    try:
        yield
    except dg.DagsterExecutionInterruptedError:
        with suppress(OSError):
            run.store.store.record_failure(run.run_id, interrupted(phase_name).model_dump())
        raise
    except Exception as caught:
        tried = caught.tried if isinstance(caught, RemediedError) else ()
        error = caught.__cause__ if isinstance(caught.__cause__, Exception) and tried else caught
        report = failure_report(error, phase=phase_name, remediation=tried)
        shown: dict[str, Any] = {"failure": dg.MetadataValue.json(report.model_dump())}
        with suppress(OSError):
            path = run.store.store.record_failure(run.run_id, report.model_dump())
            shown["report"] = dg.MetadataValue.path(path)
        raise dg.Failure(
            description="\n".join([report.message, *report.suggestions]), metadata=shown, allow_retries=False
        ) from error
