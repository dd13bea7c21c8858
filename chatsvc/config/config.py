"""The configuration, read once at start from the environment, files and systemd credentials.

`python -m chatsvc.config` prints the README's table of options.
"""

import contextlib
import os
import re
import secrets
import tempfile
from collections.abc import Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import msgspec

from chatsvc.config import parsers
from chatsvc.config.options import FILE_SUFFIX, OPTIONS, PREFIX, Option

__all__ = ["OPTIONS", "Config", "ConfigError", "load", "load_or_create_secret"]

SECRET_FILE = "secret_key"  # noqa: S105 - a file's name
SHOWN_CHARS = 80  # of an invalid value: enough to recognise it
_ADDRESS = r"(?:[0-9.]+|\[?[0-9A-Fa-f:]+\]?)"
_SERVICE_URL = rf"(?:tcp|udp|sctp)://{_ADDRESS}:[0-9]+"
_SERVICE_LINK = re.compile(
    rf"{PREFIX}(?:[A-Z0-9_]+_)?(?:"
    rf"SERVICE_HOST={_ADDRESS}|SERVICE_PORT(?:_[A-Z0-9_]+)?=[0-9]+|PORT={_SERVICE_URL}|"
    rf"PORT_[0-9]+_(?:TCP|UDP|SCTP)(?:={_SERVICE_URL}|_PROTO=[a-z]+|_PORT=[0-9]+|_ADDR={_ADDRESS}))"
)


class ConfigError(Exception):
    """The configuration is not valid. `str()` has one line per problem."""

    def __init__(self, *problems: str) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


class Config(msgspec.Struct, frozen=True, kw_only=True):
    """The values of all options, in the order of the table. The repr contains no secret."""

    database_url: str | None
    bus_url: str | None
    data_dir: Path
    host: str
    port: int
    public_url: str
    name: str
    secret_key: bytes | None
    identity_secrets: tuple[bytes, ...]
    allowed_origins: tuple[str, ...]
    visitors: bool
    chat_page_url: str
    smtp_url: str | None
    mail_from: str
    email_delay_s: int
    email_min_interval_s: int
    message_rate_user: int
    message_rate_staff: int
    message_rate_address: int
    visitor_rate_address: int
    read_rate_user: int
    read_rate_address: int
    streams_per_user: int
    streams_per_staff: int
    streams_per_address: int
    trusted_proxies: tuple[str, ...]
    log_format: str
    log_requests: str
    demo: bool

    def __repr__(self) -> str:
        fields = (f"{o.field}={getattr(self, o.field)!r}" for o in OPTIONS if not o.secret)
        return f"Config({', '.join(fields)})"


def load(environ: Mapping[str, str]) -> Config:
    """Return the configuration. Raise ConfigError with all problems at once."""
    environ = _without_service_links(environ)
    problems = _unknown(environ)
    values: dict[str, Any] = {}
    for option in OPTIONS:
        try:
            values[option.field] = _given(option, environ, values)
        except ConfigError as error:
            problems += error.problems
            values[option.field] = _default(option, values)
    if problems:
        raise ConfigError(*dict.fromkeys(problems))
    return Config(**values)


def _without_service_links(environ: Mapping[str, str]) -> dict[str, str]:
    """Drop what Kubernetes sets for Services named chatsvc or chatsvc-…, in every pod beside them.

    For example CHATSVC_PORT=tcp://10.0.0.1:8888 and CHATSVC_SERVICE_HOST=10.0.0.1.
    """
    return {
        name: value
        for name, value in environ.items()
        if not _SERVICE_LINK.fullmatch(f"{name}={value}")
    }


def _unknown(environ: Mapping[str, str]) -> list[str]:
    """Return a problem per unknown name, without its value: a misspelt name may hold a secret."""
    known = [name for option in OPTIONS for name in (option.name, option.name + FILE_SUFFIX)]
    given = (
        variable.removeprefix(PREFIX) for variable in sorted(environ) if variable.startswith(PREFIX)
    )
    problems = []
    for name in (name for name in given if name not in known):
        nearest = get_close_matches(name, known, n=1)
        advice = f"did you mean {PREFIX}{nearest[0]}?" if nearest else "README.md lists all options"
        problems.append(f"{PREFIX}{name}: unknown option; {advice}")
    return problems


def _given(option: Option, environ: Mapping[str, str], values: Mapping[str, Any]) -> Any:
    sources = _sources(option, environ)
    if len(sources) > 1:
        raise ConfigError(
            f"{option.variable}: set more than once, as {' and '.join(sources)}; set it once"
        )
    if not sources:
        return _default(option, values)
    ((label, source),) = sources.items()
    text = _read(label, source) if isinstance(source, Path) else source
    try:
        return option.parse(parsers.one_line(text if option.secret else text.strip()))
    except parsers.ItemError as error:
        raise ConfigError(f"{label}: {error}{_but_is(option, error.item)}") from None
    except ValueError as error:
        raise ConfigError(f"{label}: {error}{_but_is(option, text)}") from None


def _default(option: Option, values: Mapping[str, Any]) -> Any:
    return None if option.default is None else option.parse(option.default.format_map(values))


def _sources(option: Option, environ: Mapping[str, str]) -> dict[str, str | Path]:
    """Return where the option is set: a label for messages, and the value or the file with it.

    An empty variable counts as not set.
    """
    variable, file_variable = option.variable, option.variable + FILE_SUFFIX
    sources: dict[str, str | Path] = {}
    if text := environ.get(variable):
        sources[variable] = text
    if file := environ.get(file_variable):
        sources[f"{file_variable}={file}"] = Path(file)
    if folder := environ.get("CREDENTIALS_DIRECTORY"):
        files = (Path(folder, name) for name in (option.field, option.name))
        sources |= {f"{variable} in {file}": file for file in files if _is_file(file)}
    return sources


def _is_file(file: Path) -> bool:
    try:
        return file.is_file()
    except OSError as error:
        raise ConfigError(
            f"CREDENTIALS_DIRECTORY: must be a folder that this account may read, "
            f"not {str(file.parent)!r} ({error.strerror})"
        ) from None


def _read(label: str, file: Path) -> str:
    try:
        text = file.read_text("utf-8").removesuffix("\n").removesuffix("\r")
    except OSError as error:
        raise ConfigError(
            f"{label}: must be a readable file that contains the value ({error.strerror})"
        ) from None
    except UnicodeDecodeError:
        raise ConfigError(f"{label}: the file must contain UTF-8 text") from None
    if not text.strip():
        raise ConfigError(f"{label}: the file must contain the value, but it is empty")
    return text


def _but_is(option: Option, text: str) -> str:
    """Return the end of a message about an invalid value. A secret is measured, not shown."""
    if option.secret:
        return f" (the value has {len(text.encode(errors='surrogateescape'))} bytes)"
    short = text if len(text) <= SHOWN_CHARS else text[:SHOWN_CHARS] + "…"
    return f", not {short!r}"


def load_or_create_secret(data_dir: Path) -> bytes:
    """Return the secret of this installation. The first call creates it.

    Concurrent callers get the same one. Raise ConfigError if the folder or its file is unusable.
    """
    file = data_dir / SECRET_FILE
    try:
        data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not file.exists():
            _create_once(file, secrets.token_hex(parsers.SECRET_MIN_BYTES))
        secret = file.read_bytes().strip()
    except OSError as error:
        raise ConfigError(
            f"CHATSVC_DATA_DIR: must be a folder that this account may write to, "
            f"not {str(data_dir)!r} ({error.filename}: {error.strerror})"
        ) from None
    if len(secret) < parsers.SECRET_MIN_BYTES:
        raise ConfigError(f"{file}: {parsers.SECRET_RULE} (the value has {len(secret)} bytes)")
    return secret


def _create_once(file: Path, text: str) -> None:
    """Write the whole file, readable by its owner only, unless another process was faster."""
    with tempfile.NamedTemporaryFile("w", dir=file.parent, prefix=f"{file.name}.") as temporary:
        temporary.write(text + "\n")
        temporary.flush()
        os.fsync(temporary.fileno())
        with contextlib.suppress(FileExistsError):
            os.link(temporary.name, file)
