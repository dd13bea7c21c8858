#!/bin/sh
# Installs nginx for the tests with a proxy in front, where that takes no more than the system's package manager.
# Without it those few tests are not collected; a proxy of the tests' own has shown the same faults.
set -u
PATH="$PATH:/usr/sbin:/usr/local/sbin"

if ! command -v nginx >/dev/null 2>&1 && [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then
    echo "chatsvc: installing nginx with apt-get"
    { apt-get update && DEBIAN_FRONTEND=noninteractive apt-get install --yes --no-install-recommends nginx-light; } \
        </dev/null >/dev/null 2>&1 || echo "chatsvc: nginx could not be installed; the tests that need it are left out"
fi
command -v nginx > "$1" || :
