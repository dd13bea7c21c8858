#!/bin/sh
# Makes .venv if there is none that works, and installs exactly what the lock file $1 names.
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
    [ -n "$python" ] || fail "Python 3.11 or later is needed and was not found; install it, or say where it is: make PYTHON=/path/to/python3"
    "$python" -c 'import venv, ensurepip' 2>/dev/null ||
        fail "$python has no venv module; install it (Debian and Ubuntu: apt-get install python3-venv)"
    rm -rf .venv
    "$python" -m venv .venv || fail "the environment .venv could not be made with $python; the reason is above"
}

.venv/bin/python -c "$oldest; import pip" 2>/dev/null || make_venv

echo "chatsvc: installing what $lock names into .venv"
.venv/bin/python -m pip install --quiet --disable-pip-version-check --no-input --require-hashes -r "$lock" ||
    fail "the packages in $lock could not be installed; if pip's words above speak of connections, see to the network, a proxy (HTTPS_PROXY) or another package index (PIP_INDEX_URL), then run make again"
