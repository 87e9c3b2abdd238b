"""Carrying steps out: look, compare, check, create what is missing, and only then the one call that is a transition."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NoReturn

from mlconsole.core.live import Live, VariantState, traffic_differences
from mlconsole.core.releases import Variant
from mlconsole.core.steps import Step, outstanding
from mlconsole.core.traffic import Traffic
from mlconsole.plugin.errors import BackendError, Conflict, InvalidRequest, NotFound, OutcomeUnknown, Refused, Throttled, Unavailable
from mlconsole.plugin.roles import Order
from mlconsole_aws import describing, marks
from mlconsole_aws.clients import Clients
from mlconsole_aws.looking import IN_FLIGHT, Described, Looks, Seen, declared
from mlconsole_aws.making import Made, Making, Wish, config_body
from mlconsole_aws.naming import ONLY, Names, model_digest
from mlconsole_aws.owning import Owning
from mlconsole_aws.stepping import DELETE, WEIGHTS
from mlconsole_aws.weights import shares, weights


class Changing:
    """See `plugin.roles.Serving.start`."""

    def __init__(self, clients: Clients, looks: Looks, names: Names, making: Making, owning: Owning) -> None:
        self._clients, self._looks, self._names, self._making, self._owning = clients, looks, names, making, owning
        self._sent: dict[str, int] = {}
        """SageMaker endpoint → the token of the change that was sent to it last."""

    def start(self, endpoint: str, step: Step, order: Order) -> None:
        """Begin a step; one that has worked, or is under way, changes nothing."""
        self._owning.check_fence(endpoint, order)
        if not self._names.by_name:
            self._shared(endpoint, step, order)
            return
        for variant in step.ensures:
            self._one(endpoint, variant, step, order)
        for name in step.removes:
            native = self._names.native(endpoint, name)
            self._delete(native, self._looks.fresh(native), order, {marks.ENDPOINT: endpoint, marks.VARIANT: name})

    # One endpoint for all variants.

    def _shared(self, endpoint: str, step: Step, order: Order) -> None:
        native = self._names.native(endpoint)
        seen = self._looks.fresh(native)
        tags = {marks.ENDPOINT: endpoint}
        if step.action == DELETE:
            self._delete(native, seen, order, tags)
            return
        if self._done(endpoint, seen, step, order):
            return
        if step.action == WEIGHTS:
            self._weights(native, seen, step, order, tags)
        elif seen is None:
            self._create(endpoint, native, step, order, tags)
        else:
            self._update(endpoint, seen, step, order, tags)

    def _done(self, endpoint: str, seen: Seen | None, step: Step, order: Order) -> bool:
        """Whether a step has worked already, or what is under way leads there.

        Raises:
            Conflict: something else is under way.
        """
        if seen is None:
            return False
        if seen.status in IN_FLIGHT:
            if _leads_there(seen, step):
                return True
            self._busy(seen, order)
        live = describing.shared(endpoint, seen, rolled_back_is_failed=False, scaled={}, region="")
        return not outstanding(step, live)

    def _create(self, endpoint: str, native: str, step: Step, order: Order, tags: Mapping[str, str]) -> None:
        assert step.traffic is not None
        wishes = [self._making.wish(variant, order.versions) for variant in step.ensures]
        split, shadow = _weighted(step.traffic)

        def body(models: Sequence[str]) -> dict[str, Any]:
            new = [(wish.variant.name, model, wish.machine) for wish, model in zip(wishes, models, strict=True)]
            return config_body(None, (), new, split, shadow, self._options)

        self._with_config(endpoint, native, wishes, order, body, "", lambda config, _: self._created(native, config, order, tags))

    def _update(self, endpoint: str, seen: Seen, step: Step, order: Order, tags: Mapping[str, str]) -> None:
        live = describing.shared(endpoint, seen, rolled_back_is_failed=False, scaled={}, region="")
        why = describing.read_only(seen)
        if why:
            raise Refused(f"{seen.name} is shown and not changed from here: {why}. Nothing was changed.")
        wanted = [variant for variant in step.ensures if _differs(live, variant, anew=step.traffic is None)]
        wishes = [self._making.wish(variant, order.versions) for variant in wanted]
        named = {variant.name for variant in wanted}
        kept = [str(one["VariantName"]) for one in declared(seen.config)]
        kept = [name for name in kept if name not in step.removes and name not in named]
        if step.traffic is not None:
            split, shadow = _weighted(step.traffic)
        else:
            split, shadow = _as_now(seen, [*kept, *named])
        if not any(split.values()):
            raise Refused(f"{', '.join(step.removes)} gets all requests of {seen.name}; without it nobody would. Nothing was changed.")
        self._check_room(seen, step, split)
        retained = {"RetainAllVariantProperties": True}
        excluded = [{"VariantPropertyType": "DesiredWeight"}] if step.traffic is not None else []
        if any(_other_count(live, wish) for wish in wishes):
            excluded.append({"VariantPropertyType": "DesiredInstanceCount"})

        def body(models: Sequence[str]) -> dict[str, Any]:
            new = [(wish.variant.name, model, wish.machine) for wish, model in zip(wishes, models, strict=True)]
            return config_body(seen, kept, new, split, shadow, self._options)

        def send(config: str, content: Mapping[str, Any]) -> None:
            captures = [] if content.get("DataCaptureConfig") == seen.config.get("DataCaptureConfig") else [_CAPTURE]
            more = {"ExcludeRetainedVariantProperties": [*excluded, *captures]} if [*excluded, *captures] else {}
            self._change("update_endpoint", seen.name, order, EndpointConfigName=config, **retained, **more)

        self._owning.take(seen.name, seen.arn, order, tags)
        self._with_config(endpoint, seen.name, wishes, order, body, str(seen.endpoint["EndpointConfigName"]), send)

    def _weights(self, native: str, seen: Seen | None, step: Step, order: Order, tags: Mapping[str, str]) -> None:
        assert step.traffic is not None
        if seen is None:
            raise Refused(f"{native} does not exist any more; no weight was moved.", next="mlconsole endpoints list")
        why = describing.read_only(seen)
        if why:
            raise Refused(f"{seen.name} is shown and not changed from here: {why}. Nothing was changed.")
        live = describing.shared(native, seen, rolled_back_is_failed=False, scaled={}, region="")
        wanted = weights(step.traffic.split)
        for name, weight in wanted.items():
            there = live.variant(name)
            if there is None or (weight and there.state is not VariantState.READY):
                how = "is not there" if there is None else f"is {there.state}{f' ({there.reason})' if there.reason else ''}"
                raise Refused(f"{name} {how}: it gets no requests. No weight was moved.", next="Bring it up first.")
        # Whoever else is there and is not named would go on getting requests.
        others = [there.name for there in live.variants if there.name not in wanted]
        moved = {**wanted, **{name: 0.0 for name in others if _is_production(seen, name)}}
        self._owning.take(seen.name, seen.arn, order, tags)
        self._change(
            "update_endpoint_weights_and_capacities",
            seen.name,
            order,
            DesiredWeightsAndCapacities=[{"VariantName": name, "DesiredWeight": weight} for name, weight in moved.items()],
        )

    # Each variant an endpoint of its own.

    def _one(self, endpoint: str, variant: Variant, step: Step, order: Order) -> None:
        native = self._names.native(endpoint, variant.name)
        tags = {marks.ENDPOINT: endpoint, marks.VARIANT: variant.name}
        seen = self._looks.fresh(native)
        if seen is not None and seen.status in IN_FLIGHT:
            if _leads_to(seen, variant.digest):
                return
            self._busy(seen, order)
        if seen is not None:
            live = describing.by_name(endpoint, {variant.name: seen}, asked=(), scaled={}, region="")
            if not outstanding(Step("serving", "", "", step.phase, ensures=(variant,)), live):
                return
            why = live.variants[0].resources.get(describing.READ_ONLY)
            if why:
                raise Refused(f"{native} is shown and not changed from here: {why}. Nothing was changed.")
        wish = self._making.wish(variant, order.versions)
        name = ONLY if seen is None else str(declared(seen.config)[0]["VariantName"])

        def body(models: Sequence[str]) -> dict[str, Any]:
            return config_body(seen, (), [(name, models[0], wish.machine)], {name: 1.0}, None, self._options)

        if seen is None:
            self._with_config(endpoint, native, [wish], order, body, "", lambda config, _: self._created(native, config, order, tags))
            return
        excluded = [{"VariantPropertyType": "DesiredWeight"}, {"VariantPropertyType": "DesiredInstanceCount"}]
        retained = {"RetainAllVariantProperties": True, "ExcludeRetainedVariantProperties": excluded}
        self._owning.take(native, seen.arn, order, tags)
        self._with_config(
            endpoint,
            native,
            [wish],
            order,
            body,
            str(seen.endpoint["EndpointConfigName"]),
            lambda config, _: self._change("update_endpoint", native, order, EndpointConfigName=config, **retained),
        )

    # Both.

    @property
    def _options(self) -> Mapping[str, Any]:
        return self._clients.section("sagemaker")

    def _with_config(
        self,
        endpoint: str,
        native: str,
        wishes: Sequence[Wish],
        order: Order,
        body: Callable[[Sequence[str]], Mapping[str, Any]],
        current: str,
        send: Callable[[str, Mapping[str, Any]], None],
    ) -> None:
        """Create models and config, then send the change; what was created for one that is refused is taken away again."""
        made = Made()
        try:
            models = [self._making.model(endpoint, wish, order.release, made) for wish in wishes]
            content = body(models)
            config = self._making.config(endpoint, content, order.release, current, made)
            send(config, content)
        except (OutcomeUnknown, Throttled, Unavailable):
            raise  # it is sent again, or was taken: what it needs has to be there
        except BackendError:
            self._making.undo(made)
            raise

    def _created(self, native: str, config: str, order: Order, tags: Mapping[str, str]) -> None:
        self._change("create_endpoint", native, order, EndpointConfigName=config, Tags=marks.as_tags(self._owning.tags(order, tags)))

    def _delete(self, native: str, seen: Seen | None, order: Order, tags: Mapping[str, str]) -> None:
        if seen is None or seen.status == "Deleting":
            return
        if seen.status in IN_FLIGHT:
            self._busy(seen, order)
        self._owning.take(native, seen.arn, order, tags)
        try:
            self._change("delete_endpoint", native, order)
        except NotFound:
            return

    def _change(self, operation: str, native: str, order: Order, **parameters: Any) -> None:
        """The call that is a transition."""
        self._sent[native] = order.fence
        try:
            self._clients.call("sagemaker", operation, change=True, EndpointName=native, **parameters)
        except (InvalidRequest, Refused) as error:
            said = error.message.lower()
            if "in-progress" in said or "in progress" in said:
                raise Conflict(
                    f"SageMaker is changing {native} just now and takes no other change meanwhile. Nothing was changed.",
                    next="Look what it is: mlconsole endpoints list",
                ) from error
            if "already exist" in said:
                raise Conflict(f"Somebody else has made {native} meanwhile. Nothing was changed.", next="Look at it first.") from error
            raise
        finally:
            self._looks.changed(native)

    def _busy(self, seen: Seen, order: Order) -> NoReturn:
        """Something else is under way: somebody's, AWS's own, or the step before this one, whose effect may be seen before it is over."""
        doing = f"SageMaker is changing {seen.name} already ({seen.status}) and takes no other change meanwhile."
        if seen.status == "SystemUpdating" or self._sent.get(seen.name) == order.fence:
            raise Unavailable(doing, next="It is waited for.")
        stuck = " Nobody can stop that, nor delete it, before SageMaker is through." if seen.status == "Creating" else ""
        raise Conflict(f"{doing}{stuck} Nothing was changed.", next="Wait until it is over: mlconsole endpoints list")

    def _check_room(self, seen: Seen, step: Step, split: Mapping[str, float]) -> None:
        """Refuse what the service would only refuse when half of it is made."""
        if len(split) > 10:
            raise Refused(f"{seen.name} would have {len(split)} variants, and SageMaker takes 10. Nothing was changed.")
        for name in step.removes:
            if step.traffic is None and _weight(seen, name):
                raise Refused(f"{name} still gets requests of {seen.name}. It was not taken away.", next="Move its weight to 0 first.")
        scaled = self._looks.scaled()
        for name in step.removes:
            if f"endpoint/{seen.name}/variant/{name}" in scaled:
                raise Refused(
                    f"{name} is scaled by itself, and SageMaker takes it away only without that. Nothing was changed.",
                    next="Deregister it first: aws application-autoscaling deregister-scalable-target",
                )


_CAPTURE = {"VariantPropertyType": "DataCaptureConfig"}


def _final(seen: Seen) -> dict[str, Described]:
    """The variants that there will be when what is under way is over."""
    if seen.status == "RollingBack":
        return {str(one["VariantName"]): one for one in declared(seen.config)}
    return {str(one["VariantName"]): one for one in declared(seen.pending or seen.config)}


def _digest(seen: Seen, entry: Described | None) -> str | None:
    described = seen.models.get(str((entry or {}).get("ModelName") or ""))
    return model_digest(described) if described else None


def _leads_to(seen: Seen, digest: str) -> bool:
    final = _final(seen)
    return seen.status in ("Creating", "Updating") and len(final) == 1 and _digest(seen, next(iter(final.values()))) == digest


def _leads_there(seen: Seen, step: Step) -> bool:
    """Whether what is under way leads to what a step wants: then sending it again is not needed."""
    if seen.status not in ("Creating", "Updating"):
        return False
    final = _final(seen)
    if any(_digest(seen, final.get(variant.name)) != variant.digest for variant in step.ensures):
        return False
    if any(name in final for name in step.removes):
        return False
    if step.traffic is None:
        return True
    swapped = seen.pending or (seen.config if seen.status == "Creating" else {})
    told = swapped or seen.endpoint
    key = "InitialVariantWeight" if swapped else "DesiredWeight"
    found = {str(one["VariantName"]): float(one.get(key) or 0) for one in told.get("ProductionVariants") or ()}
    copies = {str(one["VariantName"]): 0 for one in told.get("ShadowProductionVariants") or ()}
    split = shares(found)
    wanted = Traffic(step.traffic.split)  # a shadow's sample is read back when it is there
    return split is not None and not traffic_differences(Traffic({**split, **copies}), wanted) and bool(copies) == bool(step.traffic.shadow)


def _weighted(traffic: Traffic) -> tuple[dict[str, float], tuple[str, float] | None]:
    """Production weights, and the shadow with its own: of the same scale, so that its sample is its weight."""
    shadow = traffic.shadow if traffic.shadow is not None and traffic.shadow.sample else None
    split = weights({name: share for name, share in traffic.split.items() if shadow is None or name != shadow.variant})
    return split, None if shadow is None else (shadow.variant, float(shadow.sample))


def _as_now(seen: Seen, names: Sequence[str]) -> tuple[dict[str, float], tuple[str, float] | None]:
    """The weights that are wanted of SageMaker now; who is new has none."""
    split = {name: _weight(seen, name) for name in names if not _is_shadow(seen, name)}
    shadow = next((name for name in names if _is_shadow(seen, name)), None)
    return split, None if shadow is None else (shadow, _weight(seen, shadow))


def _weight(seen: Seen, name: str) -> float:
    running = next((one for one in declared(seen.endpoint) if one["VariantName"] == name), {})
    return float(running.get("DesiredWeight", running.get("CurrentWeight")) or 0)


def _is_production(seen: Seen, name: str) -> bool:
    return any(one["VariantName"] == name for one in seen.endpoint.get("ProductionVariants") or ())


def _is_shadow(seen: Seen, name: str) -> bool:
    return any(one["VariantName"] == name for one in seen.config.get("ShadowProductionVariants") or ())


def _differs(live: Live, variant: Variant, *, anew: bool) -> bool:
    """Whether it has to be declared: it is not there, is other bytes, or is ill and to be brought up anew."""
    there = live.variant(variant.name)
    if there is None or there.digest != variant.digest:
        return True
    return anew and there.state is not VariantState.READY


def _other_count(live: Live, wish: Wish) -> bool:
    there = live.variant(wish.variant.name)
    machines = describing.machines_of(there) if there is not None else None
    return machines is not None and machines[1] != wish.machine.instance_count
