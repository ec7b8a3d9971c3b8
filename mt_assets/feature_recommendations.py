"""Reading what another step recommends about columns: `inputs.featureRecommendations`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from mt_assets.spec_reading import read_document

if TYPE_CHECKING:
    from mt_assets.spec import TrainingSpec
    from mt_assets.trainer.data.recommendations import FeatureRecommendations


def read_recommendations(spec: TrainingSpec, file_of_asset: Callable[[str], Path]) -> FeatureRecommendations:
    """Read the recommendations that a spec names, from a `.json`, `.yaml` or `.yml` file; none where it names none.

    Parameters
    ----------
    spec : TrainingSpec
    file_of_asset : callable
        Gives the file that an asset has written last, by the asset's key.

    Raises
    ------
    SpecError
        The file cannot be read, or holds anything but recommendations.
    DataError
        The asset that is named has written no file.
    """
    from mt_assets.trainer.data.recommendations import NO_ADVICE, parse_recommendations

    source = spec.inputs.feature_recommendations
    if source is None:
        return NO_ADVICE
    path = Path(source) if isinstance(source, str) else file_of_asset(source.asset)
    what = "file of feature recommendations"
    return parse_recommendations(read_document(path, what), f"The {what} {path}")
