"""What probes and notifiers share: addresses, URLs and foreign text, whatever somebody wrote."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from mlconsole.core.text import neutralise
from mlconsole.plugin.web import split
from mlconsole.plugin.wire import Unasked, parse_address, short


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("127.0.0.1:6379", ("127.0.0.1", 6379)),
        ("redis.internal", ("redis.internal", 1)),
        ("redis.internal:65535", ("redis.internal", 65535)),
        ("[::1]:6379", ("::1", 6379)),
        ("[::1]", ("::1", 1)),
        ("::1", ("::1", 1)),
    ],
)
def test_addresses(text: str, expected: tuple[str, int]) -> None:
    assert parse_address(text, 1) == expected


@given(st.text() | st.text("0123456789.:[]@/-a", max_size=12))
@example("[::1]:")
@example("a:²")
def test_any_text_is_an_address_or_is_told_to_be_none(text: str) -> None:
    try:
        host, port = parse_address(text)
    except Unasked as error:
        assert neutralise(str(error)) == str(error)  # noqa: PT017 - either outcome is fine, as long as it is one of the two
    else:
        assert host
        assert 0 < port < 65_536


@given(st.text() | st.text("htps:/@.[]?#a0", max_size=16).map(lambda rest: f"http://{rest}"))
def test_any_text_is_a_url_or_is_told_to_be_none_and_not_repeated(text: str) -> None:
    try:
        parts = split(text)
    except Unasked as error:
        assert len(text) < 8 or text not in str(error)  # noqa: PT017 - as above
    else:
        assert parts.hostname
        assert "@" not in parts.netloc


@given(st.text(), st.integers(1, 200))
def test_foreign_text_is_short_and_harmless(text: str, most: int) -> None:
    told = short(text, most)
    assert neutralise(told) == told
    # A control character becomes an escape of at most six.
    assert len(told) <= 6 * (most + 1)
