"""The demo: a small shop with the widget, two sample users and the attributes of the element."""

import re

from msgspec import Struct

from chatsvc.errors import NotFound, Unauthorized
from chatsvc.handlers.endpoint import Endpoint
from chatsvc.handlers.page import PageHandler
from chatsvc.handlers.services import Services

_COLOR = re.compile(r"#[0-9a-f]{6}")
TOKEN_TTL_S = 900  # short, so that the demo also shows how tokens are renewed


class DemoUser(Struct, frozen=True):
    sub: str
    email: str
    name: str


class Product(Struct, frozen=True):
    name: str
    text: str
    price: str
    picture: str


class DemoToken(Struct, frozen=True):
    token: str


USERS = {
    "alex": DemoUser("demo-alex", "alex@example.com", "Alex Example"),
    "kim": DemoUser("demo-kim", "kim@example.com", "Kim Example"),
}
PEOPLE = {"alex": "Alex Example", "kim": "Kim Example", "visitor": "an anonymous visitor"}
THEMES = {"auto": "as the system", "light": "light", "dark": "dark"}
ACCENT = "#1f6f54"
PRODUCTS = [
    Product("Lichtung 2", "Two people, 1.4 kg, stands in any wind.", "389", "dawn"),
    Product("Abendrot 3", "Room for three and a wet dog.", "449", "dusk"),
    Product("Polarnacht 1", "For one, down to minus twenty.", "529", "night"),
]


def sign(services: Services, who: str) -> str | None:
    """Sign a token as a host application would, or return None for a visitor.

    Raise NotFound outside demo mode.
    """
    if not services.config.demo:
        raise NotFound
    user = USERS.get(who)
    if user is None:
        return None
    return services.identity.sign_identity_token(
        sub=user.sub, email=user.email, name=user.name, ttl_s=TOKEN_TTL_S
    )


class DemoHandler(PageHandler):
    audience = "public"

    def get(self) -> None:
        languages = {"": "as this page", **self.services.languages.labels}
        chosen = {
            "as": self._choice(
                "as", PEOPLE, "alex" if self.get_query_argument("as", None) is None else "visitor"
            ),
            "lang": self._choice("lang", languages, ""),
            "theme": self._choice("theme", THEMES, "auto"),
        }
        token = sign(self.services, chosen["as"])
        account = f"Signed in as {PEOPLE[chosen['as']]}" if token else "Not signed in"
        accent = self.get_query_argument("accent", ACCENT)
        accent = accent if _COLOR.fullmatch(accent) else ACCENT
        self.page(
            "demo.html",
            goods=PRODUCTS,
            choices=[
                ("as", "You are", PEOPLE),
                ("lang", "Language", languages),
                ("theme", "Colours", THEMES),
            ],
            chosen=chosen,
            token=token,
            accent=accent,
            account=account,
        )

    def _choice(self, name: str, options: dict[str, str], default: str) -> str:
        value = self.get_query_argument(name, default)
        return value if value in options else default


class DemoTokenHandler(Endpoint):
    """Return a new token, as a host application does for its own pages (`getToken`)."""

    audience = "public"

    def get(self) -> None:
        token = sign(self.services, self.get_query_argument("as", ""))
        if token is None:
            raise Unauthorized
        self.send(DemoToken(token))


ROUTES = [(r"/demo", DemoHandler), (r"/demo/token", DemoTokenHandler)]
