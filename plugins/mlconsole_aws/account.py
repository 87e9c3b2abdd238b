"""The account as such: as whom we act there, and what it was asked today."""

from __future__ import annotations

from mlconsole.plugin.roles import Caller, Context
from mlconsole.plugin.using import Usage
from mlconsole_aws.clients import clients_of
from mlconsole_aws.counting import METRICS
from mlconsole_aws.identity import identity

METRIC_DOLLARS = 0.01 / 1000
"""For each metric that GetMetricData is asked for: CloudWatch takes $0.01 for a thousand."""


class AwsAccount:
    """Played in every environment that has any role of this plugin, so that as whom one acts is always known."""

    def __init__(self, context: Context) -> None:
        self._clients = clients_of(context)

    def identity(self) -> Caller:
        """Whose credentials are used now."""
        return identity(self._clients)

    def usage(self) -> Usage:
        """Requests, throttled ones, and what a day of asking for metrics as today costs."""
        calls, throttled = self._clients.tally.today()
        metrics = calls.pop(METRICS, 0)
        now = self._clients.clock.now()
        gone = (now - now.replace(hour=0, minute=0, second=0, microsecond=0)).total_seconds()
        return Usage(
            backend="aws",
            calls=dict(calls),
            throttled=dict(throttled),
            dollars_a_day=round(metrics * METRIC_DOLLARS * 86_400 / max(gone, 3_600.0), 2) if metrics else 0.0,
            priced=f"{metrics} metrics asked for so far" if metrics else "no metric was asked for",
        )
