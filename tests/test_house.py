"""The house: who may import whom is import-linter's (`make check`); what a run really loads is seen here, in a process of its own."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

HEAVY = (
    "textual",
    "boto3",
    "sqlalchemy",
    "sqlmodel",
    "httpx",
    "jsonschema",
    "mlconsole_local",
    "onnxruntime",
    "numpy",
    "uvicorn",
    "envoy",
    "redis",
)

_LOADED = """
import sys
sys.argv = ["mlconsole", *{arguments!r}]
try:
    from mlconsole.__main__ import main
    main()
except SystemExit:
    pass
print("LOADED", *[name for name in {names!r} if name in sys.modules], file=sys.stderr)
"""


def loaded_by(*arguments: str, cwd: Path | None = None) -> list[str]:
    """Which of the heavy modules a command loads."""
    code = _LOADED.format(arguments=list(arguments), names=HEAVY)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=cwd, check=True)
    return done.stderr.rpartition("LOADED")[2].split()


@pytest.mark.parametrize("arguments", [["--help"], ["deploy", "--help"], ["endpoints", "show", "--help"], ["--version"], ["nonsense"]])
def test_help_and_mistakes_load_nothing_heavy(arguments: list[str]) -> None:
    assert loaded_by(*arguments) == []


def test_a_workspace_that_is_not_there_is_told_without_loading_a_store(tmp_path: Path) -> None:
    assert loaded_by("status", cwd=tmp_path) == []


def test_status_loads_the_registry_and_the_plugin_but_no_server(tmp_path: Path) -> None:
    subprocess.run([sys.executable, "-m", "mlconsole", "init", str(tmp_path / "ws")], check=True, capture_output=True)
    assert set(loaded_by("status", "--json", cwd=tmp_path / "ws")) == {"sqlalchemy", "sqlmodel", "mlconsole_local"}


def test_core_imports_only_the_standard_library() -> None:
    """Checked at run time: every module that importing `core` brings in is Python's own or core's."""
    code = (
        "import sys, pkgutil, importlib\n"
        "before = set(sys.modules)\n"
        "import mlconsole.core as core\n"
        "[importlib.import_module(f'mlconsole.core.{module.name}') for module in pkgutil.iter_modules(core.__path__)]\n"
        "new = {name.partition('.')[0] for name in set(sys.modules) - before}\n"
        "print(sorted(name for name in new if name != 'mlconsole' and name not in sys.stdlib_module_names))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_views_import_only_the_standard_library() -> None:
    """A first frame renders from views: they may cost nothing."""
    code = (
        "import sys\nimport mlconsole.engine.views\n"
        "print(sorted(n for n in sys.modules if n.startswith('mlconsole.') and not n.startswith('mlconsole.engine')))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
