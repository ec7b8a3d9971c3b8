"""Every known cause of a failure: how it is recognised, whose fault it is, and what helps.

One table. Errors are recognised by the names of their classes, by the number of the operating system, or by words of
their message, since half of them come from libraries that must not be imported for it. An error that no row matches is
a defect of ours, and is reported as that. What is done by itself about a cause stands in `recovering`.
"""

import errno
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

SPEC_OR_DATA: Final = "spec_or_data"
"""Cause of what the person has to mend in spec or data."""

INTERRUPTED: Final = "interrupted"
"""Cause of a run that a person ended."""

TERMINATED: Final = "terminated"
"""Cause of a run that the system ended, as it does before a machine goes away."""

OUT_OF_MEMORY: Final = "out_of_memory"

DATA_CHANGED: Final = "data_changed"

ALL_FAILED: Final = "all_candidates_failed"

INCOMPATIBLE: Final = "incompatible_version"

STUDY_STORAGE: Final = "study_storage"

EXIT_CODES: Final = {SPEC_OR_DATA: 2, DATA_CHANGED: 2, INTERRUPTED: 130, TERMINATED: 143}
"""Exit code of the command line for a cause; 1 for every other. The last two are what shells know signals 2 and 15
by."""


@dataclass(frozen=True)
class Cause:
    """A known cause. An error matches that has one of the numbers, one of the kinds or one of the words.

    Attributes
    ----------
    name : str
    message : str
        What a person is told before the error's own words.
    suggestions : tuple of str
        Each can be pasted. `{home}` is the folder of all state, `{path}` and `{module}` what the error names.
    kinds : tuple of str
        Names of classes, of the error or a base of it; what the search calls the end of a trial counts as one.
    words : tuple of str
        In small letters.
    numbers : tuple of int
        Of the operating system, see `errno`.
    of_machine : bool
        Whether every candidate would fail by it as well: no trial is to blame, so none is judged.
    """

    name: str
    message: str
    suggestions: tuple[str, ...]
    kinds: tuple[str, ...] = ()
    words: tuple[str, ...] = ()
    numbers: tuple[int, ...] = ()
    of_machine: bool = False

    def matches(self, kinds: set[str], text: str, number: int | None) -> bool:
        return number in self.numbers or not kinds.isdisjoint(self.kinds) or any(word in text for word in self.words)


CAUSES: Final = (
    Cause(
        "disk_full",
        "The disk is full",
        (
            "See what takes the room: df -h {home}; du -sh {home}/*",
            "Free some, or go on elsewhere: cp -r {home} /larger/disk && export MT_ASSETS_HOME=/larger/disk",
            "Then run the same command again: finished work is kept.",
        ),
        numbers=(errno.ENOSPC, errno.EDQUOT, errno.EFBIG),
        words=("no space left", "disk is full", "quota exceeded", "file too large"),
        of_machine=True,
    ),
    Cause(
        "permission_denied",
        "A file may not be read or written",
        (
            "See whose it is: ls -ld {path}",
            "Give the user that runs this the right to it: chmod -R u+rwX {home}, or chown -R $USER {home}",
        ),
        kinds=("PermissionError",),
        numbers=(errno.EACCES, errno.EPERM, errno.EROFS),
        of_machine=True,
    ),
    Cause(
        "disk_error",
        "The disk does not answer as it should",
        ("Look at the machine's log: dmesg | tail", "Go on elsewhere: export MT_ASSETS_HOME=/another/disk"),
        numbers=(errno.EIO, errno.ESTALE),
        of_machine=True,
    ),
    Cause(
        "too_many_files",
        "This process may not open more files",
        ("Allow more: ulimit -n 4096, and run the same command again.",),
        numbers=(errno.EMFILE, errno.ENFILE),
        of_machine=True,
    ),
    Cause(
        OUT_OF_MEMORY,
        "The machine ran out of memory",
        (
            "Fit one candidate at a time: `hyperparameterSearch: {{workers: 1}}`.",
            "Name a lighter algorithm: `algorithm: lightgbm`.",
            "List fewer `features`, or say how much may be taken: `options: {{memoryLimit: 4}}` (gigabytes).",
        ),
        kinds=("MemoryError", "ArrowMemoryError", "OutOfMemoryException", "NoRoom"),
        numbers=(errno.ENOMEM,),
        words=(
            "bad_alloc",
            "bad allocation",
            "unable to allocate",
            "cannot allocate memory",
            "memory runs out",
            "failed to map segment",
        ),
    ),
    Cause(
        "worker_lost",
        "The process that fitted it ended",
        ("Leave that algorithm out: name the others in `algorithm`.", "Run the same command again."),
        kinds=("WorkerLost",),
    ),
    Cause("time_is_up", "Its time was up", ("Give it more: `options: {{timeBudget: 600}}`.",), kinds=("TimeIsUp",)),
    Cause(
        INCOMPATIBLE,
        "What is stored or installed is of another version",
        (
            "Install the versions that belong together: pip install -c constraints.txt mt-assets",
            "Or train again with those that are installed: mt-assets train SPEC",
        ),
        kinds=("InconsistentVersionWarning", "VersionConflict"),
        words=("binary incompatibility", "unsupported pickle protocol", "can't get attribute", "compiled using numpy"),
    ),
    Cause(
        "missing_module",
        "A package is not installed",
        ("pip install {module}", "Use the environment that runs Dagster; then run the same command again."),
        kinds=("ModuleNotFoundError",),
    ),
    Cause(
        "database_locked",
        "Another program holds a database",
        (
            "See who has it open: fuser -v {home}/*.db {home}/dagster/history/*.db",
            "End that program, or wait for it; then run the same command again: finished work is kept.",
        ),
        words=("database is locked", "database table is locked"),
        of_machine=True,
    ),
    Cause(
        "damaged_database",
        "A database is damaged",
        (
            "Put Dagster's history aside, which holds no model: mv {home}/dagster {home}/dagster.damaged",
            "Then run the same command again: models, tables and finished fits lie elsewhere.",
        ),
        words=("database disk image is malformed", "file is not a database", "disk i/o error"),
        of_machine=True,
    ),
    Cause(
        STUDY_STORAGE,
        "The study storage does not answer",
        (
            "Run the same command again when it does: finished fits are kept.",
            "Keep studies in a file beside the other state: unset MT_ASSETS_STUDY_STORAGE",
        ),
        kinds=("StorageInternalError", "OperationalError", "InterfaceError", "DBAPIError"),
        of_machine=True,
    ),
    Cause(
        "no_convergence",
        "A fit did not converge",
        (
            "Name an algorithm that needs no convergence: `algorithm: lightgbm`.",
            "Bound what is tried: `hyperparameterSearch.searchSpace`, with stronger regularization.",
        ),
        kinds=("ConvergenceWarning", "ConvergenceError", "LinAlgError"),
        words=("not converge", "failed to converge"),
    ),
    Cause(
        "not_finite",
        "Numbers are not finite, or too large to compute with",
        (
            "See which columns hold them: mt-assets plan SPEC",
            "Bring the column to another unit, or learn its logarithm: `hyperparameterSearch: {{searchSpace: "
            "{{lightgbm: {{log_target: true}}}}}}`.",
            "Leave it out: `featureTypes: {{COLUMN: drop}}`.",
        ),
        kinds=("FloatingPointError", "OverflowError"),
        words=(
            "contains nan",
            "contains inf",
            "infinity",
            "`inf`",
            "too large for dtype",
            "not finite",
            "non-finite",
            "invalid float value",
        ),
    ),
)


def cause_of(error: BaseException) -> Cause | None:
    """The first row that matches the error, or else what it was raised from, and so on."""
    for each in _chain(error):
        kinds = {kind.__name__ for kind in type(each).__mro__}
        number = each.errno if isinstance(each, OSError) else None
        text = str(each).lower()
        for cause in CAUSES:
            if cause.matches(kinds, text, number):
                return cause
    return None


def cause_of_text(told: str) -> Cause | None:
    """The first row that matches an error of which only words are left, as in `ValueError: too large`, or a note."""
    kind = told.partition(":")[0].strip()
    return next((cause for cause in CAUSES if cause.matches({kind}, told.lower(), None)), None)


def _chain(error: BaseException) -> Iterator[BaseException]:
    seen: set[int] = set()
    each: BaseException | None = error
    while each is not None and id(each) not in seen:
        yield each
        seen.add(id(each))
        each = each.__cause__ or (None if each.__suppress_context__ else each.__context__)
