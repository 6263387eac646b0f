"""Who is let in: decided from headers alone."""

from __future__ import annotations

import string

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from edge.panel.origin import host_allowed, host_of, refusal

NAMES = frozenset({"line-1.factory"})


@pytest.mark.parametrize(
    ("authority", "host"),
    [
        ("127.0.0.1:8080", "127.0.0.1"),
        ("LocalHost:8080", "localhost"),
        ("[::1]:8080", "::1"),
        ("[::1]", "::1"),
        ("line-1.factory.", "line-1.factory"),
        ("", None),
        ("[::1", None),
        ("[evil.example]:80", None),
        ("user@127.0.0.1", None),
        ("127.0.0.1:80:80", None),
        ("127.0.0.1:http", None),
        ("evil.example/127.0.0.1", None),
    ],
)
def test_the_host_is_read_without_its_port_or_not_at_all(authority: str, host: str | None) -> None:
    assert host_of(authority) == host


@pytest.mark.parametrize(
    "authority", ["127.0.0.1:8080", "192.168.7.4", "[fe80::1]:80", "localhost:1", "line-1.factory"]
)
def test_addresses_localhost_and_known_names_are_allowed(authority: str) -> None:
    assert host_allowed(authority, NAMES)


@pytest.mark.parametrize(
    "authority", ["evil.example:8080", "127.0.0.1.evil.example", "localhost.evil.example", "", "0x7f.1"]
)
def test_another_name_for_our_address_is_refused(authority: str) -> None:
    assert not host_allowed(authority, NAMES)


@given(st.text(alphabet=string.printable, max_size=40))
@example("127.0.0.1@evil.example")
@example("localhost:80#evil.example")
def test_only_known_hosts_ever_pass_whatever_the_header_holds(authority: str) -> None:
    if host_allowed(authority, frozenset()):
        host = host_of(authority)
        assert host == "localhost" or (host is not None and set(host) <= set("0123456789abcdef.:"))


@pytest.mark.parametrize("websocket", [False, True])
@pytest.mark.parametrize(
    ("headers", "said"),
    [
        ({"host": "127.0.0.1:8080"}, "does not say where it comes from"),
        ({"host": "127.0.0.1:8080", "origin": "null"}, "comes from 'null'"),
        ({"host": "127.0.0.1:8080", "origin": "http://evil.example"}, "evil.example"),
        ({"host": "127.0.0.1:8080", "origin": "http://127.0.0.1:9090"}, "9090"),
        ({"host": "127.0.0.1:8080", "origin": "file://127.0.0.1:8080"}, "file"),
        ({"host": "127.0.0.1:8080", "sec-fetch-site": "cross-site"}, "another site"),
        ({"host": "127.0.0.1:8080", "sec-fetch-site": "same-site", "origin": "http://127.0.0.1:8080"}, "another site"),
        ({"host": "evil.example", "origin": "http://evil.example"}, "is not this station's"),
    ],
)
def test_a_write_from_elsewhere_is_refused_and_says_why(headers: dict[str, str], said: str, websocket: bool) -> None:
    why = refusal("POST", headers, websocket=websocket, names=NAMES)
    assert why is not None
    assert said in why
    assert "\n" not in why


@pytest.mark.parametrize(
    "headers",
    [
        {"origin": "http://127.0.0.1:8080"},
        {"origin": "https://127.0.0.1:8080", "sec-fetch-site": "same-origin"},
        {"sec-fetch-site": "same-origin"},
    ],
)
def test_a_write_from_our_own_page_is_let_in(headers: dict[str, str]) -> None:
    assert refusal("POST", {"host": "127.0.0.1:8080", **headers}, websocket=False, names=NAMES) is None


def test_reading_needs_no_origin_but_the_right_host() -> None:
    assert refusal("GET", {"host": "127.0.0.1:8080"}, websocket=False, names=NAMES) is None
    assert refusal("GET", {"host": "rebound.example"}, websocket=False, names=NAMES) is not None
    assert refusal("GET", {}, websocket=False, names=NAMES) is not None
    assert refusal("GET", {"host": "127.0.0.1:8080"}, websocket=True, names=NAMES) is not None
