"""Plugins are found through their entry points; a broken one is named and set aside."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from mlconsole.core.errors import UnknownName
from mlconsole.plugin.loading import BrokenPlugin, load, load_all, names

GOOD = """
from mlconsole.plugin import Plugin
plugin = Plugin("{name}", "1.0", "a plugin", {{"serving": lambda context: None}})
"""


class Packages:
    """Installs small packages into a folder on the path."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def install(self, package: str, name: str, source: str, *, target: str = "plugin") -> None:
        module = f"mlconsole_test_{package.replace('-', '_')}"
        (self.folder / f"{module}.py").write_text(source)
        info = self.folder / f"{package}-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.0\n")
        (info / "entry_points.txt").write_text(f"[mlconsole.plugins]\n{name} = {module}:{target}\n")


@pytest.fixture
def packages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Packages]:
    # Nothing but what the test installs: the venv's own plugins are other tests' business.
    elsewhere = [entry for entry in sys.path if not list(Path(entry).glob("mlconsole-*.dist-info"))]
    monkeypatch.setattr(sys, "path", [str(tmp_path), *elsewhere])
    yield Packages(tmp_path)
    for module in [module for module in sys.modules if module.startswith("mlconsole_test_")]:
        del sys.modules[module]


def problem(name: str) -> str:
    with pytest.raises(BrokenPlugin) as caught:
        load(name)
    assert caught.value.next
    return caught.value.message


def test_names_import_nothing(packages: Packages) -> None:
    packages.install("beta-pack", "beta", "raise RuntimeError('imported')")
    packages.install("alpha", "alpha", "raise RuntimeError('imported')")
    assert names() == ["alpha", "beta"]
    assert "mlconsole_test_alpha" not in sys.modules


def test_one_is_loaded_alone(packages: Packages) -> None:
    packages.install("good", "good", GOOD.format(name="good"))
    packages.install("bad", "bad", "import no_such_module_at_all")
    assert load("good").name == "good"
    assert "mlconsole_test_bad" not in sys.modules


def test_an_unknown_one_names_the_nearest(packages: Packages) -> None:
    packages.install("good", "sagemaker", GOOD.format(name="sagemaker"))
    with pytest.raises(UnknownName, match=r'There is no plugin "sagemakr". Did you mean sagemaker\?'):
        load("sagemakr")
    with pytest.raises(UnknownName) as caught:
        load("\x1b[2J")
    assert "\x1b" not in str(caught.value)


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("import no_such_module_at_all", "ModuleNotFoundError: No module named 'no_such_module_at_all'"),
        ("def plugin(:", "SyntaxError"),
        ("raise SystemExit(3)", "SystemExit: 3"),
        ("raise RuntimeError('\\x1b[2J\\nline')", r"RuntimeError: \x1b[2J line"),
        ("raise RuntimeError('x' * 9000)", "xxx…"),
        ("other = 1", "AttributeError"),
        ("plugin = 3", "is no mlconsole.plugin.Plugin but a int"),
        (GOOD.format(name="other"), 'calls itself "other"'),
        ("from mlconsole.plugin import Plugin\nplugin = Plugin('bad', '1', '', {'servin': print})", "Did you mean serving?"),
        ("from mlconsole.plugin import Plugin\nplugin = Plugin('bad', '1', '', {'serving': 3})", "can't be called"),
        ("from mlconsole.plugin import Plugin\nplugin = Plugin('bad', '1', '', None)", "have to be a mapping"),
        ("from mlconsole.plugin import Plugin\nplugin = Plugin('bad', '1', '', {}, ('a',))", "mlconsole.plugin.Option"),
        ("from mlconsole.plugin import Plugin\nplugin = Plugin('bad', 1, '', {})", "have to be texts"),
    ],
)
def test_a_broken_one_is_one_clear_error(packages: Packages, source: str, expected: str) -> None:
    packages.install("bad-pack", "bad", source)
    message = problem("bad")
    assert message.startswith('Plugin "bad" of bad-pack 1.0 can\'t be loaded: ')
    assert expected in message
    assert message.isprintable()
    assert len(message) < 450


def test_an_entry_point_that_names_nothing(packages: Packages) -> None:
    packages.install("bad", "bad", "", target="no object!")
    assert "is not of the form module:object" in problem("bad")


def test_a_broken_one_is_set_aside(packages: Packages) -> None:
    packages.install("good", "good", GOOD.format(name="good"))
    packages.install("bad", "bad", "1 / 0")
    working, broken = load_all()
    assert [plugin.name for plugin in working] == ["good"]
    assert [one.name for one in broken] == ["bad"]
    assert "ZeroDivisionError: division by zero" in broken[0].problem


def test_two_of_one_name_are_both_named_and_refused(packages: Packages) -> None:
    packages.install("ours", "same", GOOD.format(name="same"))
    packages.install("theirs", "same", GOOD.format(name="same"))
    assert names() == ["same"]
    message = problem("same")
    assert "ours 1.0 (mlconsole_test_ours:plugin)" in message
    assert "theirs 1.0 (mlconsole_test_theirs:plugin)" in message
    assert [one.name for one in load_all()[1]] == ["same"]
    assert "mlconsole_test_ours" not in sys.modules
