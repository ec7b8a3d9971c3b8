"""How long it takes to profile, check and split a large table, and to train on text.

Table: 1,000,000 rows of 20 mixed columns, made from a seed and stored as the trainer stores tables. Ours: profile,
schema (inferred and checked) and split. Baseline: pandas reads the same table, `describe(include="all")`, and
scikit-learn splits off a stratified test. Memory is the peak above what the process held once the table was read, in
sizes of the table.

Text: 20,000 documents of 120 words in four topics, which differ in how often they use the words of one vocabulary.
Ours: search (10 trials of logistic regression in 5 folds) and final fit. Baseline: the same number of fits by hand,
TF-IDF of words, SVD and scikit-learn's LogisticRegression, each fold's text encoded once.

Each part runs in a process of its own, one after the other.
"""

from __future__ import annotations

import argparse
import json
import resource
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd
import psutil
from watching import machine, watch

TABLE_TARGET_S: Final = 20.0
TABLE_TARGET_SIZES: Final = 4.0
TEXT_TARGET_S: Final = 60.0

TRIALS: Final = 10
FOLDS: Final = 5
TARGET: Final = "target"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--documents", type=int, default=20_000)
    parser.add_argument("--only", choices=("table", "text"))
    parser.add_argument("--part", choices=tuple(PARTS), help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.part:
        print(json.dumps(PARTS[asked.part](asked.folder)))
        return
    print(machine())
    with tempfile.TemporaryDirectory(prefix="mt-assets-benchmark-") as scratch:
        if asked.only != "text":
            folder = _stored(mixed_table(asked.rows), Path(scratch) / "mixed")
            _show_table(asked.rows, _run("table", folder), _run("pandas", folder))
        if asked.only != "table":
            folder = _stored(documents(asked.documents), Path(scratch) / "documents")
            _show_text(asked.documents, _run("search", folder), _run("script", folder))


def mixed_table(rows: int) -> pd.DataFrame:
    """Numbers with and without gaps, labels of few and of many levels, dates, ids and short text."""
    rng = np.random.default_rng(0)
    words = np.array(["red", "green", "late", "early", "broken", "new", "box", "order", "parcel", "letter"])
    columns: dict[str, Any] = {f"number_{at}": rng.normal(size=rows) for at in range(5)}
    columns["amount"] = np.where(rng.random(rows) < 0.1, np.nan, rng.lognormal(3, 1, rows).round(2))
    columns |= {f"count_{at}": rng.integers(0, 10 ** (at + 1), rows) for at in range(4)}
    columns["member"] = rng.random(rows) < 0.3
    for levels in (3, 12, 200, 5_000):
        labels = np.array([f"level {at}" for at in range(levels)], dtype=object)
        columns[f"label_{levels}"] = labels[rng.integers(0, levels, rows)]
    columns["gaps"] = np.where(rng.random(rows) < 0.3, None, columns["label_12"])
    columns["since"] = pd.Timestamp("2020-01-01") + pd.to_timedelta(rng.integers(0, 10**8, rows), unit="s")
    columns["code"] = [f"K{at:08d}" for at in rng.permutation(rows)]
    columns["note"] = [" ".join(row) for row in words[rng.integers(0, len(words), (rows, 6))]]
    columns[TARGET] = np.where(rng.normal(size=rows) + columns["number_0"] > 1, "yes", "no")
    return pd.DataFrame(columns)


def documents(count: int) -> pd.DataFrame:
    """Texts of 120 words of a vocabulary of 20,000, drawn by Zipf's law; each topic prefers some words of its own."""
    rng = np.random.default_rng(0)
    letters = np.array(list("abcdefghijklmnopqrstuvwxyz"))
    vocabulary = np.array(["".join(rng.choice(letters, rng.integers(3, 11))) for _ in range(20_000)])
    frequency = 1 / np.arange(1, len(vocabulary) + 1)
    topics = rng.integers(0, 4, count)
    texts = np.empty(count, dtype=object)
    for topic in range(4):
        own = frequency * rng.lognormal(0, 0.25, len(vocabulary))
        rows = np.flatnonzero(topics == topic)
        drawn = vocabulary[rng.choice(len(vocabulary), (len(rows), 120), p=own / own.sum())]
        texts[rows] = [" ".join(row) for row in drawn]
    return pd.DataFrame({"text": texts, TARGET: np.array(["art", "law", "sea", "war"])[topics]})


# --- the parts, each in a process of its own --------------------------------------------------------------------------


def prepare_table(folder: Path) -> dict[str, Any]:
    """Profile, schema and split of the stored table."""
    from mt_assets import trainer
    from mt_assets.trainer.data.table import Table

    spec = _spec()
    table = Table.load(folder)
    size = sum(table.arrow([name]).nbytes for name in table.columns)
    _ = (trainer.profile_data, trainer.infer_schema, trainer.check_schema, trainer.split_data)  # imports them
    seconds: dict[str, float] = {}

    def work() -> None:
        profile = _timed(seconds, "profile", lambda: trainer.profile_data(table, spec))
        schema = _timed(seconds, "infer schema", lambda: trainer.infer_schema(table, profile))
        check = _timed(seconds, "check schema", lambda: trainer.check_schema(table, schema))
        _timed(seconds, "split", lambda: trainer.split_data(table, profile, spec, None))
        assert check.passed, check.message

    return {**_measured(work), "parts": seconds, "size": size}


def prepare_with_pandas(folder: Path) -> dict[str, Any]:
    """The same by hand: read, describe, split."""
    import pyarrow as pa
    from sklearn.model_selection import train_test_split

    def work() -> None:
        frame = pa.ipc.open_file(pa.memory_map(str(folder / "table.arrow"), "r")).read_all().to_pandas()
        frame.describe(include="all")
        train_test_split(np.arange(len(frame)), test_size=0.2, stratify=frame[TARGET], random_state=0)

    return _measured(work)


def search_text(folder: Path) -> dict[str, Any]:
    """Search and final fit of a logistic regression on the documents."""
    from mt_assets import trainer
    from mt_assets.trainer.data.table import Table
    from mt_assets.trainer.evaluation.metrics import score

    spec = _spec(
        algorithm="logistic_regression",
        featureTypes={"text": "text"},
        hyperparameterSearch={"nTrials": TRIALS},
        validationStrategy={"folds": FOLDS},
        options={"threads": 1},
    )
    table = Table.load(folder)
    seconds: dict[str, float] = {}
    found: dict[str, float] = {}

    def work() -> None:
        profile = trainer.profile_data(table, spec)
        splits = trainer.split_data(table, profile, spec, None)
        plan = trainer.make_plan(spec, table, profile, splits)
        preprocessor = _timed(seconds, "preprocessor", lambda: trainer.fit_preprocessor(plan, table, splits, profile))
        encoder = preprocessor.transformer
        with tempfile.TemporaryDirectory() as scratch:
            study = _timed(
                seconds,
                "search",
                lambda: trainer.run_search(plan, table, profile, splits, encoder, folder=Path(scratch)),
            )
            best = trainer.select_best(study, plan)
        trained = _timed(seconds, "final fit", lambda: trainer.train_final(plan, best, table, profile, splits, encoder))
        test = table.take(splits.test).frame()
        codes = np.searchsorted(np.array(profile.target.classes), test[TARGET].to_numpy(dtype=str))
        found["log_loss"] = score("log_loss", codes, trained.model.scores(test), None)

    return {**_measured(work), "parts": seconds, **found}


def search_by_hand(folder: Path) -> dict[str, Any]:
    """As many fits with scikit-learn alone."""
    import pyarrow as pa
    from sklearn.decomposition import TruncatedSVD
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.metrics import log_loss
    from sklearn.model_selection import StratifiedKFold, train_test_split
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler
    from threadpoolctl import threadpool_limits

    found: dict[str, float] = {}

    def work() -> None:
        frame = pa.ipc.open_file(str(folder / "table.arrow")).read_all().to_pandas()
        learning, test = train_test_split(frame, test_size=0.2, stratify=frame[TARGET], random_state=0)
        folds = [*StratifiedKFold(FOLDS, shuffle=True, random_state=0).split(learning, learning[TARGET]), None]
        for fold in folds:
            fit, held = (learning, test) if fold is None else (learning.iloc[fold[0]], learning.iloc[fold[1]])
            encoder = make_pipeline(
                TfidfVectorizer(min_df=2, sublinear_tf=True), TruncatedSVD(100, random_state=0), StandardScaler()
            )
            X, X_held = encoder.fit_transform(fit["text"]), encoder.transform(held["text"])
            for C in np.logspace(-3, 2, 1 if fold is None else TRIALS):
                model = LogisticRegression(C=C, max_iter=1000).fit(X, fit[TARGET])
                found["log_loss"] = log_loss(held[TARGET], model.predict_proba(X_held))

    with threadpool_limits(1):
        return {**_measured(work), **found}


PARTS: Final[dict[str, Callable[[Path], dict[str, Any]]]] = {
    "table": prepare_table,
    "pandas": prepare_with_pandas,
    "search": search_text,
    "script": search_by_hand,
}


def _spec(**keys: Any) -> Any:
    from mt_assets.spec_reading import parse_spec

    return parse_spec({"trainDataPath": "table.arrow", "targetColumn": TARGET, **keys}, base=Path(), default_name="b")


def _timed(seconds: dict[str, float], name: str, work: Callable[[], Any]) -> Any:
    started = time.perf_counter()
    result = work()
    seconds[name] = time.perf_counter() - started
    return result


def _measured(work: Callable[[], None]) -> dict[str, float]:
    """Seconds, CPU seconds, and the peak of memory above what is held now, without what is mapped from files."""
    process = psutil.Process()
    held, peak, done = _own_bytes(process), [0], threading.Event()

    def look() -> None:
        while not done.wait(0.02):
            peak[0] = max(peak[0], _own_bytes(process))

    watcher = threading.Thread(target=look)
    watcher.start()
    started, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_SELF)
    work()
    wall, after = time.perf_counter() - started, resource.getrusage(resource.RUSAGE_SELF)
    done.set()
    watcher.join()
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return {"wall": wall, "cpu": cpu, "peak": peak[0] - held}


def _own_bytes(process: psutil.Process) -> int:
    memory = process.memory_info()
    return int(memory.rss - getattr(memory, "shared", 0))


def _stored(frame: pd.DataFrame, folder: Path) -> Path:
    from mt_assets.trainer.data.table import Table

    folder.mkdir()
    Table.of(frame).save(folder)
    return folder


def _run(part: str, folder: Path) -> dict[str, Any]:
    watched = watch([sys.executable, __file__, "--part", part, "--folder", folder])
    if watched.code:
        sys.exit(f"{part} ended with {watched.code}:\n{watched.errors}")
    result: dict[str, Any] = json.loads(watched.output.splitlines()[-1])
    return result


def _show_table(rows: int, ours: dict[str, Any], pandas: dict[str, Any]) -> None:
    size = ours["size"]
    print(f"\n{rows:,} rows, 20 columns, {size / 1e6:.0f} MB in Arrow")
    for name, took in (("profile, schema, split", ours), ("pandas, scikit-learn", pandas)):
        print(
            f"{name:24} {took['wall']:7.2f} s {took['cpu']:7.2f} CPU s, peak {took['peak'] / 1e6:6.0f} MB above the "
            f"table: {took['peak'] / size:.2f} sizes"
        )
    print("  " + ", ".join(f"{name} {seconds:.2f} s" for name, seconds in ours["parts"].items()))
    print(
        f"ratio {ours['cpu'] / pandas['cpu']:.2f} in CPU s; "
        f"under {TABLE_TARGET_S:g} s: {_kept(ours['wall'] < TABLE_TARGET_S)}; "
        f"under {TABLE_TARGET_SIZES:g} sizes: {_kept(ours['peak'] < TABLE_TARGET_SIZES * size)}"
    )


def _show_text(count: int, ours: dict[str, Any], script: dict[str, Any]) -> None:
    print(f"\n{count:,} documents, {TRIALS} trials in {FOLDS} folds and a final fit")
    for name, took in (("search and final fit", ours), ("script by hand", script)):
        print(f"{name:24} {took['wall']:7.2f} s {took['cpu']:7.2f} CPU s, test log-loss {took['log_loss']:.4f}")
    print("  " + ", ".join(f"{name} {seconds:.2f} s" for name, seconds in ours["parts"].items()))
    print(
        f"ratio {ours['cpu'] / script['cpu']:.2f} in CPU s; "
        f"under {TEXT_TARGET_S:g} s: {_kept(ours['wall'] < TEXT_TARGET_S)}"
    )


def _kept(condition: bool) -> str:
    return "kept" if condition else "MISSED"


if __name__ == "__main__":
    main()
