"""Which workspace and which environment are meant."""

from __future__ import annotations

from pathlib import Path

import pytest

from mlconsole.core.errors import UnknownName, UsageError
from mlconsole.workspace import environment, find_workspace, load

TWO = "workspace: a\nenvironments: {staging: {serving: local}, production: {serving: local}}\n"
ONE = "workspace: a\nenvironments: {staging: {serving: local}}\n"


def make(folder: Path, text: str = TWO) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / "mlconsole.yaml"
    file.write_text(text)
    return file


def test_the_flag_goes_before_the_variable_and_that_before_the_nearest_parent(tmp_path: Path) -> None:
    flag, variable, parent = (make(tmp_path / name) for name in ("flag", "variable", "parent"))
    below = tmp_path / "parent" / "a" / "b"
    below.mkdir(parents=True)
    environ = {"MLCONSOLE_WORKSPACE": str(tmp_path / "variable")}
    assert find_workspace(str(tmp_path / "flag"), environ, below) == flag
    assert find_workspace(None, environ, below) == variable
    assert find_workspace(None, {}, below) == parent
    assert find_workspace(None, {"MLCONSOLE_WORKSPACE": ""}, below) == parent
    assert find_workspace("../..", {}, below).samefile(parent)
    assert find_workspace(str(flag), {}, below) == flag


def test_another_file_name_may_be_given(tmp_path: Path) -> None:
    (tmp_path / "other.yaml").write_text(ONE)
    assert find_workspace("other.yaml", {}, tmp_path) == tmp_path / "other.yaml"


@pytest.mark.parametrize("text", ["", "missing", "a\0b", "x" * 5000, "\x1b[2J"])
def test_what_is_not_there_says_what_to_do(tmp_path: Path, text: str) -> None:
    make(tmp_path)
    with pytest.raises(UsageError) as caught:
        find_workspace(text, {}, tmp_path)
    assert "--workspace" in caught.value.message
    assert caught.value.message.isprintable()
    assert "mlconsole init DIR --sample" in caught.value.next
    with pytest.raises(UsageError, match=r"\$MLCONSOLE_WORKSPACE"):
        find_workspace(None, {"MLCONSOLE_WORKSPACE": text or "x"}, tmp_path)


def test_nothing_near(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"There is no mlconsole.yaml in .* or above it") as caught:
        find_workspace(None, {}, tmp_path)
    assert caught.value.exit_code == 2


def test_the_environment_that_is_meant(tmp_path: Path) -> None:
    two = load(make(tmp_path / "two"))
    defaulted = load(make(tmp_path / "defaulted", TWO + "default_environment: staging\n"))
    one = load(make(tmp_path / "one", ONE))
    assert environment(two, "staging", {"MLCONSOLE_ENV": "production"}).name == "staging"
    assert environment(defaulted, None, {"MLCONSOLE_ENV": "production"}).name == "production"
    assert environment(defaulted, None, {"MLCONSOLE_ENV": ""}).name == "staging"
    assert environment(one, None, {}).name == "staging"
    with pytest.raises(UsageError, match="there are staging, production") as caught:
        environment(two, None, {})
    assert caught.value.exit_code == 2
    assert "--env NAME" in caught.value.next


def test_an_environment_that_there_is_not(tmp_path: Path) -> None:
    two = load(make(tmp_path))
    with pytest.raises(UnknownName, match=r'There is no environment "prodution" \(from \$MLCONSOLE_ENV\). Did you mean production\?'):
        environment(two, None, {"MLCONSOLE_ENV": "prodution"})
    for text in ("", "\x1b[2J", "x" * 90_000):
        with pytest.raises(UnknownName) as caught:
            environment(two, text, {})
        assert str(caught.value).isprintable()
        assert len(str(caught.value)) < 1000
