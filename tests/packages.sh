# shellcheck shell=sh
# Read by scripts that start on a bare Debian: need PACKAGE... installs what is
# missing, without starting a service.

umask 022 # others than root read what they make

say()  { printf '==> %s\n' "$*"; }
fail() { printf '%s: %s\n' "${0##*/}" "$*" >&2; exit 1; }

[ "$(id -u)" -eq 0 ] ||
    fail "only root may chroot: run it as root, with sudo for example"

is_installed()
{
    [ "$(dpkg-query -W -f '${db:Status-Status}' "$1" 2>/dev/null)" = installed ]
}

# has_candidate PACKAGE: by the lists that apt-get update has fetched.
has_candidate()
{
    apt-cache policy "$1" 2>/dev/null |
        grep '^  Candidate:' | grep -qv '(none)'
}

policy=/usr/sbin/policy-rc.d
restore_policy()
{
    rm -f "$policy"
    [ ! -e "$policy.mod_chroot" ] || mv "$policy.mod_chroot" "$policy"
}

# progress: what apt writes to APT::Status-Fd, a line for each tenth.
progress()
{
    awk -F : '
        $1 == "failed" { exit 1 }
        $1 ~ /^(dl|pm)status$/ && int($3 / 10) != tenth[$1] {
            tenth[$1] = int($3 / 10)
            printf "    %3d %% %s\n", $3, $4
            fflush()
        }' || { cat > /dev/null; return 1; }
}

# Scripts wait for what runs, and end then.
log='' alone=
trap 'rm -f "$log"; exit 130' HUP INT TERM

# apt WORD...: apt-get without a question; its words only when it fails.
apt()
{
    log=$(mktemp)
    { DEBIAN_FRONTEND=noninteractive ${alone:+setsid -w} \
        apt-get -y -o APT::Status-Fd=3 "$@" \
        3>&1 >"$log" 2>&1 </dev/null || echo failed; } | progress || {
        cat "$log" >&2
        rm "$log"
        fail "apt-get $1 failed"
    }
    rm "$log"
}

# While packages are installed, policy-rc.d forbids them to start services; one
# that the administrator has set up is put aside and comes back. No signal may
# stop that halfway: apt's dpkg heeds Ctrl-C, but not in a session of its own.
install_packages()
(
    trap '' HUP INT PIPE TERM
    alone=yes
    [ ! -e "$policy" ] || mv "$policy" "$policy.mod_chroot"
    trap restore_policy EXIT
    printf '#!/bin/sh\nexit 101\n' > "$policy"
    chmod 755 "$policy"
    apt install --no-install-recommends "$@"
)

# choose WORD...: adds to $missing of each a|b the first that this release has,
# unless one is installed; to $lacking the words of which it has none.
choose()
{
    for word; do
        chosen=
        for package in $(echo "$word" | tr '|' ' '); do
            ! is_installed "$package" || continue 2
            [ -n "$chosen" ] || ! has_candidate "$package" || chosen=$package
        done
        if [ -n "$chosen" ]; then
            missing="$missing $chosen"
        else
            lacking="$lacking $word"
        fi
    done
}

# need WORD...: a|b is whichever of them this release of Debian has. Leaves in
# $lacking the words of which it has none, but for Debian 12, which has all.
need()
{
    missing='' lacking='' absent=
    for word; do
        for package in $(echo "$word" | tr '|' ' '); do
            ! is_installed "$package" || continue 2
        done
        absent="$absent $word"
    done
    [ -n "$absent" ] || return 0
    command -v apt-get >/dev/null ||
        fail "this is not Debian; install the like of:$absent"
    say "$(echo "$absent" | wc -w) packages are missing; asking the archive"
    apt update
    # shellcheck disable=SC2086 # words on purpose
    choose $absent
    if [ -n "$missing" ]; then
        say "Installing$missing"
        # shellcheck disable=SC2086 # words on purpose
        apt install --no-install-recommends --download-only $missing
        # shellcheck disable=SC2086 # words on purpose
        install_packages $missing
    fi
    [ -z "$lacking" ] || ! grep -q '^VERSION_ID="12"' /etc/os-release ||
        fail "the archive has no$lacking"
}

# lacks_call NAME: do the headers of this release's kernel not know it?
lacks_call()
{
    printf '#include <sys/syscall.h>\nSYS_%s\n' "$1" | gcc -E - |
        grep -qx "SYS_$1"
}
