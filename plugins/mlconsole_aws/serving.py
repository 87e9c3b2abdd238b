"""The serving role on SageMaker: one endpoint for all variants, or an endpoint for each where applications choose among them themselves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor

from mlconsole.core.live import Live
from mlconsole.core.releases import Content
from mlconsole.core.steps import Step
from mlconsole.plugin import Context
from mlconsole.plugin.errors import NotFound, Refused
from mlconsole.plugin.roles import Answer, Caller, Invocation, Limits, Order
from mlconsole_aws import describing, invoking, logs, marks, stepping
from mlconsole_aws.changing import Changing
from mlconsole_aws.clients import clients_of
from mlconsole_aws.identity import identity
from mlconsole_aws.limits import limits
from mlconsole_aws.looking import Seen, declared, looks_of
from mlconsole_aws.making import Making
from mlconsole_aws.naming import Names
from mlconsole_aws.owning import Owning
from mlconsole_aws.tidying import Tidying
from mlconsole_aws.uploading import Uploads

_AT_ONCE = 4
"""SageMaker endpoints of one endpoint of ours that are described side by side."""
_ROLLED_BACK = 3600.0
"""Seconds after a change of ours for which an update that was rolled back counts as failed."""


class SageMakerServing:
    """See `plugin.roles.Serving`. Logs and identity are told as well."""

    def __init__(self, context: Context) -> None:
        self._clients = clients_of(context)
        self._looks = looks_of(self._clients)
        self._names = Names.of(self._clients.section("sagemaker"), by_name=context.by_name)
        self._pace = stepping.Pace(self._names, self._clients.section("sagemaker"), context.options.get("prices") or {})
        registry = marks.registry_of(context)
        making = Making(self._clients, Uploads(self._clients, context.root), registry)
        self._changing = Changing(self._clients, self._looks, self._names, making, Owning(self._clients, registry))
        self._tidying = Tidying(self._clients, registry)

    def limits(self) -> Limits:
        """Shares to the basis point, no slices, one shadow beside one variant; none of it where somebody else splits."""
        return limits(self._names)

    def list(self) -> Sequence[str]:
        """The endpoints of the account and region, whoever made them, by the names that they have here."""
        listed = self._looks.listed()
        return sorted({reading[0] for name in listed if (reading := self._names.reading(name)) is not None})

    def describe(self, endpoint: str) -> Live:
        """The endpoint as SageMaker describes it; what did not change since it was described last is not asked for again."""
        region = self._clients.region
        if not self._names.by_name:
            seen = self._looks.seen(self._names.native(endpoint))
            scaled = self._looks.scaled() if seen is not None else {}
            asked = seen is not None and bool(self._looks.recently_changed(seen.name, within=_ROLLED_BACK))
            return describing.shared(endpoint, seen, rolled_back_is_failed=asked, scaled=scaled, region=region)
        found = self._gathered(endpoint)
        recent = self._looks.recently_changed(within=_ROLLED_BACK)
        return describing.by_name(endpoint, found, asked=recent, scaled=self._looks.scaled() if found else {}, region=region)

    def steps(self, live: Live, target: Content) -> Sequence[Step]:
        """The calls that are left, staged where that is possible."""
        return stepping.steps(self._pace, live, target)

    def start(self, endpoint: str, step: Step, order: Order) -> None:
        """Begin a step; SageMaker is not waited for."""
        if step.role != "serving":
            raise Refused(f"A step of the {step.role} role was given to SageMaker.")
        self._changing.start(endpoint, step, order)

    def tidy(self, endpoint: str, release: str) -> Sequence[str]:
        """Take away what was created for a release that did not come to stand, and that nothing uses; what that was."""
        if self._names.by_name:
            serving = list(self._gathered(endpoint).values())
        else:
            seen = self._looks.fresh(self._names.native(endpoint))
            serving = [seen] if seen is not None else []
        return self._tidying.tidy(endpoint, release, serving)

    def invoke(self, endpoint: str, request: Invocation, variant: str | None = None, *, probe: bool = False) -> Answer:
        """As a consumer; of one variant by its name (`TargetVariant`, or its own endpoint); or as a probe, which captured data mark."""
        if self._names.by_name:
            return self._invoke_one(endpoint, request, variant, probe=probe)
        native = self._names.native(endpoint)
        return invoking.ask(self._clients, native, request, variant, answered_by=None, probe=probe, pinned=variant is not None)

    def logs(self, endpoint: str, variant: str, lines: int) -> Sequence[str]:
        """The last lines of the variant's containers, from CloudWatch Logs."""
        live = self.describe(endpoint)
        if not live.exists:
            raise NotFound(f'There is no endpoint "{endpoint}" at SageMaker.', next="mlconsole endpoints list")
        there = live.variant(variant)
        if there is None:
            raise NotFound(f'{endpoint} has no variant "{variant}".', next=f"mlconsole endpoints show {endpoint}")
        if not self._names.by_name:
            return logs.tail(self._clients, self._names.native(endpoint), variant, lines)
        seen = self._looks.seen(there.resources["endpoint"])
        inside = declared(seen.config) if seen is not None else []
        return logs.tail(self._clients, there.resources["endpoint"], str(inside[0]["VariantName"]), lines) if inside else ()

    def identity(self) -> Caller:
        """As whom AWS takes us."""
        return identity(self._clients)

    def _invoke_one(self, endpoint: str, request: Invocation, variant: str | None, *, probe: bool) -> Answer:
        if variant is None:
            found = sorted(self._gathered(endpoint))
            if not found:
                raise NotFound(f'There is no endpoint "{endpoint}" at SageMaker.', next="mlconsole endpoints list")
            raise Refused(
                f"Applications choose a variant of {endpoint} themselves here: there is no address for all of them.",
                next=f"Ask one by its name: {', '.join(found)}.",
            )
        native = self._names.native(endpoint, variant)
        # Nobody splits here: that a request names its variant says nothing special of it.
        return invoking.ask(self._clients, native, request, None, answered_by=variant, probe=probe, pinned=True)

    def _gathered(self, endpoint: str) -> Mapping[str, Seen]:
        """Variant → its SageMaker endpoint."""
        listed = self._looks.listed(f"={endpoint}")
        recent = self._looks.recently_changed()
        wanted = {}
        for native in dict.fromkeys([*sorted(listed), *recent]):
            reading = self._names.reading(native)
            if reading is not None and reading[0] == endpoint:
                wanted[reading[1]] = native
        with ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="sagemaker") as pool:
            seen = pool.map(lambda native: self._looks.seen_in(native, listed), wanted.values())
            return {variant: one for variant, one in zip(wanted, seen, strict=True) if one is not None}
