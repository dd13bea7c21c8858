#!/bin/sh
# /usr/local/bin/chatsvc: run a command of chatsvc with the service's configuration and account.
set -eu
[ "$(id -u)" = 0 ] || exec sudo "$0" "$@"
set -a
. /etc/chatsvc/chatsvc.env
CHATSVC_DATA_DIR=${CHATSVC_DATA_DIR:-/var/lib/chatsvc}
CREDENTIALS_DIRECTORY=/etc/chatsvc/credentials
set +a
cd /
exec runuser -u chatsvc -- /opt/chatsvc/bin/chatsvc "$@"
