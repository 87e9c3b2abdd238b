"""The notifier `webhook`: a POST of JSON. `text` is what Slack, Mattermost and their like show; all else stands under `mlconsole`.

The URL of a webhook is a secret: no error repeats it, nor what a server says back of it.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from urllib.parse import unquote

from mlconsole.core.models import Json
from mlconsole.core.text import neutralise
from mlconsole.plugin import Context
from mlconsole.plugin.errors import InvalidRequest, Refused, Throttled, Unavailable
from mlconsole.plugin.roles import Notice
from mlconsole.plugin.web import Reply, ask, split, variable
from mlconsole.plugin.wire import Deadline, Unanswered, Unasked, short

_MOST = 10_000
"""Bytes that are read of an answer."""

_LATER = frozenset({408, 425})


class Webhook:
    """See `plugin.roles.Notifier`."""

    def __init__(self, context: Context) -> None:
        self._options = context.options

    def send(self, notice: Notice, timeout: float) -> None:
        """Hand it over."""
        url = self._url()
        headers = {"content-type": "application/json; charset=utf-8", "idempotency-key": _header(notice.key)}
        body = json.dumps(_body(notice), allow_nan=False, default=str).encode()
        deadline = Deadline.after(min(timeout, self._options["timeout"]))
        try:
            reply = ask("POST", url, deadline, headers=headers, body=body, most=_MOST, proxies=True)
        except (Unasked, Unanswered) as error:
            raise Unavailable(f"The webhook does not answer: {_without(url, str(error))}. Nobody may have been told.") from None
        if 200 <= reply.status < 300:
            return
        told = f"{reply.status}{_reason(url, reply)}"
        if reply.status == 429:
            wait = short(reply.headers.get("retry-after", ""), 40)
            raise Throttled(f"The webhook takes no more just now ({told}){f', and asks for {wait} s' if wait.isdecimal() else ''}.")
        if reply.status >= 500 or reply.status in _LATER:
            raise Unavailable(f"The webhook is in trouble ({told}).")
        if 300 <= reply.status < 400:
            raise Refused(f"The webhook sends elsewhere ({told}), and a notice goes nowhere else.", next="Give it the URL that is meant.")
        raise Refused(f"The webhook refuses it ({told}).", next="Look at its URL, and whether it still exists.")

    def _url(self) -> str:
        options = self._options
        if (options["url"] is None) == (options["url_env"] is None):
            raise InvalidRequest("The webhook needs one of url_env and url.", next="Write url_env: NAME in mlconsole.yaml.")
        if options["url"] is not None:
            url = str(options["url"])
        else:
            try:
                url = variable(options["url_env"])
            except Unasked as error:
                # A process that has it may come later: the notice is worth waiting for.
                raise Unavailable(f"The webhook has no URL: {error}.", next="Set it where the guardian is started.") from None
        try:
            split(url)
        except Unasked as error:
            raise InvalidRequest(f"The webhook's URL can't be used: {error}.") from None
        return url


def _body(notice: Notice) -> Mapping[str, Json]:
    lines = [neutralise(line) for line in (notice.title, *notice.lines)]
    return {
        # Slack takes <!channel> and <http://…|text> for commands, also in a text that a model's server sent.
        "text": "\n".join(lines).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;"),
        "mlconsole": {
            "key": notice.key,
            "title": lines[0],
            "lines": lines[1:],
            "severity": notice.severity,
            "environment": notice.environment,
            "alarm": notice.alarm,
            "fields": _plain(notice.fields),
        },
    }


def _plain(value: Json) -> Json:
    """A value with its texts made harmless, and without numbers that JSON does not have."""
    if isinstance(value, str):
        return neutralise(value)
    if isinstance(value, Mapping):
        return {neutralise(str(key)): _plain(one) for key, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(one) for one in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def _header(key: str) -> str:
    return "".join(char if char.isascii() and char.isprintable() else "_" for char in key)[:200]


def _reason(url: str, reply: Reply) -> str:
    # Looked through before it is cut: half a token is half too much.
    said = short(_without(url, reply.body.decode("utf-8", "replace")), 80)
    return f": {said}" if said else ""


def _without(url: str, text: str) -> str:
    """A text without the parts of the URL that let somebody in."""
    parts = split(url)
    secret = f"{parts.path}?{parts.query}" if parts.query else parts.path
    pieces = {secret, *secret.replace("?", "/").replace("&", "/").replace("=", "/").split("/")}
    for piece in sorted({*pieces, *map(unquote, pieces)}, key=len, reverse=True):
        if len(piece) >= 4:
            text = text.replace(piece, "…")
    return text
