#!/bin/sh
# README.md followed to the letter, on a bare Debian, which is spoilt by it; and
# quickstart.sh. release.sh runs it before anything else is installed there.
set -eu
cd "$(dirname "$0")/.."

# block FIRST: the lines of the README's block that begins with this one
block()
{
    awk -v first="    $1" '
        $0 == first { inside = 1 }
        inside && !/^    / && !/^$/ { exit }
        inside { sub(/^    /, ""); print }' README.md
}

follow() { block "$1" > /tmp/block; sh -e /tmp/block; }

echo 'APT::Get::Assume-Yes "true";' > /etc/apt/apt.conf.d/newcomer
printf '#!/bin/sh\nexit 101\n' > /usr/sbin/policy-rc.d
chmod 755 /usr/sbin/policy-rc.d
export DEBIAN_FRONTEND=noninteractive

follow "apt update" > /tmp/log 2>&1 || { cat /tmp/log; exit 1; }
apt-get -qq --no-install-recommends install iproute2 >/dev/null 2>&1

block "curl -s http://localhost/" > /tmp/ask
block hello | grep . > /tmp/wanted
# With a network of its own: port 80 may be another's.
{
    echo "ip link set lo up; ./quickstart.sh --once"
    block "mkdir -p /srv/www/html/private"
    echo "cat > /etc/apache2/conf-available/site.conf <<END"
    block "ChrootDir /srv/www"
    echo END
    block "a2dissite 000-default"
    block "apachectl configtest"
    # a person takes longer to type than children take to start
    # shellcheck disable=SC2016 # for the other shell
    echo 'for tenth in $(seq 100); do'
    echo "! sh -e /tmp/ask | cmp -s - /tmp/wanted || break; sleep 0.1"
    echo "done; sh -e /tmp/ask | cmp - /tmp/wanted"
    block "sed -i 's/^Chroot/#&/' /etc/apache2/conf-available/site.conf"
    echo "service apache2 stop"
} > /tmp/site
unshare --net sh -e /tmp/site > /tmp/log 2>&1 || { cat /tmp/log; exit 1; }
echo "==> README.md and quickstart.sh: as they say"
rm /usr/sbin/policy-rc.d
