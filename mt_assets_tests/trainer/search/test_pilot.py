"""What the fit before all trials decides, and by how many rows a fold is said to judge."""

from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from mt_assets.trainer.search.pilot import folds_used, pilot_of, ranking_rows
from mt_assets.trainer.search.space import SearchSpace
from mt_assets.trainer.search.time_shares import ENOUGH_JUDGED

ROWS = 1_500
IN_A_FOLD = ROWS * 4 // 5 // 3


def of(work: Any, strategy: str | None = None) -> int:
    splits = replace(work.splits, strategy=strategy) if strategy else work.splits
    return ranking_rows(work.table, work.profile, splits)


def numbers(target: Any) -> pd.DataFrame:
    return pd.DataFrame({"x": np.arange(float(ROWS)), "target": target})


def test_a_number_is_judged_by_every_row_of_a_fold(make_work: Any) -> None:
    work = make_work(numbers(np.random.default_rng(0).normal(size=ROWS)), ("lightgbm",))
    assert of(work) == IN_A_FOLD == of(work, "repeated_kfold")


def test_a_rare_class_has_to_have_rows_enough_too(make_work: Any) -> None:
    even = make_work(numbers(np.where(np.arange(ROWS) % 2, "yes", "no")), ("lightgbm",))
    assert of(even) == IN_A_FOLD
    rare = make_work(numbers(np.where(np.arange(ROWS) % 300 == 7, "yes", "no")), ("lightgbm",))
    assert of(rare) <= 2 * ENOUGH_JUDGED // 50 < IN_A_FOLD  # two of five rows, each as good as fifty of a common class


def test_rows_that_resemble_each_other_judge_next_to_nothing(make_work: Any) -> None:
    work = make_work(numbers(np.random.default_rng(0).normal(size=ROWS)), ("lightgbm",))
    assert [of(work, strategy) for strategy in ("group_kfold", "time_series_split")] == [1, 1]
    assert of(work, "stratified_group_kfold") == 1


def test_a_booster_tells_what_fits_cost_where_there_is_one() -> None:
    names = ("knn", "xgboost", "lightgbm")
    space = SearchSpace({name: {} for name in names}, {name: ({"of": name},) for name in names})
    assert pilot_of(names, space).algorithm == "lightgbm"
    assert pilot_of(("knn", "xgboost"), space).algorithm == "xgboost"
    assert pilot_of(("knn",), space).params == {"of": "knn"}


def test_the_folds_are_told_with_the_measurement() -> None:
    slow = folds_used({"algorithm": "lightgbm", "seconds": 4.04, "folds": 3}, 8, "regression")
    assert (slow.value, slow.rule) == (3, "folds.measured")
    assert "LightGBM takes 4 s" in slow.reason and "3 of the 8 folds" in slow.reason
    assert (
        folds_used({"algorithm": "lightgbm", "seconds": 0.1, "folds": 8}, 8, "regression").rule == "folds.all_in_time"
    )
