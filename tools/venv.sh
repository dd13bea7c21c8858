#!/bin/sh
# Create .venv unless a working one exists, and install exactly the packages of the lock file $1.
set -eu

lock=$1
oldest='import sys; sys.exit(sys.version_info < (3, 11))'

fail() {
    echo "chatsvc: $1" >&2
    exit 1
}

find_python() {
    for name in ${PYTHON:-python3 python3.14 python3.13 python3.12 python3.11 python}; do
        if "$name" -c "$oldest" 2>/dev/null; then
            echo "$name"
            return
        fi
    done
}

make_venv() {
    python=$(find_python)
    [ -n "$python" ] || fail "Python 3.11 or later was not found; install it, or set its path: make PYTHON=/path/to/python3"
    "$python" -c 'import venv, ensurepip' 2>/dev/null ||
        fail "$python has no venv module; install it (Debian and Ubuntu: apt-get install python3-venv)"
    rm -rf .venv
    "$python" -m venv .venv || fail "$python could not create the environment .venv; see the error above"
}

.venv/bin/python -c "$oldest; import pip" 2>/dev/null || make_venv

echo "chatsvc: installing the packages of $lock into .venv"
.venv/bin/python -m pip install --quiet --disable-pip-version-check --no-input --require-hashes -r "$lock" ||
    fail "the packages of $lock could not be installed. If pip's error above is about connections, check the network, set a proxy (HTTPS_PROXY) or another package index (PIP_INDEX_URL), then run make again"
