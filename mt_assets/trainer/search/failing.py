"""What becomes of a fit that failed: whether it is tried again, whom it is held against, and how it is told."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from mt_assets.trainer.algorithms.registry import algorithm
from mt_assets.trainer.errors import TrainingError
from mt_assets.trainer.recovery.causes import ALL_FAILED, OUT_OF_MEMORY, cause_of_text
from mt_assets.trainer.recovery.failures import suggestions_for
from mt_assets.trainer.search.candidate import FoldResult
from mt_assets.trainer.search.result import TrialRecord
from mt_assets.trainer.search.tasks import Failure
from mt_assets.trainer.search.workers import Lost

EXPECTED = "TimeIsUp"
"""What the error of a trial begins with that is no news: its share of the time was up."""

LONGEST = 200
"""Characters of an error that are told of a trial."""


def may_succeed_alone(answer: FoldResult | Failure | Lost) -> bool:
    """Whether a fit is worth a second try, with no other beside it: its process died, or found no memory."""
    if isinstance(answer, Lost):
        return not answer.late
    return isinstance(answer, Failure) and answer.cause == OUT_OF_MEMORY


def stopped(failure: Failure) -> TrainingError:
    """The error of a search that the machine stopped; no trial is to blame."""
    found = cause_of_text(failure.error)
    return TrainingError(
        f"{found.message if found else 'A fit failed'} ({failure.error[:LONGEST]}), which no candidate is to blame for;"
        " the search stopped, and what was finished is kept.",
        suggestions=suggestions_for(failure.cause),
        cause=failure.cause,
    )


def failures_told(records: Sequence[TrialRecord]) -> tuple[str, ...]:
    """One sentence for each algorithm of which trials failed: how many, and why most of them did."""
    told = []
    for name in dict.fromkeys(record.algorithm for record in records):
        tried = [record for record in records if record.algorithm == name]
        errors = [record.error for record in tried if record.error and not record.error.startswith(EXPECTED)]
        if errors:
            [(error, times)] = Counter(errors).most_common(1)
            why = error[:LONGEST].rstrip(".")
            how_many = f"{len(errors)} of {len(tried)} trials of {algorithm(name).display} failed"
            told.append(f"{how_many}: {why}." if times == len(errors) else f"{how_many}, {times} of them with {why}.")
    return tuple(told)


def all_failed(records: Sequence[TrialRecord]) -> TrainingError:
    """The error of a search in which no trial is complete; its cause is theirs, where they have one in common."""
    (told, times), *_ = Counter(str(record.error) for record in records).most_common(1)
    causes = {found.name if (found := cause_of_text(str(record.error))) else "" for record in records}
    common = causes.pop() if len(causes) == 1 else ""
    names = ", ".join(dict.fromkeys(record.algorithm for record in records))
    return TrainingError(
        f"All {len(records)} trials of {names} failed, {times} of them with {told}.",
        suggestions=(
            *suggestions_for(common),
            "Let other algorithms compete: `algorithm: auto`.",
            "Look at the columns that the message names: mt-assets plan SPEC",
        ),
        cause=common or ALL_FAILED,
    )
