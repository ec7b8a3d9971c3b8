"""A reason to train a model again that does not lie in its data."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Trigger:
    """A reason to train again that does not lie in the data.

    Attributes
    ----------
    kind : str
        Such as `feedback`; the rule of the decision is `train.<kind>`.
    reason : str
        One sentence.
    identity : str
        What makes it this trigger and no other; each is handled once.
    """

    kind: str
    reason: str
    identity: str
