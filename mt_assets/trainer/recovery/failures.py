"""What a person is told about a failure: its cause, and what can be done."""

from collections.abc import Sequence
from typing import Final

from mt_assets.result import ErrorReport
from mt_assets.trainer.errors import DataError, SpecError, TrainerError
from mt_assets.trainer.recovery.causes import CAUSES, EXIT_CODES, INTERRUPTED, TERMINATED, Cause, cause_of
from mt_assets.trainer.store.home import home_folder

GO_ON: Final = "Run the same command again: it goes on with what was finished."

UNEXPLAINED: Final = ErrorReport(
    type="Unexplained",
    message="The run ended before it could say why.",
    phase="unknown",
    cause="unexplained",
    suggestions=("Start it again: what was finished is kept. The run's log in the Dagster UI holds more.",),
)


def interrupted(phase: str) -> ErrorReport:
    """Report a run that a person ended."""
    return ErrorReport(
        type="Interrupted", message="The run was interrupted.", phase=phase, cause=INTERRUPTED, suggestions=(GO_ON,)
    )


def terminated(phase: str) -> ErrorReport:
    """Report a run that the system ended (SIGTERM)."""
    return ErrorReport(
        type="Terminated",
        message="The run was told to end (SIGTERM), and ended.",
        phase=phase,
        cause=TERMINATED,
        suggestions=(GO_ON,),
    )


def exit_code(report: ErrorReport) -> int:
    """Return the exit code of the command line for a failure."""
    return EXIT_CODES.get(report.cause, 1)


def failure_report(error: Exception, *, phase: str, remediation: Sequence[str] = ()) -> ErrorReport:
    """Say what stopped a phase.

    Parameters
    ----------
    error : Exception
    phase : str
    remediation : sequence of str
        What was tried against it, besides what the error itself says.
    """
    kind, found = type(error).__name__, cause_of(error)
    if isinstance(error, TrainerError):
        # What a person has to mend is told by the error itself, whatever it was raised from.
        own = error.cause != type(error).cause or isinstance(error, SpecError | DataError) or found is None
        return ErrorReport(
            type=kind,
            message=error.message,
            phase=phase,
            cause=error.cause if own or found is None else found.name,
            suggestions=error.suggestions or (_suggestions(found, error) if found else ()),
            remediation=(*error.remediation, *remediation),
        )
    if found is not None:
        return ErrorReport(
            type=kind,
            message=f"{found.message}: {_one_line(error)}.",
            phase=phase,
            cause=found.name,
            suggestions=_suggestions(found, error),
            remediation=tuple(remediation),
        )
    return ErrorReport(
        type=kind,
        message=f"Unexpected {kind} in {phase}: {error}",
        phase=phase,
        cause="defect",
        suggestions=("This is a defect of mt_assets; the run's log holds the trace to report.",),
        remediation=tuple(remediation),
    )


def _one_line(error: Exception) -> str:
    """Its message without the statement that SQLAlchemy prints after it."""
    lines = str(error).strip().splitlines()
    return (lines[0].rstrip(".") if lines else "") or type(error).__name__


def suggestions_for(cause: str) -> tuple[str, ...]:
    """What can be done about a cause by its name, where nothing more is known; none where it is not in the table."""
    found = next((each for each in CAUSES if each.name == cause), None)
    return _suggestions(found, None) if found else ()


def _suggestions(cause: Cause, error: BaseException | None) -> tuple[str, ...]:
    home = home_folder()
    path = getattr(error, "filename", None) or home
    module = str(getattr(error, "name", None) or "the package that the message names").partition(".")[0]
    return tuple(text.format(home=home, path=path, module=module) for text in cause.suggestions)
