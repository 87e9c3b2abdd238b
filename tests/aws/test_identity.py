"""As whom one acts: from AWS to the header, `info` and the journal; until when; and the guardian's own credentials."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from aws.parts import Servers, until
from aws.scripted import ACCOUNT, KEY, SECRET, Scripted, caller, context, profile_text, scripted, sts_error
from mlconsole.engine.session import Session
from mlconsole.plugin.errors import AuthFailed
from mlconsole.plugin.roles import Caller
from mlconsole.workspace import environment, load
from mlconsole_aws.account import AwsAccount
from mlconsole_aws.clients import Clients
from mlconsole_aws.identity import identity, name_of
from mlconsole_aws_offline.addresses import PROFILE
from mlconsole_aws_offline.addresses import SECRET as OFFLINE_SECRET

ENDS = datetime(2026, 11, 20, 18, 4, tzinfo=UTC)


@pytest.fixture
def part() -> Iterator[Scripted]:
    with scripted() as one:
        yield one


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """No credentials but those that a test writes."""
    for name in [one for one in os.environ if one.startswith("AWS_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    return tmp_path / "home"


def workspace(tmp_path: Path, **options: Any) -> Path:
    """A workspace with one AWS environment."""
    file = tmp_path / "ws" / "mlconsole.yaml"
    file.parent.mkdir(exist_ok=True)
    said = json.dumps({"region": "eu-central-1", "account": ACCOUNT, "profile": "ops", **options})
    file.write_text(
        f"workspace: acme\ndefault_environment: staging\nenvironments:\n  staging:\n    serving: aws\n    options:\n      aws: {said}\n",
        encoding="utf-8",
    )
    return file


@pytest.mark.parametrize(
    ("arn", "name"),
    [
        ("arn:aws:sts::123456789012:assumed-role/ops/anna", "ops/anna"),
        ("arn:aws:iam::123456789012:user/team/jan", "jan"),
        ("arn:aws:iam::123456789012:root", "root"),
        ("arn:aws-cn:sts::123456789012:federated-user/jan", "jan"),
        ("", ""),
    ],
)
def test_the_name_is_that_of_the_role_and_its_session(arn: str, name: str) -> None:
    assert name_of(arn) == name


def test_who_one_is_is_told_even_in_the_wrong_account(part: Scripted, tmp_path: Path) -> None:
    part.say("GetCallerIdentity", caller("447100000000"))
    clients = Clients(context(tmp_path, profile_text(part.url, region="us-east-1")))
    assert identity(clients) == Caller("ops/anna", "447100000000", "us-east-1", None)
    with pytest.raises(AuthFailed):
        clients.call("sagemaker", "describe_endpoint", EndpointName="x")


def test_keys_that_are_over_are_an_error_and_not_an_old_answer(part: Scripted, tmp_path: Path) -> None:
    clients = Clients(context(tmp_path, profile_text(part.url)))
    assert identity(clients).name == "ops/anna"
    part.say("GetCallerIdentity", sts_error("ExpiredToken", "over"))
    with pytest.raises(AuthFailed, match=r"AWS credentials of profile ops have run out \(asking as whom we act\)\."):
        identity(clients)


def test_until_when_depends_on_the_kind_of_credentials(part: Scripted, tmp_path: Path, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def expires(text: str, **options: Any) -> datetime | None:
        return Clients(context(tmp_path, text, **options)).login().expires()

    assert expires(profile_text(part.url)) is None
    assert expires(profile_text(part.url, x_security_token_expires="2026-11-20T18:04:00Z")) == ENDS
    session = "\n[sso-session corp]\nsso_start_url = https://corp.example/start\nsso_region = eu-central-1\n"
    sso = profile_text(part.url, keys=False, sso_session="corp", sso_account_id=ACCOUNT, sso_role_name="ops") + session
    assert expires(sso) is None  # no token: nobody knows
    cache = home / ".aws" / "sso" / "cache"
    cache.mkdir(parents=True)
    token = cache / f"{hashlib.sha1(b'corp', usedforsecurity=False).hexdigest()}.json"
    token.write_text(json.dumps({"accessToken": "t", "expiresAt": "2026-11-20T18:04:00Z"}))
    assert expires(sso) == ENDS
    role = profile_text(part.url, keys=False, role_arn=f"arn:aws:iam::{ACCOUNT}:role/ops", source_profile="base")
    assert expires(role + sso.replace("profile ops", "profile base")) == ENDS  # an assumed role renews itself as long as the token holds
    token.write_text(json.dumps({"accessToken": "t", "expiresAt": "2026-11-20T18:04:00Z", "refreshToken": "r"}))
    assert expires(sso) is None  # renews itself
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", KEY)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
    monkeypatch.setenv("AWS_CREDENTIAL_EXPIRATION", "2026-11-20T18:04:00+00:00")
    assert expires("", profile=None) == ENDS
    assert expires(profile_text(part.url)) is None  # a profile that is named counts more than variables


def test_every_environment_of_this_plugin_knows_as_whom_it_acts_and_what_it_asked(part: Scripted, tmp_path: Path) -> None:
    account = AwsAccount(context(tmp_path, profile_text(part.url)))
    assert account.identity() == Caller("ops/anna", ACCOUNT, "eu-central-1", None)
    assert account.usage().calls == {"sts:GetCallerIdentity": 1}
    assert account.usage().dollars_a_day == 0.0


def test_info_and_the_journals_actor_tell_it(aws: Servers, tmp_path: Path) -> None:
    file = workspace(tmp_path, profile=PROFILE, config_file=str(aws.config_file))
    told = run("info", "--workspace", str(file))
    assert f"({aws.account}, eu-central-1)" in told["info"]["acts as"]
    assert "sts GetCallerIdentity" in told["info"]["asked today"]
    assert OFFLINE_SECRET not in json.dumps(told)
    session = Session(load(file), environment(load(file), "staging", {}))
    try:
        actor = session.acting()
    finally:
        session.close()
    arn = aws.aws("sts", "get-caller-identity")["Arn"]
    assert actor.identity == f"{name_of(arn)} ({aws.account}, eu-central-1)"


def test_info_tells_the_wrong_account_and_a_look_refuses(part: Scripted, tmp_path: Path) -> None:
    part.say("GetCallerIdentity", caller("447100000000"))
    config = tmp_path / "config"
    config.write_text(profile_text(part.url))
    file = workspace(tmp_path, config_file=str(config))
    assert "ops/anna (447100000000, eu-central-1)" in run("info", "--workspace", str(file))["info"]["acts as"]
    failed = run("endpoints", "show", "relevance", "--workspace", str(file), code=6)
    assert failed["error"]["message"] == (
        f"This workspace means account {ACCOUNT}, you are in 447100000000 (profile ops). Nothing was asked or changed."
    )


def test_the_guardians_sessions_take_its_own_profile(part: Scripted, tmp_path: Path) -> None:
    config = tmp_path / "config"
    config.write_text(profile_text(part.url) + profile_text(part.url, "watch", aws_access_key_id="AKIAGUARDIANGUARDIAN"))
    file = workspace(tmp_path, config_file=str(config), guardian_profile="watch")
    run("info", "--workspace", str(file))

    def used() -> list[str]:
        return [headers["Authorization"].split("Credential=")[1].split("/")[0] for _, _, headers in list(part.asked)]

    assert used() == [KEY]
    command = [sys.executable, "-m", "mlconsole", "guardian", "run", "--workspace", str(file)]
    guardian = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    try:
        session = Session(load(file), environment(load(file), "staging", {}))
        watches = until(lambda: (row := session.registry.watcher("staging")) and row.caller, 30.0)
        session.close()
        assert str(watches) == f"ops/anna ({ACCOUNT}, eu-central-1)"
        arguments = Path(f"/proc/{guardian.pid}/cmdline").read_bytes()
    finally:
        guardian.terminate()
        said = guardian.communicate(timeout=30)[0]
    assert set(used()[1:]) == {"AKIAGUARDIANGUARDIAN"}
    for secret in (SECRET, KEY, "AKIAGUARDIANGUARDIAN"):
        assert secret.encode() not in arguments + said
    kept = b"".join(path.read_bytes() for path in (file.parent / ".mlconsole").rglob("*") if path.is_file())
    assert SECRET.encode() not in kept


def run(*words: str, code: int = 0) -> Any:
    """A command as a process of its own; its JSON."""
    done = subprocess.run(
        [sys.executable, "-m", "mlconsole", *words, "--json"], capture_output=True, text=True, timeout=60, check=False, env={**os.environ}
    )
    assert done.returncode == code, done.stdout + done.stderr
    return json.loads(done.stdout.splitlines()[-1])
