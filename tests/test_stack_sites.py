"""Many sites on one server, a firewall for them, their logs."""
import contextlib
import http.client
import itertools
import os
import re
import shlex
import shutil

import procfs
from harness import USER, Dir, Request, put, read, run_ok, wait_for
from stack import answers, asking, in_each, in_stock, with_and_without
from stack_apps import FAILS, WORKS

# What the table of CAVEATS.md says: (On, stock ChrootDir, Mount)
MODULES = {
    "mod_vhost_alias": 3 * (WORKS,),
    "mod_macro": 3 * (WORKS,),
    "mod_userdir": 3 * (WORKS,),
    "mod_userdir, UserDir public_html": 3 * ("needs /etc/passwd",),
    "mod_security2": (WORKS, WORKS, "needs SecDataDir, SecTmpDir"),
    "mod_security2, collections and large bodies": 3 * (
        "needs SecDataDir, SecTmpDir",),
    "rotatelogs": 3 * (WORKS,),
    "logrotate": 3 * (WORKS,),
}


# ---------------------------------------------------------------- 1,000 sites

SITES = [f"site{n}.example" for n in range(1000)]
PAGES = {f"sites/{name}/index.html": name for name in SITES}


def homes(server):
    """What each of the sites answers, on one connection."""
    connection = http.client.HTTPConnection("127.0.0.1", server.port,
                                            timeout=10)
    found = []
    with contextlib.closing(connection):
        for name in [*SITES, "none.example"]:
            for path in ("/", "/private"):
                connection.request("GET", path, headers={"Host": name})
                response = connection.getresponse()
                found.append((response.status, response.read()))
    return found


def assert_homes(found):
    assert found[:-2:2] == [(200, name.encode()) for name in SITES]


def test_a_thousand_sites_by_name(httpd):
    server = httpd('UseCanonicalName Off\n'
                   'VirtualDocumentRoot "${JAIL}/sites/%0"\n',
                   modules=["vhost_alias"], files=PAGES)
    server.allow_log(r"AH01797|AH00128")
    rows, found = in_each(server, homes)
    assert rows == MODULES["mod_vhost_alias"]
    assert_homes(found)
    assert found[-2][0] == 404


MACRO = """\
<Macro Site $name>
<VirtualHost *:${PORT}>
ServerName $name
DocumentRoot "${JAIL}/sites/$name"
<Directory "${JAIL}/sites/$name">
Require all granted
</Directory>
<DirectoryMatch "^${JAIL}/sites/$name/private">
Require all denied
</DirectoryMatch>
</VirtualHost>
</Macro>
"""


def test_a_thousand_virtual_hosts_of_a_macro(httpd):
    server = httpd(MACRO + "".join(f"Use Site {name}\n" for name in SITES)
                   + "UndefMacro Site\n", modules=["macro"], files=PAGES)
    server.put({f"sites/{name}/private": Dir for name in SITES})
    server.allow_log("AH01630|AH01797")
    rows, found = in_each(server, homes)
    assert rows == MODULES["mod_macro"]
    assert_homes(found)
    assert {status for status, _ in found[1::2]} == {403}


def test_stock_chrootdir_takes_libgcc_s_on_event(httpd):
    """Which is why the other rows of the table are found with it loaded."""
    server = httpd('VirtualDocumentRoot "${JAIL}/sites/%0"\n',
                   modules=["vhost_alias"],
                   files={"sites/localhost/index.html": "home"})
    home = asking("/")
    rows, expected = in_each(server, home)
    assert rows == MODULES["mod_vhost_alias"]
    assert in_stock(server, home, expected, "ChrootDir ${JAIL}\n") == FAILS
    assert "libgcc_s.so.1 must be installed" in server.output() + server.log()


# ---------------------------------------------------------------- firewall

def firewall(httpd):
    """Debian's recommended configuration, switched on, and the core rules.
    What that keeps in /tmp is in a directory of the test."""
    server = httpd(modules=["unique_id", "security2"],
                   files={"www/index.html": "home", "../var": Dir})
    shutil.chown(server.root / "var", USER)
    server.allow_log("ModSecurity")
    text = read("/etc/modsecurity/modsecurity.conf-recommended")
    for was, now in (("SecRuleEngine DetectionOnly", "SecRuleEngine On"),
                     ("/var/log/apache2/", f"{server.root}/logs/"),
                     (" /tmp/", f" {server.root}/var"),
                     (" unicode.mapping",
                      " /etc/modsecurity/unicode.mapping")):
        assert was in text
        text = text.replace(was, now)
    put(server.root, {"conf/modsecurity.conf": text})
    server.config = ('DocumentRoot "${JAIL}/www"\n'
                     "Include ${ROOT}/conf/modsecurity.conf\n"
                     "Include /usr/share/modsecurity-crs/*.load\n")
    return server


ATTACKS = ["/?q=1%27%20OR%20%271%27=%271", "/?f=../../../etc/passwd",
           "/?x=%3Cscript>alert(1)%3C/script>",
           Request("/", headers={"User-Agent": "sqlmap/1.0"})]
FORM = {"Content-Type": "application/x-www-form-urlencoded",
        "User-Agent": "a browser", "Accept": "*/*"}


def upload(size):
    return Request("/", "POST", body=(
        "--x\r\nContent-Disposition: form-data; name=\"f\"; filename=\"a.txt\""
        f"\r\n\r\n{'text ' * (size // 5)}\r\n--x--\r\n"), headers={
            **FORM, "Content-Type": "multipart/form-data; boundary=x"})


def audited(server):
    """The audit log's entries about requests that were denied."""
    return read(server.root / "logs/modsec_audit.log").count("HTTP/1.1 403")


def denied(server):
    """What the firewall says to visitors and attackers."""
    before = audited(server)
    found = answers(server, ["/", *ATTACKS, upload(1000), Request(
        "/", "POST", body="a=b", headers=FORM)])
    wait_for(lambda: audited(server) == before + len(ATTACKS), "the audit log")
    return found


def test_a_firewall_and_the_core_rules(httpd):
    server = firewall(httpd)
    rows, found = in_each(server, denied, "SecDataDir, SecTmpDir")
    assert rows == MODULES["mod_security2"]
    assert [answer[0] for answer in found] == [200] + 4 * [403] + [200, 200]


def test_a_firewall_keeps_collections_and_large_bodies_in_files(httpd):
    server = firewall(httpd)

    def ask(server):
        found = answers(server, ["/", ATTACKS[3], upload(300000)])
        return [answer[0] for answer in found]

    inner = server.jail / f"{server.root}/var".strip("/")

    def make_directory():
        assert "collection_store: Failed to access DBM file" in server.log()
        inner.mkdir(parents=True)
        shutil.chown(inner, USER)

    rows, empty, found = with_and_without(
        server, ask, "SecDataDir, SecTmpDir", make_directory)
    assert rows == MODULES["mod_security2, collections and large bodies"]
    assert (empty, found) == ([200, 403, 500], [200, 403, 200])
    assert list(inner.glob("*-ip.pag"))


# ------------------------------------------------------------- users' pages

USERS_PAGES = {"home/alice/public_html/index.html": "alice's",
               "home/bob/public_html/sub/page.txt": "bob's"}
USERS_REQUESTS = asking("/~alice/", "/~bob/sub/page.txt", "/~bob/sub",
                        "/~root/", "/~nobody-at-all/", "/~alice")


def test_users_pages_by_a_pattern(httpd):
    server = httpd('UserDir "${JAIL}/home/*/public_html"\nUserDir disabled '
                   "root\n", modules=["userdir"], files=USERS_PAGES)
    rows, found = in_each(server, USERS_REQUESTS)
    assert rows == MODULES["mod_userdir"]
    assert [answer[0] for answer in found] == [200, 200, 301, 404, 404, 301]


def test_users_pages_in_their_homes(httpd, directory):
    """Whose home is where says /etc/passwd, the jail's for children."""
    passwd = directory() / "passwd"
    server = httpd("UserDir public_html\nUserDir disabled root\n",
                   modules=["userdir"], files=USERS_PAGES,
                   binds=[(passwd, "/etc/passwd")])
    users = "".join(f"{name}:x:{uid}:100::{server.jail}/home/{name}:/bin/sh\n"
                    for name, uid in (("alice", 60001), ("bob", 60002)))
    passwd.write_text(read("/etc/passwd") + users)
    rows, empty, found = with_and_without(
        server, USERS_REQUESTS, "/etc/passwd",
        lambda: server.put({"etc/passwd": users}))
    assert rows == MODULES["mod_userdir, UserDir public_html"]
    assert [answer[0] for answer in found] == [200, 200, 301, 404, 404, 301]
    assert {answer[0] for answer in empty} == {404}


# -------------------------------------------------------------------- logs

def logged(server):
    """The lines of the access logs, however they were rotated."""
    return "".join(map(read, (server.root / "logs").glob("access*"))
                   ).splitlines()


def test_logs_are_piped_to_rotatelogs(httpd):
    """It is started by the parent and stays outside, as root."""
    server = httpd('LogFormat "%>s %U" short\nCustomLog "|/usr/bin/rotatelogs '
                   '-n 30 ${ROOT}/logs/access 1K" short\nErrorLog "|/usr/bin/'
                   'rotatelogs -n 1 ${ROOT}/logs/error.log 10M"\n')
    numbers = itertools.count()

    def ask(server):
        loggers = [pid for pid in server.daemons()
                   if os.readlink(f"/proc/{pid}/exe") == "/usr/bin/rotatelogs"]
        pages = [f"/page{next(numbers)}{40 * 'x'}" for _ in range(40)]
        for page in pages:
            server.get(page)
        wait_for(lambda: [logged(server).count(f"404 {page}")
                          for page in pages] == 40 * [1], "all lines, once")
        return [(procfs.root_path(pid), procfs.uids(pid)[0])
                for pid in loggers]

    rows, found = in_each(server, ask)
    assert rows == MODULES["rotatelogs"]
    assert found == 2 * [("/", 0)]
    assert (server.root / "logs/access.2").exists()


def rotation(server):
    """Debian's configuration of logrotate, for this server's logs."""
    text = read("/etc/logrotate.d/apache2")
    text = text.replace("/var/log/apache2/", f"{server.root}/logs/")
    text = re.sub(r"prerotate.*?endscript\n|\t(delay)?compress\n", "", text,
                  flags=re.S)
    reload = shlex.join(server.command("-k", "graceful", wrapped=False))
    text, count = re.subn(r"if pgrep.*?\bfi\n", lambda _: reload + "\n", text,
                          flags=re.S)
    assert count == 1
    put(server.root, {"conf/logrotate": text})


def test_logs_are_rotated_by_logrotate(httpd):
    server = httpd('LogFormat "%>s %U" short\n'
                   'CustomLog "${ROOT}/logs/access.log" short\n')
    rotation(server)
    logs, pages = server.root / "logs", itertools.count()

    def ask(server):
        before, after = f"/{next(pages)}", f"/{next(pages)}"
        server.get(before)
        server.quiesce()
        old = server.workers()
        run_ok(["logrotate", "-f", "-s", server.root / "run/state",
                server.root / "conf/logrotate"], env=server.env)
        wait_for(lambda: not any(map(procfs.alive, old)),
                 "the old children to end")
        wait_for(server.answers, "an answer")
        server.get(after)
        wait_for(lambda: after in read(logs / "access.log"), "a new line")
        return (before in read(logs / "access.log.1"),
                before in read(logs / "access.log"),
                "resuming normal operations" in read(logs / "error.log"))

    rows, found = in_each(server, ask)
    assert rows == MODULES["logrotate"]
    assert found == (True, False, True)
