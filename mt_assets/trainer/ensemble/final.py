"""The final model of an ensemble: the fold models that were judged, or each member fitted once on all learning rows."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from mt_assets.trainer.data.profile import DataProfile
from mt_assets.trainer.data.splits import Splits
from mt_assets.trainer.data.table import Table
from mt_assets.trainer.ensemble.blend import BlendClassifier, BlendRegressor, Part
from mt_assets.trainer.errors import TrainingError
from mt_assets.trainer.features.preprocessor import TablePreprocessor, rows_digest
from mt_assets.trainer.planning.plan import TrainingPlan
from mt_assets.trainer.search.candidate import Candidate, FoldCache, FoldResult
from mt_assets.trainer.search.fold_fits import Fitted, FoldFits, scratch_folder
from mt_assets.trainer.search.fold_models import REFITTED, FoldModel, FoldModels
from mt_assets.trainer.search.result import BestParams, FoldRows, Member
from mt_assets.trainer.search.selection import FOLDS_FOLDER

Refit = Callable[[Sequence[Member]], list[tuple[TablePreprocessor, Fitted]]]
"""Fits members on all learning rows; some may share their preprocessor."""


@dataclass
class Assembly:
    """A blend in the making.

    Attributes
    ----------
    preprocessors : dict
        By what makes two of them equal: rows that they were fitted on, and settings or content.
    parts : list of Part
    rows : list of ndarray
        Positions that the parts were fitted on, one entry for each fit on other rows.
    fold_rows : list of FoldRows
        What the fits on folds were really given.
    notes : list of str
    """

    preprocessors: dict[str, TablePreprocessor] = field(default_factory=dict)
    parts: list[Part] = field(default_factory=list)
    rows: list[np.ndarray] = field(default_factory=list)
    fold_rows: list[FoldRows] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def add(
        self, member: Member, weight: float, name: str, preprocessor: TablePreprocessor, found: FoldModel | Fitted
    ) -> None:
        """Add an estimator behind the preprocessor of that name."""
        self.preprocessors.setdefault(name, preprocessor)
        place = list(self.preprocessors).index(name)
        known = tuple(int(code) for code in found.present)
        self.parts.append(Part(weight, place, found.estimator, known, member.algorithm))

    def blend(self, n_classes: int) -> BlendClassifier | BlendRegressor:
        """The finished estimator."""
        kind = BlendClassifier if n_classes else BlendRegressor
        return kind(list(self.preprocessors.values()), self.parts, n_classes)


def assemble(
    plan: TrainingPlan,
    best: BestParams,
    table: Table,
    profile: DataProfile,
    splits: Splits,
    preprocessor: TablePreprocessor,
    folder: Path | None,
    refit: Refit,
) -> Assembly:
    """Gather the fitted models of the members.

    A member gives the models of all folds, each with the same share of its weight; a fold model that is not there any
    more, or not as it was stored, is fitted again. One with models that are not kept (`REFITTED`), and each that is to
    be refitted, is fitted on all learning rows.

    Parameters
    ----------
    folder : pathlib.Path or None
        That of the search. Without it there are no fold models.
    refit : callable
    """
    assembly, again = Assembly(), []
    with ExitStack() as stack:
        fits = None
        averaged = plan.final_fit != "refit" and not all(member.refit for member in best.ensemble)
        if folder is not None and averaged:
            scratch = stack.enter_context(scratch_folder(folder))
            fits = FoldFits(plan, table, profile, splits, preprocessor, FoldCache(folder / FOLDS_FOLDER), scratch)
        for member in best.ensemble:
            results = [] if fits is None or member.refit else _fold_models(fits, member)
            if results:
                _add_folds(assembly, member, results, splits)
            else:
                again.append(member)
    for member, (fitted_on_all, fitted) in zip(again, refit(again), strict=True):
        _add_refit(assembly, member, fitted_on_all, fitted)
    return assembly


def _fold_models(fits: FoldFits, member: Member) -> list[tuple[FoldResult, FoldModel]]:
    """Results and models of all folds; empty where one is not kept at all."""
    candidate = Candidate(member.algorithm, member.searched)
    found: list[tuple[FoldResult, FoldModel]] = []
    for fold, key in enumerate(member.fold_keys):
        result = fits.cache.get(key) or fits.run(candidate, fold)
        if result.model == REFITTED:
            return []
        model = fits.models.get(result)
        if model is None:
            fits.cache.drop(result.key)
            result = fits.run(candidate, fold)
            model = fits.models.get(result)
        if model is None:
            return []
        found.append((result, model))
    return found


def _add_folds(assembly: Assembly, member: Member, results: list[tuple[FoldResult, FoldModel]], splits: Splits) -> None:
    for result, model in results:
        fold = splits.folds[result.fold]
        if {result.encoded, result.fitted} != {rows_digest(fold.train)}:
            raise TrainingError(
                f"The model of trial {member.trial_number} on fold {result.fold} was fitted on other rows than those "
                "of the fold, so it is not used.",
                suggestions=("Run the search again.",),
            )
        assembly.add(member, member.weight / len(results), model.encoding, model.preprocessor, model)
        assembly.rows.append(fold.train)
        assembly.fold_rows.append(
            FoldRows(fold=result.fold, encoded=result.encoded, fitted=result.fitted, stopped=result.stopped, fits=1)
        )
        assembly.notes += result.notes
    if len(results) == 1:
        rows = f"{len(assembly.rows[-1]):,} rows"
        assembly.notes.append(
            f"There was time for one fold alone: some members of the ensemble learned from its {rows}."
        )


def _add_refit(assembly: Assembly, member: Member, preprocessor: TablePreprocessor, fitted: Fitted) -> None:
    seen, light = preprocessor.rows_seen_, copy.copy(preprocessor)
    del light.rows_seen_
    # Fitted on the same rows with the same settings, two preprocessors are the same.
    assembly.add(member, member.weight, f"{rows_digest(seen)} {light.get_params()!r}", light, fitted)
    assembly.rows.append(seen)
    assembly.notes += fitted.report.notes


def forget_fold_models(best: BestParams, folder: Path) -> None:
    """Delete the fold models of all candidates that are not in the ensemble.

    They would be of use only to an ensemble of other members, and are fitted again for one.

    Parameters
    ----------
    best : BestParams
        What the stored model was trained by.
    folder : pathlib.Path
        That of the search; the caller holds the model's lock.
    """
    cache = FoldCache(folder / FOLDS_FOLDER)
    averaged = [member for member in best.ensemble if not member.refit]
    kept = [result for member in averaged for key in member.fold_keys if (result := cache.get(key))]
    FoldModels(cache.folder, keep=False).keep_only(
        {result.key for result in kept}, {result.preprocessor for result in kept}
    )
