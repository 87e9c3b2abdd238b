"""The drills of the demo: each breaks what it says, and only that; `end` puts all of it back. (Who notices, and how fast: the bench.)"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from e2e.kit import Console, until
from mlconsole.cli.drills import DRILLS

pytestmark = [pytest.mark.real, pytest.mark.xdist_group("drills")]


class Drilled:
    """A demo of its own, and what can be seen of it."""

    def __init__(self, console: Console) -> None:
        self.console = console

    def drill(self, name: str) -> str:
        return self.console.run("demo", ".", "--drill", name).out

    @property
    def traffic(self) -> dict[str, float]:
        return {one["name"]: one["desired"] for one in self.console.json("endpoints", "show", "relevance")["variants"]}

    def parts(self, code: int = 0) -> dict[str, Any]:
        return {one["name"]: one for one in self.console.json("local", "status", code=code)["parts"]}

    def asked(self) -> str:
        """What the replay says of itself."""
        return self.console.run("action", "run", "traffic-status", "--param", "endpoint=relevance", "--yes").out

    def fresh(self, count: int = 60) -> Any:
        """The endpoint after so many more requests than now."""
        before = self.view()["requests"]
        return until(lambda: (seen := self.view())["requests"] >= before + count and seen, 30.0)

    def view(self) -> Any:
        return self.console.json("endpoints", "show", "relevance")


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Drilled]:
    folder = tmp_path_factory.mktemp("drills")
    console = Console(folder)
    told = console.run("demo", "ws").out
    assert all(f"  {name} " in told for name in DRILLS)
    yield Drilled(Console(folder / "ws"))
    console.run("demo", "ws", "--clean", code=range(256))


def put_back(demo: Drilled) -> None:
    told = demo.drill("end")
    assert "golden 40/40" in told
    assert demo.traffic == {"v3": 100.0}
    parts = demo.parts()
    assert "1882 keys of 1882" in parts["redis-embeddings"]["detail"]
    assert not {"relevance v2", "relevance v5", "relevance v6", "relevance v7"} & set(parts)
    assert "without" not in demo.asked()


def test_a_language_falls_silent_then_the_server_dies_and_all_is_put_back(shared: Drilled) -> None:
    told = shared.drill("silent-language")
    assert "without language=de" in told
    seen = shared.fresh()
    assert (seen["failed"], shared.traffic) == (0, {"v3": 100.0})
    shared.drill("dead-server")
    assert shared.parts(code=1)["relevance v3"]["state"] == "dead"
    put_back(shared)


def test_bad_versions_go_live_past_their_gates_a_redis_is_emptied_and_all_is_put_back(shared: Drilled) -> None:
    for name, variant in (("collapsed-version", "v5"), ("broken-language", "v6")):
        shared.drill(name)
        assert shared.traffic[variant] == 100.0
        release = shared.console.json("releases", "list", "relevance")["releases"][0]
        assert (release["reason"], release["skipped_gates"]) == (f"drill: {name}", [f"golden ({variant})"])
    # Of German requests all fail, of the others none.
    seen = until(lambda: (now := shared.view())["failed"] and now, 30.0)
    assert seen["failed"] < seen["requests"] / 2
    shared.drill("slow-version")
    assert shared.traffic["v7"] == 100.0
    shared.drill("emptied-redis")
    parts = shared.parts(code=1)
    assert "0 keys of 1882" in parts["redis-embeddings"]["detail"]
    assert (parts["relevance v2"]["state"], shared.traffic["v2"]) == ("running", 100.0)  # The server says that it is well.
    told = shared.console.run("action", "run", "refill-embeddings", "--yes").out
    assert "keys 1882" in told
    assert "redis-embeddings ✔" in told
    put_back(shared)


def test_a_drill_that_there_is_not(shared: Drilled, tmp_path_factory: pytest.TempPathFactory) -> None:
    assert "Did you mean emptied-redis?" in shared.console.refused("demo", ".", "--drill", "emptyed-redis")
    empty = Console(tmp_path_factory.mktemp("nothing"))
    assert "There is no demo in demo" in empty.refused("demo", "--drill", "end")
    assert 'There is no action "drill-end" in production' in shared.console.refused(
        "action", "run", "drill-end", "--env", "production", "--confirm", "drill-end"
    )
