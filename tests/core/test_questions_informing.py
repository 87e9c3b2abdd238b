"""What only informs, by example; and what is drawn: trends and the histogram."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import pytest

from core.drawn import BASELINE, CANARY, COUNTS, DE, EDGES, ENDPOINT, NOW, ON, Kind, Story, evidence, of, the
from mlconsole.core.health import Question, Settings
from mlconsole.core.questions import histogram, judge, trend
from mlconsole.core.summaries import Key, Summary
from mlconsole.core.trends import TRENDS, trend_begin
from mlconsole.core.verdicts import Verdict


def test_drift_of_scores_informs() -> None:
    story = Story(of(Kind(shift=0.3))).until(ON + 900)
    health = story.health()
    assert the(health, Question.SCORE_DRIFT, variant="v3").verdict is Verdict.FAIL
    assert the(health, Question.OVER_THRESHOLD, DE).verdict is Verdict.FAIL
    assert health.verdict is Verdict.PASS
    still = Story().until(ON + 900).health()
    assert the(still, Question.SCORE_DRIFT, variant="v3").verdict is Verdict.PASS
    assert the(still, Question.OVER_THRESHOLD, DE).verdict is Verdict.PASS


def test_drift_of_input_fields_informs() -> None:
    def window(begin: int, german: int, missing: int, long: int) -> Summary:
        fields = {
            "language": {"c:en": 100 - german, "c:de": german},
            "title": {"m": missing, "l:40": 50 - missing // 2, f"l:{40 + long}": 50 - missing // 2},
            "number": {f"n:{i}": 10 for i in range(10)},
        }
        return Summary(n=100, first=begin, last=begin + 9, fields=fields)

    begin = int(NOW)
    windows = {Key(ENDPOINT, "v3", False, ""): {at: window(at, 2, 0, 0) for at in range(begin - 3_500, begin - 900, 10)}}
    windows[Key(ENDPOINT, "v3", False, "")].update({at: window(at, 60, 40, 30) for at in range(begin - 900, begin, 10)})
    answers = {one.subject: one for one in judge(evidence(windows, NOW)).answers if one.question is Question.FIELD_DRIFT}
    assert answers["language"].verdict is Verdict.FAIL
    assert answers["title"].verdict is Verdict.FAIL
    assert "missing 40 %, usual 0 %" in answers["title"].text
    assert answers["number"].verdict is Verdict.PASS
    profile = replace(BASELINE, fields={"language": {"c:en": 800, "c:de": 1_200}})
    answers = {one.subject: one for one in judge(evidence(windows, NOW, baselines={"v3": profile})).answers if one.subject}
    assert answers["language"].verdict is Verdict.PASS, "the profile goes before the usual"
    assert "profile" in answers["language"].text
    windows[Key(ENDPOINT, "v3", False, DE)] = {begin - 900: window(begin - 900, 100, 0, 0)}
    answers = {one.subject: one for one in judge(evidence(windows, NOW, baselines={"v3": profile})).answers if one.subject}
    assert answers["language"].verdict is Verdict.FAIL, "but not for what requests are sliced by"


def test_a_split_that_is_not_as_desired_informs() -> None:
    story = Story(variants=CANARY).until(NOW + 300)
    good = judge(replace(story.evidence, split_since=NOW - 1_000))
    assert next(one for one in good.answers if one.question is Question.SPLIT).verdict is Verdict.PASS
    wrong = judge(replace(story.evidence, split_since=NOW - 1_000, serving={"v3": 0.8, "v4": 0.2}))
    told = next(one for one in wrong.answers if one.question is Question.SPLIT)
    assert told.verdict is Verdict.FAIL
    assert told.value is not None
    early = judge(replace(story.evidence, split_since=NOW + 295))
    assert next(one for one in early.answers if one.question is Question.SPLIT).verdict is Verdict.NO_DATA
    assert wrong.verdict is Verdict.PASS


@pytest.mark.parametrize(("days", "verdict"), [(None, Verdict.PASS), (90.0, Verdict.FAIL), (4_000.0, Verdict.PASS)])
def test_the_age_of_the_data(days: float | None, verdict: Verdict) -> None:
    health = judge(evidence({}, NOW, settings=Settings(cutoff_days=days)))
    answer = the(health, Question.CUTOFF, variant="v3")
    assert answer.verdict is verdict
    assert "data until 2025-12-31" in answer.text
    unknown = judge(evidence({}, NOW, settings=Settings(cutoff_days=9), baselines={}))
    assert not [one for one in unknown.answers if one.question is Question.CUTOFF and one.verdict is Verdict.PASS]


@pytest.mark.parametrize(
    ("told", "verdict"),
    [
        ({"cpu": "35 %", "memory": "120 MB", "disk": "12 GB free", "pid": "7"}, Verdict.PASS),
        ({"disk": "0.4 GB free"}, Verdict.FAIL),
        ({"memory": "97 %"}, Verdict.FAIL),
        ({"disk": "plenty"}, Verdict.PASS),
    ],
)
def test_what_servers_use_informs(told: Mapping[str, str], verdict: Verdict) -> None:
    health = judge(replace(evidence({}, NOW), resources={"v3": told}))
    assert the(health, Question.RESOURCES, variant="v3").verdict is verdict
    assert not health.failing


def test_trends_show_where_it_began() -> None:
    story = Story(of(Kind(collapsed=True))).until(NOW + 600)
    same = trend(story.evidence, "same output", minutes=30)
    assert len(same) == 30
    assert all(value is not None and value < 0.1 for value in same[1:18])
    assert all(value == 1.0 for value in same[-8:-1])
    assert trend_begin(story.now, minutes=30) + 30 * 60 > story.now
    over = trend(story.evidence, "over threshold", DE, ["v3"], minutes=30)
    assert over[-2] == 1.0
    assert trend(story.evidence, "errors", "language=xx", minutes=5) == (None,) * 5
    assert trend(story.evidence, "requests", step=10, minutes=1)[2] == pytest.approx(50, rel=0.2)
    assert trend(story.evidence, "p95", minutes=2)[0] == pytest.approx(21, rel=0.15)
    for name in TRENDS:
        before = trend(story.evidence, name, minutes=30, cache=story.cache)
        assert before == trend(story.evidence, name, minutes=30), "the same, and cheaper"
    story.until(NOW + 650)
    assert trend(story.evidence, "errors", minutes=30, cache=story.cache) == trend(story.evidence, "errors", minutes=30)
    with pytest.raises(ValueError, match="no trend of colour"):
        trend(story.evidence, "colour")


def test_the_histogram_lies_on_its_baselines_edges() -> None:
    story = Story().until(NOW + 300)
    found = histogram(story.evidence, "v3")
    assert found is not None
    assert found.edges == EDGES
    assert sum(found.now) == pytest.approx(1)
    assert found.baseline == tuple(count / sum(COUNTS) for count in COUNTS)
    assert found.psi is not None
    assert found.psi < 0.05
    assert histogram(story.evidence, "v9") is None
