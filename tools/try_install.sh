#!/bin/bash
# Run every command of docs/install.md, then those of docs/scaling.md, in order, under its own
# systemd: on a temporary copy of this machine's files, in a separate network. Needs root on a Debian
# or Ubuntu with the guide's packages; says what is missing. Three things are replaced: the repository
# is this checkout, packages come from a folder that is filled before (there is no network inside),
# and certbot makes a self-signed certificate.
set -eu

missing() {
    echo "chatsvc: the install guide is not tested: $1" >&2
    exit "${SKIPPED:-0}"
}

cd "$(dirname "$0")/.."
[ "$(id -u)" = 0 ] || missing "it needs root"
for program in /usr/bin/python3 /lib/systemd/systemd nginx runuser adduser curl openssl git unshare; do
    PATH=$PATH:/usr/sbin command -v "$program" >/dev/null || missing "$program is not installed"
done
[ -f /lib/systemd/system/redis-server.service ] || missing "Redis is not installed (apt-get install redis-server)"
[ -d /etc/postgresql ] || missing "PostgreSQL is not installed (apt-get install postgresql)"
unshare --mount --pid --uts --ipc --net --cgroup --fork true 2>/dev/null || missing "this account may not create namespaces"
cgroups=$(findmnt --noheadings --first-only --types cgroup2 --output TARGET) || missing "cgroup2 is not mounted"

work=$(mktemp -d /var/tmp/chatsvc-install.XXXXXX)
mkdir "$cgroups/chatsvc-install" 2>/dev/null || missing "this account may not create control groups"
clean() {
    find "$cgroups/chatsvc-install" -depth -type d -exec rmdir {} + 2>/dev/null || :
    rm -rf "$work"
}
trap clean EXIT
mkdir "$work/share" "$work/wheels" "$work/scratch" "$work/root"

echo "chatsvc: collecting packages"
/usr/bin/python3 -m venv "$work/venv" || missing "python3-venv is not installed"
download() {
    "$work/venv/bin/python" -m pip download --disable-pip-version-check --dest "$work/wheels" "$@" >"$work/download" 2>&1 ||
        { cat "$work/download" && missing "the packages cannot be downloaded"; }
}
download --require-hashes --requirement requirements.lock
download --no-deps "setuptools>=77,<82" wheel
git clone --quiet --no-hardlinks . "$work/share/repository"

# The guide's commands, with the placeholder REPOSITORY replaced.
/usr/bin/python3 - docs/install.md docs/scaling.md >"$work/share/guide.sh" <<'PYTHON'
import re, sys
text = "\n".join(open(name).read() for name in sys.argv[1:])
print("set -eux\n" + "\n".join(re.findall(r"^```sh\n(.*?)^```$", text, re.M | re.S)).replace("REPOSITORY", "/try/repository"))
PYTHON

cat >"$work/share/certbot" <<'CERTBOT'
#!/bin/sh
folder=/etc/letsencrypt/live/chat.example.com
mkdir -p $folder
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 1 -subj /CN=chat.example.com \
    -addext subjectAltName=DNS:chat.example.com -keyout $folder/privkey.pem -out $folder/fullchain.pem 2>/dev/null
cp $folder/fullchain.pem /usr/local/share/ca-certificates/chat.crt
update-ca-certificates >/dev/null
CERTBOT
printf '#!/bin/sh\necho "not here: apt-get $*"\n' >"$work/share/apt-get"
chmod 755 "$work/share/certbot" "$work/share/apt-get"

# Prepare what the package installation would have done, then run the guide.
cat >"$work/share/run.sh" <<'RUN'
#!/bin/bash
set -eu
cp /try/certbot /try/apt-get /usr/local/bin/
ip link set lo up
echo "127.0.0.1 chat.example.com www.example.com" >>/etc/hosts
export PIP_NO_INDEX=1 PIP_FIND_LINKS=/try/wheels PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ROOT_USER_ACTION=ignore
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root DEBIAN_FRONTEND=noninteractive
git config --global --add safe.directory '*'
systemctl start postgresql nginx
bash /try/guide.sh
RUN

cat >"$work/boot.sh" <<'BOOT'
#!/bin/bash
set -eu
work=$1 root=$1/root
mount --make-rprivate /
mount -t tmpfs tmpfs "$work/scratch"
mkdir "$work/scratch/upper" "$work/scratch/work"
mount -t overlay overlay -o "lowerdir=/,upperdir=$work/scratch/upper,workdir=$work/scratch/work" "$root"
mount -t proc proc "$root/proc"
mount --bind "$root/proc/sys" "$root/proc/sys"
mount -o remount,bind,ro "$root/proc/sys"
mount -t sysfs -o ro sysfs "$root/sys"
mount -t cgroup2 cgroup2 "$root/sys/fs/cgroup"
for place in run tmp var/tmp; do mount -t tmpfs tmpfs "$root/$place"; done
mount -t tmpfs -o mode=755 tmpfs "$root/dev"
mkdir "$root/dev/pts" "$root/dev/shm"
mount -t devpts -o newinstance,ptmxmode=666 devpts "$root/dev/pts"
mount -t tmpfs tmpfs "$root/dev/shm"
for node in "null 3" "zero 5" "full 7" "random 8" "urandom 9"; do mknod -m 666 "$root/dev/${node% *}" c 1 "${node#* }"; done
mknod -m 666 "$root/dev/tty" c 5 0
ln -s pts/ptmx "$root/dev/ptmx"
ln -s /proc/self/fd "$root/dev/fd"
mkdir -p "$root/try/wheels"
mount --bind "$work/share" "$root/try"
mkdir -p "$root/try/wheels"
mount --bind "$work/wheels" "$root/try/wheels"
cat >"$root/etc/systemd/system/try.service" <<UNIT
[Unit]
After=basic.target dbus.service
SuccessAction=exit-force
FailureAction=exit-force
[Service]
Type=oneshot
ExecStart=/bin/bash -c "/bin/bash /try/run.sh >/try/log 2>&1; echo \$? >/try/status; journalctl --no-pager --unit chatsvc >/try/journal"
UNIT
export container=chatsvc-install
cd "$root"
mkdir -p before
pivot_root . before  # PrivateUsers= does not work in a chroot
umount --lazy /before
mount --make-rshared /  # systemd passes credentials to services through shared mounts
exec /lib/systemd/systemd --system --unit=try.service
BOOT

echo "chatsvc: running the commands of docs/install.md"
(
    echo $BASHPID >"$cgroups/chatsvc-install/cgroup.procs"
    exec timeout --signal=KILL 600 unshare --mount --pid --uts --ipc --net --cgroup --fork --kill-child \
        bash "$work/boot.sh" "$work" </dev/null >"$work/console" 2>&1
) || :
[ "${1:-}" = --show ] && cat "$work/share/log"
if [ "$(cat "$work/share/status" 2>/dev/null)" != 0 ]; then
    tail --lines 40 "$work/share/log" "$work/share/journal" "$work/console" 2>/dev/null || :
    echo "chatsvc: the install guide does not work"
    exit 1
fi
echo "chatsvc: every command of docs/install.md and docs/scaling.md works"
