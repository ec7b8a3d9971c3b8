"""The errors a person is meant to read.

Everything that can go wrong through the person's own spec or data is one of these; whatever else escapes is a defect
of this package and is reported as such. The exit code of the command line stands on the class.
"""

from collections.abc import Sequence
from typing import ClassVar

LONGEST_MESSAGE = 4000
"""Characters of a message; of what names of columns or values of any length would make longer, the middle goes."""


class TrainerError(Exception):
    """What happened, on what, and what to do.

    Parameters
    ----------
    message : str
        One paragraph that names the field or column and the value.
    suggestions : sequence of str
        What the person can do, most likely remedy first; each can be acted on as it stands.
    remediation : sequence of str
        What was already tried automatically.
    cause : str, optional
        Name of the root cause in `recovery.causes`, where it is another than that of the class.
    """

    exit_code: ClassVar[int] = 1
    cause: str = "training"

    def __init__(
        self, message: str, *, suggestions: Sequence[str] = (), remediation: Sequence[str] = (), cause: str = ""
    ) -> None:
        if len(message) > LONGEST_MESSAGE:
            message = f"{message[: LONGEST_MESSAGE // 2]} … {message[-LONGEST_MESSAGE // 2 :]}"
        super().__init__(message)
        self.cause = cause or self.cause
        self.message = message
        self.suggestions = tuple(suggestions)
        self.remediation = tuple(remediation)


class SpecError(TrainerError):
    """The training spec asks for something that does not exist or cannot be."""

    exit_code = 2
    cause = "spec_or_data"


class DataError(TrainerError):
    """The data cannot be read, or cannot be learned from as the spec asks."""

    exit_code = 2
    cause = "spec_or_data"


class UnsettledError(DataError):
    """The data changed while it was read, or is still being written; a moment later it can be read."""

    cause = "data_changed"


class TrainingError(TrainerError):
    """Training could not be completed."""


class StoreError(TrainerError):
    """Stored state is missing, damaged or from another version of its inputs."""

    cause = "damaged_state"
