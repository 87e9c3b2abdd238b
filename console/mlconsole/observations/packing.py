"""A summary as bytes: half as large as its JSON, and read in half the time. An hour of windows is thousands of them."""

from __future__ import annotations

import json
from struct import Struct, pack, unpack_from
from struct import error as StructError

from mlconsole.core.summaries import Summary

_HEAD = Struct("<cccIIIIdd")
"""Types of buckets and of counts, how many latencies, scores and samples there are, bytes of the texts, first and last."""
_NUMBERS = Struct("<IIII")
_LOW = (1 << 32) - 1


def packed(summary: Summary) -> bytes:
    """A summary's bytes."""
    latency, scores, sample = summary.latency, summary.scores, summary.sample
    buckets = [*latency, *scores]
    counts = [*latency.values(), *scores.values()]
    hashes = [*sample, *sample.values()]
    texts = json.dumps([summary.errors, summary.fields], separators=(",", ":")).encode() if summary.errors or summary.fields else b""
    wide = "h" if all(-32_768 <= bucket < 32_768 for bucket in buckets) else "i"
    most = max(counts, default=0)
    deep = "B" if most < 1 << 8 else "H" if most < 1 << 16 else "I"
    return b"".join((
        _HEAD.pack(b"1", wide.encode(), deep.encode(), len(latency), len(scores), len(sample), len(texts), summary.first, summary.last),
        _NUMBERS.pack(summary.n, summary.failed, summary.throttled, summary.scored),
        pack(f"<{len(buckets)}{wide}{len(counts)}{deep}{len(hashes)}H{len(hashes)}I", *buckets, *counts,
             *(value >> 32 for value in hashes), *(value & _LOW for value in hashes)),
        texts,
    ))  # fmt: skip


def unpacked(data: bytes) -> Summary:
    """What `packed` wrote.

    Raises:
        ValueError: it is something else.
    """
    try:
        version, wide, deep, latencies, scores, samples, length, first, last = _HEAD.unpack_from(data)
        if version != b"1":
            raise ValueError("another format")
        at = _HEAD.size
        n, failed, throttled, scored = _NUMBERS.unpack_from(data, at)
        at += _NUMBERS.size
        both = latencies + scores
        values = unpack_from(f"<{both}{wide.decode()}{both}{deep.decode()}{2 * samples}H{2 * samples}I", data, at)
        hashes = values[2 * both :]
        outputs = 2 * samples
        errors, fields = json.loads(data[len(data) - length :]) if length else ({}, {})
        return Summary(
            n=n,
            failed=failed,
            throttled=throttled,
            scored=scored,
            first=first,
            last=last,
            latency=dict(zip(values[:latencies], values[both : both + latencies], strict=True)),
            scores=dict(zip(values[latencies:both], values[both + latencies : 2 * both], strict=True)),
            sample={
                hashes[place] << 32 | hashes[outputs + place]: hashes[samples + place] << 32 | hashes[outputs + samples + place]
                for place in range(samples)
            },
            errors=errors,
            fields=fields,
        )
    except StructError as error:
        raise ValueError(f"no summary: {error}") from error
