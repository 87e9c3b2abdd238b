"""Where applications choose: each variant is behind the gateway by its name as long as it has a server, and nobody splits for who names
none.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from local.backend import REQUEST, V1, V2, Backend, content
from local.kit import Client, Load, until
from mlconsole.core.live import Live, VariantState
from mlconsole.core.releases import NOTHING, Content
from mlconsole.core.steps import Step
from mlconsole.core.traffic import Traffic
from mlconsole.plugin.errors import NotFound, Refused, Unavailable
from mlconsole.plugin.roles import Order
from mlconsole_local import plugin
from mlconsole_local.gateway import Gateway
from mlconsole_local.routing import VARIANT_HEADER, EndpointRouting
from mlconsole_local.state import locked

pytestmark = pytest.mark.real

ALL = {"v1": V1, "v2": V2}


@pytest.fixture
def backend(tmp_path: Path) -> Iterator[Backend]:
    """Its gateway is up."""
    made = Backend(tmp_path, by_name=True)
    made.lifecycle.up()
    yield made
    made.close()


def reach(backend: Backend, target: Content) -> None:
    """The serving role's steps alone, as the engine has it do them."""
    for step in backend.serving.steps(backend.serving.describe("rel"), target):
        until(lambda step=step: done(backend, step))
    until(lambda: ready(backend) == set(target.names))


def done(backend: Backend, step: Step) -> bool:
    try:
        backend.serving.start("rel", step, order(backend))
    except Unavailable:
        return False  # it still answers its last requests
    return True


def order(backend: Backend) -> Order:
    return Order(backend.driver.newest_fence(), "rel@test#1", ALL)


def ready(backend: Backend) -> set[str]:
    return {one.name for one in backend.serving.describe("rel").variants if one.state is VariantState.READY}


def client(backend: Backend) -> Client:
    info = Gateway(backend.root).info()
    assert info is not None
    return Client(info.port)


def test_a_variant_that_is_ready_answers_who_asks_for_it_by_name(backend: Backend) -> None:
    reach(backend, content(V1, V2))
    asked = client(backend)
    for name in ("v1", "v2"):
        reply = asked.infer(headers={VARIANT_HEADER: name})
        assert (reply.status, reply.who) == (200, name)
        assert backend.serving.invoke("rel", REQUEST, name).variant == name
    assert asked.ask("POST", "/v2/models/rel/infer", b"{}", {VARIANT_HEADER: "v3"}).status == 404
    live = backend.serving.describe("rel")
    assert live.url == Gateway(backend.root).info().url  # type: ignore[union-attr]
    assert live.traffic is None


def test_who_names_nobody_is_told_that_nothing_splits(backend: Backend) -> None:
    reach(backend, content(V1))
    assert backend.serving.invoke("rel", REQUEST).status == 503
    with pytest.raises(Refused, match="Nobody splits the requests of rel here"):
        backend.actions["traffic-start"].run({"endpoint": "rel", "events": "x.jsonl", "rate": "", "slices": "", "without": "", "only": ""})
    assert backend.serving.example("rel", REQUEST).headers[VARIANT_HEADER] == "v1"


def test_with_a_role_that_splits_no_variant_is_told_to_the_gateway_by_its_server(tmp_path: Path) -> None:
    backend = Backend(tmp_path)
    backend.lifecycle.up()
    try:
        reach(backend, content(V1))
        assert Gateway(backend.root).desired() == ()
        with pytest.raises(NotFound):
            backend.serving.invoke("rel", REQUEST, "v1")
    finally:
        backend.close()


def test_another_variant_comes_and_goes_while_requests_for_the_first_never_fail(backend: Backend) -> None:
    reach(backend, content(V1))

    class Named(Load):
        def _run(self) -> None:
            asked = client(backend)
            while not self._ending.is_set():
                reply = asked.infer(headers={VARIANT_HEADER: "v1"})
                if reply.status == 200:
                    self.who[reply.who or "?"] += 1
                else:
                    self.dropped.append(f"{reply.status} {reply.body}")

    with Named(0) as load:
        for _ in range(3):
            reach(backend, content(V1, V2))
            load.more(50)
            reach(backend, content(V1))
            load.more(50)
    assert load.dropped == []
    assert set(load.who) == {"v1"}
    assert [sorted(one.ports) for one in Gateway(backend.root).live()] == [["v1"]]


def test_with_the_last_variant_all_of_the_endpoint_is_gone(backend: Backend) -> None:
    reach(backend, content(V1, V2))
    reach(backend, NOTHING)
    gateway = Gateway(backend.root)
    assert (gateway.desired(), gateway.live()) == ((), ())
    assert not gateway.in_use("rel", "v1")
    assert backend.serving.list() == []
    assert backend.serving.describe("rel").variants == ()
    assert client(backend).ask("GET", "/v2/health/live").status == 200


def test_a_request_that_fails_has_its_slice_and_who_was_asked(backend: Backend) -> None:
    reach(backend, content(V1))
    cursor = backend.predictions.cursor_at(backend.context.clock.now())
    backend.kill("v1")
    headers = {VARIANT_HEADER: "v1", "x-slice-language": "pl"}
    assert client(backend).ask("POST", "/v2/models/rel/infer", b"{}", headers).status == 503
    (seen,) = until(lambda: backend.predictions.read(cursor).observations)
    assert (seen.variant, seen.pinned, seen.slices, seen.status) == ("v1", True, {"language": "pl"}, 503)


def test_without_the_gateway_nothing_is_known_and_nothing_is_started(backend: Backend) -> None:
    reach(backend, content(V1))
    backend.close()
    with pytest.raises(Unavailable, match="The gateway of test is not up"):
        backend.serving.describe("rel")
    step = next(iter(backend.serving.steps(plugin_live(backend), content(V1, V2))))
    with pytest.raises(Unavailable, match="The gateway of test is not up"):
        backend.serving.start("rel", step, order(backend))
    assert "variants/rel/v2" not in backend.pids()


def plugin_live(backend: Backend) -> Live:
    """The endpoint as it is told where nobody asks for a variant by name."""
    live: Live = plugin.factories["serving"](replace(backend.context, by_name=False)).describe("rel")
    return live


def test_a_server_that_the_gateway_does_not_know_is_told_and_mended_by_the_next_step(backend: Backend) -> None:
    reach(backend, content(V1))
    pid = backend.pid("v1")
    with locked(backend.root):
        Gateway(backend.root).remove_endpoint("rel")
    lost = backend.variant("v1")
    assert (lost.state, lost.reason) == (VariantState.FAILED, "the gateway does not know it by its name")
    (step,) = backend.serving.steps(backend.serving.describe("rel"), content(V1))
    backend.serving.start("rel", step, order(backend))
    assert backend.variant("v1").state is VariantState.READY
    assert backend.pid("v1") == pid


def test_down_and_up_again_each_answers_by_its_name_as_before(backend: Backend) -> None:
    reach(backend, content(V1, V2))
    backend.lifecycle.down()
    backend.lifecycle.up()
    assert ready(backend) == {"v1", "v2"}
    assert client(backend).infer(headers={VARIANT_HEADER: "v2"}).who == "v2"


def test_a_split_that_the_gateway_had_before_stays_as_long_as_all_of_its_variants(backend: Backend) -> None:
    """An environment begins to hold its traffic in a document: applications that don't choose yet are answered as before."""
    reach(backend, content(V1))
    port = int(backend.variant("v1").resources["port"])
    with locked(backend.root):
        Gateway(backend.root).set_endpoint(EndpointRouting("rel", {"v1": port}, Traffic({"v1": 10_000})))
    reach(backend, content(V1, V2))
    assert backend.serving.invoke("rel", REQUEST).variant == "v1"
    reach(backend, content(V2))
    assert backend.serving.invoke("rel", REQUEST).status == 503
    assert client(backend).infer(headers={VARIANT_HEADER: "v2"}).who == "v2"
