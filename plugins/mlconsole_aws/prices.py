"""What instances cost an hour, on demand, for real-time endpoints. Pure.

The table is general knowledge of the list prices in us-east-1, in dollars, written down in `DATED` and looked up nowhere: other regions
cost up to a fifth more, and contracts less. The option `prices` says what you really pay. Storage, traffic and captured data are not in it,
nor the second fleet that SageMaker runs (and charges) for the minutes of an update.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

DATED = "2025-06"
REGION = "us-east-1"

_SIZES = {
    "large": 0.5,
    "xlarge": 1.0,
    "2xlarge": 2.0,
    "4xlarge": 4.0,
    "8xlarge": 8.0,
    "9xlarge": 9.0,
    "10xlarge": 10.0,
    "12xlarge": 12.0,
    "16xlarge": 16.0,
    "18xlarge": 18.0,
    "24xlarge": 24.0,
    "32xlarge": 32.0,
    "48xlarge": 48.0,
}
_FAMILIES = {  # the price of an xlarge; the others of a family are in proportion
    "m4": 0.24,
    "m5": 0.23,
    "m5d": 0.271,
    "m6g": 0.1848,
    "m6i": 0.23,
    "m7i": 0.242,
    "c4": 0.239,
    "c5": 0.204,
    "c5d": 0.23,
    "c6g": 0.1632,
    "c6i": 0.204,
    "c7g": 0.174,
    "c7i": 0.2142,
    "r5": 0.302,
    "r5d": 0.346,
    "r6g": 0.242,
    "r6i": 0.302,
    "r7i": 0.3175,
}
_OTHERS = {
    "ml.t2.medium": 0.056,
    "ml.t2.large": 0.111,
    "ml.t2.xlarge": 0.223,
    "ml.t2.2xlarge": 0.445,
    "ml.g4dn.xlarge": 0.736,
    "ml.g4dn.2xlarge": 0.94,
    "ml.g4dn.4xlarge": 1.505,
    "ml.g4dn.8xlarge": 2.72,
    "ml.g4dn.12xlarge": 4.89,
    "ml.g4dn.16xlarge": 5.44,
    "ml.g5.xlarge": 1.408,
    "ml.g5.2xlarge": 1.515,
    "ml.g5.4xlarge": 2.03,
    "ml.g5.8xlarge": 3.06,
    "ml.g5.12xlarge": 7.09,
    "ml.g5.16xlarge": 5.12,
    "ml.g5.24xlarge": 10.18,
    "ml.g5.48xlarge": 20.36,
    "ml.g6.xlarge": 1.127,
    "ml.g6.2xlarge": 1.222,
    "ml.g6.4xlarge": 1.654,
    "ml.p3.2xlarge": 3.825,
    "ml.p3.8xlarge": 14.688,
    "ml.p3.16xlarge": 28.152,
    "ml.inf1.xlarge": 0.297,
    "ml.inf1.2xlarge": 0.473,
    "ml.inf1.6xlarge": 1.538,
    "ml.inf1.24xlarge": 6.15,
    "ml.inf2.xlarge": 0.99,
    "ml.inf2.8xlarge": 2.36,
    "ml.inf2.24xlarge": 7.79,
    "ml.inf2.48xlarge": 15.58,
}


def price(instance_type: str, own: Mapping[str, float]) -> float | None:
    """Dollars an hour of one instance: what the workspace says, else the table; None: neither knows it."""
    if instance_type in own:
        return float(own[instance_type])
    if instance_type in _OTHERS:
        return _OTHERS[instance_type]
    family, _, size = instance_type.removeprefix("ml.").partition(".")
    if family not in _FAMILIES or size not in _SIZES:
        return None
    return round(_FAMILIES[family] * _SIZES[size], 4)


def delta(added: Iterable[tuple[str, int]], removed: Iterable[tuple[str, int]], own: Mapping[str, float]) -> float | None:
    """What instances (type, count) that come and go change of the bill an hour; None as soon as one of their prices is unknown, for half a
    sum would look like a whole one."""
    total = 0.0
    for sign, machines in ((1, added), (-1, removed)):
        for instance_type, count in machines:
            each = price(instance_type, own)
            if each is None:
                return None
            total += sign * each * count
    return round(total, 4)
