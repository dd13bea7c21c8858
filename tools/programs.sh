#!/bin/sh
# Installs the programs that some tests run against, where that takes no more than the system's package manager. The tests of a
# program that is not there are left out (tests/support/programs.py): nobody has to install anything to see all others pass.
# In CI (the environment variable CI) it is an error if a program that the package manager has cannot be installed: else a
# failing mirror would leave tests out, and nobody would notice. Writes the paths of those that are there into $1.
set -u
PATH="$PATH:/usr/sbin:/usr/local/sbin"
programs="nginx caddy redis-server curl openssl systemd-analyze"

has() {
    command -v "$1" >/dev/null 2>&1
}

missing() {
    for program in $programs; do
        has "$program" || printf '%s ' "$program"
    done
}

package_of() {
    case $1 in
        nginx) echo nginx-light ;;
        systemd-analyze) echo systemd ;;
        *) echo "$1" ;;
    esac
}

is_ci() {
    case ${CI:-} in '' | 0 | [Ff]alse | FALSE) return 1 ;; esac
}

install() {
    echo "chatsvc: installing $1 with apt-get"
    DEBIAN_FRONTEND=noninteractive apt-get install --yes --no-install-recommends "$1" </dev/null >/dev/null 2>&1 && return
    echo "chatsvc: $1 could not be installed; see what apt-get install $1 says" >&2
    ! is_ci
}

if [ -n "$(missing)" ] && [ "$(id -u)" = 0 ] && has apt-get; then
    apt-get update </dev/null >/dev/null 2>&1
    for program in $(missing); do
        package=$(package_of "$program")
        if apt-cache show "$package" >/dev/null 2>&1; then
            install "$package" || exit 1
        fi
    done
fi
[ -z "$(missing)" ] || echo "chatsvc: the tests that need these programs are left out, they are not installed: $(missing)"
for program in $programs; do
    command -v "$program"
done >"$1" || :
