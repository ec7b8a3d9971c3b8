"""A recurrent network for all series at once: an LSTM reads the recent past, and a small network all steps after it."""

from __future__ import annotations

import logging
import tempfile
import time
import warnings
from collections.abc import Mapping
from typing import Any, ClassVar, Final

import numpy as np
import pandas as pd
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution

from mt_assets.trainer.forecasting.forecaster import FittedForecaster, Forecaster, ForecastSetting, Params
from mt_assets.trainer.forecasting.forecasters.local import series_bytes, stood_in
from mt_assets.trainer.forecasting.panel import ID, VALUE, Panel

MOST_STEPS: Final = 500
"""Training steps, of up to 32 series each: some 20 s with 64 units on monthly series, on one busy core."""

BATCH_STEPS: Final = 8_192
"""Steps that the network reads in one training step, whatever the length of the windows."""

CHECK_EVERY: Final = 20
"""Training steps between two looks at the steps that are held out."""

PATIENCE: Final = 6
"""Looks without improvement after which training stops, where the setting has not fewer."""

LONGEST_PAST: Final = 336
"""Steps that are read: a longer past costs time in proportion."""

SHORTEST: Final = 5
"""Steps, besides those held out, of the shortest series that is learned from."""

LIBRARY_BYTES: Final = 900e6
"""What torch, lightning and neuralforecast take when they are loaded."""

NAME: Final = "LSTM"


class Lstm(Forecaster):
    """An LSTM encoder, one for all series; known covariates are read ahead, past ones with the past."""

    name: ClassVar[str] = "lstm"
    display: ClassVar[str] = "LSTM"
    gradual: ClassVar[bool] = True
    local: ClassVar[bool] = False

    def space(self, setting: ForecastSetting) -> dict[str, BaseDistribution]:
        # A fit takes seconds to a minute: what is not asked for is not searched.
        return {
            "hidden": CategoricalDistribution([64]),
            "layers": CategoricalDistribution([1]),
            "context": CategoricalDistribution([1, 2]),
            "learning_rate": FloatDistribution(3e-3, 3e-3, log=True),
        }

    def starts(self, setting: ForecastSetting) -> tuple[Params, ...]:
        return (
            {"hidden": 64, "layers": 1, "context": 2, "learning_rate": 3e-3},
            {"hidden": 64, "layers": 1, "context": 1, "learning_rate": 3e-3},
        )

    def fit(
        self,
        history: Panel,
        setting: ForecastSetting,
        params: Mapping[str, Any],
        *,
        iterations: int | None = None,
        deadline: float | None = None,
    ) -> LstmFit:
        import torch

        held = 0 if iterations is not None else setting.horizon
        long = np.flatnonzero((history.lengths >= SHORTEST + held) & ~_constant(history))
        if not len(long):
            return LstmFit(None, setting.steps, setting.threads, None, False, (_all_short(len(history)),))
        torch.set_num_threads(setting.threads)
        frame = _scaled(history)[0]
        frame = frame[frame[ID].isin(long)].reset_index(drop=True)
        network = _network(history, setting, params, iterations, deadline)
        with _Quiet():
            network.fit(frame, val_size=held)
            watch = _strip(network)
        best, cut = watch.restore(network.models[0]) if held else (None, watch.cut)
        short = len(history) - len(long)
        notes = (f"{short} of {len(history)} series are too short or constant: LSTM did not learn from them.",)
        return LstmFit(network, setting.steps, setting.threads, best, cut, notes if short else ())

    def memory(self, setting: ForecastSetting, params: Mapping[str, Any]) -> float:
        """Libraries, and the activations of a batch with their gradients, in single precision."""
        hidden, layers = int(params["hidden"]), int(params["layers"])
        past = _past_steps(setting.season, setting.steps, int(params["context"]))
        activations = _windows(past) * (past + setting.steps) * hidden * 4 * 4 * (layers + 2)
        return LIBRARY_BYTES + series_bytes(setting) + 4.0 * activations

    def with_iterations(self, params: Mapping[str, Any], iterations: int | None) -> Params:
        return dict(params) if iterations is None else {**params, "training_steps": iterations}


class LstmFit(FittedForecaster):
    """A trained network; forecasts of any series that have its covariates.

    Parameters
    ----------
    network : NeuralForecast or None
        None where no series was long enough to learn from.
    longest, threads : int
        Steps that it forecasts.
    best_iteration : int or None
    cut : bool
    notes : tuple of str
    """

    def __init__(
        self,
        network: Any,
        longest: int,
        threads: int,
        best_iteration: int | None,
        cut: bool,
        notes: tuple[str, ...],
    ) -> None:
        self._network = network
        self._longest = longest
        self._threads = threads
        self.best_iteration = best_iteration
        self.cut = cut
        self.notes = notes

    def forecast(self, history: Panel, future: pd.DataFrame, steps: int) -> np.ndarray:
        """See `FittedForecaster.forecast`; `steps` at most those that the network was made for."""
        if steps > self._longest:
            raise ValueError(f"This network forecasts {self._longest} steps, and {steps} are asked for: train it anew.")
        forecasts = np.full((len(history), steps), np.nan)
        if self._network is not None:
            forecasts = self._of_network(history, future)[:, :steps]
        return stood_in(forecasts, history)

    def _of_network(self, history: Panel, future: pd.DataFrame) -> np.ndarray:
        """[s, steps of the network]; steps beyond those of `future` are of no meaning."""
        import torch

        torch.set_num_threads(self._threads)
        frame, middle, width = _scaled(history)
        ahead = None
        if history.known:
            ahead = history.next_times(self._longest).merge(future, how="left", on=list(future.columns[:2]))
            ahead[list(history.known)] = ahead.groupby(ID)[list(history.known)].ffill()
        with _Quiet():
            found = self._network.predict(df=frame, futr_df=ahead)
            for model in self._network.models:
                del model._pred_trainer  # of this forecast alone
        values = found.sort_values([ID, "ds"], kind="stable")[NAME].to_numpy(dtype=np.float64)
        return values.reshape(len(history), self._longest) * width[:, None] + middle[:, None]


class _Watch:
    """Callback that remembers the best weights, and stops training without improvement or at the deadline.

    Made by `_watch`, because lightning is imported late.
    """

    patience: int
    deadline: float | None
    best: float
    best_step: int | None
    weights: dict[str, Any] | None
    since: int
    cut: bool

    def begin(self, patience: int, deadline: float | None) -> None:
        self.patience, self.deadline = patience, deadline
        self.best, self.best_step, self.weights, self.since, self.cut = float("inf"), None, None, 0, False

    def on_train_batch_end(self, trainer: Any, module: Any, *batch: Any) -> None:
        if self.deadline is not None and time.monotonic() > self.deadline:
            self.cut = trainer.should_stop = True

    def on_validation_end(self, trainer: Any, module: Any) -> None:
        if trainer.sanity_checking:
            return
        loss = float(trainer.callback_metrics.get("ptl/val_loss", float("nan")))
        if loss < self.best:
            self.best, self.best_step, self.since = loss, int(trainer.global_step), 0
            self.weights = {name: value.detach().clone() for name, value in module.state_dict().items()}
            return
        self.since += 1
        if self.since >= self.patience:
            trainer.should_stop = True

    def restore(self, model: Any) -> tuple[int | None, bool]:
        """Give the model its best weights; the step that they are of, and whether time was short."""
        if self.weights is not None:
            model.load_state_dict(self.weights)
        return self.best_step, self.cut


def _watch(patience: int, deadline: float | None) -> Any:
    from pytorch_lightning.callbacks import Callback

    made: Any = type("Watch", (_Watch, Callback), {})()
    made.begin(patience, deadline)
    return made


def _network(
    history: Panel,
    setting: ForecastSetting,
    params: Mapping[str, Any],
    iterations: int | None,
    deadline: float | None,
) -> Any:
    with _Quiet():
        from neuralforecast import NeuralForecast
        from neuralforecast.losses.pytorch import MAE
        from neuralforecast.models import LSTM

        hidden = int(params["hidden"])
        past = _past_steps(setting.season, setting.steps, int(params["context"]))
        model = LSTM(
            h=setting.steps,
            input_size=past,
            encoder_hidden_size=hidden,
            encoder_n_layers=int(params["layers"]),
            decoder_hidden_size=hidden,
            futr_exog_list=list(history.known) or None,
            hist_exog_list=list(history.past) or None,
            loss=MAE(),
            max_steps=MOST_STEPS if iterations is None else max(1, iterations),
            learning_rate=float(params["learning_rate"]),
            val_check_steps=CHECK_EVERY,
            batch_size=32,
            windows_batch_size=_windows(past),
            start_padding_enabled=True,
            scaler_type="robust",
            random_seed=setting.seed,
            alias=NAME,
            accelerator="cpu",
            devices=1,
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            default_root_dir=tempfile.gettempdir(),
        )
        network = NeuralForecast(models=[model], freq=history.frequency.freq)
        # Not given to the model above, which would keep it among its own parameters and store it.
        network.models[0].trainer_kwargs["callbacks"] = [_watch(min(PATIENCE, setting.patience), deadline)]
        return network


def _strip(network: Any) -> _Watch:
    """Take out of a trained network what only training needed, and cannot be pickled."""
    model = network.models[0]
    watch = next(each for each in model.trainer_kwargs.pop("callbacks") if isinstance(each, _Watch))
    model._trainer = None
    for part in ("dataset", "uids", "last_dates", "ds"):
        setattr(network, part, None)
    return watch


class _Quiet(warnings.catch_warnings):
    """Keeps the libraries' advice on hardware, and their warnings of their own parts, from people."""

    def __enter__(self) -> Any:
        entered = super().__enter__()
        warnings.simplefilter("ignore")
        import pytorch_lightning  # noqa: F401 - it sets the levels of its loggers when it is imported

        for name in ("pytorch_lightning", "lightning_fabric", "lightning.fabric"):
            logging.getLogger(name).setLevel(logging.ERROR)
        return entered


def _past_steps(season: int, steps: int, context: int) -> int:
    """Steps that the network reads: so many times the season or the horizon, whichever is longer."""
    return int(np.clip(context * max(season, steps, 6), 8, LONGEST_PAST))


def _windows(past: int) -> int:
    """Windows of a training step."""
    return int(np.clip(BATCH_STEPS // past, 32, 256))


def _constant(history: Panel) -> np.ndarray:
    return np.array([bool(np.ptp(values) == 0) for values in history.values()])


def _scaled(history: Panel) -> tuple[pd.DataFrame, np.ndarray, np.ndarray]:
    """The frame with series of one scale, and what was taken from each and what it was divided by, [s]."""
    middle, width = np.array([values.mean() for values in history.values()]), history.scales()
    of = history.frame[ID].to_numpy()
    return history.frame.assign(**{VALUE: (history.frame[VALUE].to_numpy() - middle[of]) / width[of]}), middle, width


def _all_short(series: int) -> str:
    return f"All {series} series are too short or constant for LSTM: the seasonal naive forecast stands in."
