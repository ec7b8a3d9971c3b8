"""New rows scored by the champion: `predictions`, where the spec asks for it."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import dagster as dg

from mt_assets import trainer
from mt_assets.assets import metadata as show
from mt_assets.assets.code_versions import code_version
from mt_assets.assets.phase import OWNERS
from mt_assets.resources.asset_tables import table_of_asset
from mt_assets.spec import AssetSource, TrainingSpec
from mt_assets.trainer.errors import TrainerError

if TYPE_CHECKING:
    from mt_assets.predictions import NewRows
    from mt_assets.trainer.data.table import Table


def predictions_key(spec: TrainingSpec) -> dg.AssetKey:
    return dg.AssetKey([spec.name, "predictions"])


def scored_files(spec: TrainingSpec) -> dg.DynamicPartitionsDefinition:
    """The files that are scored one by one; a sensor adds those that arrive."""
    return dg.DynamicPartitionsDefinition(name=f"{spec.name}_scored_files")


def build_prediction_assets(spec: TrainingSpec) -> Sequence[dg.AssetsDefinition]:
    """Build `<name>/predictions`: downstream of the registered model, and in no training job.

    Unpartitioned it is in the group of the model, so that one run of the whole group trains and scores. With partitions
    it has a group of its own, `<name>_scoring`, since Dagster runs no two kinds of partitions together.
    """
    asked = spec.predictions
    if asked is None:
        return []
    partitions: dict[str, Callable[[], dg.PartitionsDefinition | None]] = {
        "none": lambda: None,
        "daily": lambda: dg.DailyPartitionsDefinition(start_date=str(asked.start)),
        "file": lambda: scored_files(spec),
    }
    sources = [source for source in (asked.data_path, asked.labels_path) if isinstance(source, AssetSource)]

    @dg.asset(
        key=predictions_key(spec),
        group_name=spec.name if asked.partitions == "none" else f"{spec.name}_scoring",
        deps=[
            dg.AssetKey([spec.name, "registered_model"]),
            *dict.fromkeys(dg.AssetKey.from_user_string(source.asset) for source in sources),
        ],
        partitions_def=partitions[asked.partitions](),
        description="New rows as the champion scores them, how far they have moved, and how right it was.",
        kinds={"scikitlearn", "parquet"},
        owners=OWNERS,
        code_version=code_version(__name__),
        required_resource_keys={"model_runs"},
    )
    def predictions(context: dg.AssetExecutionContext) -> dg.MaterializeResult:
        try:
            return _scored(context, spec, context.partition_key if context.has_partition_key else None)
        except TrainerError as error:
            text = "\n".join([error.message, *error.suggestions])
            raise dg.Failure(description=text, allow_retries=False) from error

    return [predictions]


def _scored(context: dg.AssetExecutionContext, spec: TrainingSpec, partition: str | None) -> dg.MaterializeResult:
    from mt_assets import predictions as scoring
    from mt_assets.scoring import write_table

    run = context.resources.model_runs.session(spec.name)
    scoring.champion_version(run.store)  # before anything is read, since rows may take long
    with trainer.Sources(partial(table_of_asset, context)) as sources:
        rows: Table = scoring.rows_to_score(spec, sources.read, partition)
        made = scoring.score_new_rows(spec, run.store, rows, sources.read)
    place = scoring.place_of(spec, run.store, partition)
    write_table(made.scored.table, place)
    if made.feedback is not None:
        scoring.keep_feedback(run, made.feedback)
    for note in made.notes:
        context.log.warning(note)
    return dg.MaterializeResult(metadata={"path": dg.MetadataValue.path(str(place)), **_shown(made)})


def _shown(made: "NewRows") -> dict[str, Any]:
    """What people see: how many rows, by whom, how they have moved, and how right it was beside the test."""
    scored = made.scored.table
    added = list(made.scored.added)
    others = [name for name in scored.column_names if name not in added]
    compared = [{"metric": name, "live": value, "test": made.test.get(name)} for name, value in made.live.items()]
    return {
        "dagster/row_count": scored.num_rows,
        "dagster/column_schema": dg.TableSchema([dg.TableColumn(each.name, str(each.type)) for each in scored.schema]),
        "version": made.version,
        "preview": show.preview(scored.slice(0, show.PREVIEW_ROWS).select([*added, *others]).to_pandas()),
        "drift": round(made.drift.score, 6),
        "drift_told": made.drift.told,
        "drift_columns": show.table(made.drift.table()[:MOST_COLUMNS]),
        "predicted": show.plot(made.plot, "predictions"),
        "answers": made.answers,
        **show.numbers({"auc": made.drift.auc}, "drift."),
        **show.numbers(made.live, "live."),
        **show.numbers(made.test, "test."),
        **({"live_metrics": show.table(compared)} if compared else {}),
        **({"notes": " ".join(made.notes)} if made.notes else {}),
    }


MOST_COLUMNS = 50
"""Columns of the drift table, what moved most first; the event log keeps every table for ever."""
