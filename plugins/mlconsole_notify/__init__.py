"""Ways to tell people: `webhook` and `command`. Standard library only, and imported only when one is made."""

from __future__ import annotations

from typing import Any

from mlconsole.plugin import Context, Plugin
from mlconsole.plugin.options import Kind, Option

_VERSION = "0.1.0"
_TIMEOUT = Option("timeout", Kind.NUMBER, "seconds that one notice may take", 10.0, minimum=0.05, maximum=120)


def _webhook(context: Context) -> Any:
    from mlconsole_notify.webhook_notifier import Webhook

    return Webhook(context)


def _command(context: Context) -> Any:
    from mlconsole_notify.command_notifier import Command

    return Command(context)


# Not called as their modules are: importing a submodule would put that in the plugin's place.
webhook_plugin = Plugin(
    "webhook",
    _VERSION,
    "Tells people by a POST of JSON that Slack and its like understand.",
    {"notifier": _webhook},
    (
        Option("url_env", Kind.TEXT, "the environment variable that holds the URL: who knows it can write there"),
        Option("url", Kind.TEXT, "the URL itself, where it is no secret"),
        _TIMEOUT,
    ),
)

command_plugin = Plugin(
    "command",
    _VERSION,
    "Tells people by a command that gets the notice on its standard input.",
    {"notifier": _command},
    (
        Option("run", Kind.LIST, "the program and its arguments; no shell", required=True, of=Option("", Kind.TEXT, "a text")),
        _TIMEOUT,
    ),
)
