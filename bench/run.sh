#!/bin/sh
# The whole benchmark on Debian, from nothing, in at most ten minutes:
#
#   sudo ./bench/run.sh [--smoke] [bench.py's other options]
#
# Installs what is missing, without starting a service, and hands over to
# bench.py. Ends with 1 when a bar is missed; the last lines say which.
set -eu

# What is measured, what builds it, what measures and draws.
packages="
    apache2 apache2-dev autoconf automake gcc libc6-dev make
    gnuplot-nox python3 valgrind wrk
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
# Not the first python3 in PATH: Debian's.
exec /usr/bin/python3 bench/bench.py "$@"
