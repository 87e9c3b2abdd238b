"""Forecasts: what a published version was said to do, looked at again until it is proven or broken.

What is forecast is the *share* of requests that are alerts, told as alerts a day at the traffic of the forecast: that more requests come
than last week breaks no forecast. It is right within a tolerance, which is the largest of

- 40 % of it: with less a rare alert would have to be waited for for weeks, with more twice the forecast would pass;
- one alert a day, for nobody acts on less;
- what chance makes of the stored observations that it was made from (Wilson's interval, 95 %).

A verdict comes of bounds that hold at every look (`statistics.martingale`), so that one may look after each request. *Proven*: the
bounds (95 %) lie within the tolerance. *Broken*: they lie outside of it, at 5 % divided over all entries that the version touched: of
versions whose forecasts are all right, at most one in twenty has one called broken, however often it is looked at. Both are final.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from mlconsole.core.evidence import NEEDED_USUAL
from mlconsole.core.statistics import Interval, martingale, wilson
from mlconsole.core.whatif import Row
from mlconsole.core.wording import clock, count

ALPHA = 0.05
TOLERANCE = 0.40
"""Of the forecast, either way."""
NOTHING = 1.0
"""Alerts a day that make no difference."""
FURTHEST = 100_000_000
"""More requests than this nobody waits for."""
LONGEST = timedelta(days=30)
"""Nor this long."""


class ForecastVerdict(StrEnum):
    """How a forecast stands."""

    PROVEN = "proven"
    BROKEN = "broken"
    OPEN = "open"
    NOT_TOUCHED = "not touched"
    UNKNOWN = "unknown"

    @property
    def over(self) -> bool:
        """Nothing will change it."""
        return self is not ForecastVerdict.OPEN


@dataclass(frozen=True)
class Forecast:
    """What was said of one entry when its version was published: `alerts` of `n` stored observations in `days` covered days, decided as the
    version decides. `before` is the rate until then (alerts a day)."""

    model: str
    slice: str
    before: float | None
    alerts: int
    n: int
    days: float
    touched: bool = True
    unknown: str = ""
    """Why there is no forecast."""

    @property
    def share(self) -> float:
        """The share of requests that are alerts, as it was forecast."""
        return self.alerts / self.n if self.n else 0.0

    @property
    def a_day(self) -> float | None:
        """The forecast (alerts a day); None where there is none."""
        return self.rate(self.share) if not self.unknown and self.n and self.days else None

    def rate(self, share: float) -> float:
        """A share of requests as alerts a day, at the traffic of the forecast."""
        return share * self.n / self.days if self.days else 0.0

    @property
    def tolerance(self) -> Interval:
        """The shares with which it is right."""
        chance = wilson(self.alerts, self.n)
        within = max(TOLERANCE * self.share, NOTHING * self.days / self.n)
        return Interval(max(0.0, min(self.share - within, chance.low)), self.share, min(1.0, max(self.share + within, chance.high)))


@dataclass(frozen=True)
class Look:
    """A forecast beside what came: `alerts` of `n` requests since the version was read everywhere."""

    verdict: ForecastVerdict
    alerts: int = 0
    n: int = 0
    text: str = ""
    need: int = 0
    """More requests until the first answer, should the forecast be right."""
    at: datetime | None = None
    """When they have come, at the present traffic."""


def forecast_of(row: Row) -> Forecast:
    """A row of a what-if as the forecast that is kept with the version."""
    alerts = round(row.then * row.days) if row.then is not None else 0
    unknown = row.unknown or ("" if row.then is not None or not row.touched else "there is no threshold to be an alert by")
    return Forecast(row.model, row.slice, row.before, alerts, row.n, row.days, row.touched, unknown)


def look(
    forecast: Forecast,
    alerts: int,
    n: int,
    *,
    since: datetime,
    now: datetime,
    touched: int = 1,
    kept: ForecastVerdict | None = None,
    rate: float | None = None,
) -> Look:
    """How a forecast stands after `alerts` of `n` requests.

    `since`: from when they are counted, which is when all clients read the version. `touched`: how many entries the version touched.
    `kept`: the verdict of an earlier look; a final one stays. `rate`: requests a second just now; None: as many as came since.
    """
    if not forecast.touched:
        return Look(ForecastVerdict.NOT_TOUCHED, alerts, n, "not touched")
    if forecast.unknown or not forecast.n or not forecast.days:
        return Look(ForecastVerdict.UNKNOWN, alerts, n, forecast.unknown or "it was made from no observations")
    verdict = kept if kept is not None and kept.over else _verdict(forecast, alerts, n, touched)
    if verdict is not ForecastVerdict.OPEN:
        return Look(verdict, alerts, n, _told(forecast, alerts, n, verdict))
    need = _need(forecast, alerts, n, touched)
    passed = (now - since).total_seconds()
    rate = rate if rate is not None else n / passed if passed > 0 else 0.0
    if need is None:
        return Look(verdict, alerts, n, "too near to the edge of its tolerance for an answer")
    if rate <= 0:
        return Look(verdict, alerts, n, "no request yet" if not n else f"{count(need)} more requests are needed, and none come", need)
    seconds = need / rate
    if seconds > LONGEST.total_seconds():
        return Look(verdict, alerts, n, f"no answer within {LONGEST.days} days at the present traffic", need)
    at = now + timedelta(seconds=seconds)
    return Look(verdict, alerts, n, f"first answer about {clock(at, now)}", need, at)


def over(looks: Iterable[Look]) -> bool:
    """Whether nothing is open any more."""
    return all(one.verdict.over for one in looks)


def _verdict(forecast: Forecast, alerts: int, n: int, touched: int) -> ForecastVerdict:
    right = forecast.tolerance
    share = alerts / n if n else right.estimate
    # Neither none nor all of them: about such a share there is no beta distribution.
    expected = (forecast.alerts + 0.5) / (forecast.n + 1.0)
    against = {edge: martingale(alerts, n, edge, expected) for edge in (right.low, right.high)}
    surely = -math.log(ALPHA / max(1, touched))
    # Of ever so few: the martingale is exact.
    if (share > right.high and against[right.high] >= surely) or (share < right.low and against[right.low] >= surely):
        return ForecastVerdict.BROKEN
    above = right.low <= 0.0 or (share > right.low and against[right.low] >= -math.log(ALPHA))
    below = right.high >= 1.0 or (share < right.high and against[right.high] >= -math.log(ALPHA))
    return ForecastVerdict.PROVEN if n >= NEEDED_USUAL and above and below else ForecastVerdict.OPEN


def _need(forecast: Forecast, alerts: int, n: int, touched: int) -> int | None:
    """How many more requests until there is an answer: should the forecast be right, and where it would have come already, should the share
    stay as it is. None: no number that anybody waits for."""
    for share in (forecast.share, alerts / n if n else forecast.share):
        need = _answered(forecast, share, touched)
        if need is not None and need > n:
            return need - n
    return None


def _answered(forecast: Forecast, share: float, touched: int) -> int | None:
    """The number of requests with which such a share has a verdict: doubled until it has, then halved down."""

    def decided(n: int) -> bool:
        return _verdict(forecast, round(share * n), n, touched) is not ForecastVerdict.OPEN

    high = NEEDED_USUAL
    while not decided(high):
        high *= 2
        if high > FURTHEST:
            return None
    low = high // 2
    while high - low > max(1, low // 100):
        middle = (low + high) // 2
        low, high = (low, middle) if decided(middle) else (middle, high)
    return high


def _told(forecast: Forecast, alerts: int, n: int, verdict: ForecastVerdict) -> str:
    right = forecast.tolerance
    came = f"{_rate(forecast.rate(alerts / n))} a day came" if n else "nothing came"
    meant = f"{_rate(forecast.rate(right.low))} – {_rate(forecast.rate(right.high))}"
    inside = "within" if verdict is ForecastVerdict.PROVEN else "and not within"
    return f"{came}, {inside} {meant}"


def _rate(value: float) -> str:
    return count(value) if value >= 10 else f"{value:.1f}".removesuffix(".0")
