"""What a split is: which rows are tested on, and the folds that the others are dealt to."""

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

import numpy as np

from mt_assets.trainer.errors import StoreError
from mt_assets.trainer.planning.decision import Decision

_ARRAYS = "splits.npz"
_FACTS = "splits.json"
NO_ROWS = np.empty(0, dtype=np.int64)
NO_KEYS = np.empty(0, dtype=np.uint64)


@dataclass(frozen=True, eq=False)
class Fold:
    """Row positions (int64, ascending) to fit on and to score on."""

    train: np.ndarray
    validation: np.ndarray


@dataclass(frozen=True, eq=False)
class Splits:
    """The split of one table, shared by everything that follows.

    Attributes
    ----------
    identities : numpy.ndarray
        uint64 of every row of the table, in row order: hash of the row's content and of how often it stood before.
    test : numpy.ndarray
        Positions of the test rows, int64, ascending.
    folds : tuple of Fold
        The first is canonical (the most recent of dated data). Folds need not cover all learning rows: a holdout, dated
        folds, and classes with a single row leave some out of the validation parts.
    strategy : str
        Type of the validation strategy in use, never `auto`.
    repeats : int
    decisions : tuple of Decision
    learning : numpy.ndarray
        Positions of all rows with a target (and time) that are not test rows, int64, ascending.
    columns : tuple of str
        Columns that identities are made of, sorted. Columns that come later do not change who a row is.
    unit : str
        What is assigned for life: `row`, `group:<column>` or `time:<column>`; `testDataPath` where the files decide.
    tested, learned : numpy.ndarray
        uint64, sorted: units that were ever assigned to the test and to the learning rows, gone ones too. Empty for
        dated rows, whose test is what is newest.
    warnings : tuple of str
        What a person should know about these rows.
    """

    identities: np.ndarray
    test: np.ndarray
    folds: tuple[Fold, ...]
    strategy: str
    repeats: int = 1
    decisions: tuple[Decision, ...] = ()
    learning: np.ndarray = field(default_factory=lambda: NO_ROWS)
    columns: tuple[str, ...] = ()
    unit: str = "row"
    tested: np.ndarray = field(default_factory=lambda: NO_KEYS)
    learned: np.ndarray = field(default_factory=lambda: NO_KEYS)
    warnings: tuple[str, ...] = ()

    @property
    def train(self) -> np.ndarray:
        """Positions to fit on in the canonical fold."""
        return self.folds[0].train

    @property
    def validation(self) -> np.ndarray:
        """Positions to score on in the canonical fold."""
        return self.folds[0].validation

    def save(self, folder: Path) -> None:
        """Write arrays and facts."""
        arrays = {name: getattr(self, name) for name in ("identities", "test", "learning", "tested", "learned")}
        for number, fold in enumerate(self.folds):
            arrays |= {f"train_{number}": fold.train, f"validation_{number}": fold.validation}
        np.savez(folder / _ARRAYS, **arrays)
        facts = {
            "strategy": self.strategy,
            "repeats": self.repeats,
            "folds": len(self.folds),
            "columns": self.columns,
            "unit": self.unit,
            "warnings": self.warnings,
            "decisions": [decision.model_dump(mode="json") for decision in self.decisions],
        }
        (folder / _FACTS).write_text(json.dumps(facts, indent=1))

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read back what `save` wrote.

        Raises
        ------
        StoreError
            A file is missing or damaged.
        """
        try:
            facts = json.loads((folder / _FACTS).read_text())
            with np.load(folder / _ARRAYS) as arrays:
                folds = [Fold(arrays[f"train_{at}"], arrays[f"validation_{at}"]) for at in range(facts["folds"])]
                held = {name: arrays[name] for name in ("identities", "test", "learning", "tested", "learned")}
        except (OSError, ValueError, KeyError) as error:
            raise StoreError(f"The stored splits in {folder} are missing or damaged: {error}") from error
        return cls(
            folds=tuple(folds),
            strategy=facts["strategy"],
            repeats=facts["repeats"],
            columns=tuple(facts["columns"]),
            unit=facts["unit"],
            warnings=tuple(facts.get("warnings", ())),
            decisions=tuple(Decision.model_validate(decision) for decision in facts["decisions"]),
            **held,
        )
