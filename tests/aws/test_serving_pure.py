"""What of the serving role asks nobody: weights and shares, names, prices, machines."""

from __future__ import annotations

import io
import re
import tarfile
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlconsole.core.traffic import WHOLE
from mlconsole.plugin.errors import Refused
from mlconsole_aws import machines, marks, naming, prices, weights
from mlconsole_aws.naming import Names
from mlconsole_aws.uploading import pack

NAME = st.from_regex(r"\A[a-z][a-z0-9]{0,5}\Z")


@st.composite
def splits(draw: st.DrawFn) -> dict[str, int]:
    """Shares in basis points that sum to the whole."""
    names = draw(st.lists(NAME, min_size=1, max_size=10, unique=True))
    cuts = sorted(draw(st.lists(st.integers(0, WHOLE), min_size=len(names) - 1, max_size=len(names) - 1)))
    bounds = [0, *cuts, WHOLE]
    return {name: bounds[at + 1] - bounds[at] for at, name in enumerate(names)}


@given(splits())
def test_what_was_asked_reads_back_exactly(split: dict[str, int]) -> None:
    assert weights.shares(weights.weights(split)) == split


@given(splits(), st.floats(1e-6, 1e6))
def test_weights_of_another_scale_are_the_same_shares(split: dict[str, int], scale: float) -> None:
    """SageMaker's weights are relative, and a 32-bit float there: half a basis point is more than that loses."""
    scaled = {name: _single(weight * scale) for name, weight in weights.weights(split).items()}
    assert weights.shares(scaled) == split


@given(st.dictionaries(NAME, st.floats(0, 1e9, allow_nan=False), min_size=1, max_size=10))
def test_any_weights_are_whole_shares_each_within_one_basis_point(found: dict[str, float]) -> None:
    told = weights.shares(found)
    total = sum(found.values())
    if not total > 0:
        assert told is None
        return
    assert told is not None
    assert sum(told.values()) == WHOLE
    for name, weight in found.items():
        assert abs(told[name] - weight / total * WHOLE) < 1
        assert weight > 0 or told[name] == 0, "nobody without a weight gets a share"


def test_nobody_at_all_is_refused() -> None:
    """Trap 14."""
    with pytest.raises(Refused, match="All weights would be 0"):
        weights.weights({"v1": 0, "v2": 0})


@given(st.integers(0, WHOLE), st.floats(0.001, 1e6))
def test_a_shadows_sample_is_its_weight_against_productions(bp: int, production: float) -> None:
    assert weights.sample(bp * production / WHOLE, {"v1": production}) == bp


def test_a_shadow_gets_no_more_than_everything() -> None:
    assert weights.sample(3.0, {"v1": 1.0}) == WHOLE
    assert weights.sample(3.0, {"v1": 0.0}) == 0


@given(st.from_regex(r"\A[a-z][a-z0-9]{0,20}(-[a-z0-9]{1,8})?\Z"), st.from_regex(r"\A(v[0-9]{1,3}(-[0-9]{1,3})?|[a-z]{1,8})\Z"))
def test_an_endpoint_of_a_variant_is_read_back_from_its_name(endpoint: str, variant: str) -> None:
    names = Names.of({}, by_name=True)
    native = names.native(endpoint, variant)
    if re.search(r"-v[0-9]", endpoint):
        return  # such a name is refused by `limits.check`, tested there
    assert names.reading(native) == (endpoint, variant)


@pytest.mark.parametrize(
    ("native", "reading"),
    [
        ("relevance-v6", ("relevance", "v6")),
        ("relevance-v6-1", ("relevance", "v6-1")),
        ("nlp-relevance-champion", ("nlp-relevance", "champion")),
        ("relevance", None),
        ("events-de-blue", ("relevance", "v7")),
    ],
)
def test_endpoints_that_others_made_are_read_as_they_are_likeliest_meant(native: str, reading: tuple[str, str] | None) -> None:
    names = Names.of({"adopted": {"relevance": {"v7": "events-de-blue"}}}, by_name=True)
    assert names.reading(native) == reading
    if reading is not None:
        assert names.native(*reading) == native


def test_one_endpoint_for_all_variants_follows_its_pattern() -> None:
    names = Names.of({"names": "prod-{endpoint}-live"}, by_name=False)
    assert names.native("relevance") == "prod-relevance-live"
    assert names.reading("prod-relevance-live") == ("relevance", "")
    assert names.reading("relevance") is None
    adopted = Names.of({"adopted": {"relevance": {"v6": "old", "v7": "old"}}}, by_name=False)
    assert adopted.native("relevance") == "old"
    assert adopted.reading("old") == ("relevance", "")


def test_a_name_is_made_of_what_is_in_it_and_of_its_endpoint() -> None:
    one, same = naming.made_name("relevance", "v7", {"a": 1, "b": 2}), naming.made_name("relevance", "v7", {"b": 2, "a": 1})
    assert one == same
    assert one != naming.made_name("relevance", "v7", {"a": 1, "b": 3})
    assert one != naming.made_name("duplicates", "v7", {"a": 1, "b": 2})
    assert naming.is_made("relevance", one)
    assert not naming.is_made("duplicates", one)
    assert not naming.is_made("relevance", "relevance-v7")


@given(st.text(min_size=1, max_size=80), st.text(max_size=80))
def test_every_made_name_is_one_that_sagemaker_takes(endpoint: str, what: str) -> None:
    name = naming.made_name(endpoint, what, None)
    assert re.fullmatch(r"[a-zA-Z0-9](-*[a-zA-Z0-9]){0,62}", name), name
    assert len(name) <= 63


def test_a_model_that_nobody_here_made_is_known_by_what_it_is() -> None:
    """The same model is the same for ever; one that was deleted and made anew under its name is another."""
    made = datetime(2026, 1, 5, 12, 0, tzinfo=UTC)
    model = {
        "ModelName": "events",
        "CreationTime": made,
        "PrimaryContainer": {"Image": "i", "ModelDataUrl": "s3://b/m", "Environment": {"A": "1"}},
    }
    digest = naming.model_digest(model)
    assert digest == naming.model_digest({**model, "ModelArn": "arn", "ExecutionRoleArn": "role"})
    assert digest.startswith("sha256:")
    assert digest != naming.model_digest({**model, "CreationTime": made.replace(minute=1)})
    other = {**model, "PrimaryContainer": {"Image": "i", "ModelDataUrl": "s3://b/m", "Environment": {"A": "2"}}}
    assert digest != naming.model_digest(other)
    ours = {**model, "PrimaryContainer": {**other["PrimaryContainer"], "Environment": {"MLCONSOLE_DIGEST": "sha256:ab"}}}
    assert naming.model_digest(ours) == "sha256:ab"


def test_prices_are_the_tables_unless_the_workspace_says_its_own() -> None:
    assert prices.price("ml.m5.large", {}) == 0.115
    assert prices.price("ml.m5.2xlarge", {}) == 0.46
    assert prices.price("ml.m5.large", {"ml.m5.large": 0.09}) == 0.09
    assert prices.price("ml.p9.huge", {}) is None
    assert re.fullmatch(r"\d{4}-\d{2}", prices.DATED)


def test_half_a_sum_is_no_sum() -> None:
    assert prices.delta([("ml.m5.large", 2)], [("ml.m5.xlarge", 1)], {}) == 0.0
    assert prices.delta([("ml.m5.large", 3)], [], {}) == 0.345
    assert prices.delta([], [("ml.m5.large", 2)], {}) == -0.23
    assert prices.delta([("ml.m5.large", 1), ("ml.p9.huge", 1)], [], {}) is None


def test_what_is_said_nearest_of_a_machine_counts() -> None:
    said = {
        "image": "all",
        "instance_type": "ml.m5.large",
        "instance_count": 2,
        "environment": {"A": "1", "B": "1"},
        "machines": {
            "relevance": {"instance_type": "ml.c5.large", "environment": {"B": "2"}},
            "relevance@7": {"image": "seven", "instance_count": 5},
        },
    }
    assert machines.machine(said, "other", "1") == machines.Machine("ml.m5.large", 2, "all", {"A": "1", "B": "1"})
    assert machines.machine(said, "relevance", "6") == machines.Machine("ml.c5.large", 2, "all", {"A": "1", "B": "2"})
    assert machines.machine(said, "relevance", "7") == machines.Machine("ml.c5.large", 5, "seven", {"A": "1", "B": "2"})
    assert machines.machine({}, "relevance", "7") is None


@pytest.mark.parametrize(
    ("said", "why"),
    [
        ({}, "Nobody said on what"),
        ({"instance_type": "m5.large"}, "no type of instance"),
        ({"instance_type": "ml.m5.large", "environment": {"A B": "1"}}, "'A B'"),
        ({"instance_type": "ml.m5.large", "environment": {"A": "1" * 1025}}, "'A'"),
        ({"instance_type": "ml.m5.large", "environment": {f"A{n}": "1" for n in range(98)}}, "98 variables"),
    ],
)
def test_what_sagemaker_would_not_take_of_a_machine_is_refused_first(said: dict[str, object], why: str) -> None:
    with pytest.raises(Refused, match=why):
        machines.required(said, "relevance", "7")


def test_a_tag_holds_what_it_can() -> None:
    assert marks.taggable("relevance@production#42") == "relevance@production+42"
    assert len(marks.taggable("a" * 300)) == 256
    assert marks.as_tags({"a": "", "b": "c"}) == [{"Key": "b", "Value": "c"}]


def test_the_same_bytes_are_the_same_archive(tmp_path: Path) -> None:
    made = []
    for number, names in enumerate((("a", "b/c"), ("b/c", "a"))):
        folder = tmp_path / str(number)
        for name in names:
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes(name.encode())
        (folder / "a").chmod(0o600 if number else 0o644)
        file = io.BytesIO()
        pack(folder, file)
        made.append(file.getvalue())
    assert made[0] == made[1]
    with tarfile.open(fileobj=io.BytesIO(made[0])) as archive:
        assert archive.getnames() == ["a", "b/c"]


def test_a_single_graph_is_called_as_containers_look_for_it_and_an_archive_stays_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "double.onnx").write_bytes(b"graph")
    file = io.BytesIO()
    pack(tmp_path / "double.onnx", file)
    with tarfile.open(fileobj=io.BytesIO(file.getvalue())) as archive:
        assert archive.getnames() == ["model.onnx"]
    (tmp_path / "whole.tar.gz").write_bytes(file.getvalue())
    again = io.BytesIO()
    pack(tmp_path / "whole.tar.gz", again)
    assert again.getvalue() == file.getvalue()


def _single(value: float) -> float:
    """As a 32-bit float has it."""
    import struct

    return float(struct.unpack("f", struct.pack("f", value))[0])
