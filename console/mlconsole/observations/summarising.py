"""From observations to summaries and raw rows: the hot loop of ingest.

Each observation is looked at once; its reduced form is put into the lists of all summaries that it belongs to, and each list is then
counted column by column. Foreign values that make no sense (a score that is a word, a latency that is not a number) cost their own figure
and nothing else: one strange line must never stop what comes behind it.
"""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from hashlib import blake2b
from typing import Any

from mlconsole.core.summaries import APPLICATION, SAMPLE, WINDOW, Key, Summary, latency_bucket, score_bucket
from mlconsole.core.text import neutralise
from mlconsole.plugin.roles import Observation

Labels = tuple[tuple[str, str], ...]
"""The labels of a request as they are stored: `(("language", "de"),)`."""

SlicesOf = Callable[[str, Labels, int], tuple[str, ...]]
"""Endpoint, labels and hour → the slices (`KEY=VALUE`) that these count in, beside that of all requests."""

RawRow = tuple[float, Key, str, int, float | None, bool, str | None, float | None, str | None, str | None, str | None]
"""time, key, request id, status, ms, pinned, slices, score, output, input hash, error; the key has the slice `""`."""

_HOUR = 3600
_ERROR = 120
_RAW_ERROR = 500
_TEXT = 200
_CATEGORY = 64
_OUTPUT = 4000
_LONGEST = 1e9
_OK, _FAILED, _THROTTLED = 0, 1, 2
_encoded = json.JSONEncoder(separators=(",", ":"), default=str).encode

_Reduced = tuple[float, int, int | None, int | None, int | None, Observation]
"""time, outcome, latency's bucket, score's bucket, the input's hash (of answered ones), and itself."""


@dataclass
class Digest:
    """What is to be written of some observations."""

    rows: dict[int, list[RawRow]] = field(default_factory=dict)
    """Hour (since the epoch) → raw rows."""
    summaries: dict[tuple[int, Key], Summary] = field(default_factory=dict)
    newest: float = -math.inf


def digest(observations: Iterable[Observation], slices_of: SlicesOf, *, counted: bool = True) -> Digest:
    """Everything of them but the console's own probes, which are no traffic.

    Not `counted`: they are a sample, and somebody else tells how many there were, how many failed and how long they took.
    """
    done = Digest()
    rows = done.rows
    lists: dict[tuple[int, Key], list[_Reduced]] = {}
    belongs: dict[Any, tuple[list[RawRow], Key, str | None, list[list[_Reduced]]]] = {}
    for one in observations:
        if one.probe:
            continue
        time = one.time.timestamp()
        start = int(time // WINDOW) * WINDOW
        variant = APPLICATION if one.application else one.variant or ""
        slices: Any = one.slices
        try:
            group = (one.endpoint, variant, one.shadow, start, tuple(slices.items()))
            found = belongs.get(group)
        except (TypeError, AttributeError):  # a label that is no text
            slices = {}
            group = (one.endpoint, variant, one.shadow, start, ())
            found = belongs.get(group)
        if found is None:
            labels = _labels(slices)
            key = Key(neutralise(one.endpoint), neutralise(variant), one.shadow, "")
            hour = start // _HOUR
            keys = [key, *(key._replace(slice=name) for name in slices_of(key.endpoint, labels, hour))]
            found = (rows.setdefault(hour, []), key, _json(dict(labels)) if labels else None,
                     [lists.setdefault((start, own), []) for own in keys])  # fmt: skip
            belongs[group] = found
        raw, key, labels_text, targets = found
        status = one.status
        if not 0 <= status < 1000:
            status = 0
        ms: Any = one.milliseconds
        if not 0.0 <= ms <= _LONGEST:
            ms = _LONGEST if ms > 0 else 0.0 if ms < 0 else None  # not a number: nobody took the time
        score = one.score
        if score.__class__ is not float and score is not None:
            score = _number(score)
        input_hash = one.input_hash
        reduced: _Reduced
        if 0 < status < 400:
            # Of a score that is not a number there is no bucket, but an output all the same.
            bucket = score_bucket(score) if score is not None and -math.inf < score < math.inf else None
            reduced = (
                time,
                _OK,
                None if ms is None else latency_bucket(ms),
                bucket,
                None if input_hash is None else _hash(input_hash),
                one,
            )
        else:
            reduced = (time, _THROTTLED if status == 429 else _FAILED, None, None, None, one)
        for target in targets:
            target.append(reduced)
        output = one.output
        error = one.error
        raw.append((
            time, key, neutralise(one.request_id)[:_TEXT], status, ms, one.pinned, labels_text, score,
            None if output is None else _json(output),
            None if input_hash is None else neutralise(str(input_hash))[:_TEXT],
            neutralise(error)[:_RAW_ERROR] if error else None,
        ))  # fmt: skip
        if time > done.newest:
            done.newest = time
    done.summaries = {name: _summary(members, fields=not name[1].slice) for name, members in lists.items()}
    if not counted:
        for summary in done.summaries.values():
            summary.n = summary.failed = summary.throttled = 0
            summary.latency = {}
    return done


def add(done: Digest, figures: Mapping[tuple[int, Key], Summary], slices_of: SlicesOf) -> None:
    """Add what a backend counted itself; of a slice that is not counted by, in the one that it counts in."""
    for (start, key), summary in figures.items():
        label, _, value = key.slice.partition("=")
        own = slices_of(key.endpoint, ((label, value),), start // _HOUR) if key.slice else ("",)
        for name in own:
            done.summaries.setdefault((start, key._replace(slice=name)), Summary()).merge(summary)
        done.newest = max(done.newest, summary.last)


def token(value: Any) -> str:
    """What an input field's value counts as: `Summary.fields` says how these are to be read."""
    if isinstance(value, str):
        return "c:" + neutralise(value)[:_CATEGORY]
    if isinstance(value, bool):
        return f"c:{str(value).lower()}"
    if isinstance(value, int | float):
        number = _number(value)
        return "m" if number is None or not math.isfinite(number) else f"n:{score_bucket(number)}"
    if isinstance(value, Mapping) and "length" in value:
        number = _number(value["length"])
        return "m" if number is None or not math.isfinite(number) else f"l:{score_bucket(number)}"
    if value is None or (isinstance(value, Mapping) and value.get("missing")):
        return "m"
    return "c:(other)"


def output_hash(score: float | None, output: Any) -> int:
    """48 bits that tell one output from another, the same in every process: of the score to 6 places, else of the output as a whole."""
    if score is not None:
        return _hash(f"{score:.6f}" if score or score != score else "0.000000")  # -0.0 is 0
    return _hash(json.dumps(output, sort_keys=True, separators=(",", ":"), default=str))


def _summary(members: list[_Reduced], *, fields: bool) -> Summary:
    times, outcomes, latencies, scores, hashes, _ = zip(*members, strict=True)
    summary = Summary(n=len(members), first=min(times), last=max(times))
    counts = Counter(outcomes)
    summary.failed, summary.throttled = counts[_FAILED], counts[_THROTTLED]
    summary.latency = _counted(latencies)
    summary.scores = _counted(scores)
    summary.scored = sum(summary.scores.values())
    distinct = set(hashes)
    distinct.discard(None)
    if distinct:
        kept = set(sorted(distinct)[:SAMPLE])
        border = max(kept)
        sample = summary.sample
        for _, _, _, _, own, one in members:
            if own is not None and own <= border:
                output = output_hash(_number(one.score), one.output)
                # An input that got several outputs: the same one is kept in whatever order they come.
                if output < sample.get(own, output + 1):
                    sample[own] = output
    if summary.failed:
        summary.errors = dict(Counter(_error(one) for _, outcome, _, _, _, one in members if outcome == _FAILED))
    if fields:
        summary.fields = _fields(members)
    return summary.tidied()


def _counted(column: Iterable[int | None]) -> dict[int, int]:
    counts = dict(Counter(column))
    counts.pop(None, None)
    return counts  # type: ignore[return-value]


def _error(one: Observation) -> str:
    return neutralise(one.error)[:_ERROR] if one.error else f"status {one.status}"


def _fields(members: list[_Reduced]) -> dict[str, dict[str, int]]:
    """Values are counted first and made tokens of afterwards: there are far fewer of them. Numbers and texts are told apart from truth
    values, which are equal to 0 and 1, by going the slow way at once.
    """
    columns: dict[str, list[Any]] = {}
    for *_, one in members:
        try:
            for name, value in one.fields.items():
                kind = value.__class__
                column = columns.setdefault(name, [])
                if kind is str or kind is float or kind is int:
                    column.append(value)
                elif kind is dict and value.get("length").__class__ is int:
                    column.append((value["length"], "length"))
                else:
                    column.append((token(value),))
        except (TypeError, AttributeError):
            continue
    fields: dict[str, dict[str, int]] = {}
    for name, values in columns.items():
        tokens = fields.setdefault(neutralise(str(name))[:_CATEGORY], {})
        for value, count in Counter(values).items():
            if value.__class__ is not tuple:
                own = token(value)
            elif len(value) == 1:
                own = value[0]
            else:
                own = token({"length": value[0]})
            tokens[own] = tokens.get(own, 0) + count
    return fields


def _labels(slices: Mapping[Any, Any]) -> Labels:
    known = {neutralise(str(key))[:_CATEGORY]: neutralise(str(value))[:_CATEGORY] for key, value in slices.items() if key and value}
    return tuple(known.items())


def _number(value: Any) -> float | None:
    try:
        return None if value is None or isinstance(value, bool | str) else float(value)
    except (TypeError, ValueError, OverflowError):
        return None


@lru_cache(4096)
def _hash(text: str) -> int:
    return int.from_bytes(blake2b(str(text).encode("utf-8", "surrogatepass"), digest_size=6).digest(), "big")


def _json(value: Any) -> str:
    text = _encoded(value)
    return text if len(text) <= _OUTPUT else _encoded({"(cut)": text[: _OUTPUT // 2]})
