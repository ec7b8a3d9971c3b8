"""What forecasts stand on: lags, calendar and covariates, where the forecasters have such; nothing is made up."""

from __future__ import annotations

from collections import defaultdict
from functools import partial

from mt_assets.trainer.evaluation.importance import FeatureImportance
from mt_assets.trainer.evaluation.plot_style import both_sizes
from mt_assets.trainer.evaluation.plots import importance_bars
from mt_assets.trainer.model import TrainedModel
from mt_assets.trainer.planning.plan import TrainingPlan


def explain_forecasts(plan: TrainingPlan, trained: TrainedModel) -> FeatureImportance:
    """The importances that the parts of the model have of their own, by their weights in it.

    Covariates stand by the user's column, lags, calendar and components by their own names.
    """
    model = trained.model
    columns = model.preprocessor.names
    shares: dict[str, float] = defaultdict(float)
    silent = []
    for part in model.parts:
        own = part.fitted.importance()
        if own is None:
            silent.append(part.name)
            continue
        for name, share in own.items():
            shares[columns.get(name, name)] += part.weight * share
    total = sum(shares.values())
    order = sorted(shares, key=lambda name: (-shares[name], name))
    ranked = {name: shares[name] / total for name in order}
    note = "The importance is that of the forecasters themselves, by their weight in the model."
    if silent:
        note += f" {', '.join(dict.fromkeys(silent))} forecast from the values of a series alone and have none."
    importance = FeatureImportance(
        permutation=ranked,
        std=dict.fromkeys(ranked, 0.0),
        model=ranked or None,
        metric=plan.metric,
        rows="learning",
        rows_used=len(trained.rows),
        repeats=1,
        note=note
        if ranked
        else f"{', '.join(dict.fromkeys(silent))} forecast from the values of a series alone: "
        "there is no importance of columns to tell.",
    )
    if ranked:
        for name, png in both_sizes("feature_importance", partial(importance_bars, ranked)).items():
            importance.attach(name, png)
    return importance
