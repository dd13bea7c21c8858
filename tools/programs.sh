#!/bin/sh
# Installs the programs that some tests run against (nginx, Caddy, Redis, curl, openssl, systemd-analyze), where that takes no more than
# the system's package manager. The tests of a program that is not there are left out, and fail where the environment variable CI is
# set (tests/support/programs.py). Writes the paths of those that are there into $1.
set -u
PATH="$PATH:/usr/sbin:/usr/local/sbin"

has() {
    command -v "$1" >/dev/null 2>&1
}

missing=
has nginx || missing="$missing nginx-light"
has caddy || missing="$missing caddy"
has redis-server || missing="$missing redis-server"
has curl || missing="$missing curl"
has openssl || missing="$missing openssl"
has systemd-analyze || missing="$missing systemd"

if [ -n "$missing" ] && [ "$(id -u)" = 0 ] && has apt-get; then
    echo "chatsvc: installing$missing with apt-get"
    apt-get update </dev/null >/dev/null 2>&1
    for package in $missing; do
        DEBIAN_FRONTEND=noninteractive apt-get install --yes --no-install-recommends "$package" </dev/null >/dev/null 2>&1 ||
            echo "chatsvc: $package could not be installed; its tests are left out, or fail in CI"
    done
fi
for program in nginx caddy redis-server curl openssl systemd-analyze; do
    command -v "$program"
done >"$1" || :
