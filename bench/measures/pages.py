"""The chat list (its first page and one far down), a long chat and searches, with 200,000 chats against 1,000."""

import http.client
import http.cookies
import re
import time
import urllib.parse
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass

from bench.harness import Harness
from bench.seed import LONG_EVERY, RARE_WORD, chat_id
from bench.servers import STAFF, Server
from bench.table import Row, median, milliseconds, times

FEW, MANY = 1_000, 200_000
REQUESTS = 60  # per page and size, in turns …
LIMIT_S = 6  # … and no longer than this per page
WARM_UP = 5
TARGET = 1.5
DEEP_SHARE = 0.5  # how far down the list the deep page is
WALK_LIMIT = 200  # chats per step on the way there: the most that the service allows
PAGE = 50
LONG_CHAT = 5 * LONG_EVERY  # in the middle of 1,000 chats
TIMEOUT_S = 60
NEXT = re.compile(r'<([^>]+)>;\s*rel="?next"?')


@dataclass
class Reader:
    """A member of staff with one keep-alive connection."""

    server: Server
    headers: dict[str, str]

    def __post_init__(self) -> None:
        self.connection = http.client.HTTPConnection(*self.server.address, timeout=TIMEOUT_S)

    def get(self, path: str) -> http.client.HTTPResponse:
        """The answer, its body read. Raises RuntimeError unless it is 200."""
        self.connection.request("GET", path, headers=self.headers)
        answer = self.connection.getresponse()
        answer.read()
        if answer.status != 200:
            raise RuntimeError(f"{self.server.name}: GET {path} was answered with {answer.status}")
        return answer

    def seconds(self, path: str) -> float:
        began = time.perf_counter()
        self.get(path)
        return time.perf_counter() - began


Paths = tuple[str, ...]  # first page, deep page, chat; of the dashboard also SEARCHES
SEARCHES = {"search with 1,000 hits": RARE_WORD, "search for a word of every message": "message"}
GROWING = "search for a word of every message"  # not as many hits: 5,000 and 1,000,000


def measure(harness: Harness) -> list[Row]:
    few, many = FEW, harness.count(MANY)
    with ExitStack() as stack:
        small = stack.enter_context(harness.servers(few))
        large = stack.enter_context(harness.servers(many))
        json_figures = [
            compare(staff_api(small[0]), api_paths(few), staff_api(large[0]), api_paths(many)),
            compare(staff_api(small[1]), plain_paths(few), staff_api(large[1]), plain_paths(many)),
        ]
        html_figures = compare(
            staff_browser(small[0]), html_paths(few), staff_browser(large[0]), html_paths(many)
        )
    names = ("first page of the chat list", "its page half-way down", "a chat's page")
    sizes = f"{few:,} → {many:,} chats"
    found = [
        row(f"{name}, {sizes}", *two)
        for name, two in zip(names, zip(*json_figures, strict=True), strict=True)
    ]
    for name, one in zip((*names, *SEARCHES), html_figures, strict=True):
        found.append(row(f"dashboard: {name}", one, None, has_target=name != GROWING))
    return found


def staff_api(server: Server) -> Reader:
    return Reader(server, {"Authorization": f"Bearer {server.service.staff_token}"})


def staff_browser(server: Server) -> Reader:
    """Signed in through the form at /login."""
    visitor = Reader(server, {})
    shown = visitor.get("/login")
    jar = http.cookies.SimpleCookie()
    for line in shown.headers.get_all("Set-Cookie", []):
        jar.load(line)
    form = {"email": STAFF, "password": server.service.staff_password, "_xsrf": jar["_xsrf"].value}
    headers = {"Content-Type": "application/x-www-form-urlencoded", "Cookie": cookie_header(jar)}
    visitor.connection.request("POST", "/login", urllib.parse.urlencode(form), headers)
    answer = visitor.connection.getresponse()
    answer.read()
    for line in answer.headers.get_all("Set-Cookie", []):
        jar.load(line)
    return Reader(server, {"Cookie": cookie_header(jar)})


def cookie_header(jar: http.cookies.SimpleCookie) -> str:
    return "; ".join(f"{name}={morsel.value}" for name, morsel in jar.items())


def compare(
    small: Reader,
    small_paths: Callable[[Reader], Paths],
    large: Reader,
    large_paths: Callable[[Reader], Paths],
) -> list[tuple[float, float]]:
    """Median seconds with few and with many chats, per page, requested in turns."""
    found = []
    for few_path, many_path in zip(small_paths(small), large_paths(large), strict=True):
        few_times: list[float] = []
        many_times: list[float] = []
        deadline = time.monotonic() + LIMIT_S
        while len(few_times) < WARM_UP + REQUESTS and (
            len(few_times) <= WARM_UP or time.monotonic() < deadline
        ):
            few_times.append(small.seconds(few_path))
            many_times.append(large.seconds(many_path))
        found.append((median(few_times[WARM_UP:]), median(many_times[WARM_UP:])))
    return found


def api_paths(chats: int) -> Callable[[Reader], Paths]:
    def paths(reader: Reader) -> Paths:
        path = f"/admin/chats?limit={WALK_LIMIT}"
        for _ in range(max(1, int(chats * DEEP_SHARE / WALK_LIMIT))):
            path = next_path(reader.get(path))
        deep = path.replace(f"limit={WALK_LIMIT}", f"limit={PAGE}")
        return f"/admin/chats?limit={PAGE}", deep, f"/admin/chats/{chat_id(LONG_CHAT)}"

    return paths


def next_path(answer: http.client.HTTPResponse) -> str:
    found = NEXT.search(answer.headers.get("Link", ""))
    if found is None:
        raise RuntimeError("the chat list ended before its middle")
    parts = urllib.parse.urlsplit(found.group(1))
    return f"{parts.path}?{parts.query}"


def plain_paths(chats: int) -> Callable[[Reader], Paths]:
    page = int(chats * DEEP_SHARE / PAGE)
    return lambda reader: (
        "/admin/chats",
        f"/admin/chats?page={page}",
        f"/admin/chats/{chat_id(LONG_CHAT)}",
    )


def html_paths(chats: int) -> Callable[[Reader], Paths]:
    """The dashboard's list takes the same cursor as the API's."""

    def paths(reader: Reader) -> Paths:
        cursor = urllib.parse.urlsplit(api_paths(chats)(staff_api(reader.server))[1]).query
        deep = "/dashboard?" + "&".join(
            part for part in cursor.split("&") if part.startswith("cursor=")
        )
        searches = (
            f"/dashboard/search?{urllib.parse.urlencode({'q': words})}"
            for words in SEARCHES.values()
        )
        return "/dashboard", deep, f"/dashboard/chats/{chat_id(LONG_CHAT)}", *searches

    return paths


def row(
    figure: str,
    tested: tuple[float, float],
    plain: tuple[float, float] | None,
    *,
    has_target: bool = True,
) -> Row:
    few, many = tested
    value = f"{milliseconds(few)} → {milliseconds(many)}: {times(many / few)}"
    target = f"≤ {TARGET:g} ×"
    if not has_target:
        return Row(figure, value)
    if plain is None:
        return Row(figure, value, target, passed=many / few <= TARGET)
    plain_few, plain_many = plain
    plain_value = (
        f"{milliseconds(plain_few)} → {milliseconds(plain_many)}: {times(plain_many / plain_few)}"
    )
    return Row(figure, value, target, plain_value, times(many / plain_many), many / few <= TARGET)
