"""The local store of config documents: the whole suite, its files, and what is left of them after a `kill -9` anywhere."""

from __future__ import annotations

import json
import os
import signal
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mlconsole.core.clock import SystemClock
from mlconsole.core.documents import WHOLE, Document, LiveDocument, digest_of
from mlconsole.core.live import Transition
from mlconsole.core.steps import Phase, Step
from mlconsole.plugin import Context
from mlconsole.plugin.conformance import ConfigBench, ConfigStoreConformance
from mlconsole.plugin.errors import BackendError, Conflict, InvalidRequest, NotFound, Refused, Unavailable
from mlconsole.plugin.roles import ConfigStore, Order
from mlconsole_local import plugin
from mlconsole_local.configstore import LocalConfigStore

NAME = "models"


def store(root: Path, **options: Any) -> LocalConfigStore:
    made = plugin.factories["config"](Context("test", root, root, options, SystemClock()))
    assert isinstance(made, LocalConfigStore)
    return made


def document(number: int, body: bytes, share: int = WHOLE, before: tuple[int, bytes] | None = None) -> Document:
    older = (None, "") if before is None else (before[0], digest_of(before[1]))
    return Document(NAME, number, digest_of(body), share, *older)


def publish(root: Path, wanted: Document, *bodies: bytes, fence: int = 1) -> None:
    step = Step("config", "publish", "publish", Phase.SHIFT, document=wanted)
    store(root).start(wanted.name, step, Order(fence, "config:models@test#1", {}, {digest_of(body): body for body in bodies}))


def folder(root: Path) -> Path:
    return root / "config" / NAME


def manifest(root: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder(root) / "current.json").read_bytes())
    return found


class TestLocal(ConfigStoreConformance):
    """Every check."""

    @pytest.fixture
    def bench(self, root: Path) -> ConfigBench:
        def damage(name: str, number: int) -> None:
            (root / "config" / name / "versions" / f"{number:06d}.json").write_bytes(b"{")

        return ConfigBench(store(root), SystemClock(), poll=0.01, damage=damage)


def test_the_plugin_plays_the_role(root: Path) -> None:
    assert isinstance(store(root), ConfigStore)
    assert store(root).limits().poll_lag == 2.0
    assert store(root, config_poll=60).limits().poll_lag == 60.0
    assert store(root).scope(NAME) == "config:models"


def test_nothing_is_made_by_looking(root: Path) -> None:
    one = store(root)
    assert one.report(NAME).document == LiveDocument(NAME)
    assert list(one.list()) == list(one.versions(NAME)) == []
    with pytest.raises(NotFound):
        one.read(NAME, 1)
    assert not root.exists()


def test_what_lies_there(root: Path) -> None:
    """What the client reads, and docs/roles.md tells: bytes as they were, and a manifest that names them."""
    body, later = b'{"a": 1}\n', b"a: 2  # yaml\n"
    publish(root, document(1, body), body, fence=7)
    publish(root, document(2, later, 2000, (1, body)), later, fence=8)
    there = {str(path.relative_to(folder(root))) for path in folder(root).rglob("*") if path.is_file()}
    versions = {"versions/000001.json", "versions/000002.yaml", "about/000001.json", "about/000002.json"}
    assert there == {"current.json", "lock", "fences.json", *versions}
    assert (folder(root) / "versions/000001.json").read_bytes() == body
    told = manifest(root)
    assert told.pop("since").endswith("+00:00")
    assert told == {
        "schema": 1,
        "document": NAME,
        "publication": 2,
        "seed": 2,
        "version": 2,
        "digest": digest_of(later),
        "size": len(later),
        "file": "versions/000002.yaml",
        "share": 2000,
        "fence": 8,
        "release": "config:models@test#1",
        "before": 1,
        "before_digest": digest_of(body),
        "before_size": len(body),
        "before_file": "versions/000001.json",
    }
    modes = {stat.S_IMODE(path.stat().st_mode) for path in folder(root).rglob("*") if path.is_file()}
    assert modes == {0o600}
    assert stat.S_IMODE(folder(root).stat().st_mode) == 0o700


def test_the_same_clients_stay_in_as_a_share_grows(root: Path) -> None:
    """The seed is that of the version's first publication, until another version comes."""
    first, second, third = b"[1]", b"[2]", b"[3]"
    publish(root, document(1, first), first)
    seeds = []
    for share in (1000, 4000, WHOLE, 4000):
        publish(root, document(2, second, share, (1, first)), second)
        seeds.append((manifest(root)["publication"], manifest(root)["seed"]))
    assert seeds == [(2, 2), (3, 2), (4, 2), (5, 2)]
    assert manifest(root)["before"] == 1
    publish(root, document(3, third, 1000, (2, second)), third)
    assert manifest(root)["seed"] == 6


def test_a_publication_that_changes_nothing_is_none(root: Path) -> None:
    body = b"[1]"
    publish(root, document(1, body), body, fence=1)
    was = (folder(root) / "current.json").read_bytes()
    publish(root, document(1, body), fence=2)
    assert (folder(root) / "current.json").read_bytes() == was


def test_the_first_version_goes_to_all(root: Path) -> None:
    body = b"[1]"
    with pytest.raises(Refused, match="nothing to read"):
        store(root).steps(LiveDocument(NAME), document(1, body, 2000))
    with pytest.raises(Refused, match="nothing to read"):
        publish(root, document(1, body, 2000), body)


def test_what_the_others_would_read_has_to_be_there(root: Path) -> None:
    first, second = b"[1]", b"[2]"
    publish(root, document(1, first), first)
    with pytest.raises(Refused, match="no version 7"):
        publish(root, document(2, second, 2000, (7, b"[7]")), second, b"[7]")
    with pytest.raises(Conflict, match="other bytes"):
        publish(root, document(2, second, 2000, (1, b"[7]")), second, b"[7]")
    assert [one.number for one in store(root).versions(NAME)] == [1]


def test_a_lower_fence_is_refused_for_this_document_only(root: Path) -> None:
    body = b"[1]"
    publish(root, document(1, body), body, fence=9)
    with pytest.raises(Conflict, match="somebody newer"):
        publish(root, document(2, b"[2]"), b"[2]", fence=8)
    other = Document("other", 1, digest_of(body))
    publish(root, other, body, fence=8)
    assert list(store(root).list()) == [NAME, "other"]


@pytest.mark.parametrize("name", ["", "..", "a/b", "-a", "a" * 65, "a\nb"])
def test_names_that_would_leave_the_folder_are_refused(root: Path, name: str) -> None:
    with pytest.raises(Refused):
        store(root).steps(LiveDocument(name), Document(name, 1, digest_of(b"[]")))
    with pytest.raises(InvalidRequest):
        store(root).report(name)
    with pytest.raises(BackendError):
        publish(root, Document(name, 1, digest_of(b"[]")), b"[]")
    assert not root.exists()


def test_a_step_of_another_document_is_no_step_of_this_one(root: Path) -> None:
    step = Step("config", "publish", "publish", Phase.SHIFT, document=Document("other", 1, digest_of(b"[]")))
    for wrong in (step, Step("config", "publish", "publish", Phase.SHIFT)):
        with pytest.raises(InvalidRequest):
            store(root).start(NAME, wrong, Order(1, "", {}, {digest_of(b"[]"): b"[]"}))


# Damage.


def two(root: Path) -> tuple[bytes, bytes]:
    """Versions 1 and 2, of which 20 % of the clients read the second."""
    first, second = b'{"a": 1}', b'{"a": 2}'
    publish(root, document(1, first), first)
    publish(root, document(2, second, 2000, (1, first)), second)
    return first, second


@pytest.mark.parametrize("file", ["versions/000001.json", "versions/000002.json"])
@pytest.mark.parametrize("harm", [lambda path: path.unlink(), lambda path: path.write_bytes(b'{"a"')], ids=["gone", "cut off"])
def test_a_damaged_version_is_told_and_never_given(root: Path, file: str, harm: Callable[[Path], None]) -> None:
    first, second = two(root)
    harm(folder(root) / file)
    number = int(file[9:15])
    with pytest.raises(Unavailable, match=f"version {number}|Version {number}"):
        store(root).read(NAME, number)
    report = store(root).report(NAME)
    assert report.transition is Transition.FAILED
    assert file in report.reason
    assert "clients keep what they have read" in report.reason
    assert "" in (report.document.digest, report.document.before_digest), "the damaged one has the digest of the sound one"
    wanted = document(2, second, 2000, (1, first))
    assert store(root).steps(report.document, wanted), "there is something to be put right, and nothing is planned"
    with pytest.raises(Refused, match="damaged"):
        publish(root, wanted)
    publish(root, wanted, first, second)
    assert store(root).report(NAME).transition is Transition.SETTLED
    assert store(root).read(NAME, number) == (first, second)[number - 1]


def test_what_is_known_about_a_version_may_be_damaged_too(root: Path) -> None:
    first, second = two(root)
    (folder(root) / "about/000001.json").write_text("{}")
    with pytest.raises(Unavailable, match=r"about/000001\.json is damaged"):
        store(root).read(NAME, 1)
    listed = store(root).versions(NAME)
    assert [(one.number, one.digest) for one in listed] == [(2, digest_of(second)), (1, "")]
    assert "damaged" in listed[1].note
    publish(root, document(2, second), second)
    assert store(root).report(NAME).transition is Transition.SETTLED
    with pytest.raises(Unavailable):
        publish(root, document(1, first), first)


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b'{"schema": 1}', b"\xff\xfe"])
def test_a_damaged_manifest_is_told_and_publishing_mends_it(root: Path, body: bytes) -> None:
    _, second = two(root)
    (folder(root) / "current.json").write_bytes(body)
    report = store(root).report(NAME)
    assert (report.transition, report.document.version, report.document.latest) == (Transition.FAILED, None, 2)
    assert "current.json is damaged" in report.reason
    publish(root, document(2, second), second)
    assert store(root).report(NAME).transition is Transition.SETTLED
    assert manifest(root)["publication"] > 2, "publication numbers went back"


def test_a_number_that_was_given_out_is_not_given_again(root: Path) -> None:
    """Somebody tidied up: the newest version is no longer there, and clients have read it."""
    two(root)
    for file in ("versions/000002.json", "about/000002.json"):
        (folder(root) / file).unlink()
    assert store(root).report(NAME).document.latest == 2
    with pytest.raises(Conflict, match="is 3, not 2"):
        publish(root, document(2, b"[9]"), b"[9]")


def test_a_full_disk_is_told_and_changes_nothing(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = b"[1]"
    publish(root, document(1, first), first)

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", full)
        with pytest.raises(Refused, match="No space left"):
            publish(root, document(2, b"[2]"), b"[2]", fence=1)
    assert store(root).report(NAME).document.version == 1
    assert not list(folder(root).rglob(".*")), "something is left beside"
    publish(root, document(2, b"[2]"), b"[2]")
    assert store(root).report(NAME).document.version == 2


# Killed.

_KILLED = """
import os, signal, sys
from pathlib import Path
sys.path[:0] = [{tests!r}]
from local import test_configstore as kit

first, second = b'{{"a": 1}}', b'{{"a": 2}}'
count = 0

def dying(genuine, number):
    def call(*args, **kwargs):
        global count
        count += 1
        if count == number:
            os.kill(os.getpid(), signal.SIGKILL)
        result = genuine(*args, **kwargs)
        count += 1
        if count == number:
            os.kill(os.getpid(), signal.SIGKILL)
        return result
    return call

for number in range(1, 300):
    place = Path(sys.argv[1]) / str(number)
    kit.publish(place, kit.document(1, first), first, fence=1)
    child = os.fork()
    if not child:
        for name in ("open", "fsync", "mkdir", "close", "replace"):
            setattr(os, name, dying(getattr(os, name), number))
        kit.publish(place, kit.document(2, second, 2000, (1, first)), second, fence=5)
        os._exit(0)
    ended = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    print(ended, flush=True)
    if ended != -signal.SIGKILL:
        break
"""


def test_whoever_is_killed_leaves_it_whole(root: Path) -> None:
    """Before and after each call to the system that changes a file: the old state or the new one, and the next one gets through."""
    first, second = b'{"a": 1}', b'{"a": 2}'
    code = _KILLED.format(tests=str(Path(__file__).parents[1]))
    told = subprocess.run([sys.executable, "-c", code, str(root)], capture_output=True, text=True, check=True).stdout.split()
    assert told[-1] == "0", "it never came to its end"
    assert set(told[:-1]) == {str(-signal.SIGKILL)}
    seen: list[int] = []
    for number in range(1, len(told) + 1):
        place, one = root / str(number), store(root / str(number))
        report = one.report(NAME)
        assert report.transition is Transition.SETTLED, report.reason
        live = report.document
        assert (live.version, live.share, live.before) in ((1, WHOLE, None), (2, 2000, 1))
        seen.append(live.version or 0)
        for known in one.versions(NAME):
            assert digest_of(one.read(NAME, known.number)) == known.digest
        publish(place, document(2, second, 2000, (1, first)), second, fence=6)
        assert one.report(NAME).document.version == 2
        assert [known.number for known in one.versions(NAME)] == [2, 1]
        assert not list(folder(place).rglob(".*.new")), "something is left beside"
    assert seen == sorted(seen), "the later it is killed, the newer is what stands"
    assert seen.count(1) > 10
    assert seen.count(2) > 2
