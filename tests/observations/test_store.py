"""The store: what is counted where, exactly once, whoever reads and whenever somebody dies, within its bound."""

from __future__ import annotations

import itertools
import os
import sqlite3
import subprocess
import sys
import threading
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mlconsole.core.summaries import APPLICATION, Key, merged, sameness
from mlconsole.observations import Store, open_store
from mlconsole.observations import store as store_module
from mlconsole.plugin.errors import StoreUnusable
from mlconsole.plugin.roles import Observation
from observations.samples import ENV, T0, SetClock, all_windows, feed, one, seen


def test_a_prediction_counts_for_all_requests_and_for_each_of_its_labels(store: Store) -> None:
    feed(store, [seen(1, slices={"language": "de", "tenant": "acme"}), seen(2, slices={"language": "en"}), seen(3, slices={})])
    counts = {key.slice: summary.n for (_, key), summary in all_windows(store).items()}
    assert counts == {"": 3, "language=de": 1, "language=en": 1, "tenant=acme": 1}
    assert store.labels(ENV, "relevance") == {"language": ("de", "en"), "tenant": ("acme",)}
    assert store.labels(ENV, "another") == {}
    summary = one(store)
    assert (summary.first, summary.last, store.newest(ENV)) == (T0 + 1, T0 + 3, T0 + 3)


def test_failures_and_throttling_are_apart_and_no_predictions(store: Store) -> None:
    feed(
        store,
        [
            seen(1),
            seen(2, status=0, error="\x1b[31mreset" + "x" * 200),
            seen(3, status=400, error=""),
            seen(4, status=429, error="slow down"),
            seen(5, status=302),
        ],
    )
    summary = one(store)
    assert (summary.n, summary.failed, summary.throttled, summary.answered, summary.scored) == (5, 2, 1, 2, 2)
    assert sum(summary.latency.values()) == sum(summary.scores.values()) == 2
    assert len(summary.sample) == 2
    assert summary.errors == {("\\x1b[31mreset" + "x" * 200)[:120]: 1, "status 400": 1}


def test_who_answered_makes_another_key(store: Store) -> None:
    feed(store, [seen(1), seen(1, shadow=True, variant="v4"), seen(1, variant=None, status=503), seen(1, variant=None, application=True)])
    keys = {(key.variant, key.shadow) for _, key in all_windows(store) if not key.slice}
    assert keys == {("v3", False), ("v4", True), ("", False), (APPLICATION, False)}
    told = {(row.variant, row.shadow, row.application) for row in store.rows(ENV, "relevance", T0, T0 + 10)}
    assert told == {("v3", False, False), ("v4", True, False), ("", False, False), (APPLICATION, False, True)}


def test_the_consoles_own_probes_are_not_kept_and_pinned_requests_are(store: Store) -> None:
    feed(store, [seen(1, probe=True), seen(2, pinned=True)])
    assert one(store).n == 1
    assert [row.pinned for row in store.rows(ENV, "relevance", T0, T0 + 10)] == [True]


def test_windows_are_of_ten_seconds_of_the_observations_own_time_and_late_ones_change_theirs(store: Store) -> None:
    feed(store, [seen(9.999), seen(10), seen(25)])
    first = store.revision()
    feed(store, [seen(3)])
    new = store.windows(ENV, T0, revision=first)
    assert {(window.start, window.key.slice, window.summary.n) for window in new} == {(T0, "", 2), (T0, "language=de", 2)}
    assert {window.revision for window in new} == {store.revision()}
    assert [window.start for window in store.windows(ENV, T0, T0 + 20, endpoint="relevance") if not window.key.slice] == [T0, T0 + 10]
    assert store.windows(ENV, T0, endpoint="another") == []
    assert store.windows("another", T0) == []
    assert store.windows(ENV, T0, revision=store.revision()) == []


def test_environments_and_sources_are_apart(store: Store) -> None:
    assert store.ingest("a", "predictions", [seen(1)], after=None, cursor="1")
    assert store.ingest("b", "predictions", [seen(2)], after=None, cursor="2")
    assert store.ingest("a", "logs", [seen(3)], after=None, cursor="3")
    assert [store.cursor("a"), store.cursor("b"), store.cursor("a", "logs"), store.cursor("b", "logs")] == ["1", "2", "3", None]
    assert {window.summary.n for window in store.windows("a", T0)} == {2}
    assert (store.newest("a"), store.newest("b"), store.newest("c")) == (T0 + 3, T0 + 2, None)
    assert [row.request_id for row in store.rows("b", "relevance", T0, T0 + 10)] == ["id2"]


def test_outputs_are_told_apart_to_six_places_and_by_their_inputs(store: Store) -> None:
    same = [seen(1, score=0.5, input_hash="a"), seen(2, score=0.500_000_4, input_hash="b"), seen(3, score=0.5, input_hash="b")]
    feed(
        store,
        [*same, seen(4, score=None, output={"a": 1, "b": 2}, input_hash="c"), seen(5, score=None, output={"b": 2, "a": 1}, input_hash="d")],
    )
    assert sameness(one(store)) == (4, 2, 2)
    feed(store, [seen(20 + number, score=float("nan"), input_hash=str(number)) for number in range(5)])
    collapsed = merged(window.summary for window in store.windows(ENV, T0 + 20) if not window.key.slice)
    assert (sameness(collapsed).same, collapsed.scored, collapsed.n) == (1.0, 0, 5)


def test_input_fields_count_as_tokens_for_all_requests_only(store: Store) -> None:
    fields = [{"title": {"length": 12}, "amount": 0.25, "kind": "b2b"}, {"title": {"missing": True}, "amount": 1, "kind": True}]
    feed(store, [seen(number, fields=own) for number, own in enumerate(fields)])
    assert one(store).fields == {"title": {"l:450": 1, "m": 1}, "amount": {"n:50": 1, "n:200": 1}, "kind": {"c:b2b": 1, "c:true": 1}}
    assert one(store, "language=de").fields == {}


def test_only_so_many_labels_are_counted_by_and_the_rest_together(store: Store) -> None:
    feed(store, [seen(number / 100, slices={"user": f"u{number:03}"}) for number in range(80)])
    labels = store.labels(ENV, "relevance")["user"]
    assert len(labels) == 51
    assert "other" in labels
    assert one(store, "user=other").n == 30
    assert sum(summary.n for (_, key), summary in all_windows(store).items() if key.slice) == 80
    assert len(list(store.rows(ENV, "relevance", T0, T0 + 10, slice="user=other"))) == 30
    feed(store, [seen(1, slices={"b": "1", "c": "1", "d": "1", "e": "1"})])
    assert set(store.labels(ENV, "relevance")) == {"user", "b", "c", "d"}


def test_two_processes_agree_on_the_labels(store: Store, path: Path) -> None:
    with open_store(path, clock=SetClock()) as other:
        for number in range(60):
            feed((store, other)[number % 2], [seen(number / 10, slices={"user": f"u{number}"})])
    assert len(store.labels(ENV, "relevance")["user"]) == 51
    assert one(store, "user=other").n == 10


def test_strange_values_cost_their_own_figure_only(store: Store) -> None:
    strange: list[Any] = [
        {"score": "much"}, {"score": True}, {"score": float("inf")}, {"score": 10**400}, {"milliseconds": float("nan")},
        {"milliseconds": -1}, {"milliseconds": float("inf")}, {"status": -5}, {"status": 10**30}, {"slices": {"language": ["de"]}},
        {"slices": {"": "de", "language": ""}}, {"slices": None}, {"output": {"x": "\ud800"}}, {"request_id": "\ud800\x00"},
        {"error": "\udfff", "status": 500}, {"input_hash": 5}, {"input_hash": "\ud800"}, {"fields": {"a": [1], "b": {"length": "x"}}},
        {"fields": {"a": float("nan"), "b": 10**400}}, {"fields": None}, {"output": ["x" * 100_000]}, {"slices": {"language": "\x1b[2J"}},
        {"variant": "\ud800"}, {"score": 5}, {"endpoint": "\ud800"},
    ]  # fmt: skip
    feed(store, [seen(number / 10, **own) for number, own in enumerate(strange)])
    assert sum(summary.n for (_, key), summary in all_windows(store).items() if not key.slice) == len(strange)
    rows = [row for endpoint in ("relevance", "\\ud800") for row in store.rows(ENV, endpoint, T0, T0 + 10)]
    assert len(rows) == len(strange)
    assert max(len(str(row.output)) for row in rows) < 5000
    assert "language=\\x1b[2J" in {key.slice for _, key in all_windows(store)}


def test_rows_are_what_was_seen(store: Store) -> None:
    feed(store, [seen(1, output={"score": 0.25, "words": ["ä"]}, score=0.25), seen(3600, status=500, error="bad\nworse", score=None)])
    first, second = store.rows(ENV, "relevance", T0, T0 + 7200)
    assert first == (
        T0 + 1,
        "v3",
        False,
        "id1",
        200,
        5.0,
        False,
        {"language": "de"},
        0.25,
        {"score": 0.25, "words": ["ä"]},
        "hash1",
        "",
        False,
    )
    assert (second.time, second.status, second.error, second.score) == (T0 + 3600, 500, "bad\\x0aworse", None)


def test_rows_can_be_asked_for_by_time_variant_copies_and_label(store: Store) -> None:
    asked = [(0, "v3", False, "de"), (1, "v4", False, "en"), (2, "v4", True, "de"), (4000, "v3", False, "en")]
    feed(store, [seen(at, variant=variant, shadow=copy, slices={"language": language}) for at, variant, copy, language in asked])

    def times(*between: float, **more: Any) -> list[float]:
        since, until = between or (0, 1e5)
        return [row.time - T0 for row in store.rows(ENV, "relevance", T0 + since, T0 + until, **more)]

    assert times() == [0, 1, 2, 4000]
    assert times(1, 4000) == [1, 2]
    assert times(shadow=False) == [0, 1, 4000]
    assert times(shadow=True) == [2]
    assert times(variant="v4") == [1, 2]
    assert times(slice="language=de") == [0, 2]
    assert times(slice="language=pl") == times(variant="v9") == []
    assert list(store.rows(ENV, "another", 0, 1e12)) == []


def test_many_rows_are_read_in_pieces_and_an_hour_may_vanish_meanwhile(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store_module, "_BATCH", 7)
    feed(store, [seen(number / 1000) for number in range(50)])
    assert [row.request_id for row in store.rows(ENV, "relevance", T0, T0 + 10)] == [f"id{number / 1000:g}" for number in range(50)]
    reading = store.rows(ENV, "relevance", T0, T0 + 10)
    next(reading)
    assert store.prune(T0 + 30 * 86_400) == 1
    assert len(list(reading)) == 6


# ---- exactly once


def test_who_comes_second_writes_nothing(store: Store, path: Path) -> None:
    with open_store(path, clock=SetClock()) as other:
        assert store.ingest(ENV, "predictions", [seen(1)], after=None, cursor="a")
        assert not other.ingest(ENV, "predictions", [seen(1)], after=None, cursor="a")
        assert not other.ingest(ENV, "predictions", [], after=None, cursor="a")
        assert not other.ingest(ENV, "predictions", [], after="z", cursor="z")
        assert other.ingest(ENV, "predictions", [], after="a", cursor="a")
        assert other.cursor(ENV) == "a"
        assert other.ingest(ENV, "predictions", [seen(2)], after="a", cursor="b")
        assert not store.ingest(ENV, "predictions", [seen(2)], after="a", cursor="b")
    assert one(store).n == len(list(store.rows(ENV, "relevance", T0, T0 + 10))) == 2


def test_racing_readers_count_each_observation_once(path: Path) -> None:
    """Each reads on from where the store says, as engines do; whoever loses reads again."""
    log = [seen(number / 10) for number in range(300)]

    def read() -> None:
        with open_store(path, clock=SetClock()) as own:
            while (at := int(own.cursor(ENV) or 0)) < len(log):
                own.ingest(ENV, "predictions", log[at : at + 7], after=str(at) if at else None, cursor=str(at + 7))

    threads = [threading.Thread(target=read) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with open_store(path, clock=SetClock(), read_only=True) as opened:
        rows = Counter(row.request_id for row in opened.rows(ENV, "relevance", T0, T0 + 100))
        assert rows == Counter(one.request_id for one in log)
        assert sum(summary.n for (_, key), summary in all_windows(opened).items() if not key.slice) == 300


def test_one_store_serves_several_threads(store: Store) -> None:
    done = threading.Event()
    problems: list[Exception] = []

    def look() -> None:
        try:
            while not done.is_set():
                counted = sum(window.summary.n for window in store.windows(ENV, T0) if not window.key.slice)
                assert counted <= len(list(store.rows(ENV, "relevance", T0, T0 + 1000)))
        except Exception as error:  # noqa: BLE001
            problems.append(error)

    threads = [threading.Thread(target=look) for _ in range(3)]
    for thread in threads:
        thread.start()
    for number in range(60):
        feed(store, [seen(number)])
    done.set()
    for thread in threads:
        thread.join()
    assert problems == []


@pytest.mark.parametrize(
    "statement", ["INSERT INTO summary", 'INSERT INTO "raw_', "INSERT OR REPLACE INTO source", "UPDATE state", "COMMIT"]
)
def test_dying_in_the_middle_leaves_nothing_behind(store: Store, path: Path, statement: str) -> None:
    """Whatever the last statement is that is carried out, the next process finds all or nothing, and reads the same again."""
    feed(store, [seen(1)])
    before = all_windows(store)

    class Dead(BaseException):
        pass

    class Dying:
        """A connection that dies at a statement, without another word to SQLite."""

        def __init__(self, real: sqlite3.Connection) -> None:
            self.real = real

        def __getattr__(self, name: str) -> Any:
            return getattr(self.real, name)

        def _die(self, text: str) -> None:
            if text.startswith(statement):
                self.real.close()
                raise Dead

        def execute(self, text: str, *values: Any) -> Any:
            self._die(text)
            return self.real.execute(text, *values)

        def executemany(self, text: str, values: Any) -> Any:
            self._die(text)
            return self.real.executemany(text, values)

        @property
        def in_transaction(self) -> bool:
            return False

    later = [seen(2), seen(15, slices={"language": "en"})]
    with open_store(path, clock=SetClock()) as dying:
        assert dying._writer is not None
        dying._writer = Dying(dying._writer)  # type: ignore[assignment]
        with pytest.raises(Dead):
            dying.ingest(ENV, "predictions", later, after=store.cursor(ENV), cursor="next")
    assert all_windows(store) == before
    assert store.labels(ENV, "relevance") == {"language": ("de",)}
    feed(store, later)
    assert sum(summary.n for (_, key), summary in all_windows(store).items() if not key.slice) == 3


_CHILD = """
import sys
from pathlib import Path
from mlconsole.observations import open_store
from observations.samples import ENV, SetClock, seen
with open_store(Path(sys.argv[1]), clock=SetClock()) as store:
    while (at := int(store.cursor(ENV) or 0)) < int(sys.argv[2]):
        page = [seen(number / 10) for number in range(at, at + 50)]
        store.ingest(ENV, "predictions", page, after=str(at) if at else None, cursor=str(at + 50))
        print("taken", flush=True)
"""


def test_a_killed_process_loses_nothing_and_counts_nothing_twice(path: Path) -> None:
    """Killed wherever it is just then; the next one goes on from the cursor."""
    count = 5000
    variables = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    for pages in (1, 3, 10, 11, 25, count):
        child = subprocess.Popen([sys.executable, "-c", _CHILD, str(path), str(count)], stdout=subprocess.PIPE, env=variables)
        assert child.stdout is not None
        for line in itertools.islice(child.stdout, pages):
            assert line == b"taken\n"
        child.kill()
        child.wait()
        child.stdout.close()
    with open_store(path, clock=SetClock(), read_only=True) as store:
        assert store.cursor(ENV) == str(count)
        assert merged(window.summary for window in store.windows(ENV, 0) if not window.key.slice).n == count
        rows = Counter(row.request_id for row in store.rows(ENV, "relevance", T0, T0 + count))
        assert rows == Counter(f"id{number / 10:g}" for number in range(count))


def test_a_label_of_an_ingest_that_failed_is_not_taken_for_known(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    feed(store, [seen(1)])

    def full(*_: object) -> None:
        raise sqlite3.OperationalError("disk I/O error")

    with monkeypatch.context() as patched:
        patched.setattr(Store, "_write", full)
        with pytest.raises(StoreUnusable):
            feed(store, [seen(2, slices={"language": "en"})])
    feed(store, [seen(2, slices={"language": "en"})])
    assert store.labels(ENV, "relevance") == {"language": ("de", "en")}


NUMBERS = st.one_of(st.none(), st.floats(-3, 3), st.sampled_from([0.0, -0.0, 0.5, float("nan")]))
OBSERVATIONS = st.lists(
    st.builds(
        seen,
        st.integers(-30, 30).map(lambda tenth: tenth * 0.7),
        variant=st.sampled_from(["v3", "v4", None]),
        shadow=st.booleans(),
        status=st.sampled_from([200, 200, 429, 500, 0]),
        milliseconds=st.floats(0, 1e4),
        slices=st.dictionaries(st.sampled_from(["language", "tenant"]), st.sampled_from(["de", "en", "pl"])),
        score=NUMBERS,
        output=st.sampled_from([None, {"a": 1}, {"a": 2}]),
        input_hash=st.one_of(st.none(), st.integers(0, 120).map(str)),
        fields=st.dictionaries(
            st.sampled_from(["x", "y"]), st.one_of(st.none(), st.booleans(), st.integers(0, 9), st.floats(0, 9), st.just({"length": 3}))
        ),
        error=st.sampled_from(["", "reset", "field is missing"]),
        probe=st.sampled_from([False, False, True]),
    ),
    max_size=120,
)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(observations=OBSERVATIONS, data=st.data())
def test_in_whatever_pieces_and_order_they_come_the_windows_are_the_same(
    tmp_path_factory: pytest.TempPathFactory, observations: list[Observation], data: st.DataObject
) -> None:
    shuffled = data.draw(st.permutations(observations))
    cuts = sorted(data.draw(st.lists(st.integers(0, len(observations)), max_size=6)))
    folder = tmp_path_factory.mktemp("store")
    with open_store(folder / "a.db", clock=SetClock()) as whole, open_store(folder / "b.db", clock=SetClock()) as pieces:
        feed(whole, observations)
        for begin, end in zip([0, *cuts], [*cuts, len(shuffled)], strict=True):
            feed(pieces, shuffled[begin:end])
        assert all_windows(whole) == all_windows(pieces)
        assert whole.labels(ENV, "relevance") == pieces.labels(ENV, "relevance")
        counted = [one for one in observations if not one.probe]
        for copies in (False, True):
            for slice_ in ("", "language=de", "tenant=pl"):
                key, _, value = slice_.partition("=")
                mine = [one for one in counted if one.shadow is copies and (not slice_ or one.slices.get(key) == value)]
                windows = [summary for (_, own), summary in all_windows(pieces).items() if own.shadow is copies and own.slice == slice_]
                total = merged(windows)
                assert (total.n, total.throttled) == (len(mine), sum(one.status == 429 for one in mine))
                assert total.failed == sum(one.status in (0, 500) for one in mine)
                assert len(list(pieces.rows(ENV, "relevance", 0, 1e12, shadow=copies, slice=slice_))) == len(mine)


def test_the_key_of_a_window_is_a_key(store: Store) -> None:
    feed(store, [seen(1, shadow=True)])
    assert store.windows(ENV, T0)[0].key == Key("relevance", "v3", True, "")
    assert store.windows(ENV, T0)[0].key.shadow is True
