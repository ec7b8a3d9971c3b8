"""Work behind the ticks."""

import threading

import pytest

from mt_assets.automation import background
from mt_assets.automation.background import within_tick


def test_work_that_takes_longer_is_taken_up_and_not_begun_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(background, "PATIENCE_S", 0.05)
    may_end, begun = threading.Event(), []

    def work() -> str:
        begun.append(1)
        may_end.wait()
        return "found"

    assert within_tick("a", work) is None
    assert within_tick("a", work) is None
    may_end.set()
    monkeypatch.setattr(background, "PATIENCE_S", 60.0)
    assert within_tick("a", work) == "found"
    assert len(begun) == 1
    assert within_tick("a", lambda: "again") == "again"


def test_what_goes_wrong_is_told_to_whoever_asks() -> None:
    for _ in range(2):
        with pytest.raises(TimeoutError, match="of its own"):
            within_tick("b", lambda: (_ for _ in ()).throw(TimeoutError("of its own")))
