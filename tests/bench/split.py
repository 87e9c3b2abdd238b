"""The observed split of 10 000 requests at 10 %: what consumers counted, and what `endpoints show` read of the logs."""

from __future__ import annotations

import math
from collections.abc import Iterator

from tests.bench.figures import Figure, Say, none_of
from tests.bench.house import ENDPOINT, house, until
from tests.bench.load import Load, by_variant, failures

_REQUESTS = 10_000
_SHARE = 0.10
_ERRORS = 4.0


def measure(long: bool, say: Say) -> Iterator[Figure]:
    """Once; with `long` five times."""
    with house() as made:
        made.deploy("4")
        for turn in range(5 if long else 1):
            made.traffic({"v4": 5000})
            made.traffic({"v4": round(_SHARE * 10_000)})
            say(f"{_REQUESTS} requests at {100 * _SHARE:g} %")
            with Load(made, count=_REQUESTS) as load:
                answers = load.wait()
            counted = by_variant(answers)
            until("all requests in the logs", 20.0, lambda: made.view().requests >= _REQUESTS)
            shown = made.cli("endpoints", "show", ENDPOINT)
            observed = next(one for one in shown["variants"] if one["name"] == "v4")
            number = observed["observed_n"]
            read = (observed["observed"] or 0.0) / 100
            mine = counted["v4"] / len(answers)
            away = abs(mine - _SHARE) / math.sqrt(_SHARE * (1 - _SHARE) / len(answers))
            again = f", again ({turn + 1})" if turn else ""
            yield none_of(f"failed of these {_REQUESTS}{again}", failures(answers), f"{len(failures(answers))}")
            yield Figure(
                f"split of {_REQUESTS} requests at {100 * _SHARE:g} %{again}",
                f"{100 * mine:.2f} %, {away:.2f} standard errors away",
                f"≤ {_ERRORS:g} s.e.",
                away <= _ERRORS,
                {"share": mine, "standard_errors": away, "counted": dict(counted)},
            )
            agree = number == len(answers) and round(read * number) == counted["v4"]
            yield Figure(
                f"endpoints show agrees with the consumers{again}",
                f"shown {round(read * number)} of {number}, counted {counted['v4']} of {len(answers)}",
                "equal",
                agree,
                {"shown": read, "shown_n": number},
            )
