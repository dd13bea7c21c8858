#!/bin/sh
# Runs the tests that look at clocks at the hours, on the dates and in the time zones where such
# tests break: just after and before midnight, on a leap day, at the end of the year, in both
# summer-time nights. PostgreSQL does not run under a faked clock: the tests that need it are
# left out there, and run with the real time in the other zone and locale.
set -eu
PY=.venv/bin/python
QUIET="-q -r fE -p no:cacheprovider"
PURE="tests/mail/test_messages.py tests/pages tests/text tests/security/test_tokens.py
    tests/ops/test_log_format.py"
STORED="tests/contract/test_chat.py tests/contract/test_notices.py tests/contract/test_visitors.py
    tests/handlers/test_dashboard.py tests/services/test_notices.py"

# at ZONE LANG MOMENT: the moment is one of the zone's own clock
at() {
    if library=$(ls /usr/lib/*/faketime/libfaketime.so.1 2>/dev/null); then
        offset=$(($(TZ=$1 date -d "$3" +%s) - $(date +%s)))
        echo "chatsvc: $3 in $1, LANG=$2"
        TZ=$1 LANG=$2 LC_ALL=$2 LD_PRELOAD=$library FAKETIME="$(printf '%+d' $offset)" \
            FAKETIME_DONT_FAKE_MONOTONIC=1 $PY -m pytest $QUIET $PURE -k "not whatever"
    else
        echo "chatsvc: left out, faketime is not installed: $3 in $1"
    fi
}

at Pacific/Auckland de_DE.UTF-8 "2027-06-15 00:30"
at Pacific/Auckland C "2028-02-29 23:58"
at Pacific/Auckland de_DE.UTF-8 "2027-09-26 01:59:58"
at America/St_Johns C "2027-06-15 23:58"
at America/St_Johns de_DE.UTF-8 "2027-12-31 23:59:58"
at America/St_Johns C "2027-11-07 01:59:58"

for where in "Pacific/Auckland de_DE.UTF-8" "America/St_Johns C"; do
    echo "chatsvc: now in ${where% *}, LANG=${where#* }"
    TZ=${where% *} LANG=${where#* } LC_ALL=${where#* } $PY -m pytest $QUIET $STORED
done
$PY -m pytest $QUIET tests/browser/test_clock.py
