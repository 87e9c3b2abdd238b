"""One way to AWS for all roles of an environment: boto3's own chain, one retry layer, a pinned account and region, bounded concurrency.

Other addresses come from boto3's own variables (`AWS_ENDPOINT_URL_SAGEMAKER`, …) or a profile's `services`, so that tests and the demo
need no switch of ours.
"""

from __future__ import annotations

import json
import random
import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from hashlib import sha256
from importlib.util import find_spec
from typing import Any
from weakref import WeakValueDictionary

from mlconsole.plugin import Context
from mlconsole.plugin.errors import AuthFailed, BackendError, Refused, Throttled
from mlconsole_aws.counting import METRICS, Tally
from mlconsole_aws.errors import is_throttling, never_carried_out, translated
from mlconsole_aws.login import Login, stamp
from mlconsole_aws.pacing import TimeUp, pace

AT_ONCE = 8
"""Calls to one service that run side by side: so many that read, and as many that change or predict."""

_LOOKS = 1.0
"""Seconds between two looks at whether the files with credentials were written."""

_ANEW = 5.0
"""Seconds after which refused credentials are read anew though no file was written."""

_SENDS = 3
"""So often a changing call is sent at most, and only while AWS has surely not carried it out."""


@dataclass(frozen=True)
class _Pace:
    """How long one kind of call may take, all in all (s): below the engine's own deadlines, so that our words are heard and not its."""

    connect: float
    read: float
    whole: float
    attempts: int
    """By botocore. One that changes is never sent again by it: after a time-out nobody knows whether it has worked."""


_READING = _Pace(2.0, 4.0, 9.5, 3)
_LISTING = _Pace(2.0, 7.0, 9.5, 2)
_CHANGING = _Pace(3.0, 15.0, 27.0, 1)
_PREDICTING = _Pace(2.0, 25.0, 28.0, 1)
_STORING = _Pace(2.0, 20.0, 28.0, 3)

_PACES = {"sagemaker-runtime": _PREDICTING, "s3": _STORING, "cloudwatch": _LISTING, "logs": _LISTING, "cloudtrail": _LISTING}

_shared: WeakValueDictionary[tuple[str, str, bool], Clients] = WeakValueDictionary()
_lock = threading.Lock()
_loaders: list[Any] = []
"""botocore's store of service models, one for the process: each reads them into some 30 MB of its own."""


def clients_of(context: Context) -> Clients:
    """The clients of an environment, shared by its roles.

    Raises:
        Refused: boto3 is not installed here.
    """
    if find_spec("boto3") is None:
        raise Refused("boto3 is not installed here, by which AWS is spoken to.", next="pip install 'mlconsole[aws]'")
    key = (str(context.state), json.dumps(context.options, sort_keys=True, default=str), context.guardian)
    with _lock:
        found = _shared.get(key)
        if found is None:
            found = _shared[key] = Clients(context)
        return found


def _loader() -> Any:
    with _lock:
        if not _loaders:
            from botocore.loaders import create_loader

            _loaders.append(create_loader())
        return _loaders[0]


class _Access:
    """The clients of one reading of the credentials."""

    def __init__(self, login: Login) -> None:
        self.login = login
        self.made = time.monotonic()
        self.refused = False
        """AWS did not take them: they are read anew in a moment."""
        self.session: Any = None
        self.clients: dict[tuple[str, _Pace], Any] = {}
        self.making = threading.RLock()
        self.proving = threading.Lock()
        self.proven = ""
        """The access key that was seen to be of the pinned account."""


class Clients:
    """Calls to AWS. `call` is the one chokepoint: everything that is asked or changed goes through it."""

    def __init__(self, context: Context) -> None:
        self.options: Mapping[str, Any] = context.options
        self.environment = context.environment
        self.clock = context.clock
        self.tally = Tally(context.state, context.clock)
        profile = self.options.get("guardian_profile") if context.guardian else None
        self._profile: str | None = profile or self.options.get("profile")
        config_file = self.options.get("config_file")
        self._config_file = context.root / str(config_file) if config_file else None
        self.mark = f"mlconsole/{sha256(f'{context.root}:{context.environment}'.encode()).hexdigest()[:12]}"
        """What our calls bear in CloudTrail (their user agent): whose they are can be told from it, and nothing else."""
        self._access: _Access | None = None
        self._looked = 0.0
        self._entering = threading.Lock()
        self._rooms: dict[tuple[str, bool], threading.BoundedSemaphore] = {}
        self._asking = threading.local()

    @property
    def calls(self) -> Counter[str]:
        """`sagemaker:DescribeEndpoint` → how many requests this process has sent, repeated ones too."""
        return self.tally.calls

    @property
    def region(self) -> str:
        """The pinned region."""
        return str(self.options["region"])

    @property
    def account(self) -> str:
        """The pinned account."""
        return str(self.options["account"])

    def section(self, name: str) -> Mapping[str, Any]:
        """The options of one service (`sagemaker`, `appconfig`, …); empty where nothing is said."""
        return self.options.get(name) or {}

    def client(self, service: str) -> Any:
        """boto3's client of a service. For what is more than a call (an upload in parts); calls go through `call`."""
        try:
            access = self._entered()
            self._prove(access)
            return self._client(access, service, _PACES.get(service, _READING))
        except BackendError:
            raise
        except Exception as error:
            raise self._told(error, f"reaching {service}", change=False) from error

    def call(self, service: str, operation: str, *, change: bool = False, **parameters: Any) -> dict[str, Any]:
        """One call: `call("sagemaker", "describe_endpoint", EndpointName=name)`.

        Nothing is sent before it is known that these credentials are of the pinned account, and that it is about the pinned region.

        Raises:
            BackendError: what AWS said, in our tree; `OutcomeUnknown` where a changing call was sent and not answered.
        """
        what = _summary(operation, parameters)
        access: _Access | None = None
        try:
            access = self._entered()
            self._prove(access)
            _require_here(parameters, what, self.account, self.region, change=change)
            return self._sent(access, service, operation, parameters, change=change)
        except BackendError:
            raise
        except Exception as error:
            told = self._told(error, what, change=change)
            if isinstance(told, AuthFailed) and access is not None:
                access.refused = True
            raise told from error

    def pages(self, service: str, operation: str, key: str, *, token: str = "NextToken", **parameters: Any) -> Iterator[dict[str, Any]]:
        """All entries under `key` of a listing, page by page."""
        while True:
            page = self.call(service, operation, **parameters)
            yield from page.get(key) or ()
            following = page.get(token)
            if not following:
                return
            parameters[token] = following

    def who(self) -> dict[str, Any]:
        """As whom AWS takes us (sts GetCallerIdentity): the one question that is asked with whatever credentials there are.

        Raises:
            AuthFailed: they are missing, wrong, or have run out.
        """
        access: _Access | None = None
        try:
            access = self._entered()
            key = access.login.key()
            found = self._sent(access, "sts", "get_caller_identity", {}, change=False)
            if str(found.get("Account")) == self.account:
                access.proven = key
            return found
        except BackendError:
            raise
        except Exception as error:
            told = self._told(error, "asking as whom we act", change=False)
            if isinstance(told, AuthFailed) and access is not None:
                access.refused = True
            raise told from error

    def login(self) -> Login:
        """How we got there: profile, expiry, what to run when it is over."""
        return self._entered().login

    # Whose credentials they are.

    def _entered(self) -> _Access:
        """The clients of the credentials as they are now: read anew when a file was written, or AWS did not take them."""
        with self._entering:
            access, now = self._access, time.monotonic()
            if access is not None:
                anew = access.refused and now - access.made > _ANEW
                if not anew and now - self._looked < _LOOKS:
                    return access
                self._looked = now
                if not anew and stamp(self._config_file) == access.login.stamp:
                    return access
            self._access = _Access(Login(self._profile, self._config_file, _loader()))
            self._looked = now
            return self._access

    def _prove(self, access: _Access) -> None:
        """See that these credentials are of the pinned account, once for each access key: another one refuses everything.

        Raises:
            AuthFailed: they are of another account, or are for another region.
        """
        login = access.login
        if login.region and login.region != self.region:
            raise AuthFailed(
                f"This workspace means region {self.region}, {login.told()} is for {login.region}. Nothing was asked or changed.",
                next="Name another profile: `profile:` under options → aws in mlconsole.yaml; or another region there.",
            )
        if access.proven and access.proven == login.key():
            return
        with access.proving:
            key = login.key()
            if access.proven == key:
                return
            found = self._sent(access, "sts", "get_caller_identity", {}, change=False)
            if str(found.get("Account")) != self.account:
                access.refused = True
                raise AuthFailed(
                    f"This workspace means account {self.account}, you are in {found.get('Account')} ({login.told()}). "
                    "Nothing was asked or changed.",
                    next="Name another profile: `profile:` under options → aws in mlconsole.yaml, or AWS_PROFILE.",
                )
            access.proven = key

    # Sending.

    def _sent(self, access: _Access, service: str, operation: str, parameters: Mapping[str, Any], *, change: bool) -> dict[str, Any]:
        limits = _CHANGING if change and service != "s3" else _PACES.get(service, _READING)
        client = self._client(access, service, limits)
        once = change or limits is _PREDICTING
        room = self._room(service, once)
        began = time.monotonic()
        if not room.acquire(timeout=limits.whole / 2):
            raise Throttled(f"{AT_ONCE} calls to {service} are under way already.", next="It is asked again by itself.")
        try:
            self._asking.until = began + limits.whole - limits.connect - limits.read
            for sends in range(1, _SENDS + 1):
                self._asking.attempts, self._asking.last = 0, None
                try:
                    found: dict[str, Any] = getattr(client, operation)(**parameters)
                except TimeUp:
                    slow = Throttled(f"AWS throttles {service}: its calls wait for each other.", next="It is asked again by itself.")
                    raise self._asking.last or slow from None
                except Exception as error:
                    # botocore repeats reading calls; of changing ones only what AWS has surely not carried out is sent again, by us,
                    # each at a moment of its own.
                    rest = random.uniform(0, 0.25 * 2**sends)
                    if not once or sends == _SENDS or not never_carried_out(error):
                        raise
                    if time.monotonic() + rest > self._asking.until:
                        raise
                    time.sleep(rest)
                else:
                    if operation == "get_metric_data":
                        self.tally.add(METRICS, len(parameters.get("MetricDataQueries", ())))
                    return found
            raise AssertionError  # the last one returned or raised
        finally:
            room.release()

    def _client(self, access: _Access, service: str, limits: _Pace) -> Any:
        with access.making:
            key = (service, limits)
            if key not in access.clients:
                from botocore.config import Config

                config = Config(
                    retries={"mode": "standard", "total_max_attempts": limits.attempts},
                    connect_timeout=limits.connect,
                    read_timeout=limits.read,
                    max_pool_connections=AT_ONCE,
                    user_agent_extra=self.mark,
                )
                if service == "s3":
                    # Only uploads in parts are boto3's own; to import it takes as long as a whole question does.
                    import boto3

                    if access.session is None:  # one only: a second one on the same session injects its own things into the client again
                        access.session = boto3.Session(botocore_session=access.login.session, region_name=self.region)
                    client = access.session.client(service, config=config)
                else:
                    client = access.login.session.create_client(service, region_name=self.region, config=config)
                pace(client, lambda: float(getattr(self._asking, "until", "inf")))
                client.meta.events.register("before-send", self._count)
                client.meta.events.register("needs-retry", self._heard)
                access.clients[key] = client
            return access.clients[key]

    def _room(self, service: str, once: bool) -> threading.BoundedSemaphore:
        with self._entering:
            return self._rooms.setdefault((service, once), threading.BoundedSemaphore(AT_ONCE))

    def _count(self, event_name: str, **_: Any) -> None:
        """Before each attempt (`before-send.sagemaker.DescribeEndpoint`): one that would come too late is not made."""
        self._asking.attempts = getattr(self._asking, "attempts", 0) + 1
        # Threads of an upload in parts have no such time: their calls are not made here.
        if self._asking.attempts > 1 and time.monotonic() > float(getattr(self._asking, "until", "inf")):
            raise TimeUp
        self.tally.add(":".join(event_name.split(".")[1:3]), 1)

    def _heard(self, event_name: str, response: Any = None, caught_exception: Exception | None = None, **_: Any) -> None:
        """After each attempt: what it brought, for when no further one is made. It decides nothing."""
        from botocore.exceptions import ClientError

        operation = event_name.split(".")[2]
        if response is not None and response[0].status_code >= 300:
            self._asking.last = ClientError(response[1], operation)
            if is_throttling(self._asking.last):
                self.tally.add(":".join(event_name.split(".")[1:3]), 0, 1)
        elif caught_exception is not None and not isinstance(caught_exception, TimeUp):
            self._asking.last = caught_exception

    def _told(self, error: Exception, what: str, *, change: bool) -> BackendError:
        """The error of our tree; where credentials are at fault, with what to run for such ones."""
        told = translated(error, what, change=change)
        access = self._access
        if isinstance(told, AuthFailed) and access is not None and not told.next:
            told.message = told.message.replace("AWS credentials", f"AWS credentials of {access.login.told()}", 1)
            told.next = access.login.remedy()
        return told


def _require_here(parameters: Mapping[str, Any], what: str, account: str, region: str, *, change: bool) -> None:
    """Refuse what is about a resource of another account or region: an endpoint's ARN from elsewhere is never acted on."""
    for key, value in parameters.items():
        parts = value.split(":", 5) if isinstance(value, str) and value.startswith("arn:") else []
        if len(parts) < 6 or not (change or parts[5].startswith("endpoint")):
            continue
        there = [(parts[4], account, "account"), (parts[3], region, "region")]
        for found, wanted, word in there:
            if found and found != wanted and key != "KmsKeyId":
                raise Refused(f"{value} is in {word} {found}, this workspace means {wanted} ({what}). Nothing was asked or changed.")


def _summary(operation: str, parameters: Mapping[str, Any]) -> str:
    names = [str(value) for key, value in parameters.items() if key.endswith(("Name", "Id", "Arn", "Key")) and isinstance(value, str)]
    return " ".join([operation.replace("_", " "), *names[:2]])
