"""Probes of what endpoints depend on: `http`, `tcp` and `redis`. Standard library only, and imported only when one is made.

A probe never raises: what does not answer is a sighting with `ok=False`, what could not be asked one with `ok=None`. An `address` of the
form `@service` comes here resolved already, by who makes the context: the environment's lifecycle role knows where its services are.
"""

from __future__ import annotations

from typing import Any

from mlconsole.plugin import Context, Plugin
from mlconsole.plugin.options import Kind, Option

_VERSION = "0.1.0"
_TIMEOUT = Option("timeout", Kind.NUMBER, "seconds that one look may take", 5.0, minimum=0.05, maximum=60)


def _http(context: Context) -> Any:
    from mlconsole_checks.http_probe import HttpProbe

    return HttpProbe(context)


def _tcp(context: Context) -> Any:
    from mlconsole_checks.tcp_probe import TcpProbe

    return TcpProbe(context)


def _redis(context: Context) -> Any:
    from mlconsole_checks.redis_probe import RedisProbe

    return RedisProbe(context)


# Not called as their modules are: importing a submodule would put that in the plugin's place.
http_plugin = Plugin(
    "http",
    _VERSION,
    "A probe: a URL answers as it should.",
    {"probe": _http},
    (
        Option("url", Kind.TEXT, "the URL, without secrets in it"),
        Option("url_env", Kind.TEXT, "the environment variable that holds the URL, where it is a secret"),
        Option("method", Kind.TEXT, "how it is asked", "GET", choices=("GET", "HEAD", "POST")),
        Option("status", Kind.INTEGER, "the status that is wanted; left out, any from 200 to 299", minimum=100, maximum=599),
        Option("contains", Kind.TEXT, "a text that has to stand in the first MB of the answer"),
        Option("latency_ms", Kind.NUMBER, "it has to answer within so many ms", minimum=1),
        Option(
            "headers_env",
            Kind.MAP,
            "header → the environment variable that holds its value",
            of=Option("", Kind.TEXT, "an environment variable"),
        ),
        _TIMEOUT,
    ),
)

tcp_plugin = Plugin(
    "tcp",
    _VERSION,
    "A probe: an address takes connections.",
    {"probe": _tcp},
    (Option("address", Kind.TEXT, "HOST:PORT, or @SERVICE of this environment", required=True), _TIMEOUT),
)

redis_plugin = Plugin(
    "redis",
    _VERSION,
    "A probe: a Redis holds what it should.",
    {"probe": _redis},
    (
        Option("address", Kind.TEXT, "HOST:PORT, or @SERVICE of this environment", required=True),
        Option("db", Kind.INTEGER, "the database", 0, minimum=0),
        Option("keys", Kind.INTEGER, "it holds at least so many keys", minimum=1),
        Option("match", Kind.TEXT, "only keys of this pattern count (vec:*); they are looked through, a million at most"),
        Option("sentinel", Kind.TEXT, "a key that has to be there"),
        Option("memory", Kind.NUMBER, "the share of its maxmemory (else of the machine's) that it may use", minimum=0.01, maximum=1),
        Option("username", Kind.TEXT, "who asks; left out, Redis' default user"),
        Option("password_env", Kind.TEXT, "the environment variable that holds the password"),
        Option("tls", Kind.FLAG, "speak TLS, and check the certificate", default=False),
        _TIMEOUT,
    ),
)
