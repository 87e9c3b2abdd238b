"""A backend that hangs for one endpoint: the rows of the others do not wait for it, and its own answer counts when it comes."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import pytest

from engine.conftest import House
from mlconsole.core.live import Live
from mlconsole.engine.session import Session
from mlconsole.plugin.errors import Unavailable


@pytest.fixture
def gate() -> Iterator[threading.Event]:
    event = threading.Event()
    yield event
    event.set()


@pytest.fixture
def session(house: House, gate: threading.Event, monkeypatch: pytest.MonkeyPatch) -> Session:
    session = house.session()
    asked: list[str] = []

    def describe(endpoint: str) -> Live:
        asked.append(endpoint)
        if endpoint == "hangs":
            gate.wait()
        return Live(endpoint)

    monkeypatch.setattr(session.backend, "describe", describe)
    session.asked = asked  # type: ignore[attr-defined]
    return session


def test_the_others_are_told_at_once(session: Any, gate: threading.Event) -> None:
    found = session.backend.describe_all(["hangs", *(f"endpoint-{at}" for at in range(30))], patience=0.3)
    assert isinstance(found.pop("hangs"), Unavailable)
    assert len(found) == 30
    assert all(isinstance(one, Live) for one in found.values())


def test_it_is_not_asked_a_second_time_while_it_hangs_and_its_answer_counts_later(session: Any, gate: threading.Event) -> None:
    for _ in range(3):
        assert isinstance(session.backend.describe_all(["hangs", "well"], patience=0.05)["hangs"], Unavailable)
    assert session.asked.count("hangs") == 1
    assert session.asked.count("well") == 3
    gate.set()
    assert isinstance(session.backend.describe_all(["hangs", "well"])["hangs"], Live)
    assert session.asked.count("hangs") == 1


def test_without_patience_each_is_waited_for(session: Any, gate: threading.Event) -> None:
    threading.Timer(0.05, gate.set).start()
    assert isinstance(session.backend.describe_all(["hangs", "well"])["hangs"], Live)


def test_what_an_adapter_says_that_cannot_be_put_together_is_told(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    session = house.session()
    monkeypatch.setattr(session.backend, "describe", lambda endpoint: {}["x"])
    found = session.backend.describe_all(["relevance", "other"], patience=5.0)
    assert all("KeyError" in str(one) for one in found.values())
