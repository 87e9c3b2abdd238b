"""How things are called at SageMaker: endpoints by the workspace's pattern, models and endpoint configs by what is in them. Pure."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

from mlconsole.core.models import Json
from mlconsole_aws.marks import MODEL_DIGEST

LONGEST = 63
"""Characters of any name at SageMaker."""

ONLY = "AllTraffic"
"""The one production variant of an endpoint that serves one variant of ours."""

_PLAIN = r"[a-zA-Z0-9](?:-*[a-zA-Z0-9])*"
_SIGN = r"[vV][0-9]"
"""How the name of a variant begins that may have dashes in it, where it stands behind its endpoint's name."""

_ENDPOINT_BY_NAME = 40
"""Characters of an endpoint's name where its variants' names have to fit behind it."""


def pattern(longest: int, *, behind: bool = False) -> str:
    """What a name of at most so many characters has to match; one that stands behind another has no dash but after a sign."""
    return rf"(?=.{{1,{longest}}}\Z){rf'(?:{_SIGN}(?:-*[a-zA-Z0-9])*|[a-zA-Z0-9]+)' if behind else _PLAIN}"


@dataclass(frozen=True)
class Names:
    """How SageMaker endpoints are called for endpoints of ours, and back."""

    by_name: bool
    text: str
    """The pattern, with {endpoint} and, where each variant is an endpoint of its own, {variant}."""
    adopted: Mapping[str, Mapping[str, str]]
    """Endpoint → variant → the SageMaker endpoint, where it does not follow the pattern."""
    ignored: tuple[str, ...] = ()
    """SageMaker endpoints that are none of this environment's; `*` stands for anything."""

    @staticmethod
    def of(options: Mapping[str, Any], *, by_name: bool) -> Names:
        """As the options of `sagemaker` say."""
        default = "{endpoint}-{variant}" if by_name else "{endpoint}"
        ignored = tuple(str(one) for one in options.get("ignore") or ())
        return Names(by_name, str(options.get("names") or default), options.get("adopted") or {}, ignored)

    @property
    def room(self) -> tuple[int, int]:
        """The most characters of an endpoint's and of a variant's name."""
        left = LONGEST - len(self.text.replace("{endpoint}", "").replace("{variant}", ""))
        if not self.by_name:
            return max(1, left), LONGEST
        first = min(_ENDPOINT_BY_NAME, max(1, left - 1))
        return first, max(1, left - first)

    def native(self, endpoint: str, variant: str = "") -> str:
        """The SageMaker endpoint that serves it: all of its variants, or that one."""
        known = self.adopted.get(endpoint) or {}
        if not self.by_name:
            return next(iter(known.values()), "") or self.text.replace("{endpoint}", endpoint)
        return known.get(variant) or self.text.replace("{endpoint}", endpoint).replace("{variant}", variant)

    def reading(self, native: str) -> tuple[str, str] | None:
        """The endpoint and variant that a SageMaker endpoint is here, whoever made it; None: nobody adopted it, and it follows no pattern.
        One that all variants share names none."""
        for endpoint, variants in self.adopted.items():
            for variant, name in variants.items():
                if name == native:
                    return endpoint, variant if self.by_name else ""
        if any(fnmatchcase(native, one) for one in self.ignored):
            return None
        if self.by_name and "{endpoint}" not in self.text:
            # The variant is the SageMaker endpoint's whole name: whose it is, is known of those that begin like an adopted endpoint.
            likely = sorted((one for one in self.adopted if native.startswith(f"{one}-")), key=len)
            return (likely[-1], native) if likely and self.text == "{variant}" else None
        if not self.by_name:
            found = re.fullmatch(_expression(self.text, endpoint=f"(?P<endpoint>{_PLAIN})"), native)
            return (found["endpoint"], "") if found else None
        signed: list[tuple[str, str]] = []
        plain: list[tuple[str, str]] = []
        for cut in range(1, len(native)):
            found = re.fullmatch(_expression(self.text, endpoint=rf"(?P<endpoint>.{{{cut}}})", variant="(?P<variant>.+)"), native)
            if found and re.fullmatch(_PLAIN, found["endpoint"]) and re.fullmatch(_PLAIN, found["variant"]):
                (signed if re.match(_SIGN, found["variant"]) else plain).append((found["endpoint"], found["variant"]))
        # `relevance-v6-1` is v6-1 of relevance; without such a sign, what stands behind the last dash is the variant.
        return signed[0] if signed else plain[-1] if plain else None


def _expression(text: str, **groups: str) -> str:
    """The pattern as a regular expression, the braces filled in."""
    escaped = re.escape(text)
    for name, group in groups.items():
        escaped = escaped.replace(re.escape(f"{{{name}}}"), group, 1)
    return escaped


def content_hash(body: Json) -> str:
    """Of the canonical JSON: sorted, without blanks, numbers as they are, times in ISO."""
    text = json.dumps(body, sort_keys=True, separators=(",", ":"), ensure_ascii=False, default=_told)
    return hashlib.sha256(text.encode()).hexdigest()


def made_name(endpoint: str, what: str, body: Json) -> str:
    """A name made of what is in it, so that making it twice is making it once: `relevance-v7-3f1b5a9c0d2e4f6a`."""
    part = slug(what)[:16].rstrip("-")
    return f"{made_label(endpoint)}-{part}-{content_hash([endpoint, body])[:16]}"


def made_label(endpoint: str) -> str:
    """How the names begin of what we make for an endpoint."""
    return slug(endpoint)[:28].rstrip("-")


def is_made(endpoint: str, name: str) -> bool:
    """Whether a name may be one that we made for that endpoint."""
    return name.startswith(f"{made_label(endpoint)}-") and re.search(r"-[0-9a-f]{16}\Z", name) is not None


def slug(text: str) -> str:
    """Letters, digits and dashes of it."""
    return re.sub(r"-{2,}", "-", re.sub(r"[^a-zA-Z0-9]+", "-", text)).strip("-") or "x"


def native_digest(described: Mapping[str, Any]) -> str:
    """What identifies a SageMaker model that nobody here made: its name, when it was made, and what its containers are. It can't change, so
    this stands for its bytes."""
    known = ("Image", "ModelDataUrl", "ModelDataSource", "ModelPackageName", "Environment")
    inside = [{key: container[key] for key in known if container.get(key)} for container in containers(described)]
    made = described["CreationTime"]
    seconds = round(made.timestamp(), 3) if hasattr(made, "timestamp") else made
    return f"sha256:{content_hash([described['ModelName'], seconds, inside])}"


def model_digest(described: Mapping[str, Any]) -> str:
    """Which bytes a SageMaker model is: the digest that we wrote into its environment when we made it, else what identifies it."""
    for container in containers(described):
        written = str((container.get("Environment") or {}).get(MODEL_DIGEST, ""))
        if written.startswith("sha256:"):
            return written
    return native_digest(described)


def containers(described: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
    """A model's containers."""
    primary = described.get("PrimaryContainer")
    return [primary] if primary else list(described.get("Containers") or ())


def _told(value: Any) -> str:
    return str(value.isoformat()) if hasattr(value, "isoformat") else str(value)
