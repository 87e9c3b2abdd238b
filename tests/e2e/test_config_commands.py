"""`config` as scripts and people meet it: looking, drafts, bad input, findings, what-if; through the real command line."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pytest

from e2e.config_kit import MODELS, changed, draft, live, outside
from e2e.kit import NASTY, Simulated, clean, screen
from mlconsole.core.documents import digest_of
from mlconsole.plugin.simulator import Fault, FaultKind

# Looking.


def test_it_is_looked_at(published: Simulated) -> None:
    assert live(published) == live(published, "--version", "1") == live(published, "--version", "staging") == MODELS
    body = published.json("config", "show", "models")
    assert (body["text"], body["digest"]) == (MODELS, digest_of(MODELS.encode()))
    told = published.run("config", "show", "models", "--entries").out.splitlines()
    assert told[0].split() == ["MODEL", "SLICE", "ENDPOINT", "SHARE", "FIELDS", "THRESHOLD", "LINE"]
    assert told[2].split() == ["relevance", "de", "relevance", "100", "%", "text,language", "0.62", "4"]
    entries = published.json("config", "show", "models", "--entries")["entries"]
    assert [(one["slice"], one["threshold"], one["pointer"]) for one in entries][2] == ("pl", "0.61", "/relevance/pl")
    told = published.run("config", "list", "models").out
    assert "config models · staging · live 1, 100 % of the clients · #1 · grows by quick" in told
    assert "the first" in told
    assert "There is no draft" in published.run("config", "diff", "models", "--exit-code").out


# Drafts.


def test_an_edit_changes_that_value_and_nothing_else(published: Simulated) -> None:
    told = published.run("config", "edit", "models", "relevance.pl.threshold=0.57", "--reason", "pl misses some").out
    assert "✔ draft of models, edition 3, on 1: 1 value changes for one language of relevance" in told
    assert "relevance · pl · threshold" in told
    assert "0.61 → 0.57" in told
    assert "−7 %" in told
    assert "line 5" in told
    wanted = changed(MODELS, "pl", "0.57")
    assert live(published, "--version", "draft") == wanted
    assert live(published) == MODELS, "nobody reads a draft"
    told = published.run("config", "diff", "models").out
    assert "config models · live 1 → draft on 1" in told
    assert "/relevance/pl/threshold" in told
    assert "- " in told
    assert '"threshold": 0.57' in told
    assert "/relevance" not in published.run("config", "diff", "models", "--text").out
    assert '"threshold"' not in published.run("config", "diff", "models", "--structure").out
    assert published.run("config", "diff", "models", "--exit-code", code=1).out == told
    body = published.json("config", "diff", "models", "1", "draft")
    [one] = body["differences"]
    assert (one["pointer"], one["kind"], one["old"], one["new"]) == ("/relevance/pl/threshold", "changed", "0.61", "0.57")
    assert one["relative"] == pytest.approx(-0.04 / 0.61)
    told = published.run("config", "list").out
    assert re.search(r"models +1 +100 % +1 +1 value by \S+, on 1", told), told

    told = published.run("config", "set", "models", "/relevance/en/threshold", "0.59", "--edition", "3").out
    assert "edition 4" in told
    wanted = changed(wanted, "en", "0.59")
    assert live(published, "--version", "draft") == wanted
    assert "meanwhile" in published.run("config", "set", "models", "relevance.en.threshold", "0.5", "--edition", "3", code=5).err
    assert live(published, "--version", "draft") == wanted
    body = published.json("config", "edit", "models", 'relevance.pl.fields=["text"]', "relevance.en.label=Uber", "--remove", "note")
    kinds = {one["pointer"]: (one["kind"], one["new"]) for one in body["document"]["draft"]["differences"]}
    assert kinds["/relevance/pl/fields/1"][0] == "removed"
    assert kinds["/relevance/en/label"] == ("added", '"Uber"')
    assert kinds["/note"][0] == "removed"
    assert draft(published)["reason"] == "pl misses some", "it stays until another is given"

    assert "throws the draft of models away, and nobody said yes" in published.run("config", "discard", "models", code=2).err
    assert "Nothing has happened." in published.run("config", "discard", "models", "--dry-run").out
    assert draft(published)["edition"] == 5
    assert "is gone. Live is 1, as before." in published.run("config", "discard", "models", "--yes").out
    assert "Nothing to do" in published.run("config", "discard", "models", "--yes").out
    assert draft(published) is None


def test_a_value_set_on_the_wrong_language_is_named_and_moved(published: Simulated) -> None:
    told = published.run("config", "set", "models", "relevance.pl.threshold", "0.45", "--reason", "de misses too many").out
    assert re.search(r"▲ .*\bde\b.*\bpl\b", told), told
    told = published.run("config", "move", "models", "relevance.pl.threshold", "de").out
    assert "relevance · de · threshold" in told
    assert live(published, "--version", "draft") == changed(MODELS, "de", "0.45")
    assert "nothing to move" in published.refused("config", "move", "models", "relevance.pl.threshold", "de")
    assert "Did you mean" in published.refused("config", "move", "models", "relevance.de.threshold", "plx")


def test_values_of_an_environment_file(published: Simulated) -> None:
    (published.root / "app.env").write_text("RELEVANCE_PL_THRESHOLD=0.66\nUNKNOWN_THING=1\n")
    told = published.run("config", "import-env", "models", "app.env")
    assert "relevance · pl · threshold" in told.out
    assert "UNKNOWN_THING" in told.err
    assert live(published, "--version", "draft") == changed(MODELS, "pl", "0.66")
    (published.root / "none.env").write_text("HOME=/root\n")
    assert "Nothing of this environment file could be placed" in published.run("config", "import-env", "models", "none.env", code=2).err
    assert "can't be read" in published.refused("config", "import-env", "models", "missing.env")


def test_somebody_published_since_the_draft_was_begun(published: Simulated) -> None:
    published.run("config", "set", "models", "relevance.en.threshold", "0.59")
    kept = live(published, "--version", "draft")
    published.run("config", "discard", "models", "--yes")
    published.run("config", "set", "models", "relevance.pl.threshold", "0.57")
    outside(published, 2, changed(MODELS, "de", "0.63"))
    assert "was changed outside mlconsole" in published.run("config", "publish", "models", "--at-once", "--yes", code=5).err
    published.run("config", "adopt", "models", "--reason", "they were right")
    result = published.run("config", "publish", "models", "--at-once", "--yes", code=5)
    assert "was begun on version 1, live is 2" in result.err
    assert "mlconsole config rebase models" in result.err
    assert "mlconsole config rebase models" in published.run("config", "list").out
    published.run("config", "rebase", "models")
    assert live(published, "--version", "draft") == changed(changed(MODELS, "de", "0.63"), "pl", "0.57")
    published.run("config", "publish", "models", "--at-once", "--yes")
    published.run("config", "edit", "models", "relevance.de.threshold=0.64")
    outside(published, 4, changed(MODELS, "de", "0.65"))
    published.run("config", "adopt", "models")
    result = published.run("config", "rebase", "models", code=5)
    assert "relevance · de · threshold" in result.err
    assert kept != live(published, "--version", "draft")
    assert draft(published)["base"] == 3, "nothing was changed"


# Bad input: each one clear line, exit 2, and the draft is kept.

UNREADABLE = {
    "broken": (b'{"relevance": {', "line 1"),
    "twice": (b'{"a": 1,\n "a": 2}', "line 2"),
    "NaN": (b'{"threshold": NaN}', "NaN"),
    "huge number": (b'{"threshold": 1e999}', "too large"),
    "deep": (b"[" * 200 + b"]" * 200, "deep"),
    "no UTF-8": (b'{"a": "\xff"}', "UTF-8"),
    "empty": (b"", "empty"),
}


def test_bytes_that_cannot_be_read_are_kept_and_told(published: Simulated) -> None:
    for edition, (name, (body, told)) in enumerate(UNREADABLE.items(), 3):
        (published.root / "bad.json").write_bytes(body)
        sentence = published.refused("config", "edit", "models", "--file", "bad.json")
        assert told in sentence, (name, sentence)
        assert "It is kept; nothing was published." in sentence, name
        assert draft(published)["edition"] == edition, name
    error = published.run("config", "edit", "models", "--file", "bad.json", "--json", code=2).error
    assert error["message"] in sentence
    result = published.run("config", "publish", "models", "--at-once", "--yes", code=7)
    assert "lint stops this. Nothing was published." in result.err
    assert published.run("config", "lint", "models", code=1).out.startswith("✖")
    published.run("config", "diff", "models")
    assert live(published) == MODELS


def test_a_document_that_is_too_large(published: Simulated) -> None:
    (published.root / "large.json").write_bytes(b'"' + b"x" * 1_000_001 + b'"')
    assert "1 000 000 bytes" in published.refused("config", "edit", "models", "--file", "large.json")
    assert "1 000 000 bytes" in published.refused("config", "lint", "models", "--file", "large.json")
    assert draft(published) is None


BAD_WORDS: list[tuple[list[str], str]] = [
    (["edit", "models"], "No value was named"),
    (["edit", "models", "relevance.pl.threshold"], "POINTER=VALUE is wanted"),
    (["edit", "models", "=0.4"], "POINTER=VALUE is wanted"),
    (["edit", "models", "relevance..threshold=0.4"], "a part between dots is empty"),
    (["edit", "models", "/a~2b=1"], "is no JSON pointer"),
    (["edit", "models", "relevance.plx.threshold=0.4"], "There is no relevance · plx"),
    (["edit", "models", "relevance.pl.threshold.deeper=1"], "threshold"),
    (["edit", "models", "relevance.pl.threshold=NaN"], "NaN"),
    (["edit", "models", "relevance.pl.threshold=1e999"], "too large"),
    (["edit", "models", 'relevance.pl.fields=["text"'], "is no value"),
    (["edit", "models", 'relevance.pl={"a": 1, "a": 2}'], "is no value"),
    (["edit", "models", "a=1", "a=2"], "is given twice"),
    (["edit", "models", "relevance.pl.threshold=1", "--remove", "relevance.pl.threshold"], "is given twice"),
    (["edit", "models", "--remove", "relevance.pl.nothing"], "nothing"),
    (["edit", "models", "a=1", "--file", "config/models.json"], "one of the two"),
    (["edit", "models", "--file", "missing.json"], "can't be read"),
    (["edit", "models", "--file", "config"], "can't be read"),
    (["edit", "modelz", "a=1"], "Did you mean models?"),
    (["show", "modelz"], "Did you mean models?"),
    (["show", "models", "--version", "99"], "has no version 99"),
    (["show", "models", "--version", "lve"], "Did you mean live"),
    (["diff", "models", "1", "99"], "has no version 99"),
    (["list", "modelz"], "Did you mean models?"),
    (["rebase", "models"], "has no draft"),
    (["whatif", "models"], "has no draft"),
    (["lint", "models", "--file", "missing.json"], "can't be read"),
    (["publish", "models", "--at-once", "--policy", "quick"], "Name one of the two"),
    (["publish", "models", "--at-once", "--attended"], "Name one of the two"),
    (["publish", "models", "--yes"], "nothing to publish"),
    (["publish", "modelz"], "Did you mean models?"),
    (["revert", "models", "--yes"], "is the first release"),
    (["revert", "models", "--to", "one"], "a number like 2 is wanted"),
    (["revert", "models", "--to", "9"], "There is no release #9 of config models"),
    (["revert", "models", "--to", "1", "--change", "1"], "one of the two"),
    (["revert", "modelz"], "Did you mean models?"),
    (["adopt", "models"], "Nothing to adopt"),
    (["publsh", "models"], "Did you mean publish?"),
    (["edit", "models", f"relevance.pl.{NASTY}.x=1"], "There is no"),
]


def test_bad_words(published: Simulated) -> None:
    without = [(words, told) for words, told in BAD_WORDS if words[0] not in ("edit", "lint")]
    for words, told in without:
        sentence = published.refused("config", *words)
        assert told in sentence, (words, sentence)
    published.run("config", "set", "models", "relevance.pl.threshold", "0.57")
    for words, told in BAD_WORDS:
        if words[0] in ("edit", "lint"):
            sentence = published.refused("config", *words)
            assert told in sentence, (words, sentence)
    body = published.json("config", "list", "models")["documents"][0]
    assert (body["version"], body["release"], body["draft"]["edition"]) == (1, 1, 3)
    assert live(published, "--version", "draft") == changed(MODELS, "pl", "0.57")


def test_a_draft_of_what_cannot_be_read_takes_no_value(published: Simulated) -> None:
    (published.root / "bad.json").write_text("{")
    published.refused("config", "edit", "models", "--file", "bad.json")
    sentence = published.refused("config", "set", "models", "relevance.pl.threshold", "0.5")
    assert "can't be changed value by value as it is" in sentence
    assert live(published, "--version", "draft") == "{"


def test_foreign_text_is_harmless_on_a_screen_and_whole_in_a_pipe(published: Simulated) -> None:
    text = json.dumps({"relevance": json.loads(MODELS)["relevance"], "note": "x\u202egnp.exe\u2066\x7f"}, ensure_ascii=False)
    (published.root / "odd.json").write_text(text)
    published.run("config", "edit", "models", "--file", "odd.json")
    assert json.loads(published.run("config", "show", "models", "--version", "draft", "--json").out)["text"] == text
    shown = screen(published.terminal("config", "show", "models", "--version", "draft"))
    assert "\\u202e" in shown
    clean(published.run("config", "diff", "models").out)


def test_nothing_is_changed_where_only_looking_is_allowed(published: Simulated) -> None:
    assert "Read only" in published.run("config", "set", "models", "relevance.pl.threshold", "0.5", "--read-only", code=7).err
    published.run("config", "set", "models", "relevance.pl.threshold", "0.57")
    assert "Read only" in published.run("config", "discard", "models", "--yes", "--read-only", code=7).err
    assert "Read only" in published.run("config", "publish", "models", "--at-once", "--yes", "--read-only", code=7).err
    assert "nothing has happened yet" in published.run("config", "publish", "models", "--at-once", "--dry-run", "--read-only").out
    assert draft(published)["edition"] == 3
    assert live(published, "--read-only") == MODELS


def test_an_environment_that_keeps_none(published: Simulated) -> None:
    file = published.root / "mlconsole.yaml"
    file.write_text(file.read_text().replace("    config: simulator\n", ""))
    assert "keeps no config documents" in published.run("config", "list").out
    assert published.json("config", "list")["documents"] == []
    assert "keeps no config documents" in published.refused("config", "show", "models")
    assert "Compared with nothing that is live" in published.run("config", "lint", "models", "--file", "config/models.json").out
    file.write_text(file.read_text().split("\nconfigs:")[0])
    assert "declares no config document" in published.run("config", "list").out


def test_a_store_that_cannot_be_reached(published: Simulated) -> None:
    published.world().inject(Fault(FaultKind.TIMEOUT_BEFORE_EFFECT, on="config.report", times=None))
    told = published.run("config", "list", code=6).out
    assert "? models:" in told
    assert published.json("config", "list", "models", code=6)["documents"][0]["problem"]
    assert published.run("config", "forecast", "models", code=6).out.startswith("? models:")
    published.run("config", "show", "models", code=6)
    told = published.run("config", "lint", "models", "--file", "config/models.json").out
    assert "Compared with nothing that is live" in told, "a file can be checked all the same"


# Lint.


def test_lint_tells_what_stops_and_what_to_look_at(published: Simulated, tmp_path: Path) -> None:
    assert published.run("config", "lint", "models").out.splitlines()[-1].startswith("✔ what is live of models")
    file = tmp_path / "wrong.json"
    file.write_text(MODELS.replace('"threshold": 0.62', '"threshold": 6.2').replace('"text", "language"', '"text", "sumary"', 1))
    result = published.run("config", "lint", "models", "--file", str(file), code=1)
    lines = result.out.splitlines()
    assert any(line.startswith("✖") and "line 4" in line and "/relevance/de/threshold" in line for line in lines), result.out
    assert any(line.startswith("✖") and "sumary" in line and "/relevance/en/fields" in line for line in lines), result.out
    assert "beside live 1" in lines[-1]
    body = published.json("config", "lint", "models", "--file", str(file), code=1)
    assert body["stops"] >= 2
    assert body["beside"] == 1
    assert {"severity", "rule", "text", "pointer", "line"} == set(body["findings"][0])
    assert body["findings"][0]["severity"] == "stop"
    file.write_text(changed(MODELS, "pl", "0.45"))
    words = ("config", "lint", "models", "--file", str(file), "--reason", "de misses too many")
    assert "▲" in published.run(*words).out
    assert published.run(*words, "--strict", code=1).out.splitlines()[-1].startswith("▲")
    assert draft(published) is None, "a check keeps nothing"


def test_lint_in_ci_where_nothing_was_ever_deployed(published: Simulated, tmp_path: Path) -> None:
    """A checkout: mlconsole.yaml and the files, no registry, no backend."""
    checkout = Simulated(tmp_path / "checkout", published.variables)
    checkout.root.mkdir()
    shutil.copy(published.root / "mlconsole.yaml", checkout.root)
    shutil.copytree(published.root / "config", checkout.root / "config")
    words = ("config", "lint", "models", "--file", "config/models.json")
    assert checkout.run(*words).out.splitlines()[-1] == "▲ config/models.json: 1 to look at", "the note"
    (checkout.root / "config" / "models.json").write_text(MODELS.replace("0.62", '"high"'))
    body = checkout.json(*words, code=1)
    assert [one for one in body["findings"] if one["severity"] == "stop" and one["pointer"] == "/relevance/de/threshold"]
    assert body["beside"] is None


def test_what_lint_stops_is_not_published_but_with_a_reason(published: Simulated) -> None:
    told = published.run("config", "set", "models", "relevance.de.threshold", "7").out
    assert "✖" in told
    result = published.run("config", "publish", "models", "--at-once", "--yes", code=7)
    assert "lint stops this. Nothing was published." in result.err
    assert live(published) == MODELS
    told = published.run("config", "publish", "models", "--at-once", "--yes", "--break-glass", "silence it tonight").out
    assert "▲ skipped gate: lint:" in told
    assert "skipped gates" in published.run("releases", "show", "config:models#2").out
    assert live(published) == changed(MODELS, "de", "7")


# What if.


def test_what_if_says_where_it_cannot_know(published: Simulated) -> None:
    published.run("config", "set", "models", "relevance.pl.threshold", "0.5")
    told = published.run("config", "whatif", "models", "--days", "1", "--flips").out
    assert "what if · last day decided again" in told
    assert re.search(r"relevance +pl .*\?", told), told
    row = next(one for one in published.json("config", "whatif", "models")["what_if"]["rows"] if one["slice"] == "pl")
    assert (row["touched"], row["then"]) == (True, None)
    assert row["unknown"]


# In an editor.


def test_in_an_editor_what_was_written_is_kept_and_edited_again(published: Simulated, tmp_path: Path) -> None:
    editor = tmp_path / "editor.sh"
    # The first time a comma is forgotten, the second time the rest is right.
    editor.write_text(
        "#!/bin/sh\n"
        'if [ -e "$0.again" ]; then sed -i "s/0.58/0.57/; s/ \\"share\\": 100  \\"fields\\"/ \\"share\\": 100, \\"fields\\"/" "$1"\n'
        'else touch "$0.again"; sed -i "2,3s/100, \\"fields\\"/100  \\"fields\\"/" "$1"; fi\n'
    )
    editor.chmod(0o755)
    child = published.terminal("config", "edit", "models", "--reason", "by hand", EDITOR=str(editor))
    child.expect("e edits it again")
    child.sendline("e")
    shown = screen(child)
    assert "0.58 → 0.57" in shown
    assert live(published, "--version", "draft") == changed(MODELS, "en", "0.57")
    assert draft(published)["reason"] == "by hand"
    assert "Nothing was changed." in screen(published.terminal("config", "edit", "models", EDITOR="true"))
    assert "ended with code 1" in screen(published.terminal("config", "edit", "models", EDITOR="false"), code=2)
    assert "can't be started" in screen(published.terminal("config", "edit", "models", EDITOR="/no/such/editor"), code=2)
    assert draft(published)["edition"] == 4


def test_an_editor_that_leaves_it_broken(published: Simulated, tmp_path: Path) -> None:
    editor = tmp_path / "editor.sh"
    editor.write_text('#!/bin/sh\necho "{" > "$1"\n')
    editor.chmod(0o755)
    child = published.terminal("config", "edit", "models", EDITOR=str(editor))
    child.expect("leaves the draft as it is")
    child.sendline("n")
    shown = screen(child, code=2)
    assert "can't be read" in shown
    assert live(published, "--version", "draft") == "{\n"
    assert live(published) == MODELS
