"""Checks secrets: where they come from, who can read them, whether they look random."""

from collections.abc import Iterator, Mapping
from pathlib import Path

from chatsvc.config.config import SECRET_FILE, Config
from chatsvc.config.options import FILE_SUFFIX, OPTIONS
from chatsvc.config.parsers import SECRET_MIN_BYTES
from chatsvc.doctor.finding import Finding, fail, ok, warn

MIN_DIFFERENT_BYTES = 10  # one in 30,000 random strings of 64 hexadecimal digits has fewer
READABLE_BY_OTHERS = 0o004
ACCESS_BEYOND_OWNER = 0o077
GENERATE = "use a secret that `openssl rand -hex 32` prints"


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
                "the same as one of IDENTITY_SECRETS: host applications can sign chatsvc's tokens",
                GENERATE,
            )
        return weak_secret("SECRET_KEY", config.secret_key) or ok(
            "SECRET_KEY", f"set, {len(config.secret_key)} bytes"
        )
    if not file.exists():
        return ok("SECRET_KEY", f"none yet; the first start creates one in {file}")
    return generated_key(file)


def generated_key(file: Path) -> Finding:
    """Check the key that the first start generated."""
    try:
        length, mode = len(file.read_bytes().strip()), file.stat().st_mode
    except OSError as error:
        advice = "the service must run under the account that owns it"
        return fail("SECRET_KEY", f"{file}: {error.strerror}", advice)
    if length < SECRET_MIN_BYTES:
        advice = f"{GENERATE} (all visitor tokens and sessions become invalid)"
        return fail(
            "SECRET_KEY", f"{file} has {length} bytes; the minimum is {SECRET_MIN_BYTES}", advice
        )
    if mode & ACCESS_BEYOND_OWNER:
        return fail(
            "SECRET_KEY",
            f"other users of this machine have access to {file} (mode {mode & 0o777:o})",
            f"chmod 600 {file}",
        )
    return ok("SECRET_KEY", f"generated, in {file}; back it up with the database")


def identity_secrets(config: Config) -> Finding:
    about, known = "IDENTITY_SECRETS", config.identity_secrets
    for n, secret in enumerate(known, 1):
        if weak := weak_secret(f"{about}, number {n}", secret):
            return weak
    if known:
        return ok(about, f"{len(known)}, the shortest has {min(map(len, known))} bytes")
    if config.demo:
        return ok(about, "none; the demo page has its own")
    advice = (
        "set CHATSVC_IDENTITY_SECRETS to the secret your application signs identity tokens with"
    )
    if config.visitors:
        return warn(
            about,
            "none: users of your application are not recognised; everybody chats as a visitor",
            advice,
        )
    return fail(
        about, "none, and visitors are off: nobody can chat", f"{advice}, or CHATSVC_VISITORS=on"
    )


def weak_secret(about: str, secret: bytes) -> Finding | None:
    """Return a finding if a secret does not look random."""
    different = len(set(secret))
    if different >= MIN_DIFFERENT_BYTES:
        return None
    return warn(
        about, f"has only {different} different characters: it does not look random", GENERATE
    )


def secret_file(name: str, file: Path) -> Finding:
    mode = file.stat().st_mode
    if mode & READABLE_BY_OTHERS:
        return fail(
            f"{name}_FILE", f"every user of this machine can read {file}", f"chmod o= {file}"
        )
    return ok(f"{name}_FILE", f"{file}, mode {mode & 0o777:o}")
