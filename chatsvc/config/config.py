"""The configuration, read once at start. `python -m chatsvc.config` prints the table for the README."""

import contextlib
import os
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
SHOWN_CHARS = 80  # of a wrong value; enough to recognise it


class ConfigError(Exception):
    """The configuration cannot be used. `str()` is one line per problem."""

    def __init__(self, *problems: str) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


class Config(msgspec.Struct, frozen=True, kw_only=True):
    """The options' values, in the order of the table. Its repr shows no secret."""

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
    streams_per_user: int
    streams_per_staff: int
    streams_per_address: int
    trusted_proxies: tuple[str, ...]
    log_format: str
    demo: bool

    def __repr__(self) -> str:
        fields = (f"{o.field}={getattr(self, o.field)!r}" for o in OPTIONS if not o.secret)
        return f"Config({', '.join(fields)})"


def load(environ: Mapping[str, str]) -> Config:
    """From environment, files and credentials. ConfigError names all that is wrong at once."""
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


def _unknown(environ: Mapping[str, str]) -> list[str]:
    """Their values are not shown: a misspelt name may hold a secret."""
    known = [name for option in OPTIONS for name in (option.name, option.name + FILE_SUFFIX)]
    given = (
        variable.removeprefix(PREFIX) for variable in sorted(environ) if variable.startswith(PREFIX)
    )
    problems = []
    for name in (name for name in given if name not in known):
        nearest = get_close_matches(name, known, n=1)
        right = (
            f"did you mean {PREFIX}{nearest[0]}?"
            if nearest
            else "README.md lists those that there are"
        )
        problems.append(f"{PREFIX}{name}: there is no such option; {right}")
    return problems


def _given(option: Option, environ: Mapping[str, str], values: Mapping[str, Any]) -> Any:
    sources = _sources(option, environ)
    if len(sources) > 1:
        raise ConfigError(
            f"{option.variable}: given more than once, as {' and '.join(sources)}; give it once"
        )
    if not sources:
        return _default(option, values)
    ((door, source),) = sources.items()
    text = _read(door, source) if isinstance(source, Path) else source
    try:
        return option.parse(parsers.one_line(text if option.secret else text.strip()))
    except ValueError as error:
        raise ConfigError(f"{door}: {_shown(option, text)} given; right would be {error}") from None


def _default(option: Option, values: Mapping[str, Any]) -> Any:
    return None if option.default is None else option.parse(option.default.format_map(values))


def _sources(option: Option, environ: Mapping[str, str]) -> dict[str, str | Path]:
    """By which doors the option was given, each with the text or its file. An empty variable is none."""
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
            f"CREDENTIALS_DIRECTORY: {str(file.parent)!r} given, which cannot be used "
            f"({error.strerror}); right would be a folder that this account may read"
        ) from None


def _read(door: str, file: Path) -> str:
    try:
        text = file.read_text("utf-8").removesuffix("\n").removesuffix("\r")
    except OSError as error:
        raise ConfigError(
            f"{door}: cannot be read ({error.strerror}); right would be a file with the value"
        ) from None
    except UnicodeDecodeError:
        raise ConfigError(
            f"{door}: bytes that are not UTF-8 given; right would be a file with the value"
        ) from None
    if not text.strip():
        raise ConfigError(f"{door}: an empty file given; right would be a file with the value")
    return text


def _shown(option: Option, text: str) -> str:
    if option.secret:
        return f"a value of {len(text.encode(errors='surrogateescape'))} bytes"
    short = text if len(text) <= SHOWN_CHARS else text[:SHOWN_CHARS] + "…"
    return repr(short)


def load_or_create_secret(data_dir: Path) -> bytes:
    """The secret of this installation, made at the first call; every caller gets the same one.

    Raises ConfigError if the folder cannot be used or its file holds no secret.
    """
    file = data_dir / SECRET_FILE
    try:
        data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not file.exists():
            _create_once(file, secrets.token_hex(parsers.SECRET_MIN_BYTES))
        secret = file.read_bytes().strip()
    except OSError as error:
        raise ConfigError(
            f"CHATSVC_DATA_DIR: {str(data_dir)!r} given, where {error.filename} fails with "
            f"{error.strerror!r}; right would be a folder that this account may write"
        ) from None
    if len(secret) < parsers.SECRET_MIN_BYTES:
        raise ConfigError(
            f"{file}: {len(secret)} bytes found; right would be {parsers.SECRET_HINT}"
        )
    return secret


def _create_once(file: Path, text: str) -> None:
    """Writes the whole file or, when another process was faster, nothing. Only its owner may read it."""
    with tempfile.NamedTemporaryFile("w", dir=file.parent, prefix=f"{file.name}.") as temporary:
        temporary.write(text + "\n")
        temporary.flush()
        os.fsync(temporary.fileno())
        with contextlib.suppress(FileExistsError):
            os.link(temporary.name, file)
