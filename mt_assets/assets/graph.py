"""The graph of one spec, put together."""

import re
from collections.abc import Sequence
from pathlib import Path

import dagster as dg

from mt_assets.assets.card import build_card_assets
from mt_assets.assets.data import build_data_assets
from mt_assets.assets.evaluation import build_evaluation_assets
from mt_assets.assets.fairness import build_fairness_assets
from mt_assets.assets.planning import build_planning_assets
from mt_assets.assets.predictions import build_prediction_assets
from mt_assets.assets.preprocessing import build_preprocessing_assets
from mt_assets.assets.promotion import build_promotion_assets
from mt_assets.assets.result import build_result_assets
from mt_assets.assets.search import build_search_assets
from mt_assets.assets.splits import build_split_assets
from mt_assets.assets.tracking import build_tracking_assets
from mt_assets.assets.training import build_training_assets
from mt_assets.spec import TrainingSpec, slug
from mt_assets.trainer.errors import SpecError

BUILDERS = (
    build_data_assets,
    build_split_assets,
    build_planning_assets,
    build_preprocessing_assets,
    build_search_assets,
    build_training_assets,
    build_evaluation_assets,
    build_fairness_assets,
    build_promotion_assets,
    build_card_assets,
    build_tracking_assets,
    build_result_assets,
    build_prediction_assets,
)
"""The phases in the order in which data flows through them."""


def build_assets(spec: TrainingSpec) -> Sequence[dg.AssetsDefinition]:
    """Build every asset of a spec: keys `<name>/<asset>`, group `<name>`."""
    return [asset for build in BUILDERS for asset in build(spec)]


def build_refused_spec(path: Path, error: SpecError) -> dg.AssetsDefinition:
    """Build the asset that stands in the graph for a spec that cannot be used, and says why."""
    name = slug(path.stem)

    @dg.asset(
        key=dg.AssetKey([f"refused_{name}_{re.sub('[^a-z]', '', path.suffix.lower())}", "spec"]),
        group_name=f"refused_{name}",
        description=f"**{path.name} is not used.** {error.message}",
        kinds={"yaml" if path.suffix in (".yaml", ".yml") else "json"},
    )
    def spec() -> None:
        raise dg.Failure(description="\n".join([error.message, *error.suggestions]), allow_retries=False)

    return spec
