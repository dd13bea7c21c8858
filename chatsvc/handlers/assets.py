"""The widget's loader at its stable URL, and static files under a versioned one."""

from chatsvc.errors import NotFound
from chatsvc.handlers.base import BaseHandler
from chatsvc.pages.assets import Asset

YEAR_S = 31_536_000  # the content of a versioned URL never changes
LOADER_S = 300  # how long browsers may use an old loader after an upgrade; its modules still exist


class AssetHandler(BaseHandler):
    """Public files: any page may load them, without credentials."""

    audience = "public"

    def send_asset(self, asset: Asset, cache_control: str) -> None:
        self.set_header("Content-Type", asset.content_type)
        self.set_header("Cache-Control", cache_control)
        self.set_header("Access-Control-Allow-Origin", "*")
        self.set_header("Cross-Origin-Resource-Policy", "cross-origin")
        self.set_header("X-Content-Type-Options", "nosniff")
        self.set_header("Vary", "Accept-Encoding")
        self.set_header("Etag", asset.etag)
        if self.check_etag_header():
            self.set_status(304)
        elif asset.compressed is not None and _accepts_gzip(
            self.request.headers.get("Accept-Encoding", "")
        ):
            self.set_header("Content-Encoding", "gzip")
            self.write(asset.compressed)
        else:
            self.write(asset.body)

    def compute_etag(self) -> str | None:
        """Keep the asset's own ETag; Tornado would hash each response."""
        return None


class LoaderHandler(AssetHandler):
    def get(self) -> None:
        self.send_asset(self.services.assets.loader, f"public, max-age={LOADER_S}")


class StaticHandler(AssetHandler):
    def get(self, version: str, name: str) -> None:
        asset = self.services.assets.find(name)
        if asset is None:
            raise NotFound
        current = version == self.services.assets.version
        self.send_asset(asset, f"public, max-age={YEAR_S}, immutable" if current else "no-cache")


def _accepts_gzip(accept_encoding: str) -> bool:
    """Whether the client accepts gzip with a weight above 0."""
    for offer in accept_encoding.lower().split(","):
        coding, _, weight = offer.partition(";")
        if coding.strip() == "gzip":
            return weight.replace(" ", "") not in ("q=0", "q=0.0", "q=0.00", "q=0.000")
    return False


ROUTES = [
    (r"/widget\.js", LoaderHandler),
    (r"/static/v/([0-9a-z]{1,64})/([A-Za-z0-9_./-]{1,200})", StaticHandler),
]
