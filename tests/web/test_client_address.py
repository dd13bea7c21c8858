"""Where a request comes from: a proxy's word counts, a client's does not."""

from ipaddress import ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tornado.httputil import HTTPHeaders, HTTPServerRequest, RequestStartLine

from chatsvc.security.rate_limits import address_key
from chatsvc.web.client_address import client_address, is_local, is_within, parse_networks

PROXIES = parse_networks(("10.0.0.0/8", "2001:db8:ffff::/48", "127.0.0.1"))


def request(peer: str, headers: dict[str, str] | None = None) -> HTTPServerRequest:
    made = HTTPServerRequest(
        headers=HTTPHeaders({"Host": "localhost", **(headers or {})}),
        start_line=RequestStartLine("GET", "/", "HTTP/1.1"),
    )
    made.remote_ip = peer
    return made


@pytest.fixture(autouse=True)
def expected(expected_log: list[str]) -> None:
    """Headers that are no addresses are the subject here; each proxy is named once per process."""
    expected_log.append("sends an X-Forwarded-For")


def seen(peer: str, forwarded: str | None, trusted: tuple[str, ...] | None = None) -> str:
    headers = {} if forwarded is None else {"X-Forwarded-For": forwarded}
    return client_address(
        request(peer, headers), PROXIES if trusted is None else parse_networks(trusted)
    )


@pytest.mark.parametrize(
    "forwarded", [None, "", "1.2.3.4", "127.0.0.1", "10.0.0.1, 1.2.3.4", "1.2.3.4, 10.0.0.1", "::1"]
)
def test_who_is_no_proxy_is_taken_for_what_he_is(forwarded: str | None) -> None:
    assert seen("203.0.113.9", forwarded) == "203.0.113.9"
    assert seen("10.0.0.2", forwarded, ()) == "10.0.0.2"


@pytest.mark.parametrize(
    ("forwarded", "address"),
    [
        (None, "10.0.0.2"),
        ("", "10.0.0.2"),
        ("198.51.100.7", "198.51.100.7"),
        ("  198.51.100.7  ", "198.51.100.7"),
        ("198.51.100.7, 10.0.0.3", "198.51.100.7"),
        # what stands left of the first stranger was written by that stranger
        ("127.0.0.1, 198.51.100.7", "198.51.100.7"),
        ("10.9.9.9, 198.51.100.7, 10.0.0.3", "198.51.100.7"),
        ("1.1.1.1, 2.2.2.2, 3.3.3.3", "3.3.3.3"),
        # all of them ours: the farthest
        ("10.0.0.4, 10.0.0.3", "10.0.0.4"),
        # what is no address ends the search, and nothing beyond it is believed
        ("198.51.100.7, garbage", "10.0.0.2"),
        ("198.51.100.7, garbage, 10.0.0.3", "10.0.0.3"),
        ("198.51.100.7,", "10.0.0.2"),
        ("unknown", "10.0.0.2"),
        ("[198.51.100.7", "10.0.0.2"),
        ("198.51.100.7:port", "10.0.0.2"),
        ("2001:db8::7:99999:1", "10.0.0.2"),
        ("010.0.0.1", "10.0.0.2"),
        ("1.2.3", "10.0.0.2"),
        ("16909060", "10.0.0.2"),
        ("0x7f.0.0.1", "10.0.0.2"),
        ("\u0661.2.3.4", "10.0.0.2"),
        ("1.2.3.4/8", "10.0.0.2"),
        ("<script>", "10.0.0.2"),
        # IPv6, and IPv4 dressed as IPv6
        ("2001:db8::7", "2001:db8::7"),
        ("2001:db8::7, 2001:db8:ffff::1", "2001:db8::7"),
        ("198.51.100.7, ::ffff:10.0.0.3", "198.51.100.7"),
        ("9.9.9.9, ::ffff:198.51.100.7", "::ffff:198.51.100.7"),
    ],
)
def test_a_proxys_word_counts_up_to_the_first_stranger(forwarded: str | None, address: str) -> None:
    assert seen("10.0.0.2", forwarded) == address
    assert seen("::ffff:10.0.0.2", forwarded) in (address, "::ffff:10.0.0.2")


HEADER_TEXT = st.text(
    st.characters(min_codepoint=0x20, max_codepoint=0xFF, exclude_characters="\x7f"), max_size=60
)


@given(HEADER_TEXT, st.sampled_from(["198.51.100.7", "2001:db8::7"]))
def test_whatever_a_client_writes_it_is_counted_under_its_own_address(claim: str, own: str) -> None:
    """A client behind our proxy sends a header of its own; the proxy appends what it sees."""
    assert seen("10.0.0.2", f"{claim}, {own}") == own


@given(st.text(max_size=40))
def test_any_text_is_in_no_network_or_an_address(text: str) -> None:
    if is_within(text, PROXIES):
        ip_address(text)


def test_thousands_of_proxies_take_no_time() -> None:
    assert seen("10.0.0.2", ", ".join(["1.1.1.1", *["10.0.0.3"] * 2000])) == "1.1.1.1"


def test_one_customer_is_one_address() -> None:
    """Changing the lower half of an IPv6 address, or its spelling, gives no new bucket."""
    same = ("2001:db8::1", "2001:db8::2", "2001:0DB8:0:0:ffff:ffff:ffff:ffff", "2001:db8::1%eth0")
    assert len({address_key(address) for address in same}) == 1
    assert address_key("2001:db8:0:1::1") != address_key("2001:db8::1")
    assert address_key("::ffff:198.51.100.7") == address_key("198.51.100.7") == "198.51.100.7"


@pytest.mark.parametrize("peer", ["127.0.0.1", "127.8.8.8", "::1", "::ffff:127.0.0.1"])
def test_this_machine_is_local_unless_a_proxy_passed_it_on(peer: str) -> None:
    assert is_local(request(peer))
    for name in (
        "X-Forwarded-For",
        "x-forwarded-for",
        "X-Forwarded-Proto",
        "X-Forwarded-Host",
        "X-Forwarded-Anything",
        "Forwarded",
        "X-Real-IP",
        "Via",
        "CF-Connecting-IP",
        "True-Client-IP",
    ):
        assert not is_local(request(peer, {name: "127.0.0.1"})), name
        assert not is_local(request(peer, {name: ""})), name


@pytest.mark.parametrize(
    "peer",
    ["", "0.0.0.0", "10.0.0.1", "128.0.0.1", "::", "fe80::1", "::ffff:10.0.0.1", "localhost"],
)
def test_nobody_else_is_local(peer: str) -> None:
    assert not is_local(request(peer))


@pytest.mark.parametrize(
    ("forwarded", "address"),
    [
        ("203.0.113.77:4711", "203.0.113.77"),
        ("[2001:db8::7]", "2001:db8::7"),
        ("[2001:db8::7]:4711", "2001:db8::7"),
        ('"203.0.113.77"', "203.0.113.77"),
        ('"[2001:db8::7]:4711"', "2001:db8::7"),
        ("1.1.1.1, 203.0.113.77:80, 10.0.0.3:4711", "203.0.113.77"),
    ],
)
def test_an_address_may_have_a_port_brackets_and_quotes(forwarded: str, address: str) -> None:
    """Azure's gateway appends a port: every client counted as the proxy, and 30 visitors met 429."""
    assert seen("10.0.0.2", forwarded) == address


def test_a_proxy_with_an_unreadable_header_is_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    for _ in range(3):
        assert seen("10.200.0.9", "unknown") == "10.200.0.9"
    lines = [record.message for record in caplog.records if "10.200.0.9" in record.message]
    assert len(lines) == 1 and "X-Forwarded-For" in lines[0]
