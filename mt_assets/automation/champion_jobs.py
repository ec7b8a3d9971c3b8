"""Jobs by which a person says in the UI who serves: approve the version that waits, and go back to the one before."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import dagster as dg
from pydantic import Field

from mt_assets.spec import TrainingSpec

if TYPE_CHECKING:
    from mt_assets.model_versions import Change, Model, Signature


class Said(dg.Config):
    """Who decides, and why."""

    by: str = Field(default="", description="Who decides; by default the user that Dagster runs as.")
    comment: str = Field(default="", description="Why; it is kept with the version.")


class ApprovalSaid(Said):
    """The same of one version."""

    version: int | None = Field(
        default=None, description="The version that was looked at; by default the one that waits."
    )


def build_champion_jobs(spec: TrainingSpec) -> list[dg.JobDefinition]:
    """Build `<name>_approve` and `<name>_rollback`. They wait for no training: who serves changes in one step."""

    @dg.op(name=f"{spec.name}__approve", required_resource_keys={"model_runs", "tracking"})
    def approve(context: dg.OpExecutionContext, config: ApprovalSaid) -> None:
        from mt_assets import model_versions

        _carry_out(context, lambda: model_versions.approve(_model(context, spec), config.version, _signed(config)))

    @dg.op(name=f"{spec.name}__rollback", required_resource_keys={"model_runs", "tracking"})
    def rollback(context: dg.OpExecutionContext, config: Said) -> None:
        from mt_assets import model_versions

        _carry_out(context, lambda: model_versions.rollback(_model(context, spec), _signed(config)))

    @dg.job(name=f"{spec.name}_approve", description=f"Make the version of {spec.name} that waits the champion.")
    def approve_job() -> None:
        approve()

    @dg.job(name=f"{spec.name}_rollback", description=f"Put the champion of {spec.name} before the present one back.")
    def rollback_job() -> None:
        rollback()

    return [approve_job, rollback_job]


def _model(context: dg.OpExecutionContext, spec: TrainingSpec) -> "Model":
    from mt_assets.model_versions import Model

    return Model(context.resources.model_runs.store(spec.name), context.resources.tracking, spec)


def _signed(config: Said) -> "Signature":
    from mt_assets.model_versions import Signature

    return Signature(config.by, config.comment)


def _carry_out(context: dg.OpExecutionContext, change: Callable[[], "Change"]) -> None:
    """Change who serves and tell it; what a person can mend is a failure in a paragraph."""
    from mt_assets.trainer.errors import TrainerError

    try:
        done = change()
    except TrainerError as error:
        raise dg.Failure(description="\n".join([error.message, *error.suggestions]), allow_retries=False) from error
    metadata: dict[str, Any] = {"champion": done.champion, "before": done.before or 0, "registry": done.registry}
    context.log.info(f"Version {done.champion} is now the champion of {done.model}. {done.registry}")
    context.add_output_metadata(metadata)
