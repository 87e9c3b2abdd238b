"""The one way to AWS: whose credentials they are, what is sent again and what never, what is counted, and how many run side by side."""

from __future__ import annotations

import gc
import json
import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from weakref import ref

import pytest

from aws.parts import Servers, until
from aws.parts import context as on_servers
from aws.scripted import ACCOUNT, KEY, SECRET, Reply, Scripted, caller, context, error, profile_text, scripted, sts_error
from mlconsole.plugin.errors import (
    AuthFailed,
    BackendError,
    Conflict,
    InvalidRequest,
    NotFound,
    OutcomeUnknown,
    Refused,
    Throttled,
    Unavailable,
)
from mlconsole_aws import clients as module
from mlconsole_aws.clients import Clients, clients_of
from mlconsole_aws.counting import Tally

THROTTLED = error("ThrottlingException", "Rate exceeded")


@pytest.fixture
def part() -> Iterator[Scripted]:
    with scripted() as one:
        yield one


@pytest.fixture(autouse=True)
def _bare(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No credentials but those that a test writes."""
    for name in [one for one in os.environ if one.startswith("AWS_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")


@pytest.fixture
def ours(part: Scripted, tmp_path: Path) -> Clients:
    return Clients(context(tmp_path, profile_text(part.url)))


def describe(clients: Clients, name: str = "relevance") -> dict[str, Any]:
    return clients.call("sagemaker", "describe_endpoint", EndpointName=name)


def update(clients: Clients, name: str = "relevance") -> dict[str, Any]:
    return clients.call("sagemaker", "update_endpoint", change=True, EndpointName=name, EndpointConfigName="c")


# Whose they are.


def test_the_first_call_proves_the_account_and_later_ones_do_not_ask_again(ours: Clients, part: Scripted) -> None:
    part.say("DescribeEndpoint", Reply(200, {"EndpointName": "relevance"}))
    assert [describe(ours)["EndpointName"] for _ in range(3)] == ["relevance"] * 3
    assert [one for one, _, _ in part.asked] == ["GetCallerIdentity", *["DescribeEndpoint"] * 3]


def test_in_another_account_nothing_is_asked_or_changed_and_both_are_named(ours: Clients, part: Scripted) -> None:
    part.say("GetCallerIdentity", caller("447100000000"))
    for call in (describe, update):
        with pytest.raises(AuthFailed) as caught:
            call(ours)
        assert caught.value.message == (
            f"This workspace means account {ACCOUNT}, you are in 447100000000 (profile ops). Nothing was asked or changed."
        )
        assert "profile" in caught.value.next
    assert {one for one, _, _ in part.asked} == {"GetCallerIdentity"}


def test_a_profile_for_another_region_refuses_before_anything_is_sent(part: Scripted, tmp_path: Path) -> None:
    clients = Clients(context(tmp_path, profile_text(part.url, region="us-east-1")))
    with pytest.raises(AuthFailed, match=r"means region eu-central-1, profile ops is for us-east-1\. Nothing was asked or changed"):
        describe(clients)
    assert part.asked == []


def test_arns_of_elsewhere_are_never_acted_on(ours: Clients, part: Scripted) -> None:
    for arn in (
        f"arn:aws:sagemaker:us-east-1:{ACCOUNT}:endpoint/relevance",
        "arn:aws:sagemaker:eu-central-1:447100000000:endpoint/relevance",
    ):
        with pytest.raises(Refused, match="Nothing was asked or changed"):
            ours.call("sagemaker", "describe_endpoint", EndpointName=arn)
        with pytest.raises(Refused, match="Nothing was asked or changed"):
            ours.call("sagemaker", "add_tags", change=True, ResourceArn=arn, Tags=[])
    ours.call("sagemaker", "add_tags", change=True, ResourceArn=f"arn:aws:sagemaker:eu-central-1:{ACCOUNT}:endpoint/relevance", Tags=[])
    assert [one for one, _, _ in part.asked] == ["GetCallerIdentity", "AddTags"]


def test_other_keys_are_proven_anew(ours: Clients, part: Scripted, tmp_path: Path) -> None:
    describe(ours)
    part.say("GetCallerIdentity", caller("447100000000"))
    (tmp_path / "aws-config").write_text(profile_text(part.url, aws_access_key_id="AKIAOTHEROTHEROTHER0"))

    def refused() -> bool:
        try:
            describe(ours)
        except AuthFailed as one:
            return "447100000000" in one.message
        return False

    assert until(refused)


# When they have run out.


def test_expired_credentials_are_one_line_with_what_to_run_and_renewed_ones_are_found_by_themselves(
    ours: Clients, part: Scripted, tmp_path: Path
) -> None:
    valid = {KEY}

    def answer(_: object) -> Reply:
        used = part.asked[-1][2]["Authorization"].split("Credential=")[1].split("/")[0]
        return (
            Reply(200, {"EndpointName": "relevance"}) if used in valid else error("ExpiredTokenException", "The security token is expired")
        )

    part.answers["DescribeEndpoint"] = answer
    assert describe(ours)
    valid.clear()
    with pytest.raises(AuthFailed) as caught:
        describe(ours)
    assert caught.value.message == "AWS credentials of profile ops have run out (describe endpoint relevance)."
    file = tmp_path / "aws-config"
    assert caught.value.next == f"Write new keys: AWS_CONFIG_FILE={file} aws configure --profile ops. It goes on by itself then."
    valid.add("AKIARENEWEDRENEWED00")
    file.write_text(profile_text(part.url, aws_access_key_id="AKIARENEWEDRENEWED00"))

    def again() -> bool:
        try:
            return bool(describe(ours))
        except AuthFailed:
            return False

    assert until(again)


def test_what_to_run_depends_on_the_kind_of_credentials(part: Scripted, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    part.say("GetCallerIdentity", sts_error("ExpiredToken", "The security token included in the request is expired"))

    def next_of(text: str, **options: Any) -> str:
        with pytest.raises(AuthFailed) as caught:
            describe(Clients(context(tmp_path, text, **options)))
        assert "\n" not in caught.value.message
        return caught.value.next

    session = "\n[sso-session corp]\nsso_start_url = https://corp.example/start\nsso_region = eu-central-1\n"
    sso = {"sso_session": "corp", "sso_account_id": ACCOUNT, "sso_role_name": "ops"}
    file = tmp_path / "aws-config"
    assert f"AWS_CONFIG_FILE={file} aws sso login --profile ops --no-browser" in next_of(
        profile_text(part.url, keys=False, **sso) + session
    )
    role = profile_text(part.url, keys=False, role_arn=f"arn:aws:iam::{ACCOUNT}:role/ops", source_profile="base")
    assert "aws sso login --profile base" in next_of(role + profile_text(part.url, "base", keys=False, **sso) + session)
    code = profile_text(
        part.url, keys=False, role_arn=f"arn:aws:iam::{ACCOUNT}:role/ops", source_profile="base", mfa_serial="arn:aws:iam::1:mfa/anna"
    )
    assert "asks for the code" in next_of(code + profile_text(part.url, "base"))  # and nothing asks on stdin
    assert "credential_process of profile ops" in next_of(profile_text(part.url, keys=False, credential_process="false"))
    assert "aws configure" in next_of("[profile empty]\nregion = eu-central-1\n", profile="empty")
    assert "list-profiles" in next_of("[profile other]\nregion = eu-central-1\n")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", KEY)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
    monkeypatch.setenv("AWS_ENDPOINT_URL", part.url)
    assert "start mlconsole again" in next_of("", profile=None)


def test_no_secret_is_in_any_error_nor_in_what_is_kept(part: Scripted, tmp_path: Path) -> None:
    token = "a-session-token-that-nobody-may-see"
    clients = Clients(context(tmp_path, profile_text(part.url, aws_session_token=token)))
    told = []
    for reply in (error("ExpiredTokenException"), error("ValidationException", "no"), Reply(500, {}), Reply(hang_up=True), THROTTLED):
        part.say("UpdateEndpoint", reply)
        with pytest.raises(BackendError) as caught:
            update(clients)
        told.append(f"{caught.value.message} {caught.value.next} {caught.value!r}")
    clients.tally.write()
    kept = "".join(path.read_text() for path in (tmp_path / "state").rglob("*") if path.is_file())
    assert kept
    assert clients.mark.startswith("mlconsole/")
    for secret in (SECRET, token, KEY):
        assert secret not in " ".join(told) + kept + clients.mark


def test_the_guardian_has_its_own_profile(part: Scripted, tmp_path: Path) -> None:
    text = profile_text(part.url) + profile_text(part.url, "watch", aws_access_key_id="AKIAGUARDIANGUARDIAN")
    used = []
    for guardian in (False, True):
        clients = clients_of(context(tmp_path, text, guardian=guardian, guardian_profile="watch"))
        describe(clients)
        used.append(part.asked[-1][2]["Authorization"].split("Credential=")[1].split("/")[0])
        assert clients.login().profile == ("watch" if guardian else "ops")
    assert used == [KEY, "AKIAGUARDIANGUARDIAN"]


# What is sent again.


def test_a_throttled_reading_call_is_repeated_and_both_are_counted(ours: Clients, part: Scripted) -> None:
    part.say("DescribeEndpoint", THROTTLED, Reply(200, {"EndpointName": "relevance"}))
    assert describe(ours)["EndpointName"] == "relevance"
    assert ours.tally.calls["sagemaker:DescribeEndpoint"] == 2
    assert ours.tally.throttled["sagemaker:DescribeEndpoint"] == 1


def test_one_that_is_throttled_for_good_says_so_before_the_engine_loses_patience(ours: Clients, part: Scripted) -> None:
    part.say("DescribeEndpoint", THROTTLED)
    began = time.monotonic()
    with pytest.raises(Throttled):
        describe(ours)
    assert time.monotonic() - began < 10.0
    assert part.count("DescribeEndpoint") <= 3


def test_many_that_are_throttled_slow_down_and_none_waits_past_its_time(ours: Clients, part: Scripted) -> None:
    """botocore's own adaptive mode kept a call for 19 s here, and let one through each second."""
    number = [0]

    def answer(_: Any) -> Reply:
        number[0] += 1
        return THROTTLED if number[0] % 10 in (0, 3, 6) else Reply(200, {"EndpointName": "relevance"})

    part.answers["DescribeEndpoint"] = answer
    describe(ours)
    lasted: list[float] = []
    said: list[str] = []
    began = time.monotonic()

    def work() -> None:
        while time.monotonic() - began < 6.0:
            since = time.monotonic()
            try:
                describe(ours)
                said.append("ok")
            except Throttled:
                said.append("throttled")
            lasted.append(time.monotonic() - since)

    threads = [threading.Thread(target=work, daemon=True) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert max(lasted) < 10.0
    assert said.count("ok") >= 15  # 5 a second, three of ten thrown back
    assert part.count("DescribeEndpoint") < 150  # without a pace it would be thousands


def test_a_reading_call_that_hangs_is_given_up_before_the_engine_loses_patience(
    ours: Clients, part: Scripted, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_READING", module._Pace(0.3, 0.5, 1.2, 3))  # as long in tenths
    describe(ours)  # what takes time once is made
    asked = part.count("DescribeEndpoint")
    hold = threading.Event()
    part.say("DescribeEndpoint", Reply(hold=hold))
    began = time.monotonic()
    with pytest.raises(Unavailable):
        describe(ours)
    hold.set()
    assert time.monotonic() - began < 1.2 + 1.0  # the rest between two attempts
    assert part.count("DescribeEndpoint") == asked + 1  # a second one would end too late


def test_all_paces_end_before_the_engine_does() -> None:
    from mlconsole.engine import bound

    reading = [module._READING, module._LISTING]
    assert all(pace.whole < bound.READ for pace in reading)
    assert all(pace.whole < bound.CHANGE for pace in (module._CHANGING, module._PREDICTING, module._STORING))
    for pace in (*reading, module._CHANGING, module._PREDICTING, module._STORING):
        assert pace.connect + pace.read <= pace.whole


@pytest.mark.parametrize(
    "reply", [Reply(500, {"__type": "InternalFailure", "message": "x"}), Reply(503, {}), Reply(hang_up=True)], ids=["500", "503", "silence"]
)
def test_a_change_that_may_have_worked_is_never_sent_again(ours: Clients, part: Scripted, reply: Reply) -> None:
    part.say("UpdateEndpoint", reply)
    with pytest.raises(OutcomeUnknown, match="may have worked"):
        update(ours)
    assert part.count("UpdateEndpoint") == 1


def test_a_change_that_is_not_answered_in_time_is_never_sent_again(ours: Clients, part: Scripted, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_CHANGING", module._Pace(1.0, 0.3, 5.0, 1))
    hold = threading.Event()
    part.say("UpdateEndpoint", Reply(hold=hold))
    with pytest.raises(OutcomeUnknown):
        update(ours)
    hold.set()
    assert part.count("UpdateEndpoint") == 1


def test_a_throttled_change_is_sent_again_since_it_was_surely_not_carried_out(ours: Clients, part: Scripted) -> None:
    part.say("UpdateEndpoint", THROTTLED, Reply(200, {"EndpointArn": "x"}))
    assert update(ours)["EndpointArn"] == "x"
    part.say("UpdateEndpoint", THROTTLED)
    with pytest.raises(Throttled):
        update(ours)
    assert part.count("UpdateEndpoint") == 2 + module._SENDS


def test_nobody_there_is_unavailable_and_not_unknown(tmp_path: Path) -> None:
    clients = Clients(context(tmp_path, profile_text("http://127.0.0.1:9")))
    clients._prove = lambda access: None  # type: ignore[method-assign] - STS is not there either
    with pytest.raises(Unavailable) as caught:
        update(clients)
    assert not isinstance(caught.value, OutcomeUnknown)


@pytest.mark.parametrize(
    ("reply", "expected"),
    [
        (error("ValidationException", 'Could not find endpoint "arn:aws:sagemaker:…".'), NotFound),
        (error("ValidationException", "1 validation error detected"), InvalidRequest),
        (error("ResourceInUse", "in use"), Conflict),
        (error("ResourceLimitExceeded", "quota"), Refused),
        (error("AccessDeniedException", "not authorized", 403), Refused),
        (error("UnrecognizedClientException", "invalid", 403), AuthFailed),
        (Reply(429, {"__type": "TooManyRequestsException", "message": "x"}), Throttled),
        (Reply(500, "<html>not implemented</html>"), Unavailable),
    ],
)
def test_errors_are_those_of_our_tree(ours: Clients, part: Scripted, reply: Reply, expected: type[BackendError]) -> None:
    part.say("DescribeEndpoint", reply)
    with pytest.raises(expected):
        describe(ours)


# Manners.


def test_at_most_so_many_calls_to_a_service_run_at_once_and_changes_have_room_of_their_own(ours: Clients, part: Scripted) -> None:
    describe(ours)
    hold = threading.Event()
    part.say("DescribeEndpoint", Reply(200, {}, hold))
    threads = [threading.Thread(target=lambda: describe(ours), daemon=True) for _ in range(module.AT_ONCE + 6)]
    for thread in threads:
        thread.start()
    until(lambda: part.at_once["DescribeEndpoint"] == module.AT_ONCE)
    update(ours)  # though reading ones hang
    assert part.most_at_once["DescribeEndpoint"] == module.AT_ONCE
    hold.set()
    for thread in threads:
        thread.join(10)
    assert part.count("DescribeEndpoint") == module.AT_ONCE + 7
    assert part.most_at_once["DescribeEndpoint"] == module.AT_ONCE


def test_calls_of_all_processes_are_counted_by_day(tmp_path: Path) -> None:
    from mlconsole.plugin.simulator.clock import ManualClock

    clock = ManualClock()
    one, other = Tally(tmp_path, clock), Tally(tmp_path, clock)
    one.add("sagemaker:DescribeEndpoint", 3)
    other.add("sagemaker:DescribeEndpoint", 2)
    other.add("sagemaker:DescribeEndpoint", 0, 1)
    other.write()
    assert one.today() == ({"sagemaker:DescribeEndpoint": 5}, {"sagemaker:DescribeEndpoint": 1})
    with next(tmp_path.glob("*.jsonl")).open("a") as file:
        file.write('{"sagemaker:Descr')  # a crash in the middle of a line
    assert one.today()[0] == {"sagemaker:DescribeEndpoint": 5}
    clock.advance(86_400.0)
    assert one.today() == ({}, {})
    (tmp_path / "not-a-folder").write_text("")
    nowhere = Tally(tmp_path / "not-a-folder", clock)  # as on a disk that takes nothing
    nowhere.add("sts:GetCallerIdentity", 1)
    assert nowhere.today()[0] == nowhere.today()[0] == {"sts:GetCallerIdentity": 1}
    for file in tmp_path.glob("*.jsonl"):
        assert file.stat().st_mode & 0o777 == 0o600
        json.loads(file.read_text().splitlines()[0])


# On the real servers.


def test_a_profile_with_addresses_of_its_own_is_all_that_is_needed(aws: Servers, tmp_path: Path) -> None:
    clients = clients_of(on_servers(aws, tmp_path))
    assert list(clients.pages("sagemaker", "list_endpoints", "Endpoints")) == []
    with pytest.raises(NotFound):
        describe(clients, "nothing-of-that-name")
    assert clients.who()["Account"] == aws.account


def test_without_boto3_it_is_said_what_to_install(part: Scripted, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "find_spec", lambda name: None)
    with pytest.raises(Refused, match="boto3 is not installed") as refused:
        clients_of(context(tmp_path, profile_text(part.url)))
    assert "mlconsole[aws]" in refused.value.next


def test_environments_share_the_service_models_and_are_let_go(part: Scripted, tmp_path: Path) -> None:
    """Each would read some 30 MB of its own, and a process that opens many would never let go of one."""
    one, other = (clients_of(context(tmp_path, profile_text(part.url), guardian=guardian)) for guardian in (False, True))
    assert one is not other
    loaders = [each._entered().login.session.get_component("data_loader") for each in (one, other)]
    assert loaders[0] is loaders[1]
    forgotten = ref(one)
    del one, loaders
    gc.collect()
    assert forgotten() is None
