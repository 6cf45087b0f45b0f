#!/bin/sh
# The test suite in a fresh system of another release of Debian, or of another
# architecture that this machine can run:
#
#   ./tests/release.sh [--release NAME] [--arch ARCH] [--smoke | pytest's options]
#
# debootstrap makes the system in a temporary directory, from the archive that
# this machine uses. In copies of it README.md is followed first; then run.sh runs.
# --smoke: `make check' and a few tests, with what those need. Needs root, and
# mount and pid namespaces; nothing is left.
set -eu
cd "$(dirname "$0")/.."
. tests/packages.sh

release=trixie arch=$(dpkg --print-architecture) smoke=
while [ $# -gt 0 ]; do
    case $1 in
    --release) release=${2?} ; shift ;;
    --arch) arch=${2?} ; shift ;;
    --smoke) smoke=yes ;;
    *) break ;;
    esac
    shift
done

# shellcheck disable=SC2016 # apt fills them in
# The archive of this machine's own release, without what is for security alone.
mirror()
{
    codename=$(sed -n 's/^VERSION_CODENAME=//p' /etc/os-release)
    apt-get indextargets --format '$(RELEASE) $(REPO_URI)' \
        "Identifier: Packages" |
        awk -v release="$codename" '$1 == release { print $2; exit }'
}

# What this machine needs to reach the archive, which may be a mirror that lags.
apt_settings()
{
    apt-config dump | grep -E '^Acquire::(https?::|ftp::)?(Proxy|Retries)' || :
    echo 'Acquire::Check-Valid-Until "false";'
}

# In the new system as root and process 1 of a mount and a pid namespace. Its
# root is a mount point, as a machine's is.
# shellcheck disable=SC2016 # for another shell
enter='
cd "$1"
shift
mount --bind . .
cd "$PWD"
mount --rbind /dev dev
mount --rbind /sys sys
mount -t proc proc proc
mount -t tmpfs -o mode=755 tmpfs run
mkdir run/lock
pivot_root . .
umount -l .
cd /root/mod_chroot
exec env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root TERM="${TERM-dumb}" \
    LC_ALL=C.UTF-8 CI=true "$@"'
inside()
{
    $as unshare --mount --propagation private --pid --fork \
        --kill-child sh -euc "$enter" sh "$root" "$@"
}

clean_up()
{
    trap '' HUP INT TERM
    rm -rf --one-file-system "$place"
}

need debootstrap
# uname says i686 there, as on a machine of that architecture.
as=
[ "$arch" != i386 ] || as=linux32
# trixie's debootstrap wants the keys of its own day; these are the machine's.
place=$(mktemp -d "/var/lib/mod_chroot-$release.XXXXXX")
trap clean_up EXIT
trap 'exit 130' HUP INT TERM
chmod 755 "$place"
root=$place/root

say "Debian $release, $arch, into $root"
mkdir "$root"
debootstrap --variant=minbase --arch="$arch" "$release" "$root" "$(mirror)" \
    > "$place/log" 2>&1 || {
        tail "$place/log" >&2
        fail "no $release; a failure to run /bin/true means that this machine
    runs no programs of $arch"
    }
apt_settings > "$root/etc/apt/apt.conf.d/00machine"
echo force-unsafe-io > "$root/etc/dpkg/dpkg.cfg.d/throw-away"
mkdir "$root/root/mod_chroot"
{ git ls-files 2>/dev/null || find . -type f -not -path './.git/*'; } |
    tar -c -T - | tar -x -C "$root/root/mod_chroot"

if [ -z "$smoke" ]; then
    bare=$root
    for way in quickstart package source; do
        root=$place/$way
        cp -a "$bare" "$root"
        inside tests/newcomer.sh "$way"
        rm -rf --one-file-system "$root"
    done
    root=$bare
fi
inside tests/run.sh ${smoke:+--smoke} "$@"
