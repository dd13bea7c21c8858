"""Static files over HTTP: cached for ever under their version, compressed, readable from any page."""

import gzip

import pytest

from chatsvc.pages.assets import Assets
from tests.support.service import Service


async def test_the_loader_is_short_lived_and_leads_to_modules_that_live_for_ever(
    service: Service,
) -> None:
    loader = await service.get("/widget.js")
    assert loader.status == 200
    assert loader.headers["Content-Type"] == "text/javascript; charset=utf-8"
    assert loader.headers["Cache-Control"] == "public, max-age=300"
    version = Assets().version
    assert f"static/v/{version}/dist/" in loader.text
    module = await service.get(f"/static/v/{version}/dist/panel.js")
    assert module.headers["Cache-Control"] == "public, max-age=31536000, immutable"
    for answer in (loader, module):
        assert answer.headers["Access-Control-Allow-Origin"] == "*"
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert "Set-Cookie" not in answer.headers


async def test_an_old_version_is_answered_with_the_current_file_and_not_kept(
    service: Service,
) -> None:
    answer = await service.get("/static/v/000000000000/style.css")
    assert (answer.status, answer.headers["Cache-Control"]) == (200, "no-cache")


@pytest.mark.parametrize(
    "name", ["nothing.js", "../config.py", "..%2fconfig.py", "widget", "widget/", ""]
)
async def test_what_is_no_file_is_not_found(service: Service, name: str) -> None:
    assert (await service.get(f"/static/v/{Assets().version}/{name}")).status == 404


@pytest.mark.parametrize(
    ("offer", "coding"),
    [("gzip, br", "gzip"), ("GZIP;q=0.5", "gzip"), ("", None), ("br", None), ("gzip;q=0", None)],
)
async def test_text_is_compressed_for_those_who_take_it(
    service: Service, offer: str, coding: str | None
) -> None:
    plain = await service.get("/static/v/dev/style.css")
    answer = await service.get("/static/v/dev/style.css", headers={"Accept-Encoding": offer})
    assert answer.headers.get("Content-Encoding") == coding
    assert answer.headers["Vary"] == "Accept-Encoding"
    assert (gzip.decompress(answer.body) if coding else answer.body) == plain.body


async def test_what_a_browser_has_is_not_sent_again(service: Service) -> None:
    first = await service.get("/widget.js")
    answer = await service.get("/widget.js", headers={"If-None-Match": first.headers["Etag"]})
    assert (answer.status, answer.body) == (304, b"")
