"""How one simulated environment is set up: its shape, its limits, its pace."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from mlconsole.core.documents import MOST_BYTES
from mlconsole.core.models import Json
from mlconsole.plugin.options import Kind, Option
from mlconsole.plugin.roles import ConfigLimits, Limits


class Shape(StrEnum):
    """Who splits the traffic, and in how many native calls."""

    SEPARATE = "separate"
    """Serving brings variants up and takes them away; a traffic role of its own splits (a gateway; percentages held by AppConfig)."""
    STAGED = "staged"
    """Serving splits too, with calls of its own for each thing."""
    COMBINED = "combined"
    """Serving splits too, and one update of several minutes adds and removes variants, sets weights and the shadow at once (SageMaker)."""


OPTIONS = (
    Option("world", Kind.PATH, "The file in which the simulated world lives; left out, a file of the environment's own."),
    Option("shape", Kind.TEXT, "Who splits the traffic.", "separate", choices=tuple(shape.value for shape in Shape)),
    Option("share_granularity", Kind.INTEGER, "Shares are multiples of so many basis points.", 1, minimum=1, maximum=10_000),
    Option("slices", Kind.FLAG, "Whether a slice can have a split of its own.", True),
    Option("shadow", Kind.FLAG, "Whether there can be a shadow.", True),
    Option("variants", Kind.INTEGER, "At most so many variants behind an endpoint.", 10, minimum=1),
    Option("variant_name", Kind.TEXT, "A regular expression for the names of variants.", Limits().variant_name),
    Option("variant_seconds", Kind.NUMBER, "How long a variant, or a combined update, takes to come up.", 30.0, minimum=0),
    Option("traffic_seconds", Kind.NUMBER, "How long a change of the split takes.", 1.0, minimum=0),
    Option("stop_seconds", Kind.NUMBER, "How long a variant takes to go away.", 2.0, minimum=0),
    Option("scope", Kind.TEXT, "What is locked while anything changes; left out, each endpoint by itself."),
    Option("cost_per_hour", Kind.NUMBER, "What each variant adds to the bill per hour.", minimum=0),
    Option("config_growth", Kind.FLAG, "Whether a config document can be published to a share of the clients.", True),
    Option("config_granularity", Kind.INTEGER, "Such shares are multiples of so many basis points.", 100, minimum=1, maximum=10_000),
    Option("config_seconds", Kind.NUMBER, "How long a publication takes.", 1.0, minimum=0),
    Option("config_poll", Kind.NUMBER, "Seconds after which every client has read what is published.", 45.0, minimum=0),
    Option("config_bytes", Kind.INTEGER, "The largest document that is taken.", MOST_BYTES, minimum=1),
    Option("metrics_settled", Kind.NUMBER, "Seconds after which a minute's figures are whole.", 120.0, minimum=0),
    Option("metrics_by_slice", Kind.FLAG, "Whether figures are told by slice.", False),
    Option("caller", Kind.TEXT, "As whom it takes who calls; left out, it does not know."),
    Option("account", Kind.TEXT, "That caller's account.", ""),
    Option("region", Kind.TEXT, "Where it is.", ""),
)
"""The plugin's options."""


@dataclass(frozen=True)
class Settings:
    """The options, read. Seconds are seconds of the clock that the world is given."""

    shape: Shape = Shape.SEPARATE
    share_granularity: int = 1
    slices: bool = True
    shadow: bool = True
    variants: int = 10
    variant_name: str = Limits().variant_name
    variant_seconds: float = 30.0
    traffic_seconds: float = 1.0
    stop_seconds: float = 2.0
    scope: str | None = None
    cost_per_hour: float | None = None
    config_growth: bool = True
    config_granularity: int = 100
    config_seconds: float = 1.0
    config_poll: float = 45.0
    config_bytes: int = MOST_BYTES
    metrics_settled: float = 120.0
    metrics_by_slice: bool = False
    caller: str | None = None
    account: str = ""
    region: str = ""

    @property
    def limits(self) -> Limits:
        """The same as the roles tell it."""
        return Limits(self.share_granularity, self.slices, self.shadow, self.variant_name, variants=self.variants)

    @property
    def config_limits(self) -> ConfigLimits:
        """The same as the config role tells it."""
        return ConfigLimits(self.config_growth, self.config_granularity, self.config_bytes, self.config_poll)

    def scope_of(self, endpoint: str) -> str:
        """What is locked while the endpoint, or the config document as a target, changes."""
        return self.scope or endpoint


def settings_from(options: Mapping[str, Json]) -> Settings:
    """Settings from validated options; what is left out has its default."""
    given = {option.name: options[option.name] for option in OPTIONS if option.name != "world" and options.get(option.name) is not None}
    if "shape" in given:
        given["shape"] = Shape(given["shape"])
    return Settings(**given)
