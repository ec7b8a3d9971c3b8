"""What a spec cannot be, although each of its keys is right: contradictions, and what this version cannot do yet.

What belongs here: rules that look at a whole `TrainingSpec`. What does not: rules about one value (`spec_values`).
Nothing asked for is ever passed over in silence: it is done, or refused here.
"""

import difflib
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from pydantic.alias_generators import to_snake

from mt_assets.spec import AssetSource, TrainingSpec
from mt_assets.spec_ranges import FORMS, ParameterRange
from mt_assets.spec_values import ALL_ALGORITHMS, GATE_METRICS, METRIC_NAMES, OF_INTERVALS, Problem, shown
from mt_assets.trainer.algorithms.registry import CONTRACT_NAMES, FORECASTING, GENERATES, absence, available, trainable

LEAVE_OUT = "leave the key out"

LIMITS: dict[str, tuple[Callable[[Any], bool] | tuple[Any, ...], str]] = {
    "options.device": (("auto", "cpu"), "`auto`, `cpu`"),
}
"""Key -> (values that this version can serve, as a list or as a test; how those are told to a person)."""

SCORED_SUFFIXES = (".csv", ".parquet", ".feather", ".arrow", ".jsonl")
"""Files that scored rows can be written to; the keys of `scoring.WRITERS`, which is not imported here."""

SAMPLER_PACKAGES = {"cmaes": ("cmaes", "pip install cmaes"), "gp": ("torch", "pip install 'mt-assets[deep]'")}
"""Sampler -> (module that it needs, and that not every installation has; how to install it)."""


def unsupported(spec: TrainingSpec) -> list[Problem]:
    """Everything that the contract knows and this version cannot do yet."""
    asked = spec.model_dump(by_alias=True)
    problems = []
    for key, (served, told) in LIMITS.items():
        where = tuple(key.split("."))
        value: Any = asked
        for part in where:
            value = value[part]
        if not (served(value) if callable(served) else value in served):
            text = f"is {shown(value)}, which this version cannot do yet; "
            problems.append(Problem(where, text + (told if told == LEAVE_OUT else f"available: {told}")))
    for name in spec.algorithms or ():
        lacking = absence(name, spec.model_type)
        if lacking is not None:
            offered = ("auto", *(available(FORECASTING) if spec.forecasts else trainable()))
            text = f"asks for {shown(name)}, which {lacking}; available: {', '.join(f'`{each}`' for each in offered)}"
            problems.append(Problem(("algorithm",), text))
    return problems


def contradictions(spec: TrainingSpec) -> list[Problem]:
    """Everything in which two keys of the spec cannot both be meant."""
    checks = (_given, _columns, _task, _series, _validation, _rounds, _predictions, _metric, _search, _ranges)
    return [problem for check in checks for problem in check(spec)]


def _given(spec: TrainingSpec) -> Iterator[Problem]:
    """What data cannot come from, and what does not go with given validation or test rows."""
    sources = {
        "trainDataPath": spec.train_data_path,
        "validationDataPath": spec.validation_data_path,
        "testDataPath": spec.test_data_path,
    }
    handed_over: dict[str, Any] = {
        "inputs.featureRecommendations": spec.inputs.feature_recommendations,
        "inputs.evaluationFeedback": spec.inputs.evaluation_feedback,
    }
    if spec.predictions is not None:
        handed_over |= {
            "predictions.dataPath": spec.predictions.data_path,
            "predictions.labelsPath": spec.predictions.labels_path,
        }
    for key, source in {**sources, **handed_over}.items():
        if isinstance(source, AssetSource) and source.asset.split("/")[0] == spec.name:
            text = f"is {shown(source.asset)}, an asset of this model itself; name another asset, or change `name`"
            yield Problem((*key.split("."), "asset"), text)
    for key, size in {"validationDataPath": "validationSize", "testDataPath": "testSize"}.items():
        if sources[key] is None:
            continue
        asked = getattr(spec, to_snake(size))
        if asked != TrainingSpec.model_fields[to_snake(size)].default:
            yield Problem((size,), f"is {shown(asked)}, but `{key}` gives the rows; leave one of the two out")
        same = [other for other, source in sources.items() if other != key and source == sources[key]]
        if same and list(sources).index(same[0]) < list(sources).index(key):
            text = f"is the same as `{same[0]}`, so that the same rows would be on both sides; name other data"
            yield Problem((key,), text)
    if spec.validation_data_path and spec.time_column and spec.test_data_path is None and spec.test_size:
        text = "gives the newest rows for validation, and no test can lie after them; give `testDataPath` as well, or "
        yield Problem(("validationDataPath",), text + "set `testSize` to 0")


def _columns(spec: TrainingSpec) -> Iterator[Problem]:
    target = spec.target_column
    if target in (spec.features or ()):
        text = f"lists the target {shown(target)}; a model that is shown the answer learns nothing: take it out"
        yield Problem(("features",), text)
    if target in spec.known_ahead:
        yield Problem(("knownAhead",), f"lists the target {shown(target)}, which is not known ahead: take it out")
    for key, column in (
        ("timeColumn", spec.time_column),
        ("groupColumn", spec.group_column),
        ("seriesColumn", spec.series_column),
    ):
        if column == target:
            yield Problem((key,), f"is {shown(column)}, which is also `targetColumn`; name another column")
    if target in spec.sensitive_columns:
        text = f"lists the target {shown(target)}; groups are made of other columns: take it out"
        yield Problem(("sensitiveColumns",), text)
    for gate in spec.quality_gates:
        if gate.startswith("fairness.") and not spec.sensitive_columns:
            text = "needs groups to look at: name their columns in `sensitiveColumns`, or take the gate out"
            yield Problem(("qualityGates", gate), text)
    if spec.feature_types.get(target) in ("id", "drop"):
        text = f"is {shown(spec.feature_types[target])}, but this column is `targetColumn`; take the entry out"
        yield Problem(("featureTypes", target), text)
    dropped = [name for name in spec.features or () if spec.feature_types.get(name) in ("id", "drop")]
    if dropped:
        text = f"lists {', '.join(map(shown, dropped))}, which `featureTypes` leaves out; keep one of the two"
        yield Problem(("features",), text)


def _task(spec: TrainingSpec) -> Iterator[Problem]:
    """What does not go with a `modelType` that the spec states. With `auto` the target decides, later."""
    task = spec.model_type
    if task == "auto":
        return
    names = CONTRACT_NAMES[task]
    for algorithm in spec.algorithms or ():
        if algorithm not in names:
            text = f"is {shown(algorithm)}, which cannot do {task}; for {task} there are {', '.join(names)}"
            yield Problem(("algorithm",), text)
    metrics = [
        (("objective", "metric"), spec.objective.metric),
        (("promotion", "metric"), spec.promotion.metric),
        *((("hyperparameterSearch", "objectives"), name) for name in spec.hyperparameter_search.objectives),
        *((("objective", "constraints"), name) for name in spec.objective.constraints),
    ]
    known = METRIC_NAMES[task]
    for where, metric in metrics:
        if metric is not None and metric not in known:
            yield Problem(where, f"is {shown(metric)}, no metric of {task}; there are {', '.join(known)}")
    for gate in spec.quality_gates:
        if gate not in GATE_METRICS[task]:
            yield Problem(("qualityGates", gate), f"is about no metric of {task}; there are {', '.join(known)}")
    if task != "classification":
        if spec.positive_label is not None:
            yield Problem(("positiveLabel",), f"names a class, but `modelType` is {task}; {LEAVE_OUT}")
        if spec.class_imbalance == "class_weight":
            yield Problem(("classImbalance",), f"weighs classes, but `modelType` is {task}; {LEAVE_OUT}")
        if spec.objective.threshold is not None:
            text = f"is {shown(spec.objective.threshold)}, but `modelType` is {task}, which has no classes; {LEAVE_OUT}"
            yield Problem(("objective", "threshold"), text)
        if spec.options.calibrate is True:
            text = f"is true, but `modelType` is {task}, which has no probabilities; {LEAVE_OUT}"
            yield Problem(("options", "calibrate"), text)


OF_SERIES = ("seriesColumn", "horizon", "frequency", "seasonality", "knownAhead")
"""Keys that speak of forecasting alone."""

OF_TABLES = ("groupColumn", "validationDataPath", "testDataPath", "validationSize", "sensitiveColumns", "predictions")
"""Keys that forecasting has no use for: the last steps of each series are the test, and those before validate."""


def _series(spec: TrainingSpec) -> Iterator[Problem]:
    """What forecasting needs, and what goes with it alone or not at all."""
    given = {key: value for key in (*OF_SERIES, *OF_TABLES) if (value := getattr(spec, to_snake(key)))}
    if not spec.forecasts:
        for key in OF_SERIES:
            if key in given:
                text = f"is given, but `modelType` is {spec.model_type}; set `modelType: time_series`, or {LEAVE_OUT}"
                yield Problem((key,), text)
        return
    if spec.time_column is None:
        yield Problem(("timeColumn",), "is missing, and `modelType: time_series` needs it: name the column of times")
    for key in OF_TABLES:
        if key in given:
            yield Problem((key,), f"is given, but `modelType` is time_series, which has no use for it; {LEAVE_OUT}")
    if spec.test_size not in (0, TrainingSpec.model_fields["test_size"].default):
        text = f"is {shown(spec.test_size)}, but the last `horizon` steps of each series are the test; {LEAVE_OUT}, or"
        yield Problem(("testSize",), f"{text} set it to 0")
    if spec.series_column is not None and spec.series_column == spec.time_column:
        yield Problem(("seriesColumn",), f"is {shown(spec.series_column)}, which is also `timeColumn`")
    unlisted = [name for name in spec.known_ahead if spec.features is not None and name not in spec.features]
    if unlisted:
        text = f"lists {', '.join(map(shown, unlisted))}, which `features` does not list; add them there"
        yield Problem(("knownAhead",), text)
    kind = spec.validation_strategy.type
    if kind not in ("auto", "time_series_split", "holdout"):
        text = f"is `{kind}`, but forecasts are judged from origins in time; use `time_series_split`, or {LEAVE_OUT}"
        yield Problem(("validationStrategy", "type"), text)
    if spec.options.feature_generation is True:
        text = "is true, but forecasters are given lags and calendar, and no generated columns; "
        yield Problem(("options", "featureGeneration"), text + LEAVE_OUT)
    searched = [spec.objective.metric, spec.promotion.metric, *spec.hyperparameter_search.objectives]
    for name in dict.fromkeys([*searched, *spec.objective.constraints]):
        if name in OF_INTERVALS:
            text = f"is {shown(name)}, which is measured of the final model alone; name another, and bound it by a gate"
            yield Problem(("objective", "metric"), text)


def _validation(spec: TrainingSpec) -> Iterator[Problem]:
    strategy = spec.validation_strategy
    where = ("validationStrategy", "type")
    if "group" in strategy.type and spec.group_column is None:
        yield Problem(where, f"is `{strategy.type}`, which needs `groupColumn`: name the column that holds the groups")
    if strategy.type == "time_series_split" and spec.time_column is None:
        yield Problem(where, "is `time_series_split`, which needs `timeColumn`: name the column that orders the rows")
    if strategy.gap and spec.time_column is None:
        text = f"is {strategy.gap}, but only dated data has a gap: name `timeColumn`, or leave the gap out"
        yield Problem(("validationStrategy", "gap"), text)
    if strategy.repeats and strategy.type != "auto" and not strategy.type.startswith("repeated_"):
        other = f"; use `repeated_{strategy.type}`" if strategy.type in ("kfold", "stratified_kfold") else ""
        text = f"is {strategy.repeats}, but `{strategy.type}` is drawn once{other or '; leave `repeats` out'}"
        yield Problem(("validationStrategy", "repeats"), text)
    dated = spec.time_column is not None
    if not strategy.shuffle and (strategy.type.startswith("repeated_") or (strategy.type == "holdout" and not dated)):
        text = f"is false, but `{strategy.type}` draws its rows at random; leave it out, or use `kfold`"
        yield Problem(("validationStrategy", "shuffle"), text)
    if spec.validation_size is not None and strategy.type not in ("auto", "holdout"):
        text = f"is {shown(spec.validation_size)}, but `{strategy.type}` has folds; use `holdout`, or leave it out"
        yield Problem(("validationSize",), text)
    if "stratified" in strategy.type and spec.model_type == "regression":
        other = strategy.type.replace("stratified_", "")
        text = f"is `{strategy.type}`, which needs classes, but `modelType` is regression; use `{other}`"
        yield Problem(where, text)


def _rounds(spec: TrainingSpec) -> Iterator[Problem]:
    if not spec.retraining.improve_rounds:
        return
    where = ("retraining", "improveRounds")
    if not spec.hyperparameter_search.enabled:
        yield Problem(where, f"asks for further search, but `hyperparameterSearch.enabled` is false; {LEAVE_OUT}")
    if spec.options.time_budget is not None:
        text = "asks for further search after the run, but `options.timeBudget` limits all of it; keep one of the two"
        yield Problem(where, text)


def _predictions(spec: TrainingSpec) -> Iterator[Problem]:
    """What does not go together in the scoring of new rows."""
    asked = spec.predictions
    if asked is None:
        return
    where = "predictions"
    by = f"is `{asked.partitions}`"
    if asked.labels_path is not None and not asked.key_columns:
        yield Problem((where, "keyColumns"), "is missing, and `labelsPath` needs it: the columns that match its rows")
    if asked.key_columns and asked.labels_path is None:
        yield Problem((where, "keyColumns"), f"is given, but there is no `labelsPath` to be matched; {LEAVE_OUT}")
    if asked.partitions == "daily" and (asked.start is None or not (asked.time_column or spec.time_column)):
        yield Problem((where, "partitions"), f'{by}, which needs `start` ("2026-01-31") and `timeColumn`; give both')
    if asked.start is not None and asked.partitions != "daily":
        yield Problem((where, "start"), f"is given, but `partitions` {by}; set it to `daily`, or {LEAVE_OUT}")
    if asked.schedule is not None and asked.partitions == "file":
        yield Problem((where, "schedule"), f"is given, but `partitions` {by}: each file is scored when it arrives")
    if asked.partitions == "file" and not (isinstance(asked.data_path, str) and "://" not in asked.data_path):
        yield Problem((where, "partitions"), f"{by}, for which `dataPath` must be a folder or glob on this machine")
    if asked.output is not None:
        suffix = Path(asked.output).suffix.lower()
        if asked.partitions == "none" and suffix not in SCORED_SUFFIXES:
            text = f"is {shown(asked.output)}; its suffix must be one of {', '.join(SCORED_SUFFIXES)}"
            yield Problem((where, "output"), text)
        if asked.partitions != "none" and suffix in SCORED_SUFFIXES:
            text = f"is {shown(asked.output)}, a file; `partitions` {by}, so name a folder"
            yield Problem((where, "output"), text)


def _metric(spec: TrainingSpec) -> Iterator[Problem]:
    objectives = spec.hyperparameter_search.objectives
    if spec.objective.metric and objectives and objectives != (spec.objective.metric,):
        text = (
            f"asks for {', '.join(objectives)}, but `objective.metric` for {spec.objective.metric}; keep one of the two"
        )
        yield Problem(("hyperparameterSearch", "objectives"), text)
    if spec.metric in spec.objective.constraints:
        text = f"bounds {spec.metric}, which is the metric itself; bound it by a quality gate, or name another metric"
        yield Problem(("objective", "constraints", str(spec.metric)), text)
    if spec.speaks_of("cost") and spec.objective.costs is None:
        text = "is missing, and `cost` needs it: {falsePositive: 1, falseNegative: 5}, say"
        yield Problem(("objective", "costs"), text)
    for key, metric in (("costs", "cost"), ("beta", "fbeta")):
        if getattr(spec.objective, key) is not None and not spec.speaks_of(metric):
            yield Problem(("objective", key), f"is given, but nothing asks for the metric {metric}; {LEAVE_OUT}")


def _search(spec: TrainingSpec) -> Iterator[Problem]:
    search = spec.hyperparameter_search
    if search.sampler in SAMPLER_PACKAGES:
        module, install = SAMPLER_PACKAGES[search.sampler]
        if find_spec(module) is None:
            text = f"is `{search.sampler}`, which needs the package {module}, and that is not installed; run: {install}"
            yield Problem(("hyperparameterSearch", "sampler"), text, (f"Run: {install}",))
    if search.sampler == "cmaes" and len(search.objectives) > 1:
        text = "is `cmaes`, which knows one objective, but `hyperparameterSearch.objectives` names several; use `nsga2`"
        yield Problem(("hyperparameterSearch", "sampler"), text)
    if search.pruner not in ("auto", "none") and len(search.objectives) > 1:
        text = f"is `{search.pruner}`, but no trial can be cut short by several `objectives`; use `auto` or `none`"
        yield Problem(("hyperparameterSearch", "pruner"), text)
    if len(search.objectives) > 1 and spec.objective.constraints:
        text = "bound a search for one metric, but `hyperparameterSearch.objectives` names several; keep one of the two"
        yield Problem(("objective", "constraints"), text)
    generates = spec.options.feature_generation is True
    if generates and spec.algorithms is not None and not GENERATES & set(spec.algorithms):
        text = f"is true, but none of {', '.join(spec.algorithms)} is given generated columns; name one of "
        yield Problem(("options", "featureGeneration"), text + ", ".join(sorted(GENERATES)))
    if len(search.objectives) > 1 and spec.options.ensemble == "greedy":
        text = "is `greedy`, which serves one metric, but `hyperparameterSearch.objectives` names several; use `auto`"
        yield Problem(("options", "ensemble"), text)
    if search.pruner == "wilcoxon" and spec.validation_strategy.type == "leave_one_out":
        text = "is `wilcoxon`, which compares scores fold by fold, but a fold of `leave_one_out` is one row; use `none`"
        yield Problem(("hyperparameterSearch", "pruner"), text)


def _ranges(spec: TrainingSpec) -> Iterator[Problem]:
    """What is wrong with ranges of hyperparameters, whatever the algorithm takes."""
    where = ("hyperparameterSearch", "searchSpace")
    for algorithm, ranges in spec.search_space.items():
        if algorithm not in ALL_ALGORITHMS:
            near = difflib.get_close_matches(algorithm, sorted(ALL_ALGORITHMS), n=1)
            hint = f"; did you mean `{near[0]}`?" if near else ""
            text = "is no algorithm; write {algorithm: {parameter: range}}, or name one `algorithm`"
            yield Problem((*where, algorithm), text + hint)
        elif spec.algorithms is not None and algorithm not in spec.algorithms:
            text = "is not among the algorithms that `algorithm` names; add it there, or take it out here"
            yield Problem((*where, algorithm), text)
        elif not isinstance(ranges, dict):
            text = f"is {shown(ranges)}; a mapping of parameters to ranges is needed ({FORMS})"
            yield Problem((*where, algorithm), text)
        else:
            flat = algorithm not in spec.hyperparameter_search.search_space
            for name, value in ranges.items():
                try:
                    ParameterRange.parse(value)
                except ValueError as error:
                    yield Problem((*where, name) if flat else (*where, algorithm, str(name)), str(error))
