#!/bin/sh
# The test suite in a fresh system of another release of Debian, or of another
# architecture that this machine can run:
#
#   ./tests/release.sh [--release NAME] [--arch ARCH] [--smoke | pytest's options]
#
# debootstrap makes the system in a temporary directory, from the archive that
# this machine uses. In copies of it README.md is followed first; then run.sh runs.
# --smoke: `make check' and a few tests, with what those need. Needs root, and
# mount and pid namespaces; nothing is left. Where the machine runs no i386
# programs qemu does, but for clone(CLONE_FS) and mounts: enough for --smoke.
set -eu
cd "$(dirname "$0")/.."
. tests/packages.sh

wrong_usage()
{
    echo "release.sh: $1" >&2
    tests/run.sh --help >&2
    exit 2
}

release=trixie arch=$(dpkg --print-architecture) smoke=
while [ $# -gt 0 ]; do
    case $1,${2-} in
    --release,[!-]*) release=$2; shift ;;
    --arch,[!-]*) arch=$2; shift ;;
    --release,* | --arch,*) wrong_usage "$1 needs a value" ;;
    --smoke,*) smoke=yes ;;
    --help,* | -h,*) exec tests/run.sh --help ;;
    *) break ;;
    esac
    shift
done
[ -z "$smoke" ] || [ $# -eq 0 ] || wrong_usage "no option goes with --smoke: $*"

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

# step COMMAND...: its words only when it fails.
step()
{
    "$@" > "$place/log" 2>&1 || { tail "$place/log" >&2; fail "no $release"; }
}

# Has qemu run i386 programs: by an ELF file's type and machine, binfmt_misc.
emulate()
{
    need qemu-user-static
    mkdir "$binfmt"
    mount -t binfmt_misc binfmt_misc "$binfmt"
    printf ':mod_chroot-%d:M:16:\\x02\\x00\\x03\\x00:\\xfe\\xff\\xff\\xff:%s:F' \
        $$ /usr/bin/qemu-i386-static > "$binfmt/register"
}

clean_up()
{
    trap '' HUP INT PIPE TERM
    [ -n "$place" ] || return 0
    if mountpoint -q "$binfmt"; then
        echo -1 > "$binfmt/mod_chroot-$$" || :
        umount "$binfmt"
    fi
    rm -rf --one-file-system "$place"
}

need debootstrap
# uname says i686 there, as on a machine of that architecture.
as=
[ "$arch" != i386 ] || as=linux32
# trixie's debootstrap wants the keys of its own day; these are the machine's.
place='' binfmt=
trap clean_up EXIT
trap 'exit 130' HUP INT PIPE TERM
place=$(trap '' HUP INT TERM; mktemp -d "/var/lib/mod_chroot-$release.XXXXXX")
root=$place/root binfmt=$place/binfmt
chmod 755 "$place"

say "Debian $release, $arch, into $root"
mkdir "$root"
step debootstrap --foreign --variant=minbase --arch="$arch" "$release" \
    "$root" "$(mirror)"
emulated=
chroot "$root" /bin/true 2>/dev/null || {
    [ "$arch$smoke" = i386yes ] ||
        fail "this machine runs no programs of $arch; i386 takes --smoke here"
    say "By qemu, as this machine runs no programs of $arch"
    emulate
    emulated=", by qemu"
}
step chroot "$root" /debootstrap/debootstrap --second-stage
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
inside env CHROOT_TEST_EMULATED="$emulated" \
    tests/run.sh ${smoke:+--smoke} "$@"
