"""Who is learned from and who is tested on: `train`, `validation`, `test`, `folds`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import dagster as dg

from mt_assets import trainer
from mt_assets.assets import metadata as show
from mt_assets.assets.phase import AssetFace, Made, PhaseRun, phase
from mt_assets.spec import TrainingSpec

if TYPE_CHECKING:
    from mt_assets.trainer.data.profile import DataProfile
    from mt_assets.trainer.data.table import Table


def build_split_assets(spec: TrainingSpec) -> Sequence[dg.AssetsDefinition]:
    @phase(
        spec,
        {
            "train": AssetFace("The rows learned from while the canonical fold validates.", frozenset({"arrow"})),
            "validation": AssetFace("The rows of the canonical fold.", frozenset({"arrow"})),
            "test": AssetFace("The rows that nothing is fitted on, chosen on or tuned on.", frozenset({"arrow"})),
            "folds": AssetFace("The split of every row, drawn once, that all candidates share.", frozenset({"numpy"})),
        },
        checks={
            "no_row_overlap": True,
            "no_group_overlap": True,
            "time_order": True,
            # The last steps of a series are never like all that came before.
            **({} if spec.forecasts else {"train_test_shift": False}),
        },
        after=("data_profile",),
    )
    def splits(run: PhaseRun, raw_data: Table, data_profile: DataProfile) -> dict[str, Made]:
        trainer.start_host(spec.algorithms, spec.model_type)  # at work beside all that comes before the search
        drawn = trainer.split_data(raw_data, data_profile, spec, run.store.previous("folds"))
        parts = {"train": drawn.train, "validation": drawn.validation, "test": drawn.test}
        checks = [
            *trainer.check_splits(drawn, raw_data, spec, data_profile),
            *([] if spec.forecasts else [trainer.check_shift(raw_data, data_profile, drawn, seed=spec.options.seed)]),
        ]
        made = {
            name: Made(raw_data.take(rows), metadata={"dagster/row_count": len(rows)}) for name, rows in parts.items()
        }
        folds = [
            {"fold": number, "train_rows": len(fold.train), "validation_rows": len(fold.validation)}
            for number, fold in enumerate(drawn.folds)
        ]
        made["folds"] = Made(
            drawn, metadata={"strategy": drawn.strategy, "folds": len(folds), "rows": show.table(folds)}, checks=checks
        )
        return made

    return [splits]
