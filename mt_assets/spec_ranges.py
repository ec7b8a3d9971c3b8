"""What a spec may say about the range of a hyperparameter: the forms of `hyperparameterSearch.searchSpace`.

What belongs here: reading one range, whatever parameter it is for. What does not: which parameters there are and which
values they can take (`trainer.planning.search_space`). Nothing heavy is imported, because every spec is read by it.
"""

import math
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from mt_assets.spec_values import shown

FORMS = (
    'a range is [low, high], {"low": 0.01, "high": 0.3, "log": true} or {"low": 10, "high": 50, "step": 10}, '
    '{"choices": [...]}, or a single value'
)


@dataclass(frozen=True)
class ParameterRange:
    """The values that a hyperparameter may take: choices, or all from low to high.

    Attributes
    ----------
    choices : tuple
        Texts, numbers, booleans or None; one for a constant, empty for a range of numbers.
    low, high : int or float
        Both ends belong to the range.
    log : bool or None
        Whether the search works on the logarithm; None leaves it as the algorithm has it.
    step : int, float or None
    """

    choices: tuple[Any, ...] = ()
    low: float = 0
    high: float = 0
    log: bool | None = None
    step: float | None = None

    @classmethod
    def parse(cls, value: Any) -> "ParameterRange":
        """Read any of the forms.

        Raises
        ------
        ValueError
            With what is wrong, as the end of a sentence that begins with the parameter.
        """
        if isinstance(value, ParameterRange):
            return value
        if isinstance(value, Mapping):
            return cls._of_mapping(value)
        if isinstance(value, list | tuple):
            if len(value) != 2 or not all(map(is_number, value)):
                raise ValueError(f'is {shown(list(value))}; two numbers are a range, other lists are {{"choices": …}}')
            return cls._of_bounds({"low": value[0], "high": value[1]})
        if not _is_choice(value):
            raise ValueError(f"is {shown(value)}; {FORMS}")
        return cls(choices=(value,))

    @classmethod
    def _of_mapping(cls, value: Mapping[str, Any]) -> "ParameterRange":
        if set(value) == {"choices"}:
            choices = value["choices"]
            if not isinstance(choices, list | tuple) or not choices or not all(map(_is_choice, choices)):
                raise ValueError(f"has the choices {shown(choices)}; a list of texts, numbers or booleans is needed")
            if len({(type(each), each) for each in choices}) < len(choices):
                raise ValueError(f"lists a choice more than once: {shown(list(choices))}")
            return cls(choices=tuple(choices))
        if not {"low", "high"} <= set(value) <= {"low", "high", "log", "step"}:
            raise ValueError(f"has the keys {', '.join(map(shown, value))}; {FORMS}")
        return cls._of_bounds(value)

    @classmethod
    def _of_bounds(cls, value: Mapping[str, Any]) -> "ParameterRange":
        low, high, log, step = (value.get(key) for key in ("low", "high", "log", "step"))
        for key, number in (("low", low), ("high", high)) + ((("step", step),) if "step" in value else ()):
            if not is_number(number):
                raise ValueError(f"has {key} {shown(number)}; a finite number is needed")
        assert low is not None and high is not None
        if low > high:
            raise ValueError(f"runs from {low} to {high}; low must not be above high")
        if "log" in value and not isinstance(log, bool):
            raise ValueError(f"has log {shown(log)}; it is true or false")
        if log and low <= 0:
            raise ValueError(f"begins at {low}; a logarithmic range lies above 0")
        if step is not None:
            if log:
                raise ValueError("has log and step; a logarithmic range has no steps: keep one of the two")
            if step <= 0 or not math.isclose((high - low) / step, round((high - low) / step), abs_tol=1e-9):
                raise ValueError(f"does not reach {high} from {low} in steps of {step}; choose low, high and step so")
        return cls(low=low, high=high, log=log, step=step)


def is_number(value: Any) -> bool:
    """Whether a value is a finite number; true and false are none."""
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= sys.float_info.max


def _is_choice(value: Any) -> bool:
    return value is None or isinstance(value, str | bool) or is_number(value)
