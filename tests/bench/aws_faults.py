"""Changes at AWS while it misbehaves: answers that never arrive after the effect, throttling, updates that are rolled back without a word,
credentials that end in the middle. After each: a legal state, told as it is, and nothing left behind that was made for what did not stand.

Each run is a change (shift, deploy, remove, revert) of an endpoint of its own, with one kind of fault from a random moment on; by turns of
one whose requests SageMaker splits, and of one whose requests applications split by a document of AppConfig. Then AWS behaves again, what
is unfinished is recovered, and the `boto3` of somebody else looks at what is there.
"""

from __future__ import annotations

import json
import random
import tempfile
import threading
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from tests.bench import aws_house
from tests.bench.aws_house import PROFILE, Account, Servers, until
from tests.bench.figures import Figure, Say, none_of

from local.backend import version
from local.kit import DATA
from mlconsole.core.live import Transition, differences
from mlconsole.core.operations import OperationState
from mlconsole.core.plans import Plan
from mlconsole.engine import changing
from mlconsole.engine.endpoints import adopt
from mlconsole.engine.planning import plan_deploy, plan_remove, plan_revert, plan_traffic
from mlconsole.engine.session import Session
from mlconsole.engine.views import Progress
from mlconsole.plugin.errors import MLConsoleError
from mlconsole.workspace import environment, load

_RUNS, _SAMPLE = 500, 12
_KINDS = ("silence", "throttling", "silent rollback", "expired")
_CHANGES = ("shift", "deploy", "deploy with traffic", "remove", "revert")
_BUCKET, _ROLE = "bench-models", "arn:aws:iam::123456789012:role/serving"
_IMAGE = "123456789012.dkr.ecr.eu-central-1.amazonaws.com/onnx:1"
_UPDATING = 0.15
"""Seconds that an update takes here."""

_SHARED, _HELD = "shared", "held"
"""The environments: SageMaker splits, or the document does."""
_DOCUMENT, _VARIANTS = "shares", ("v1", "v2")

_ENVIRONMENT = """\
  {name}:
    serving: aws
{more}    options:
      aws:
        region: {region}
        account: "{account}"
        profile: {profile}
        config_file: {config}
        sagemaker:
          role: {role}
          image: {image}
          instance_type: ml.m5.large
          instance_count: 1
          bucket: {bucket}
          update_seconds: 1
          weights_seconds: 1
          deadline_seconds: 30
        appconfig: {{application: bench, environment: held, poll: 15}}
"""
_WORKSPACE = """\
workspace: bench
environments:
{environments}models:
{models}configs:
  shares: {{file: shares.json}}
"""


@dataclass
class Seen:
    """What happened in all runs."""

    runs: int = 0
    ends: Counter[str] = field(default_factory=Counter)
    kinds: Counter[str] = field(default_factory=Counter)
    late: int = 0
    """Runs that were over before anything went wrong."""
    wrong: list[str] = field(default_factory=list)


def measure(long: bool, say: Say) -> Iterator[Figure]:
    """One run after the other, each of its own seed."""
    seen = Seen()
    with tempfile.TemporaryDirectory(prefix="mlconsole-faults-") as name, aws_house.servers() as servers:
        made = World(servers, Path(name), _RUNS if long else _SAMPLE)
        for seed in range(_RUNS if long else _SAMPLE):
            seen.runs += 1
            try:
                found = made.run(seed, seen)
            except (AssertionError, MLConsoleError) as error:
                found = [f"{type(error).__name__}: {error}"]
            finally:
                made.control()
            seen.wrong += [f"run {seed}: {one}" for one in found]
            if found:
                say(f"run {seed} is wrong: {found[0][:400]}")
            if seen.runs % 25 == 0:
                say(f"{seen.runs} runs, {len(seen.wrong)} wrong")
    told = f"{len(seen.wrong)} in {seen.runs} changes ({_told(seen.kinds)}; {seen.late} over before); {_told(seen.ends)}"
    yield none_of("aws: wrong after faults, or left behind", seen.wrong, told, ends=dict(seen.ends), kinds=dict(seen.kinds))


def _told(counts: Counter[str]) -> str:
    return ", ".join(f"{count} {name}" for name, count in sorted(counts.items()))


class World:
    """An account with an endpoint for each run, and a workspace for all of them."""

    def __init__(self, servers: Servers, folder: Path, runs: int) -> None:
        self.servers, self.folder = servers, folder
        self.account = Account(servers)
        s3 = self.account.client("s3")
        s3.create_bucket(Bucket=_BUCKET, CreateBucketConfiguration={"LocationConstraint": servers.region})
        said = {"region": servers.region, "account": servers.account, "profile": PROFILE, "config": servers.config_file}
        said |= {"role": _ROLE, "image": _IMAGE, "bucket": _BUCKET}
        held = f"    config: aws\n    traffic_in: {_DOCUMENT}\n"
        environments = [_ENVIRONMENT.format(name=name, more=more, **said) for name, more in ((_SHARED, ""), (_HELD, held))]
        models = "".join(f"  {_name(seed)}: {{}}\n" for seed in range(runs))
        (folder / "mlconsole.yaml").write_text(_WORKSPACE.format(environments="".join(environments), models=models), encoding="utf-8")
        self.control()
        document = {_name(seed): {"en": {"split": {"v1": 100, "v2": 0}}, "de": {"split": {"v1": 100, "v2": 0}}} for seed in range(runs)}
        self.account.document("bench", "held", _DOCUMENT, json.dumps(document, indent=1).encode())
        third = folder / "third"
        third.mkdir()
        (third / "model.onnx").write_bytes((DATA / "double.onnx").read_bytes())
        (third / "serving.json").write_text('{"schema": 1, "score": "score"}', encoding="utf-8")
        self.third = version("3", third)

    def control(self, **settings: Any) -> None:
        """How AWS behaves from now on."""
        self.servers.control(updating_seconds=_UPDATING, deleting_seconds=0.05, **settings)

    def session(self, name: str, tell: Any = None) -> Session:
        """Somebody at the console, in the environment of that endpoint; connections and caches of its own."""
        workspace = load(self.folder / "mlconsole.yaml")
        return Session(workspace, environment(workspace, _where(name), {}), tell=tell, deadline=120.0)

    def run(self, seed: int, seen: Seen) -> list[str]:
        """One change with one kind of fault; what is wrong afterwards."""
        dice, name = random.Random(seed), _name(seed)
        kind, change = _KINDS[seed // 2 % len(_KINDS)], dice.choice(_CHANGES)
        seen.kinds[f"{kind} ({_where(name)})"] += 1
        self._found(name, dice)
        session = self.session(name)
        until(lambda: len(session.backend.describe(name).variants) == 2, 30.0)  # who is there is listed now and then only
        adopt(session, name)
        session.registry.add_version(replace(self.third, model=name))
        plan = self._plan(session, name, change, dice)
        fault = _Fault(self, kind, name, dice)
        told: str
        try:
            outcome = changing.run(self.session(name, fault.heard), plan)
            told = "done" if outcome.done else "went back"
        except MLConsoleError as error:
            told = f"{error.code}"
        finally:
            fault.over()
        self.control()
        after = self.session(name)
        for left in after.registry.unfinished(_where(name)):
            if left.endpoint == name:
                until(lambda left=left: not changing.is_alive(after, left), 30.0)  # type: ignore[misc]
                changing.recover(after, left)
        seen.ends[f"{change}: {told}"] += 1
        seen.late += fault.since == "never"
        return [f"{kind}, {change} (from {fault.since}): {one}" for one in self._problems(after, name, plan, told)]

    def _found(self, name: str, dice: random.Random) -> None:
        """An endpoint that somebody else made, its models without data: their containers echo."""
        sagemaker = self.account.sagemaker
        for variant in _VARIANTS:
            inside = {"Image": _IMAGE, "Environment": {"SIDE": variant}}
            sagemaker.create_model(ModelName=f"{name}-{variant}-m", PrimaryContainer=inside, ExecutionRoleArn=_ROLE)
        if _where(name) == _HELD:
            for variant in _VARIANTS:
                self.account.endpoint(f"{name}-{variant}", {"AllTraffic": (f"{name}-{variant}-m", 1.0)})
        else:
            weights = {"v1": dice.choice((1.0, 3.0, 90.0)), "v2": dice.choice((0.0, 1.0, 10.0))}
            self.account.endpoint(name, {variant: (f"{name}-{variant}-m", weight) for variant, weight in weights.items()})
        until(lambda: {one["EndpointStatus"] for one in self._endpoints(name)} == {"InService"}, 30.0)

    def _endpoints(self, name: str) -> list[dict[str, Any]]:
        """The SageMaker endpoints of one of ours, as somebody else sees them."""
        listed = self.account.sagemaker.list_endpoints(NameContains=name, MaxResults=100)["Endpoints"]
        return [self.account.sagemaker.describe_endpoint(EndpointName=one["EndpointName"]) for one in listed]

    def _plan(self, session: Session, name: str, change: str, dice: random.Random) -> Plan:
        live = session.backend.describe(name)
        assert live.traffic is not None
        now = live.traffic.share("v2")
        if change == "remove" and now:
            changing.run(session, plan_traffic(session, name, {"v1": 10_000}))
        if change == "revert":
            changing.run(session, plan_traffic(session, name, {"v2": 4_000 if now != 4_000 else 6_000}))
        if change == "shift":
            return plan_traffic(session, name, {"v2": next(one for one in dice.sample((500, 1_000, 5_000, 10_000), 4) if one != now)})
        if change == "remove":
            return plan_remove(session, name, "v2")
        if change == "revert":
            return plan_revert(session, name)
        return plan_deploy(session, name, "3", share=1_000 if change == "deploy with traffic" else None)

    def _problems(self, session: Session, name: str, plan: Plan, told: str) -> list[str]:
        """A legal end, the endpoint as the registry says, told as it is, nothing left behind, nothing of before gone."""
        found = []
        where = _where(name)
        left = [one for one in session.registry.unfinished(where) if one.endpoint == name]
        found += [f"change {one.id} is {one.state}" for one in left]
        recorded = session.registry.live_release(where, name)
        live = session.backend.describe(name)
        assert recorded is not None
        found += [f"live: {one}" for one in differences(live, recorded.release.content)]
        if live.transition is Transition.IN_PROGRESS:
            found.append(f"still under way: {live.reason}")
        stands = recorded.release.content == plan.then
        if (told == "done") and not stands:
            found.append("it was told as done, and is not")
        if told == "went back" and recorded.release.content != plan.now:
            found.append("it was told as gone back, and is not")
        operations = session.registry.operations(where, name, limit=10)
        ended = {one.release: one.state for one in operations}
        found += self._leaks(name, ended)
        models = {one["ModelName"] for one in self.account.sagemaker.list_models(NameContains=name, MaxResults=100)["Models"]}
        found += [f"model {one} is gone: it may be gone back to" for one in {f"{name}-{one}-m" for one in _VARIANTS} - models]
        return found

    def _leaks(self, name: str, ended: dict[int, OperationState]) -> list[str]:
        """What bears the tag of a release that went back, and is used by nothing; endpoints that nobody wants."""
        sagemaker, used = self.account.sagemaker, set()
        for endpoint in self._endpoints(name):
            used.add(endpoint["EndpointConfigName"])
            config = sagemaker.describe_endpoint_config(EndpointConfigName=endpoint["EndpointConfigName"])
            used |= {one["ModelName"] for one in config["ProductionVariants"]}
        found = []
        made = {
            **{one["ModelName"]: one["ModelArn"] for one in sagemaker.list_models(NameContains=name, MaxResults=100)["Models"]},
            **{
                one["EndpointConfigName"]: one["EndpointConfigArn"]
                for one in sagemaker.list_endpoint_configs(NameContains=name, MaxResults=100)["EndpointConfigs"]
            },
        }
        for thing, arn in made.items():
            tags = {one["Key"]: one["Value"] for one in sagemaker.list_tags(ResourceArn=arn)["Tags"]}
            number = tags.get("mlconsole:release", "").rpartition("+")[2]
            if thing not in used and number.isdigit() and ended.get(int(number)) is OperationState.WENT_BACK:
                found.append(f"{thing} was left behind by #{number}, which went back")
        return found


class _Fault:
    """One kind of fault, from the start or from a random step of a change on; credentials are renewed a while later."""

    def __init__(self, world: World, kind: str, name: str, dice: random.Random) -> None:
        self._world, self.kind, self._name = world, kind, name
        self._at, self._seconds, self._seed = dice.randrange(4), dice.uniform(0.3, 3.0), dice.randrange(10**6)
        self._count = 0
        self._timer: threading.Timer | None = None
        self.since = "never"
        if self._at == 0:
            self._begin("the start")

    def heard(self, progress: Progress) -> None:
        """Something happened in the change; a step is told before it is begun."""
        self._count += progress.kind == "step"
        if self.since == "never" and self._count == self._at:
            self._begin(f"{progress.kind} {progress.text}"[:60])

    def _begin(self, since: str) -> None:
        self.since = since
        if self.kind == "silence":
            self._world.control(timeout_after_effect=1.0, services=["sagemaker", "s3", "appconfig"], seed=self._seed)
        elif self.kind == "throttling":
            self._world.control(throttle=0.3, seed=self._seed)
        elif self.kind == "silent rollback":
            self._world.control(fault="silent_rollback", fault_times=1, fault_endpoints=[self._name, f"{self._name}-v3"])
        else:
            self._world.control(expired=True)
            self._timer = threading.Timer(self._seconds, self._world.control)
            self._timer.daemon = True
            self._timer.start()

    def over(self) -> None:
        """It is over before anybody looks."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer.join(5)


def _name(seed: int) -> str:
    return f"e{seed:03d}"


def _where(name: str) -> str:
    """The environment of that run's endpoint."""
    return _HELD if int(name[1:]) % 2 else _SHARED
