#!/bin/sh
# Regenerate requirements-dev.lock (everything) and requirements.lock (what the server needs).
set -eu

compile() {
    .venv/bin/python -m uv pip compile --upgrade --universal --generate-hashes --python-version 3.11 \
        --no-emit-index-url --no-annotate --no-header --quiet "$@" pyproject.toml
}

compile --extra dev -o requirements-dev.lock
compile --constraints requirements-dev.lock -o requirements.lock
