"""What is remembered between two looks at the data of a model.

<home>/models/<name>/retraining/
  seen.json         what the last look found, so that the next one reads only what may have changed
  reading.json      the last attempt to make `raw_data`, by whom and of what
  comparison.json   how what was read last differs from what the last training had
  decisions.jsonl   what was decided and why, oldest first; one line where the decision changed
"""

import json
from contextlib import suppress
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from filelock import FileLock

from mt_assets.trainer.retraining.decision import Comparison, RetrainingDecision
from mt_assets.trainer.store.atomic import write_atomic
from mt_assets.trainer.store.model_store import ModelStore, now
from mt_assets.trainer.store.record import Record

if TYPE_CHECKING:
    from mt_assets.spec import TrainingSpec

R = TypeVar("R", bound=Record)

MOST_DECISIONS = 300
"""Lines that are kept of the decisions: of a model that gets data every day, about three months."""

KEPT_SCHEMA = "data_schema"
"""Name under which the store keeps the schema that data is held to."""


class Reading(Record):
    """One attempt to make `raw_data`.

    Attributes
    ----------
    observed : str
        Fingerprint of the sources, see `observing.observed_version`.
    question : str
        What was asked of the data, see `question`.
    run_id : str
    refused : str
        Why the data was refused; empty where it was not, or not yet.
    """

    observed: str
    question: str
    run_id: str
    refused: str = ""


class Compared(Record):
    """A comparison, and of what it is: the same text for the same data, training and question."""

    of: str
    comparison: Comparison


class History:
    """What is remembered of one model.

    Parameters
    ----------
    store : ModelStore
    """

    def __init__(self, store: ModelStore) -> None:
        self._folder = store.folder / "retraining"

    def recall(self, name: str, kind: type[R]) -> R | None:
        """Return what was remembered under a name; None where there is nothing, or another version wrote it."""
        try:
            return kind.model_validate_json((self._folder / f"{name}.json").read_text())
        except (FileNotFoundError, ValueError):
            return None

    def remember(self, name: str, record: Record) -> None:
        """Remember a record under a name, in place of the one before."""
        write_atomic(self._folder / f"{name}.json", record.model_dump_json().encode())

    @property
    def reading(self) -> Reading | None:
        """The last attempt to make `raw_data`."""
        return self.recall("reading", Reading)

    def note_reading(self, reading: Reading) -> None:
        self.remember("reading", reading)

    def decisions(self) -> list[RetrainingDecision]:
        """Return what was decided, oldest first, without lines that are damaged or that another version wrote."""
        known = []
        with suppress(FileNotFoundError):
            for line in self._decided.read_text(errors="replace").splitlines():
                with suppress(ValueError):
                    known.append(RetrainingDecision.model_validate_json(line))
        return known

    def note_decision(self, decision: RetrainingDecision) -> RetrainingDecision | None:
        """Write a decision down where it is another one than the last about the same step.

        Returns the decision with its time, or None where it was known.
        """
        self._folder.mkdir(parents=True, exist_ok=True)
        with FileLock(self._folder / "decisions.lock"):
            known = self.decisions()
            last = next((each for each in reversed(known) if each.step == decision.step), None)
            if last and last.model_copy(update={"at": ""}) == decision:
                return None
            noted = decision.model_copy(update={"at": now()})
            lines = [each.model_dump_json() for each in [*known, noted][-MOST_DECISIONS:]]
            write_atomic(self._decided, ("\n".join(lines) + "\n").encode())
        return noted

    @property
    def _decided(self) -> Path:
        return self._folder / "decisions.jsonl"


def question(spec: "TrainingSpec", store: ModelStore) -> str:
    """A digest of what is asked of data before it becomes `raw_data`: where it lies, its schema and its target.

    Data that was refused is read again when this has changed, although the data has not.
    """
    sources = (spec.train_data_path, spec.validation_data_path, spec.test_data_path)
    schema = store.kept(KEPT_SCHEMA)
    asked = {
        "sources": [each if each is None or isinstance(each, str | tuple) else each.model_dump() for each in sources],
        "target": spec.target_column,
        "schema": _digest_of(Path(spec.data_schema)) if spec.data_schema else schema.address if schema else "",
    }
    return sha256(json.dumps(asked, sort_keys=True).encode()).hexdigest()


def _digest_of(path: Path) -> str:
    try:
        # A pipe or a device is refused by what reads the schema; here it would be waited for without end.
        return sha256(path.read_bytes()).hexdigest() if path.is_file() else "missing"
    except OSError:
        return "missing"
