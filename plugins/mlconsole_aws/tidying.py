"""Taking away what was created for a change that did not come to stand.

Only what is surely garbage: its tags say that this registry made it, for exactly that release, and nothing of the endpoint uses it. All
else stays, for a revert may lead to it: endpoint configs and models cost nothing. What a later change made again under the same name (which
is made of its content) bears the tag of the first one, and stays as well. Artifacts in S3 belong to their version, not to a change.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from mlconsole.plugin.errors import NotFound
from mlconsole_aws import marks
from mlconsole_aws.clients import Clients
from mlconsole_aws.looking import Seen, declared
from mlconsole_aws.naming import is_made, made_label


class Tidying:
    """Finds and deletes it."""

    def __init__(self, clients: Clients, registry: str) -> None:
        self._clients, self._registry = clients, registry

    def tidy(self, endpoint: str, release: str, serving: Iterable[Seen]) -> tuple[str, ...]:
        """What was deleted: endpoint configs and models that were made for that release of the endpoint and are used by nothing of it.

        Args:
            serving: the SageMaker endpoints that serve it now.
        """
        used_configs, used_models = set(), set()
        for seen in serving:
            used_configs |= {str(one.get("EndpointConfigName", "")) for one in (seen.endpoint, seen.config, seen.pending)}
            used_models |= set(seen.models)
        configs = self._named("list_endpoint_configs", "EndpointConfigs", "EndpointConfig", endpoint)
        gone = []
        for name, arn in configs.items():
            if name not in used_configs and self._made_for(arn, endpoint, release):
                self._delete("delete_endpoint_config", EndpointConfigName=name)
                gone.append(name)
        models = self._named("list_models", "Models", "Model", endpoint)
        left = {name: arn for name, arn in models.items() if name not in used_models and self._made_for(arn, endpoint, release)}
        if left:
            for name in configs.keys() - set(gone):
                left = {model: arn for model, arn in left.items() if model not in self._models_of(name)}
        for name in left:
            self._delete("delete_model", ModelName=name)
        return (*gone, *left)

    def _named(self, operation: str, key: str, what: str, endpoint: str) -> dict[str, str]:
        """Name → ARN of what our names for this endpoint may mean."""
        found = self._clients.pages("sagemaker", operation, key, NameContains=made_label(endpoint), MaxResults=100)
        return {str(one[f"{what}Name"]): str(one[f"{what}Arn"]) for one in found if is_made(endpoint, str(one[f"{what}Name"]))}

    def _made_for(self, arn: str, endpoint: str, release: str) -> bool:
        tags: Mapping[str, str] = marks.tags_of(self._clients.pages("sagemaker", "list_tags", "Tags", ResourceArn=arn))
        wanted = {marks.REGISTRY: self._registry, marks.ENDPOINT: endpoint, marks.RELEASE: release}
        return all(tags.get(key) == marks.taggable(value) for key, value in wanted.items())

    def _models_of(self, config: str) -> set[str]:
        try:
            described = self._clients.call("sagemaker", "describe_endpoint_config", EndpointConfigName=config)
        except NotFound:
            return set()
        return {str(one["ModelName"]) for one in declared(described) if one.get("ModelName")}

    def _delete(self, operation: str, **parameters: Any) -> None:
        try:
            self._clients.call("sagemaker", operation, change=True, **parameters)
        except NotFound:
            return
