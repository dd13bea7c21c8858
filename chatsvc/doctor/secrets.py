"""The doctor on secrets: where they come from, who can read them, whether they were drawn or thought up."""

from collections.abc import Iterator, Mapping
from pathlib import Path

from chatsvc.config.config import SECRET_FILE, Config
from chatsvc.config.options import FILE_SUFFIX, OPTIONS
from chatsvc.config.parsers import SECRET_MIN_BYTES
from chatsvc.doctor.finding import Finding, fail, ok, warn

MIN_DIFFERENT_BYTES = 10  # 64 random hexadecimal digits have fewer about once in 30,000 times
READABLE_BY_OTHERS = 0o004
ACCESS_BEYOND_OWNER = 0o077
DRAWN = "take what `openssl rand -hex 32` prints"


def check(config: Config, environ: Mapping[str, str]) -> Iterator[Finding]:
    yield secret_key(config)
    yield identity_secrets(config)
    for option in OPTIONS:
        file = environ.get(option.variable + FILE_SUFFIX)
        if option.secret and file:
            yield secret_file(option.name, Path(file))


def secret_key(config: Config) -> Finding:
    file = config.data_dir / SECRET_FILE
    if config.secret_key is not None:
        if config.secret_key in config.identity_secrets:
            return fail(
                "SECRET_KEY",
                "the same as one of IDENTITY_SECRETS: host applications can sign for us",
                DRAWN,
            )
        return drawn("SECRET_KEY", config.secret_key) or ok(
            "SECRET_KEY", f"given, {len(config.secret_key)} bytes"
        )
    if not file.exists():
        return ok("SECRET_KEY", f"none yet; the first start makes one in {file}")
    return generated(file)


def generated(file: Path) -> Finding:
    """The key that the first start made."""
    try:
        length, mode = len(file.read_bytes().strip()), file.stat().st_mode
    except OSError as error:
        advice = "the service must run under the account that owns it"
        return fail("SECRET_KEY", f"{file}: {error.strerror}", advice)
    if length < SECRET_MIN_BYTES:
        advice = f"{DRAWN} (all visitors and sessions begin anew)"
        return fail(
            "SECRET_KEY", f"{file} holds {length} bytes, {SECRET_MIN_BYTES} are needed", advice
        )
    if mode & ACCESS_BEYOND_OWNER:
        return fail(
            "SECRET_KEY",
            f"{file} can be used by others (mode {mode & 0o777:o})",
            f"chmod 600 {file}",
        )
    return ok("SECRET_KEY", f"generated, in {file}; keep a copy of it with the backups")


def identity_secrets(config: Config) -> Finding:
    about, known = "IDENTITY_SECRETS", config.identity_secrets
    for n, secret in enumerate(known, 1):
        if guessable := drawn(f"{about}, number {n}", secret):
            return guessable
    if known:
        return ok(about, f"{len(known)}, the shortest of {min(map(len, known))} bytes")
    if config.demo:
        return ok(about, "none; the demo page signs with one of its own")
    advice = "set CHATSVC_IDENTITY_SECRETS to what your host application signs identity tokens with"
    if config.visitors:
        return warn(
            about,
            "none: all who chat are visitors; users of your application are not recognised",
            advice,
        )
    return fail(
        about, "none, and visitors are off: nobody can chat", f"{advice}, or CHATSVC_VISITORS=on"
    )


def drawn(about: str, secret: bytes) -> Finding | None:
    """A finding about a secret that does not look like a random one."""
    different = len(set(secret))
    if different >= MIN_DIFFERENT_BYTES:
        return None
    return warn(
        about, f"has only {different} different characters: it looks thought up, not drawn", DRAWN
    )


def secret_file(name: str, file: Path) -> Finding:
    mode = file.stat().st_mode
    if mode & READABLE_BY_OTHERS:
        return fail(
            f"{name}_FILE", f"everybody on this machine can read {file}", f"chmod o= {file}"
        )
    return ok(f"{name}_FILE", f"{file}, mode {mode & 0o777:o}")
