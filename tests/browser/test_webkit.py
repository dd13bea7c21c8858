"""Widget and dashboard in WebKit, the engine of Safari: the same situations as in the other two engines.

`make test` runs the first ones, `make test-slow` all (mark `soak`).
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.keys import Keys

from tests.support.postgres import Cluster

from .hosting import PAGE, STRICT_CSP, Site, person, running_site
from .serving import Server
from .test_clock import CLOCKS, HOURS, shown_hours
from .webkit import WebKit, screen

pytestmark = pytest.mark.browser

Open = Callable[..., WebKit]
WATCH = """window.wrong = [];
document.addEventListener("securitypolicyviolation", (event) => wrong.push(event.blockedURI));
window.addEventListener("error", (event) => wrong.push(event.message));
window.addEventListener("unhandledrejection", (event) => wrong.push(String(event.reason)));
"""
SHORTCUTS = """window.heard = [];
for (const name of ["keydown", "keypress", "keyup", "focusin"])
  document.addEventListener(name, ({ target }) => heard.push(`${name} ${target.localName}`));"""
HEIGHTS = "return [document.documentElement.scrollHeight, window.innerHeight]"
GROUND = "return getComputedStyle(arguments[0]).backgroundColor"


@pytest.fixture(scope="module")
def display() -> Iterator[str]:
    with screen() as name:
        yield name


@pytest.fixture(scope="module")
def site() -> Iterator[Site]:
    with running_site() as running:
        yield running


@pytest.fixture(scope="module")
def chat_server(
    tmp_path_factory: pytest.TempPathFactory, cluster: Cluster, site: Site
) -> Iterator[Server]:
    """For all tests here; it allows the site. One that kills it starts it again."""
    with (
        contextmanager(cluster.database)() as url,
        Server(tmp_path_factory.mktemp("server"), [site.origin], database_url=url) as running,
    ):
        yield running


@pytest.fixture
def open_browser(display: str, tmp_path: Path) -> Iterator[Open]:
    """Opens browsers that share nothing: `open_browser("--dark-mode")`."""
    opened: list[WebKit] = []

    def start(*arguments: str) -> WebKit:
        opened.append(WebKit(display, tmp_path / f"webkit-{len(opened)}.log", *arguments))
        return opened[-1]

    yield start
    for each in opened:
        each.close()


@pytest.fixture
def browser(open_browser: Open) -> WebKit:
    return open_browser()


@pytest.fixture
def visit(site: Site, chat_server: Server) -> Callable[..., None]:
    """Opens a page of the site with the widget: `visit(browser, token)`."""

    def go(browser: WebKit, token: str = "", path: str = "/", attributes: str = "") -> None:
        credentials = f'token="{token}"' if token else ""
        element = f"<support-chat {credentials} {attributes}></support-chat>"
        watch = '<script src="/watch.js"></script>'
        site.policy = STRICT_CSP.format(chat=chat_server.url)
        site.pages = {
            path: PAGE.format(chat=chat_server.url, head=watch, element=element),
            "/watch.js": WATCH,
            "/basket": "<!doctype html><title>Basket</title><p>Basket</p>",
        }
        browser.driver.get(site.origin + path)

    return go


Visit = Callable[..., None]


def nothing_wrong(browser: WebKit) -> None:
    assert browser.script("return window.wrong") == []


def stored(server: Server, token: str) -> list[str]:
    return [message["content"] for message in server.stored(token)]


# ---- the most important ones ----


def test_a_conversation_under_a_strict_policy(
    browser: WebKit, visit: Visit, chat_server: Server
) -> None:
    token = chat_server.token(person())
    visit(browser, token)
    browser.open_widget()
    browser.write("Is the tent in stock?")
    browser.conversation("Is the tent in stock?")
    chat_server.reply(token, "Yes, two of them.")
    browser.conversation("Is the tent in stock?", "Yes, two of them.")
    assert stored(chat_server, token) == ["Is the tent in stock?", "Yes, two of them."]
    assert browser.texts(".message.own .bubble", widget=True) == ["Is the tent in stock?"]
    nothing_wrong(browser)


def test_nothing_is_lost_when_the_server_is_killed(
    browser: WebKit, visit: Visit, chat_server: Server
) -> None:
    token = chat_server.token(person())
    visit(browser, token)
    browser.open_widget()
    browser.write("before")
    browser.conversation("before")
    browser.one(".mark", widget=True)
    chat_server.kill()
    browser.write("one")
    browser.write("two")
    browser.until(lambda: len(browser.find(".unsent", widget=True)) == 2, "both are kept")
    chat_server.start()
    browser.conversation("before", "one", "two")
    browser.until(lambda: not browser.find(".unsent", widget=True), "both are sent")
    chat_server.reply(token, "after")
    browser.conversation("before", "one", "two", "after")
    assert stored(chat_server, token) == ["before", "one", "two", "after"]
    nothing_wrong(browser)


def test_two_windows_show_the_same_and_count_the_same(
    browser: WebKit, visit: Visit, chat_server: Server, site: Site
) -> None:
    token = chat_server.token(person())
    visit(browser, token)
    first = browser.driver.current_window_handle
    browser.driver.switch_to.new_window("window")
    second = browser.driver.current_window_handle
    browser.driver.get(site.origin)
    for window in (first, second):
        browser.driver.switch_to.window(window)
        browser.until(lambda: browser.find(".dot.live", widget=True), "live")
    chat_server.reply(token, "unread")
    for window in (first, second):
        browser.driver.switch_to.window(window)
        browser.shows(["1"], ".badge", widget=True)
    browser.open_widget()
    browser.write("read")
    browser.driver.switch_to.window(first)
    browser.until(lambda: not browser.find(".badge", widget=True)[0].is_displayed(), "no badge")
    browser.conversation("unread", "read")


def test_staff_log_in_read_and_reply(browser: WebKit, chat_server: Server) -> None:
    token = chat_server.token(person(), name="Alice Archer")
    chat_server.say(token, "Is it in stock?")
    browser.log_in(chat_server)
    browser.one(f"#chat-{chat_server.chat_of(token)} a").click()
    browser.one("body[data-live=yes]")
    browser.shows(["Alice Archer"], "#chat h1")
    chat_server.say(token, "Hello?")
    browser.shows(["Is it in stock?", "Hello?"], ".message .bubble")
    browser.one("#content").send_keys("It is.", Keys.SHIFT, Keys.ENTER)
    browser.one("#content").send_keys("Two of them.", Keys.ENTER)
    browser.shows(["Is it in stock?", "Hello?", "It is.\nTwo of them."], ".message .bubble")
    assert browser.one("#content").get_property("value") == ""
    assert stored(chat_server, token)[-1] == "It is.\nTwo of them."


def test_the_dashboard_works_without_javascript(open_browser: Open, chat_server: Server) -> None:
    browser = open_browser("--enable-javascript=false")
    token = chat_server.token(person(), name="Nora")
    chat_server.say(token, "Is it in stock?")
    browser.log_in(chat_server)
    browser.one(f"#chat-{chat_server.chat_of(token)} a").click()
    browser.shows(["Is it in stock?"], ".message .bubble")
    browser.one("#content").send_keys("It is.")
    browser.one("#reply .primary").click()
    browser.shows(["Is it in stock?", "It is."], ".message .bubble")
    assert stored(chat_server, token) == ["Is it in stock?", "It is."]


def test_clock_times_are_the_locales_own(browser: WebKit) -> None:
    """Between midnight and ten the page showed 0:53 where people write 00:53."""
    source = f"""const [language, hours] = arguments;
        Object.defineProperty(navigator, "languages", {{ value: [language], configurable: true }});
        {shown_hours()}"""
    for locale, expected in CLOCKS.items():
        shown = browser.script(source, locale, HOURS)
        assert [text.replace("\u202f", " ") for text in shown] == expected, locale


# ---- the others ----


@pytest.mark.soak
def test_what_was_not_sent_survives_a_reload(
    browser: WebKit, visit: Visit, chat_server: Server, site: Site
) -> None:
    token = chat_server.token(person())
    visit(browser, token)
    browser.open_widget()
    chat_server.kill()
    browser.write("typed offline")
    browser.until(lambda: browser.find(".unsent", widget=True), "kept")
    browser.driver.get(f"{site.origin}/basket")
    chat_server.start()
    browser.driver.get(site.origin)
    browser.conversation("typed offline")
    browser.until(lambda: not browser.find(".unsent", widget=True), "sent")
    assert stored(chat_server, token) == ["typed offline"]


@pytest.mark.soak
def test_a_visitor_and_a_draft_are_known_after_a_page_load(
    browser: WebKit, visit: Visit, site: Site
) -> None:
    visit(browser)
    assert browser.script("return Object.keys(localStorage)") == []
    browser.open_widget()
    browser.write("Hello?")
    browser.conversation("Hello?")
    browser.one("textarea", widget=True).send_keys("half a tho")
    browser.driver.get(site.origin)
    browser.open_widget()
    browser.conversation("Hello?")
    assert browser.one("textarea", widget=True).get_property("value") == "half a tho"
    nothing_wrong(browser)


@pytest.mark.soak
def test_everything_in_the_widget_is_done_with_the_keyboard(browser: WebKit, visit: Visit) -> None:
    """And the host page hears no key that is meant for the chat."""
    visit(browser)
    browser.one(".launcher", widget=True)
    browser.script(SHORTCUTS)
    browser.one("#outside").send_keys(Keys.TAB)
    ActionChains(browser.driver).send_keys(Keys.ENTER).perform()
    browser.one("textarea", widget=True)
    browser.until(
        lambda: (
            browser.script(
                "return document.querySelector('support-chat').shadowRoot.activeElement.localName"
            )
            == "textarea"
        ),
        "the focus is in the box",
    )
    ActionChains(browser.driver).send_keys("by keyboard?", Keys.ENTER).perform()
    browser.conversation("by keyboard?")
    heard = browser.script("return window.heard")
    assert [each for each in heard if not each.endswith("button")] == []
    ActionChains(browser.driver).send_keys(Keys.ESCAPE).perform()
    browser.until(lambda: not browser.find(".panel", widget=True)[0].is_displayed(), "closed")


@pytest.mark.soak
def test_older_messages_come_without_a_jump(
    browser: WebKit, visit: Visit, chat_server: Server
) -> None:
    token = chat_server.token(person())
    for number in range(1, 81):
        chat_server.say(token, f"message {number}")
    visit(browser, token)
    browser.open_widget()
    bubbles = ".message .bubble"
    browser.until(lambda: len(browser.find(bubbles, widget=True)) == 50, "the newest page")
    place = """const list = document.querySelector("support-chat").shadowRoot.querySelector(".list");
        if (arguments[0] !== null) list.scrollTop = arguments[0];
        const bubble = [...list.querySelectorAll(".bubble")].find((one) => one.textContent === "message 33");
        return bubble.getBoundingClientRect().top - list.getBoundingClientRect().top;"""
    before = browser.script(place, 60)
    browser.until(lambda: len(browser.find(bubbles, widget=True)) == 80, "the older page")
    assert abs(browser.script(place, None) - before) <= 2


@pytest.mark.soak
def test_dark_colours_follow_the_system(
    open_browser: Open, visit: Visit, chat_server: Server
) -> None:
    browser = open_browser("--dark-mode")
    visit(browser)
    browser.open_widget()
    panel = browser.script(GROUND, browser.one(".panel", widget=True))
    assert panel == "rgb(27, 29, 33)"
    browser.log_in(chat_server)
    ground = browser.script(GROUND, browser.one("body"))
    assert max(map(int, ground.removeprefix("rgb(").rstrip(")").split(", "))) < 60


@pytest.mark.soak
def test_pages_of_the_dashboard_do_not_scroll_away(browser: WebKit, chat_server: Server) -> None:
    """With 25 unread chats the page was five screens high."""
    for number in range(30):
        chat_server.say(chat_server.token(person()), f"unread {number}")
    browser.log_in(chat_server)
    browser.one("body[data-live=yes]")
    height, window = browser.script(HEIGHTS)
    assert height == window


@pytest.mark.soak
def test_staff_search_archive_and_change_their_language(
    browser: WebKit, chat_server: Server
) -> None:
    token = chat_server.token(person(), name="Petra Example")
    chat_server.say(token, "a needle in a haystack")
    browser.log_in(chat_server)
    browser.one("input[type=search]").send_keys("needle", Keys.ENTER)
    browser.one(".result a").click()
    browser.one("body[data-live=yes]")
    browser.shows(["a needle in a haystack"], ".message .bubble")
    browser.one("input[type=search]").send_keys("<script>alert(1)</script>", Keys.ENTER)
    browser.until(lambda: "search" in browser.driver.current_url, "nothing is found")
    assert browser.find("main script") == []


@pytest.mark.soak
def test_no_page_of_ours_breaks_its_own_policy(browser: WebKit, chat_server: Server) -> None:
    """The demo page, too: the widget opens there, and no error is logged."""
    browser.driver.get(f"{chat_server.url}/demo?as=kim")
    browser.script(WATCH)
    browser.open_widget()
    browser.write("I am Kim")
    browser.one(".mark", widget=True)
    nothing_wrong(browser)
