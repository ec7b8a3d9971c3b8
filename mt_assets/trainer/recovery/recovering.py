"""What is done by itself when a phase fails: one table of remedies by cause, and the loop that applies them.

What belongs here: remedies that hold for every phase. What does not: those that know what is read or fitted, which act
before a phase fails: more iterations and a stronger penalty (`algorithms.convergence`), a gentler learning rate
(`algorithms.neural_network`), less memory (`search.memory`), a fit tried once more alone (`search.study`), fewer rows
(`data.sampling`).
"""

from __future__ import annotations

import gc
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, TypeVar

from mt_assets.trainer.memory import give_back
from mt_assets.trainer.recovery.causes import DATA_CHANGED, OUT_OF_MEMORY, STUDY_STORAGE, cause_of
from mt_assets.trainer.recovery.failures import failure_report

T = TypeVar("T")


@dataclass(frozen=True)
class Remedy:
    """What is done against a cause, once for each of its waits.

    Attributes
    ----------
    told : str
        What was done, for the report.
    waits : tuple of float
        Seconds before each further try.
    frees : bool
        Whether the memory that the run holds is given back first.
    """

    told: str
    waits: tuple[float, ...]
    frees: bool = False


REMEDIES: Final = {
    OUT_OF_MEMORY: Remedy("What the run held in memory was given back, and it was tried again.", (0.0,), frees=True),
    DATA_CHANGED: Remedy("The data was read again once it had been left alone for a while.", (3.0, 6.0)),
    "database_locked": Remedy("It was tried again a little later.", (1.0, 5.0)),
    STUDY_STORAGE: Remedy("It was tried again a little later.", (1.0, 5.0)),
}
"""A file settles in two seconds (`observing.SETTLED_S`); who holds a database seldom does so for longer than some."""


class RemediedError(Exception):
    """A phase failed for good after remedies; the failure is its cause, and this what was tried."""

    def __init__(self, tried: tuple[str, ...]) -> None:
        super().__init__("; ".join(tried))
        self.tried = tried


def recovering(
    work: Callable[[], T], *, forget: Callable[[], None], left: Callable[[], float], tell: Callable[[str], None]
) -> tuple[T, tuple[str, ...]]:
    """Do the work of a phase, as often as its remedies say.

    Parameters
    ----------
    work : callable
        May be done again: what it finished before is found again.
    forget : callable
        Lets go of the values that the run holds.
    left : callable
        Seconds that the time budget has left.
    tell : callable
        Told in one sentence of each remedy, when it is applied.

    Returns
    -------
    value : T
    tried : tuple of str
        What was tried until it could be done.

    Raises
    ------
    RemediedError
        From the last failure, where a remedy was tried in vain.
    Exception
        The failure itself, where there is no remedy for it.
    """
    tried: list[str] = []
    counts: dict[str, int] = {}
    while True:
        try:
            return work(), tuple(tried)
        except Exception as error:
            cause = failure_report(error, phase="").cause
            remedy, count = REMEDIES.get(cause), counts.get(cause, 0)
            if remedy is None or count == len(remedy.waits) or remedy.waits[count] >= left():
                if tried:
                    raise RemediedError(tuple(dict.fromkeys(tried))) from error
                raise
            told = f"{_first_line(error)} {remedy.told}"
            traceback.clear_frames(error.__traceback__)  # they hold what the phase had in memory
        counts[cause] = count + 1
        tried.append(told)
        tell(told)
        if remedy.frees:
            forget()
            free_everything()
        time.sleep(remedy.waits[count])


def free_everything() -> None:
    """Give back what this process and its workers hold."""
    from mt_assets.trainer.search.workers import end_host

    end_host()
    gc.collect()
    give_back()


def _first_line(error: Exception) -> str:
    found = cause_of(error)
    text = str(error).strip().partition("\n")[0]
    return f"{found.message}: {text.rstrip('.')}." if found else f"{text.rstrip('.')}."
