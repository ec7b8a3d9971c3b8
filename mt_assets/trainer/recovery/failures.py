"""What a person is told about a failure: its cause, and what can be done.

The causes are a table: an exception that no row matches is a defect of ours, and is reported as that.
"""

import errno
from collections.abc import Callable
from dataclasses import dataclass

from mt_assets.result import ErrorReport
from mt_assets.trainer.errors import TrainerError


@dataclass(frozen=True)
class Cause:
    """A known cause: how it is recognised, what it is called, and what helps."""

    name: str
    matches: Callable[[Exception], bool]
    message: str
    suggestions: tuple[str, ...]


CAUSES = (
    Cause(
        "out_of_memory",
        lambda error: isinstance(error, MemoryError),
        "The machine ran out of memory",
        ("List fewer `features` in the spec.", "Name one lighter `algorithm`, for example lightgbm."),
    ),
    Cause(
        "missing_module",
        lambda error: isinstance(error, ModuleNotFoundError),
        "A package is not installed",
        ("Install it as the message names it, in the environment that runs Dagster.",),
    ),
    Cause(
        "disk_full",
        lambda error: isinstance(error, OSError) and error.errno == errno.ENOSPC,
        "The disk is full",
        ("Free space below MT_ASSETS_HOME, or set MT_ASSETS_HOME to a larger disk. Finished work is kept.",),
    ),
    Cause(
        "permission_denied",
        lambda error: isinstance(error, PermissionError),
        "A file may not be read or written",
        ("Give the user that runs Dagster the right to the path in the message.",),
    ),
)


SPEC_OR_DATA = "spec_or_data"
"""Cause of what the person has to mend in spec or data."""

INTERRUPTED = "interrupted"
"""Cause of a run that a person ended."""

EXIT_CODES = {SPEC_OR_DATA: 2, INTERRUPTED: 130}
"""Exit code of the command line for a cause; 1 for every other. 130 is what shells know Ctrl-C by."""

UNEXPLAINED = ErrorReport(
    type="Unexplained",
    message="The run ended before it could say why.",
    phase="unknown",
    cause="unexplained",
    suggestions=("Start it again: what was finished is kept. The run's log in the Dagster UI holds more.",),
)


def interrupted(phase: str) -> ErrorReport:
    """Report a run that a person ended."""
    return ErrorReport(
        type="Interrupted",
        message="The run was interrupted.",
        phase=phase,
        cause=INTERRUPTED,
        suggestions=("Run the same command again: it goes on with what was finished.",),
    )


def exit_code(report: ErrorReport) -> int:
    """Return the exit code of the command line for a failure."""
    return EXIT_CODES.get(report.cause, 1)


def failure_report(error: Exception, *, phase: str) -> ErrorReport:
    """Say what stopped a phase."""
    kind = type(error).__name__
    if isinstance(error, TrainerError):
        return ErrorReport(
            type=kind,
            message=error.message,
            phase=phase,
            cause=SPEC_OR_DATA if error.exit_code == 2 else "training",
            suggestions=error.suggestions,
            remediation=error.remediation,
        )
    for cause in CAUSES:
        if cause.matches(error):
            message = f"{cause.message}: {error or kind}."
            return ErrorReport(type=kind, message=message, phase=phase, cause=cause.name, suggestions=cause.suggestions)
    return ErrorReport(
        type=kind,
        message=f"Unexpected {kind} in {phase}: {error}",
        phase=phase,
        cause="defect",
        suggestions=("This is a defect of mt_assets; the run's log holds the trace to report.",),
    )
