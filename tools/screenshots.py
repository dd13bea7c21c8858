"""Makes the README's pictures, live on a server of its own.

docs/screenshot.png: the widget on the demo shop over the dashboard; docs/dashboard.png: the dashboard on a desk and a phone.
"""

import tempfile
from pathlib import Path

from playwright.sync_api import BrowserContext, Page, expect, sync_playwright

from tests.browser.engines import CHROMIUM_ARGUMENTS, chromium_executable
from tests.browser.serving import Server

DOCS = Path(__file__).parents[1] / "docs"
DESK = {"width": 1100, "height": 700}
SHOP = {"width": 760, "height": 620}
PHONE = {"width": 390, "height": 760}
ALEX = {"sub": "demo-alex", "email": "alex@example.com", "name": "Alex Example"}
TALK = (
    ("user", "Hello! Does the Abendrot 3 stand on rock, where no peg holds?"),
    ("staff", "It does: put stones into the loops at its corners. We have done so in Norway."),
    ("user", "Great. And the dog? He is big."),
    ("staff", "There is room for three and a wet dog. We have measured ours."),
)
OTHERS = (
    ("Noor Example", "noor@example.com", "Can you mend a pole that broke in the middle?", True),
    ("", "", "Which of them is the lightest?", True),
    ("Jo Example", "jo@example.com", "Thank you, it arrived this morning!", False),
)
FRAME = """<body style="margin:0;padding:36px;background:#e4e7ed">
<style>img{display:block;border-radius:12px;box-shadow:0 18px 50px rgb(20 30 50/.28),0 0 0 1px rgb(20 30 50/.12)}</style>%s</body>"""
# two windows on a desk, the shop in front
WIDGET = '<img src="desk.png" style="width:880px"><img src="shop.png" style="width:600px;margin:-330px 0 0 580px">'
DASHBOARD = '<img src="desk.png" style="width:860px"><img src="phone.png" style="width:270px;border-radius:26px;margin:-526px 0 0 894px">'


def main() -> None:
    with (
        tempfile.TemporaryDirectory() as folder,
        Server(Path(folder)) as server,
        sync_playwright() as playwright,
    ):
        browser = playwright.chromium.launch(
            executable_path=chromium_executable(), args=CHROMIUM_ARGUMENTS
        )
        chat = talk(server)
        light, dark = (browser.new_context(color_scheme=scheme) for scheme in ("light", "dark"))
        take_dashboard(server, light.new_page(), DESK, chat, Path(folder, "desk.png"))
        take_dashboard(server, dark.new_page(), PHONE, chat, Path(folder, "phone.png"))
        take_shop(server, browser.new_context(viewport=SHOP), Path(folder, "shop.png"))  # type: ignore[arg-type]
        compose(
            browser.new_page(viewport={"width": 1260, "height": 790}),
            WIDGET,
            Path(folder),
            DOCS / "screenshot.png",
        )
        compose(
            browser.new_page(viewport={"width": 1236, "height": 624}),
            DASHBOARD,
            Path(folder),
            DOCS / "dashboard.png",
        )
        browser.close()


def talk(server: Server) -> str:
    """Returns the id of the chat that is shown."""
    for name, email, text, unread in OTHERS:
        token = server.token(text, email=email or None, name=name or None)
        server.say(token, text)
        if not unread:
            server.staff("POST", f"/admin/chats/{server.chat_of(token)}/mark_viewed")
    alex = server.token(ALEX["sub"], email=ALEX["email"], name=ALEX["name"])
    for who, text in TALK:
        server.say(alex, text) if who == "user" else server.reply(alex, text)
    server.staff("POST", f"/admin/chats/{server.chat_of(alex)}/mark_viewed")
    return server.chat_of(alex)


def take_dashboard(server: Server, page: Page, size: dict[str, int], chat: str, file: Path) -> None:
    page.set_viewport_size(size)  # type: ignore[arg-type]
    server.log_in(page)
    page.goto(f"{server.url}/dashboard/chats/{chat}")
    expect(page.locator("body[data-live=yes]")).to_be_visible()
    page.screenshot(path=file)


def take_shop(server: Server, context: BrowserContext, file: Path) -> None:
    page = context.new_page()
    page.goto(f"{server.url}/demo")
    page.locator("support-chat .launcher").click()
    expect(page.locator("support-chat .bubble")).to_have_count(len(TALK))
    page.locator("support-chat .panel").evaluate(
        "(panel) => Promise.all(panel.getAnimations().map((one) => one.finished))"
    )
    page.screenshot(path=file)


def compose(page: Page, pictures: str, folder: Path, target: Path) -> None:
    (folder / "frame.html").write_text(FRAME % pictures)
    page.goto(f"file://{folder}/frame.html")
    page.screenshot(path=target)
    print(f"{target}: {target.stat().st_size // 1024} KiB")


if __name__ == "__main__":
    main()
