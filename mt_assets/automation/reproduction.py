"""The job that makes a version again and compares it with the stored one."""

from typing import Any

import dagster as dg
from pydantic import Field

from mt_assets.spec import TrainingSpec


class Wanted(dg.Config):
    """Which version."""

    version: int | None = Field(default=None, description="The version to make again; by default the champion.")


def build_reproduction_job(spec: TrainingSpec) -> dg.JobDefinition:
    """Build `<name>_reproduce`. It changes nothing, and waits for no training."""

    @dg.op(name=f"{spec.name}__reproduce", required_resource_keys={"model_runs"})
    def reproduce(context: dg.OpExecutionContext, config: Wanted) -> None:
        from mt_assets.model_versions import chosen_version
        from mt_assets.reproduction import CLOCK, reproduce_version
        from mt_assets.trainer.errors import TrainerError

        store = context.resources.model_runs.store(spec.name)
        try:
            made = reproduce_version(store, chosen_version(store, config.version))
        except TrainerError as error:
            raise dg.Failure(description="\n".join([error.message, *error.suggestions]), allow_retries=False) from error
        notes = [*made.differences, *(() if made.promised else (CLOCK,))]
        metadata: dict[str, Any] = {
            "verdict": made.told(),
            "version": made.version,
            "differences": "\n".join(notes) or "none",
            **({"largest_difference": made.agreement.largest} if made.agreement else {}),
        }
        if not made.reproduced:
            raise dg.Failure(description="\n".join([made.told(), *notes]), metadata=metadata, allow_retries=False)
        context.log.info(made.told())
        context.add_output_metadata(metadata)

    @dg.job(name=f"{spec.name}_reproduce", description=f"Make a version of {spec.name} again, and compare.")
    def reproduce_job() -> None:
        reproduce()

    return reproduce_job
