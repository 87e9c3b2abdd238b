"""Forecasts looked at again and again: right ones are hardly ever called broken, wrong ones are, open ones say when they will be known."""

from __future__ import annotations

import math
import random
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlconsole.core.forecasts import Forecast, ForecastVerdict, forecast_of, look, over
from mlconsole.core.statistics import martingale
from mlconsole.core.whatif import Row

PUBLISHED = datetime(2026, 10, 22, 14, 18, tzinfo=UTC)
DE = Forecast("relevance", "de", 40.0, 364, 158_000, 7.0)
"""52 alerts a day of 22 571 requests, as drawn in screens.md."""
OFTEN = Forecast("relevance", "en", 500.0, 7_000, 70_000, 7.0)
"""1 000 alerts a day of 10 000 requests."""


def verdict(forecast: Forecast, alerts: int, n: int, touched: int = 1) -> ForecastVerdict:
    return look(forecast, alerts, n, since=PUBLISHED, now=PUBLISHED, touched=touched, rate=1.0).verdict


def test_what_was_forecast() -> None:
    assert DE.a_day == pytest.approx(52)
    assert [round(DE.rate(share), 1) for share in DE.tolerance] == [31.2, 52.0, 72.8]
    rare = Forecast("relevance", "de", 1.0, 14, 158_000, 7.0)
    assert [round(rare.rate(share), 1) for share in rare.tolerance] == [1.0, 2.0, 3.4]  # one alert a day, and what chance makes of 14
    none = Forecast("relevance", "de", 1.0, 0, 158_000, 7.0)
    assert (none.tolerance.low, none.tolerance.estimate) == (0.0, 0.0)
    assert none.rate(none.tolerance.high) == pytest.approx(1.0)
    few = Forecast("relevance", "de", 1.0, 4, 400, 7.0)
    assert few.tolerance.high > 2 * few.share  # of four alerts nobody knows much


def test_a_row_becomes_a_forecast() -> None:
    row = Row("relevance", "de", "/relevance/de", 0.62, 0.58, before=40.0, then=52.0, flips=84, n=158_000, touched=True, days=7.0)
    assert forecast_of(row) == DE
    unknown = Row("relevance", "de", "/relevance/de", 0.62, 0.58, n=12, touched=True, unknown="only 12 predictions are stored")
    assert forecast_of(unknown).a_day is None
    assert look(forecast_of(unknown), 1, 10, since=PUBLISHED, now=PUBLISHED).verdict is ForecastVerdict.UNKNOWN
    kept = Row("relevance", "fr", "/relevance/fr", 0.6, 0.6, before=31.0, then=31.0, flips=0, n=605_000, days=7.0)
    assert look(forecast_of(kept), 0, 600, since=PUBLISHED, now=PUBLISHED).text == "not touched"


def test_soon_after_it_is_open_and_says_until_when() -> None:
    now = PUBLISHED + timedelta(minutes=9)
    found = look(DE, 1, 157, since=PUBLISHED, now=now)
    assert found.verdict is ForecastVerdict.OPEN
    assert found.at is not None
    assert timedelta(hours=12) < found.at - now < timedelta(days=2)
    assert found.text.startswith("first answer about ")
    # When that comes as forecast, there is an answer.
    n = 157 + found.need
    assert verdict(DE, round(DE.share * n), n) is ForecastVerdict.PROVEN
    assert verdict(DE, round(DE.share * 0.9 * n), round(0.9 * n)) is ForecastVerdict.OPEN
    assert look(DE, 0, 0, since=PUBLISHED, now=PUBLISHED).text == "no request yet"
    assert "none come" in look(DE, 1, 157, since=PUBLISHED, now=now, rate=0.0).text
    assert look(DE, 1, 157, since=PUBLISHED, now=now, rate=0.001).text == "no answer within 30 days at the present traffic"


def test_an_answer_is_told_and_final() -> None:
    right = look(DE, 95, 41_000, since=PUBLISHED, now=PUBLISHED)
    assert (right.verdict, right.text) == (ForecastVerdict.PROVEN, "52 a day came, within 31 – 73")
    wrong = look(DE, 200, 41_000, since=PUBLISHED, now=PUBLISHED)
    assert (wrong.verdict, wrong.text) == (ForecastVerdict.BROKEN, "110 a day came, and not within 31 – 73")
    silent = look(OFTEN, 0, 2_000, since=PUBLISHED, now=PUBLISHED)
    assert (silent.verdict, silent.text) == (ForecastVerdict.BROKEN, "0 a day came, and not within 600 – 1 400")
    assert look(DE, 0, 10, since=PUBLISHED, now=PUBLISHED, kept=ForecastVerdict.PROVEN).verdict is ForecastVerdict.PROVEN
    assert look(DE, 95, 41_000, since=PUBLISHED, now=PUBLISHED, kept=ForecastVerdict.OPEN).verdict is ForecastVerdict.PROVEN
    assert over([right, wrong])
    assert not over([right, look(DE, 1, 157, since=PUBLISHED, now=PUBLISHED + timedelta(minutes=9))])


def test_more_requests_than_last_week_break_no_forecast() -> None:
    """Ten times the traffic, ten times the alerts."""
    assert verdict(OFTEN, 1_000, 10_000) is ForecastVerdict.PROVEN
    assert verdict(OFTEN, 10_000, 100_000) is ForecastVerdict.PROVEN


def test_where_many_entries_were_touched_one_needs_more_to_be_broken() -> None:
    n = next(n for n in range(100, 5_000) if verdict(OFTEN, n // 5, n) is ForecastVerdict.BROKEN)
    assert verdict(OFTEN, n // 5, n, touched=20) is ForecastVerdict.OPEN
    assert verdict(OFTEN, n // 2, 2 * n + n // 2, touched=20) is ForecastVerdict.BROKEN


def test_a_handful_says_nothing() -> None:
    assert verdict(DE, 10, 10) is ForecastVerdict.OPEN
    assert verdict(DE, 20, 20) is ForecastVerdict.BROKEN
    always = Forecast("m", "s", 1.0, 7_000, 7_000, 7.0)
    assert verdict(always, 199, 199) is ForecastVerdict.OPEN
    assert verdict(always, 200, 200) is ForecastVerdict.PROVEN


def _run(forecast: Forecast, share: float, draw: random.Random, until: int) -> ForecastVerdict:
    """One publication, looked at after every hundred requests or so until it is over."""
    alerts = n = 0
    while n < until:
        step = max(100, n // 12)
        n += step
        alerts += _binomial(step, share, draw)
        found = verdict(forecast, alerts, n)
        if found.over:
            return found
    return ForecastVerdict.OPEN


def _binomial(n: int, share: float, draw: random.Random) -> int:
    """By the gaps between successes: there are few."""
    if share <= 0:
        return 0
    hits, at = 0, 0
    while True:
        at += 1 + int(math.log(1.0 - draw.random()) / math.log1p(-share))
        if at > n:
            return hits
        hits += 1


@pytest.mark.parametrize(("forecast", "until"), [(DE, 150_000), (OFTEN, 6_000)])
def test_a_true_forecast_is_hardly_ever_broken_however_often_one_looks(forecast: Forecast, until: int) -> None:
    draw = random.Random(3)
    found = [_run(forecast, forecast.share, draw, until) for _ in range(150)]
    assert found.count(ForecastVerdict.BROKEN) <= 0.05 * len(found)
    assert found.count(ForecastVerdict.PROVEN) >= 0.9 * len(found)


@pytest.mark.parametrize(("forecast", "until"), [(DE, 150_000), (OFTEN, 6_000)])
@pytest.mark.parametrize("times", [2.0, 0.3])
def test_a_wrong_forecast_is_broken(forecast: Forecast, until: int, times: float) -> None:
    draw = random.Random(4)
    found = [_run(forecast, times * forecast.share, draw, until) for _ in range(60)]
    assert found.count(ForecastVerdict.PROVEN) <= 0.05 * len(found)
    assert found.count(ForecastVerdict.BROKEN) >= 0.95 * len(found)


def test_at_the_edge_of_the_tolerance_it_is_hardly_ever_broken() -> None:
    """Where the bounds have to be honest: the true share is as far from the forecast as it may be."""
    draw = random.Random(5)
    found = [_run(OFTEN, OFTEN.tolerance.high, draw, 20_000) for _ in range(100)]
    assert found.count(ForecastVerdict.BROKEN) <= 5


@settings(max_examples=50)
@given(st.integers(1, 300), st.floats(0.01, 0.9), st.floats(0.01, 0.9))
def test_the_martingale_is_one(n: int, share: float, expected: float) -> None:
    """Its mean stays 1 while the share is the true one: that is why one may look as often as one likes."""
    ways = (math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1) for k in range(n + 1))
    mean = sum(
        math.exp(way + k * math.log(share) + (n - k) * math.log1p(-share) + martingale(k, n, share, expected)) for k, way in enumerate(ways)
    )
    assert mean == pytest.approx(1.0, rel=1e-6)


def test_looked_at_each_time_it_hardly_ever_rejects_what_is_true() -> None:
    draw = random.Random(6)
    rejected = 0
    for _ in range(300):
        k = 0
        for n in range(1, 401):
            k += draw.random() < 0.05
            if martingale(k, n, 0.05, 0.08) >= math.log(10):
                rejected += 1
                break
    assert rejected <= 30


def test_what_can_not_be_is_rejected() -> None:
    assert martingale(1, 10, 0.0, 0.1) == martingale(9, 10, 1.0, 0.1) == math.inf
    assert martingale(0, 0, 0.3, 0.1) == 0.0
