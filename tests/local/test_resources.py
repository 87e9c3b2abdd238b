"""What a server uses of the machine: figures that are right, and that do not flicker."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlconsole_local import resources
from mlconsole_local.resources import Resources


def test_this_process_and_this_disk_are_told() -> None:
    told = Resources().of(os.getpid())
    assert set(told) == {"cpu", "memory"}
    assert 10 <= float(told["memory"].removesuffix(" MB")) < 10_000
    assert 0 <= float(told["cpu"].removesuffix(" %")) <= 100 * (os.cpu_count() or 1)
    assert Resources().disk(Path("/"))["disk"].endswith(" GB free")


def test_what_is_not_there_is_not_told(tmp_path: Path) -> None:
    assert Resources().of(2**22 + 1) == {}
    assert Resources().disk(tmp_path / "none") == {}


def test_the_share_of_a_core_is_that_since_the_last_look(monkeypatch: pytest.MonkeyPatch) -> None:
    """50 s of processor in 1000 s of life; then 2.5 s in 5 s; and a look in between costs nothing and says the same."""
    clock, looks = [100.0], [("s", 50.0, 1000.0, 121.0), ("s", 52.5, 1005.0, 124.0), ("s", 52.5, 1010.0, 127.0)]
    looks += [("t", 0.0, 0.1, 5.0), ("t", 1.0, 2.0, 80.0)]
    monkeypatch.setattr(resources.time, "monotonic", lambda: clock[0])
    monkeypatch.setattr(resources, "_look", lambda _: looks.pop(0))
    used = Resources()
    assert used.of(7) == {"cpu": "5 %", "memory": "120 MB"}
    clock[0] += 1
    assert used.of(7) == {"cpu": "5 %", "memory": "120 MB"}
    assert len(looks) == 4
    clock[0] += 4
    assert used.of(7) == {"cpu": "50 %", "memory": "120 MB"}
    clock[0] += 5
    assert used.of(7) == {"cpu": "0 %", "memory": "125 MB"}
    clock[0] += 5
    assert used.of(7) == {"cpu": "0 %", "memory": "5 MB"}  # Another process under the same number, which is only coming up.
    clock[0] += 1
    assert used.of(7) == {"cpu": "50 %", "memory": "80 MB"}


@given(st.floats(0, 1e6), st.floats(-0.99, 0.99), st.sampled_from([1.0, 5.0]))
def test_a_value_that_moves_less_than_a_step_does_not_flicker(value: float, by: float, step: float) -> None:
    told = resources._steady(None, value, step)
    assert abs(told - value) <= step / 2 + 1e-6
    assert resources._steady(told, max(0.0, told + by * step), step) == told


@pytest.mark.parametrize(("text", "seconds"), [("0:01.50", 1.5), ("02:00", 120), ("1:00:00", 3600), ("2-01:00:00", 176_400)])
def test_lengths_of_time_as_ps_writes_them(text: str, seconds: float) -> None:
    assert resources._seconds(text) == seconds


def test_ps_tells_the_same_where_there_is_no_proc() -> None:
    if not Path("/bin/ps").exists():
        pytest.skip("no ps here")
    asked, looked = resources._ask_ps(os.getpid()), resources._look(os.getpid())
    assert asked is not None
    assert looked is not None
    assert asked[3] == pytest.approx(looked[3], rel=0.2)
