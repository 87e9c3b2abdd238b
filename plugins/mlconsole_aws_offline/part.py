"""Our SageMaker part, in front of moto's: endpoints, endpoint configs, models, their tags, and the runtime. The rest is moto's."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from mlconsole_aws_offline import shapes
from mlconsole_aws_offline.capturing import Capture
from mlconsole_aws_offline.containers import Containers
from mlconsole_aws_offline.endpoints import Endpoints
from mlconsole_aws_offline.invoking import Invoking
from mlconsole_aws_offline.making import Making
from mlconsole_aws_offline.monitoring import Monitoring
from mlconsole_aws_offline.moving import Moving
from mlconsole_aws_offline.records import Endpoint, Fleet, Json, Record
from mlconsole_aws_offline.replies import AwsError, Reply, error
from mlconsole_aws_offline.state import State
from mlconsole_aws_offline.store import Store

_INVOCATIONS = re.compile(r"/endpoints/([^/]+)/invocations")
_MOST_TAGS = 50


class Part:
    """What moto lacks of SageMaker, or has in a way that real endpoints are not."""

    def __init__(self, account: str, region: str, ministack: int, folder: Path) -> None:
        self._state = State(account, region)
        store = Store(account)
        self._containers = Containers(folder / "containers", store.read)
        self._monitoring = Monitoring(self._state, ministack)
        self._capture = Capture(self._state, store)
        making = Making(self._state, store.has)
        self._moving = Moving(self._state, self._monitoring.firing, self._problem)
        endpoints = Endpoints(self._state, making, self._moving, self._warm)
        self._invoking = Invoking(self._state, endpoints, self._containers, self._capture, self._monitoring)
        self._operations: dict[str, Callable[[Json], Json]] = {
            "CreateModel": making.create_model,
            "DescribeModel": making.describe_model,
            "DeleteModel": making.delete_model,
            "ListModels": making.list_models,
            "CreateEndpointConfig": making.create_config,
            "DescribeEndpointConfig": making.describe_config,
            "DeleteEndpointConfig": making.delete_config,
            "ListEndpointConfigs": making.list_configs,
            "CreateEndpoint": endpoints.create,
            "DescribeEndpoint": endpoints.describe,
            "ListEndpoints": endpoints.list,
            "UpdateEndpoint": endpoints.update,
            "UpdateEndpointWeightsAndCapacities": endpoints.weights,
            "DeleteEndpoint": endpoints.delete,
        }
        self._tags: dict[str, Callable[[Record | Endpoint, Json], Json]] = {
            "AddTags": _add_tags,
            "ListTags": _list_tags,
            "DeleteTags": _delete_tags,
        }

    def answer(self, request: Any) -> Reply | None:
        """An answer of ours; None: moto shall."""
        invoked = _INVOCATIONS.fullmatch(request.path)
        if invoked:
            return self._invoking.invoke(unquote(invoked[1]), request.headers, request.body)
        operation = request.operation
        if operation not in self._operations and operation not in self._tags:
            return None
        try:
            body = shapes.checked("sagemaker", operation, json.loads(request.body or b"{}"))
            with self._state.lock:
                if operation in self._tags:
                    whose = self._state.tagged(body["ResourceArn"])
                    return None if whose is None else Reply.json(self._tags[operation](whose, body))
                self._moving.all()
                return Reply.json(self._operations[operation](body))
        except AwsError as refusal:
            return error("json", refusal.status, refusal.code, refusal.message, **refusal.more)
        except ValueError as problem:
            return error("json", 400, "SerializationException", str(problem))

    def control(self, settings: Mapping[str, Any]) -> None:
        """How things go from now on."""
        self._state.control(settings)

    def reset(self) -> None:
        """As new. Containers stay: the same model is soon asked again."""
        self._capture.forget()
        self._monitoring.forget()
        self._state.reset()

    def flush(self) -> None:
        """Captured data and figures arrive now."""
        self._capture.flush()
        self._monitoring.flush()

    def _problem(self, endpoint: str, fleet: Fleet) -> str | None:
        for one in fleet.variants():
            problem = self._containers.problem(one.container or {})
            if problem is not None:
                self._monitoring.say(endpoint, one.name, problem)
                return (
                    f"The primary container for production variant {one.name} did not pass the ping health check. "
                    "Please check CloudWatch logs for this endpoint."
                )
        return None

    def _warm(self, fleet: Fleet) -> None:
        if self._state.settings.warm:
            for one in fleet.variants():
                self._containers.warm(one.container or {})


def _add_tags(whose: Record | Endpoint, body: Json) -> Json:
    merged = {**whose.tags, **{one["Key"]: one["Value"] for one in body["Tags"]}}
    if len(merged) > _MOST_TAGS:
        raise AwsError("ResourceLimitExceeded", f"At most {_MOST_TAGS} tags are allowed on {whose.arn}.")
    whose.tags = merged
    return {"Tags": _told(merged)}


def _list_tags(whose: Record | Endpoint, body: Json) -> Json:
    token, size = str(body.get("NextToken") or "0"), int(body.get("MaxResults") or _MOST_TAGS)
    start = int(token) if token.isdecimal() else 0
    every = _told(whose.tags)
    return {"Tags": every[start : start + size], **({"NextToken": str(start + size)} if start + size < len(every) else {})}


def _delete_tags(whose: Record | Endpoint, body: Json) -> Json:
    whose.tags = {key: value for key, value in whose.tags.items() if key not in body["TagKeys"]}
    return {}


def _told(tags: Mapping[str, str]) -> list[Json]:
    return [{"Key": key, "Value": value} for key, value in tags.items()]
