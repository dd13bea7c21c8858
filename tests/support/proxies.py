"""A real nginx or Caddy as long as a block lasts, with all its files in a folder of the test's."""

import os
import socket
import subprocess
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from tests.support.programs import path_of
from tests.support.waiting import wait

HOST = "127.0.0.1"
STOP_LIMIT_S = 10.0
NGINX_CONFIG = """
{user}
daemon off;
worker_processes 1;
pid {folder}/nginx.pid;
events {{}}
http {{
    access_log off;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    {site}
}}
"""
CADDY_CONFIG = """
{{
    admin off
    grace_period 1ms
    auto_https disable_redirects
    storage file_system {folder}
}}
{site}
"""


@contextmanager
def nginx(site: str, port: int, folder: Path) -> Iterator[None]:
    """With this in its `http` block, which is to listen at `port`."""
    user, config = "user root;" if os.geteuid() == 0 else "", folder / "nginx.conf"
    config.write_text(NGINX_CONFIG.format(folder=folder, user=user, site=site))
    with _running(
        [path_of("nginx"), "-c", str(config), "-p", str(folder), "-e", f"{folder}/error.log"],
        port,
        folder,
    ):
        yield


@contextmanager
def caddy(site: str, port: int, folder: Path) -> Iterator[None]:
    """With this in its Caddyfile, which is to listen at `port`."""
    config = folder / "Caddyfile"
    config.write_text(CADDY_CONFIG.format(folder=folder, site=site))
    with _running(
        [path_of("caddy"), "run", "--config", str(config), "--adapter", "caddyfile"], port, folder
    ):
        yield


@contextmanager
def _running(command: list[str], port: int, folder: Path) -> Iterator[None]:
    environment = {
        **os.environ,
        "HOME": str(folder),
        "XDG_CONFIG_HOME": str(folder),
        "XDG_DATA_HOME": str(folder),
    }
    log_path = folder / "proxy.log"
    with log_path.open("w") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, env=environment)
    try:
        wait(lambda: process.poll() is not None or _is_listening(port), "the proxy answers")
        assert process.poll() is None, log_path.read_text()
        yield
    finally:
        process.terminate()
        process.wait(STOP_LIMIT_S)


def _is_listening(port: int) -> bool:
    with closing(socket.socket()) as probe:
        return probe.connect_ex((HOST, port)) == 0
