"""`make bench`: measures the service and a plain reference side by side and prints one table."""

import argparse
import gc
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from bench.harness import USERS, Harness
from bench.load import LoadError, allow_open_files
from bench.measures import (
    access_log,
    broadcast,
    hotpath,
    idle_latency,
    memory,
    opening,
    pages,
    reconnect,
    several,
)
from bench.postgres import cluster
from bench.table import Row, render

MEASURES: dict[str, Callable[[Harness], list[Row]]] = {
    "hotpath": hotpath.measure,
    "memory": memory.measure,
    "broadcast": broadcast.measure,
    "pages": pages.measure,
    "opening": opening.measure,
    "reconnect": reconnect.measure,
    "idle-latency": idle_latency.measure,
    "several": several.measure,
    "access-log": access_log.measure,
}


def options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="bench", description=__doc__)
    parser.add_argument(
        "--only", action="append", choices=[*MEASURES], help="only this group; may be repeated"
    )
    parser.add_argument(
        "--quick",
        action="store_true",
        help="a tenth of the size, one round: tries the harness only",
    )
    parser.add_argument(
        "--database-url", help="an existing cluster (a role that may create databases)"
    )
    return parser.parse_args()


def run(harness: Harness, names: list[str]) -> list[Row]:
    """All rows; a group that cannot be measured makes one failed row."""
    rows: list[Row] = []
    for name in names:
        began = time.monotonic()
        try:
            rows += MEASURES[name](harness)
        except (LoadError, OSError, RuntimeError) as error:
            rows.append(Row(f"{name}: {error}", "not measured", passed=False))
        print(f"{name}: {time.monotonic() - began:.0f} s", file=sys.stderr, flush=True)
    return rows


def main() -> int:
    """Exit status 1 if a target was missed."""
    chosen = options()
    allow_open_files(USERS)
    gc.disable()  # a pause of the generator would look like one of the server
    with tempfile.TemporaryDirectory(prefix="chatsvc-bench-") as name:
        folder = Path(name)
        with cluster(folder, chosen.database_url) as postgres:
            try:
                rows = run(Harness(postgres, folder, chosen.quick), chosen.only or [*MEASURES])
            finally:
                postgres.drop_all()
    print(render(rows))
    return 1 if any(row.passed is False for row in rows) else 0


if __name__ == "__main__":
    sys.exit(main())
