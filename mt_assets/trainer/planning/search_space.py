"""The space in which an algorithm is searched: its own, as far as `hyperparameterSearch.searchSpace` says nothing else.

What belongs here: which parameters and values a spec may name, and where its start configurations go. What does not:
the forms of a range (`mt_assets.spec_ranges`), and how a space is searched (`trainer.search`).
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from typing import Any

from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution

from mt_assets.spec_ranges import ParameterRange, is_number
from mt_assets.spec_values import shown
from mt_assets.trainer.algorithms.algorithm import Algorithm, FitSetting, Params
from mt_assets.trainer.algorithms.pipeline import LOG_TARGET, pipeline_space
from mt_assets.trainer.errors import SpecError
from mt_assets.trainer.forecasting.forecaster import Forecaster, ForecastSetting

KEY = "hyperparameterSearch.searchSpace"


def search_space(
    learner: Algorithm, setting: FitSetting, asked: Mapping[str, Any]
) -> tuple[dict[str, BaseDistribution], tuple[Params, ...]]:
    """Space and start configurations of an algorithm.

    Parameters
    ----------
    learner : Algorithm
    setting : FitSetting
    asked : mapping of parameter to range
        In the forms of the spec; parameters that it does not name keep the algorithm's own range.

    Returns
    -------
    space : dict
    starts : tuple of dict
        Moved into the space: numbers to the nearest value, other choices to the first. Each stands there once.

    Raises
    ------
    SpecError
        A parameter that the algorithm does not have, or values that it cannot take.
    """
    around = pipeline_space(learner, setting)
    starts = _around(learner.starts(setting), tuple(around))
    return configured(learner.name, {**learner.space(setting), **around}, starts, asked)


def forecaster_space(
    learner: Forecaster, setting: ForecastSetting, asked: Mapping[str, Any]
) -> tuple[dict[str, BaseDistribution], tuple[Params, ...]]:
    """The same of a forecaster."""
    return configured(learner.name, learner.space(setting), learner.starts(setting), asked)


def configured(
    algorithm: str, own: Mapping[str, BaseDistribution], starts: Sequence[Params], asked: Mapping[str, Any]
) -> tuple[dict[str, BaseDistribution], tuple[Params, ...]]:
    """Space and start configurations of an algorithm, with what the spec asks in place of its own."""
    space = dict(own)
    for name, value in asked.items():
        if name not in space:
            raise _unknown(algorithm, name, tuple(space))
        try:
            space[name] = _replaced(space[name], ParameterRange.parse(value))
        except ValueError as error:
            raise SpecError(f"`{KEY}.{algorithm}.{name}` {error}.") from None
    into: list[Params] = []
    for full in starts:
        moved = {name: _moved(value, space[name]) if name in asked else value for name, value in full.items()}
        if moved not in into:
            into.append(moved)
    return space, tuple(into)


def _around(starts: tuple[Params, ...], names: tuple[str, ...]) -> list[Params]:
    """Start configurations with the parameters of the pipeline that are offered.

    The first is tried on the target and on its logarithm, the others on one of the two in turn: which is better hangs
    on the data and on the algorithm (LightGBM on 3 folds, RMSE: `diamonds` 549 and 538, `ames` 22,526 and 22,845).
    """
    plain: Params = dict.fromkeys(names, False)
    full = [{**plain, **start} for start in starts]
    if LOG_TARGET not in names:
        return full
    return [*full[:1], *({**start, LOG_TARGET: at % 2 == 0} for at, start in enumerate(full))]


def _unknown(algorithm: str, name: str, known: tuple[str, ...]) -> SpecError:
    near = difflib.get_close_matches(name, known, n=1)
    hint = f" Did you mean {near[0]!r}?" if near else ""
    there_are = f"it searches {', '.join(known)}" if known else "it searches none"
    return SpecError(
        f"`{KEY}.{algorithm}.{name}` names no parameter of {algorithm} on this data; {there_are}.{hint}",
        suggestions=(f"Take `{name}` out, or name another parameter.",),
    )


def _replaced(own: BaseDistribution, asked: ParameterRange) -> BaseDistribution:
    """The distribution that takes the place of the algorithm's own.

    Raises
    ------
    ValueError
        With what is wrong, as the end of a sentence.
    """
    if asked.choices:
        return CategoricalDistribution([_choice(own, value) for value in asked.choices])
    if not isinstance(own, IntDistribution | FloatDistribution):
        raise ValueError(f'is no number; write {{"choices": [...]}} with some of {_listed(own)}')
    low, high = _choice(own, asked.low), _choice(own, asked.high)
    log = own.log and asked.step is None if asked.log is None else asked.log
    if log and low <= 0:
        raise ValueError(f'begins at {low}, but is searched on its logarithm; begin above 0, or add "log": false')
    step = asked.step
    if step is None and not log and own.step is not None and (high - low) % own.step == 0:
        step = own.step
    if isinstance(own, FloatDistribution):
        return FloatDistribution(low, high, log=log, step=step)
    return IntDistribution(low, high, log=log, step=1 if step is None else _choice(own, step))


def _choice(own: BaseDistribution, value: Any) -> Any:
    """The value in the parameter's own type."""
    if isinstance(own, IntDistribution | FloatDistribution):
        if not is_number(value):
            raise ValueError(f"takes numbers, not {shown(value)}")
        if own.low >= 0 and (value < 0 or (own.low > 0 and value == 0)):
            raise ValueError(f"cannot be {value}; it is {'above' if own.low > 0 else 'not below'} 0")
        if isinstance(own, FloatDistribution):
            return float(value)
        if value != int(value):
            raise ValueError(f"takes whole numbers, not {value}")
        return int(value)
    assert isinstance(own, CategoricalDistribution)
    if any(type(each) is type(value) and each == value for each in own.choices):
        return value
    if is_number(value) and any(map(is_number, own.choices)):
        return value
    raise ValueError(f"cannot be {shown(value)}; its choices are {_listed(own)}")


def _listed(own: BaseDistribution) -> str:
    return ", ".join(map(shown, own.choices)) if isinstance(own, CategoricalDistribution) else str(own)


def _moved(value: Any, into: BaseDistribution) -> Any:
    """The nearest value of a distribution."""
    if isinstance(into, CategoricalDistribution):
        same = [each for each in into.choices if type(each) is type(value) and each == value]
        numbers = [each for each in into.choices if is_number(each)]
        if same:
            return same[0]
        return min(numbers, key=lambda each: abs(each - value)) if numbers and is_number(value) else into.choices[0]
    assert isinstance(into, IntDistribution | FloatDistribution)
    inside = min(max(value, into.low), into.high)
    if into.step is not None:
        inside = min(into.low + round((inside - into.low) / into.step) * into.step, into.high)
    return int(inside) if isinstance(into, IntDistribution) else float(inside)
