#!/bin/sh
# A stock Apache httpd with its children in a jail, from one command:
#
#   ./quickstart.sh [--once] [--port N]
#
# Installs what a build needs, builds mod_chroot, starts the distribution's own
# httpd with a small sample site on 127.0.0.1:8080 and shows where its children
# are. Serves until Ctrl-C; --once stops after the show. Everything is in one
# temporary directory; an installed Apache is neither read nor written.
set -eu
umask 022 # the children read what is made here

self=$(readlink -f "$0" 2>/dev/null) || self=$0
srcdir=$(cd "$(dirname "$self")" && pwd)
port=8080
once=no

say()  { printf '==> %s\n' "$*"; }
fail() { printf 'quickstart.sh: %s\n' "$*" >&2; exit 1; }

usage()
{
    echo "usage: ./quickstart.sh [--once] [--port N]" >&2
    exit 2
}

while [ $# -gt 0 ]; do
    case $1 in
    --once) once=yes ;;
    --port) [ $# -ge 2 ] || usage; port=$2; shift ;;
    *) usage ;;
    esac
    shift
done
case $port in
'' | *[!0-9]* | 0* | ??????*) usage ;;
esac
[ "$port" -le 65535 ] || usage

[ "$(id -u)" -eq 0 ] ||
    fail "only root may chroot: run it as root, with sudo for example"
[ -d /proc/self ] || fail "/proc is not mounted; children are found through it"

# Of this process, by their numbers in capabilities(7). mod_cgid gives its socket
# to User, and httpd ends children that are no longer root.
held=0x$(sed -n 's/^CapEff:[[:space:]]*//p' /proc/self/status)
has_capability() { [ $((held >> $1 & 1)) -eq 1 ]; }
for capability in 0:CHOWN 5:KILL 6:SETGID 7:SETUID 18:SYS_CHROOT; do
    has_capability "${capability%:*}" ||
        fail "no CAP_${capability#*:}: a container needs" \
            "--cap-add=${capability#*:} to have a jail in it"
done

# /proc/net/tcp* has a listening socket as "ADDRESS:PORT REMOTE 0A", in hex.
if grep -Eq ": [0-9A-F]+:$(printf %04X "$port") [0-9A-F:]+ 0A " /proc/net/tcp*
then
    fail "port $port is in use: choose another with --port N"
fi

# quietly COMMAND...: its words are only of interest when it fails.
quietly()
{
    ("$@") > "$tmp/log" 2>&1 </dev/null || {
        cat "$tmp/log" >&2
        fail "failed: $*"
    }
}

# The packages, and how this distribution says that one is there. What is there
# is not named again, lest it be upgraded. The httpd packages start no service.
wanted=
want()
{
    for package in "$@"; do
        $is_installed "$package" >/dev/null 2>&1 || wanted="$wanted $package"
    done
}

rpm_has()  { rpm -q --whatprovides "$1"; }
apk_has()  { apk info -e "$1"; }

install_missing()
{
    if command -v apt-get >/dev/null; then
        (
            # shellcheck source=tests/packages.sh
            . "$srcdir/tests/packages.sh"
            need apache2-bin apache2-dev autoconf curl gcc libc6-dev make
            printf '%s' "$missing" > "$tmp/installed"
        )
        return
    elif command -v dnf >/dev/null; then
        is_installed=rpm_has
        want httpd httpd-devel autoconf curl gcc make
        install="dnf -y install"
    elif command -v apk >/dev/null; then
        is_installed=apk_has
        want apache2 apache2-dev autoconf curl gcc make musl-dev
        install="apk -U add"
    else
        fail "no apt-get, dnf or apk here: INSTALL says what to do by hand"
    fi

    [ -n "$wanted" ] || return 0
    say "Installing$wanted"
    echo "$wanted" > "$tmp/installed"
    # shellcheck disable=SC2086 # words on purpose
    $install $wanted </dev/null || fail "the packages could not be installed"
}

# wait_until SECONDS COMMAND...: polls until the time is up or httpd has ended.
wait_until()
{
    ticks=$(($1 * 10))
    shift
    until "$@"; do
        ticks=$((ticks - 1))
        [ "$ticks" -gt 0 ] && kill -0 "$server" 2>/dev/null || return 1
        sleep 0.1
    done
}

build()
{
    mkdir "$tmp/build" &&
        cp "$srcdir/configure.ac" "$srcdir/Makefile.in" "$srcdir/mod_chroot.c" \
            "$tmp/build" &&
        cd "$tmp/build" &&
        autoconf &&
        ./configure --with-apxs=/usr/bin/apxs &&
        make
}

# All that the children will have: no library, no device, no /etc.
make_site()
{
    mkdir -p "$jail/htdocs/private" "$jail/notes"
    echo "<h1>Hello from the jail</h1>" > "$jail/htdocs/index.html"
    echo "<h1>Nobody may read this</h1>" > "$jail/htdocs/private/index.html"
    echo "<h1>An aliased page</h1>" > "$jail/notes/index.html"
    mkdir "$jail/run"
    # A CGI program that climbs as far as it goes; static, if libc can be had so
    cat > "$tmp/climb.c" <<'END'
#include <dirent.h>
#include <stdio.h>
#include <unistd.h>

int main(void)
{
    struct dirent *entry;
    DIR *dir;
    int i;

    for (i = 0; i < 64 && chdir("..") == 0; i++) {
    }
    printf("Content-Type: text/plain\n\nThe top has");
    for (dir = opendir("."); dir && (entry = readdir(dir)) != NULL;) {
        printf(entry->d_name[0] != '.' ? " %s" : "", entry->d_name);
    }
    puts(access("etc/passwd", F_OK) ? ", and no etc/passwd" : ", etc/passwd!");
    return 0;
}
END
    gcc -w -static -o "$jail/climb" "$tmp/climb.c" 2>/dev/null || :
}

# What is not compiled into this httpd is loaded.
load_modules()
{
    libexecdir=$(/usr/bin/apxs -q LIBEXECDIR)
    for name in "$@"; do
        if [ -f "$libexecdir/mod_$name.so" ]; then
            echo "LoadModule ${name}_module \"$libexecdir/mod_$name.so\""
        fi
    done
}

# www-data on Debian, apache on RHEL, Fedora and Alpine.
web_user()
{
    for user in www-data apache nobody; do
        if id -u "$user" >/dev/null 2>&1; then
            echo "$user"
            return
        fi
    done
}

write_config()
{
    user=$(web_user)
    {
        load_modules mpm_event unixd authz_core alias dir cgid
        cat <<END
LoadModule chroot_module "$tmp/build/mod_chroot.so"

ServerName localhost
Listen 127.0.0.1:$port
User $user
Group $(id -gn "$user")
PidFile "$tmp/httpd.pid"
DefaultRuntimeDir "$tmp"
ErrorLog "$tmp/error.log"
StartServers 2

ChrootDir "$jail"
ChrootFixRoot $mode

# Paths are written as without a jail.
DocumentRoot "$jail/htdocs"
Alias "/notes" "$jail/notes"
<IfModule mod_cgid.c>
    ScriptSock "$jail/run/cgisock"
    ScriptAlias "/climb" "$jail/climb"
</IfModule>
DirectoryIndex index.html
ForceType text/html

<Directory "/">
    AllowOverride None
    Require all denied
</Directory>
<Directory "$jail">
    Require all granted
</Directory>
<Directory "$jail/htdocs/private">
    Require all denied
</Directory>
END
    } > "$tmp/httpd.conf"
}

# Mount, where the kernel allows it: -t tries.
choose_mode()
{
    httpd=$(/usr/bin/apxs -q SBINDIR)/$(/usr/bin/apxs -q progname)
    mode=Mount
    write_config
    if ! "$httpd" -d "$tmp" -f "$tmp/httpd.conf" -t > "$tmp/log" 2>&1; then
        say "ChrootFixRoot Mount is not possible here, so this uses On:"
        sed 's/.*\] (/    (/; s/: look at it.*//' "$tmp/log"
        mode=On
        write_config
    fi
}

start_httpd()
{
    say "Starting $httpd -d $tmp -f $tmp/httpd.conf, which has"
    sed -n '/^Chroot/,/^Alias/ { /^[^#]/ s/^/    /p; }' "$tmp/httpd.conf"
    "$httpd" -d "$tmp" -f "$tmp/httpd.conf" -DFOREGROUND &
    server=$!
}

# The PIDs of httpd's children, without any tool that might not be there.
children()
{
    grep -ls "^PPid:[[:space:]]$server\$" /proc/[0-9]*/status |
        cut -d / -f 3
}

# What children see is all that there is in a mount namespace, and has no other
# name than "/": what counts is what it is. A view has the jail at its own path.
root_of()
{
    if is_same "/proc/$1/root/" /; then
        echo /
    elif is_same "/proc/$1/root/" "$jail" ||
        is_same "/proc/$1/root$jail" "$jail"; then
        echo "$jail"
    fi
}

is_same()
{
    [ "$(stat -L -c %d:%i "$1" 2>&1)" = "$(stat -L -c %d:%i "$2")" ]
}

uid_of()  { awk '/^Uid:/ { print $2 }' "/proc/$1/status"; }

# Every child, and there are some, has the jail as its root, where one can see it,
# and is not root. Between fork and child_init they are not there yet.
all_jailed()
{
    pids=$(children)
    [ -n "$pids" ] || return 1
    for pid in $pids; do
        [ -z "$sees_roots" ] || [ "$(root_of "$pid" 2>&1)" = "$jail" ] ||
            return 1
        [ "$(uid_of "$pid" 2>&1)" != 0 ] || return 1
    done
}

show_processes()
{
    wait_until 20 all_jailed ||
        stop_with_log "a child is root or outside the jail"
    [ "$(root_of "$server")" = / ] || stop_with_log "the parent is not outside"
    echo "    parent $server: root $(root_of "$server"), uid $(uid_of "$server")"
    for pid in $pids; do
        root=${sees_roots:+root $(root_of "$pid"), }
        echo "    child  $pid: ${root}uid $(uid_of "$pid")"
    done
}

# show_page PATH STATUS TEXT: fetches it and compares.
show_page()
{
    url=http://127.0.0.1:$port$1
    status=$(curl -s --noproxy '*' --max-time 20 -o "$tmp/page" \
        -w '%{http_code}' "$url") || stop_with_log "no answer from $url"
    echo "    $url -> $status $(grep -m 1 "$3" "$tmp/page")"
    if [ "$status" != "$2" ] || ! grep -q "$3" "$tmp/page"; then
        stop_with_log "expected $2 and \"$3\""
    fi
}

# What answers may be another's server; only this one, when it has the port,
# writes its PidFile.
answers()
{
    [ -s "$tmp/httpd.pid" ] &&
        curl -s --noproxy '*' --max-time 5 -o /dev/null \
            "http://127.0.0.1:$port/"
}

# replaced OLD: none of the children is one of these any more.
replaced()
{
    for pid in $1; do
        [ ! -d "/proc/$pid" ] || return 1
    done
}

stop_with_log()
{
    echo "--- error log" >&2
    cat "$tmp/error.log" >&2 2>/dev/null || :
    fail "$*"
}

show()
{
    wait_until 20 answers || stop_with_log "httpd did not start"

    say "The site"
    show_page / 200 "Hello from the jail"
    show_page /notes/ 200 "An aliased page"
    show_page /private/ 403 Forbidden

    if [ -x "$jail/climb" ] && grep -q cgid_module "$tmp/httpd.conf"; then
        say "What a program in the jail finds when it climbs as far as .. leads"
        show_page /climb 200 "no etc/passwd"
    fi

    say "All files in the jail; with On, one at its own path is a link to it"
    (cd "$jail" && find . ! -type d ! -type s | sort | sed 's/^/    /')

    sees_roots=
    if has_capability 19; then
        sees_roots=yes
        say "The processes: the parent outside, its children in $jail"
    else
        say "The processes: without CAP_SYS_PTRACE (--cap-add=SYS_PTRACE)" \
            "it cannot be shown where the children are"
    fi
    show_processes

    say "A graceful restart: new children${sees_roots:+, the same jail}"
    kill -USR1 "$server"
    wait_until 20 replaced "$pids" || stop_with_log "the old children stayed"
    show_processes
    show_page / 200 "Hello from the jail"
}

server='' tmp=
clean_up()
{
    trap '' HUP INT PIPE TERM
    [ -n "$tmp" ] || return 0
    if [ -n "$server" ]; then
        kill -TERM "$server" 2>/dev/null || :
        wait "$server" || :
        # Children outlive a parent that somebody killed hard.
        grep -ls "$tmp/httpd[.]conf" /proc/[0-9]*/cmdline | cut -d / -f 3 |
            xargs -r kill -KILL 2>/dev/null || :
    fi
    [ ! -s "$tmp/installed" ] ||
        say "These packages were installed for this, and stay:$(cat "$tmp/installed")" ||
        :
    rm -rf "$tmp"
}
trap clean_up EXIT
trap 'exit 129' HUP
trap 'exit 130' INT
trap 'exit 141' PIPE
trap 'exit 143' TERM
# Not in /tmp: nobody but root may write to any component of a jail's path.
# Ctrl-C waits until the name is known.
tmp=$(trap '' HUP INT TERM; mktemp -d /var/lib/mod_chroot-quickstart.XXXXXX)
chmod 755 "$tmp"
jail=$tmp/jail

install_missing
say "Building mod_chroot in $tmp/build"
quietly build
make_site
choose_mode
start_httpd
show

if [ "$once" = yes ]; then
    say "All that is shown above is as it should be"
else
    say "Serving http://127.0.0.1:$port/ until Ctrl-C; everything is in $tmp"
    trap 'exit 0' HUP INT TERM
    wait "$server" || stop_with_log "httpd ended"
fi
