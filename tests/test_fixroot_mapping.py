"""ChrootFixRoot and URL mapping: every URL answers as without the jail, and
what applications see are inner paths."""
import os
import re
from pathlib import Path

import pytest

import comparison
from comparison import JAILED
from harness import BUSYBOX, File, Request, put, script, self_link

ROOT = 'DocumentRoot "${JAIL}/www"\n'
OPEN = '<Directory "${JAIL}">\nOptions %s\nAllowOverride All\n</Directory>\n'
FILES = {
    "www/index.html": "home", "www/f.txt": "file", "www/sub/index.html": "sub",
    "www/sub/page.txt": "page", "www/empty/x.txt": "x", "two/index.html": "two",
    "two/f.txt": "two's file", "notes/a.txt": "note a", "notes/b/c.txt": "c",
    "notes/index.html": "notes", "f.txt": "the jail's own f.txt"}
USUAL = ["/", "/f.txt", "/sub", "/sub/", "/sub/page.txt", "/sub/none",
         "/none", "/f.txt/more", "/%2e%2e/f.txt", "//f.txt", "/sub/../f.txt",
         "/www/f.txt", "/jail/www/f.txt"]


def age(base):
    """httpd gives a file of this second another ETag than one of the last."""
    for path in Path(base).rglob("*"):
        if not path.is_symlink():
            os.utime(path, (1e9, 1e9))


@pytest.fixture
def same(httpd):
    """compare(), on a server that prepare(server) may change before."""
    def run(config, requests=USUAL, files=None, prepare=None, at=None,
            jail_config=JAILED, strip_jail=False, ignore=(), same_log=True,
            outside=(), bind="", **options):
        server = httpd(config, **options)
        if prepare:
            prepare(server)
        base = at(server) if at else server.jail
        put(base, FILES if files is None else files)
        age(base)
        requests = [each(server) if callable(each) else each
                    for each in requests]
        done = comparison.compare(
            server, requests, jail_config=jail_config, strip_jail=strip_jail,
            ignore=ignore, same_log=same_log, outside=outside, bind=bind)
        done.server = server
        return done
    return run


def vhost(body, name="two"):
    return f"<VirtualHost *>\nServerName {name}\n{body}</VirtualHost>\n"


# -- mappers: name: configuration, requests, options

MAPPINGS = {
    "the document root": (ROOT, USUAL, {}),
    "the jail itself": ('DocumentRoot "${JAIL}"\n',
                        USUAL + ["/notes/a.txt"], {}),
    "the jail with a slash": ('DocumentRoot "${JAIL}/"\n',
                              USUAL + ["/notes/a.txt"], {}),
    "document roots of virtual hosts": (
        vhost(ROOT, "localhost") + vhost('DocumentRoot "${JAIL}/two"\n')
        + vhost('DocumentRoot "${JAIL}/notes"\n', "three"),
        [Request(path, host=host) for path in ("/", "/f.txt", "/b", "/a.txt")
         for host in ("localhost", "two", "three", "other")], {}),
    "a virtual host without a document root": (
        ROOT + vhost("") + vhost('DocumentRoot "${JAIL}/two"\n', "three"),
        [Request("/f.txt", host=host) for host in ("two", "three")], {}),
    "Alias": (ROOT + 'Alias "/n" "${JAIL}/notes"\n'
              'Alias "/slash/" "${JAIL}/notes/"\nAlias "/all" "${JAIL}"\n'
              'Alias "/one" "${JAIL}/f.txt"\nAlias "/gone" "${JAIL}/gone"\n',
              ["/n", "/n/", "/n/a.txt", "/n/b", "/slash/a.txt", "/slash",
               "/all/f.txt", "/all", "/all/", "/one", "/one/x", "/gone/x",
               "/nn"], {}),
    "Alias in other spellings": (
        ROOT + 'Alias "/a" "${JAIL}//notes/"\nAlias "/b" "${JAIL}/./notes"\n'
        'Alias "/c" "${JAIL}/x/../notes"\nAlias "/d" ${JAIL}/notes\n'
        'Alias "/e" "${ROOT}/jail/notes"\nAlias "/f" "/.${JAIL}/notes"\n',
        [f"/{c}/a.txt" for c in "abcdef"], {"same_log": False}),
    "AliasMatch": (ROOT + 'AliasMatch "^/m/(\\w)$" "${JAIL}/notes/$1.txt"\n'
                   'AliasMatch "^/mm(/.*)" "${JAIL}$1"\n',
                   ["/m/a", "/m/z", "/mm/notes/b/c.txt", "/mm/", "/mmm"], {}),
    "Alias in <Location>": (
        ROOT + '<Location "/loc">\nAlias "${JAIL}/notes"\n</Location>\n'
        '<Location "/file">\nAlias "${JAIL}/f.txt"\n</Location>\n'
        '<LocationMatch "/lm/(?<n>\\w+)">\n'
        'Alias "${JAIL}/notes/%{env:MATCH_N}.txt"\n</LocationMatch>\n',
        ["/loc/a.txt", "/loc", "/loc/b/c.txt", "/file", "/lm/a", "/lm/z"], {}),
    "Alias with a slash on one side": (
        ROOT + 'Alias "/a/" "${JAIL}"\nAlias "/b/" "${JAIL}/www"\n'
        'Alias "/c/" "${JAIL}/no"\nAlias "/d" "${JAIL}/notes/"\n',
        ["/a/f.txt", "/a/", "/a//f.txt", "/a/www/f.txt", "/b/f.txt", "/b/",
         "/b/../f.txt", "/c/tes/a.txt", "/c/", "/d/a.txt", "/da.txt", "/d"],
        {}),
    "Alias beside AliasMatch": (
        ROOT + 'Alias "/m/s" "${JAIL}/two"\n'
        'AliasMatch "^/m(/.*)" "${JAIL}/notes$1"\n'
        'Alias "/n" "${JAIL}/notes"\n',
        ["/m/s/f.txt", "/m/a.txt", "/m/b/c.txt", "/n/a.txt", "/m/s"], {}),
    "Alias in a virtual host": (
        ROOT + vhost('DocumentRoot "${JAIL}/two"\nAlias "/n" "${JAIL}/notes"\n'),
        [Request("/n/a.txt", host=host) for host in ("two", "other")], {}),
    "relative Alias": (ROOT + 'Alias "/n" jail/notes\n'
                       'AliasMatch "^/m/(.)$" "jail/notes/$1.txt"\n',
                       ["/n/a.txt", "/m/a", "/n/"], {}),
    "relative DocumentRoot": ("DocumentRoot jail/www\n", USUAL, {}),
    "UserDir below one directory": (
        ROOT + "UserDir ${JAIL}/notes\n", ["/~b/c.txt", "/~b", "/~x/y"],
        {"modules": ["userdir"]}),
    "UserDir with a star": (
        ROOT + "UserDir ${JAIL}/u/*/pub\n", ["/~bob/x.txt", "/~bob", "/~eve/"],
        {"modules": ["userdir"], "files": {**FILES, "u/bob/pub/x.txt": "b"}}),
    "UserDir out of the jail, and a .htaccess in it": (
        ROOT + '<Directory "${JAIL}">\nAllowOverride All\n</Directory>\n'
        'UserDir "/data/*"\nAlias "/two" "${JAIL}/two"\n',
        ["/f.txt", "/two/f.txt"],
        {"modules": ["userdir"], "same_log": False,
         "outside": ["/~bob/x.txt", "/~bob", "/~bob/"],
         "files": {**FILES, ".htaccess": "Require all denied\n",
                   "two/.htaccess": "Require all granted\n"}}),
    "UserDir with several words": (
        ROOT + "UserDir ${JAIL}/u/*/pub ${JAIL}/notes\nUserDir disabled eve\n",
        ["/~bob/x.txt", "/~b/c.txt", "/~eve/x.txt", "/~none/"],
        {"modules": ["userdir"], "files": {
            **FILES, "u/bob/pub/x.txt": "b", "u/eve/pub/x.txt": "e"}}),
    "UserDir in a virtual host": (
        ROOT + vhost(ROOT + "UserDir ${JAIL}/notes\n"),
        [Request("/~b/c.txt", host=host) for host in ("two", "x")],
        {"modules": ["userdir"]}),
    "VirtualDocumentRoot": (
        'UseCanonicalName Off\nVirtualDocumentRoot "${JAIL}/v/%0/htdocs"\n',
        [Request(path, host=host) for path in ("/", "/x.txt", "/none")
         for host in ("a.example", "b.example", "..", "none")],
        {"modules": ["vhost_alias"], "files": {
            "v/a.example/htdocs/x.txt": "a", "v/b.example/htdocs/x.txt": "b"}}),
    "VirtualDocumentRoot by the jail's own name": (
        'UseCanonicalName Off\nVirtualDocumentRoot "${ROOT}/%0/notes"\n',
        [Request("/a.txt", host=host) for host in ("jail", "none")],
        {"modules": ["vhost_alias"], "same_log": False}),
    "RewriteRule to a file": (
        ROOT + "RewriteEngine On\nRewriteRule ^/r/(.*)$ ${JAIL}/notes/$1 [L]\n"
        'RewriteRule ^/q$ "${JAIL}/notes/a.txt"\n'
        "RewriteRule ^/d/(.*) %{DOCUMENT_ROOT}/sub/$1 [L]\n"
        "RewriteRule ^/u/(.*) /sub/$1 [PT]\nRewriteRule ^/v/(.*) /sub/$1\n"
        "RewriteRule ^/g$ - [G]\nRewriteRule ^/f$ - [F]\n"
        "RewriteRule ^/red$ /f.txt [R=302,L]\n",
        ["/r/a.txt", "/r/b/c.txt", "/r/none", "/q", "/d/page.txt", "/g", "/f",
         "/u/page.txt", "/v/page.txt", "/red", "/f.txt"],
        {"modules": ["rewrite"], "same_log": False}),
    "RewriteRule to a file in a virtual host": (
        ROOT + vhost(ROOT + "RewriteEngine On\n"
                     "RewriteRule ^/r/(.*)$ ${JAIL}/notes/$1\n"),
        [Request("/r/a.txt", host=host) for host in ("two", "x")],
        {"modules": ["rewrite"]}),
    "RewriteRule in a directory": (
        ROOT + '<Directory "${JAIL}/www">\nOptions +FollowSymLinks\n'
        "RewriteEngine On\nRewriteRule ^old/(.*)$ sub/$1\n"
        "RewriteRule ^abs$ ${JAIL}/www/f.txt\nRewriteRule ^out$ /f.txt\n"
        "RewriteBase /\nRewriteRule ^moved$ sub/page.txt [R]\n"
        "RewriteRule ^rq$ %{DOCUMENT_ROOT}/sub/page.txt\n"
        "RewriteCond %{REQUEST_FILENAME} !-f\n"
        "RewriteRule ^front/(.*) index.html\n</Directory>\n",
        ["/old/page.txt", "/abs", "/out", "/moved", "/rq", "/front/x",
         "/front/", "/f.txt"], {"modules": ["rewrite"]}),
    "RewriteRule in .htaccess": (
        ROOT + OPEN % "FollowSymLinks",
        ["/sub/old", "/sub/base", "/sub/abs", "/sub/else/where", "/sub/"],
        {"modules": ["rewrite"], "files": {
            **FILES, "www/sub/.htaccess":
            "RewriteEngine On\nRewriteRule ^old$ page.txt\n"
            "RewriteRule ^abs$ /f.txt [END]\nRewriteRule ^base$ /sub/page.txt [R]\n"
            "RewriteCond %{REQUEST_FILENAME} !-f\n"
            "RewriteCond %{REQUEST_FILENAME} !-d\n"
            "RewriteRule . page.txt\n"}}),
    "FallbackResource": (
        ROOT + '<Directory "${JAIL}/www">\nFallbackResource /index.html\n'
        "</Directory>\n", ["/none", "/sub/none", "/f.txt", "/empty/"], {}),
    "MultiViews and a type map": (
        ROOT + OPEN % "MultiViews" + "AddLanguage en .en\nAddLanguage de .de\n"
        "AddHandler type-map .var\n",
        [Request(path, headers={"Accept-Language": language})
         for path in ("/page", "/page.html", "/map", "/map.var", "/f",
                      "/sub/page", "/none")
         for language in ("en", "de", "fr")],
        {"modules": ["negotiation"], "files": {
            **FILES, "www/page.html.en": "en", "www/page.html.de": "de",
            "www/map.var": "URI: page.html.de\nContent-type: text/html\n"
                           "Content-language: de\n\nURI: page.html.en\n"
                           "Content-type: text/html\nContent-language: en\n"}}),
    "mod_speling": (ROOT + "CheckSpelling On\n",
                    ["/F.TXT", "/ff.txt", "/sbu/page.txt", "/sub/paeg.txt",
                     "/utterly-other", "/sub/same"],
                    {"modules": ["speling"], "files": {
                        **FILES, "www/sub/same1": "1", "www/sub/same2": "2"},
                     "same_log": False}),
    "mod_dir": (ROOT + "DirectoryIndex none.html page.txt /f.txt\n"
                '<Directory "${JAIL}/www/empty">\nDirectorySlash Off\n'
                "DirectoryIndex disabled\n</Directory>\n",
                ["/", "/sub/", "/sub", "/empty", "/empty/"], {}),
    "directory listings": (
        ROOT + OPEN % "Indexes" + 'Alias "/n" "${JAIL}/notes"\n'
        "DirectoryIndex disabled\nIndexOptions FancyIndexing\n",
        ["/", "/sub/", "/n/", "/n/?C=M;O=D", "/empty/"],
        {"modules": ["autoindex"]}),
    "SSI": (ROOT + OPEN % "Includes" + "AddType text/html .shtml\n"
            "AddOutputFilter INCLUDES .shtml\n"
            'Alias "/n" "${JAIL}/notes"\n',
            ["/p.shtml", "/sub/q.shtml"],
            {"modules": ["include"], "files": {
                **FILES, "www/p.shtml":
                '<!--#include virtual="/sub/page.txt"-->'
                '<!--#include file="f.txt"--><!--#include virtual="/n/a.txt"-->'
                '<!--#include virtual="sub/q.shtml"--><!--#fsize file="f.txt"-->'
                '<!--#flastmod virtual="/n/a.txt"--><!--#include file="none"-->'
                '<!--#include virtual="/none"--><!--#fsize virtual="/sub/"-->'
                '<!--#include file="../f.txt"-->',
                "www/sub/q.shtml": '(<!--#include file="page.txt"-->'
                '<!--#echo var="DOCUMENT_NAME"-->)'}}),
    "ErrorDocument": (
        ROOT + "ErrorDocument 404 /sub/page.txt\nErrorDocument 403 /n/a.txt\n"
        'ErrorDocument 410 "text"\nAlias "/n" "${JAIL}/notes"\n'
        "Redirect gone /gone\n<Location /secret>\nRequire all denied\n"
        "</Location>\n<Directory ${JAIL}/www/sub>\n"
        "ErrorDocument 404 /none\n</Directory>\n",
        ["/", "/none", "/secret", "/gone", "/sub/none"], {}),
    "a proxied request": (
        vhost(ROOT + 'ProxyPass "/p" "http://127.0.0.1:${PORT}/sub"\n'
              'ProxyPassReverse "/p" "http://127.0.0.1:${PORT}/sub"\n'
              'ProxyPass "/j" "http://127.0.0.1:${PORT}/${JAIL}/www"\n',
              "localhost")
        + vhost('DocumentRoot "${JAIL}/www"\nAlias "${JAIL}" "${JAIL}"\n',
                "127.0.0.1"),
        ["/p/page.txt", "/p", "/p/none", "/j/f.txt", "/f.txt",
         Request("/p/page.txt", method="POST", body="x")],
        {"modules": ["proxy", "proxy_http"]}),
    "a proxied request by RewriteRule": (
        vhost(ROOT + "RewriteEngine On\n"
              "RewriteRule ^/p/(.*) http://127.0.0.1:${PORT}/sub/$1 [P]\n",
              "localhost") + vhost(ROOT, "127.0.0.1"),
        ["/p/page.txt", "/p/none"],
        {"modules": ["proxy", "proxy_http", "rewrite"]}),
    "a URL that looks like the jail": (
        ROOT + 'Alias "${JAIL}" "${JAIL}/notes"\n',
        [lambda server: f"{server.jail}/a.txt",
         lambda server: f"{server.jail}/www/f.txt"], {}),
}


@pytest.mark.parametrize("name", MAPPINGS)
def test_every_mapping_answers_as_before(same, name):
    config, requests, options = MAPPINGS[name]
    done = same(config, requests, **options)
    assert set(done.statuses) & {200, 300}, done.statuses


@pytest.mark.parametrize("name", [
    "Alias", "document roots of virtual hosts", "RewriteRule to a file",
    "UserDir with several words", "SSI", "relative DocumentRoot"])
def test_mappings_on_all_mpms_and_builds(same, name, mpm, variant):
    config, requests, options = MAPPINGS[name]
    same(config, requests, **options)


# -- where things lie

def equal(server):
    server.jail = server.root


def above(server):
    server.jail = server.root / "a/jail"
    server.jail.mkdir(parents=True)


def below(server):
    """ServerRoot is inside the jail."""
    server.jail = server.root.parent


@pytest.mark.parametrize("place", [equal, above, below])
@pytest.mark.parametrize("relative", [False, True])
def test_server_root_around_the_jail(same, place, relative):
    def at(server):
        return server.jail if place is above else server.root
    if relative:
        base = "a/jail/" if place is above else ""
    else:
        base = "${JAIL}/" if place is above else "${ROOT}/"
    same(f'DocumentRoot "{base}www"\nAlias "/n" "{base}notes"\n',
         USUAL + ["/n/a.txt"], prepare=place, at=at)


def test_server_root_beside_the_jail(same, directory):
    def beside(server):
        server.jail = directory()
    same(ROOT + 'Alias "/n" "${JAIL}/notes"\n', USUAL + ["/n/a.txt"],
         prepare=beside)


@pytest.mark.parametrize("name", [
    "my jail", " jail", "jail's", "j(a)il", "j.il", "j+l", "[jail]", "jäil",
    "jail*", "j$l", "j%41l", "j\\l", "jail|x"])
def test_odd_characters_in_the_jails_path(same, name):
    def prepare(server):
        server.jail = server.root / name
        server.jail.mkdir()
    written = name.replace("\\", "\\\\")
    same(f'DocumentRoot "${{ROOT}}/{written}/www"\n'
         f'Alias "/n" "${{ROOT}}/{written}/notes"\n'
         f'<Directory "${{ROOT}}">\nRequire all granted\n</Directory>\n',
         USUAL + ["/n/a.txt"], prepare=prepare,
         jail_config=f'ChrootDir "${{ROOT}}/{written}"\nChrootFixRoot On\n')


def test_a_jail_whose_path_has_4000_bytes(same):
    def prepare(server):
        path = str(server.root)
        while len(path) < 4000 - 201:
            path += "/" + 200 * "d"
        server.jail = Path(path + "/" + (3999 - len(path)) * "e")
        assert len(str(server.jail)) == 4000
        server.jail.mkdir(parents=True)
    same(ROOT + 'Alias "/n" "${JAIL}/notes"\n<Directory "${JAIL}/www/sub">\n'
         "Require all denied\n</Directory>\n", USUAL + ["/n/a.txt"],
         prepare=prepare)


def test_a_url_whose_path_has_4000_bytes(same):
    long = "/".join(19 * [200 * "d"])
    same(ROOT + 'Alias "/n" "${JAIL}/notes"\n',
         [f"/{long}/f.txt", f"/n/{long}", f"/{4000 * 'x'}",
          f"/{2000 * 'x/'}f", f"/{7000 * 'y'}"], same_log=False,
         files={**FILES, f"www/{long}/f.txt": "deep"})


def test_the_jail_may_be_the_root_directory(same):
    done = same(ROOT + 'Alias "/n" "${JAIL}/notes"\n', USUAL + ["/n/a.txt"],
                jail_config="ChrootDir /\nChrootFixRoot On\n")
    done.server.allow_log("chroot:warn.*(device node|set-user-id|proc file)")


LINKED = """\
DocumentRoot "{root}/www"
Alias "/n" "{alias}/notes"
AliasMatch "^/m/(.)$" "{match}/notes/$1.txt"
RewriteEngine On
RewriteRule ^/r/(.*)$ {rule}/notes/$1
"""


@pytest.mark.parametrize("name", ["root", "alias", "match", "rule", "jail"])
def test_a_jail_has_one_name(httpd, name):
    """By another, through a symbolic link, sections would decide otherwise."""
    names = dict.fromkeys(("root", "alias", "match", "rule", "jail"), "${JAIL}")
    names[name] = "${ROOT}/link"
    server = httpd(f"ChrootDir {names.pop('jail')}\nChrootFixRoot On\n"
                   + LINKED.format(**names), modules=["rewrite"], files=FILES)
    (server.root / "link").symlink_to("jail")
    said = server.refused_start()
    assert re.search(r'/link.* symbolic link.* write "/.*/jail(/\w+)?"',
                     said), said
    assert re.search(r"\.conf:\d+ |line \d+ of /", said), said


def test_the_name_that_the_error_says_is_right(same):
    names = dict.fromkeys(("root", "alias", "match", "rule"), "${JAIL}")
    same(LINKED.format(**names), USUAL + ["/n/a.txt", "/m/a", "/r/a.txt"],
         modules=["rewrite"], prepare=lambda server:
         (server.root / "link").symlink_to("jail"))


def test_a_link_above_the_jail_is_another_name_too(httpd):
    server = httpd("ChrootDir ${ROOT}/srv/jail\nChrootFixRoot On\n" + ROOT)
    server.jail = server.root / "real/jail"
    put(server.jail, FILES)
    (server.root / "srv").symlink_to("real")
    assert f'write "{server.jail}"' in server.refused_start()


def test_with_the_self_link_everything_answers_as_before(same):
    config, requests, _ = MAPPINGS["Alias"]
    same(config, requests, prepare=lambda server:
         put(server.jail, self_link(server.jail)))


def test_a_sibling_with_the_same_beginning_is_outside(jailed):
    server = jailed(
        "ChrootFixRoot On\n" + ROOT + 'Alias "/two" "${ROOT}/jail2"\n'
        'Alias "/dot" "${JAIL}/../jail2"\n',
        files={**FILES, "2/x.txt": "wrong", "../jail2/x.txt": "sibling",
               "jail2/x.txt": "wrong"})
    server.allow_log(r":error\] .*\[client|not in the jail")
    for url in ("/two/x.txt", "/dot/x.txt", "/two"):
        assert server.get(url).status in (403, 404), url


def test_an_alias_out_of_the_jail_does_not_find_the_jails_own(jailed):
    server = jailed("ChrootFixRoot On\n" + ROOT + 'Alias "/u" "/usr/share"\n',
                    files={**FILES, "usr/share/x.txt": "inner"})
    server.expect_log('Alias at .* names "/usr/share", .* not in the jail')
    assert server.get("/u/x.txt").status == 404


@pytest.mark.parametrize("line", [
    'Alias "/u" "/./usr/share"', 'Alias "/u" "//usr/./share"',
    'Alias "/u" "/./../usr/share"', 'AliasMatch "^/u" "/./usr/share"',
    'AliasMatch "^/u(.*)" "/.$1"', 'ScriptAlias "/u" "/./usr/share/"',
    '<Location "/u">\nAlias "/./usr/share"\n</Location>',
    '<Location "/u">\nAlias "/./usr/%{tolower:SHARE}"\n</Location>',
    '<Location "/u">\nAliasPreservePath On\n'
    'Alias "/./usr/share"\n</Location>',
    '<LocationMatch "^/u">\nAlias "/./usr/share/x.txt"\n</LocationMatch>',
    '<Location "/u">\nAliasPreservePath On\n'
    'Alias "/%{HTTP:X-Dot}/usr/share"\n</Location>',
    '<Location "/u">\nAliasPreservePath On\n'
    'Alias "%{HTTP:X-Path}/usr/share"\n</Location>',
    'UserDir "/./usr"'])
def test_a_path_outside_is_none_inside_however_it_is_spelled(httpd, line):
    server = httpd(JAILED + ROOT + line + "\n", modules=["userdir"],
                   files={**FILES, "usr/share/x.txt": "inner", "usr/x.txt": "",
                          "usr/u/x.txt": "inner", "x.txt": "inner"})
    server.allow_log(".*")
    server.start()
    for url in ("/u/x.txt", "/u", "/u/share/x.txt", "/u/usr/share/x.txt",
                "/~u/x.txt", "/~share/x.txt", "/./usr/share/x.txt"):
        answer = server.request(Request(url, headers={
            "X-Dot": ".", "X-Path": "/."}))
        assert answer.status in (403, 404) or "inner" not in answer.text, url


# -- Debian's own configuration

DEBIAN = """\
<Directory />
\tOptions FollowSymLinks
\tAllowOverride None
\tRequire all denied
</Directory>

<Directory /usr/share>
\tAllowOverride None
\tRequire all granted
</Directory>

<Directory ${ROOT}/www/>
\tOptions Indexes FollowSymLinks
\tAllowOverride None
\tRequire all granted
</Directory>
AccessFileName .htaccess
<FilesMatch "^\\.ht">
\tRequire all denied
</FilesMatch>
LogFormat "%h %l %u %t \\"%r\\" %>s %O \\"%{Referer}i\\"" combined
ServerTokens OS
ServerSignature On
TraceEnable Off
<IfModule mod_alias.c>
\tScriptAlias /cgi-bin/ /usr/lib/cgi-bin/
\t<Directory "/usr/lib/cgi-bin">
\t\tAllowOverride None
\t\tOptions +ExecCGI -MultiViews +SymLinksIfOwnerMatch
\t\tRequire all granted
\t</Directory>
</IfModule>
<VirtualHost *:${PORT}>
\tServerAdmin webmaster@localhost
\tDocumentRoot ${ROOT}/www/html
\tErrorLog ${ROOT}/logs/error.log
\tCustomLog ${ROOT}/logs/access.log combined
</VirtualHost>
"""


PORT = r"(?<= Port )\d+"


@pytest.mark.parametrize("jail", ["www", "www/html"])
def test_debians_default_site(same, jail):
    def prepare(server):
        server.jail = server.root / jail
        server.jail.mkdir(parents=True)
    done = same(
        DEBIAN, ["/", "/f.txt", "/list/", "/none", "/.htaccess", "/f.txt/x",
                 "/list", "/private/", Request("/", method="TRACE")],
        prepare=prepare, modules=["autoindex", "deflate", "env", "filter",
                                  "negotiation", "reqtimeout", "setenvif",
                                  "status"], ignore=[PORT],
        at=lambda server: server.root / "www/html",
        files={"index.html": "It works", "f.txt": "f", "list/x.txt": "x",
               ".htaccess": "Require all denied\n",
               "private/.htaccess": "Require all denied\n"})
    assert done.statuses == [200, 200, 200, 404, 403, 404, 301, 200, 405]


@pytest.mark.parametrize("name", ["alias.conf", "autoindex.conf", "dir.conf",
                                  "negotiation.conf", "mime.conf",
                                  "setenvif.conf", "deflate.conf"])
def test_debians_module_configuration(same, name):
    path = Path("/etc/apache2/mods-available") / name
    same(f"{DEBIAN}Include {path}\n", ["/", "/f.txt", "/list/", "/none"],
         prepare=lambda server: setattr(server, "jail", server.root / "www"),
         at=lambda server: server.root / "www/html", ignore=[PORT],
         modules=["autoindex", "deflate", "filter", "negotiation", "setenvif"],
         files={"index.html": "It works", "f.txt": "f", "list/x.txt": "x"})


# -- what applications see

RAN = [r"(?m)^(SERVER|REMOTE)_PORT=.*\n", r"(?m)^HTTP_HOST=.*\n"]
UNCHUNKED = "SetEnv downgrade-1.0 1\n"    # CGI answers are chunked by chance
CGI = (UNCHUNKED + ROOT + 'ScriptAlias "/cgi/" "${JAIL}/cgi/"\n'
       'ScriptAliasMatch "^/cm/(.*)$" "${JAIL}/cgi/$1"\n'
       '<Location "/lc">\nScriptAlias "${JAIL}/cgi/env"\n</Location>\n'
       '<Directory "${JAIL}/www">\nOptions +ExecCGI\nAddHandler cgi-script .cgi'
       '\n</Directory>\nAlias "/n" "${JAIL}/notes"\n'
       'Action note /cgi/env\n<Directory "${JAIL}/notes">\nSetHandler note\n'
       "</Directory>\nErrorDocument 404 /cgi/env\nRewriteEngine On\n"
       "RewriteRule ^/rw/(.*)$ ${JAIL}/www/sub/env.cgi/$1\n"
       'RewriteRule ^/rh/(.*)$ "${JAIL}/cgi/env" [H=cgi-script]\n')
CGI_REQUESTS = ["/cgi/env", "/cgi/env/more/info", "/cgi/env?x=1", "/env.cgi",
                "/sub/env.cgi/a.txt", "/sub/env.cgi/n/a.txt", "/cm/env",
                "/cm/env/x", "/lc", "/n/a.txt", "/none", "/rw/x", "/rh/x",
                "/cgi/env//etc/passwd", "/cgi/env/../env/x", "/cgi/none"]


def test_cgi_programs_see_inner_paths(same, builds, variant):
    env = File(copy_of=builds.program("printenv"), mode=0o755)
    done = same(CGI, CGI_REQUESTS, mpm="prefork", strip_jail=True, ignore=RAN,
                modules=["cgi", "actions", "rewrite", "env"], same_log=False,
                files={**FILES, "cgi/env": env, "www/env.cgi": env,
                       "www/sub/env.cgi": env})
    assert done.statuses.count(200) > 8, done.statuses
    for request, answer in zip(CGI_REQUESTS, done.jailed):
        assert str(done.server.jail) not in answer.text, request
    seen = dict(line.split("=", 1) for line in done.jailed[5].text.splitlines()
                if "=" in line)
    assert [seen[name] for name in (
        "DOCUMENT_ROOT", "CONTEXT_DOCUMENT_ROOT", "SCRIPT_FILENAME",
        "PATH_TRANSLATED")] == [
            "/www", "/www", "/www/sub/env.cgi", "/notes/a.txt"]


def test_shell_scripts_run_where_they_lie(same):
    same(UNCHUNKED + ROOT + 'ScriptAlias "/cgi/" "${JAIL}/cgi/"\n', ["/cgi/x"],
         mpm="prefork", modules=["cgi", "env"], strip_jail=True,
         bind="ChrootBind /bin/sh /lib /lib64 /usr/lib\n",
         files={**FILES, "bin/sh": BUSYBOX, "cgi/y": "data",
                "cgi/x": script(
             "read x < y; echo $x; pwd; echo $SCRIPT_FILENAME")})


def test_what_answers_sees_inner_paths_and_rules_see_outer_ones(jailed,
                                                                variant):
    """A rule decides, and the header is made when all has been decided."""
    server = jailed(
        "ChrootFixRoot On\n" + ROOT + 'Alias "/n" "${JAIL}/notes"\n'
        + vhost("", "localhost") + vhost('DocumentRoot "${JAIL}/two"\n')
        + 'Header set X-F "expr=%{REQUEST_FILENAME}"\n'
        'Header set X-D "expr=%{DOCUMENT_ROOT}"\n'
        'Header set X-C "expr=%{CONTEXT_DOCUMENT_ROOT}"\n'
        "<Directory ${JAIL}>\nOptions +FollowSymLinks\nRewriteEngine On\n"
        "RewriteRule .* - "
        "[E=R:%{DOCUMENT_ROOT}|%{REQUEST_FILENAME}|%{CONTEXT_DOCUMENT_ROOT}]\n"
        'Header set X-R "%{R}e"\n</Directory>\n',
        modules=["rewrite", "headers"], files=FILES)
    for url, host, root, name, context in (
            ("/f.txt", "localhost", "/www", "/www/f.txt", "/www"),
            ("/n/a.txt", "localhost", "/www", "/notes/a.txt", "/notes"),
            ("/f.txt", "two", "/two", "/two/f.txt", "/two")):
        headers = server.get(url, host=host).headers
        assert [headers["x-f"], headers["x-d"], headers["x-c"]] == [
            name, root, context], url
        assert headers["x-r"] == "|".join(
            f"{server.jail}{path}" for path in (root, name, context)), url


def test_server_context_rewriting_sees_the_outer_document_root(jailed):
    server = jailed(
        "ChrootFixRoot On\n" + ROOT + "RewriteEngine On\n"
        "RewriteRule ^/x$ - [E=R:%{DOCUMENT_ROOT}]\n"
        'Header always set X-R "%{R}e"\n', modules=["rewrite", "headers"],
        files=FILES)
    assert server.get("/x").headers["x-r"] == f"{server.jail}/www"


def test_ssi_sees_inner_paths(same):
    done = same(ROOT + OPEN % "Includes" + "AddType text/html .shtml\n"
                "AddOutputFilter INCLUDES .shtml\n", ["/p.shtml"],
                modules=["include"], strip_jail=True,
                # the name of a file's owner takes /etc/passwd in the jail
                ignore=[*RAN, r"(?m)^(USER_NAME|DATE_\w+)=.*\n"], files={
                    "www/p.shtml": '<!--#printenv-->'}, same_log=False)
    assert str(done.server.jail) not in done.jailed[0].text
    assert re.search("DOCUMENT_ROOT=/www$", done.jailed[0].text, re.M)


def test_a_virtual_host_without_directives_of_the_core(compare):
    compare('DocumentRoot "${JAIL}/www"\n<VirtualHost *:${PORT}>\n'
            "DirectoryIndex index.html\n</VirtualHost>\n",
            files={"www/index.html": "home"}, requests=["/", "/none"])


# -- file sub-requests and redirects do not come out of, or into, the jail

def test_stripping_is_idempotent_on_redirects_and_sub_requests(jailed):
    server = jailed(
        "ChrootFixRoot On\n" + 'DocumentRoot "${JAIL}"\n' + OPEN % "Includes"
        + "AddType text/html .shtml\nAddOutputFilter INCLUDES .shtml\n"
        '<Directory "${JAIL}/private">\nRequire all denied\n</Directory>\n',
        modules=["include"], files={"private/x.txt": "secret"})
    server.allow_log(r":error\] .*\[client")
    jail = str(server.jail)
    put(server.jail, {"p.shtml": "".join(
        f'<!--#include {how}="{path}/private/x.txt"-->'
        for path in (jail, 2 * jail, "." + jail, jail[1:])
        for how in ("virtual", "file"))})
    for path in (jail, jail * 2, jail * 3, "", "/." + jail, "/" + jail):
        assert server.get(f"{path}/private/x.txt").status in (403, 404)
    assert "secret" not in server.get("/p.shtml").text
