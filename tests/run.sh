#!/bin/sh
# The whole test suite on Debian, from nothing:
#
#   ./tests/run.sh [pytest's options]
#   ./tests/run.sh --smoke
#   ./tests/run.sh --release NAME [--arch ARCH] [--smoke | pytest's options]
#
# Installs what is missing, without starting a service, and hands over to pytest.
# With --release it does so in a fresh system of another release of Debian, or
# of another architecture: see release.sh. --smoke: strict builds, `make check'
# and a few tests, with what those need.
set -eu
cd "$(dirname "$0")/.."

usage()
{
    cat <<'END'
usage: tests/run.sh [--release NAME] [--arch ARCH] [--smoke | pytest's options]
    --release NAME  in a fresh system of that release of Debian: trixie
    --arch ARCH     in a fresh system of that architecture: i386
    --smoke         strict builds, `make check' and a few tests, and no option
END
}

case ${1-},$# in
--help,* | -h,*) usage; exit ;;
--release,* | --arch,*) exec tests/release.sh "$@" ;;
--smoke,1) ;;
--smoke,*) usage >&2; exit 2 ;;
esac
. tests/packages.sh

# harness.py skips what another release than Debian 12 lacks, and says so.
note_lacking()
{
    ! lacks_call mount_setattr || lacking="$lacking mount_setattr"
    # since then name services are in libc itself, and calls like pidfd_getfd
    dpkg --compare-versions "$(getconf GNU_LIBC_VERSION | cut -d ' ' -f 2)" \
        ge 2.34 || lacking="$lacking glibc-2.34"
    export CHROOT_TEST_LACKS="$lacking"
    [ -z "$lacking" ] || say "This release has no$lacking"
}

if [ "${1-}" = --smoke ]; then
    need apache2 apache2-dev autoconf automake gcc iproute2 libc6-dev make \
        procps python3-pytest strace
    build=
    trap 'rm -rf "$build"' EXIT
    build=$(trap '' HUP INT TERM; mktemp -d)
    for variant in --enable-late-chroot --disable-late-chroot; do
        say "Build: $variant"
        cp -r . "$build/tree"
        (cd "$build/tree" && autoreconf -fi 2>/dev/null &&
            ./configure -q "$variant" && make -s strict check)
        rm -r "$build/tree"
    done
    rmdir "$build"
    note_lacking
    emulated=${CHROOT_TEST_EMULATED-} # by release.sh: no late chroot, no view
    export CHROOT_TEST_WHAT="smoke$emulated"
    late='event and late and (lifecycle or names) or'
    [ -z "$emulated" ] || late=
    exec /usr/bin/python3 -m pytest -q tests/test_lifecycle.py \
        tests/test_fixroot_sections.py tests/test_view.py -k \
        "$late sections and inside"
fi

# Without a database of its own: the tests have theirs.
echo phpmyadmin phpmyadmin/dbconfig-install boolean false |
    debconf-set-selections

# Servers and what they are built with; what runs in jails, and beside them;
# what looks at it.
need apache2 apache2-dev apache2-suexec-pristine apache2-utils \
    libapache2-mod-fcgid libapache2-mod-perl2 libapache2-mod-php \
    libcgi-pm-perl \
    libapache2-mod-security2 libapache2-mod-wsgi-py3 modsecurity-crs \
    libaprutil1-dbd-pgsql libaprutil1-dbd-sqlite3 libaprutil1-ldap \
    autoconf automake build-essential clang gcc git libc6-dev \
    'libclang-rt-dev|libclang-common-11-dev' libfcgi-dev lintian \
    make musl-tools checkpolicy elfutils rpm semodule-utils \
    busybox-static ca-certificates php-cgi php-fpm postgresql \
    python3-bottle python3-websockets slapd tzdata \
    dokuwiki gitweb libapache2-mod-svn mariadb-server phpmyadmin php-curl \
    php-mysql python3-django subversion wordpress \
    'wordpress-theme-twentytwentythree|wordpress-theme-twentytwentyfive' \
    curl gnuplot-nox iproute2 ldap-utils libcap2-bin litmus logrotate nftables \
    openssl procps python3-hypothesis python3-pytest python3-pytest-xdist \
    strace util-linux valgrind wrk

note_lacking
[ $# -gt 0 ] || export CHROOT_TEST_WHAT="whole suite"
say "The tests: some 10 to 20 minutes on two idle cores"
# Not the first python3 in PATH: pytest is Debian's. Four at a time: they wait
# for servers more than they compute.
exec /usr/bin/python3 -m pytest tests --durations=10 -n 4 --dist loadfile "$@"
