"""The frame when nothing can be seen, when what is seen is absurd, and before anything was looked at: alive, and never green."""

from __future__ import annotations

import stat
import threading
from dataclasses import replace
from datetime import timedelta

import pytest

from mlconsole.core.errors import MLConsoleError
from mlconsole.engine import backend, snapshots
from mlconsole.engine.views import Snapshot, State
from mlconsole.engine.watching import Watch
from mlconsole.plugin.simulator import Fault, FaultKind, Load
from tui.kit import SIZES, House, main, opened, over, row, start_of, took

NASTY = "\x1b[31mred\x1b[0m\u202egnp.exe\x9b2J\u2066\u2029end"


# Blind.


async def test_blind_it_stays_alive_dims_and_comes_back_by_itself(house: House) -> None:
    async with opened(house) as driver:
        await driver.look()
        house.sim.world.inject(Fault(FaultKind.TIMEOUT_BEFORE_EFFECT, on="serving.*", times=None))
        await driver.until(lambda: "blind: " in row(driver, "#attention"), "blind")
        assert over(driver, "#attention") == "reverse red"
        assert over(driver, "#world") == "reverse red"
        assert "data live" not in row(driver, "#world")
        assert "OLD" in row(driver, "#world")
        assert "?1" in row(driver, "#world")
        assert "✔–" in row(driver, "#world")
        assert main(driver).dimmed
        # What was known stays: the shares, and that it was well.
        assert driver.has("v3 90 · v4 10", "90 %")
        assert driver.app.snapshot is not None
        endpoint = driver.app.snapshot.status.endpoints[0]
        assert endpoint.state is State.NO_DATA
        assert endpoint.was is State.OK
        house.clock.advance(4560)
        await driver.until(lambda: "DATA 1 H 16 OLD" in row(driver, "#world"), "its age")
        for key in ("u", "D"):
            await driver.press(key)
            assert f"{key} is off: No answer." in driver.message
        for key in ("1", "3", "6", "2", "?", "escape", "down", "/", "escape", "r"):
            await driver.press(key)
        house.sim.world.clear_faults()
        await driver.until(lambda: row(driver, "#attention").startswith("? relevance: no request for 1 h 1"), "it comes back")
        assert "data live" in row(driver, "#world")
        assert not main(driver).dimmed
        house.sim.world.serve("relevance", Load(400, seconds=20))
        await driver.until(lambda: row(driver, "#attention") == "✔ nothing needs you", "it is asked again")


async def test_a_backend_that_hangs_leaves_every_key_alive(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backend, "READ", 0.5)
    async with opened(house) as driver:
        house.sim.world.inject(Fault(FaultKind.HANG, on="serving.*", times=None, seconds=60))
        await driver.until(lambda: any(call.outcome is None for call in house.sim.world.calls), "it hangs")
        for key in ("6", "down", "2", "3", "1", "2", "?", "escape", "f", "f"):
            await driver.press(key)
        await driver.sees("blind: simulator (staging)")
        house.sim.world.clear_faults()
        house.sim.world.release()
        await driver.until(lambda: row(driver, "#attention") == "✔ nothing needs you", "it comes back")


async def test_endpoints_that_cannot_even_be_listed_are_never_nothing_needs_you(make_house) -> None:  # type: ignore[no-untyped-def]
    house = make_house()
    house.sim.world.inject(Fault(FaultKind.AUTH, on="serving.list", times=None))
    async with opened(house) as driver:
        await driver.sees("blind: The token has expired.")
        assert "nothing needs you" not in driver.text
        assert "NEVER SEEN" in row(driver, "#world")


async def test_a_look_that_fails_is_told_and_tried_again(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    real = Watch.take
    async with opened(house) as driver:
        for error, said in (
            (MLConsoleError("The registry is locked."), "The registry is locked."),
            (ValueError("a bug"), "ValueError: a bug"),
        ):

            def broken(_: Watch, error: Exception = error) -> Snapshot:
                raise error

            monkeypatch.setattr(Watch, "take", broken)
            await driver.until(lambda said=said: said in row(driver, "#attention"), "it is told")  # type: ignore[misc]
            assert driver.has("relevance", "v3 90 · v4 10")
            monkeypatch.setattr(Watch, "take", real)
            await driver.until(lambda: row(driver, "#attention") == "✔ nothing needs you", "it comes back")


async def test_one_look_at_a_time_however_often_it_is_asked_for(house: House) -> None:
    async with opened(house) as driver:
        taking, most = 0, 0
        lock = threading.Lock()
        real = driver.app._watched().take

        def take() -> Snapshot:
            nonlocal taking, most
            with lock:
                taking += 1
                most = max(most, taking)
            try:
                return real()
            finally:
                with lock:
                    taking -= 1

        driver.app._watched().take = take  # type: ignore[method-assign]
        for _ in range(20):
            await driver.press("r")
        await driver.look()
        assert most == 1
        # Asking by hand does not make the console look ever more often.
        assert len([timer for timer in driver.app._timers if timer._callback == driver.app.look]) <= 1


# Absurd data.


@pytest.mark.parametrize("size", SIZES)
async def test_absurd_data_break_no_frame(house: House, size: tuple[int, int]) -> None:
    snapshot = took(house)
    first = snapshot.status.endpoints[0]
    variant = first.variants[0]
    absurd = [
        replace(first, name=NASTY, finding=NASTY * 9, next=NASTY, state=State.FAILING, content=NASTY * 20, way_back=NASTY),
        replace(first, name="", finding="", content="", variants=()),
        replace(first, name="日本語のモデル🚀" * 5, recent=10**15, recent_failed=10**14, recent_seconds=0.001, requests=10**15),
        replace(first, name="n" * 4000, release=10**12, changed=snapshot.status.at + timedelta(days=4000)),
        replace(
            first,
            name="shares",
            variants=(
                replace(variant, name=NASTY, reported=10**9, reason=NASTY * 5),
                replace(variant, name="", desired=None, reported=None, resources={"pid": NASTY}),
            ),
        ),
    ]
    change = replace(snapshot.changes[0], now=NASTY, then=NASTY * 9, who=NASTY, reason=NASTY, problem=NASTY * 9, state=NASTY)
    odd = replace(
        snapshot,
        status=replace(snapshot.status, endpoints=tuple(absurd), running=(change, change)),
        changes=(change, *snapshot.changes),
        who=NASTY,
        backend=NASTY,
        versions=tuple(replace(one, model=NASTY, description=NASTY * 9, metrics={NASTY: float("nan")}) for one in snapshot.versions),
    )
    async with opened(house, size) as driver:
        driver.app._looking = True
        for shown in (odd, replace(odd, blind=NASTY * 9), snapshot):
            driver.app.snapshot = shown
            driver.app.render_all()
            for key in ("2", "1", "6", "3", "2"):
                await driver.press(key, "down", "down", "down", "end", "home")
                driver.app.render_all()
            await driver.press("!", "v", "escape", "?", "escape", "x", "escape", "y", "f", "f")


async def test_ten_thousand_endpoints_and_versions(house: House) -> None:
    snapshot = took(house)
    first, version = snapshot.status.endpoints[0], snapshot.versions[0]
    many = tuple(replace(first, name=f"endpoint-{n:05}") for n in range(10_000))
    versions = tuple(replace(version, version=str(n)) for n in range(10_000))
    async with opened(house) as driver:
        driver.app._looking = True
        driver.app.snapshot = replace(snapshot, status=replace(snapshot.status, endpoints=many), versions=versions)
        driver.app.render_all()
        await driver.sees("10000 of 10000", "✔10000")
        await driver.press("end")
        await driver.sees("▸endpoint-09999")
        await driver.press("/")
        await driver.type("04711")
        await driver.sees("1 of 10000", "endpoint-04711")
        await driver.press("escape", "1", "end", "home")
        assert driver.app.is_running


# Before anything was looked at.


async def test_the_first_frame_is_the_last_known_state_with_its_age(house: House) -> None:
    took(house)
    kept = snapshots.path_of(house.root / ".mlconsole", "staging")
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600
    house.clock.advance(7200)
    house.sim.world.inject(Fault(FaultKind.HANG, on="*", times=None, seconds=60))
    async with opened(house, blind_start=True) as driver:
        assert driver.has("relevance", "v3 90 · v4 10")
        assert "DATA 2 H 00 OLD" in row(driver, "#world")
        await driver.press("6")
        await driver.sees("v3 → v3 90 · v4 10")
        house.sim.world.clear_faults()
        house.sim.world.release()
        await driver.until(lambda: "data live" in row(driver, "#world"), "fresh")


async def test_blind_from_the_start_it_shows_what_is_on_disk(house: House) -> None:
    took(house)
    house.clock.advance(7200)
    house.sim.world.inject(Fault(FaultKind.AUTH, on="serving.*", times=None))
    async with opened(house) as driver:
        await driver.sees("blind: The token has expired.", "v3 90 · v4 10", "90 %")
        assert "DATA 2 H 00 OLD" in row(driver, "#world")
    async with opened(house) as driver:  # what was kept blind is as old as it was
        await driver.sees("blind: The token has expired.", "90 %")
        assert "DATA 2 H 00 OLD" in row(driver, "#world")


@pytest.mark.parametrize("content", ["", "{", "[]", '{"schema": 99}', '{"schema": 1, "snapshot": {"status": 7}}', '{"schema": 1}'])
async def test_a_snapshot_that_cannot_be_read_is_no_trouble(house: House, content: str) -> None:
    took(house)
    snapshots.path_of(house.root / ".mlconsole", "staging").write_text(content)
    start = start_of(house)
    assert start.snapshot is None
    async with opened(house, start=start, blind_start=True) as driver:
        await driver.sees("relevance", "✔ nothing needs you")


async def test_before_anything_is_known_nothing_is_said_to_be_empty(house: House) -> None:
    house.sim.world.inject(Fault(FaultKind.HANG, on="*", times=None, seconds=60))
    async with opened(house, blind_start=True) as driver:
        for key in ("2", "6"):
            await driver.press(key)
            assert driver.has("looking for the first time")
            assert not any(word in driver.text for word in ("No endpoint yet", "Nothing was changed", "nothing needs you"))
            await driver.press("u")
            assert driver.message == "u is off: nothing has been looked at yet."
        house.sim.world.clear_faults()
        house.sim.world.release()
        await driver.sees("data live")
