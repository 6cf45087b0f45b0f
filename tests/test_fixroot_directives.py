"""ChrootFixRoot and directives: which ones are translated, which are left to
the letter, which are refused; the self-link; files that children open."""
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
from harness import Dir, File, Link, Request, put, run_ok, self_link, wait_for

SITE = 'DocumentRoot "${JAIL}/www"\n'
FILES = {"www/index.html": "home", "www/f.txt": "file", "www/p/x.txt": "x"}
PHP = ("php", "/usr/lib/apache2/modules/libphp8.2.so")


@pytest.fixture
def dump(httpd):
    """The lines of the configuration as httpd carries it out, the jail's path
    replaced by J and ServerRoot's by R."""
    def run(config, modules=(), prepare=None, mpm="prefork", files=None,
            jail_config=JAILED):
        server = httpd(jail_config + config, modules=["info", *modules],
                       mpm=mpm, files=files or FILES)
        server.allow_log(".*")
        if prepare:
            prepare(server)
        server.write_config()
        status, output = server.httpd("-t", "-D", "DUMP_CONFIG")
        assert status == 0, output
        output = output.replace(str(server.jail), "J")
        output = output.replace(str(server.root), "R")
        return [line.strip() for line in output.splitlines()
                if not line.startswith("#")]
    return run


# -- directives that children's files are in: modules, text, what it becomes

TRANSLATED = {
    "authentication": (["authn_file", "authn_dbm", "authz_groupfile",
                        "authz_dbm", "authn_core", "auth_basic"], "Location", [
        ("AuthUserFile {J}/etc/users", 'AuthUserFile "/etc/users"'),
        ('AuthUserFile "{J}/etc/my users"', 'AuthUserFile "/etc/my users"'),
        ("AuthUserFile jail/etc/users", 'AuthUserFile "/etc/users"'),
        ("AuthUserFile {J}//etc/../etc/u1", 'AuthUserFile "/etc/u1"'),
        ("AuthGroupFile {J}/etc/groups", 'AuthGroupFile "/etc/groups"'),
        ("AuthDBMUserFile {J}/etc/udb", 'AuthDBMUserFile "/etc/udb"'),
        ("AuthDBMGroupFile jail/etc/gdb", 'AuthDBMGroupFile "/etc/gdb"'),
        ('AuthUserFile "{J}/etc/a\\"b"', 'AuthUserFile "/etc/a\\"b"'),
        ("AuthUserFile {J}2/users", "AuthUserFile {J}2/users"),
        ("AuthUserFile /etc/users", "AuthUserFile /etc/users")]),
    "caches": (["cache", "cache_disk"], None, [
        ("CacheRoot {J}/cache", 'CacheRoot "/cache"'),
        ("CacheLockPath {J}/lock", 'CacheLockPath "/lock"')]),
    "WebDAV": (["dav", "dav_fs", "dav_lock"], None, [
        ("DavLockDB {J}/dav/lock", 'DAVLockDB "/dav/lock"'),
        ("DavLockDB jail/dav/lock2", 'DAVLockDB "/dav/lock2"'),
        ("<Location /x>\nDavGenericLockDB {J}/dav/g\n</Location>",
         'DAVGenericLockDB "/dav/g"')]),
    "CGI": (["cgi"], None, [
        ("ScriptLog {J}/log/cgi", 'ScriptLog "/log/cgi"'),
        ("ScriptLog jail/log/cgi2", 'ScriptLog "/log/cgi2"')]),
    "UserDir": (["userdir"], None, [
        ("UserDir {J}/home", 'UserDir "/home"'),
        ("UserDir {J}/home/*/www public_html {J}/u",
         'UserDir "/home/*/www" public_html "/u"'),
        ("UserDir disabled root", "UserDir disabled root"),
        ("UserDir http://x.example{J}/", "UserDir http://x.example{J}/")]),
    "rewriting": (["rewrite", "proxy"], None, [
        ("RewriteRule ^/a {J}/a", "RewriteRule ^/a /a"),
        ("RewriteRule ^/b {J}/b$1 [L]", "RewriteRule ^/b /b$1 [L]"),
        ('RewriteRule "^/c d" "{J}/c d" [L,NC]',
         'RewriteRule "^/c d" "/c d" [L,NC]'),
        ("RewriteRule ^/e {J}", "RewriteRule ^/e /"),
        ("RewriteRule ^/f {J}2/f", None),
        ("RewriteRule ^/g {J}/g [PT]", "RewriteRule ^/g {J}/g [PT]"),
        ("RewriteRule ^/h {J}/h [R=301,L]", "RewriteRule ^/h {J}/h [R=301,L]"),
        ("RewriteRule ^/i$ unix:{J}/s|http://x/ [P]",
         "RewriteRule ^/i$ unix:/s|http://x/ [P]"),
        ("RewriteCond {J}/flag -f", "RewriteCond /flag -f"),
        ("RewriteCond {J}/%{{REQUEST_URI}} !-d",
         "RewriteCond /%{{REQUEST_URI}} !-d"),
        ("RewriteCond {J}%{{REQUEST_URI}} -s [OR]",
         "RewriteCond %{{REQUEST_URI}} -s [OR]"),
        ('RewriteCond "{J}/a b" "-e"', 'RewriteCond "/a b" "-e"'),
        ("RewriteRule ^/[{{]\\.x\\$ - [E=x:a\\ b]",
         "RewriteRule ^/[{{]\\.x\\$ - [E=x:a\\ b]")]),
    "PHP": ([PHP], None, [
        (f"php_{kind} {name} {{J}}/p", f'php_{kind} {name} "/p"')
        for kind in ("value", "admin_value") for name in (
            "auto_prepend_file", "auto_append_file", "open_basedir",
            "include_path", "session.save_path", "upload_tmp_dir",
            "error_log")] + [
        ("php_admin_value open_basedir {J}/a:/tmp:{J}/b",
         'php_admin_value open_basedir "/a:/tmp:/b"'),
        ("php_value include_path .:{J}/lib", 'php_value include_path ".:/lib"'),
        ("php_value session.save_path 5;{J}/s",
         'php_value session.save_path "5;/s"')]),
    "proxies": (["proxy", "proxy_http", "proxy_fcgi", "proxy_balancer",
                 "slotmem_shm", "lbmethod_byrequests", "proxy_express"], None, [
        ("ProxyPass /a unix:{J}/s|http://localhost/",
         'ProxyPass /a "unix:/s|http://localhost/"'),
        ('ProxyPass "/b" "unix:{J}/s2|fcgi://x/" retry=0',
         'ProxyPass "/b" "unix:/s2|fcgi://x/" retry=0'),
        ("ProxyPassMatch ^/c unix:{J}/s3|http://localhost/",
         'ProxyPassMatch ^/c "unix:/s3|http://localhost/"'),
        ("<Proxy balancer://pool>\nBalancerMember unix:{J}/s4|http://x "
         "loadfactor=1\n</Proxy>",
         'BalancerMember "unix:/s4|http://x" loadfactor=1'),
        ("<Proxy unix:{J}/s5|http://y>\nProxySet timeout=3\n</Proxy>",
         '<Proxy "unix:/s5|http://y">'),
        ("<Location /h>\nSetHandler proxy:unix:{J}/s6|fcgi://z\n</Location>",
         'SetHandler "proxy:unix:/s6|fcgi://z"'),
        ("ProxyPass /d unix:/run/s|http://localhost/",
         "ProxyPass /d unix:/run/s|http://localhost/"),
        ("ProxyPass /e http://x.example{J}/",
         "ProxyPass /e http://x.example{J}/"),
        ("ProxyExpressDBMFile {J}/express", 'ProxyExpressDBMFile "/express"')]),
    "heartbeats": (["proxy", "proxy_balancer", "slotmem_shm",
                    "lbmethod_heartbeat"], None, [
        ("HeartbeatStorage {J}/hb", 'HeartbeatStorage "/hb"')]),
    "filters": (["ext_filter"], None, [
        ("ExtFilterDefine one mode=output cmd={J}/bin/f",
         "ExtFilterDefine one mode=output cmd=/bin/f"),
        ('ExtFilterDefine two cmd="{J}/bin/f -x {J}2"',
         'ExtFilterDefine two cmd="/bin/f -x {J}2"')]),
    "Lua": (["lua"], None, [
        (f"{name} {{J}}/l/{name}.lua f", f'{name} "/l/{name}.lua" f')
        for name in (
            "LuaHookPreTranslateName", "LuaHookTranslateName", "LuaHookFixups",
            "LuaHookMapToStorage", "LuaHookCheckUserID", "LuaHookTypeChecker",
            "LuaHookAccessChecker", "LuaHookAuthChecker", "LuaHookLog")] + [
        ("LuaRoot {J}/lua", 'LuaRoot "/lua"'),
        ("LuaQuickHandler {J}/q.lua f", 'LuaQuickHandler "/q.lua" f'),
        ("LuaPackagePath {J}/lua/?.lua", 'LuaPackagePath "/lua/?.lua"'),
        ("LuaPackageCPath {J}/lua/?.so", 'LuaPackageCPath "/lua/?.so"'),
        ("LuaMapHandler ^/x$ {J}/m.lua f", 'LuaMapHandler ^/x$ "/m.lua" f'),
        ("LuaInputFilter in {J}/i.lua f", 'LuaInputFilter in "/i.lua" f'),
        ("LuaOutputFilter out {J}/o.lua f",
         'LuaOutputFilter out "/o.lua" f')]),
    "ACME": (["ssl", "md", "socache_shmcb"], None, [
        ("MDCACertificateFile {J}/ca.pem", 'MDCACertificateFile "/ca.pem"')]),
    "URL mapping": (["vhost_alias"], None, [
        (text, text) for text in (
            'AliasMatch "^/b(.*)" "{J}/b$1"', "ScriptAliasMatch ^/d {J}/d",
            "VirtualDocumentRoot {J}/v/%0", 'DocumentRoot "{J}/www"',
            "Alias /e {J}", "Alias /f /etc", "Alias /g {J}x/a")] + [
        ("Alias /a {J}/a", 'Alias /a "/a"'),
        ("Alias /h/ '{J}/a/'", 'Alias /h/ "/a/"'),
        ('ScriptAlias /c "{J}/a b"', 'ScriptAlias /c "/a b"')]),
}


@pytest.mark.parametrize("name", TRANSLATED)
def test_a_directive_that_children_need_is_translated(dump, name):
    modules, section, rows = TRANSLATED[name]
    rows = [(text.format(J="${JAIL}"), after and after.format(J="J"))
            for text, after in rows]
    text = "\n".join(text for text, _ in rows) + "\n"
    if section:
        text = f"<{section} />\n{text}</{section}>\n"
    lines = dump(SITE + text, modules, files={
        **FILES, "l/x": "", "a/x": "", "../jail2/f": "", "b/x": "",
        "c": "", "e": "", "g": "", "h": "", "dav/x": "", "log/x": "",
        "ca.pem": ""})
    # "/./x" is how a RewriteRule says that it means a file, and an Alias that
    # it is an inner one
    lines = [re.sub(r'(?<=[ "])/\./', "/", line) for line in lines]
    wanted = [after for _, after in rows if after]
    wrong = [after for after in wanted if after not in lines]
    assert not wrong, "\n".join(["missing:", *wrong, "found:", *lines])


LINE = "AuthUserFile ${JAIL}/etc/users"
PLACES = {
    "VirtualHost": "<VirtualHost *>\n<Location />\n{}\n</Location>\n"
                   "</VirtualHost>",
    "Directory": '<Directory "${{JAIL}}/www">\n{}\n</Directory>',
    "Directory in a virtual host": '<VirtualHost *>\n<Directory "${{JAIL}}">\n'
                                   "{}\n</Directory>\n</VirtualHost>",
    "Location": "<Location /x>\n{}\n</Location>",
    "LocationMatch": "<LocationMatch ^/x>\n{}\n</LocationMatch>",
    "Files": "<Files x>\n{}\n</Files>",
    "If": '<If "true">\n{}\n</If>',
    "Else": '<If "false">\nOptions None\n</If>\n<ElseIf "false">\n{0}\n'
            "</ElseIf>\n<Else>\n{0}\n</Else>",
    "If in Files in Directory": '<Directory "${{JAIL}}">\n<Files x>\n'
                                '<If "true">\n{}\n</If>\n</Files>\n'
                                "</Directory>",
    "AuthnProviderAlias": "<AuthnProviderAlias file other>\n{}\n"
                          "</AuthnProviderAlias>",
    "Limit": "<Location />\n<Limit POST>\n{}\n</Limit>\n</Location>",
    "IfModule": "<Location />\n<IfModule core.c>\n{}\n</IfModule>\n"
                "</Location>",
    "an included file": "Include ${{ROOT}}/conf/extra.conf",
    "a macro": "<Macro users $file>\n<Location />\nAuthUserFile $file\n"
               "</Location>\n</Macro>\nUse users ${{JAIL}}/etc/users",
    "a continued line": "<Location />\nAuthUserFile \\\n  ${{JAIL}}\\\n"
                        "/etc/users\n</Location>",
    "another case": "<Location />\naUTHuserFILE ${{JAIL}}/etc/users\n"
                    "</Location>",
}


@pytest.mark.parametrize("place", PLACES)
def test_a_directive_is_translated_wherever_it_stands(dump, place):
    lines = dump(
        SITE + PLACES[place].format(LINE) + "\n",
        ["authn_core", "authn_file", "macro"],
        prepare=lambda server: put(server.root, {
            "conf/extra.conf": f"<Location />\n{LINE}\n</Location>\n"}))
    found = [line for line in lines if "etc/users" in line]
    assert found and all(re.fullmatch('AuthUserFile "/etc/users"', line, re.I)
                         for line in found), found


# -- directives that are the parent's alone, or no paths, or raw text

KEPT = [
    ("ErrorLog ${JAIL}/log/e", []), ("CustomLog ${JAIL}/log/c common", []),
    ('CustomLog "${JAIL}/log/c" "%h \\"%r\\" \\\\ %>s"', []),
    ("TransferLog ${JAIL}/log/t", []), ("GlobalLog ${JAIL}/log/g common", []),
    ('ErrorLog "|/bin/cat ${JAIL}/x"', []),
    ("ForensicLog ${JAIL}/log/f", ["log_forensic"]),
    ("PidFile ${JAIL}/log/pid", []), ("ScoreBoardFile ${JAIL}/log/sb", []),
    ("Mutex flock:${JAIL}/log default", []),
    ("TypesConfig ${JAIL}/log/types", []),
    ("MimeMagicFile ${JAIL}/log/magic", ["mime_magic"]),
    ("CoreDumpDirectory ${JAIL}/log", []),
    ("CacheFile ${JAIL}/www/f.txt", ["file_cache"]),
    ("MMapFile ${JAIL}/www/f.txt", ["file_cache"]),
    ("SSLSessionCache shmcb:${JAIL}/log/s(512000)",
     ["socache_shmcb", "ssl"]),
    ("RewriteMap x prg:${JAIL}/log/prg", ["rewrite"]),
    ("Redirect /a http://x.example${JAIL}/", []), ("Redirect /b ${JAIL}/", []),
    ("RedirectMatch ^/c(.*) ${JAIL}/$1", []),
    ("ErrorDocument 404 ${JAIL}/404.html", []),
    ("ErrorDocument 500 \"see ${JAIL}\"", []),
    ("DirectoryIndex ${JAIL}/index.html", []),
    ("FallbackResource ${JAIL}/x", []), ("Action x ${JAIL}/y", ["actions"]),
    ("ProxyPassReverse /x http://h${JAIL}/", ["proxy", "proxy_http"]),
    ("AddIcon ${JAIL}/i.png .x", ["autoindex"]),
    ("HeaderName ${JAIL}/h", ["autoindex"]),
]


@pytest.mark.parametrize("line, modules", KEPT, ids=[
    re.sub(r"\$\{JAIL\}", "J", line) for line, _ in KEPT])
def test_what_is_not_opened_by_a_child_is_kept_to_the_letter(dump, line,
                                                             modules):
    lines = dump(SITE + line + "\n", modules, files={
        **FILES, "log/types": "", "log/magic": "", "log/x": "",
        "log/prg": File("", mode=0o755)})
    assert line.replace("${JAIL}", "J").lower() in map(str.lower, lines)
    assert not [text for text in lines if "not known to" in text], lines


RAW = ['Header set X "a \\"quoted\\" \\\\ word"', "Header set Y 'a  b'",
       'LogFormat "%h \\"%{Referer}i\\"" one',
       'SetEnvIf Referer "^x\\.y\\b" z=\\1', 'AddDescription "a > b" x.txt',
       "RewriteRule \"^/a b\\.c$\" '/x y' [L]", 'IndexIgnore *~ ".??*" >']


@pytest.mark.parametrize("line", RAW)
def test_raw_text_is_kept_to_the_letter(dump, line):
    modules = ["headers", "setenvif", "autoindex", "rewrite"]
    assert line in dump(SITE + line + "\n", modules)


def test_without_a_jail_or_with_fix_root_off_nothing_is_rewritten(dump):
    text = ("<Location />\n" + LINE + "\n</Location>\n<Directory /srv>\n"
            "</Directory>\nUserDir ${JAIL}/u\n")
    for jail in ("", "ChrootDir ${JAIL}\n", "ChrootDir none\nChrootFixRoot On"
                 "\n", "ChrootDir ${JAIL}\nChrootFixRoot Off\n"):
        lines = dump(text, ["authn_file", "userdir"], jail_config=jail)
        assert LINE.replace("${JAIL}", "J") in lines, jail
        assert "UserDir J/u" in lines and "<Directory /srv>" in lines


# -- expressions and patterns that name the jail

@pytest.mark.parametrize("text, modules", [
    ('<If "%{REQUEST_FILENAME} =~ m#^${JAIL}/www#">\nOptions None\n</If>', []),
    ('<If "-f \'${JAIL}/x\'">\nOptions None\n</If>', []),
    ('<If "true">\n<If "%{DOCUMENT_ROOT} == \'${JAIL}/www\'">\n'
     "Options None\n</If>\n</If>", []),
    ("<Location />\nRequire expr \"%{REQUEST_FILENAME} -strmatch "
     "'${JAIL}/*'\"\n</Location>", []),
    ("<VirtualHost *>\n<Location />\n<RequireAny>\nRequire expr "
     "\"-d '${JAIL}/x'\"\n</RequireAny>\n</Location>\n</VirtualHost>", []),
    ("RewriteCond %{REQUEST_FILENAME} ^${JAIL}/x", ["rewrite"]),
    ("RewriteCond %{DOCUMENT_ROOT} =${JAIL}/www", ["rewrite"]),
    ("RewriteCond expr \"-f '${JAIL}/x'\"", ["rewrite"]),
    ("<Location />\nSetEnvIfExpr \"%{REQUEST_FILENAME} =~ m#${JAIL}/x#\" y\n"
     "</Location>", ["setenvif"]),
    ("SSLRequire %{REQUEST_FILENAME} =~ m#${JAIL}#", ["ssl"])])
def test_an_expression_that_names_the_jail_is_an_error(httpd, text, modules):
    if text.startswith("SSLRequire"):
        text = f"<Location />\n{text}\n</Location>"
    server = httpd(f"{JAILED}{SITE}{text}\n", modules=modules, files=FILES)
    status, output = server.configtest()
    assert status != 0, output
    at = re.search(r"on line (\d+) of (\S+):", output)
    assert at and at[2] == str(server.conf), output
    line = server.conf.read_text().splitlines()[int(at[1]) - 1]
    assert re.search(r"Require|<If|RewriteCond|SetEnvIf", line), line
    assert str(server.jail) in output


@pytest.mark.parametrize("text, modules", [
    ("SetEnv X ${JAIL}/x", ["env"]), ("SetEnv X a:${JAIL}:b", ["env"]),
    ("Header set X ${JAIL}/www", ["headers"]),
    ("<VirtualHost *>\nSetEnv X ${JAIL}\n</VirtualHost>", ["env"]),
    ('Substitute "s|${JAIL}/x|y|"', ["filter", "substitute"]),
    ("PerlSetVar Base ${JAIL}/x", ["perl"])])
def test_an_unknown_directive_that_names_the_jail_is_a_warning(httpd, text,
                                                               modules):
    server = httpd(JAILED + SITE + text + "\n", modules=modules,
                   files=FILES).start()
    name = re.search(r"(SetEnv|Header|Substitute|PerlSetVar)", text)[1]
    said = re.findall(rf"chroot:warn.*{name} at {server.conf}:\d+",
                      server.log())
    assert len(said) == 1, server.log()
    server.expect_log(f"chroot:warn.*{name}")


@pytest.mark.parametrize("text, modules", [
    ("SetEnv X ${JAIL}2/x", ["env"]), ("SetEnv X ${ROOT}", ["env"]),
    ("SetEnv X /x", ["env"])])
def test_other_paths_in_unknown_directives_are_nobodys_business(
        httpd, text, modules):
    server = httpd(JAILED + SITE + text + "\n", modules=modules, files=FILES)
    server.start()      # the fixture looks for undeclared warnings


# -- what the self-link serves

NEED_THE_LINK = [
    ("RewriteMap m txt:${JAIL}/etc/map", ["rewrite"]),
    ("RewriteMap m rnd:${JAIL}/etc/map", ["rewrite"]),
    ("RewriteMap m dbm=sdbm:${JAIL}/etc/map", ["rewrite"]),
    ("SSLSessionCache dbm:${JAIL}/etc/ssl", ["socache_dbm", "ssl"]),
    ("AuthnCacheSOCache dbm:${JAIL}/etc/auth",
     ["socache_dbm", "authn_core", "authn_socache"]),
    ("SSLCACertificatePath ${JAIL}/etc", ["ssl"])]


@pytest.mark.parametrize("text, modules", NEED_THE_LINK, ids=[
    row[0].split("J")[0] for row in NEED_THE_LINK])
def test_a_path_that_is_used_on_both_sides_is_reported_without_the_link(
        httpd, text, modules):
    files = {**FILES, "etc/map": "a b\n", "etc/map.dir": "", "etc/map.pag": ""}
    server = httpd(f"{JAILED}{SITE}{text}\n", modules=modules, files=files)
    server.allow_log(".*")
    name = text.split()[0]
    assert re.search(f"warn.*{name}", server.configtest()[1])
    put(server.jail, self_link(server.jail))
    assert not re.search(f"warn.*{name}", server.configtest()[1])


def test_with_the_self_link_a_rewrite_map_works_as_before(httpd):
    server = httpd(SITE + "RewriteEngine On\nRewriteMap m txt:${JAIL}/map\n"
                   "RewriteRule ^/m/(.*) ${JAIL}/www/${m:$1|none} [L]\n",
                   modules=["rewrite"], files={**FILES, "map": "a f.txt\n"})
    put(server.jail, self_link(server.jail))
    done = compared(server, ["/m/a", "/m/b"])
    assert done.statuses == [200, 404]


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
    status, output = server.configtest()
    assert status != 0 and f"ln -s {link.target} " in output, output
    assert re.search(r"line \d+ of /", output)


def test_the_command_that_is_suggested_makes_the_right_link(httpd):
    server = httpd(JAILED + SITE, files={**FILES})
    inner = server.jail / str(server.jail).lstrip("/")
    inner.mkdir(parents=True)
    output = server.configtest()[1]
    inner.rmdir()
    run_ok(["sh", "-c", re.search("ln -s .*", output)[0]])
    assert inner.samefile(server.jail)
    assert server.start().get("/").text == "home"


def test_a_self_link_at_depth_one(httpd):
    """For /x the link is "."."""
    jail = Path(f"/chroot-test-{os.getpid()}")
    jail.mkdir(mode=0o755)
    try:
        server = httpd(JAILED + SITE, files=FILES, jail=jail)
        put(jail, {jail.name: Link("..")})
        status, output = server.configtest()
        assert status != 0 and "ln -s . " in output
        (jail / jail.name).unlink()
        put(jail, self_link(jail))
        assert os.readlink(jail / jail.name) == "."
        assert server.start().get("/").text == "home"
        server.stop()
    finally:
        run_ok(["rm", "-r", jail])


@pytest.mark.parametrize("what", [Dir, "file"])
def test_a_doubled_layout_is_refused_with_what_to_do(httpd, what):
    server = httpd(JAILED + SITE, files=FILES)
    inner = str(server.jail).lstrip("/")
    put(server.jail, {inner: what})
    status, output = server.configtest()
    assert status != 0
    assert f"{server.jail}/{inner}" in output
    assert "remove it" in output and "ln -s " in output
    server.write_config("ChrootDir ${JAIL}\nDocumentRoot /srv\n")
    assert server.httpd("-t")[0] == 0       # with FixRoot off it may stay


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
    assert re.search(r"line \d+ of /", output) and "link" in output, output


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
    assert "only virtual hosts have" in output, output
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


def test_a_password_file_outside_the_jail_lets_nobody_in(jailed):
    server = jailed("ChrootFixRoot On\n" + SITE + "<Location /p>\n" + ACCESS
                    + "valid-user\nAuthUserFile ${ROOT}/users\n</Location>\n",
                    files={**FILES, "../users": users()},
                    modules=AUTH + ["authn_file"])
    server.allow_log(r":error\] .*client|warn")
    assert [server.request(each).status for each in WHO][1:] != [200] * 3
    assert 200 not in [server.request(each).status for each in WHO]


LOCK = """<?xml version="1.0"?><lockinfo xmlns="DAV:"><lockscope><exclusive/>
</lockscope><locktype><write/></locktype><owner>x</owner></lockinfo>"""



@pytest.fixture
def open_jail(jailed):
    """A jailed server with directories that children may write to."""
    def start(config, directories, **options):
        server = jailed("ChrootFixRoot On\n" + SITE + config, files={
            **FILES, **options.pop("files", {}),
            **{name: Dir for name in directories}}, **options)
        for name in directories:
            (server.jail / name).chmod(0o777)
        return server
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

@pytest.mark.parametrize("core", ["${JAIL}/core", "jail/core"])
def test_a_child_that_crashes_leaves_its_core_in_the_jail(httpd, core, mpm,
                                                          variant):
    pattern = Path("/proc/sys/kernel/core_pattern")
    was = pattern.read_text()
    server = httpd(JAILED + f"CoreDumpDirectory {core}\n" + SITE,
                   files={**FILES, "core": Dir},
                   wrapper=["sh", "-c", 'ulimit -c unlimited && exec "$@"',
                            "sh"])
    (server.jail / "core").chmod(0o777)
    server.expect_log("exit signal Segmentation fault")
    try:
        if was != "core\n":
            pattern.write_text("core\n")
        server.start()
        os.kill(server.serving()[0], signal.SIGSEGV)
        found = wait_for(lambda: [
            path for path in (server.jail / "core").glob("core*")
            if path.is_file() and path.stat().st_size], "the core")
        wait_for(lambda: "Segmentation fault" in server.log(), "the log line")
    finally:
        if was != "core\n":
            pattern.write_text(was)
    assert found[0].read_bytes()[:4] == b"\x7fELF"


# -- mod_cgid

CGID = ('ScriptAlias "/cgi/" "${JAIL}/cgi/"\n', ["cgid"])


def test_an_unreachable_cgid_socket_is_said_and_answered_at_once(
        httpd, builds, variant):
    server = httpd(JAILED + SITE + CGID[0], modules=CGID[1], files={
        **FILES, "cgi/env": File(copy_of=builds.program("printenv"),
                                 mode=0o755)})
    server.expect_log(r"chroot:warn.*ScriptSock.*ln -s")
    server.allow_log(r":error\] .*client")
    server.start()
    assert len(re.findall("chroot:warn.*ScriptSock", server.log())) == 1
    begun = time.monotonic()
    assert server.get("/cgi/env").status == 503
    assert time.monotonic() - begun < 2
    assert server.get("/f.txt").status == 200
    assert server.get("/cgi/none").status == 404


@pytest.mark.parametrize("mpm", ["event", "worker"])
def test_with_the_cure_of_the_warning_cgid_works(httpd, builds, variant, mpm):
    server = httpd(JAILED + SITE + CGID[0], modules=CGID[1], mpm=mpm, files={
        **FILES, "cgi/env": File(copy_of=builds.program("printenv"),
                                 mode=0o755)})
    server.allow_log("chroot:warn.*ScriptSock|mod_cgid")
    said = server.configtest()[1]
    cure = re.search(r'write "(ScriptSock [^"]+)".*? (mkdir -p .*?); or', said)
    assert cure, said
    run_ok(["sh", "-ec", cure[2]])
    server.config += cure[1] + "\n"
    warnings = len(re.findall("chroot:warn", server.log()))
    server.start()
    assert "DOCUMENT_ROOT=/www\n" in server.get("/cgi/env").text
    assert "SCRIPT_FILENAME=/cgi/env\n" in server.get("/cgi/env").text
    assert len(re.findall("chroot:warn", server.log())) == warnings
