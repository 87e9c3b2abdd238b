"""The plugin's own copies of artifacts."""

from __future__ import annotations

import resource
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from local.backend import V1, Backend, content, version
from local.kit import DATA
from mlconsole.plugin.artifacts import measure
from mlconsole.plugin.errors import Refused
from mlconsole.plugin.roles import Order
from mlconsole_local.state import locked
from mlconsole_local.store import keep, kept

DIGEST = measure(DATA / "double.onnx").digest


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "models" / "double.onnx"
    path.parent.mkdir()
    shutil.copy(DATA / "double.onnx", path)
    return path


@contextmanager
def files_of_at_most(size: int) -> Iterator[None]:
    """As on a disk with that much room: Python ignores SIGXFSZ, so a longer file is an error of `write`."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_what_was_kept_once_outlives_its_source(root: Path, tmp_path: Path, source: Path) -> None:
    copy = keep(root, tmp_path, "models/double.onnx", DIGEST)
    assert measure(copy).digest == DIGEST
    source.unlink()
    assert keep(root, tmp_path, "models/double.onnx", DIGEST) == copy
    assert keep(root, tmp_path, "s3://bucket/double.onnx", DIGEST) == copy


def test_a_corrupted_copy_is_mended_from_its_source(root: Path, tmp_path: Path, source: Path) -> None:
    copy = keep(root, tmp_path, "models/double.onnx", DIGEST)
    copy.write_bytes(b"rot")
    assert measure(keep(root, tmp_path, "models/double.onnx", DIGEST)).digest == DIGEST
    copy.write_bytes(b"rot")
    source.write_bytes(b"other bytes")
    with pytest.raises(Refused, match="ALARM"):
        keep(root, tmp_path, "models/double.onnx", DIGEST)


def test_a_source_that_changed_is_an_alarm_unless_there_is_a_copy(root: Path, tmp_path: Path, source: Path) -> None:
    good = source.read_bytes()
    source.write_bytes(b"other bytes")
    with pytest.raises(Refused, match=r"ALARM: the artifact at .*double\.onnx is not the bytes that were registered"):
        keep(root, tmp_path, "models/double.onnx", DIGEST)
    assert not list(root.rglob("*.onnx"))
    source.write_bytes(good)
    copy = keep(root, tmp_path, "models/double.onnx", DIGEST)
    source.write_bytes(b"other bytes")
    assert keep(root, tmp_path, "models/double.onnx", DIGEST) == copy


def test_the_same_bytes_under_two_names_have_one_copy(root: Path, tmp_path: Path, source: Path) -> None:
    """Versions may share their bytes: keeping one must not take the copy of the other away."""
    other = source.with_name("other.onnx")
    shutil.copy(source, other)
    assert keep(root, tmp_path, "models/double.onnx", DIGEST) == keep(root, tmp_path, "models/other.onnx", DIGEST) == kept(root, DIGEST)


def test_a_folder_is_kept_and_a_killed_copy_is_swept_up(root: Path, tmp_path: Path) -> None:
    digest = measure(DATA / "words").digest
    torn = kept(root, digest).parent.with_name(f".new-{digest.removeprefix('sha256:')}")
    (torn / "artifact").mkdir(parents=True)
    (torn / "artifact" / "half").write_text("x")
    copy = keep(root, tmp_path, str(DATA / "words"), digest)
    assert sorted(path.name for path in copy.iterdir()) == ["model.onnx", "serving.json"]
    assert [path.name for path in (root / "artifacts").iterdir()] == [digest.removeprefix("sha256:")]


@pytest.mark.parametrize("artifact", ["double.onnx", "words"])
def test_a_full_disk_is_one_clear_line(root: Path, artifact: str) -> None:
    digest = measure(DATA / artifact).digest
    with files_of_at_most(64), pytest.raises(Refused) as caught:
        keep(root, DATA, artifact, digest)
    assert "can't be copied to" in caught.value.message
    assert caught.value.message.endswith("File too large.")
    assert "\n" not in caught.value.message
    assert list((root / "artifacts").iterdir()) == []


def test_what_lies_elsewhere_is_refused(root: Path, tmp_path: Path) -> None:
    with pytest.raises(Refused, match="this plugin serves what lies on this machine"):
        keep(root, tmp_path, "s3://bucket/model", DIGEST)


def test_a_full_disk_stops_a_step_before_anything_serves(tmp_path: Path) -> None:
    backend = Backend(tmp_path)
    with locked(backend.root):
        keep(backend.root, tmp_path, V1.artifact.location, V1.artifact.digest)

    step = backend.serving.steps(backend.serving.describe("rel"), content(V1))[0]
    with files_of_at_most(40), pytest.raises(Refused, match="can't be written: File too large"):
        backend.serving.start("rel", step, Order(1_000_000_000, "rel@test#1", {"v1": V1}))
    assert backend.pids() == {}


def test_a_changed_artifact_does_not_cost_what_serves(tmp_path: Path) -> None:
    """The bytes behind a name are to be replaced by some that can't be had: what serves goes on serving."""
    backend = Backend(tmp_path)
    try:
        backend.serve(V1)
        before = backend.pid("v1")
        moved = version("1", "triple.onnx", digest="sha256:" + "0" * 64)
        step = backend.serving.steps(backend.serving.describe("rel"), content(moved))[0]
        with pytest.raises(Refused, match="ALARM"):
            backend.serving.start("rel", step, Order(backend.driver.newest_fence(), "rel@test#2", {"v1": moved}))
        assert backend.pid("v1") == before
        assert backend.driver.ask_many(3) == {"v1"}
    finally:
        backend.close()
