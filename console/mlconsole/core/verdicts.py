"""Verdicts: what a question about an endpoint, a variant or a slice can be answered with."""

from __future__ import annotations

from enum import StrEnum


class Verdict(StrEnum):
    """Only `PASS` is good; everything else holds, and `FAIL` pages or reverts (invariant 5)."""

    FAIL = "fail"
    ERROR = "error"
    """The question itself could not be asked: a probe's address is wrong, a log can't be read."""
    INCONCLUSIVE = "inconclusive"
    """There is evidence, and it is too little or too near to the limit."""
    NO_DATA = "no_data"
    PASS = "pass"
