"""Reading what another step recommends about columns: `inputs.featureRecommendations`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from mt_assets.spec_reading import read_document

if TYPE_CHECKING:
    from mt_assets.spec import TrainingSpec
    from mt_assets.trainer.data.recommendations import FeatureRecommendations


def read_recommendations(spec: TrainingSpec) -> FeatureRecommendations:
    """Read the recommendations that a spec names, from a `.json`, `.yaml` or `.yml` file; none where it names none.

    Raises
    ------
    SpecError
        The file cannot be read, or holds anything but recommendations.
    """
    from mt_assets.trainer.data.recommendations import NO_ADVICE, parse_recommendations

    source = spec.inputs.feature_recommendations
    if not isinstance(source, str):
        return NO_ADVICE
    what = "file of feature recommendations"
    return parse_recommendations(read_document(Path(source), what), f"The {what} {source}")
