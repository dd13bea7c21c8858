#!/bin/sh
# Install the programs that some tests need, if the system's package manager has them. Tests of a
# missing program are skipped (tests/support/programs.py), so all other tests run without it.
# In CI (the environment variable CI), fail if the package manager has a program but cannot install
# it: otherwise a failing mirror would skip tests unnoticed. Write the paths of the programs into $1.
set -u
PATH="$PATH:/usr/sbin:/usr/local/sbin"
programs="nginx caddy redis-server curl openssl systemd-analyze faketime
    firefox-esr WebKitWebDriver Xvfb"

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
        WebKitWebDriver) echo webkit2gtk-driver ;;
        Xvfb) echo xvfb ;;
        *) echo "$1" ;;
    esac
}

is_ci() {
    case ${CI:-} in '' | 0 | [Ff]alse | FALSE) return 1 ;; esac
}

install() {
    echo "chatsvc: installing $1 with apt-get"
    DEBIAN_FRONTEND=noninteractive apt-get install --yes --no-install-recommends "$1" </dev/null >/dev/null 2>&1 && return
    echo "chatsvc: $1 could not be installed; run apt-get install $1 to see why" >&2
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
[ -z "$(missing)" ] || echo "chatsvc: skipping the tests of these programs, which are not installed: $(missing)"
for program in $programs; do
    command -v "$program"
done >"$1" || :
