"""Challenger against champion on the same rows."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from mt_assets.trainer.evaluation.groups import LEAST_CLUSTERS, drawn_together
from mt_assets.trainer.evaluation.metrics import METRICS, USUAL, Terms, score
from mt_assets.trainer.store.record import Record

RESAMPLES, FEWER_RESAMPLES, MANY_ROWS = 1_000, 200, 50_000
"""Resamples of the paired bootstrap, and how many above that many test rows, where the interval is narrow anyway. One
thread takes 0.15 s for ROC AUC on 1,400 rows and 6 s on 50,000 and on 200,000."""

MARGIN = 0.01
"""How much worse a challenger may be where the spec does not say: 0.01 of a metric that ends at 1, otherwise 1 % of the
champion's. Measured on `telco_churn` with pairs of LightGBM models from nine tenths of the same rows and 1,400 test
rows: the lower bound of ROC AUC lies 0.003 below the difference, so that of 20 such pairs a margin of 0 promotes none,
0.005 three in four and 0.01 all."""

METHOD = "paired bootstrap of the rows (both models on the same draws, each class drawn for itself), percentile bounds"


class Comparison(Record):
    """Challenger against champion on the same rows, by a paired bootstrap.

    Attributes
    ----------
    metric : str
    challenger, champion : float
        The metric of each on all rows, in its own direction.
    difference : float
        How much better the challenger is; negative where it is worse, whatever the metric's direction.
    lower, upper : float
        One-sided bounds of the difference, each at `confidence`.
    margin : float
        The challenger is not worse when `lower` is at least minus this.
    confidence : float
    resamples, rows : int
    not_worse : bool
    method : str
        How the bounds were found.
    """

    metric: str
    challenger: float
    champion: float
    difference: float
    lower: float
    upper: float
    margin: float
    confidence: float
    resamples: int
    rows: int
    not_worse: bool
    method: str = METHOD


@dataclass(frozen=True, eq=False)
class ChampionView:
    """What the decision needs to know of the present champion.

    Attributes
    ----------
    version : int
    prediction : ndarray [n, k] or [n]
        Its predictions for the test rows, in the order and with the class codes of the challenger's.
    trained_on_test_rows : int
        How many of those rows it was trained on. The caller leaves such rows out for both models, so it must be 0.
    obstacle : str
        Why it cannot predict for data of this form; empty where it can.
    threshold : float
        By which it labels rows of two classes.
    """

    version: int
    prediction: npt.NDArray[np.floating]
    trained_on_test_rows: int = 0
    obstacle: str = ""
    threshold: float = 0.5


@dataclass(frozen=True, eq=False)
class Contest:
    """Two models, the rows that both predicted, and the metric that counts.

    Attributes
    ----------
    challenger, champion : ndarray [n, k] or [n]
        Predictions for the same rows: probabilities in the order of the class codes, or values.
    y : ndarray [n]
        Class codes, or target values.
    metric : str
    positive : int or None
        Code of the positive class where there are two.
    terms : (Terms, Terms)
        By which the challenger and the champion are judged, each with its own threshold.
    clusters : ndarray [n] or None
        Of forecasts the series of each row, numbers: errors of one series go together, so that whole series are drawn.
    """

    challenger: npt.NDArray[np.floating]
    champion: npt.NDArray[np.floating]
    y: npt.NDArray
    metric: str
    positive: int | None
    terms: tuple[Terms, Terms] = (USUAL, USUAL)
    clusters: npt.NDArray[np.int64] | None = None

    @property
    def of_classes(self) -> bool:
        return self.challenger.ndim == 2

    def among(self, rows: npt.NDArray) -> "Contest":
        """The same contest on some of the rows, given by number or as a mask."""
        clusters = None if self.clusters is None else self.clusters[rows]
        return replace(
            self, challenger=self.challenger[rows], champion=self.champion[rows], y=self.y[rows], clusters=clusters
        )

    def scores(self) -> tuple[float, float]:
        """The metric of challenger and champion, in its own direction.

        Raises
        ------
        TrainingError
            The metric has no value on these rows.
        """
        first, second = (
            score(self.metric, self.y, prediction, self.positive, own)
            for prediction, own in zip((self.challenger, self.champion), self.terms, strict=True)
        )
        return first, second

    def gain(self, scores: Sequence[float]) -> float:
        """How much better the challenger is, whatever the metric's direction."""
        return METRICS[self.metric].gain(*scores)

    def resampled_gains(self, resamples: int, seed: int, share: float = 1.0) -> npt.NDArray[np.float64]:
        """The gain on draws of the rows with replacement, the same ones for both models.

        Of classes as many rows of each are drawn as there are, or this share of them; of several series whole ones.
        """
        rng = np.random.default_rng(seed)
        if self.clusters is not None and len(np.unique(self.clusters)) >= LEAST_CLUSTERS:
            return self._gains_of_clusters(self.clusters, resamples, rng)
        strata = [np.flatnonzero(self.y == code) for code in np.unique(self.y)] if self.of_classes else None
        strata = strata or [np.arange(len(self.y))]
        gains = np.empty(resamples)
        for at in range(resamples):
            drawn = [rows[rng.integers(0, len(rows), max(1, round(share * len(rows))))] for rows in strata]
            again = self.among(np.concatenate(drawn))
            gains[at] = again.gain(again.scores())
        return gains

    def _gains_of_clusters(
        self, clusters: npt.NDArray[np.int64], resamples: int, rng: np.random.Generator
    ) -> npt.NDArray[np.float64]:
        members = drawn_together(clusters)
        gains = np.empty(resamples)
        for at in range(resamples):
            drawn = rng.integers(0, len(members), len(members))
            again = self.among(np.concatenate([members[cluster] for cluster in drawn]))
            gains[at] = again.gain(again.scores())
        return gains


def compare(contest: Contest, *, margin: float | None, confidence: float, seed: int) -> Comparison:
    """Compare two models on the same rows: is the first not worse than the second by more than the margin?

    Rows are drawn with replacement, the same ones for both models and, for classes, as many of each class as there
    are. The bounds are percentiles of the differences (Efron & Tibshirani, An Introduction to the Bootstrap, ch. 13).

    Parameters
    ----------
    contest : Contest
    margin : float or None
        In units of the metric; None chooses `MARGIN`.
    confidence : float
        Of each one-sided bound, for example 0.95.
    seed : int

    Raises
    ------
    TrainingError
        The metric has no value on these rows.
    """
    challenger, champion = contest.scores()
    gains = contest.resampled_gains(RESAMPLES if len(contest.y) <= MANY_ROWS else FEWER_RESAMPLES, seed)
    lower, upper = (float(bound) for bound in np.quantile(gains, (1 - confidence, confidence)))
    allowed = default_margin(contest.metric, champion) if margin is None else margin
    return Comparison(
        metric=contest.metric,
        challenger=challenger,
        champion=champion,
        difference=contest.gain((challenger, champion)),
        lower=lower,
        upper=upper,
        margin=allowed,
        confidence=confidence,
        resamples=len(gains),
        rows=len(contest.y),
        not_worse=lower >= -allowed,
    )


def default_margin(metric: str, champion: float) -> float:
    """How much worse a challenger may be where the spec does not say, in units of the metric."""
    return MARGIN if METRICS[metric].greater_is_better else MARGIN * abs(champion)
