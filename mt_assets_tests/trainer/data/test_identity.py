"""Who a row is: its content, whatever its storage, and how often the same content stood before."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mt_assets.spec import TrainingSpec
from mt_assets.trainer.data.identity import content_hashes, identities
from mt_assets.trainer.data.splits import Splits
from mt_assets.trainer.data.table import Table

SpecFor = Callable[..., TrainingSpec]
Churn = Callable[..., pd.DataFrame]
Split = Callable[..., Splits]
CheckByName = Callable[..., dict[str, Any]]


values = st.one_of(st.integers(-(2**40), 2**40), st.none())


quick = settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.too_slow])


@quick
@given(st.lists(values, min_size=1, max_size=30), st.lists(values, min_size=1, max_size=30))
def test_identity_is_content_whatever_its_storage(first: list[int | None], second: list[int | None]) -> None:
    rows = min(len(first), len(second))
    ints = pd.DataFrame(
        {
            "a": pd.array(first[:rows], "Int64"),
            "b": pd.array(second[:rows], "Int64"),
            "s": [str(v) for v in first[:rows]],
        }
    )
    floats = pd.DataFrame(
        {"s": ints["s"].astype("category"), "b": ints["b"].astype(float), "a": ints["a"].astype(float)}
    )

    assert np.array_equal(content_hashes(Table.of(ints)), content_hashes(Table.of(floats)))


def test_zero_has_no_sign() -> None:
    hashes = content_hashes(Table.of(pd.DataFrame({"a": [0.0, -0.0]})))

    assert hashes[0] == hashes[1]


def test_identity_tells_content_and_occurrence_apart() -> None:
    frame = pd.DataFrame({"a": [1, 1, 2, 1], "b": [2, 2, 1, 2]})
    content = content_hashes(Table.of(frame))

    assert content[0] == content[1] == content[3] != content[2]
    assert len(set(identities(content))) == 4
    assert set(identities(content)) == set(identities(content[::-1]))
    assert set(identities(content[:2])) < set(identities(content))


def test_large_whole_numbers_are_told_apart() -> None:
    near = content_hashes(Table.of(pd.DataFrame({"a": [2**60, 2**60 + 1, 2**53 + 1, 2**53]})))

    assert len(set(near)) == 4
    assert content_hashes(Table.of(pd.DataFrame({"a": [float(2**60)]})))[0] == near[0]


def test_identities_are_the_same_for_ever() -> None:
    """Stored splits rest on these numbers: a change of the hash would draw every test anew."""
    frame = pd.DataFrame(
        {"n": [1, None], "s": ["a", None], "b": [True, False], "t": pd.to_datetime(["2024-01-01", None])}
    )

    assert identities(content_hashes(Table.of(frame))).tolist() == [11347168576347319962, 6398621832290107867]
