#!/bin/sh
# README.md followed to the letter, on a bare Debian, which is spoilt by it:
#
#   tests/newcomer.sh quickstart | package | source
#
# release.sh runs each of the three in a system of its own. No package starts a
# service, and httpd has a network of its own: port 80 may be another's.
set -eu
cd "$(dirname "$0")/.."
. tests/packages.sh

# block FIRST: the lines of the block that begins with this one.
block()
{
    cat README.md CAVEATS.md | awk -v first="    $1" '
        $0 == first && last == "" { inside = found = 1 }
        inside && !/^    / && !/^$/ { exit }
        inside { sub(/^    /, ""); print }
        { last = $0 }
        END { exit !found }' || {
        echo "newcomer.sh: no document has a block that begins with: $1" >&2
        exit 1
    }
}

# quietly COMMAND...: its words are only of interest when it fails.
quietly() { "$@" > /tmp/log 2>&1 || { cat /tmp/log; exit 1; } }

# What the documents say is read by an ordinary shell, which stops at an error.
network() { block "$1" > /tmp/block; quietly sh -exc "$(cat /tmp/block)"; }
offline()
{
    cat > /tmp/block
    quietly unshare --net sh -exc "ip link set lo up; $(cat /tmp/block)"
}

# shellcheck disable=SC2016 # for the other shell
# children TEST: Apache has some, and all of them pass it. They are not there at
# once, which a person does not notice.
children='
pids() { pgrep -P "$(cat /run/apache2/apache2.pid)"; }
children()
{
    for tenth in $(seq 100); do
        [ -z "$(pids)" ] || ! pids | { while read -r pid; do
            [ "$(stat -Lc %d:%i "/proc/$pid/root")" "$1" "$(stat -c %d:%i /)" ] ||
                exit 1
        done; } || return 0
        sleep 0.1
    done
    echo "the children are not where they should be"
    return 1
}'

prepare()
{
    echo 'APT::Get::Assume-Yes "true";' > /etc/apt/apt.conf.d/newcomer
    printf '#!/bin/sh\nexit 101\n' > /usr/sbin/policy-rc.d
    chmod 755 /usr/sbin/policy-rc.d
    export DEBIAN_FRONTEND=noninteractive
    quietly apt-get update
    quietly apt-get --no-install-recommends install iproute2 procps
}

case $1 in
quickstart)
    ./quickstart.sh --once --port 28080
    ;;
package)
    prepare
    network "apt update"
    if lacks_call mount_setattr; then
        echo "==> Left out, as this release has no mount_setattr: Mount, DokuWiki"
        exit
    fi
    quietly apt-get install dokuwiki libapache2-mod-php
    {
        echo "$children"
        echo "service apache2 start; children ="
        block "apt install dokuwiki libapache2-mod-php"
        echo "curl -s http://localhost/dokuwiki/doku.php | grep -i dokuwiki"
        block "sed -i 's/^#Chroot/Chroot/' /etc/apache2/mods-available/chroot.conf"
        echo "children !="
        echo "curl -s http://localhost/dokuwiki/doku.php | grep -i dokuwiki"
        echo "apachectl -t -D DUMP_CHROOT > /tmp/said"
        echo "if grep -E '^(warning|error|# )' /tmp/said; then exit 1; fi"
        block "sed -i 's/^Chroot/#&/' /etc/apache2/mods-available/chroot.conf"
        echo "children ="
        echo "service apache2 stop"
    } | offline
    ;;
source)
    prepare
    network "apt install apache2 apache2-dev autoconf automake curl gcc make"
    block "curl -s http://localhost/" > /tmp/ask
    block hello | grep . > /tmp/wanted
    {
        echo "$children"
        echo "service apache2 start; children ="
        block "mkdir -p /srv/www/html/private"
        echo "cat > /etc/apache2/conf-available/site.conf <<END"
        block "ChrootDir /srv/www"
        echo END
        block "a2dissite 000-default"
        block "apachectl configtest"
        echo "children !="
        echo "sh -e /tmp/ask | cmp - /tmp/wanted"
        # the file that these two lines are in
        block "sed -i 's/^Chroot/#&/' /etc/apache2/mods-available/chroot.conf" |
            sed 's|/etc/[^ ]*|/etc/apache2/conf-available/site.conf|'
        echo "children ="
        echo "service apache2 stop"
    } | offline
    ;;
esac
echo "==> The documents, $1: as they say"
