"""One automatic choice, written down."""

from typing import Any

from mt_assets.trainer.store.record import Record


class Decision(Record):
    """What was decided, by which rule, on what evidence, and how a person would decide otherwise.

    Attributes
    ----------
    decision : str
        What the choice is about, for example `algorithm`.
    value : Any
        What was chosen; JSON-serialisable.
    rule : str
        Id of the rule in its table, for example `algorithm.classification.small`.
    reason : str
        One sentence.
    evidence : dict
        The facts that made the rule apply, for example `{"rows": 5634}`.
    override : str
        The spec key that would change it, for example `algorithm`.
    """

    decision: str
    value: Any
    rule: str
    reason: str
    evidence: dict[str, Any] = {}
    override: str
