#!/bin/sh
# The whole test suite on Debian, from nothing:
#
#   sudo ./tests/run.sh [pytest's options]
#
# Installs what is missing, without starting a service, and hands over to pytest.
set -eu

# What the suite drives, what it builds with, what it looks with.
packages="
    apache2 apache2-dev apache2-suexec-pristine apache2-utils
    libapache2-mod-fcgid libapache2-mod-perl2 libapache2-mod-php8.2
    libapache2-mod-security2 libapache2-mod-wsgi-py3 modsecurity-crs
    libaprutil1-dbd-pgsql libaprutil1-dbd-sqlite3 libaprutil1-ldap
    php8.2-cgi php8.2-fpm postgresql python3-bottle python3-websockets slapd
    autoconf automake build-essential clang gcc git libc6-dev
    libclang-rt-14-dev libfcgi-dev lintian make rpm
    busybox-static ca-certificates curl gnuplot-nox ldap-utils libcap2-bin
    litmus logrotate openssl procps python3-hypothesis python3-pytest strace
    tzdata util-linux valgrind wrk
"

fail() { printf 'run.sh: %s\n' "$*" >&2; exit 1; }

[ "$(id -u)" -eq 0 ] ||
    fail "only root may chroot: run it as root, with sudo for example"

is_installed()
{
    [ "$(dpkg-query -W -f '${db:Status-Status}' "$1" 2>/dev/null)" = installed ]
}

policy=/usr/sbin/policy-rc.d
restore_policy()
{
    rm -f "$policy"
    [ ! -e "$policy.mod_chroot" ] || mv "$policy.mod_chroot" "$policy"
}

# While packages are installed, policy-rc.d forbids them to start services; one
# that the administrator has set up is put aside and comes back.
install()
{
    [ ! -e "$policy" ] || mv "$policy" "$policy.mod_chroot"
    trap restore_policy EXIT
    trap 'exit 1' HUP INT TERM
    printf '#!/bin/sh\nexit 101\n' > "$policy"
    chmod 755 "$policy"

    export DEBIAN_FRONTEND=noninteractive
    {
        apt-get -qq update &&
            apt-get -qq -y --no-install-recommends install "$@"
    } </dev/null || fail "the packages could not be installed"

    restore_policy
    trap - EXIT HUP INT TERM
}

missing=
for package in $packages; do
    is_installed "$package" || missing="$missing $package"
done
if [ -n "$missing" ]; then
    command -v apt-get >/dev/null ||
        fail "this is not Debian; install the like of:$missing"
    # shellcheck disable=SC2086 # words on purpose
    install $missing
fi

cd "$(dirname "$0")/.."
# Not the first python3 in PATH: pytest is Debian's.
exec /usr/bin/python3 -m pytest tests "$@"
