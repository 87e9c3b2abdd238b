"""Values of environment files: what they are in JSON, and which of them nobody may see."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping

from mlconsole.core.models import Json
from mlconsole.core.pointers import MISSING
from mlconsole.documents.finding import LARGEST, MOST_DIGITS

_INTEGER = re.compile(r"[-+]?[0-9]+")
_NUMBER = re.compile(r"[-+]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][-+]?[0-9]+)?")
_FLAGS = {"true": True, "yes": True, "on": True, "1": True, "false": False, "no": False, "off": False, "0": False}

_SECRET_WORDS = frozenset({"token", "key", "keys", "pwd", "private", "credential", "credentials"})
_SECRET_ENDS = frozenset({"pass", "auth", "pat", "dsn", "salt", "signature", "cert"})
"""Words that mean a secret when a name ends with them: a PASS_RATE is none."""

_SECRET_PARTS = ("password", "passwd", "passphrase", "secret", "credential", "apikey", "accesskey", "privatekey", "authtoken", "apitoken")
_SECRET_VALUE = re.compile(
    r"://[^/\s:@]*:[^/\s@]+@"  # an address with a password in it
    r"|-----BEGIN "
    r"|\b(?:AKIA|ASIA)[A-Z0-9]{16}\b"
    r"|\b(?:gh[pousr]_|github_pat_|xox[abprs]-|sk-|glpat-)[A-Za-z0-9_-]{10,}"
    r"|\beyJ[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_-]{10,}\."
)


def secret_name(name: str) -> bool:
    """Whether a name says that its value is a secret."""
    lower = name.lower()
    words = re.split(r"[^a-z0-9]+", lower)
    plain = "".join(words)
    return not _SECRET_WORDS.isdisjoint(words) or words[-1] in _SECRET_ENDS or any(part in plain for part in _SECRET_PARTS)


def secret_value(text: str) -> bool:
    """Whether a value is one of the well known kinds of secrets, whatever its name says."""
    return _SECRET_VALUE.search(text) is not None


def fitting(text: str, present: Json) -> tuple[Json, str]:
    """The value of a text where `present` stands now (MISSING: nothing), or why there is none: `is a number, and this is none`."""
    if isinstance(present, bool):
        flag = _FLAGS.get(text.lower())
        return flag, "" if flag is not None else "is true or false, and this is neither"
    if isinstance(present, int | float):
        number = _number(text)
        return number, "" if number is not None else "is a number, and this is none"
    if isinstance(present, str):
        return text, ""
    if isinstance(present, list | tuple):
        return _list(text, list(present))
    if isinstance(present, Mapping):
        value = _json(text)
        return value, "" if isinstance(value, dict) else "is an object, and this is none"
    flag = _FLAGS.get(text.lower()) if text.lower() in ("true", "false") else None
    if flag is not None:
        return flag, ""
    number = _number(text)
    return (text if number is None else number), ""


def _number(text: str) -> int | float | None:
    if len(text) > MOST_DIGITS:
        return None
    if _INTEGER.fullmatch(text):
        whole = int(text)
        return whole if -LARGEST - 1 <= whole <= LARGEST else None
    if not _NUMBER.fullmatch(text):
        return None
    number = float(text)
    return number if math.isfinite(number) else None


def _list(text: str, present: list[Json]) -> tuple[Json, str]:
    """Items by comma, each of the kind that all present ones are of; JSON's own spelling is understood, too."""
    value = _json(text) if text.startswith("[") else None
    if isinstance(value, list):
        return value, ""
    items = [item.strip() for item in text.split(",")] if text.strip() else []
    if items and not items[-1]:
        items.pop()
    kinds = {type(item) for item in present}
    like = present[0] if present and (len(kinds) == 1 or kinds <= {int, float}) else MISSING
    if isinstance(like, list | dict):
        return None, "is a list of lists or objects, and this is none"
    if like is MISSING:
        return list(items), ""
    found = [fitting(item, like) for item in items]
    if any(why for _, why in found):
        return None, "is a list whose items are of another kind"
    return [item for item, _ in found], ""


def _json(text: str) -> Json:
    try:
        return json.loads(text, parse_constant=_refused)
    except (ValueError, RecursionError):
        return MISSING


def _refused(word: str) -> Json:
    raise ValueError(word)
