"""Servers of the AWS protocols on this machine: moto and ministack, and what is missing in them (that part is ours, and says so).

For tests and `mlconsole demo --aws`. Nothing here talks to AWS. Importing this package imports neither moto nor ministack.
"""

from __future__ import annotations

from typing import Any

from mlconsole.plugin import Context, Plugin
from mlconsole_aws_offline.options import OPTIONS


def _lifecycle(context: Context) -> Any:
    from mlconsole_aws_offline.lifecycle import OfflineLifecycle

    return OfflineLifecycle(context)


def _actions(context: Context) -> Any:
    from mlconsole_aws_offline.traffic import OfflineActions

    return OfflineActions(context)


plugin = Plugin(
    name="aws-offline",
    version="0.1.0",
    summary="Servers of the AWS protocols on this machine, for tests and the demo.",
    factories={"lifecycle": _lifecycle, "actions": _actions},
    options=OPTIONS,
)
