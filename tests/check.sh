#!/bin/sh
# What `make check' runs: it needs neither root nor a network.
# Usage: APXS=... check.sh SRCDIR MODULE VERSION
set -eu

srcdir=$1
module=$2
version=$3
failures=0

tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
trap 'exit 1' HUP INT TERM

# report TITLE FILE: FILE holds what is wrong; empty is right.
report()
{
    if [ -s "$2" ]; then
        echo "not ok: $1"
        sed 's/^/    /' "$2"
        failures=$((failures + 1))
    else
        echo "ok: $1"
    fi
}

# An MPM is either compiled into httpd or a module of its own.
module_loads()
{
    httpd=$("$APXS" -q SBINDIR)/$("$APXS" -q progname)
    libexecdir=$("$APXS" -q LIBEXECDIR)
    {
        echo "ServerName localhost"
        echo "PidFile \"$tmp/httpd.pid\""
        echo "ErrorLog \"$tmp/error.log\""
        for name in mpm_event unixd; do
            if [ -f "$libexecdir/mod_$name.so" ]; then
                echo "LoadModule ${name}_module \"$libexecdir/mod_$name.so\""
            fi
        done
        echo "LoadModule chroot_module \"$PWD/$module\""
        echo "ChrootDir none"
        echo "ChrootFixRoot Off"
    } > "$tmp/httpd.conf"
    "$httpd" -t -d "$tmp" -f "$tmp/httpd.conf" > "$tmp/httpd.out" 2>&1 ||
        cat "$tmp/httpd.out"
}

# Names with an underscore in front are the toolchain's.
exports()
{
    nm -D --defined-only "$module" | awk '$3 !~ /^_/ { print $3 }'
}

directives_in_source()
{
    sed -n 's/.*AP_INIT_[A-Z0-9_]*("\([A-Za-z]*\)".*/\1/p' \
        "$srcdir/mod_chroot.c" | sort
}

directives_in_readme()
{
    sed -n 's/^### \([A-Za-z]*\) directive$/\1/p' "$srcdir/README.md" | sort
}

newest_change()
{
    sed -n 's/^## *\([0-9.]*\).*/\1/p' "$srcdir/ChangeLog.md" | head -n 1
}

newest_debian_change()
{
    sed -n '1s/.*(\([0-9.]*\).*/\1/p' "$srcdir/debian/changelog"
}

version_of_spec()
{
    sed -n 's/^Version: *//p' "$srcdir/packaging/rpm/mod_chroot.spec"
}

# other_version FILE VERSION: says so when that is not configure.ac's.
other_version()
{
    [ "$2" = "$version" ] || echo "$1 has ${2:-none}, configure.ac $version"
}

# What becomes of a path, in -D DUMP_CHROOT, a line each.
fates_in_source()
{
    sed -n '/ fates\[\] = {/,/};/p' "$srcdir/mod_chroot.c" |
        grep -o '"[^"]*"' | tr -d '"' | sort
}

fates_in_caveats()
{
    # shellcheck disable=SC2016 # the document's backquotes
    sed -n '/^| fate/,/^$/s/^| `\([^`]*\)`.*/\1/p' "$srcdir/CAVEATS.md" | sort
}

# differs FILE FILE: the lines that only one of them has.
differs()
{
    diff "$1" "$2" | grep '^[<>]' || true
}

module_loads > "$tmp/wrong"
report "httpd -t loads $module" "$tmp/wrong"

exports > "$tmp/exported"
echo chroot_module | differs "$tmp/exported" - > "$tmp/wrong"
report "chroot_module is the only symbol exported" "$tmp/wrong"

sed -n 's/^\.SS \([A-Za-z]*\) directive$/\1/p' mod_chroot.8 | sort > "$tmp/man"
directives_in_source > "$tmp/source"
differs "$tmp/source" "$tmp/man" > "$tmp/wrong"
report "the directives in mod_chroot.c (<) are those in mod_chroot.8 (>)" \
    "$tmp/wrong"

directives_in_readme > "$tmp/readme"
differs "$tmp/source" "$tmp/readme" > "$tmp/wrong"
report "the directives in mod_chroot.c (<) are those in README.md (>)" \
    "$tmp/wrong"

fates_in_source > "$tmp/source"
fates_in_caveats > "$tmp/readme"
differs "$tmp/source" "$tmp/readme" > "$tmp/wrong"
[ -s "$tmp/source" ] || echo "none found" > "$tmp/wrong"
report "the report's fates in mod_chroot.c (<) are those in CAVEATS.md (>)" \
    "$tmp/wrong"

{
    other_version ChangeLog.md "$(newest_change)"
    other_version debian/changelog "$(newest_debian_change)"
    other_version packaging/rpm/mod_chroot.spec "$(version_of_spec)"
} > "$tmp/wrong"
report "the change logs and the packages have the version of configure.ac" \
    "$tmp/wrong"

[ "$failures" -eq 0 ]
