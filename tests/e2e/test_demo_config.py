"""The demo's configuration: published as version 1, read by an application that polls, never published twice."""

from __future__ import annotations

import subprocess
import sys

import pytest

from e2e.kit import Console

pytestmark = [pytest.mark.real, pytest.mark.xdist_group("console")]


def test_the_demo_publishes_the_document_once_and_an_application_reads_it(demo: Console) -> None:
    again = demo.run("demo", ".").out
    assert "config models 1: the thresholds of each language and region" in again
    listed = demo.json("config", "list")["documents"]
    assert [(one["name"], one["version"], one["draft"]) for one in listed] == [("models", 1, None)]
    folder = demo.root / ".mlconsole" / "local" / "staging" / "config"
    command = [sys.executable, str(demo.root / "client" / "configclient.py"), str(folder), "models"]
    read = subprocess.run(command, capture_output=True, check=True, timeout=30).stdout
    assert read == (demo.root / "config" / "models.json").read_bytes()


def test_without_a_terminal_it_says_what_to_try_with_it(demo: Console) -> None:
    told = demo.run("demo", ".").out
    assert "config set models relevance.pl.threshold 0.55" in told
    assert "configclient.py" in told
    assert "--watch" in told


def test_every_mistake_of_the_readme_is_named_by_who_it_says(demo: Console) -> None:
    """As a reader would type them; each draft is thrown away."""
    cases = (
        (("set", "models", "relevance.pl.threshold", "0.55", "--reason", "de alerts too often"), "the reason speaks of de"),
        (("set", "models", "relevance.de.threshold", "0.05", "--reason", "de misses too many"), "golden queries of de"),
        (("edit", "models", 'relevance.de.fields=["title_de","body"]'), "title_de is no input of relevance"),
    )
    text = (demo.root / "README.md").read_text()
    for words, named in cases:
        assert " ".join(words[:3]) in text.replace("'", "")
        try:
            assert named in demo.run("config", *words).out
        finally:
            demo.run("config", "discard", "models", "--yes")


def test_headless_walks_the_configuration_too(tmp_path_factory: pytest.TempPathFactory) -> None:
    body = Console(tmp_path_factory.mktemp("headless")).json("demo", "--headless", seconds=240.0)
    assert body["held"] is True
    checks = [one["check"] for one in body["checks"]]
    place = checks.index("published pl threshold 0.48 → 0.47")
    assert checks[place + 1] == "reverted it"
    assert checks[-1] == "cleaned up"
