"""Reading the data and describing it: `source_data`, `raw_data`, `data_profile`."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING

import dagster as dg

from mt_assets import trainer
from mt_assets.assets import metadata as show
from mt_assets.assets.code_versions import code_version
from mt_assets.assets.phase import OWNERS, AssetFace, Made, PhaseRun, phase
from mt_assets.feature_recommendations import read_recommendations
from mt_assets.resources.asset_tables import file_of_asset, table_of_asset, versions_of_assets
from mt_assets.resources.study_storage import study_storage_url
from mt_assets.spec import AssetSource, SqlSource, TrainingSpec
from mt_assets.trainer.errors import DataError, UnsettledError
from mt_assets.trainer.retraining.history import KEPT_SCHEMA, History, Reading, question

if TYPE_CHECKING:
    from mt_assets.trainer.data.profile import DataProfile
    from mt_assets.trainer.data.reading import Sources
    from mt_assets.trainer.data.table import Table

DATA_VERSION_TAG = "dagster/data_version"
"""Tag by which Dagster knows the data version of an observation; stable, but without a public name."""


def build_data_assets(spec: TrainingSpec) -> Sequence[dg.AssetsDefinition]:
    source_key = dg.AssetKey([spec.name, "source_data"])
    given = [
        each for each in (spec.train_data_path, spec.validation_data_path, spec.test_data_path) if each is not None
    ]
    upstream = [dg.AssetKey.from_user_string(each.asset) for each in given if isinstance(each, AssetSource)]
    lie_elsewhere = len(upstream) < len(given)
    advice = spec.inputs.feature_recommendations

    @dg.multi_observable_source_asset(
        name=f"{spec.name}__source_data",
        specs=[
            dg.AssetSpec(
                source_key,
                group_name=spec.name,
                description="The data where it lies. Its data version is a digest of its content, not its time.",
                kinds={_kind(each) for each in given if not isinstance(each, AssetSource)},
                owners=OWNERS,
                code_version=code_version(__name__),
            )
        ],
    )
    def source_data() -> dg.ObserveResult:
        with trainer.Sources() as sources:
            return dg.ObserveResult(data_version=dg.DataVersion(_version_of_own(spec, sources)))

    @phase(
        spec,
        {"raw_data": AssetFace("The table as it was read, typed and kept.", frozenset({"arrow", "pandera"}))},
        checks={"schema": True, "target_present": True},
        after=[*(["source_data"] if lie_elsewhere else []), *dict.fromkeys(upstream)],
    )
    def raw_data(run: PhaseRun) -> Made:
        trainer.check_study_storage(study_storage_url())
        # Before their tables are loaded: one that is made again meanwhile is then noticed as new.
        made = versions_of_assets(run.context.instance, spec)
        # Of a series no row can be left out.
        room = None if spec.forecasts else trainer.room(spec.options.memory_limit)
        with trainer.Sources(partial(table_of_asset, run.context), room) as sources:
            version = trainer.fingerprint_given(spec, sources.fingerprint)
            if lie_elsewhere:
                observed = _version_of_own(spec, sources) if upstream else version
                run.context.log_event(dg.AssetObservation(source_key, tags={DATA_VERSION_TAG: observed}))
            looked_at = trainer.observed_version(spec, sources, made.__getitem__) if upstream else version
            with _attempt_noted(run, looked_at) as refuse:
                table = trainer.Table.of(trainer.read_given(spec, sources.read))
                schema = trainer.read_schema(spec.data_schema) if spec.data_schema else run.store.kept(KEPT_SCHEMA)
                form = trainer.check_schema(table, schema or trainer.infer_schema(table))
                checks = [trainer.check_target(table, spec), form]
                if failed := [check.message for check in checks if not check.passed]:
                    refuse(" ".join(failed))
        return Made(
            table.noted(form.evidence["notes"]),  # from there they come to the profile's warnings, and to the result's
            metadata={
                "dagster/row_count": len(table),
                "dagster/column_schema": show.column_schema(table.schema),
                "columns": len(table.columns),
                "source_version": version,
                "preview": show.preview(table.take(table.positions[: show.PREVIEW_ROWS]).frame()),
            },
            checks=checks,
        )

    @phase(
        spec,
        {
            "data_profile": AssetFace(
                "What each column is and is used as, and how good the data is.", frozenset({"pandas"})
            )
        },
        after=["raw_data", *([dg.AssetKey.from_user_string(advice.asset)] if isinstance(advice, AssetSource) else [])],
    )
    def data_profile(run: PhaseRun, raw_data: Table) -> Made:
        trainer.check_study_storage(study_storage_url())  # a retraining begins here
        recommended = read_recommendations(spec, partial(file_of_asset, run.context.instance))
        profile: DataProfile = trainer.profile_data(raw_data, spec, recommended)
        # Kept only now: the form of data that cannot be learned from must not be held against its correction.
        if not spec.data_schema and run.store.kept(KEPT_SCHEMA) is None:
            run.store.keep(KEPT_SCHEMA, trainer.infer_schema(raw_data, profile))
        return Made(
            profile,
            metadata={
                "quality_score": profile.quality.score,
                "features": len(profile.features),
                "columns": show.table([column.model_dump(exclude={"examples"}) for column in profile.columns]),
                "quality": show.table(
                    [{"part": part, "score": score} for part, score in profile.quality.parts.items()]
                ),
                "warnings": show.lines(profile.warnings),
                **({"series": show.table(profile.series.report())} if profile.series else {}),
            },
        )

    return [*([source_data] if lie_elsewhere else []), raw_data, data_profile]


@contextmanager
def _attempt_noted(run: PhaseRun, observed: str) -> Iterator[Callable[[str], None]]:
    """Write down what is read, and why it is refused where it is, so that the same is not tried at every look."""
    history = History(run.store.store)
    reading = Reading(observed=observed, question=question(run.spec, run.store.store), run_id=run.run_id)
    history.note_reading(reading)

    def refuse(why: str) -> None:
        history.note_reading(reading.model_copy(update={"refused": why}))

    try:
        yield refuse
    except UnsettledError:
        raise
    except DataError as error:
        refuse(error.message)
        raise


def _version_of_own(spec: TrainingSpec, sources: Sources) -> str:
    """The version of what `source_data` stands for. Sources that are assets are observed as what they are."""
    return trainer.fingerprint_given(
        spec, lambda source: "" if isinstance(source, AssetSource) else sources.fingerprint(source)
    )


def _kind(source: str | tuple[str, ...] | SqlSource) -> str:
    """The place that a source lies at, in words for which Dagster has icons."""
    if isinstance(source, SqlSource):
        dialect = source.connection.partition(":")[0].partition("+")[0]
        return dialect if dialect in ("sqlite", "postgresql", "mysql", "snowflake", "bigquery") else "sql"
    first = source if isinstance(source, str) else source[0]
    scheme = first.partition("://")[0] if "://" in first else "file"
    return {"s3": "s3", "gs": "gcs", "az": "azure", "abfs": "azure", "http": "http", "https": "http"}.get(
        scheme, "file"
    )
