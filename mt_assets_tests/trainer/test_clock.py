"""What a time budget leaves for each part of a run."""

from mt_assets.trainer.clock import START_SECONDS, RunClock


def test_without_a_budget_nothing_has_to_be_over():
    clock = RunClock(1_000.0, None)
    assert clock.search_ends() is clock.final_ends() is clock.curve_ends() is clock.importance_ends() is None


def test_each_part_leaves_time_for_those_after_it():
    clock = RunClock(1_000.0, 60.0)
    ends = [clock.search_ends(), clock.final_ends(), clock.curve_ends(), clock.importance_ends(), 1_060.0]
    assert ends == sorted(ends)
    assert len(set(ends)) == len(ends)


def test_a_model_that_takes_longer_to_track_leaves_more_time_for_that():
    clock = RunClock(1_000.0, 60.0)
    assert clock.curve_ends(4.0) == clock.curve_ends() - 4.0
    assert clock.importance_ends(4.0) == clock.importance_ends() - 4.0


def test_a_slow_start_leaves_more_for_what_comes_after_the_search():
    quiet, busy = RunClock(1_000.0, 60.0), RunClock(1_000.0, 60.0, start=2 * START_SECONDS)
    assert 1_060 - busy.search_ends() == 2 * (1_060 - quiet.search_ends())
    assert RunClock(0.0, 60.0, start=1.0).search_ends() == RunClock(0.0, 60.0).search_ends()
    assert RunClock(0.0, 600.0, start=300.0).search_ends() > 300.0
