"""Models, played by key: what a person sees of the versions, what deploying one would do, and the same beside another."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from mlconsole.core.models import Code, Data, Field, Metrics, Slice
from mlconsole.plugin.simulator import Fault, FaultKind, simulated_version
from mlconsole.tui.screens.models import ModelsView
from mlconsole.tui.table import LiveTable
from tui.kit import SIZES, Driver, House, changed, opened, start_of, took

pytestmark = pytest.mark.usefixtures("_own_terminal")

METADATA = """\
{named}owner: risk-models
parameters: {{C: 1.0}}
data: {{reference: events, cutoff: 2026-01-31}}
metrics: {{evaluation_set: "sha256:simulated", values: {{accuracy: 0.91}}}}
preprocessing: none
signature:
  inputs: [{{name: text, datatype: BYTES}}]
  outputs: [{{name: score, datatype: FP32}}]
baseline: {{score: {{mean: 0.3}}}}
"""


def _register(house: House, version: str, **other: object) -> None:
    made = simulated_version("relevance", version)
    session = house.session()
    signature = replace(made.signature, **{name: value for name, value in other.items() if name in ("inputs", "slices", "threshold")})
    rest = {name: value for name, value in other.items() if name not in ("inputs", "slices", "threshold")}
    session.registry.add_version(replace(made, signature=signature, registered_at=house.clock.now() - timedelta(hours=3), **rest))  # type: ignore[arg-type]
    session.registry.close()


@pytest.fixture
def shop(make_house) -> House:
    """v10 is live with all, v11 stands by; v12 was measured otherwise and knows less; 3, 4 and 5 are candidates with one figure."""
    house: House = make_house()
    figures = {"accuracy": 0.88, "brier": 0.110, "accuracy/en": 0.90, "accuracy/de": 0.86}
    better = {"accuracy": 0.90, "brier": 0.090, "accuracy/en": 0.93, "accuracy/de": 0.83}
    told = {"metrics": Metrics("sha256:" + "a" * 64, figures), "code": Code("77ab910ffff", dirty=False)}
    _register(house, "10", **told, parameters={"C": 1.0}, data=Data("events", "2026-01-01"), description="the one before")
    _register(
        house,
        "11",
        metrics=Metrics("sha256:" + "a" * 64, better),
        code=Code("8c1f2e0ffff", dirty=True),
        parameters={"C": 3.0},
        data=Data("events", "2026-01-31"),
        dependencies=("numpy==2.4.6",),
    )
    inputs = (*simulated_version().signature.inputs, Field("customer", "BYTES"))
    _register(house, "12", metrics=Metrics("sha256:" + "b" * 64, better), inputs=inputs, slices=(Slice("language", "/language", ("en",)),))
    changed(house, ("relevance", "deploy", "10"), ("relevance", "deploy", "11"))
    return house


def _view(driver: Driver) -> ModelsView:
    view = driver.app.view
    assert isinstance(view, ModelsView)
    return view


def _rows(driver: Driver) -> list[str]:
    return [row.key for row in _view(driver).query_one("#main", LiveTable).rows]


async def _to(driver: Driver, version: str) -> None:
    """The cursor on a version, by key."""
    await driver.press("home")
    place = _rows(driver).index(version)
    await driver.press(*["down"] * place)
    await driver.until(lambda: _view(driver).version() is not None and _view(driver).version().name == version, f"the cursor on {version}")
    await driver.pilot.pause()


@pytest.mark.parametrize("size", SIZES)
async def test_what_a_person_sees_first(shop: House, size: tuple[int, int]) -> None:
    """Versions with state and place, what D would do, and the newest one beside the live one, at every size."""
    async with opened(shop, size) as driver:
        await driver.press("1")
        await driver.sees("relevance@12")
        assert "candidate" in driver.line("relevance@12")
        await _to(driver, "relevance@11")
        await driver.sees("relevance@10", "relevance@12")
        assert "standing by" in driver.line("relevance@11")
        assert "live" in driver.line("relevance@10")
        assert "acc. 0.880" in driver.line("relevance@10")
        assert driver.has("to staging, behind")
        assert driver.has("u to #2 v10 100")
        assert driver.has("v11 beside v10")
        assert "✔ better" in driver.line("+0.020")
        if size[0] >= 60:
            assert "staging 100 %" in driver.line("relevance@10")
            assert "[1 Models]" in driver.text
            assert "6 of 6" in driver.line("[1 Models]") or size[0] < 80
        if size[0] >= 100:
            assert driver.has("if you deploy v11", "D  to staging", "it is there with 0 %", "knows en de pl", "gates: load (no golden")
            assert driver.has("c other pair")
        if size[0] >= 120:
            assert "3 h" in driver.line("relevance@11")
            assert "8c1f2e0 dirty" in driver.line("relevance@11")


async def test_the_boxes_meet(shop: House) -> None:
    """The edge between two panes is one line, from its ┬ to its ┴."""
    async with opened(shop, (100, 30)) as driver:
        await driver.press("1")
        await driver.sees("if you deploy")
        lines = driver.lines
        top = next(index for index, line in enumerate(lines) if "if you deploy" in line)
        place = lines[top].index("┬")
        bottom = next(index for index, line in enumerate(lines) if " beside " in line and line.startswith("├"))
        assert all(line[place] == "│" for line in lines[top + 1 : bottom])
        assert lines[bottom][place] == "┴"


async def test_the_comparison_judges_what_can_be_judged(shop: House) -> None:
    """Less is better for brier; a slice that is worse is told; code, data, parameters and dependencies stand beside each other."""
    async with opened(shop, (120, 60)) as driver:
        await driver.press("1")
        await _to(driver, "relevance@11")
        await driver.sees("relevance · v11 beside v10")
        assert "✔ better (less is better)" in driver.line("brier")
        assert "−0.020" in driver.line("brier")
        assert "▲ worse" in driver.line("accuracy · de")
        assert "−0.030" in driver.line("accuracy · de")
        assert "✔ the same set" in driver.line("evaluation set")
        assert "▲ made from what was not committed" in driver.line("8c1f2e0 dirty   ")
        assert "✔ 30 days fresher" in driver.line("data until")
        assert "1.0" in driver.line("│ C ")
        assert "3.0" in driver.line("│ C ")
        assert "2.4.6" in driver.line("needs numpy")
        assert "✔ 3 better  ▲ 1 worse  ▲ 1 to judge" in driver.text


async def test_figures_of_another_evaluation_set_do_not_compare(shop: House) -> None:
    """No figure beside a figure of another set; and what callers would notice is told."""
    async with opened(shop, (120, 60)) as driver:
        await driver.press("1")
        await _to(driver, "relevance@12")
        await driver.sees("v12 beside v10")
        assert "they do not compare" in driver.line("metrics")
        assert not driver.has("+0.020")
        assert "another set" in driver.line("evaluation set")
        assert "callers have to send customer" in driver.line("fields it reads")
        assert "does not know de, pl" in driver.line("│ slices")
        assert driver.has("▲ does not know de, pl")


async def test_a_language_narrows_the_figures(shop: House) -> None:
    """`/@de`: the headline and the comparison are of that slice only; esc brings all of it back."""
    async with opened(shop, (120, 40)) as driver:
        await driver.press("1")
        await _to(driver, "relevance@11")
        await driver.press("slash")
        await driver.type("@de")
        await driver.press("enter")
        await driver.sees("acc. de 0.830")
        assert "▲ worse" in driver.line("−0.030")
        assert not driver.has("brier")
        assert "@de" in driver.lines[2]
        await driver.press("escape")
        await driver.sees("brier")
        assert not driver.has("acc. de 0.830")


async def test_filter_and_order(shop: House) -> None:
    """Words narrow the list, `s` puts what runs first."""
    async with opened(shop, (100, 30)) as driver:
        await driver.press("1")
        await driver.sees("relevance@12")
        await driver.press("slash")
        await driver.type("standing")
        await driver.until(lambda: _rows(driver) == ["relevance@11"], "one row")
        assert "1 of 6" in driver.lines[2]
        await driver.press("escape")
        await driver.until(lambda: len(_rows(driver)) == 6, "all rows")
        await driver.press("s", "s")
        await driver.sees("running first")
        assert _rows(driver)[:2] == ["relevance@10", "relevance@11"]
        await driver.press("s")
        await driver.sees("best figure first")
        await driver.press("s")
        await driver.sees("by model · s sort")


async def test_a_filter_holds_on_every_screen(shop: House) -> None:
    """What was narrowed on one screen is not narrowed for ever when it is cleared on another."""
    async with opened(shop, (100, 30)) as driver:
        await driver.press("1")
        await driver.press("slash")
        await driver.type("standing")
        await driver.press("enter", "2", "escape", "1")
        await driver.until(lambda: len(_rows(driver)) == 6, "all rows")


async def test_mark_and_choose_the_other(shop: House) -> None:
    """`space` marks what others are shown beside, `c` chooses it, `esc` and a second `space` take it away again."""
    async with opened(shop, (100, 30)) as driver:
        await driver.press("1")
        await _to(driver, "relevance@12")
        await driver.press("space")
        assert "relevance@12" in driver.message
        await _to(driver, "relevance@11")
        await driver.sees("v11 beside v12")
        assert "*relevance@12" in driver.text
        await driver.press("escape")
        await driver.sees("v11 beside v10")
        await driver.press("c")
        await driver.sees("relevance@11 beside which")
        await driver.type("@5")
        await driver.press("enter")
        await driver.sees("v11 beside v5")
        await _to(driver, "relevance@5")
        await driver.sees("v5 beside v10")  # never beside itself
        await driver.press("space")
        await driver.sees_not("*relevance@5")


async def test_the_live_one_stands_beside_the_one_before(shop: House) -> None:
    async with opened(shop, (100, 30)) as driver:
        await driver.press("1")
        await _to(driver, "relevance@10")
        await driver.sees("v10 beside v5")


async def test_everything_of_a_version(shop: House) -> None:
    """`enter`: lineage and the whole comparison, wrapped to the screen; `v`: the same for machines; `y`: the command."""
    for size in ((100, 30), (48, 20)):
        async with opened(shop, size) as driver:
            await driver.press("1")
            await _to(driver, "relevance@11")
            await driver.press("enter")
            await driver.sees("owner", "simulator@localhost" if size[0] == 100 else "digest")
            await driver.press("end")
            await driver.sees("needs numpy")
            await driver.press("escape", "v")
            await driver.sees('"model": "relevance"')
            await driver.press("escape", "y")
            assert driver.app.clipboard == "mlconsole deploy relevance@11 --env staging"
            assert "copied" in driver.message


@pytest.mark.parametrize("size", [(100, 30), (48, 20)])
async def test_deploying_from_the_list(shop: House, size: tuple[int, int]) -> None:
    """`D`, a share, a plan, `y`: also from a phone. The list shows it as soon as it is true."""
    async with opened(shop, size) as driver:
        await driver.press("1")
        await _to(driver, "relevance@12")
        await driver.press("D")
        await driver.sees("deploy relevance@12")
        await driver.press("ctrl+u")
        await driver.type("150")
        await driver.press("enter")
        await driver.until(lambda: len(driver.app.screen_stack) == 2, "it asks on")
        await driver.press("ctrl+u")
        await driver.type("25")
        await driver.press("enter")
        await driver.sees("nothing has happened yet" if size[0] == 100 else "plan ")
        await driver.press("y")
        await driver.until(lambda: "✔" in driver.message, "the change is over")
        await driver.until(lambda: "canary" in driver.line("relevance@12"), "v12 is a canary")
        assert took(shop).status.endpoints[0].content.startswith("v10 75")


async def test_a_first_version_asks_for_no_share(make_house) -> None:
    """Nothing runs: it gets all of it, so there is nothing to ask."""
    house: House = make_house()
    async with opened(house, (100, 30)) as driver:
        await driver.press("1")
        await driver.sees("a new endpoint: it gets all", "way back: X removes it")
        await driver.press("D")
        await driver.sees("nothing has happened yet", "v5 100 %")
        await driver.press("escape")
        assert "Nothing has happened" in driver.message


async def test_why_it_can_not_be_deployed(shop: House) -> None:
    """Read only, blind, made by nobody we know: the key is off, and says why where it stands and in the message line."""
    async with opened(shop, (100, 30), read_only=True) as driver:
        await driver.press("1")
        await driver.sees("D is off: read only")
        await driver.press("D")
        assert driver.message.startswith("D is off: read only")
        await driver.press("G")
        assert driver.message.startswith("G is off: read only")


async def test_blind_the_versions_stay_readable(shop: House) -> None:
    """The registry is ours: a backend that is gone takes only D away."""
    async with opened(shop, (100, 30)) as driver:
        await driver.press("1")
        await driver.sees("relevance@12")
        shop.sim.world.inject(Fault(FaultKind.AUTH, on="*", times=None, reason="expired"))
        await driver.sees("D is off")
        assert driver.has("relevance@12", "relevance@10", "beside")
        await driver.press("D")
        assert driver.message.startswith("D is off")


async def test_the_way_from_endpoints(make_house) -> None:
    """Arriving from an endpoint, the cursor is on the newest version of its model; leaving, the endpoint is that of the version."""
    house: House = make_house("relevance", "severity")
    changed(house, ("relevance", "deploy", "3"), ("severity", "deploy", "3"))
    async with opened(house, (100, 30)) as driver:
        await driver.until(lambda: driver.has("severity"), "both endpoints")
        await driver.press("home")
        first = driver.app.subject
        await driver.press("1")
        await driver.until(lambda: _view(driver).version() is not None and _view(driver).version().name == f"{first}@5", "the newest of it")
        other = "severity" if first == "relevance" else "relevance"
        await _to(driver, f"{other}@4")
        await driver.press("2")
        await driver.until(lambda: driver.app.subject == other, "the other endpoint")
        await driver.press("1")
        await driver.pilot.pause()
        assert _view(driver).version() is not None
        assert _view(driver).version().name == f"{other}@4"


async def test_golden_queries_are_counted(shop: House) -> None:
    """The gates that will be asked, with how many questions."""
    (shop.root / "golden.jsonl").write_text(
        "".join(f'{{"id": "q{n}", "inputs": {{"text": "a"}}, "expect": {{"score": 0.5}}}}\n' for n in range(7))
    )
    file = shop.root / "mlconsole.yaml"
    file.write_text(file.read_text().replace("  relevance: {}", "  relevance: {golden: golden.jsonl}"))
    async with opened(shop, (120, 40), start=start_of(shop)) as driver:
        await driver.press("1")
        await driver.sees("gates: load, golden queries 7")


async def test_nothing_is_registered_yet(make_house) -> None:
    """The empty list teaches the next key, at every size."""
    house: House = make_house()
    file = house.root / ".mlconsole" / "registry.db"
    for part in file.parent.glob("registry.db*"):
        part.unlink()
    for size in SIZES:
        async with opened(house, size) as driver:
            await driver.press("1")
            await driver.sees("No version is registered yet.", "G registers one")
            await driver.press("D")
            assert "There is no version under the cursor. G registers one." in driver.message


@pytest.mark.parametrize("size", [(100, 30), (60, 20)])
async def test_registering(shop: House, size: tuple[int, int], monkeypatch: pytest.MonkeyPatch) -> None:
    """`G`: a path that is none, a file that says too little, one that names nothing, then a good one; and once more the same."""
    monkeypatch.chdir(shop.root)
    folder = shop.root / "models" / "v20"
    folder.mkdir(parents=True)
    (folder / "model.bin").write_bytes(b"weights")
    (folder / "model.yaml").write_text("model: relevance\nversion: '20'\nowner: me\n")
    async with opened(shop, size) as driver:
        await driver.press("1")
        await driver.sees("relevance@12")

        async def given(text: str) -> None:
            await driver.press("G")
            await driver.sees("register a version")
            await driver.type(text)
            await driver.press("enter")

        await given("models/v21")
        await driver.sees("There is no v21 there.")
        await driver.press("escape")
        await given("models/v20")
        await driver.sees("not registered", "data.cutoff", "signature.inputs", "baseline")
        await driver.press("escape")
        assert "incomplete" in driver.message
        (folder / "model.yaml").write_text(METADATA.format(named=""))
        await given("models/v20")
        await driver.until(lambda: "names no model and version" in driver.message, "a refusal")
        await driver.press("escape")
        await given("relevance@20 models/v20")
        await driver.until(lambda: "✔ registered relevance@20" in driver.message, "registered")
        await driver.until(
            lambda: _view(driver).version() is not None and _view(driver).version().name == "relevance@20", "the cursor there"
        )
        await given("relevance@20 models/v20")
        await driver.until(lambda: "Nothing to do" in driver.message, "it was there")


async def test_ascii(shop: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """An old terminal: no character beyond ASCII, at any size."""
    monkeypatch.setenv("MLCONSOLE_ASCII", "1")
    for size in SIZES:
        async with opened(shop, size) as driver:
            await driver.press("1")
            await _to(driver, "relevance@11")
            await driver.sees("beside")
            assert driver.text.isascii(), [line for line in driver.lines if not line.isascii()]
