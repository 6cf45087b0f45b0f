"""ChrootFixRoot and directives: all of them stay as they are written; what is
outside and decides is refused, what only serves is warned of; the self-link;
files that children open."""
import contextlib
import os
import re
import signal
import socketserver
import threading
import time
from pathlib import Path

import pytest

from comparison import JAILED, compare as compared
from harness import (MOD_PHP, UID, Dir, File, Link, Request, put, run_ok,
                     self_link, wait_for)

SITE = 'DocumentRoot "${JAIL}/www"\n'
FILES = {"www/index.html": "home", "www/f.txt": "file", "www/p/x.txt": "x"}


@pytest.fixture
def dump(httpd):
    """The lines of the configuration as httpd carries it out."""
    def run(config, modules=(), files=None, jail_config=JAILED, **options):
        server = httpd(jail_config + config, modules=["info", *modules],
                       mpm="prefork", files=files or FILES, **options)
        server.allow_log(".*")
        server.port = 8080
        server.write_config()
        status, output = server.httpd("-t", "-D", "DUMP_CONFIG")
        assert status == 0, output
        output = output.replace(str(server.jail), "J")
        output = output.replace(str(server.root), "R")
        return [line.strip() for line in output.splitlines()
                if not re.match(r" *#|\[.*chroot:warn\]|Syntax OK", line)]
    return run


# -- the configuration stays as it is written

WRITTEN = {
    "authentication": (["authn_file", "authn_dbm", "authz_groupfile",
        "authz_dbm", "authn_core", "auth_basic"], """\
<Location />
AuthUserFile ${JAIL}/etc/users
AuthUserFile "${JAIL}/etc/my users"
AuthUserFile jail/etc/users
AuthUserFile ${JAIL}//etc/../etc/u1
AuthGroupFile ${JAIL}/etc/groups
AuthDBMUserFile ${JAIL}/etc/udb
AuthDBMGroupFile jail/etc/gdb
AuthUserFile "${JAIL}/etc/a\\"b"
</Location>
"""),
    "caches": (["cache", "cache_disk"], """\
CacheRoot ${JAIL}/cache
CacheLockPath ${JAIL}/lock
"""),
    "WebDAV": (["dav", "dav_fs", "dav_lock"], """\
DavLockDB ${JAIL}/dav/lock
DavLockDB jail/dav/lock2
<Location /x>
DavGenericLockDB ${JAIL}/dav/g
</Location>
"""),
    "CGI": (["cgi"], """\
ScriptLog ${JAIL}/log/cgi
ScriptLog jail/log/cgi2
"""),
    "UserDir": (["userdir"], """\
UserDir ${JAIL}/home
UserDir ${JAIL}/home/*/www public_html ${JAIL}/u
UserDir disabled root
UserDir http://x.example${JAIL}/
"""),
    "rewriting": (["rewrite", "proxy"], """\
RewriteRule ^/a ${JAIL}/a
RewriteRule ^/b ${JAIL}/b$1 [L]
RewriteRule "^/c d" "${JAIL}/c d" [L,NC]
RewriteRule ^/e ${JAIL}
RewriteRule ^/f ${JAIL}2/f
RewriteRule ^/g ${JAIL}/g [PT]
RewriteRule ^/h ${JAIL}/h [R=301,L]
RewriteRule ^/i$ unix:${JAIL}/s|http://x/ [P]
RewriteCond ${JAIL}/flag -f
RewriteCond ${JAIL}/%{REQUEST_URI} !-d
RewriteCond ${JAIL}%{REQUEST_URI} -s [OR]
RewriteCond "${JAIL}/a b" "-e"
RewriteRule ^/[{]\\.x\\$ - [E=x:a\\ b]
"""),
    "PHP": ([MOD_PHP], "".join(
        f"{directive} {setting} ${{JAIL}}/p\n"
        for directive in ("php_value", "php_admin_value")
        for setting in ("auto_prepend_file", "auto_append_file", "open_basedir",
                        "include_path", "session.save_path", "upload_tmp_dir",
                        "error_log")) + """\
php_admin_value open_basedir ${JAIL}/a:/tmp:${JAIL}/b
php_value include_path .:${JAIL}/lib
php_value session.save_path 5;${JAIL}/s
"""),
    "proxies": (["proxy", "proxy_http", "proxy_fcgi", "proxy_balancer",
        "slotmem_shm", "lbmethod_byrequests", "proxy_express"], """\
ProxyPass /a unix:${JAIL}/s|http://localhost/
ProxyPass "/b" "unix:${JAIL}/s2|fcgi://x/" retry=0
ProxyPassMatch ^/c unix:${JAIL}/s3|http://localhost/
<Proxy balancer://pool>
BalancerMember unix:${JAIL}/s4|http://x loadfactor=1
</Proxy>
<Proxy unix:${JAIL}/s5|http://y>
ProxySet timeout=3
</Proxy>
<Location /h>
SetHandler proxy:unix:${JAIL}/s6|fcgi://z
</Location>
ProxyPass /d unix:/run/s|http://localhost/
ProxyPass /e http://x.example${JAIL}/
ProxyExpressDBMFile ${JAIL}/express
"""),
    "heartbeats": (["proxy", "proxy_balancer", "slotmem_shm",
        "lbmethod_heartbeat"], """\
HeartbeatStorage ${JAIL}/hb
"""),
    "filters": (["ext_filter"], """\
ExtFilterDefine one mode=output cmd=${JAIL}/bin/f
ExtFilterDefine two cmd="${JAIL}/bin/f -x ${JAIL}2"
"""),
    "Lua": (["lua"], """\
LuaHookPreTranslateName ${JAIL}/l/LuaHookPreTranslateName.lua f
LuaHookTranslateName ${JAIL}/l/LuaHookTranslateName.lua f
LuaHookFixups ${JAIL}/l/LuaHookFixups.lua f
LuaHookMapToStorage ${JAIL}/l/LuaHookMapToStorage.lua f
LuaHookCheckUserID ${JAIL}/l/LuaHookCheckUserID.lua f
LuaHookTypeChecker ${JAIL}/l/LuaHookTypeChecker.lua f
LuaHookAccessChecker ${JAIL}/l/LuaHookAccessChecker.lua f
LuaHookAuthChecker ${JAIL}/l/LuaHookAuthChecker.lua f
LuaHookLog ${JAIL}/l/LuaHookLog.lua f
LuaRoot ${JAIL}/lua
LuaQuickHandler ${JAIL}/q.lua f
LuaPackagePath ${JAIL}/lua/?.lua
LuaPackageCPath ${JAIL}/lua/?.so
LuaMapHandler ^/x$ ${JAIL}/m.lua f
LuaInputFilter in ${JAIL}/i.lua f
LuaOutputFilter out ${JAIL}/o.lua f
"""),
    "ACME": (["ssl", "md", "socache_shmcb"], """\
MDCACertificateFile ${JAIL}/ca.pem
"""),
    "URL mapping": (["vhost_alias"], """\
AliasMatch "^/b(.*)" "${JAIL}/b$1"
ScriptAliasMatch ^/d ${JAIL}/d
VirtualDocumentRoot ${JAIL}/v/%0
DocumentRoot "${JAIL}/www"
Alias /e ${JAIL}
Alias /f /etc
Alias /g ${JAIL}x/a
Alias /a ${JAIL}/a
Alias /h/ '${JAIL}/a/'
ScriptAlias /c "${JAIL}/a b"
"""),
    "what is the parent's alone, or no path": (["log_forensic", "mime_magic",
        "file_cache", "socache_shmcb", "ssl", "rewrite", "actions", "proxy",
        "proxy_http", "autoindex"], """\
ErrorLog ${JAIL}/log/e
CustomLog ${JAIL}/log/c common
CustomLog "${JAIL}/log/c" "%h \\"%r\\" \\\\ %>s"
TransferLog ${JAIL}/log/t
GlobalLog ${JAIL}/log/g common
ErrorLog "|/bin/cat ${JAIL}/x"
ForensicLog ${JAIL}/log/f
PidFile ${JAIL}/log/pid
ScoreBoardFile ${JAIL}/log/sb
Mutex flock:${JAIL}/log default
TypesConfig ${JAIL}/log/types
MimeMagicFile ${JAIL}/log/magic
CoreDumpDirectory ${JAIL}/log
CacheFile ${JAIL}/www/f.txt
MMapFile ${JAIL}/www/f.txt
SSLSessionCache shmcb:${JAIL}/log/s(512000)
RewriteMap x prg:${JAIL}/log/prg
Redirect /a http://x.example${JAIL}/
Redirect /b ${JAIL}/
RedirectMatch ^/c(.*) ${JAIL}/$1
ErrorDocument 404 ${JAIL}/404.html
ErrorDocument 500 "see ${JAIL}"
DirectoryIndex ${JAIL}/index.html
FallbackResource ${JAIL}/x
Action x ${JAIL}/y
ProxyPassReverse /x http://h${JAIL}/
AddIcon ${JAIL}/i.png .x
HeaderName ${JAIL}/h
"""),
    "raw text": (["headers", "setenvif", "autoindex", "rewrite"], """\
Header set X "a \\"quoted\\" \\\\ word"
Header set Y 'a  b'
LogFormat "%h \\"%{Referer}i\\"" one
SetEnvIf Referer "^x\\.y\\b" z=\\1
AddDescription "a > b" x.txt
RewriteRule "^/a b\\.c$" '/x y' [L]
IndexIgnore *~ ".??*" >
"""),
    "every place": (["authn_core", "authn_file", "macro"], """\
<VirtualHost *>
<Location />
AuthUserFile ${JAIL}/etc/users
</Location>
</VirtualHost>
<Directory "${JAIL}/www">
AuthUserFile ${JAIL}/etc/users
</Directory>
<VirtualHost *>
<Directory "${JAIL}">
AuthUserFile ${JAIL}/etc/users
</Directory>
</VirtualHost>
<Location /x>
AuthUserFile ${JAIL}/etc/users
</Location>
<LocationMatch ^/x>
AuthUserFile ${JAIL}/etc/users
</LocationMatch>
<Files x>
AuthUserFile ${JAIL}/etc/users
</Files>
<If "true">
AuthUserFile ${JAIL}/etc/users
</If>
<If "false">
Options None
</If>
<ElseIf "false">
AuthUserFile ${JAIL}/etc/users
</ElseIf>
<Else>
AuthUserFile ${JAIL}/etc/users
</Else>
<Directory "${JAIL}">
<Files x>
<If "true">
AuthUserFile ${JAIL}/etc/users
</If>
</Files>
</Directory>
<AuthnProviderAlias file other>
AuthUserFile ${JAIL}/etc/users
</AuthnProviderAlias>
<Location />
<Limit POST>
AuthUserFile ${JAIL}/etc/users
</Limit>
</Location>
<Location />
<IfModule core.c>
AuthUserFile ${JAIL}/etc/users
</IfModule>
</Location>
<Macro users $file>
<Location />
AuthUserFile $file
</Location>
</Macro>
Use users ${JAIL}/etc/users
<Location />
AuthUserFile \\
  ${JAIL}\\
/etc/users
</Location>
<Location />
aUTHuserFILE ${JAIL}/etc/users
</Location>
"""),
    "expressions and conditions that name the jail": (["rewrite", "setenvif",
        "ssl", "env", "headers", "filter", "substitute", "perl",
        "authz_host"], """\
<If "%{REQUEST_FILENAME} =~ m#^${JAIL}/www#">
Options None
</If>
<If "-f '${JAIL}/x'">
Options None
</If>
<Location />
Require expr "%{REQUEST_FILENAME} -strmatch '${JAIL}/*'"
</Location>
RewriteCond %{REQUEST_FILENAME} ^${JAIL}/x
RewriteCond expr "-f '${JAIL}/x'"
RewriteRule ^ - [F]
<Location />
SetEnvIfExpr "%{REQUEST_FILENAME} =~ m#${JAIL}/x#" y
SSLRequire %{REQUEST_FILENAME} =~ m#${JAIL}#
</Location>
SetEnv X a:${JAIL}:b
Header set X ${JAIL}/www
Substitute "s|${JAIL}/x|y|"
PerlSetVar Base ${JAIL}/x
"""),
}
NEEDED = {"log/types": "", "log/magic": "", "log/x": "", "l/x": "",
          "ca.pem": "", "log/prg": File("", mode=0o755), "etc/users": "",
          "dav/x": ""}


@pytest.mark.parametrize("name", WRITTEN)
def test_every_directive_stays_as_it_is_written(dump, name):
    modules, text = WRITTEN[name]
    plain = dump(SITE + text, modules, jail_config="", variant=None,
                 files={**FILES, **NEEDED})
    jailed = dump(SITE + text, modules, files={**FILES, **NEEDED})
    def as_written(lines):      # without what is logged, and when
        return [line for line in lines
                if not re.match(r"Chroot(Dir|FixRoot) |\[", line)]
    assert as_written(jailed) == as_written(plain)


# -- what is outside: an error where it decides, a warning where it does not

AUTH_FILES = ["authn_file", "authn_dbm", "authn_core", "auth_basic",
              "authz_groupfile", "authz_dbm", "authz_host", "authz_owner"]
DECIDES = [
    ("<Location />\nAuthUserFile {}\n</Location>", AUTH_FILES),
    ("<Location />\nAuthGroupFile {}\n</Location>", AUTH_FILES),
    ("<Location />\nAuthDBMUserFile {}\n</Location>", AUTH_FILES),
    ("<Location />\nAuthDBMGroupFile {}\n</Location>", AUTH_FILES),
    ('<If "true">\nAuthGroupFile "{}"\n</If>', AUTH_FILES),
    ("<AuthnProviderAlias file x>\nAuthUserFile {}\n</AuthnProviderAlias>",
     AUTH_FILES),
    ("RewriteMap m txt:{}", ["rewrite"]), ("RewriteMap m rnd:{}", ["rewrite"]),
    ("RewriteMap m dbm:{}", ["rewrite"]),
    ("RewriteMap m dbm=sdbm:{}", ["rewrite"]),
    ("RewriteCond {} -f", ["rewrite"]), ('RewriteCond "{}" !-s', ["rewrite"]),
    ("<If \"-f '{}'\">\nOptions None\n</If>", []),
    ("<Location />\nRequire expr \"! -f '{}'\"\n</Location>", []),
    ("SSLCACertificatePath {}", ["ssl"]), ("SSLCARevocationPath {}", ["ssl"]),
    ("SSLProxyCACertificatePath {}", ["ssl"]),
    ("ProxyExpressDBMFile {}", ["proxy", "proxy_express"]),
    ("LuaHookAccessChecker {} f", ["lua"])]
SERVES = [
    ('Alias "/o" "{}"', []), ('AliasMatch "^/o/(.*)" "{}/$1"', []),
    ('ScriptAlias "/o" "{}"', []), ("UserDir {}", ["userdir"]),
    ("RewriteEngine On\nRewriteRule ^/o/(.*) {}/$1", ["rewrite"]),
    ("<VirtualHost *>\nVirtualDocumentRoot {}\n</VirtualHost>",
     ["vhost_alias"]),
    ("<VirtualHost *>\nDocumentRoot {}\n</VirtualHost>", []),
    ("CacheRoot {}", ["cache", "cache_disk"]), ("ScriptLog {}", ["cgi"]),
    ("DavLockDB {}", ["dav", "dav_fs"]),
    ("LuaMapHandler ^/x$ {} f", ["lua"])]
OUTSIDE = {"../out/x": "", "../out/x.pag": "", "../out/x.dir": ""}


def named(text, path):
    return text.replace("{}", path) + "\n"


@pytest.mark.parametrize("text, modules", DECIDES)
@pytest.mark.parametrize("path", ["${ROOT}/out/x", "${JAIL}/../out/x"])
def test_what_decides_and_is_outside_is_an_error(httpd, text, modules, path):
    directory = path[:-2] if "Path {}" in text else path
    server = httpd(JAILED + SITE + named(text, directory), modules=modules,
                   files={**FILES, **OUTSIDE})
    said = server.refused_start()
    assert re.search(rf"\w+>? at {server.conf}:\d+ .*/out", said), said
    assert "the jail" in said


@pytest.mark.parametrize("text, modules", [
    (text, modules) for text, modules in SERVES])
def test_what_does_not_decide_and_is_outside_is_a_warning(httpd, text, modules):
    server = httpd(JAILED + SITE + named(text, "${ROOT}/out"), modules=modules,
                   files={**FILES, **OUTSIDE})
    server.expect_log(r"chroot:warn.* at .*:\d+ names .*/out")
    server.start()


@pytest.mark.parametrize("text, modules", [
    row for row in DECIDES if "Lua" not in row[0]] + SERVES)
def test_what_is_inside_is_quiet(httpd, text, modules):
    server = httpd(JAILED + SITE + named(
        text, "${JAIL}/etc" if "Path {}" in text else "${JAIL}/etc/x"),
        modules=modules, files={**FILES, "etc/x": "", "etc/x.pag": "",
                                "etc/x.dir": ""})
    if (text, modules) in SERVES:
        (server.jail / "etc/x").unlink()
        put(server.jail, {"etc/x": Dir})
        (server.jail / "etc/x").chmod(0o777)
    server.allow_log("authz_core:error|AH01882|AH01873")
    server.start()      # the fixture looks for undeclared warnings


# -- the self-link, which start makes

def link_of(server):
    return server.jail / str(server.jail).lstrip("/")


def test_a_rewrite_map_works_as_before(httpd):
    server = httpd(SITE + "RewriteEngine On\nRewriteMap m txt:${JAIL}/map\n"
                   "RewriteRule ^/m/(.*) ${JAIL}/www/${m:$1|none} [L]\n",
                   modules=["rewrite"], files={**FILES, "map": "a f.txt\n"})
    done = compared(server, ["/m/a", "/m/b"])
    assert done.statuses == [200, 404]


def test_start_makes_the_self_link(httpd, mpm, variant):
    """It leads to the jail's root in the jail, and outside it leads nowhere:
    it gives no file a second name there."""
    server = httpd(JAILED + SITE, files=FILES, mpm=mpm)
    server.start()
    link = link_of(server)
    assert link.is_symlink() and not link.exists()
    for pid in server.serving():
        inside = Path(f"/proc/{pid}/root{server.jail}")
        assert os.readlink(inside) == os.readlink(link)
    server.graceful()
    assert server.get("/").text == "home" and link.is_symlink()
    for path in link.parents:
        if path == server.jail:
            break
        assert path.owner() == "root" and path.stat().st_mode & 0o022 == 0
    server.stop()
    assert server.start().get("/").text == "home"


def test_two_servers_share_the_self_link(httpd):
    one = httpd(JAILED + SITE, files=FILES).start()
    two = httpd(JAILED + SITE, jail=one.jail)
    two.start()
    one.stop()
    assert two.get("/").text == "home"
    two.graceful()
    assert two.get("/").text == "home"
    two.stop()


LINKS = {"right": None, "absolute": "{jail}", "one .. too many": "{link}/..",
         "another directory": "{link}/www", "nowhere": "{link}/none"}


@pytest.mark.parametrize("kind", LINKS)
def test_the_self_link_is_verified(httpd, kind):
    server = httpd(JAILED + SITE, files=FILES)
    (name, link), = self_link(server.jail).items()
    target = (LINKS[kind] or "{link}").format(jail=server.jail,
                                              link=link.target)
    put(server.jail, {name: Link(target)})
    if kind == "right":
        assert server.start().get("/").text == "home"
        return
    assert f"ln -s {link.target} " in server.refused_start()


@pytest.mark.parametrize("what", [Dir, "file"])
def test_a_doubled_layout_is_refused_with_what_to_do(httpd, what):
    server = httpd(JAILED + SITE, files=FILES)
    put(server.jail, {str(server.jail).lstrip("/"): what})
    said = server.refused_start()
    assert f"{server.jail}{server.jail}" in said and "move it away" in said
    path = link_of(server)
    path.rmdir() if what is Dir else path.unlink()
    cure = re.search("mkdir -p .*ln -s .*", said)[0]
    run_ok(["sh", "-ec", cure])
    assert path.samefile(server.jail)
    assert server.start().get("/").text == "home"
    server.stop()
    path.unlink()
    put(server.jail, {str(server.jail).lstrip("/"): what})
    server.config = "ChrootDir ${JAIL}\nDocumentRoot /srv\n"
    put(server.jail, INNER)
    assert server.start().get("/").text == "home"   # off, it may stay


@pytest.mark.parametrize("ready", [False, True])
def test_a_jail_that_is_read_only(httpd, ready):
    """The link has to be there already, or the error says how."""
    server = httpd(JAILED + SITE, files=FILES)
    if ready:
        put(server.jail, self_link(server.jail))
    server.wrapper = ["unshare", "--mount", "--propagation", "private", "sh",
                      "-ec", f"mount --bind {server.jail} {server.jail}; "
                      f"mount -o remount,bind,ro {server.jail}; "
                      'exec "$@"', "sh"]
    if ready:
        assert server.start().get("/").text == "home"
        return
    said = server.refused_start()
    assert "cannot be made" in said and "ln -s " in said


def test_a_self_link_at_depth_one(httpd):
    """For /x the link that an administrator makes is "."."""
    jail = Path(f"/chroot-test-{os.getpid()}")
    jail.mkdir(mode=0o755)
    try:
        server = httpd(JAILED + SITE, files=FILES, jail=jail)
        put(jail, {jail.name: Link("..")})
        assert "ln -s . " in server.refused_start()
        (jail / jail.name).unlink()
        assert server.start().get("/").text == "home"
        server.stop()
        (jail / jail.name).unlink()
        put(jail, self_link(jail))
        assert os.readlink(jail / jail.name) == "."
        assert server.start().get("/").text == "home"
        server.stop()
    finally:
        run_ok(["rm", "-r", jail])


# -- FixRoot off: httpd looks for DocumentRoot outside, so /srv has to exist

INNER = {"srv/index.html": "home", "srv/f.txt": "file", "srv/p/x.txt": "x"}


def test_with_fix_root_off_nothing_is_translated(httpd):
    server = httpd("ChrootDir ${JAIL}\nDocumentRoot /srv\n"
                   'Alias "/n" "/notes"\nAlias "/o" "${JAIL}/notes"\n'
                   "<Directory /srv/p>\nRequire all denied\n</Directory>\n"
                   "RewriteEngine On\nRewriteRule ^/r$ /srv/f.txt\n"
                   "<Location /auth>\nAuthType Basic\nAuthName x\n"
                   "AuthUserFile /etc/users\nRequire valid-user\n"
                   'Header set X "expr=%{DOCUMENT_ROOT}|%{REQUEST_FILENAME}"\n'
                   "</Location>\n",
                   modules=["rewrite", "headers", "auth_basic", "authn_core",
                            "authn_file", "authz_user"],
                   files={**INNER, "notes/a.txt": "a", "srv/auth/x.txt": "x",
                          "etc/users": users()})
    server.allow_log(r":error\] .*client")
    server.expect_log('Alias at .*/jail/notes", .* write "/notes"')
    server.start()
    answers = {path: server.get(path).status for path in (
        "/", "/n/a.txt", "/o/a.txt", "/p/x.txt", "/r", "/auth/x.txt")}
    assert answers == {"/": 200, "/n/a.txt": 200, "/o/a.txt": 404,
                       "/p/x.txt": 403, "/r": 200, "/auth/x.txt": 401}
    answer = server.get("/auth/x.txt", auth=("bob", "secret"))
    assert answer.headers["x"] == "/srv|/srv/auth/x.txt"


@pytest.mark.parametrize("text", [
    'DocumentRoot "/"\n', 'Alias "/x" "/"\n', "DocumentRoot ${ROOT}\n",
    "ScriptAlias /x /\n", "<VirtualHost *>\nDocumentRoot /\n</VirtualHost>\n",
    'AliasMatch "^/x(.*)" "$1"\n', "UserDir /*\n",
    "<Location /x>\nAlias /\n</Location>\n",
    "RewriteEngine On\nRewriteRule ^/x/(.*) /var/$1\n",
    "VirtualDocumentRoot /%0\n"])
def test_a_self_link_below_a_mapped_root_is_refused(httpd, text):
    server = httpd("ChrootDir ${JAIL}\nChrootFixRoot Off\n" + text,
                   modules=["userdir", "rewrite", "vhost_alias"], files=FILES)
    put(server.jail, self_link(server.jail))
    server.allow_log(".*")
    status, output = server.configtest()
    assert status != 0, output
    assert f" at {server.conf}:" in output and "link" in output, output


def test_chrootdir_document_root_with_the_self_link_is_refused(httpd):
    server = httpd("DocumentRoot ${JAIL}\nChrootDir DOCUMENT_ROOT\n",
                   files=FILES)
    put(server.jail, self_link(server.jail))
    status, output = server.configtest()
    assert status != 0 and "ChrootFixRoot On" in output, output


def test_a_self_link_beside_the_mapped_roots_is_accepted(httpd):
    server = httpd("ChrootDir ${JAIL}\nDocumentRoot /srv\n", files=INNER)
    put(server.jail, self_link(server.jail))
    assert server.start().get("/").text == "home"


def test_document_root_of_virtual_hosts_alone_is_an_error_that_says_so(httpd):
    server = httpd("ChrootDir DOCUMENT_ROOT\nChrootFixRoot On\n"
                   "<VirtualHost *>\n" + SITE + "</VirtualHost>\n",
                   files=FILES)
    status, output = server.configtest()
    assert status != 0
    assert "has no DocumentRoot; write the directory" in output, output
    assert re.search(r"line \d+ of /", output)


# -- files that children open, with real requests

def users():
    return run_ok(["htpasswd", "-nbs", "bob", "secret"])


AUTH = ["auth_basic", "authn_core", "authz_user"]
ACCESS = ("AuthType Basic\nAuthName area\nRequire ")
WHO = [Request("/p/x.txt", auth=auth) for auth in (
    None, ("bob", "secret"), ("bob", "wrong"), ("eve", "secret"))]


@pytest.mark.parametrize("place", [
    "<Location /p>\n{}\n</Location>\n",
    '<Directory "${{JAIL}}/www/p">\n{}\n</Directory>\n',
    '<If "%{{REQUEST_URI}} =~ m#^/p/#">\n{}\n</If>\n'])
@pytest.mark.parametrize("file", ["${JAIL}/etc/users", "jail/etc/users"])
def test_password_files_are_read_as_before(compare, place, file):
    done = compare(SITE + place.format(
        f"{ACCESS}valid-user\nAuthUserFile {file}"), WHO,
        files={**FILES, "etc/users": users()}, modules=AUTH + ["authn_file"])
    assert done.statuses == [401, 200, 401, 401]


def test_password_files_of_a_provider_alias_are_read_as_before(compare):
    done = compare(
        "<AuthnProviderAlias file mine>\nAuthUserFile ${JAIL}/etc/users\n"
        "</AuthnProviderAlias>\n" + SITE + "<Location /p>\n" + ACCESS
        + "valid-user\nAuthBasicProvider mine\n</Location>\n", WHO,
        files={**FILES, "etc/users": users()}, modules=AUTH + ["authn_file"])
    assert done.statuses == [401, 200, 401, 401]


def test_group_files_are_read_as_before(compare):
    done = compare(
        SITE + "<Location /p>\n" + ACCESS + "group staff\n"
        "AuthUserFile ${JAIL}/etc/users\nAuthGroupFile ${JAIL}/etc/groups\n"
        "</Location>\n", WHO, modules=AUTH + ["authn_file", "authz_groupfile"],
        files={**FILES, "etc/users": users(), "etc/groups": "staff: bob\n"})
    assert done.statuses == [401, 200, 401, 401]


@pytest.mark.parametrize("kind", ["sdbm", "db"])
def test_dbm_password_files_are_read_as_before(httpd, kind):
    server = httpd(
        SITE + "<Location /p>\n" + ACCESS + "valid-user\n"
        "AuthBasicProvider dbm\n"
        f"AuthDBMType {kind}\nAuthDBMUserFile ${{JAIL}}/etc/udb\n</Location>\n",
        modules=AUTH + ["authn_dbm"], files={**FILES, "etc/x": ""})
    run_ok(["htdbm", "-cbs", f"-T{kind.upper()}", server.jail / "etc/udb",
            "bob", "secret"])
    for path in (server.jail / "etc").iterdir():
        path.chmod(0o644)
    assert compared(server, WHO).statuses == [401, 200, 401, 401]


LOCK = """<?xml version="1.0"?><lockinfo xmlns="DAV:"><lockscope><exclusive/>
</lockscope><locktype><write/></locktype><owner>x</owner></lockinfo>"""


@pytest.fixture
def open_jail(httpd):
    """A jailed server with directories that children may write to."""
    def start(config, directories, **options):
        server = httpd(JAILED + SITE + config, files={
            **FILES, **options.pop("files", {}),
            **{name: Dir for name in directories}}, **options)
        for name in directories:
            (server.jail / name).chmod(0o777)
        return server.start()
    return start


@pytest.mark.parametrize("db", ["${JAIL}/var/lock", "jail/var/lock"])
def test_webdav_writes_and_locks_in_the_jail(open_jail, db):
    server = open_jail(
        f"DavLockDB {db}\n<Directory ${{JAIL}}/www/dav>\nDav On\n"
        "</Directory>\n", ["var", "www/dav"],
        modules=["dav", "dav_fs", "dav_lock"])
    server.allow_log(r":error\] .*client")
    xml = {"Content-Type": "text/xml"}
    assert [server.request(each).status for each in (
        Request("/dav/a.txt", "PUT", body="text"), "/dav/a.txt",
        Request("/dav/a.txt", "LOCK", xml, LOCK),
        Request("/dav/a.txt", "PUT", body="locked"),
        Request("/dav/", "PROPFIND", {"Depth": "1"}),
        Request("/dav/sub", "MKCOL"))] == [201, 200, 200, 423, 207, 201]
    assert (server.jail / "www/dav/a.txt").read_text() == "text"
    assert list((server.jail / "var").glob("lock*"))


def test_the_disk_cache_is_in_the_jail(open_jail):
    server = open_jail("CacheRoot ${JAIL}/cache\nCacheEnable disk /\n"
                       "CacheHeader On\nCacheMinExpire 60\n", ["cache"],
                       modules=["cache", "cache_disk"])
    assert [server.get("/f.txt").headers["x-cache"].split()[0]
            for _ in range(2)] == ["MISS", "HIT"]
    assert list((server.jail / "cache").rglob("*.data"))


class Backend(socketserver.StreamRequestHandler):
    def handle(self):
        while self.rfile.readline().strip():
            pass
        self.wfile.write(b"HTTP/1.0 200 OK\r\nContent-Type: text/plain\r\n"
                         b"Content-Length: 7\r\n\r\nbackend")


@contextlib.contextmanager
def backend(path):
    with socketserver.ThreadingUnixStreamServer(str(path), Backend) as server:
        path.chmod(0o777)
        threading.Thread(target=server.serve_forever, daemon=True,
                         args=(0.01,)).start()
        try:
            yield
        finally:
            server.shutdown()


@pytest.mark.parametrize("config", [
    'ProxyPass "/b" "unix:${JAIL}/run/s|http://localhost/"',
    'ProxyPassMatch "^/b" "unix:${JAIL}/run/s|http://localhost/"',
    '<Location /b>\nProxyPass "unix:${JAIL}/run/s|http://localhost/"\n'
    "</Location>",
    '<Location /b>\nSetHandler "proxy:unix:${JAIL}/run/s|http://localhost/"\n'
    "</Location>",
    '<If "%{REQUEST_URI} == \'/b\'">\n'
    'SetHandler "proxy:unix:${JAIL}/run/s|http://localhost/"\n</If>',
    "RewriteEngine On\n"
    'RewriteRule "^/b" "unix:${JAIL}/run/s|http://localhost/" [P]',
    "<Proxy balancer://pool>\nBalancerMember unix:${JAIL}/run/s|http://x\n"
    'ProxySet timeout=3\n</Proxy>\nProxyPass "/b" "balancer://pool/"'])
def test_a_backend_on_a_socket_in_the_jail_answers_as_before(httpd, config):
    server = httpd(SITE + config + "\n", files={**FILES, "run": Dir}, modules=[
        "proxy", "proxy_http", "rewrite", "proxy_balancer", "slotmem_shm",
        "lbmethod_byrequests"])
    with backend(server.jail / "run/s"):
        done = compared(server, ["/b", "/f.txt"])
    assert done.jailed[0].text == "backend"


def test_a_rewrite_condition_looks_for_files_as_before(compare):
    rules = "".join(
        f"RewriteCond {tested} {test}\nRewriteRule ^/{number}$ - [F]\n"
        for number, (tested, test) in enumerate([
            ("${JAIL}/flag", "-f"), ("${JAIL}/none", "!-f"),
            ("${JAIL}/none", "-f"), ("${JAIL}/www", "-d"),
            ("${JAIL}%{REQUEST_URI}", "-f"), ("${JAIL}/empty", "-s"),
            ("${JAIL}/link", "-l"), ("${JAIL}/prog", "-x"),
            ("%{DOCUMENT_ROOT}/f.txt", "-f"),
            ("%{DOCUMENT_ROOT}%{REQUEST_URI}", "-f"),
            ("${JAIL}", "-d"), ("${JAIL}/", "-d"),
            ('"${JAIL}/a b"', "-f"), ("${JAIL}/www/../flag", "-f")]))
    done = compare(SITE + "RewriteEngine On\n" + rules,
                   [f"/{number}" for number in range(14)],
                   modules=["rewrite"], files={
                       **FILES, "flag": "x", "empty": "", "4": "x",
                       "link": Link("flag"), "prog": File("", 0o755),
                       "a b": "x"})
    assert done.statuses == [403, 403, 404, 403, 403, 404, 403, 403, 403, 404,
                             403, 403, 403, 403]


# -- a child that crashes

CORE_PATTERN = Path("/proc/sys/kernel/core_pattern")


@pytest.fixture
def core_pattern():
    """What the kernel does with a core: "core" where it may be told so."""
    was = CORE_PATTERN.read_text()
    if was != "core\n":
        with contextlib.suppress(OSError):      # a container's is read-only
            CORE_PATTERN.write_text("core\n")
    yield CORE_PATTERN.read_text().strip()
    if CORE_PATTERN.read_text() != was:
        CORE_PATTERN.write_text(was)


@pytest.mark.parametrize("core", ["${JAIL}/core", "jail/core"])
def test_a_child_that_crashes_leaves_its_core_in_the_jail(
        httpd, core, core_pattern, mpm, variant):
    server = httpd(JAILED + f"CoreDumpDirectory {core}\n" + SITE,
                   files={**FILES, "core": Dir},
                   wrapper=["sh", "-c", 'ulimit -c unlimited; exec "$@"',
                            "sh"])
    (server.jail / "core").chmod(0o777)
    server.expect_log("exit signal Segmentation fault")
    server.allow_log("ulimit: ")
    server.start()
    child = server.serving()[0]
    # proc(5): of a process that may leave a core its files are User's
    wait_for(lambda: os.stat(f"/proc/{child}/fd").st_uid == UID,
             "the child to be dumpable")
    limit = Path(f"/proc/{child}/limits").read_text()
    os.kill(child, signal.SIGSEGV)
    wait_for(lambda: "Segmentation fault" in server.log(), "the log line")
    # httpd asks WCOREDUMP; only root may raise a limit, and not everywhere
    dumped = "possible coredump" in server.log()
    if core_pattern == "core":
        assert dumped == (re.search("Max core file size +0 ", limit) is None)
    if core_pattern == "core" and dumped:
        found, = (server.jail / "core").glob("core*")
        assert found.read_bytes()[:4] == b"\x7fELF"


# -- mod_cgid

CGID = ('ScriptAlias "/cgi/" "${JAIL}/cgi/"\n', ["cgid"])


def test_an_unreachable_cgid_socket_is_said_and_answered_at_once(
        httpd, builds, variant):
    server = httpd(JAILED + SITE + CGID[0], modules=CGID[1], files={
        **FILES, "cgi/env": File(copy_of=builds.program("printenv"),
                                 mode=0o755)})
    server.expect_log(r"chroot:warn.*write .ScriptSock \S+/run/cgisock\W")
    server.allow_log(r":error\] .*client")
    server.start()
    assert len(re.findall("chroot:warn.*ScriptSock", server.log())) == 1
    begun = time.monotonic()
    assert server.get("/cgi/env").status == 503
    assert time.monotonic() - begun < 20    # httpd's own: 32
    assert server.get("/f.txt").status == 200
    assert server.get("/cgi/none").status == 404


@pytest.mark.parametrize("mpm", ["event", "worker"])
def test_with_the_cure_of_the_warning_cgid_works(httpd, builds, variant, mpm):
    server = httpd(JAILED + SITE + CGID[0], modules=CGID[1], mpm=mpm, files={
        **FILES, "cgi/env": File(copy_of=builds.program("printenv"),
                                 mode=0o755)})
    server.allow_log("chroot:warn.*ScriptSock|mod_cgid")
    said = server.configtest()[1]
    cure = re.search(r'write "(ScriptSock [^"]+)"', said)
    assert cure, said
    put(server.jail, {"run": Dir})
    server.config += cure[1] + "\n"
    warnings = len(re.findall("chroot:warn", server.log()))
    server.start()
    assert "DOCUMENT_ROOT=/www\n" in server.get("/cgi/env").text
    assert "SCRIPT_FILENAME=/cgi/env\n" in server.get("/cgi/env").text
    assert len(re.findall("chroot:warn", server.log())) == warnings
