# shellcheck shell=sh
# Read by scripts that start on a bare Debian: need PACKAGE... installs what is
# missing, without starting a service.

fail() { printf '%s: %s\n' "${0##*/}" "$*" >&2; exit 1; }

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
install_packages()
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

need()
{
    missing=
    for package; do
        is_installed "$package" || missing="$missing $package"
    done
    if [ -n "$missing" ]; then
        command -v apt-get >/dev/null ||
            fail "this is not Debian; install the like of:$missing"
        # shellcheck disable=SC2086 # words on purpose
        install_packages $missing
    fi
}
