"""What a version runs on: image, instances, environment. Said for all, for a model, or for one version; the nearest counts. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from mlconsole.plugin.errors import Refused

_VARIABLES = 100
"""Environment variables that SageMaker takes for one container, ours among them."""
_IMAGE = re.compile(r"\S{1,255}")
_TYPE = re.compile(r"ml\.[a-z0-9-]+\.[a-z0-9]+")
_KEY = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]{0,1023}")


@dataclass(frozen=True)
class Machine:
    """What is said; the image is wanted only where a model has to be made."""

    instance_type: str
    instance_count: int = 1
    image: str = ""
    environment: Mapping[str, str] = field(default_factory=dict)


def machine(options: Mapping[str, Any], model: str, version: str) -> Machine | None:
    """As the options of `sagemaker` say; None: nobody said what type of instance."""
    known = options.get("machines") or {}
    layers = [options, known.get(model) or {}, known.get(f"{model}@{version}") or {}]

    def nearest(key: str) -> Any:
        return next((layer[key] for layer in reversed(layers) if layer.get(key) is not None), None)

    if nearest("instance_type") is None:
        return None
    environment: dict[str, str] = {}
    for layer in layers:
        environment.update(layer.get("environment") or {})
    return Machine(str(nearest("instance_type")), int(nearest("instance_count") or 1), str(nearest("image") or ""), environment)


def required(options: Mapping[str, Any], model: str, version: str) -> Machine:
    """The same, checked.

    Raises:
        Refused: nobody said what it runs on, or SageMaker would not take it.
    """
    found = machine(options, model, version)
    where = f"options → aws → sagemaker, for all or under machines: {model}@{version}"
    if found is None:
        raise Refused(f"Nobody said on what {model}@{version} runs. Nothing was changed.", next=f"Say instance_type: under {where}.")
    if not _TYPE.fullmatch(found.instance_type):
        raise Refused(
            f"{found.instance_type!r} is no type of instance at SageMaker. Nothing was changed.", next=f"Write it as ml.m5.large, {where}."
        )
    if found.image and not _IMAGE.fullmatch(found.image):
        raise Refused(f"{found.image!r} is no image. Nothing was changed.", next=f"Name it by its ECR address, {where}.")
    wrong = [key for key, value in found.environment.items() if not _KEY.fullmatch(key) or len(value) > 1024]
    if wrong or len(found.environment) > _VARIABLES - 3:
        told = f"its environment has {wrong[0]!r}" if wrong else f"its environment has {len(found.environment)} variables"
        raise Refused(
            f"SageMaker can't take {model}@{version}: {told}. Nothing was changed.",
            next="Names are letters, digits and _, values at most 1024 characters, at most 97 of them.",
        )
    return found
