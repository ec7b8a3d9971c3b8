"""What a search on new data begins with: the champion's configuration, and the best ones of the last study.

What belongs here: which configurations those are, and that they stay the same for every search on the same data. What
does not: where they stand among the other start configurations (`space`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any, ClassVar, Final

from mt_assets.trainer.planning.decision import Decision
from mt_assets.trainer.search.result import BestParams, StudyResult
from mt_assets.trainer.search.selection import ranked
from mt_assets.trainer.store.model_store import ModelVersion, RunStore
from mt_assets.trainer.store.record import Record

MOST, MOST_OF_ONE = 8, 3
"""Configurations in all, and of one algorithm: enough for the members of an ensemble, few enough to leave the search
what the new rows have changed."""

KEPT: Final = "warm_start"
"""Name under which the store keeps what the present data was begun with."""


class WarmStart(Record):
    """Configurations that earlier data found best.

    Attributes
    ----------
    data : str
        Address of the table that they are handed to.
    champion, version : int or None
        Versions whose configurations they are: that of the champion, and of the last training on other data.
    starts : tuple of (str, dict)
        Algorithm and searched parameters, the champion's first.
    """

    filename: ClassVar[str] = "warm_start.json"

    data: str
    champion: int | None = None
    version: int | None = None
    starts: tuple[tuple[str, dict[str, Any]], ...] = ()

    @property
    def decisions(self) -> tuple[Decision, ...]:
        """What is told of it; nothing where there is nothing to begin with."""
        if not self.starts:
            return ()
        sources = [f"champion {self.champion}"] if self.champion else []
        sources += [f"version {self.version}"] if self.version and self.version != self.champion else []
        return (
            Decision(
                decision="warm_start",
                value=len(self.starts),
                rule="warm_start.earlier_data",
                reason=f"On earlier data these configurations of {' and '.join(sources)} were best; they are tried"
                " first.",
                evidence={"champion": self.champion, "version": self.version},
                override="retraining.warmStart",
            ),
        )


def warm_start(run: RunStore) -> WarmStart:
    """Choose what the search of this run begins with.

    Versions that were trained on the same table say nothing here: their study itself goes on. The choice is made once
    for a table and kept, so that a search that was killed, or is given more trials later, begins with the same.
    """
    data = run.pin("raw_data").address
    before = run.kept(KEPT)
    if isinstance(before, WarmStart) and before.data == data:
        return before
    kept = [each for each in run.store.versions() if not each.collected]
    earlier = [each for each in kept if each.addresses["raw_data"] != data]
    crowned = run.store.champion()
    champion = next((each for each in earlier if crowned and each.number == crowned.number), None)
    last = earlier[-1] if earlier else None
    chosen: list[tuple[str, dict[str, Any]]] = []
    of_each: Counter[str] = Counter()
    for algorithm, params in _configurations(run, champion, last):
        if (algorithm, params) in chosen or of_each[algorithm] >= MOST_OF_ONE or len(chosen) >= MOST:
            continue
        of_each[algorithm] += 1
        chosen.append((algorithm, params))
    found = WarmStart(
        data=data,
        champion=champion.number if champion else None,
        version=last.number if last else None,
        starts=tuple(chosen),
    )
    run.keep(KEPT, found)
    return found


def _configurations(
    run: RunStore, champion: ModelVersion | None, last: ModelVersion | None
) -> Iterator[tuple[str, dict[str, Any]]]:
    """Those of the champion, those that the last training chose, and the others of its study, the best first."""
    for version in (champion, last):
        if version is None:
            continue
        study, best = (run.store.get(version.addresses[name]) for name in ("optuna_study", "best_params"))
        assert isinstance(study, StudyResult)
        assert isinstance(best, BestParams)
        wanted = [best.trial_number, *(member.trial_number for member in best.ensemble)]
        trials = {trial.number: trial for trial in study.trials}
        yield from ((trials[number].algorithm, trials[number].params) for number in wanted)
        if version is last:
            complete = [trial for trial in study.trials if trial.state == "complete"]
            directions = study.directions or (study.direction,)
            yield from ((trial.algorithm, trial.params) for trial in ranked(complete, directions))
