"""The verdict of one check, before any orchestrator sees it."""

from typing import Any

from mt_assets.trainer.store.record import Record


class Check(Record):
    """Whether one promise held, and the evidence.

    Attributes
    ----------
    name : str
        The check's fixed name, as in the asset graph.
    passed : bool
    blocking : bool
        A failed blocking check stops everything downstream.
    message : str
        One sentence for a person: what was found, on which columns or rows.
    evidence : dict
        JSON-serialisable figures behind the verdict. A list of dicts is shown as a table.
    """

    name: str
    passed: bool
    blocking: bool = False
    message: str
    evidence: dict[str, Any] = {}
