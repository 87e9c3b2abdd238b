"""The kinds of credentials that people have: SSO that runs out in the middle, an assumed role, a machine's own. By boto3's own chain."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from botocore.credentials import SSOProvider
from botocore.tokens import SSOTokenProvider

from aws.parts import until
from aws.scripted import ACCOUNT, KEY, Reply, Scripted, context, profile_text, scripted
from mlconsole.plugin.errors import AuthFailed
from mlconsole_aws import clients as module
from mlconsole_aws.clients import Clients
from mlconsole_aws.identity import identity

SESSION = "\n[sso-session corp]\nsso_start_url = https://corp.example/start\nsso_region = eu-central-1\n"


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
    for kind in (SSOTokenProvider, SSOProvider):  # they look for the home folder when they are imported
        monkeypatch.setattr(kind, "_SSO_TOKEN_CACHE_DIR", str(tmp_path / "home" / ".aws" / "sso" / "cache"))
    return tmp_path / "home"


def stamp(when: datetime) -> str:
    return when.strftime("%Y-%m-%dT%H:%M:%SZ")


def used(part: Scripted, operation: str) -> list[str]:
    """With which key each of these requests was signed."""
    found = [headers for one, _, headers in part.asked if one == operation]
    return [headers["Authorization"].split("Credential=")[1].split("/")[0] for headers in found]


def log_in(home: Path, token: str, hours: float) -> datetime:
    """What `aws sso login` leaves behind."""
    ends = (datetime.now(UTC) + timedelta(hours=hours)).replace(microsecond=0)
    file = home / ".aws" / "sso" / "cache" / f"{hashlib.sha1(b'corp', usedforsecurity=False).hexdigest()}.json"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps({"accessToken": token, "expiresAt": stamp(ends), "region": "eu-central-1", "startUrl": "x"}))
    return ends


def test_sso_that_runs_out_and_is_renewed(part: Scripted, tmp_path: Path, home: Path) -> None:
    tokens = {"first"}

    def credentials(_: Mapping[str, Any]) -> Reply:
        token = next(value for name, value in part.asked[-1][2].items() if name.lower() == "x-amz-sso_bearer_token")
        if token not in tokens:
            return Reply(401, {"__type": "UnauthorizedException", "message": "Session token not found or invalid"})
        ends = datetime.now(UTC) + timedelta(hours=1)
        keys = {"accessKeyId": f"ASIA{token.upper():0<16}", "secretAccessKey": "s", "sessionToken": "t"}
        return Reply(200, {"roleCredentials": {**keys, "expiration": int(ends.timestamp() * 1000)}})

    def describe(_: Mapping[str, Any]) -> Reply:
        good = used(part, "DescribeEndpoint")[-1] in {f"ASIA{token.upper():0<16}" for token in tokens}
        body = {"EndpointName": "relevance"} if good else {"__type": "ExpiredTokenException", "message": "expired"}
        return Reply(200 if good else 400, body)

    part.answers["/federation/credentials"] = credentials
    part.answers["DescribeEndpoint"] = describe
    sso = {"sso_session": "corp", "sso_account_id": ACCOUNT, "sso_role_name": "ops"}
    clients = Clients(context(tmp_path, profile_text(part.url, keys=False, **sso) + SESSION))

    def look() -> bool:
        try:
            return bool(clients.call("sagemaker", "describe_endpoint", EndpointName="relevance"))
        except AuthFailed:
            return False

    with pytest.raises(AuthFailed) as caught:  # never logged in
        clients.call("sagemaker", "describe_endpoint", EndpointName="relevance")
    assert "aws sso login --profile ops --no-browser" in caught.value.next
    ends = log_in(home, "first", 8)
    assert until(look)
    assert identity(clients).expires == ends
    tokens.clear()  # the session at the provider is over, whatever the file says
    with pytest.raises(AuthFailed, match=r"AWS credentials of profile ops have run out"):
        clients.call("sagemaker", "describe_endpoint", EndpointName="relevance")
    tokens.add("second")
    log_in(home, "second", 8)
    assert until(look)
    assert used(part, "DescribeEndpoint")[-1].startswith("ASIASECOND")


def test_what_was_refused_is_read_anew_even_if_no_file_tells(part: Scripted, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As with a process that gives credentials: nothing is written anywhere when it gives other ones."""
    monkeypatch.setattr(module, "_ANEW", 0.05)
    keys = tmp_path / "keys.json"
    keys.write_text(json.dumps({"Version": 1, "AccessKeyId": KEY, "SecretAccessKey": "s", "SessionToken": "t"}))
    part.answers["DescribeEndpoint"] = lambda _: (
        Reply(200, {"EndpointName": "x"}) if used(part, "DescribeEndpoint")[-1] != KEY else Reply(400, {"__type": "ExpiredToken"})
    )
    clients = Clients(context(tmp_path, profile_text(part.url, keys=False, credential_process=f"cat {keys}")))
    with pytest.raises(AuthFailed, match="have run out"):
        clients.call("sagemaker", "describe_endpoint", EndpointName="x")
    keys.write_text(json.dumps({"Version": 1, "AccessKeyId": "ASIANEWNEWNEWNEWNEW0", "SecretAccessKey": "s", "SessionToken": "t"}))

    def again() -> bool:
        try:
            return bool(clients.call("sagemaker", "describe_endpoint", EndpointName="x"))
        except AuthFailed:
            return False

    assert until(again)


def test_an_assumed_role(part: Scripted, tmp_path: Path) -> None:
    ends = stamp(datetime.now(UTC) + timedelta(hours=1))
    part.answers["AssumeRole"] = lambda asked: Reply(
        200,
        "<AssumeRoleResponse xmlns='https://sts.amazonaws.com/doc/2011-06-15/'><AssumeRoleResult><Credentials>"
        "<AccessKeyId>ASIAASSUMEDASSUMED00</AccessKeyId><SecretAccessKey>s</SecretAccessKey><SessionToken>t</SessionToken>"
        f"<Expiration>{ends}</Expiration></Credentials><AssumedRoleUser><Arn>{asked['RoleArn']}/s</Arn><AssumedRoleId>A:s</AssumedRoleId>"
        "</AssumedRoleUser></AssumeRoleResult></AssumeRoleResponse>",
    )
    part.say("DescribeEndpoint", Reply(200, {"EndpointName": "x"}))
    role = profile_text(part.url, keys=False, role_arn=f"arn:aws:iam::{ACCOUNT}:role/ops", source_profile="base")
    clients = Clients(context(tmp_path, role + profile_text(part.url, "base")))
    assert clients.call("sagemaker", "describe_endpoint", EndpointName="x")
    assert used(part, "AssumeRole") == [KEY]
    assert used(part, "DescribeEndpoint") == used(part, "GetCallerIdentity") == ["ASIAASSUMEDASSUMED00"]
    assert identity(clients).expires is None  # it renews itself with keys that do not run out


def test_a_machines_own_role(part: Scripted, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_EC2_METADATA_DISABLED")
    monkeypatch.setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", part.url)
    monkeypatch.setenv("AWS_ENDPOINT_URL", part.url)
    keys = {"AccessKeyId": "ASIAMACHINEMACHINE00", "SecretAccessKey": "s", "Token": "t", "Code": "Success"}
    body = json.dumps({**keys, "Expiration": stamp(datetime.now(UTC) + timedelta(hours=6))})
    part.answers["/latest/api/token"] = lambda _: Reply(200, "metadata-token", plain=True)
    part.answers["/latest/meta-data/iam/security-credentials/"] = lambda _: Reply(200, "bastion", plain=True)
    part.answers["/latest/meta-data/iam/security-credentials/bastion"] = lambda _: Reply(200, body, plain=True)
    part.say("DescribeEndpoint", Reply(200, {"EndpointName": "x"}))
    clients = Clients(context(tmp_path, "", profile=None, config_file=None))
    assert clients.call("sagemaker", "describe_endpoint", EndpointName="x")
    assert used(part, "DescribeEndpoint") == ["ASIAMACHINEMACHINE00"]
    assert identity(clients).expires is None
