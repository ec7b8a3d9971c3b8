"""A reason to train a model again."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Trigger:
    """Why a model is to be trained again.

    Attributes
    ----------
    kind : str
        What speaks: `feedback`, say.
    reason : str
        One sentence.
    identity : str
        The same for the same cause, so that one cause leads to one training.
    """

    kind: str
    reason: str
    identity: str
