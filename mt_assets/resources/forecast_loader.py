"""How MLflow reads a forecasting model: `mlflow.pyfunc.load_model(...)` calls this module by name."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd


class Forecasting:
    """A stored forecasting model behind MLflow's `predict`."""

    def __init__(self, folder: Path) -> None:
        from mt_assets.trainer.model import TrainedModel

        self.model = TrainedModel.load(folder).model

    def predict(self, frame: pd.DataFrame, params: dict[str, Any] | None = None) -> pd.DataFrame:
        """The forecasts that follow a history, see `ForecastModel.predict`."""
        forecasts: pd.DataFrame = self.model.predict(frame)
        return forecasts


def _load_pyfunc(path: str) -> Forecasting:
    return Forecasting(Path(path))
