"""What Endpoints says of health: an endpoint's state in a word or two, the columns that only health can tell, an alarm in one line."""

from __future__ import annotations

from mlconsole.engine.views import AlarmView, EndpointHealthView, EndpointView, RolloutView, State
from mlconsole.tui.pane import Line, Span, line
from mlconsole.tui.rollout_words import state_word
from mlconsole.tui.signs import CYAN, DIM, STATE_STYLES, YELLOW, Signs
from mlconsole.tui.table import Column

HEALTH_COLUMNS = (
    Column("worst", "WORST", right=True, least=8, most=14, keep=40),
    Column("p95", "P95", right=True, least=4, keep=35),
    Column("same", "SAME", right=True, least=5, keep=45),
)
"""What only health can tell; absent where it is not judged."""

_WORDS = {State.OK: "ok", State.LOOK: "look", State.CHANGING: "changing", State.FAILING: "failing", State.NO_DATA: "no data"}


def state_cell(endpoint: EndpointView, health: EndpointHealthView | None, signs: Signs, rollout: RolloutView | None = None) -> Span:
    """How an endpoint is, in one or two words: by health where that is what decides; well, what its rollout does. Not seen, it is not said
    to be as it was.
    """
    state = endpoint.state
    if state is State.NO_DATA and endpoint.was is not None:
        return f"{signs.of(state)} was {signs.of(endpoint.was)} {_WORDS[endpoint.was]}", STATE_STYLES[state]
    word = _WORDS[state]
    if health is not None and health.title:
        fails = health.verdict == "fail" or health.alarm is not None
        if state is State.OK and fails:  # whatever the backend says, what health found is shown
            state = State.FAILING if any(one.pages for one in health.answers if one.verdict == "fail") else State.LOOK
        if (state in (State.FAILING, State.LOOK) and fails) or (state is State.OK and health.verdict == "pass"):
            word = health.title
    if rollout is not None and state in (State.OK, State.CHANGING):
        return (f"{signs.back if rollout.state == 'going back' else signs.changing} {state_word(rollout)}", CYAN)
    return f"{signs.of(state)} {word}", STATE_STYLES[state]


def health_cells(health: EndpointHealthView | None) -> dict[str, str | Span]:
    """The cells of those columns."""
    if health is None:
        return dict.fromkeys(("worst", "p95", "same"), ("–", DIM))
    from mlconsole.tui.health_words import figure_cells, worst_of

    cells = figure_cells(health.figures)
    return {"worst": worst_of(health), "p95": cells["p95"], "same": cells["same"]}


def alarm_line(alarm: AlarmView, signs: Signs) -> Line:
    """An alarm in one line: since when, what, who has it, and how far it is."""
    from mlconsole.tui.health_words import spoken, who_has

    when = alarm.since.astimezone().strftime("%d %b %H:%M")
    words = {"firing": (f"{signs.failing} alarm {alarm.number}", "red"), "closed": (f"{signs.ok} well again", "green")}
    told: Span = words.get(alarm.state, (f"{signs.look} recovering", YELLOW))
    return line((f"{when}  ", DIM), f"{spoken(alarm.title)}  ", told, (f"  {who_has(alarm)}" if alarm.state != "closed" else "", DIM))
