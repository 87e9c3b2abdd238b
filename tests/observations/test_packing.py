"""Summaries as bytes: what is written is read back, and what is something else is told."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlconsole.core.summaries import SAMPLE, Summary
from mlconsole.observations.packing import packed, unpacked

COUNTS = st.one_of(st.integers(0, 300), st.integers(0, (1 << 32) - 1))
BUCKETS = st.dictionaries(st.one_of(st.integers(-400, 400), st.integers(-80_000, 80_000)), COUNTS, max_size=20)
HASHES = st.integers(0, (1 << 48) - 1)
SUMMARIES = st.builds(
    Summary,
    n=COUNTS,
    failed=COUNTS,
    throttled=COUNTS,
    scored=COUNTS,
    first=st.floats(allow_nan=False),
    last=st.floats(allow_nan=False),
    latency=BUCKETS,
    scores=BUCKETS,
    sample=st.dictionaries(HASHES, HASHES, max_size=SAMPLE),
    errors=st.dictionaries(st.text(st.characters(exclude_categories=["Cs"])), COUNTS, max_size=3),
    fields=st.dictionaries(st.sampled_from(["x", "ü"]), st.dictionaries(st.sampled_from(["m", "n:3", "c:dé"]), COUNTS)),
)


@given(SUMMARIES)
def test_what_is_written_is_read_back(summary: Summary) -> None:
    assert unpacked(packed(summary)) == summary
    assert len(packed(summary)) <= len(summary.to_json().encode()) + 60


def test_of_nothing_there_is_a_summary_too() -> None:
    assert unpacked(packed(Summary())) == Summary()
    assert unpacked(packed(Summary())).first == math.inf


@pytest.mark.parametrize("data", [b"", b"{}", b"2" + packed(Summary())[1:], packed(Summary(latency={1: 1}))[:-1]])
def test_something_else_is_told(data: bytes) -> None:
    with pytest.raises(ValueError):
        unpacked(data)
