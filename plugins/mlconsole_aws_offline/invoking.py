"""InvokeEndpoint: weights honoured, a variant by its name, shadow copies, errors as the real runtime says them."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from mlconsole_aws_offline.capturing import Capture, Exchange
from mlconsole_aws_offline.containers import Containers, Said
from mlconsole_aws_offline.endpoints import Endpoints
from mlconsole_aws_offline.monitoring import Monitoring
from mlconsole_aws_offline.records import Endpoint, Fleet, Variant
from mlconsole_aws_offline.replies import AwsError, Reply, error
from mlconsole_aws_offline.state import State

MOST_BYTES = 25 << 20
_BROKEN = Said(500, "application/json", b'{"error": "broken, as it was asked to be"}')
_ANSWERS = ("InService", "Updating", "SystemUpdating", "RollingBack", "UpdateRollbackFailed")


class Invoking:
    """The runtime's side of the endpoints."""

    def __init__(self, state: State, endpoints: Endpoints, containers: Containers, capture: Capture, monitoring: Monitoring) -> None:
        self._state, self._endpoints, self._containers = state, endpoints, containers
        self._capture, self._monitoring = capture, monitoring
        self._shadows = ThreadPoolExecutor(4, thread_name_prefix="shadow")

    def invoke(self, name: str, headers: dict[str, str], body: bytes) -> Reply:
        """One request."""
        began = time.perf_counter()
        try:
            with self._state.lock:
                endpoint, fleet, variant = self._chosen(name, headers)
                shadow = self._shadow(fleet)
        except AwsError as refusal:
            return error("rest-json", refusal.status, refusal.code, refusal.message)
        if len(body) > MOST_BYTES:
            return error("rest-json", 413, "ValidationError", "The request is larger than 25 MB.")
        if shadow is not None:
            self._shadows.submit(self._ask, endpoint, fleet, shadow, headers, body)
        said, model_ms = self._ask(endpoint, fleet, variant, headers, body)
        self._monitoring.count(endpoint.name, variant.name, said.status, model_ms, (time.perf_counter() - began) * 1000 - model_ms)
        if said.status != 200:
            return self._failed(endpoint, variant, said)
        told = {"Content-Type": said.content_type, "x-Amzn-Invoked-Production-Variant": variant.name}
        if headers.get("X-Amzn-Sagemaker-Custom-Attributes"):
            told["X-Amzn-SageMaker-Custom-Attributes"] = headers["X-Amzn-Sagemaker-Custom-Attributes"]
        return Reply(200, said.body, told)

    def _chosen(self, name: str, headers: dict[str, str]) -> tuple[Endpoint, Fleet, Variant]:
        where = f"Endpoint {name} of account {self._state.account}"
        try:
            endpoint = self._endpoints.find(name)
        except AwsError as refusal:
            raise AwsError("ValidationError", f"{where} not found.") from refusal
        status = self._state.settings.force.get(name, endpoint.status)
        if endpoint.fleet is None or status not in _ANSWERS:
            raise AwsError("ValidationError", f"{where} is in status {status} and can't be invoked.")
        fleet = endpoint.fleet
        move = endpoint.move
        if move is not None and move.coming is not None and move.phases[0].share > self._state.random.random():
            fleet = move.coming
        wanted = headers.get("X-Amzn-Sagemaker-Target-Variant")
        if any(one.container is None for one in fleet.production):
            raise AwsError("ValidationError", f"{where} needs an inference component's name.")
        if wanted:
            named = next((one for one in fleet.production if one.name == wanted), None)
            if named is None:
                raise AwsError("ValidationError", f"Variant {wanted} not found for endpoint {name}.")
            return endpoint, fleet, named
        weights = [one.weight for one in fleet.production]
        return endpoint, fleet, self._state.random.choices(fleet.production, weights)[0]

    def _shadow(self, fleet: Fleet) -> Variant | None:
        """The shadow's weight beside the production variant's is the part that is copied."""
        if not fleet.shadow:
            return None
        shadow, production = fleet.shadow[0], fleet.production[0]
        share = shadow.weight / production.weight if production.weight else 0.0
        return shadow if self._state.random.random() < share else None

    def _ask(self, endpoint: Endpoint, fleet: Fleet, variant: Variant, headers: dict[str, str], body: bytes) -> tuple[Said, float]:
        settings = self._state.settings
        sent_type = headers.get("Content-Type", "")
        at, began = self._state.now(), time.perf_counter()
        if settings.latency_ms.get(variant.name):
            time.sleep(settings.latency_ms[variant.name] / 1000)
        with self._state.lock:
            broken = self._state.random.random() < settings.model_errors.get(variant.name, 0.0)
        said = _BROKEN if broken else self._containers.ask(variant.container or {}, body, sent_type)
        spent = (time.perf_counter() - began) * 1000
        if said.status == 200:
            inference = headers.get("X-Amzn-Sagemaker-Inference-Id", "")
            attributes = headers.get("X-Amzn-Sagemaker-Custom-Attributes", "")
            got_type = said.content_type
            exchange = Exchange(endpoint.name, variant.name, at, body, sent_type, said.body, got_type, inference, attributes)
            self._capture.take(fleet.capture, exchange)
        if variant in fleet.shadow:
            self._monitoring.count(endpoint.name, variant.name, said.status, spent, 0.0)
        return said, spent

    def _failed(self, endpoint: Endpoint, variant: Variant, said: Said) -> Reply:
        text = said.body.decode("utf-8", "replace")[:1024]
        side = "client" if 400 <= said.status < 500 else "server"
        where = f"See the logs of {endpoint.name} in account {self._state.account} for more information."
        message = f'Received {side} error ({said.status}) from primary with message "{text}". {where}'
        self._monitoring.say(endpoint.name, variant.name, f"{said.status}: {text}")
        more: dict[str, Any] = {
            "OriginalStatusCode": said.status,
            "OriginalMessage": text,
            "LogStreamArn": f"arn:aws:logs:{self._state.region}:{self._state.account}:log-group:/aws/sagemaker/Endpoints/{endpoint.name}",
        }
        return error("rest-json", 424, "ModelError", message, **more)
