"""A host page for trying out: a small shop with the widget, and two users to be. Only in demo mode."""

from msgspec import Struct

from chatsvc.errors import NotFound
from chatsvc.handlers.page import PageHandler


class DemoUser(Struct, frozen=True):
    sub: str
    email: str
    name: str


class Good(Struct, frozen=True):
    name: str
    text: str
    price: str
    picture: str


USERS = {
    "alex": DemoUser("demo-alex", "alex@example.com", "Alex Example"),
    "kim": DemoUser("demo-kim", "kim@example.com", "Kim Example"),
}
PEOPLE = [("alex", "Alex Example"), ("kim", "Kim Example"), ("visitor", "An anonymous visitor")]
GOODS = [
    Good("Lichtung 2", "Two people, 1.4 kg, stands in any wind.", "389", "dawn"),
    Good("Abendrot 3", "Room for three and a wet dog.", "449", "dusk"),
    Good("Polarnacht 1", "For one, down to minus twenty.", "529", "night"),
]


class DemoHandler(PageHandler):
    audience = "public"

    def get(self) -> None:
        if not self.services.config.demo:
            raise NotFound
        current = self.get_query_argument("as", "alex")
        user = USERS.get(current)
        sign = self.services.identity.sign_identity_token
        self.page(
            "demo.html",
            people=PEOPLE,
            goods=GOODS,
            current=current if user else "visitor",
            token=sign(sub=user.sub, email=user.email, name=user.name) if user else None,
            account=f"Signed in as {user.name}" if user else "Not signed in",
        )


ROUTES = [(r"/demo", DemoHandler)]
