"""The embedded default backend: Envoy in front of ONNX model servers, on this machine.

Importing this package imports nothing heavy: Envoy, onnxruntime, numpy, uvicorn and Redis are only touched inside the server processes.
"""

from __future__ import annotations

from typing import Any

from mlconsole.plugin import Context, Plugin
from mlconsole.plugin.options import Kind, Option

_SERVICE = (
    Option("kind", Kind.TEXT, "What it is.", required=True, choices=("redis",)),
    Option("load", Kind.PATH, "The vectors that it holds: lines of word, tab, base64 of little-endian float32.", required=True),
    Option("prefix", Kind.TEXT, "What stands before a word in its key.", ""),
)

OPTIONS = (
    Option("port", Kind.INTEGER, "The gateway's port on 127.0.0.1; else a free one, which it keeps.", minimum=1, maximum=65_535),
    Option("log_megabytes", Kind.INTEGER, "The size at which each log is rotated.", 64, minimum=1, maximum=4096),
    Option(
        "services",
        Kind.MAP,
        "Companion services that models read from.",
        {},
        of=Option("service", Kind.GROUP, "One service.", fields=_SERVICE),
    ),
    Option(
        "config_poll", Kind.NUMBER, "Seconds after which every application has read a config document that is published.", 2.0, minimum=0
    ),
)


def _serving(context: Context) -> Any:
    from mlconsole_local.serving import LocalServing

    return LocalServing(context)


def _traffic(context: Context) -> Any:
    from mlconsole_local.splitting import LocalTraffic

    return LocalTraffic(context)


def _predictions(context: Context) -> Any:
    from mlconsole_local.predictions import PredictionReader

    return PredictionReader(context.state)


def _config(context: Context) -> Any:
    from mlconsole_local.configstore import LocalConfigStore

    return LocalConfigStore(context)


def _lifecycle(context: Context) -> Any:
    from mlconsole_local.lifecycle import LocalLifecycle

    return LocalLifecycle(context)


def _actions(context: Context) -> Any:
    from mlconsole_local.actions import LocalActions

    return LocalActions(context)


plugin = Plugin(
    name="local",
    version="0.1.0",
    summary="Envoy in front of ONNX model servers, on this machine.",
    factories={
        "serving": _serving,
        "traffic": _traffic,
        "predictions": _predictions,
        "config": _config,
        "lifecycle": _lifecycle,
        "actions": _actions,
    },
    options=OPTIONS,
)
