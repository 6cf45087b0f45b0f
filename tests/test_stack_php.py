"""PHP in the jail: mod_php, and php-fpm in its own chroot or outside."""
import os
from pathlib import Path

import pytest

from comparison import JAILED
from harness import (BUSYBOX, GROUP, MOD_PHP, PHP_FPM, PLAIN, UID, USER, Dir, File,
                     Request, free_port, self_link)
from stack_apps import (WHOSE, answers, as_without_the_jail, cell, copies,
                        in_jail, page, paste, service)

# What the table of CAVEATS.md says: (On, stock ChrootDir, Mount)
MODULES = {
    "mod_php": 3 * ("needs /usr/share/zoneinfo",),
    "mod_proxy_fcgi": 3 * ("works",),
    "php-fpm, chrooted": (*2 * ("needs /usr/share/zoneinfo",),
                          "needs /usr/share/zoneinfo, the self-link"),
    "php-fpm, not chrooted": 3 * ("works",),
}

FPM_MODULES = ["proxy", "proxy_fcgi"]

ZONE = "Europe/Berlin"
ZONES = copies("/usr/share/zoneinfo/UTC", f"/usr/share/zoneinfo/{ZONE}")

VARS = """<?php
foreach (['DOCUMENT_ROOT', 'SCRIPT_FILENAME', 'SCRIPT_NAME', 'PHP_SELF',
          'PATH_INFO', 'QUERY_STRING', 'REQUEST_URI', 'PHP_AUTH_USER'] as $n)
    echo "$n=", str_replace('//', '/', $_SERVER[$n] ?? '(none)'), "\\n";
echo 'file=', __FILE__, "\\ncwd=", getcwd(), "\\n";
echo 'body=', file_get_contents('php://input'), "\\n";
"""
UPLOAD = """<?php
$to = __DIR__ . '/received/' . $_FILES['f']['name'];
echo is_uploaded_file($_FILES['f']['tmp_name']) ? 'uploaded ' : 'not ',
     dirname($_FILES['f']['tmp_name']), "\\n";
echo move_uploaded_file($_FILES['f']['tmp_name'], $to) ? "moved to $to\\n"
                                                       : "lost\\n";
echo file_get_contents($to);
"""
FILES = {
    "www/index.php": "<?php echo 'home';",
    "www/vars.php": VARS,
    "www/upload.php": UPLOAD,
    "www/relative.php": "<?php include 'parts/part.php';",
    "www/root.php":
        "<?php include $_SERVER['DOCUMENT_ROOT'] . '/parts/part.php';",
    "www/library.php": "<?php include 'library.inc';",
    "www/absolute.php": "<?php include '/www/parts/part.php';",
    "www/parts/part.php": "<?php echo 'part ', __FILE__;",
    "www/session.php":
        "<?php session_start(); echo $_SESSION['n'] = 1 + "
        "($_SESSION['n'] ?? 0), ' in ', session_save_path();",
    "www/date.php": "<?php echo date('c T', 1600000000);",
    "www/fatal.php": "<?php missing();",
    "lib/library.inc": "<?php echo 'library ', __FILE__;",
    "www/received": Dir, "var/sessions": Dir, "var/uploads": Dir,
}
BOUNDARY = "sixteen-dashes"
UPLOADED = (f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="f"; '
            f'filename="a.txt"\r\n\r\n{"uploaded text " * 2000}\r\n'
            f"--{BOUNDARY}--\r\n")


def put(server):
    server.put(FILES)
    for name in ("www/received", "var/sessions", "var/uploads"):
        os.chown(server.jail / name, UID, -1)
    return server


def ask(server):
    """What an application does."""
    answers = {name: page(server, f"/{name}") for name in (
        "", "vars.php", "vars.php/path/info?q=1", "relative.php", "root.php",
        "library.php", "missing.php", "missing/missing.php", "date.php",
        "fatal.php")}
    answers["post"] = page(server, Request(
        "/vars.php", "POST", body="x" * 70000, auth=("user", "secret"),
        headers={"Content-Type": "text/plain"}))
    answers["upload"] = page(server, Request(
        "/upload.php", "POST", body=UPLOADED, headers={
            "Content-Type": f"multipart/form-data; boundary={BOUNDARY}"}))
    first = server.get("/session.php")
    cookie = first.headers["set-cookie"].split(";")[0]
    answers["session"] = [first.status] + [
        page(server, Request("/session.php", headers={"Cookie": cookie}))
        for _ in range(2)]
    for received in server.jail.glob("www/received/*"):
        received.unlink()
    return answers


def assert_is_an_application(answers):
    """As without the jail is not enough: both may be wrong."""
    assert answers["root.php"] == (200, "part /www/parts/part.php")
    assert answers["relative.php"] == answers["root.php"]
    assert answers["library.php"] == (200, "library /lib/library.inc")
    assert answers["date.php"] == (200, "2020-09-13T14:26:40+02:00 CEST")
    assert "SCRIPT_FILENAME=/www/vars.php\n" in answers["vars.php"][1]
    assert "DOCUMENT_ROOT=/www\n" in answers["vars.php"][1]
    assert "PATH_INFO=/path/info\n" in answers["vars.php/path/info?q=1"][1]
    assert "moved to /www/received/a.txt\nuploaded" in answers["upload"][1]
    assert answers["session"][1:] == [(200, "2 in /var/sessions"),
                                      (200, "3 in /var/sessions")]
    assert answers["missing.php"][0] == 404
    assert answers["fatal.php"][0] == 500


# ----------------------------------------------------------- mod_php, prefork

PREFORK = f"""\
DocumentRoot "${{JAIL}}/www"
DirectoryIndex index.php
<FilesMatch "\\.php$">
    SetHandler application/x-httpd-php
</FilesMatch>
php_admin_value open_basedir "${{JAIL}}/www:${{JAIL}}/lib:${{JAIL}}/var"
php_admin_value session.save_path "${{JAIL}}/var/sessions"
php_admin_value upload_tmp_dir "${{JAIL}}/var/uploads"
php_value include_path ".:${{JAIL}}/lib"
php_value date.timezone {ZONE}
"""


def test_mod_php_answers_as_without_the_jail(httpd, variant):
    server = put(httpd(PREFORK, mpm="prefork", modules=[MOD_PHP],
                       files=ZONES))
    server.allow_log("PHP Fatal error: .*missing|not found or unable to stat")
    assert_is_an_application(as_without_the_jail(server, ask))
    assert page(server, "/absolute.php") == (200, "part /www/parts/part.php")


# -------------------------------------------------------------------- php-fpm

POOLS = """\
[global]
error_log = {root}/logs/fpm.log
daemonize = no
[outside]
{common}
listen = {jail}/run/outside.sock
php_admin_value[session.save_path] = {jail}/var/sessions
php_admin_value[upload_tmp_dir] = {jail}/var/uploads
php_admin_value[include_path] = .:{jail}/lib
[outside-tcp]
{common}
listen = 127.0.0.1:{outside}
php_admin_value[session.save_path] = {jail}/var/sessions
php_admin_value[upload_tmp_dir] = {jail}/var/uploads
php_admin_value[include_path] = .:{jail}/lib
[inside]
{common}
listen = {jail}/run/inside.sock
chroot = {jail}
php_admin_value[session.save_path] = /var/sessions
php_admin_value[upload_tmp_dir] = /var/uploads
php_admin_value[include_path] = .:/lib
[inside-tcp]
{common}
listen = 127.0.0.1:{inside}
chroot = {jail}
php_admin_value[session.save_path] = /var/sessions
php_admin_value[upload_tmp_dir] = /var/uploads
php_admin_value[include_path] = .:/lib
"""
COMMON = f"""\
user = {USER}
group = {GROUP}
listen.owner = {USER}
pm = static
pm.max_children = 1
php_admin_value[date.timezone] = {ZONE}
"""
FPM_SITE = """\
DocumentRoot "${JAIL}/www"
DirectoryIndex index.php
"""
# mod_proxy_fcgi puts proxy:fcgi://... before SCRIPT_FILENAME for an FPM
TO_OUTSIDE = """\
ProxyFCGIBackendType GENERIC
ProxyFCGISetEnvIf "true" SCRIPT_FILENAME "${JAIL}%{reqenv:SCRIPT_FILENAME}"
ProxyFCGISetEnvIf "true" DOCUMENT_ROOT "${JAIL}%{reqenv:DOCUMENT_ROOT}"
"""


def handler(where):
    return ('<FilesMatch "\\.php$">\n'
            f'    SetHandler "proxy:{where}"\n</FilesMatch>\n')


class Fpm:
    """php-fpm with four pools: outside and chrooted to the jail, each with a
    socket in the jail and on loopback."""

    def __init__(self, server):
        self.root, self.jail = server.root, server.jail
        server.put({"run": Dir})
        self.ports = {"outside": free_port(), "inside": free_port()}
        self.conf = server.root / "conf/fpm.conf"
        self.conf.write_text(POOLS.format(
            common=COMMON, root=self.root, jail=self.jail, **self.ports))

    def running(self):
        return service([PHP_FPM, "-y", self.conf], self.ready,
                       self.root / "logs/fpm.out")

    def ready(self):
        return "ready to handle connections" in (
            self.root / "logs/fpm.log").read_text()

    def to(self, pool, tcp):
        return handler(
            f"fcgi://127.0.0.1:{self.ports[pool]}/" if tcp else
            f"unix:${{JAIL}}/run/{pool}.sock|fcgi://localhost/")


def fpm_server(httpd, **options):
    server = put(httpd(FPM_SITE, modules=FPM_MODULES, **options))
    server.allow_log("PHP Fatal error: .*missing|Primary script unknown|"
                     "ProxyFCGISetEnvIf")
    return server


@pytest.mark.parametrize("tcp", [False, True], ids=["unix", "tcp"])
@pytest.mark.parametrize("pool", ["inside", "outside"])
def test_php_fpm_answers_as_without_the_jail(httpd, pool, tcp):
    """A pool outside is told outer paths by three lines."""
    server = fpm_server(httpd, files=ZONES)
    fpm = Fpm(server)
    with fpm.running():
        # without the jail there is one pool to ask, outside
        server.so, so = PLAIN, server.so
        server.config = FPM_SITE + fpm.to("outside", tcp)
        plain = ask(server.start())
        assert_is_an_application(plain)
        server.stop()

        server.so = so
        server.config = (JAILED + FPM_SITE
                         + fpm.to(pool, tcp)
                         + (TO_OUTSIDE if pool == "outside" else ""))
        server.start()
        for next_generation in (server.graceful, server.quiesce):
            assert ask(server) == plain
            server.assert_jailed()
            next_generation()


@pytest.mark.parametrize("pool", ["inside", "outside"])
def test_proxypassmatch_names_the_path_that_the_pool_sees(httpd, pool):
    """It is a URL, so that mod_chroot does not translate it."""
    server = fpm_server(httpd, files=ZONES)
    fpm = Fpm(server)
    seen = "" if pool == "inside" else "${JAIL}"
    server.config += (f'ProxyPassMatch "^/(.*\\.php)$" "fcgi://127.0.0.1:'
                      f'{fpm.ports[pool]}{seen}/www/$1"\n')
    server.config = JAILED + server.config
    with fpm.running():
        server.start()
        for next_generation in (server.graceful, server.quiesce):
            assert page(server, "/relative.php") == (
                200, "part /www/parts/part.php")
            assert "SCRIPT_FILENAME=/www/vars.php\n" in page(
                server, "/vars.php")[1]
            next_generation()


# ------------------------------------------------------------- what is needed

ALL = """\
DocumentRoot "{jail}/"
Alias "/mod_php" "{jail}/www"
Alias "/inside" "{jail}/www"
Alias "/outside" "{jail}/www"
<Location "/mod_php">
    SetHandler application/x-httpd-php
</Location>
<Location "/inside">
    SetHandler "proxy:unix:{jail}/run/inside.sock|fcgi://localhost"
</Location>
<Location "/outside">
    SetHandler "proxy:unix:{jail}/run/outside.sock|fcgi://localhost"
""" + TO_OUTSIDE + f"""\
</Location>
php_value date.timezone {ZONE}
"""


@pytest.mark.parametrize("column", range(3), ids=WHOSE)
def test_what_php_needs_in_the_jail(httpd, column):
    """Without a time zone Debian's PHP 8 crashes when asked for a date."""
    server = put(httpd(mpm="prefork", modules=[MOD_PHP, *FPM_MODULES]))
    mounted = WHOSE[column] == "Mount"
    in_jail(server, column, ALL.replace(TO_OUTSIDE, "") if mounted else ALL)
    if mounted:     # the pool outside knows the names, the other one does not
        server.put(self_link(server.jail))
    server.allow_log("whole jail|AH0106[57]|AH01075|"
                     "Invalid date.timezone value|needs /usr/share/zoneinfo")
    server.expect_log("exit signal Segmentation fault" if MOD_PHP[0] == "php"
                      else "Timezone database is corrupt")      # 7.4

    date = "2020-09-13T14:26:40+02:00 CEST"
    urls = {"mod_php": "/mod_php", "php-fpm, chrooted": "/inside",
            "php-fpm, not chrooted": "/outside"}

    def dates():
        return {name: answers(server, f"{url}/date.php", date)
                for name, url in urls.items()}

    fpm = Fpm(server)
    with fpm.running():
        server.start()
        assert all(answers(server, f"{url}/index.php", "home")
                   for url in urls.values())
        empty = dates()
        server.put(ZONES)
        if mounted:
            paste(server)
        server.graceful()
        with_zones = dates()
    found = {name: cell(empty[name], "/usr/share/zoneinfo", with_zones[name])
             for name in urls}
    found["php-fpm, chrooted"] += mounted * ", the self-link"
    found["mod_proxy_fcgi"] = found["php-fpm, not chrooted"]
    assert found == {name: row[column] for name, row in MODULES.items()}


FUNCTIONS = {
    "iconv": r"""<?php echo @iconv('UTF-8', 'ISO-8859-15', "\u{20ac}")"""
             " === chr(0xa4) ? 'done' : 'not done';",
    "exec": "<?php echo @exec('echo done');",
    "mail": "<?php echo @mail('a@example.org', 's', 't') ? 'done' : 'not';",
    "temporary": "<?php echo @tmpfile() ? 'done' : 'not done';"}


def test_functions_of_php_that_need_files(httpd):
    """Character sets of glibc, a shell, sendmail, a directory for files."""
    server = put(httpd(JAILED + PREFORK.replace("php_admin_value open_", "#"),
                       mpm="prefork", modules=[MOD_PHP], files=ZONES))
    server.put({f"www/{name}.php": text for name, text in FUNCTIONS.items()})
    server.allow_log("sendmail: not found|sh: not found|exec of|/bin/sh")
    server.start()

    def done():
        return {name for name in FUNCTIONS
                if page(server, f"/{name}.php") == (200, "done")}

    assert done() == set()
    character_set, = Path("/usr/lib").glob("*/gconv/ISO8859-15.so")
    server.put({
        **copies(str(character_set),
                 str(character_set.with_name("gconv-modules.cache"))),
        "bin/sh": BUSYBOX, "tmp": Dir,
        "usr/sbin/sendmail": File(
            "#!/bin/sh\nwhile read -r line; do :; done\n", mode=0o755)})
    os.chown(server.jail / "tmp", UID, -1)
    server.graceful()
    assert done() == set(FUNCTIONS)
