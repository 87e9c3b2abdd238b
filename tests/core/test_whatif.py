"""Stored observations decided again: against counting them one by one, with gaps, with what can't be known, and bit by bit."""

from __future__ import annotations

import random
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlconsole.core.documents import Layout
from mlconsole.core.entries import Entry
from mlconsole.core.redeciding import DAY, Column, Observation, Span, Tally, added, columns, decide, full_days, gaps, merged, within
from mlconsole.core.whatif import Row, WhatIf, gaps_told, what_if

BEGIN = datetime(2026, 10, 15, tzinfo=UTC).timestamp()
WEEK = (BEGIN, BEGIN + 7 * DAY)


def entry(name: str, threshold: float | None = 0.58, **other: object) -> Entry:
    made = Entry("relevance", name, f"/relevance/{name}", "relevance-v7", 10_000, None, ("title", "body"), threshold)
    return replace(made, **other)  # type: ignore[arg-type]


def observed(n: int, *, slice_: str = "pl", seed: int = 1, span: Span = WEEK) -> list[Observation]:
    draw = random.Random(seed)
    step = (span[1] - span[0]) / n
    return [(span[0] + place * step, slice_, round(draw.betavariate(1.2, 6), 4), f"{slice_}{place}", f"text {place}") for place in range(n)]


def asked(
    rows: list[Observation], before: list[Entry], then: list[Entry], covered: list[Span] | None = None, pointers: tuple[str, ...] = ()
) -> WhatIf:
    spans = {"relevance": [WEEK] if covered is None else covered}
    return what_if(before, then, {"relevance": columns(rows)}, spans, WEEK, pointers=pointers)


def only(found: WhatIf, name: str = "pl") -> Row:
    return next(row for row in found.rows if row.slice == name)


def test_the_drawn_one() -> None:
    rows = observed(20_000) + observed(5_000, slice_="de", seed=2)
    found = asked(rows, [entry("de"), entry("pl")], [entry("de"), entry("pl", 0.48)])
    pl = only(found)
    above = {limit: sum(row[2] is not None and row[2] >= limit for row in rows if row[1] == "pl") for limit in (0.48, 0.58)}
    assert (pl.before, pl.then, pl.flips, pl.n) == (above[0.58] / 7, above[0.48] / 7, above[0.48] - above[0.58], 20_000)
    assert (pl.old, pl.new, pl.touched, pl.unknown, pl.days) == (0.58, 0.48, True, "", 7.0)
    assert pl.record is not None
    assert pl.then is not None
    assert pl.then > pl.record
    assert pl.note == f"its record is {pl.record}"
    de = only(found, "de")
    assert (de.before == de.then, de.flips, de.n, de.note, de.touched) == (True, 0, 5_000, "not touched", False)
    assert (found.gaps, found.n) == ("", 25_000)


def test_the_examples_are_the_doubtful_ones() -> None:
    pl = only(asked(observed(20_000), [entry("pl")], [entry("pl", 0.48)]))
    assert len(pl.examples) == 20
    assert [flip.score for flip in pl.examples] == sorted(flip.score for flip in pl.examples)
    assert pl.examples[0].score < 0.49
    assert {(flip.before, flip.then) for flip in pl.examples} == {(False, True)}
    higher = only(asked(observed(20_000), [entry("pl", 0.48)], [entry("pl", 0.58)])).examples
    assert [flip.score for flip in higher] == sorted((flip.score for flip in higher), reverse=True)
    assert {(flip.before, flip.then) for flip in higher} == {(True, False)}
    same = [(BEGIN + place, "pl", 0.5, f"r{place}\x1b[0m", "\x07") for place in range(300)]
    flips = only(asked(same, [entry("pl")], [entry("pl", 0.5)])).examples
    assert (flips[0].request_id, flips[0].text) == ("r299\\x1b[0m", "\\x07")  # the newest, and harmless


def test_an_alert_is_at_the_threshold_or_above() -> None:
    rows: list[Observation] = [(BEGIN + place, "pl", score, "", "") for place, score in enumerate([0.5] * 100 + [0.6] * 100 + [0.7] * 100)]
    pl = only(asked(rows, [entry("pl", 0.6)], [entry("pl", 0.7)]))
    assert (pl.before, pl.then, pl.flips) == (200 / 7, 100 / 7, 100)


@pytest.mark.parametrize(
    ("becomes", "why"),
    [
        ({"endpoint": "relevance-v8"}, "another model would answer (relevance-v7 → relevance-v8): its scores are not stored"),
        ({"split": {"v7": 9000, "v8": 1000}}, "the split changes: which model would have answered is not known"),
        ({"fields": ("title",)}, "other fields: the model would score otherwise"),
        ({"share": 5000}, "the share changes: which requests would have come is not known"),
        ({"threshold": None}, "it has no threshold"),
    ],
)
def test_what_would_be_scored_otherwise_is_not_known(becomes: dict[str, object], why: str) -> None:
    pl = only(asked(observed(2_000), [entry("pl")], [entry("pl", **{"threshold": 0.48, **becomes})]))  # type: ignore[arg-type]
    assert (pl.unknown, pl.then, pl.flips, pl.examples) == (why, None, None, ())
    assert pl.before is not None  # that is what was


def test_a_key_that_nobody_understands_makes_it_unknown_and_a_comment_does_not() -> None:
    rows = observed(2_000)
    touched = ("/relevance/pl/threshold", "/relevance/pl/min_words")
    assert only(asked(rows, [entry("pl")], [entry("pl", 0.48)], pointers=touched)).unknown == (
        "min_words changes too: what that does to alerts is not known"
    )
    read = ("/relevance/pl/threshold", "/relevance/pl/comment", "/relevance/pl/$x", "/relevance/pl/fields/0")
    assert only(asked(rows, [entry("pl")], [entry("pl", 0.48)], pointers=read)).unknown == ""
    inside = what_if(
        [entry("pl")], [entry("pl", 0.48)], {"relevance": columns(rows)}, {"relevance": [WEEK]}, WEEK,
        pointers=("/relevance/pl/serve/at",), layout=Layout(endpoint="/serve/at"),
    )  # fmt: skip
    assert inside.rows[0].unknown == ""


def test_too_little_is_not_known() -> None:
    new = [entry("pl", 0.48)]
    assert only(asked([], [entry("pl")], new)).unknown == "no prediction of it is stored"
    assert only(asked(observed(199), [entry("pl")], new)).unknown == "only 199 predictions are stored, 200 are needed"
    assert only(asked(observed(200), [entry("pl")], new)).unknown == ""
    unscored: list[Observation] = [(BEGIN + place, "pl", None, "", "") for place in range(1_200)]
    assert only(asked(unscored, [entry("pl")], new)).unknown == "none of its 1 200 predictions has a score"
    soon = only(asked(observed(500, span=(BEGIN, BEGIN + 50)), [entry("pl")], new, [(BEGIN, BEGIN + 50)]))
    assert (soon.unknown, soon.before) == ("only 50 s are stored, 60 s are needed", None)
    elsewhere = only(asked(observed(500, span=(BEGIN, BEGIN + DAY)), [entry("pl")], new, [(BEGIN + DAY, BEGIN + 2 * DAY)]))
    assert elsewhere.unknown == "none of its stored predictions is of the time in which this model answered"


def test_what_has_no_score_is_left_out_and_said() -> None:
    rows = observed(1_000) + [(BEGIN + place, "pl", score, "", "") for place, score in enumerate([None, float("nan"), float("inf")] * 20)]
    pl = only(asked(rows, [entry("pl")], [entry("pl", 0.48)]))
    assert (pl.n, pl.unknown) == (1_000, "")
    assert "60 without a score left out" in pl.note
    whole = only(asked(observed(1_000), [entry("pl")], [entry("pl", 0.48)]))
    assert (pl.before, pl.then, pl.flips) == (whole.before, whole.then, whole.flips)


def test_rates_are_per_day_of_covered_time() -> None:
    """Half of the week was not captured: half as many observations, the same rate."""
    rows = observed(14_000)
    half = [(BEGIN, BEGIN + 2 * DAY), (BEGIN + 4 * DAY, BEGIN + 5.5 * DAY)]
    kept = [row for row in rows if any(begin <= row[0] < end for begin, end in half)]
    found = asked(kept, [entry("pl")], [entry("pl", 0.48)], half)
    more = asked(rows, [entry("pl")], [entry("pl", 0.48)], half)
    assert only(found) == only(more)  # what lies outside does not count
    assert only(found).n == len(kept)
    whole = only(asked(rows, [entry("pl")], [entry("pl", 0.48)]))
    assert only(found).then == pytest.approx(whole.then, rel=0.1)
    assert found.gaps == "4 d of 7 d were not captured, in 2 gaps"
    short = only(asked(observed(1_000, span=(BEGIN, BEGIN + 7200)), [entry("pl")], [entry("pl", 0.48)], [(BEGIN, BEGIN + 7200)]))
    assert short.note == "of 2 h 00 only"
    assert short.record is None


def test_entries_that_come_and_go() -> None:
    rows = observed(2_000) + observed(2_000, slice_="fr")
    found = asked(rows, [entry("pl")], [entry("fr")])
    fr, pl = only(found, "fr"), only(found, "pl")
    assert (fr.before, fr.flips, fr.note, fr.unknown) == (None, None, "new", "")
    assert fr.then is not None
    assert (pl.then, pl.flips, pl.note, pl.unknown) == (None, None, "goes away", "")
    assert pl.before is not None


def test_slices_are_found_as_people_write_them_and_the_rest_by_its_name() -> None:
    rows = observed(1_000) + observed(500, slice_="de") + observed(300, slice_="fr")
    names = [entry("PL"), entry("default")]
    found = asked(rows, names, names)
    assert {row.slice: row.n for row in found.rows} == {"PL": 1_000, "default": 800}
    one = Entry("relevance", "", "/relevance", "relevance-v7", 10_000, None, None, 0.58)
    assert what_if([one], [one], {"relevance": columns(rows)}, {"relevance": [WEEK]}, WEEK).rows[0].n == 1_800


def test_the_record_is_the_highest_full_day() -> None:
    # 3 alerts on the first day, 9 on the second, 5 on the third, which is not over.
    counts = {0: 3, 1: 9, 2: 5}
    rows: list[Observation] = [
        (BEGIN + day * DAY + place, "pl", 0.9 if place < alerts else 0.1, "", "") for day, alerts in counts.items() for place in range(200)
    ]
    tally = decide(columns(rows)["pl"], 0.5, 0.5, [(BEGIN, BEGIN + 2.5 * DAY)])
    assert dict(tally.by_day) == {int(BEGIN // DAY) + day: alerts for day, alerts in counts.items()}
    assert tally.record() == 9
    assert decide(columns(rows)["pl"], 0.5, 0.5, [(BEGIN, BEGIN + 1.5 * DAY)]).record() == 3
    assert decide(columns(rows)["pl"], 0.5, 0.5, [(BEGIN, BEGIN + 0.5 * DAY)]).record() is None
    # Of another day where the day begins two hours earlier.
    assert decide(columns(rows)["pl"], 0.5, 0.5, [(BEGIN - 7200, BEGIN + 2.5 * DAY)], offset=7200).record(7200) == 9


def test_what_comes_late_or_out_of_order_counts_the_same() -> None:
    rows = observed(3_000)
    straight = Column(rows)
    mixed = Column()
    draw = random.Random(5)
    shuffled = draw.sample(rows, len(rows))
    for at in range(0, len(rows), 700):
        mixed.rows.extend(shuffled[at : at + 700])
        assert len(mixed.times) == len(mixed.scores) == len(mixed)  # looked at between, as a screen does
    assert (list(mixed.times), list(mixed.scores)) == (list(straight.times), list(straight.scores))
    assert decide(mixed, 0.3, 0.2, [WEEK]) == decide(straight, 0.3, 0.2, [WEEK])


def test_columns_may_grow() -> None:
    first = columns(observed(500))
    again = columns(observed(100, slice_="de"), first)
    assert again is first
    assert {name: len(column) for name, column in first.items()} == {"pl": 500, "de": 100}


_TIMES = st.floats(0, 20)
_SPANS = st.lists(st.tuples(_TIMES, _TIMES), max_size=5)
_ROWS = st.lists(st.tuples(_TIMES, st.just("pl"), st.none() | st.sampled_from([0.1, 0.2, 0.3, 0.4]), st.just(""), st.just("")), max_size=40)
_LIMITS = st.none() | st.sampled_from([0.1, 0.2, 0.25, 0.3])


@given(_ROWS, _LIMITS, _LIMITS, _SPANS)
def test_it_counts_as_one_would_by_hand(rows: list[Observation], before: float | None, then: float | None, spans: list[Span]) -> None:
    tally = decide(Column(rows), before, then, spans)
    inside = [row for row in rows if any(begin <= row[0] < end for begin, end in spans)]
    scored = [row[2] for row in inside if row[2] is not None]
    assert (tally.n, tally.unscored) == (len(scored), len(inside) - len(scored))
    assert tally.before == (None if before is None else sum(score >= before for score in scored))
    assert tally.then == (None if then is None else sum(score >= then for score in scored))
    if before is not None and then is not None:
        assert tally.flips == len(tally.examples) or tally.flips > 20
        assert tally.flips == sum((score >= before) != (score >= then) for score in scored)
    assert sum(tally.by_day.values()) == (tally.before or 0)


@given(_ROWS, _LIMITS, _LIMITS, _TIMES)
def test_hour_by_hour_it_is_the_same(rows: list[Observation], before: float | None, then: float | None, border: float) -> None:
    whole = decide(Column(rows), before, then, [(0.0, 21.0)], most=3)
    early = decide(Column([row for row in rows if row[0] < border]), before, then, [(0.0, border)], most=3)
    late = decide(Column([row for row in rows if row[0] >= border]), before, then, [(border, 21.0)], most=3)
    both = added(early, late, then, most=3)
    assert replace(both, by_day={}, examples=()) == replace(whole, by_day={}, examples=())
    assert dict(both.by_day) == dict(whole.by_day)
    assert [(flip.score, flip.at) for flip in both.examples] == [(flip.score, flip.at) for flip in whole.examples]


@given(_SPANS, _TIMES, _TIMES)
def test_what_is_covered_and_what_is_not_is_all_of_it(spans: list[Span], one: float, other: float) -> None:
    wanted = (min(one, other), max(one, other))
    covered, missing = within(spans, wanted), gaps(spans, wanted)
    assert merged((*covered, *missing)) == merged([wanted])
    length = sum(end - begin for begin, end in (*covered, *missing))
    assert length == pytest.approx(wanted[1] - wanted[0])


def test_a_day_is_full_but_for_a_hundredth() -> None:
    day = int(BEGIN // DAY)
    assert full_days([(BEGIN, BEGIN + DAY - 600), (BEGIN + DAY, BEGIN + 2 * DAY - 3600)]) == (day,)
    assert Tally().record() is None
    assert Tally().a_day(3) is None


def test_gaps_are_told() -> None:
    assert gaps_told([WEEK], WEEK) == ""
    assert gaps_told([(BEGIN, WEEK[1] - 3 * 3600)], WEEK) == "3 h 00 of 7 d were not captured"
    assert gaps_told([], WEEK) == "7 d of 7 d were not captured"
