"""Stand between Playwright and Firefox ESR, and do the one command that Firefox does not know.

Playwright drives Firefox over WebDriver BiDi and sends `emulation.setMediaFeaturesOverride` for each
context. Firefox ESR refuses it ("unknown command"), and Playwright gives up. This program is what
Playwright starts as Firefox: it starts the real one, prints the address of a relay instead of
Firefox's own, and passes every other message on unchanged. The colour scheme of that one command
becomes a preference of the whole browser, set by a script in Firefox's own window.
"""

import asyncio
import json
import os
import re
import sys
from typing import Any

from tornado.httpserver import HTTPServer
from tornado.netutil import bind_sockets
from tornado.web import Application
from tornado.websocket import WebSocketClientConnection, WebSocketHandler, websocket_connect

UNKNOWN_TO_FIREFOX = "emulation.setMediaFeaturesOverride"
COLOR_SCHEME = "prefers-color-scheme"
SET_COLOR_SCHEME = (
    'Services.prefs.setIntPref("layout.css.prefers-color-scheme.content-override", {})'
)
COLOR_SCHEMES = {"dark": 0, "light": 1}
OWN_IDS_FROM = 2**40  # Playwright counts its commands from 1
LISTENING = re.compile(r"WebDriver BiDi listening on (ws://\S+)")
MESSAGE_MAX_BYTES = 256 * 2**20  # screenshots of long pages
Command = dict[str, Any]


class Relay(WebSocketHandler):
    """One connection of Playwright, paired with one to Firefox."""

    upstream: str  # set when Firefox has said where it listens

    def check_origin(self, origin: str) -> bool:
        return True

    async def open(self, *args: str, **kwargs: str) -> None:
        self.set_nodelay(True)
        self._asked: dict[int, asyncio.Future[Any]] = {}
        self._scheme = "light"
        self._firefox: asyncio.Future[WebSocketClientConnection] = asyncio.ensure_future(
            websocket_connect(f"{self.upstream}/session", max_message_size=MESSAGE_MAX_BYTES)
        )
        self._pump = asyncio.ensure_future(self._pass_back())

    async def on_message(self, message: str | bytes) -> None:
        command: Command = json.loads(message)
        if command["method"] != UNKNOWN_TO_FIREFOX:
            await (await self._firefox).write_message(message)
            return
        scheme = command["params"]["features"].get(COLOR_SCHEME) or "light"
        if scheme != self._scheme:
            self._scheme = scheme
            await self._set_scheme()
        await self.write_message({"type": "success", "id": command["id"], "result": {}})

    async def _set_scheme(self) -> None:
        tree = await self._ask("browsingContext.getTree", {"moz:scope": "chrome"})
        where = {"context": tree["contexts"][0]["context"]}
        script = SET_COLOR_SCHEME.format(COLOR_SCHEMES[self._scheme])
        await self._ask(
            "script.evaluate", {"expression": script, "target": where, "awaitPromise": False}
        )

    async def _ask(self, method: str, params: Command) -> Any:
        """Send a command of this relay's own, and return its result."""
        number = OWN_IDS_FROM + len(self._asked)
        self._asked[number] = asyncio.get_running_loop().create_future()
        command = {"id": number, "method": method, "params": params}
        await (await self._firefox).write_message(json.dumps(command))
        reply = await self._asked[number]
        assert reply["type"] == "success", reply
        return reply["result"]

    async def _pass_back(self) -> None:
        firefox = await self._firefox
        while (message := await firefox.read_message()) is not None:
            number = json.loads(message).get("id")
            if number in self._asked:
                self._asked[number].set_result(json.loads(message))
            else:
                await self.write_message(message)
        self.close()

    def on_close(self) -> None:
        self._pump.cancel()
        if self._firefox.done() and not self._firefox.cancelled() and not self._firefox.exception():
            self._firefox.result().close()


def listen(upstream: str) -> int:
    """Start the relay on a free port of the loopback interface, and return the port."""
    Relay.upstream = upstream
    sockets = bind_sockets(0, "127.0.0.1")
    application = Application([("/session.*", Relay)], websocket_max_message_size=MESSAGE_MAX_BYTES)
    HTTPServer(application).add_sockets(sockets)
    port: int = sockets[0].getsockname()[1]
    return port


async def main() -> int:
    firefox = await asyncio.create_subprocess_exec(
        os.environ["FIREFOX"],
        "--remote-allow-system-access",  # for the script in Firefox's own window
        *sys.argv[1:],
        stderr=asyncio.subprocess.PIPE,
        limit=2**20,
    )
    assert firefox.stderr is not None
    async for line in firefox.stderr:
        text = line.decode(errors="replace")
        if found := LISTENING.search(text):
            text = f"WebDriver BiDi listening on ws://127.0.0.1:{listen(found[1])}\n"
        sys.stderr.write(text)
        sys.stderr.flush()
    return await firefox.wait()


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
