"""Figures beside each other: compared where the set is the same, worse told, unknown told as unknown; packages against packages."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlconsole.core.evaluation import (
    Compared,
    Figure,
    Packages,
    compare_packages,
    dependency_findings,
    evaluate,
    findings,
    lower_is_better,
)
from mlconsole.core.models import Metrics

SET, OTHER = "sha256:" + "a" * 64, "sha256:" + "b" * 64
OLD = Metrics(SET, {"f1": 0.88, "brier": 0.10, "f1/de": 0.87, "f1/pl": 0.858})


def told(values: dict[str, float], evaluation_set: str = SET) -> tuple[str, ...]:
    return findings(evaluate(OLD, Metrics(evaluation_set, values)), "v6")


def test_what_is_nowhere_worse_is_no_finding() -> None:
    assert told(dict(OLD.values)) == ()
    assert told({"f1": 0.90, "brier": 0.09, "f1/de": 0.87, "f1/pl": 0.86, "auc": 0.5}) == ()
    assert told({**OLD.values, "f1": 0.8796}) == (), "the same as people read it"


def test_worse_overall_or_in_a_slice_has_to_be_judged() -> None:
    worse = {**OLD.values, "f1": 0.89, "brier": 0.12, "f1/pl": 0.829}
    assert told(worse) == ("worse than v6 in brier (0.100 → 0.120), F1 · pl (0.858 → 0.829): the reviewer has to say why",)


def test_another_set_compares_nothing() -> None:
    assert told({"f1": 0.1}, OTHER) == ("evaluation: not comparable with v6: other evaluation set (aaaaaa, its own is bbbbbb)",)
    unknown = evaluate(Metrics("", {"f1": 1.0}), Metrics("", {"f1": 0.0}))
    assert not unknown.comparable
    assert unknown.figures == ()
    assert "not recorded" in findings(unknown, "v6")[0]


def test_what_is_not_known_is_told_as_that() -> None:
    without = {name: value for name, value in OLD.values.items() if name != "f1/pl"}
    assert told(without) == ("evaluation: not known whether it is worse than v6 in F1 · pl: it has no figure for that",)
    assert "F1 · pl" in told({**without, "f1/pl": math.nan})[0]


def test_a_margin_is_what_does_not_count() -> None:
    found = evaluate(OLD, Metrics(SET, {**OLD.values, "f1": 0.87, "f1/pl": 0.829}))
    assert [one.name for one in found.worse()] == ["f1", "f1/pl"]
    assert [one.name for one in found.worse(0.01)] == ["f1/pl"]
    assert found.worse(0.029) == ()


def test_foreign_names_are_harmless_and_many_are_counted() -> None:
    many = Metrics(SET, {f"m{number}\x1b": 0.9 for number in range(9)})
    [line] = findings(evaluate(many, Metrics(SET, dict.fromkeys(many.values, 0.1))), "v\x1b6")
    assert line.isprintable()
    assert "and 5 more" in line


_VALUES = st.floats(-1e6, 1e6) | st.sampled_from([math.nan, math.inf])


@given(st.sampled_from(["f1", "brier", "f1/de"]), _VALUES, _VALUES)
def test_the_one_is_worse_where_the_other_is_better(name: str, old: float, new: float) -> None:
    there, back = Figure(name, old, new), Figure(name, new, old)
    opposite = {Compared.WORSE: Compared.BETTER, Compared.BETTER: Compared.WORSE}
    assert back.compared is opposite.get(there.compared, there.compared)
    assert (there.loss > 0) == (there.compared is Compared.WORSE)
    if there.compared is Compared.WORSE:
        assert (new > old) == lower_is_better(name)


@given(st.dictionaries(st.sampled_from(["f1", "f1/de", "f1/pl", "brier"]), _VALUES), st.floats(0, 10), st.floats(0, 10))
def test_a_larger_margin_never_finds_more(new: dict[str, float], one: float, other: float) -> None:
    found = evaluate(OLD, Metrics(SET, new))
    assert set(found.worse(max(one, other))) <= set(found.worse(min(one, other)))


@pytest.mark.parametrize(
    ("recorded", "installed", "found"),
    [
        (["numpy==2.4.6"], {"numpy": "2.4.6"}, Packages()),
        (["numpy==2.4.6"], {"numpy": "2.4.1"}, Packages((("numpy", "2.4.6", "2.4.1"),))),
        (["scikit_learn==1.9"], {"Scikit-Learn": "1.9"}, Packages()),
        (["onnx"], {"onnx": "1.0"}, Packages()),
        (["onnx>=9"], {"onnx": "1.0"}, Packages()),
        (["redis[hiredis]==5.0 ; python_version>'3'"], {"redis": "5.1"}, Packages((("redis", "5.0", "5.1"),))),
        (["skl2onnx==1.2"], {}, Packages((), ("skl2onnx",))),
        (["# a note", "", "-r other.txt"], {}, Packages()),
    ],
)
def test_packages(recorded: list[str], installed: dict[str, str], found: Packages) -> None:
    assert compare_packages(recorded, installed) == found


def test_dependencies_as_findings() -> None:
    assert dependency_findings([], None) == ()
    assert "not known here; the 2 recorded" in dependency_findings(["a==1", "b"], None)[0]
    assert dependency_findings(["a==1", "b"], {"a": "1"}) == (), "what only training needed is no finding"
    assert dependency_findings(["a==1"], {"a": "2"}) == ("made with a 1, its server has 2",)
