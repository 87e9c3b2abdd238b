"""What an AWS account has already, told so that a workspace can be made of it: endpoints, documents, who gets which share, and as whom."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

from mlconsole.core.models import Json
from mlconsole.core.text import is_name
from mlconsole.plugin import Context
from mlconsole.plugin.discovering import Found, FoundDocument, FoundEndpoint, FoundEnvironment, Origin, value_of
from mlconsole.plugin.errors import AuthFailed, BackendError, InvalidRequest, MLConsoleError, Refused
from mlconsole_aws.clients import Clients, clients_of
from mlconsole_aws.discovery_appconfig import Deployed, deployed
from mlconsole_aws.discovery_layout import Guess, guess
from mlconsole_aws.discovery_sagemaker import (
    MACHINE,
    SeenEndpoint,
    data_of,
    is_protected,
    model_of,
    needed,
    package_of,
    survey,
    usual,
)
from mlconsole_aws.errors import translated
from mlconsole_aws.naming import Names, containers

T = TypeVar("T")

_VERSION = re.compile(r"v?([0-9][0-9A-Za-z._]*)")


@dataclass(frozen=True)
class _Document:
    """A deployed document that names endpoints, and what it says of them."""

    name: str
    deployed: Deployed
    guess: Guess

    @property
    def splits(self) -> bool:
        """Applications read in it whom to ask, and whom is clear."""
        return bool(self.guess.variants) and not self.guess.why


class AwsDiscovery:
    """Looks at what there is; changes nothing."""

    def __init__(self, context: Context) -> None:
        self._context = context

    def found(self) -> Found:
        """What there is: a list of endpoints, a description of each endpoint, config and model, and what AppConfig has deployed.

        Raises:
            Refused: there is no endpoint; the region is not known.
            AuthFailed: the credentials are missing, wrong, or have run out.
        """
        clients, options, whom = self._pinned()
        try:
            return self._found(clients, options, whom)
        finally:
            clients.tally.write()  # now: what it is written to is taken away behind us

    def _found(self, clients: Clients, options: Mapping[str, Json], whom: str) -> Found:
        place = f"account {clients.account}, {clients.region}, as {whom}"
        seen = survey(clients)
        if not seen:
            text = f"There is no SageMaker endpoint in account {clients.account}, {clients.region}. Nothing was made."
            raise Refused(text, next="Look elsewhere: --region, --profile; or begin with an empty workspace: mlconsole init DIR.")
        remarks: list[str] = []
        documents = self._documents(clients, [one.name for one in seen], remarks)
        alarms = _tried("CloudWatch's alarms", lambda: _alarms(clients), remarks) or {}
        environments = _environments(seen, documents, options, alarms, self._context.environment, remarks)
        used = {name for environment in environments for name in environment.documents}
        return Found(place, environments, tuple(_as_found(used, documents)), tuple(remarks))

    def origin(self, endpoint: str, variant: str) -> Origin | None:
        """The SageMaker model behind a variant: it can't change, so that the same bytes can be served from it again."""
        clients = clients_of(self._context)
        by_name = self._context.by_name
        there = Names.of(clients.section("sagemaker"), by_name=by_name).native(endpoint, variant)
        found = model_of(clients, there, None if by_name else variant)
        if found is None or len(containers(found[1])) != 1:
            return None
        name, model = found
        group, package = package_of(model)
        told = f"as found: SageMaker model {name}" + (f", package {group}/{package}" if group else "")
        return Origin(package or _version(endpoint, variant, name), f"sagemaker://model/{name}", _size(clients, model), told)

    def _pinned(self) -> tuple[Clients, dict[str, Json], str]:
        """The clients of the account and region that the credentials lead to; the options that say so."""
        from mlconsole_aws.login import Login

        said = dict(self._context.options)
        file = Path(str(said["config_file"])) if said.get("config_file") else None
        login: Login | None = None
        try:
            login = Login(said.get("profile"), file)
            region = str(said.get("region") or login.region)
            if not region:
                raise Refused("No region is set. Nothing was made.", next="Name one: --region eu-central-1, or `region` in ~/.aws/config.")
            caller = login.session.create_client("sts", region_name=region).get_caller_identity()
        except MLConsoleError:
            raise
        except Exception as error:
            told = translated(error, "asking as whom we come", change=False)
            if isinstance(told, AuthFailed) and not told.next and login is not None:
                told.next = login.remedy()
            raise told from error
        options: dict[str, Json] = {"region": region, "account": str(caller["Account"])}
        options |= {key: str(said[key]) for key in ("profile", "config_file") if said.get(key)}
        whom = str(caller["Arn"]).partition(f":{caller['Account']}:")[2] or str(caller["Arn"])
        return clients_of(replace(self._context, options=options)), options, whom

    def _documents(self, clients: Clients, endpoints: Sequence[str], remarks: list[str]) -> list[_Document]:
        """The deployed documents that name endpoints."""
        found: list[tuple[Deployed, Guess]] = []
        for one in _tried("AppConfig", lambda: list(deployed(clients)), remarks) or ():
            if one.why:
                remarks.append(f"AppConfig {one.application}/{one.profile} in {one.environment} is left out: {one.why}")
                continue
            try:
                said = guess(value_of(one.body, one.suffix), endpoints, _hints(one.environment))
            except InvalidRequest as error:
                remarks.append(f"AppConfig {one.application}/{one.profile} in {one.environment} is left out: {error.message}")
                continue
            if said.layout is None and not said.why:
                remarks.append(f"AppConfig {one.application}/{one.profile} in {one.environment} is left out: it names no endpoint")
                continue
            if said.why:
                remarks.append(f"AppConfig {one.application}/{one.profile} in {one.environment}: {said.why}")
            found.append((one, said))
        applications: dict[str, set[str]] = {}
        for one, _ in found:
            applications.setdefault(one.profile, set()).add(one.application)
        return [
            _Document(_named(one.profile if len(applications[one.profile]) == 1 else f"{one.application}-{one.profile}"), one, said)
            for one, said in found
        ]


def _environments(
    seen: Sequence[SeenEndpoint],
    documents: Sequence[_Document],
    options: Mapping[str, Json],
    alarms: Mapping[str, Sequence[str]],
    wanted: str,
    remarks: list[str],
) -> tuple[FoundEnvironment, ...]:
    """An environment for each AppConfig environment in which a document names endpoints; one more for the endpoints that no document splits
    requests between."""
    groups: dict[tuple[str, str], list[_Document]] = {}
    for document in documents:
        groups.setdefault((document.deployed.application, document.deployed.environment), []).append(document)
    claimed = {name for one in documents if one.splits for known in one.guess.variants.values() for name in known.values()}
    rest = [one for one in seen if one.name not in claimed]
    names = [environment for _, environment in groups]
    found: list[FoundEnvironment] = []
    direct = False
    for (application, environment), inside in groups.items():
        name = _named(environment if names.count(environment) == 1 else f"{application}-{environment}")
        splitting = sorted((one for one in inside if one.splits), key=lambda one: -len(one.guess.variants))
        for other in splitting[1:]:
            remarks.append(f"{other.name} splits requests too; an environment can have one such document, here {splitting[0].name}")
        about = f"AppConfig application {application}, environment {environment}"
        place = {"appconfig": _appconfig(application, environment, inside)}
        if splitting:
            found.append(_by_name(name, splitting[0], inside, seen, {**options, **place}, alarms, about))
            found[-1] = _ignoring(found[-1], [one.name for one in seen], by_name=True)
        else:
            direct = True
            found.append(_ignoring(_direct(name, rest, inside, {**options, **place}, alarms, about), sorted(claimed), by_name=False))
    if rest and not direct:
        taken = {one.name for one in found}
        name = next(one for one in (wanted, "production", "shared", "direct") if one and one not in taken)
        about = "endpoints between whose variants SageMaker itself splits requests"
        found.append(_ignoring(_direct(name, rest, (), options, alarms, about), sorted(claimed), by_name=False))
    if len(found) == 1 and wanted:
        found = [replace(found[0], name=wanted, production=found[0].production and (is_protected(wanted) or _unsaid(wanted)))]
    return tuple(found)


def _ignoring(found: FoundEnvironment, others: Sequence[str], *, by_name: bool) -> FoundEnvironment:
    """The environment, those left out that are another one's and could be taken for its own by their names."""
    serving = dict(found.options["sagemaker"])
    names = Names.of(serving, by_name=by_name)
    ours = {there for variants in (serving.get("adopted") or {}).values() for there in variants.values()}
    known = {one.name for one in found.endpoints}
    ignored = [
        one for one in others if one not in ours and (reading := names.reading(one)) is not None and not (by_name and reading[0] in known)
    ]
    if not ignored:
        return found
    serving["ignore"] = ignored
    comments = {**found.comments, "sagemaker.ignore": "endpoints that are none of this environment's"}
    return replace(found, options={**found.options, "sagemaker": serving}, comments=comments)


def _by_name(
    name: str,
    splitting: _Document,
    documents: Sequence[_Document],
    seen: Sequence[SeenEndpoint],
    options: Mapping[str, Json],
    alarms: Mapping[str, Sequence[str]],
    about: str,
) -> FoundEnvironment:
    """Each variant is an endpoint of its own, and applications read in a document whom to ask."""
    known = {one.name: one for one in seen}
    adopted = {model: dict(variants) for model, variants in splitting.guess.variants.items()}
    of = {model: [known[there] for there in dict.fromkeys(variants.values())] for model, variants in adopted.items()}
    own: dict[str, Json] = {}
    if splitting.guess.names not in (None, "{endpoint}-{variant}"):
        own["names"] = splitting.guess.names
    own["adopted"] = adopted
    endpoints = [
        FoundEndpoint(
            model,
            model,
            ", ".join(f"{variant} is {there}" if variant != there else variant for variant, there in variants.items()),
            ", ".join(f"{one.name}: {one.read_only}" for one in of[model] if one.read_only),
        )
        for model, variants in adopted.items()
    ]
    made = _environment(name, endpoints, of, documents, options, own, alarms, about)
    comments = {**made.comments, "sagemaker.adopted": "endpoint → variant → the SageMaker endpoint that answers for it"}
    if own.get("names") == "{variant}":
        comments["sagemaker.names"] = "applications ask SageMaker endpoints by these names: deploy with --variant NAME"
    return replace(made, traffic_in=splitting.name, comments=comments)


def _direct(
    name: str,
    seen: Sequence[SeenEndpoint],
    documents: Sequence[_Document],
    options: Mapping[str, Json],
    alarms: Mapping[str, Sequence[str]],
    about: str,
) -> FoundEnvironment:
    """Each endpoint is one of SageMaker's, with its production variants behind it."""
    endpoints = [FoundEndpoint(one.name, _named(one.model), one.told, one.read_only) for one in seen]
    of: dict[str, list[SeenEndpoint]] = {}
    for endpoint, one in zip(endpoints, seen, strict=True):
        of.setdefault(endpoint.model, []).append(one)
    return _environment(name, endpoints, of, documents, options, {}, alarms, about)


def _environment(
    name: str,
    endpoints: Sequence[FoundEndpoint],
    of: Mapping[str, Sequence[SeenEndpoint]],
    documents: Sequence[_Document],
    options: Mapping[str, Json],
    own: Mapping[str, Json],
    alarms: Mapping[str, Sequence[str]],
    about: str,
) -> FoundEnvironment:
    every = list({one.name: one for several in of.values() for one in several}.values())
    variants = [variant for one in every if not one.read_only for variant in one.variants]
    common = needed(variants)
    machines: dict[str, Json] = {}
    for model, several in of.items():
        mine = needed(variant for one in several if not one.read_only for variant in one.variants)
        if other := {key: mine[key] for key in MACHINE if key in mine and mine[key] != common.get(key)}:
            machines[model] = other
    serving: dict[str, Json] = {**common, **own}
    if machines:
        serving["machines"] = machines
    captures = usual(one.capture for one in every)
    if captures:
        serving["capture"] = captures
        percent = next(one.capture_percent for one in every if one.capture == captures)
        serving |= {"capture_percent": percent} if percent != 100 else {}
    if (key := usual(one.kms_key for one in every)) is not None:
        serving["kms_key"] = key
    told: dict[str, Json] = {**options, "sagemaker": serving}
    if "appconfig" in options:  # behind the endpoints, as one reads it
        told["appconfig"] = told.pop("appconfig")
    watched = sorted({alarm for one in every for alarm in alarms.get(one.name, ())})
    if watched:
        told["cloudwatch"] = {"alarms": watched}
    groups = {model: group for model, several in of.items() if (group := usual(v.group for one in several for v in one.variants))}
    if renamed := {model: group for model, group in groups.items() if model != group}:
        told["registry"] = {"groups": renamed}
    bound = {"config": bool(documents), "predictions": bool(captures), "metrics": True, "alarms": bool(watched), "catalog": bool(groups)}
    comments = {
        "account": "another account or region is refused",
        "sagemaker.role": "for new models, as the ones that are there have it",
    }
    if variables := sorted({variable for variant in variants for variable in variant.variables}):
        comments["sagemaker.image"] = f"its containers have variables whose values were not copied: {', '.join(variables[:6])}"
    comments["metrics"] = "figures of CloudWatch; AWS asks a little for them: mlconsole info"
    return FoundEnvironment(
        name,
        is_protected(name) or _unsaid(name),
        ("serving", *(role for role, played in bound.items() if played)),
        told,
        tuple(endpoints),
        tuple(dict.fromkeys(one.name for one in documents)),
        about=about,
        comments=comments,
    )


def _appconfig(application: str, environment: str, documents: Iterable[_Document]) -> dict[str, Json]:
    profiles = {one.name: one.deployed.profile for one in documents if one.name != one.deployed.profile}
    return {"application": application, "environment": environment, **({"profiles": profiles} if profiles else {})}


def _as_found(used: Iterable[str], documents: Sequence[_Document]) -> Iterable[FoundDocument]:
    """Each document once, as it is where consumers are."""
    for name in sorted(used):
        several = sorted((one for one in documents if one.name == name), key=lambda one: not is_protected(one.deployed.environment))
        one = several[0]
        yield FoundDocument(name, one.deployed.suffix, one.deployed.body, one.guess.layout, one.guess.why)


def _alarms(clients: Clients) -> dict[str, list[str]]:
    """SageMaker endpoint → the names of the alarms that watch it."""
    found: dict[str, list[str]] = {}
    for alarm in clients.pages("cloudwatch", "describe_alarms", "MetricAlarms", AlarmTypes=["MetricAlarm"]):
        watched = [*alarm.get("Dimensions", ())]
        for metric in alarm.get("Metrics") or ():
            watched += metric.get("MetricStat", {}).get("Metric", {}).get("Dimensions", ())
        for dimension in watched:
            if dimension.get("Name") == "EndpointName":
                found.setdefault(str(dimension["Value"]), []).append(str(alarm["AlarmName"]))
    return found


def _tried(what: str, ask: Callable[[], T], remarks: list[str]) -> T | None:
    """What is useful and not needed; that it may not be seen is told."""
    try:
        return ask()
    except BackendError as error:
        remarks.append(f"{what} could not be looked at: {error.message}")
        return None


def _size(clients: Clients, model: Mapping[str, Any]) -> int:
    bucket, _, key = data_of(containers(model)[0]).removeprefix("s3://").partition("/")
    with suppress(BackendError):
        if bucket and key:
            return int(clients.call("s3", "head_object", Bucket=bucket, Key=key).get("ContentLength", 0))
    return 0


def _version(endpoint: str, variant: str, model: str) -> str:
    """What a person would call it: `3` of the variant v3, else what the SageMaker model's name says beside the endpoint's."""
    for text in (variant, model.removeprefix(f"{endpoint}-")):
        if (found := _VERSION.fullmatch(text)) is not None:
            return found[1]
    return model.removeprefix(f"{endpoint}-")


def _hints(environment: str) -> tuple[str, ...]:
    short = next((one for one in ("prod", "stag", "dev", "test", "acc") if environment.casefold().startswith(one)), "")
    return tuple(one for one in dict.fromkeys((short, f"{short}ing" if short == "stag" else "", environment)) if one)


def _unsaid(name: str) -> bool:
    """Whether a name does not say that nobody depends on it: then names are typed."""
    return not re.search(r"dev|test|stag|int|sandbox|play|qa|acc|beta|local|demo", name.casefold())


def _named(text: str) -> str:
    """A name of ours for what is called so at AWS."""
    if is_name(text):
        return text
    return re.sub(r"[^A-Za-z0-9._-]+", "-", text).strip("-._")[:64].rstrip("-._") or "unnamed"
