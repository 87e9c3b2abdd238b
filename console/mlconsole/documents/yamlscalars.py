"""What an unquoted scalar of YAML is taken for: by us, in the core schema of YAML 1.2, and by the readers of YAML 1.1, which most
applications use. They differ about `no`, `010` and `1e5`: there a person has to look."""

from __future__ import annotations

import math
import re

from mlconsole.core.models import Json

_NOTHING = frozenset({"", "~", "null", "Null", "NULL"})
_FLAGS = {spelling: value for value, word in ((True, "true"), (False, "false")) for spelling in (word, word.capitalize(), word.upper())}
_INTEGER = re.compile(r"[-+]?[0-9]+")
_OCTAL = re.compile(r"0o[0-7]+")
_HEX = re.compile(r"0x[0-9a-fA-F]+")
_FLOAT = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?")
_NOT_FINITE = re.compile(r"[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)")

_OLD_FLAG = re.compile(r"(?:y|Y|yes|Yes|YES|n|N|no|No|NO|on|On|ON|off|Off|OFF)")
_OLD_INTEGER = re.compile(r"[-+]?(?:0b[01_]+|0[0-7_]+|0|[1-9][0-9_]*|0x[0-9a-fA-F_]+)")
_OLD_FLOAT = re.compile(r"[-+]?[0-9][0-9_]*\.[0-9_]*(?:[eE][-+][0-9]+)?|\.[0-9][0-9_]*(?:[eE][-+][0-9]+)?")
_SIXTIES = re.compile(r"[-+]?[0-9][0-9_]*(?::[0-5]?[0-9])+(?:\.[0-9_]*)?")
_DATE = re.compile(
    r"[0-9]{4}-[0-9]{1,2}-[0-9]{1,2}"
    r"(?:(?:[Tt]|[ \t]+)[0-9]{1,2}:[0-9]{2}:[0-9]{2}(?:\.[0-9]*)?(?:[ \t]*(?:Z|[-+][0-9]{1,2}(?::?[0-9]{2})?))?)?"
)
_VERSION = re.compile(r"[0-9]+\.[0-9]+")
_VERSION_NAME = re.compile(r"(?:.*[^a-z])?(?:version|release|revision|tag)s?", re.IGNORECASE)


def scalar(text: str) -> Json:
    """What a plain scalar is in the core schema; infinities and NaN too, which no document may hold."""
    if text in _NOTHING:
        return None
    if text in _FLAGS:
        return _FLAGS[text]
    first = text[0]
    if first not in "0123456789+-.":
        return text
    if _INTEGER.fullmatch(text):
        return int(text)
    if _FLOAT.fullmatch(text):
        return float(text)
    if _HEX.fullmatch(text) or _OCTAL.fullmatch(text):
        return int(text[2:], 16 if text[1] == "x" else 8)
    if _NOT_FINITE.fullmatch(text):
        return math.nan if text[-1] in "nN" else math.inf
    return text


def may_be_number(text: str) -> bool:
    """Whether a plain scalar begins as a number does."""
    return text[:1] in tuple("0123456789+-.")


def taken_otherwise(text: str, value: Json) -> str:
    """What readers of YAML 1.1 take a plain scalar for, where that is something else; empty: they read the same."""
    if isinstance(value, str):
        return _of_text(text)
    if isinstance(value, bool) or value is None:
        return ""
    if isinstance(value, int):
        if text.startswith("0o"):
            return "a text"
        digits = text.lstrip("+-")
        if text.startswith("0x") or digits == "0" or not digits.startswith("0"):
            return ""
        if not _OLD_INTEGER.fullmatch(text):
            return "a text"
        octal = int(digits, 8)
        return "" if octal == abs(value) else f"the number {octal}"
    return "" if _OLD_FLOAT.fullmatch(text) else "a text"


def _of_text(text: str) -> str:
    if _OLD_FLAG.fullmatch(text):
        return "true" if text.lower() in ("y", "yes", "on") else "false"
    if text == "=":
        return "a mistake"
    if text[:1] not in tuple("0123456789+-."):
        return ""
    if _DATE.fullmatch(text):
        return "a date"
    if _SIXTIES.fullmatch(text):
        return "a number to the base 60"
    return "a number" if _OLD_INTEGER.fullmatch(text) or _OLD_FLOAT.fullmatch(text) else ""


def loses_digits(name: str, text: str, value: Json) -> bool:
    """Whether a number was probably meant as a version: 1.10 is the number 1.1."""
    if not isinstance(value, float) or not _VERSION.fullmatch(text):
        return False
    return _VERSION_NAME.fullmatch(name) is not None or (abs(value) >= 1 and text[-1] == "0" and text[-2] != ".")
