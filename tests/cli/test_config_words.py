"""Config documents in lines and columns: what a person reads of what-if, forecasts, findings and texts."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from mlconsole.cli import config_words as words
from mlconsole.engine.documentviews import (
    DifferenceView,
    DocumentView,
    DraftView,
    EntryView,
    FindingView,
    FlipView,
    ForecastRowView,
    ForecastView,
    TextLineView,
    WhatIfRowView,
    WhatIfView,
)

AT = datetime(2026, 3, 5, 14, 10, tzinfo=UTC)


def row(slice_: str = "pl", before: float | None = 22.0, then: float | None = 97.0, **more: object) -> WhatIfRowView:
    values = {"threshold": "0.58 → 0.48", "flips": 525, "n": 698_000, "touched": True, "note": "its record is 31", **more}
    return WhatIfRowView("relevance", slice_, f"/relevance/{slice_}/threshold", before=before, then=then, **values)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("before", "then", "told"),
    [
        (22.0, 97.0, "× 4.4"),
        (22.0, 22.0, "–"),
        (0.0, 97.0, "+ 97"),
        (97.0, 22.0, "× 0.23"),
        (1.0, 400.0, "× 400"),
        (None, 1.0, "?"),
        (1.0, None, "?"),
    ],
)
def test_how_many_times_more(before: float | None, then: float | None, told: str) -> None:
    assert words.times_told(row(before=before, then=then)) == told


def test_what_if_as_it_is_drawn() -> None:
    flip = FlipView(AT, "req-1", "pl", 0.51, False, True, "port closed")
    rows = (row("de", 40.0, 40.0, touched=False, note="", flips=0, threshold="0.62", n=158_000), row(examples=(flip,)))
    other = WhatIfRowView("severity", "fr", "/severity/fr", "0.4", 1.0, 1.0, 0, 10, False)
    lines = words.what_if_told(WhatIfView(7.0, (*rows, other), n=856_000), flips=False)
    assert lines[0] == "what if · last 7 days decided again · 856000 predictions"
    assert lines[1].split() == ["MODEL", "SLICE", "THRESHOLD", "ALERTS/DAY", "THEN", "CHANGE", "FLIPS", "n"]
    assert lines[2].split() == ["relevance", "de", "0.62", "40", "40", "–", "0", "158", "k", "not", "touched"]
    assert lines[3].split() == [
        "relevance",
        "pl",
        "0.58",
        "→",
        "0.48",
        "22",
        "97",
        "×",
        "4.4",
        "525",
        "698",
        "k",
        "▲",
        "its",
        "record",
        "is",
        "31",
    ]
    assert len(lines) == 4, "models that are not touched are left out"
    told = "\n".join(words.what_if_told(WhatIfView(1.0, rows, gaps="Sun 02:00–05:00"), flips=True))
    assert "last day decided again" in told
    assert "gaps: Sun 02:00–05:00" in told
    assert "relevance · pl: 525 of 698 k would be decided otherwise (0.58 → 0.48)" in told
    assert "1 of them:" in told
    assert "0.51  no alert → alert  port closed  req-1" in told


def test_what_can_not_be_known_is_no_figure() -> None:
    unknown = row(before=None, then=None, flips=None, n=12, unknown="another model answered then")
    line = words.what_if_told(WhatIfView(7.0, (unknown,)), flips=True)[-1]
    assert line.split() == ["relevance", "pl", "0.58", "→", "0.48", "?", "?", "?", "?", "12", "?", "another", "model", "answered", "then"]
    assert words.rate(None) == "?"
    assert (words.rate(0.0), words.rate(0.4), words.rate(1234.0)) == ("0", "0.4", "1 234")
    nothing = words.what_if_told(WhatIfView(7.0, (row(touched=False),)), flips=True)
    assert nothing[-1] == "No entry is touched: nothing would be decided otherwise."


def test_the_forecast_says_how_it_stands() -> None:
    rows = (
        ForecastRowView("relevance", "de", 40.0, 52.0, 1, 157, "open", "first answer about 23:00"),
        ForecastRowView("relevance", "en", 118.0, 118.0, 1, 3169, "not touched"),
    )
    lines = words.forecast_told(ForecastView(127, AT, rows))
    assert "looked at again until it is proven" in lines[0]
    assert lines[2].split() == ["relevance", "de", "40", "52", "1", "of", "157", "?", "first", "answer", "about", "23:00"]
    assert lines[3].split() == ["relevance", "en", "118", "118", "1", "of", "3", "169", "not", "touched"]
    broken = (ForecastRowView("relevance", "de", 40.0, 52.0, 90, 157, "broken", "90 a day"),)
    lines = words.forecast_told(ForecastView(127, AT, broken, over=True))
    assert "broken in 1" in lines[0]
    assert lines[2].endswith("✖ broken 90 a day")


def test_findings_have_their_place() -> None:
    found = (
        FindingView("ok", "schema", "schema"),
        FindingView("look", "far", "0.48 is far from its siblings", "/relevance/pl/threshold", 214),
        FindingView("stop", "unknown-field", "title_de does not exist in pl", "/relevance/pl/fields/0"),
    )
    assert words.findings_told(found) == [
        "✖ title_de does not exist in pl   /relevance/pl/fields/0",
        "▲ 0.48 is far from its siblings   line 214  /relevance/pl/threshold",
        "✔ schema",
    ]
    assert words.findings_told(found, passed=False)[-1].startswith("▲")
    assert words.judged_told("the draft of models", 1, 1, 126) == "✖ the draft of models, beside live 126: 1 finding stops it, 1 to look at"
    assert words.judged_told("a.json", 2, 0, None) == "✖ a.json: 2 findings stop it"
    assert words.judged_told("a.json", 0, 0, None) == "✔ a.json: nothing stops it"


def test_differences_are_told_with_their_size() -> None:
    assert words.difference_told(DifferenceView("/a", "a", "changed", "0.58", "0.48", -0.1724)) == "0.58 → 0.48   (−17 %)"
    assert words.difference_told(DifferenceView("/a", "a", "type changed", "1", '"1"')) == '1 → "1"   another type'
    assert words.difference_told(DifferenceView("/a", "a", "added", "", "1")) == "new: 1"
    assert words.difference_told(DifferenceView("/a", "a", "removed", "1", "")) == "gone: 1"
    assert words.structure_told((DifferenceView("", "", "changed", "1", "2", 1.0),))[0].startswith("the whole document  1 → 2")


TEXT = (
    TextLineView(" ", "{", 1, 1),
    TextLineView("-", '  "a": 1', 2, None),
    TextLineView("+", '  "a": 2,', None, 2),
    TextLineView("+", '  "b": 3', None, 3),
    TextLineView("…", "", None, None),
    TextLineView(" ", "}", 90, 91),
)


def test_a_text_diff_below_each_other_and_side_by_side(monkeypatch: pytest.MonkeyPatch) -> None:
    assert words.text_told(TEXT) == [" 1   {", ' 2 -   "a": 1', ' 2 +   "a": 2,', ' 3 +   "b": 3', "   …", "90   }"]
    monkeypatch.setattr(words, "width", lambda: 100)
    lines = words.text_told(TEXT)
    assert lines[1].split("│")[0].split() == ["2", "-", '"a":', "1"]
    assert lines[1].split("│")[1].split() == ["2", "+", '"a":', "2,"]
    assert lines[2].split("│")[0].split() == []
    assert lines[2].split("│")[1].split() == ["3", "+", '"b":', "3"]
    assert all(len(line) <= 100 for line in lines)
    long = (TextLineView("+", "x" * 60, None, 1),)
    assert words.text_told(long) == [f"1 + {'x' * 60}"], "nothing is cut: below each other then"


def test_a_document_in_a_row() -> None:
    draft = DraftView(126, 2, "anna", AT, "why", (), (FindingView("look", "far", "far"), FindingView("ok", "schema", "schema")), ())
    one = DocumentView("models", "production", 127, "sha256:x", 128, 4_000, 126, "DEPLOYING 40 % (deployment 66)", True, draft=draft)
    lines = words.list_told([one, DocumentView("other", "production", None, "", 0, problem="Nobody answers.")])
    assert lines[1].split() == "models 127 40 % , else 126 128 0 values by anna, on 126 1 ▲".replace(" ,", ",").split()
    assert "? other: Nobody answers." in lines
    assert "~ models: DEPLOYING 40 % (deployment 66)" in lines
    assert any("was begun on 126, live is 127: mlconsole config rebase models" in line for line in lines)


def test_the_matrix_shows_what_a_draft_changes() -> None:
    entry = EntryView(
        "relevance",
        "pl",
        "relevance-v7",
        "100 %",
        ("title", "body"),
        "0.48",
        "/relevance/pl",
        214,
        {"threshold": "0.58", "fields": "title"},
    )
    line = words.entries_told([entry])[1]
    assert line.split() == ["relevance", "pl", "relevance-v7", "100", "%", "title→title,body", "0.58→0.48", "214"]
