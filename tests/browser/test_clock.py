"""The clock time of a message, in the locale's own form at every hour."""

from datetime import datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest
from babel.dates import format_date
from playwright.sync_api import expect

from chatsvc.pages.assets import STATIC_DIR

from .hosting import NewContext, host_page, messages, open_chat, person
from .serving import Server

pytestmark = pytest.mark.browser

HOURS = [[0, 53], [9, 5], [12, 0], [23, 58]]
CLOCKS = {
    "en-GB": ["00:53", "09:05", "12:00", "23:58"],
    "de-DE": ["00:53", "09:05", "12:00", "23:58"],
    "fr-CH": ["00:53", "09:05", "12:00", "23:58"],
    "sv-SE": ["00:53", "09:05", "12:00", "23:58"],
    "da-DK": ["00.53", "09.05", "12.00", "23.58"],
    "es-ES": ["0:53", "9:05", "12:00", "23:58"],
    "ja-JP": ["0:53", "9:05", "12:00", "23:58"],
    "en-US": ["12:53 AM", "9:05 AM", "12:00 PM", "11:58 PM"],
    "en-AU": ["12:53 am", "9:05 am", "12:00 pm", "11:58 pm"],
}


@pytest.mark.parametrize("locale", CLOCKS)
def test_it_is_the_locales_own_pattern(new_context: NewContext, locale: str) -> None:
    """Between midnight and ten the page showed 0:53 and 9:05 where people write 00:53 and 09:05."""
    page = new_context(locale=locale).new_page()
    shown = page.evaluate(f"([language, hours]) => {{ {shown_hours()} }}", [locale[:2], HOURS])
    assert [text.replace("\u202f", " ") for text in shown] == CLOCKS[locale]


def shown_hours() -> str:
    """A function's body that returns `hours` as readers of `language` see them."""
    source = (STATIC_DIR / "shared" / "clock.js").read_text().replace("export ", "")
    return f"""{source}
        const clock = clockFormat(language);
        return hours.map(([hour, minute]) => clock.format(new Date(2024, 1, 29, hour, minute)));"""


@pytest.mark.parametrize("zone", ["Pacific/Auckland", "America/St_Johns", "UTC"])
def test_today_and_yesterday_are_days_of_the_readers_zone(
    server: Server, new_context: NewContext, zone: str
) -> None:
    """Seen in the last minute of its day, the first of the next one, and a day later."""
    token = server.token(person())
    sent = datetime.fromisoformat(server.say(token, "hello")["created_at"])
    here = sent.astimezone(ZoneInfo(zone))
    first_minute = datetime.combine(here.date() + timedelta(days=1), time(0, 1), here.tzinfo)
    later = first_minute + timedelta(days=1)
    date = format_date(here.date(), "EEEE, MMMM d", "en_US")
    shown = {
        first_minute - timedelta(minutes=2): "Today",
        first_minute: "Yesterday",
        later: date,
    }
    for now, divider in shown.items():
        context = new_context(timezone_id=zone, locale="en-US")
        context.clock.set_fixed_time(now)
        page = host_page(context, server, token=token, attributes='lang="en"')
        open_chat(page)
        expect(messages(page)).to_have_text(["hello"])
        expect(page.locator("support-chat .day")).to_have_text(divider)
