"""ChrootFixRoot On decides by outer names: whatever the configuration denies by
a path, however the path gets to where it is compared, stays denied; what is
allowed answers as before; what lies outside the jail has no page."""
import os

import pytest

import comparison
from comparison import JAILED
from harness import Dir, File, Link, Request, put, run_ok, self_link

MODULES = ["rewrite", "headers", "setenvif", "env", "userdir", "vhost_alias",
           "auth_basic", "authn_core", "authn_file", "authz_user",
           "authz_groupfile", "authz_host", "autoindex", "include",
           "negotiation", "status", "actions"]
SITE = 'DocumentRoot "${JAIL}/html"\n'
DENY = "Require all denied"
ON = "RewriteEngine On\n"
FILES = {
    "html/index.html": "home", "html/f.txt": "file",
    "html/private/x.txt": "secret", "html/open/x.txt": "open",
    "html/html/f.txt": "nested", "html/html/private/x.txt": "nested secret",
    "private/x.txt": "secret of the top", "top.txt": "top",
    "etc/pages": "inside", "data/x.txt": "data", "usr/share/x.txt": "inside",
    "home/bob/html/x.txt": "bob's", "a/jail/x.txt": "a's",
    "var/www/html/index.html": "inside", "var/www/html/x.txt": "inside",
    "../out/x.txt": "outside", "../out/private/x.txt": "outside",
    "../jail2/x.txt": "outside", "2/x.txt": "inside", "out/x.txt": "inside",
    "${ROOT}/out/x.txt": "inside", "${ROOT}/out/private/x.txt": "inside",
    "${ROOT}/jail2/x.txt": "inside"}


def section(name, argument, *lines):
    return "\n".join([f'<{name} "{argument}">', *lines, f"</{name}>\n"])


def directory(path, *lines):
    return section("Directory", path, *(lines or [DENY]))


def location(path, *lines):
    return section("Location", path, *(lines or [DENY]))


def vhost(*lines, name="localhost"):
    return "\n".join(["<VirtualHost *>", f"ServerName {name}", *lines,
                      "</VirtualHost>\n"])


PRIVATE = directory("${JAIL}/html/private")
UNREADABLE = "(?s)Server unable to read htaccess file, .* safe"


@pytest.fixture
def decides(httpd):
    """Compare `answers`, {request: status without a jail} or pairs of them;
    the requests in `outside` are for what is not in the jail. ${JAIL} and
    ${ROOT} stand for themselves in files, their names and requests too."""
    def run(config, answers, outside=(), files=(), modules=(), prepare=None,
            jail_config=JAILED, refusal_ok=False, ignore=(), name="jail",
            **options):
        server = httpd(config, modules=[*MODULES, *modules], **options)
        if name != "jail":
            server.jail = server.root / name
            server.jail.mkdir()

        def filled(what):
            if isinstance(what, str):
                return what.replace("${JAIL}", str(server.jail)).replace(
                    "${ROOT}", str(server.root))
            return what

        put(server.jail, {filled(path).lstrip("/"): filled(what)
                          for path, what in {**FILES, **dict(files)}.items()})
        if prepare:
            prepare(server)
        if isinstance(answers, dict):
            answers = answers.items()
        requests = [filled(request) for request, _ in answers]
        wanted = [status for _, status in answers]
        server.expected.clear()
        # sid's mod_security2 was built with another PCRE
        server.allow_log(r"chroot:warn\]|Loaded PCRE do not match")
        done = comparison.compare(
            server, requests, jail_config=jail_config,
            ignore=[UNREADABLE, *ignore], refusal_ok=refusal_ok, same_log=False,
            outside=[filled(request) for request in outside])
        wrong = [f"{request}: {got}, not {want}" for request, got, want
                 in zip(requests, done.statuses, wanted) if got != want]
        assert not wrong, f"without a jail: {wrong}"
        done.server = server
        return done
    return run


@pytest.fixture
def refused(httpd):
    """The server starts without a jail and refuses to start in it, with the
    place in the configuration and these words."""
    def run(config, words, files=(), prepare=None, modules=()):
        server = httpd(config, modules=[*MODULES, *modules])
        put(server.jail, {path.replace("${ROOT}", str(server.root)).lstrip("/"):
                          what for path, what in
                          {**FILES, **dict(files)}.items()})
        if prepare:
            prepare(server)
        so, server.so = server.so, None
        assert server.configtest()[0] == 0
        server.so, server.config = so, JAILED + config
        said = server.refused_start()
        assert words in said, said
        assert f"{server.conf}:" in said or f" of {server.conf}" in said, said
    return run


# -- expressions: {H} is a directory of pages, {h} its path by URL. Each is true
# for what lies in private there, and for nothing else.

NEAR = "%{REQUEST_URI} =~ m#/private/# && "
EXPRESSIONS = [
    "%{REQUEST_FILENAME} =~ m#^{H}/private#",
    "%{request_filename} =~ m#^{H}/private#",
    "%{Request_Filename} =~ m#jail{h}/private#",
    "%{script_filename} =~ m#^/[a-z]+/lib/.*/private/#",
    "%{REQUEST_FILENAME} -strmatch '/*/*/*/*/jail/html/*/private/*'",
    "%{REQUEST_FILENAME} == '{H}/private/x.txt'",
    "%{reQUEST_filENAME} in { '/none', '{H}/private/x.txt' }",
    "%{REQUEST_FILENAME} =~ m#^(.*)/private/# && '$1' == '{H}'",
    "! %{REQUEST_FILENAME} =~ m#^{H}/open#",
    "tolower(%{request_filename}) =~ m#/jail{h}/private#",
    "'x%{REQUEST_FILENAME}' =~ m#^x{H}/private#",
    "%{REQUEST_FILENAME} >= '{H}/p'",
    NEAR + "%{document_root} == '${JAIL}/html'",
    NEAR + "%{DOCUMENT_ROOT} =~ m#^/var/lib/#",
    NEAR + "%{Context_Document_Root} -strmatch '*jail*'",
    NEAR + "-f '${JAIL}/html/f.txt'", NEAR + "-e '${JAIL}/html/f.txt'",
    NEAR + "-s '${JAIL}/html/f.txt'", NEAR + "-d '${JAIL}/html'",
    NEAR + "-U '/f.txt'", NEAR + "! -e '${JAIL}/none'",
    NEAR + "-h '${JAIL}/link'", NEAR + "-f '${JAIL}/link'",
    NEAR + "-f %{REQUEST_FILENAME}", NEAR + "-f '%{document_root}/f.txt'",
    NEAR + "-d '%{CONTEXT_DOCUMENT_ROOT}/open'",
]
RESTRICTED = [      # not in .htaccess
    NEAR + "file('${JAIL}/html/f.txt') =~ /file/",
    NEAR + "filesize('${JAIL}/html/f.txt') -eq 4",
]
WAYS = {
    "<If>": '<If "{E}">\nRequire all denied\n</If>',
    "<ElseIf>": '<If "false">\n</If>\n<ElseIf "{E}">\nRequire all denied\n'
                "</ElseIf>",
    "<Else>": '<If "!({E})">\n</If>\n<Else>\nRequire all denied\n</Else>',
    "Require expr": "<RequireAll>\nRequire all granted\n<RequireNone>\n"
                    'Require expr "{E}"\n</RequireNone>\n</RequireAll>',
    "quoted": "<RequireAll>\nRequire all granted\n<RequireNone>\n"
              'Require "expr" "{E}"\n</RequireNone>\n</RequireAll>',
    "odd case": "<requireall>\nrequire all granted\n<requirenone>\n"
                'rEQUIRE expr "{E}"\n</requirenone>\n</requireall>',
    "SetEnvIfExpr": 'SetEnvIfExpr "{E}" bad\n<RequireAll>\n'
                    "Require all granted\nRequire not env bad\n</RequireAll>",
    "RewriteCond expr": 'RewriteEngine On\nRewriteCond expr "{E}"\n'
                        "RewriteRule .* - [F]",
    "RewriteCond, quoted": 'RewriteEngine On\nRewriteCond "expr" "{E}"\n'
                           "RewriteRule .* - [F]",
    "E= by RewriteCond expr": "RewriteEngine On\n"
                              'RewriteCond expr "{E}"\n'
                              "RewriteRule .* - [E=BAD:1]\n"
                              "RewriteCond %{ENV:BAD} 1\n"
                              "RewriteRule .* - [F]",
    "in another <If>": '<If "true">\n<If "{E}">\nRequire all denied\n</If>\n'
                       "</If>",
    "in <Files>": '<FilesMatch "txt$">\n<If "{E}">\nRequire all denied\n</If>\n'
                  "</FilesMatch>",
}


def numbered(texts, way):
    """One directory of pages for each: -> (texts, files, answers)."""
    done, files, answers = [], {"link": Link("html/f.txt")}, {}
    for number, text in enumerate(texts):
        url = f"/e{number}"
        text = way.replace("{E}", text).replace("{H}", "${JAIL}/html" + url)
        done.append(text.replace("{h}", "/html" + url))
        files.update({f"html{url}/private/x.txt": f"secret {number}",
                      f"html{url}/open/x.txt": f"open {number}"})
        answers.update({f"{url}/private/x.txt": 403, f"{url}/open/x.txt": 200})
    return done, files, answers


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", ["Location", "Directory", ".htaccess"])
def test_expressions_see_outer_names(decides, way, name):
    if (name, way) == ("Location", "in <Files>"):
        name = "Directory"      # it cannot be in a <Location>
    texts, files, answers = numbered(
        EXPRESSIONS + (RESTRICTED if name != ".htaccess" else []), WAYS[way])
    config = SITE
    for number, text in enumerate(texts):
        if name == "Location":
            config += location(f"/e{number}", text)
        elif name == "Directory":
            config += directory(f"${{JAIL}}/html/e{number}", text)
        else:
            files[f"html/e{number}/.htaccess"] = text + "\n"
    if name == ".htaccess":
        config += directory("${JAIL}/html", "AllowOverride All")
    decides(config, answers, files=files)


def test_an_expression_of_a_provider_alias_sees_outer_names(decides):
    texts, files, answers = numbered(
        EXPRESSIONS, '<AuthzProviderAlias "expr" {N} "!({E})">\n'
        "</AuthzProviderAlias>\n")
    config = SITE
    for number, text in enumerate(texts):
        config += text.replace("{N}", f"e{number}") + location(
            f"/e{number}", f"Require e{number}")
    decides(config, answers, files=files)


# -- conditions of rules, which stand in sections and .htaccess

URI = "RewriteCond %{REQUEST_URI} /private/\n"
CONDITIONS = [
    "RewriteCond %{REQUEST_FILENAME} ^{H}/private",
    "RewriteCond %{request_filename} ^{H}/private",
    "RewriteCond %{Request_FileName} jail{h}/private",
    "RewriteCond %{SCRIPT_FILENAME} ^/[a-z]+/lib/.*/private/",
    "RewriteCond %{REQUEST_FILENAME} ={H}/private/x.txt",
    "RewriteCond %{REQUEST_FILENAME} !^{H}/open",
    "RewriteCond %{REQUEST_FILENAME} ^/VAR/LIB/.*/private [NC]",
    "RewriteCond x%{REQUEST_FILENAME}x ^x{H}/private",
    "RewriteCond %{REQUEST_FILENAME} (.*)/private\nRewriteCond %1 ^${JAIL}",
    URI + "RewriteCond %{DOCUMENT_ROOT} ^${JAIL}",
    URI + "RewriteCond %{document_root} jail",
    URI + "RewriteCond %{CONTEXT_DOCUMENT_ROOT} jail",
    URI + "RewriteCond %{REQUEST_FILENAME} -f",
    URI + "RewriteCond %{REQUEST_FILENAME} !-d",
    URI + "RewriteCond %{DOCUMENT_ROOT}/f.txt -f",
    URI + "RewriteCond %{DOCUMENT_ROOT}%{REQUEST_URI} -s",
    URI + "RewriteCond ${JAIL}/html/f.txt -f",
    URI + "RewriteCond ${JAIL}/html/f.txt -F",
    URI + "RewriteCond ${JAIL}/link -l",
    URI + "RewriteCond ${ROOT} -d", URI + "RewriteCond /var -d",
    URI + "RewriteCond ${JAIL}/none !-f", URI + "RewriteCond ${JAIL}/html -d",
    URI + "RewriteCond /f.txt -U",
    "RewriteRule .* - [E=P:%{REQUEST_FILENAME}]\n"
    "RewriteCond %{ENV:P} ^{H}/private",
    "RewriteRule .* - [E=P:%{DOCUMENT_ROOT}]\n" + URI
    + "RewriteCond %{ENV:P} ^${JAIL}/html$",
    "RewriteRule .* - [E=P:%{REQUEST_FILENAME}]\n"
    "RewriteCond expr \"%{ENV:P} =~ m#^{H}/private#\"",
    "RewriteRule .* - [E=P:%{REQUEST_FILENAME}]\n"
    "RewriteCond %{ENV:P} (.*)/private\nRewriteCond %1 ={H}",
    "RewriteCond ${map:%{REQUEST_FILENAME}|no} =yes",
    "RewriteCond ${map:%{request_filename}} yes",
    URI + "RewriteCond ${map:%{DOCUMENT_ROOT}} =root",
    "RewriteCond ${lower:%{REQUEST_FILENAME}} ^{H}/private",
    "RewriteCond ${escape:%{REQUEST_FILENAME}} ^{H}/private",
]
COMPUTED = [    # is an error where it is seen at start
    "RewriteCond %{REQUEST_FILENAME} (.*)/private\nRewriteCond %1 -d",
    "RewriteCond %{REQUEST_FILENAME} (.*)/private/\nRewriteCond %1/open/x.txt "
    "-f\nRewriteCond %1 jail",
    "RewriteRule .* - [E=P:%{REQUEST_FILENAME}]\n" + URI
    + "RewriteCond %{ENV:P} -f",
    "RewriteCond expr \"%{REQUEST_FILENAME} =~ m#^(.*)/private/# && -d '$1'\"",
]


@pytest.mark.parametrize("name", ["Directory", "DirectoryMatch", "Location",
                                  "LocationMatch", "Files", "If", ".htaccess"])
def test_conditions_see_outer_names(decides, name):
    texts, files, answers = numbered(
        CONDITIONS + (COMPUTED if name == ".htaccess" else []),
        f"{ON}{{E}}\nRewriteRule .* - [F]")
    config = (SITE + "RewriteMap map txt:${JAIL}/etc/map\n"
              "RewriteMap lower int:tolower\nRewriteMap escape int:escape\n"
              + directory("${JAIL}/html", "AllowOverride All"))
    files["etc/map"] = "".join(
        f"${{JAIL}}/html/e{number}/private/x.txt yes\n"
        for number in range(len(texts))) + "${JAIL}/html root\n"
    for number, text in enumerate(texts):
        if name == "Directory":
            config += directory(f"${{JAIL}}/html/e{number}", text)
        elif name == "DirectoryMatch":
            config += section(name, f"/html/e{number}/", text)
        elif name == "Location":
            config += location(f"/e{number}", text)
        elif name == "LocationMatch":
            config += section(name, f"^/e{number}/", text)
        elif name in ("Files", "If"):
            argument = ("x.txt" if name == "Files"
                        else f"%{{REQUEST_URI}} =~ m#^/e{number}/#")
            config += directory(f"${{JAIL}}/html/e{number}",
                                section(name, argument, text))
        else:
            files[f"html/e{number}/.htaccess"] = text + "\n"
    decides(config, answers, files=files)


# -- rules of a server: names are looked up there by LA-U

LOOKED = {
    "LA-U": "RewriteCond %{LA-U:REQUEST_FILENAME} ^${JAIL}/html/private",
    "LA-F": "RewriteCond %{REQUEST_URI} private\n"
            "RewriteCond %{LA-F:REQUEST_FILENAME} !^/html",
    "LA-U in another case":
        "RewriteCond %{LA-U:request_filename} ^${JAIL}/html/private",
    "through %1": "RewriteCond %{LA-U:REQUEST_FILENAME} (.*)/private\n"
                  "RewriteCond %1 =${JAIL}/html",
    "through E=": "RewriteRule .* - [E=P:%{LA-U:REQUEST_FILENAME}]\n"
                  "RewriteCond %{ENV:P} jail/html/private",
    "through a map's key":
        "RewriteMap m txt:${JAIL}/etc/map\n"
        "RewriteCond ${m:%{LA-U:REQUEST_FILENAME}} =yes",
    "DOCUMENT_ROOT": "RewriteCond %{DOCUMENT_ROOT}%{REQUEST_URI} "
                     "^${JAIL}/html/private",
    "a file by DOCUMENT_ROOT":
        "RewriteCond %{REQUEST_URI} private\n"
        "RewriteCond %{DOCUMENT_ROOT}%{REQUEST_URI} -f",
    "a file by the jail": "RewriteCond %{REQUEST_URI} private\n"
                          "RewriteCond ${JAIL}/html%{REQUEST_URI} -f",
    "no directory": "RewriteCond %{REQUEST_URI} private\n"
                    "RewriteCond ${JAIL}/html%{REQUEST_URI} !-d",
    "context": "RewriteCond %{REQUEST_URI} private\n"
               "RewriteCond %{CONTEXT_DOCUMENT_ROOT} ^${JAIL}",
}


@pytest.mark.parametrize("name", LOOKED)
@pytest.mark.parametrize("virtual", [False, True])
def test_a_servers_rules_see_outer_names(decides, name, virtual):
    config = f"{SITE}{ON}{LOOKED[name]}\nRewriteRule .* - [F]\n"
    decides(vhost(config) if virtual else config,
            {"/private/x.txt": 403, "/open/x.txt": 200, "/f.txt": 200},
            files={"etc/map": "${JAIL}/html/private/x.txt yes\n"})


# -- a path that is kept in the environment

@pytest.mark.parametrize("lines", [
    'SetEnvIfExpr "%{REQUEST_FILENAME} =~ m#^(.*)/x#" P=$1',
    'SetEnvIfExpr "%{request_filename} =~ m#^(?<p>.*)/x#" P=$1',
    'SetEnvIfExpr "%{REQUEST_FILENAME} =~ m#^(.*)/x#" Q=$1\n'
    "SetEnvIf Q ^(.+)$ P=$1"])
@pytest.mark.parametrize("test", [
    "Require expr \"%{ENV:P} =~ m#^${JAIL}/html/private#\"",
    "Require expr \"env('P') == '${JAIL}/html/private'\"",
    "Require expr \"reqenv('P') -strmatch '*/jail/html/private'\""])
def test_what_setenvif_captures_is_an_outer_name(decides, lines, test):
    decides(SITE + location(
        "/", lines, "<RequireAll>", "Require all granted", "<RequireNone>",
        test, "</RequireNone>", "</RequireAll>"),
        {"/private/x.txt": 403, "/open/x.txt": 200})


@pytest.mark.parametrize("name, argument, test", [
    ("DirectoryMatch", "^(?<dir>.*)/private",
     "%{env:MATCH_DIR} == '${JAIL}/html'"),
    ("DirectoryMatch", "^(?<dir>.*)/private", "%{env:MATCH_DIR} =~ m#jail#"),
    ("DirectoryMatch", "/(?<top>[a-z]+)/lib/.*/private",
     "%{env:MATCH_TOP} == 'var'"),
    ("DirectoryMatch", "/(?<name>[^/]+)/html/private",
     "%{env:MATCH_NAME} == 'jail'"),
    ("FilesMatch", "^(?<file>x).txt",
     "%{env:MATCH_FILE} == 'x' && %{REQUEST_FILENAME} =~ m#jail/html/priv#"),
    ("LocationMatch", "^/private/(?<file>.*)",
     "%{REQUEST_FILENAME} =~ m#jail/html/priv# && %{env:MATCH_FILE} == 'x.txt'"
     )])
def test_captures_of_sections_are_of_outer_names(decides, name, argument,
                                                 test):
    decides(SITE + section(name, argument, f'<If "{test}">', DENY, "</If>"),
            {"/private/x.txt": 403, "/open/x.txt": 200})


# -- rules

RULES = {
    "a rule behind a rule": (
        "RewriteRule ^/a/(.*)$ ${JAIL}/html/$1\n"
        "RewriteRule ^${JAIL}/html/private - [F]",
        {"/a/private/x.txt": 403, "/a/open/x.txt": 200}, []),
    "a rule behind a rule, by a part of the path": (
        "RewriteRule ^/a/(.*)$ ${JAIL}/html/$1\nRewriteRule jail/html/priv - "
        "[F]", {"/a/private/x.txt": 403, "/a/open/x.txt": 200}, []),
    "a rule behind a rule, which leads elsewhere": (
        "RewriteRule ^/a/(.*)$ ${JAIL}/html/$1\n"
        "RewriteRule ^${JAIL}/html/private/(.*)$ ${JAIL}/html/open/$1",
        {"/a/private/x.txt": 200, "/a/f.txt": 200}, []),
    "a rule chained to a rule": (
        "RewriteRule ^/a/(.*)$ ${JAIL}/html/$1 [C]\n"
        "RewriteRule ^${JAIL}/html/private - [F]",
        {"/a/private/x.txt": 403, "/a/open/x.txt": 200}, []),
    "a condition behind a rule": (
        "RewriteRule ^/a/(.*)$ ${JAIL}/html/$1\n"
        "RewriteCond %{REQUEST_FILENAME} ^${JAIL}/html/private\n"
        "RewriteRule .* - [F]",
        {"/a/private/x.txt": 403, "/a/open/x.txt": 200}, []),
    "a rule that takes the jail off": (
        "RewriteRule ^/a/(.*)$ ${JAIL}/html/$1\n"
        "RewriteRule ^${JAIL}(/.*)$ $1 [UnsafePrefixStat]",
        {"/a/private/x.txt": 403, "/a/f.txt": 200, "/f.txt": 200}, []),
    "the inner document root": (
        "RewriteRule ^/p/(.*)$ /html/$1",
        {"/p/private/x.txt": 403, "/p/f.txt": 200, "/p/open/x.txt": 404}, []),
    "the inner document root, passed through": (
        "RewriteRule ^/p/(.*)$ /html/$1 [PT]",
        {"/p/private/x.txt": 403, "/p/f.txt": 200}, []),
    "the inner document root, L": (
        "RewriteRule ^/p/(.*)$ /html/$1 [L]",
        {"/p/private/x.txt": 403, "/p/f.txt": 200}, []),
    "a directory of the jail's top": (
        "RewriteRule ^/p/(.*)$ /private/$1\nRewriteRule ^/d/(.*)$ /data/$1",
        {"/p/x.txt": 403, "/d/x.txt": 404}, []),
    "/$1": (
        "RewriteRule ^/p/(.*)$ /$1 [UnsafePrefixStat]",
        {"/p/private/x.txt": 403, "/p/f.txt": 200, "/p/top.txt": 404,
         "/p/data/x.txt": 404, "/p/html/f.txt": 200, "/p/": 200},
        ["/p/etc/pages", "/p/usr/share/x.txt", "/p/etc/passwd",
         "/p${ROOT}/out/x.txt",
         "/p/var/www/html/x.txt", "/p${ROOT}/jail2/x.txt"]),
    "/$1 without a flag": (
        "RewriteRule ^/p/(.*)$ /$1",
        {"/p/private/x.txt": 403, "/p/top.txt": 404},
        ["/p/etc/pages", "/p/usr/share/x.txt", "/p/etc/passwd"]),
    "/$1 of everything": (
        "RewriteRule ^/(.*)$ /$1 [UnsafePrefixStat]",
        {"/private/x.txt": 403, "/f.txt": 200, "/top.txt": 404, "/": 200,
         "/data/x.txt": 404, "/html/f.txt": 200,
         "${JAIL}/html/private/x.txt": 403, "${JAIL}/html/open/x.txt": 200},
        ["/usr/share/x.txt", "${ROOT}/out/x.txt", "/etc/passwd"]),
    "$1": (
        "RewriteRule ^/p(/.*)$ $1 [UnsafePrefixStat]",
        {"/p/private/x.txt": 403, "/p/f.txt": 200, "/p/top.txt": 404,
         "/p/html/private/x.txt": 403, "/p${JAIL}/html/private/x.txt": 403,
         "/p${JAIL}/html/open/x.txt": 200},
        ["/p/usr/share/x.txt", "/p/etc/passwd"]),
    "$0": (
        "RewriteRule ^.*$ $0 [UnsafePrefixStat]",
        {"/private/x.txt": 403, "/f.txt": 200, "/top.txt": 404,
         "${JAIL}/html/private/x.txt": 403}, ["/etc/passwd"]),
    "%1": (
        "RewriteCond %{REQUEST_URI} ^/p(/.*)$\n"
        "RewriteRule ^/p %1 [UnsafePrefixStat]",
        {"/p/private/x.txt": 403, "/p/f.txt": 200, "/p/top.txt": 404,
         "/p${JAIL}/html/private/x.txt": 403},
        ["/p/usr/share/x.txt"]),
    "the document root": (
        "RewriteRule ^/p/(.*)$ %{DOCUMENT_ROOT}/$1",
        {"/p/private/x.txt": 403, "/p/f.txt": 200, "/p/html/f.txt": 200,
         "/p/../private/x.txt": 403, "/p/%2e%2e/private/x.txt": 403,
         "/p/none": 404}, []),
    "the document root in another case": (
        "RewriteRule ^/p/(.*)$ %{document_root}/$1",
        {"/p/private/x.txt": 403, "/p/f.txt": 200}, []),
    "the document root without a slash": (
        "RewriteRule ^/p(/.*)$ %{DOCUMENT_ROOT}$1",
        {"/p/private/x.txt": 403, "/p/f.txt": 200}, []),
    "the context's document root": (
        "RewriteRule ^/p/(.*)$ %{CONTEXT_DOCUMENT_ROOT}/$1",
        {"/p/private/x.txt": 403, "/p/f.txt": 200}, []),
    "above the document root": (
        "RewriteRule ^/p/(.*)$ %{DOCUMENT_ROOT}/../$1",
        {"/p/html/private/x.txt": 403, "/p/top.txt": 200,
         "/p/data/x.txt": 200}, []),
    "an environment variable": (
        "RewriteRule .* - [E=T:${JAIL}/html]\n"
        "RewriteRule ^/p/(.*)$ %{ENV:T}/$1 [UnsafePrefixStat]",
        {"/p/private/x.txt": 403, "/p/f.txt": 200}, []),
    "an environment variable with an inner path": (
        "RewriteRule .* - [E=T:/html]\n"
        "RewriteRule ^/p/(.*)$ %{ENV:T}/$1 [UnsafePrefixStat]",
        {"/p/private/x.txt": 403, "/p/f.txt": 200, "/p/open/x.txt": 404}, []),
    "a map's value": (
        "RewriteMap m txt:${JAIL}/etc/map\n"
        "RewriteRule ^/p/(.*)$ ${m:$1} [UnsafePrefixStat]",
        {"/p/secret": 403, "/p/file": 200, "/p/inner": 404},
        ["/p/out", "/p/usr"]),
    "a map's value behind the jail": (
        "RewriteMap m txt:${JAIL}/etc/map\n"
        "RewriteRule ^/p/(.*)$ ${JAIL}/html/${m:$1|none}",
        {"/p/short": 403, "/p/f": 200, "/p/none": 404}, []),
    "a path twice the jail's": (
        "RewriteRule ^/p/(.*)$ ${JAIL}${JAIL}/html/$1",
        {"/p/private/x.txt": 404, "/p/f.txt": 404}, []),
    "the host's root directory": (
        "RewriteRule ^/p$ /\nRewriteRule ^/d/(.*)$ /./$1\n"
        "RewriteRule ^/q/(.*)$ /$1 [UnsafePrefixStat]",
        {"/q/f.txt": 200, "/p": 301, "/q/": 200, "/d/f.txt": 404,
         "/d//f.txt": 404}, []),
    "a path outside": (
        "RewriteRule ^/p/(.*)$ ${ROOT}/out/$1\n"
        "RewriteRule ^/s/(.*)$ ${JAIL}2/$1\nRewriteRule ^/u/(.*)$ /usr/$1",
        {},
        ["/p/none", "/p/x.txt", "/p/private/x.txt", "/s/x.txt",
         "/u/share/x.txt"]),
}


@pytest.mark.parametrize("name", RULES)
@pytest.mark.parametrize("place", ["server", "virtual host", "virtual root",
                                   "inherited"])
def test_rules_map_to_outer_names(decides, name, place):
    rules, answers, outside = RULES[name]
    rules = f"{ON}{rules}\n"
    config = (directory("${JAIL}/html/private")
              + directory("${JAIL}/html/html/private"))
    if place == "server":
        config += SITE + rules
    elif place == "virtual host":
        config += vhost(SITE + rules)
    elif place == "inherited":
        config += SITE + rules + vhost(
            SITE + ON + "RewriteOptions InheritBefore")
    else:
        config += SITE + vhost(rules)
    decides(config, answers, outside, files={
        "etc/map": "secret ${JAIL}/html/private/x.txt\nshort private/x.txt\n"
                   "file ${JAIL}/html/f.txt\nf f.txt\ninner /data/x.txt\n"
                   "out ${ROOT}/out/x.txt\nusr /usr/share/x.txt\n"})


@pytest.mark.parametrize("rule", [
    "RewriteRule ^/p/$ /", "RewriteRule ^/p/(.*)$ /$1 [UnsafePrefixStat]",
    "RewriteRule ^/p/$ /../", "RewriteRule ^/p/$ //",
    "RewriteRule ^/p/ /./f.txt", "RewriteRule ^/p/ //.//f.txt",
    "RewriteRule ^/p/ /../f.txt", "RewriteRule ^/p/ /%{ENV:none}./f.txt"])
def test_a_rule_to_the_hosts_root_is_decided_about_there(decides, rule):
    decides(SITE + directory("/") + directory("${JAIL}", "Require all granted")
            + ON + rule + "\n", {"/p/": 403, "/": 200})


# A directory at the top of the host that the jail has not, but its pages have:
# mod_rewrite takes such a path for a file without a jail, and for a URL in it.
HOSTS = next(name for name in ("opt", "srv", "mnt", "boot", "media")
             if os.path.isdir(f"/{name}"))


@pytest.mark.parametrize("rule", [
    f"RewriteRule ^/p/(.*)$ /{HOSTS}/$1",
    "RewriteRule ^/p/(.*)$ /%{ENV:T}/$1 [UnsafePrefixStat]",
    f"RewriteRule ^/p/(.*)$ /{HOSTS[0]}%{{ENV:N}}{HOSTS[1:]}/$1 "
    "[UnsafePrefixStat]",
    f"RewriteRule ^/p/(.*)$ ${{m:{HOSTS}}}/$1 [UnsafePrefixStat]",
    "RewriteRule ^/(p)/(.*)$ /%{ENV:T}/$2 [UnsafePrefixStat]",
    f"RewriteCond {HOSTS} (.*)\nRewriteRule ^/p/(.*)$ /%1/$1 "
    "[UnsafePrefixStat]"])
def test_a_rule_to_the_hosts_directory_does_not_lead_to_a_page(decides, rule):
    decides(SITE + directory(f"/{HOSTS}") + ON
            + "RewriteMap m txt:${JAIL}/etc/map\n"
            f"RewriteRule .* - [E=T:{HOSTS}]\n{rule}\n",
            {f"/{HOSTS}/x.txt": 200}, ["/p/x.txt"], files={
                f"html/{HOSTS}/x.txt": "a page",
                "etc/map": f"{HOSTS} /{HOSTS}\n"})


@pytest.mark.parametrize("rule", [
    "RewriteRule ^/p/(.*)$ ${JAIL}/html/$1",
    "RewriteRule ^/p/(.*)$ %{DOCUMENT_ROOT}/$1",
    "RewriteRule ^/p/(.*)$ /$1 [PT]"])
def test_a_rule_to_a_page_in_a_directory_of_a_hosts_name(decides, rule):
    decides(SITE + directory(f"/{HOSTS}") + ON + rule + "\n",
            {f"/p/{HOSTS}/x.txt": 200}, files={f"html/{HOSTS}/x.txt": "page"})


@pytest.mark.parametrize("rule", [
    "RewriteRule ^/p/(.*)$ /$1 [UnsafePrefixStat]",
    "RewriteRule ^/p/(.*)$ /html/$1",
    "RewriteRule ^/p/(.*)$ %{DOCUMENT_ROOT}/$1",
    "RewriteRule ^/p(/.*)$ $1 [UnsafePrefixStat]"])
def test_rules_of_a_server_without_a_document_root(decides, rule):
    """It is httpd's own, which is outside."""
    urls = ["", "/x.txt", "/index.html", "/html/f.txt", "/private/x.txt",
            "/f.txt", "/html/private/x.txt", "/etc/pages", "/etc/passwd"]
    decides(PRIVATE + vhost("ServerAlias x", ON, rule), {}, [
        before + url for before in ("", "/p") for url in urls if before + url])


@pytest.mark.parametrize("rule, url, status", [
    ("RewriteRule ^/p/(.*)$ %{DOCUMENT_ROOT}/$1", "/p/private/x.txt", None),
    ("RewriteRule ^/p/(.*)$ /html/$1", "/p/f.txt", None),
    ("RewriteRule ^/p/(.*)$ /html/$1 [PT]", "/p/f.txt", 200),
    ("RewriteRule ^/p/(.*)$ /$1 [UnsafePrefixStat]", "/p/private/x.txt", None),
    ("RewriteRule ^/p/(.*)$ /$1 [UnsafePrefixStat]", "/p/top.txt", None),
    ("RewriteRule ^/p/(.*)$ /$1 [PT]", "/p/private/x.txt", 403),
    ("RewriteRule ^/p/(.*)$ ${JAIL}/html/$1", "/p/private/x.txt", 403),
    ("RewriteRule ^/p/(.*)$ ${JAIL}/html/$1", "/p/open/x.txt", 200)])
def test_rules_beside_a_virtual_document_root(decides, rule, url, status):
    request = Request(url, host="html")
    decides(PRIVATE + vhost("ServerAlias *", "UseCanonicalName Off",
                            'VirtualDocumentRoot "${JAIL}/%0"', ON, rule),
            [(request, status)] if status else [],
            [] if status else [request])


def test_a_virtual_document_root_decides_by_outer_names(decides):
    def at(path, host="html"):
        return Request(path, host=host)
    decides(PRIVATE + directory("${JAIL}/data") + vhost(
        "ServerAlias *", "UseCanonicalName Off",
        'VirtualDocumentRoot "${JAIL}/%0"'),
        [(at("/private/x.txt"), 403), (at("/open/x.txt"), 200),
         (at("/x.txt", "data"), 403), (at("/share/x.txt", "usr"), 200),
         (at("/x.txt", "none"), 404)])


def test_a_virtual_document_root_above_the_jail(decides):
    def at(path, host):
        return Request(path, host=host)
    decides(PRIVATE + vhost(
        "ServerAlias *", "UseCanonicalName Off",
        'VirtualDocumentRoot "${ROOT}/%0"'),
        [(at("/html/private/x.txt", "jail"), 403),
         (at("/html/open/x.txt", "jail"), 200)],
        [at("/x.txt", "out"), at("/x.txt", "jail2"),
         at("/html/open/x.txt", "link"), at("/html/private/x.txt", "link")],
        prepare=lambda server: (server.root / "link").symlink_to("jail"))


@pytest.mark.parametrize("words, answers, outside", [
    ("${JAIL}", {"/~html/private/x.txt": 403, "/~html/open/x.txt": 200,
                 "/~private/x.txt": 403, "/~none/x.txt": 404,
                 "/~data/x.txt": 200}, []),
    ("${JAIL}/html", {"/~private/x.txt": 403, "/~open/x.txt": 200}, []),
    ("${JAIL}/home/*/html", {"/~bob/x.txt": 200, "/~eve/x.txt": 404}, []),
    ("${JAIL}/*/jail", {"/~a/x.txt": 200, "/~html/x.txt": 404}, []),
    ("${ROOT}/*/html", {"/~jail/private/x.txt": 403,
                        "/~jail/open/x.txt": 200}, ["/~out/x.txt"]),
    ("${ROOT}/*", {"/~jail/html/private/x.txt": 403,
                   "/~jail/html/open/x.txt": 200},
     ["/~out/x.txt", "/~jail2/x.txt"]),
    ("${ROOT}", {"/~jail/html/private/x.txt": 403,
                 "/~jail/html/f.txt": 200}, ["/~out/x.txt"]),
    ("/*", {}, ["/~usr/share/x.txt", "/~etc/passwd", "/~html/f.txt",
                "/~data/x.txt"]),
    ("/usr", {}, ["/~share/x.txt", "/~none/x.txt"]),
    ("${JAIL}${JAIL}", {"/~html/f.txt": 404, "/~private/x.txt": 404}, [])])
def test_user_directories_are_outer_names(decides, words, answers, outside):
    decides(SITE + PRIVATE + directory("${JAIL}/private")
            + f"UserDir {words}\n", answers, outside)


# -- rules in sections whose names are those of inner paths

@pytest.mark.parametrize("path, rule, denied", [
    ("/html", "^${JAIL}/html/private - [F]", True),
    ("/html", "jail/html/private - [F]", True),
    ("/html", "^/var/lib/.*/private - [F]", True),
    ("/html/private", "^/ - [F]", True),
    ("/html/private", "^x - [F]", False),
    ("/html", "^private/x - [F]", False),
    ("/html", "^/private/x - [F]", False),
    ("/", "html/private - [F]", True),
    ("/", "^html/private - [F]", False),
    ("/", "^private - [F]", False)])
def test_rules_in_a_location_of_an_inner_paths_name(decides, path, rule,
                                                    denied):
    decides(SITE + 'Alias "/html" "${JAIL}/html"\n'
            + location(path, ON + "RewriteRule " + rule),
            {"/html/private/x.txt": 403 if denied else 200,
             "/html/open/x.txt": 403 if rule.startswith("^/ ") and
             path == "/html" else 200})


@pytest.mark.parametrize("where", ["${ROOT}", "/", "${JAIL}", "/var",
                                   "${JAIL}/html"])
@pytest.mark.parametrize("pattern", [
    "jail/html/private", "^jail/html/private", "^html/private", "^private",
    "^${JAIL}/html/private", "^var/lib/.*/private", "html/private"])
def test_rules_in_directories_see_what_is_left_of_outer_names(compare, where,
                                                              pattern):
    compare(SITE + directory(where, ON + f"RewriteRule {pattern} - [F]"),
            ["/private/x.txt", "/open/x.txt", "/f.txt"], files={
                name: what for name, what in FILES.items() if "$" not in name},
            modules=MODULES, same_log=False)


@pytest.mark.parametrize("rule, answers, outside", [
    ("RewriteRule ^p/(.*)$ /html/$1", {"/p/f.txt": 200, "/p/open/x.txt": 404,
                                       "/p/private/x.txt": 403}, []),
    ("RewriteRule ^p/(.*)$ ${JAIL}/html/$1",
     {"/p/f.txt": 200, "/p/private/x.txt": 403}, []),
    ("RewriteRule ^p/(.*)$ %{DOCUMENT_ROOT}/$1",
     {"/p/f.txt": 200, "/p/private/x.txt": 403}, []),
    ("RewriteRule ^p/(.*)$ /$1 [UnsafePrefixStat]",
     {"/p/f.txt": 200, "/p/private/x.txt": 403, "/p/top.txt": 404},
     ["/p/etc/passwd", "/p/usr/share/x.txt"]),
    ("RewriteRule ^p/(.*)$ $1 [UnsafePrefixStat]",
     {"/p/f.txt": 200, "/p/private/x.txt": 403, "/p/top.txt": 404}, []),
    ("RewriteRule ^p/(.*)$ ${ROOT}/out/$1", {}, ["/p/x.txt"]),
    ("RewriteBase /\nRewriteRule ^p/(.*)$ $1",
     {"/p/f.txt": 200, "/p/private/x.txt": 403}, []),
    ("RewriteRule ^p/(.*)$ - [E=P:%{REQUEST_FILENAME}]\n"
     "RewriteCond %{ENV:P} ^${JAIL}/html/p\nRewriteRule ^p/(.*)$ /open/$1",
     {"/p/x.txt": 200}, [])])
@pytest.mark.parametrize("place", ["Directory", ".htaccess"])
def test_rules_of_a_directory_map_to_outer_names(decides, rule, answers,
                                                 outside, place):
    files = {}
    config = (SITE + PRIVATE + directory("${JAIL}/html/html/private"))
    if place == "Directory":
        config += directory("${JAIL}/html", ON + rule)
    else:
        config += directory("${JAIL}/html", "AllowOverride All")
        files["html/.htaccess"] = ON + rule + "\n"
    decides(config, answers, outside, files=files)


# -- .htaccess files

def users():
    return run_ok(["htpasswd", "-nbs", "bob", "secret"]) + run_ok(
        ["htpasswd", "-nbs", "eve", "secret"])


BASIC = ("AuthType Basic\nAuthName area\nAuthUserFile ${JAIL}/etc/pw\n"
         "AuthGroupFile ${JAIL}/etc/groups\n")
WHO = [Request("/private/x.txt", auth=auth) for auth in (
    None, ("bob", "secret"), ("bob", "wrong"), ("eve", "secret"))]


@pytest.mark.parametrize("lines, statuses", [
    ("Require valid-user", [401, 200, 401, 200]),
    ("Require user bob", [401, 200, 401, 401]),
    ("Require group staff", [401, 200, 401, 401]),
    ("<RequireAll>\nRequire valid-user\nRequire not group staff\n"
     "</RequireAll>", [401, 401, 401, 200]),
    ("<RequireAll>\nRequire valid-user\n<RequireNone>\nRequire group staff\n"
     "</RequireNone>\n</RequireAll>", [401, 401, 401, 200]),
    ('<RequireAll>\nRequire valid-user\nRequire expr "-f \'${JAIL}/etc/pw\''
     '"\n</RequireAll>', [401, 200, 401, 200]),
    ("<RequireAll>\nRequire valid-user\nRequire expr "
     "\"%{REQUEST_FILENAME} =~ m#^${JAIL}/html# && %{REMOTE_USER} == 'bob'\"\n"
     "</RequireAll>", [401, 200, 401, 401])])
@pytest.mark.parametrize("place", [".htaccess", "Directory", "If"])
def test_files_of_users_and_groups_by_outer_names(decides, lines, statuses,
                                                  place):
    files = {"etc/pw": users(), "etc/groups": "staff: bob\n"}
    config = SITE + directory("${JAIL}/html", "AllowOverride All")
    text = BASIC + lines
    if place == "If":
        text = f'<If "%{{request_filename}} =~ m#jail/html#">\n{text}\n</If>'
    if place == "Directory":
        config += directory("${JAIL}/html/private", text)
    else:
        files["html/private/.htaccess"] = text + "\n"
    decides(config, list(zip(WHO, statuses)), files=files)


OUTSIDE = SITE + 'Alias "/o" "${ROOT}/out"\n' + location(
    "/o", "SetHandler server-status")


@pytest.mark.parametrize("text", [DENY, "Require all granted",
                                  "Require valid-user"])
def test_the_htaccess_of_a_directory_outside_is_not_done_without(decides,
                                                                 text):
    """Its handler needs no file; whatever the file says, it cannot be read."""
    decides(OUTSIDE + directory("${ROOT}/out", "AllowOverride All"), {},
            ["/o/x.txt", "/o/", "/o"], files={"../out/.htaccess": text + "\n",
                                              "${ROOT}/out/.htaccess":
                                              "Require all granted\n"})


ADDED = ("PerlModule Apache2::ServerUtil\n<Perl>\n"
         "Apache2::ServerUtil->server->add_config(['<Directory />', '{}', "
         "'</Directory>']);\n</Perl>\n")


@pytest.mark.parametrize("line", ["AllowOverride All", "AllowOverride Limit "
                                  "AuthConfig", "AllowOverrideList Require"])
@pytest.mark.parametrize("how", [
    "<Directory />\n{}\n</Directory>\n", ADDED,
    "<Macro M>\n<Directory />\n{}\n</Directory>\n</Macro>\nUse M\n",
    '<IfDefine !x>\n<DirectoryMatch "^/">\n{}\n</DirectoryMatch>\n'
    '</IfDefine>\n<Directory "/">\n{}\n</Directory>\n'])
def test_overrides_are_known_however_they_are_written(decides, line, how):
    decides(OUTSIDE + how.replace("{}", line), {}, ["/o/x.txt"],
            files={"../out/.htaccess": DENY + "\n"},
            modules=["perl", "macro"])


def test_sections_about_a_directory_outside_hold_for_its_handler(decides):
    decides(OUTSIDE + directory("${ROOT}/out/private"), [
        ("/o/private/x.txt", 403)])


@pytest.mark.parametrize("name, argument", [
    ("Directory", "${ROOT}/out/private/x.txt/y"),
    ("Directory", "${ROOT}/out/private/gone/a"),
    ("Directory", "${ROOT}/out/private/*/y"),
    ("DirectoryMatch", "/(x[.]txt/y|gone/a)"), ("Files", "y"), ("Files", "a")])
def test_sections_below_what_is_no_directory_outside_grant_nothing(
        decides, name, argument):
    """httpd ends its walk at a file, and at what is missing."""
    decides(OUTSIDE + directory("/", "AllowOverride None")
            + directory("${ROOT}/out/private")
            + section(name, argument, "Require all granted"), {},
            ["/o/private/x.txt/y", "/o/private/gone/a"])


NONE = directory("/", "AllowOverride None", "Options FollowSymLinks")
DENIED_OUTSIDE = {      # of a handler that needs no file
    "a link": (directory("/", "AllowOverride None", "Options None"),
               ["/o/link", "/o/link/"]),
    "a link that leads nowhere": (NONE, ["/o/none"]),
    "a closed directory": (NONE, ["/o/closed/x.txt"]),
    "a name that is too long": (NONE, ["/o/" + "a" * 300]),
    "a file with a slash, Files": (NONE + section("Files", "x.txt", DENY),
                                   ["/o/x.txt", "/o/x.txt/", "/o/x.txt//"]),
    "a file with a slash, If": (
        NONE + section("If", "%{REQUEST_FILENAME} =~ m#/x.txt$#", DENY),
        ["/o/x.txt", "/o/x.txt/"]),
    "a rule for what is there": (
        NONE + directory("${ROOT}/out", ON + "RewriteCond %{REQUEST_FILENAME} "
                         "-f\nRewriteRule .* - [F]"), ["/o/x.txt"]),
    "a rule for what answers": (
        NONE + directory("${ROOT}/out", ON + "RewriteCond %{REQUEST_FILENAME} "
                         "-F\nRewriteRule .* - [F]"), ["/o/x.txt"]),
    "a .htaccess file with errors": ("", ["/o/bad/x.txt", "/o/bad"]),
}


@pytest.mark.parametrize("what", DENIED_OUTSIDE)
def test_no_handler_answers_for_what_is_outside(decides, what):
    config, urls = DENIED_OUTSIDE[what]
    done = decides(OUTSIDE + config, {}, urls, files={
        "../out/link": Link("private"), "../out/none": Link("nowhere"),
        "../out/bad/.htaccess": "Require all granted\n",
        "../out/closed/x.txt": "x"},
        prepare=lambda server: (server.root / "out/closed").chmod(0o700))
    assert all(answer.status >= 400 for answer in done.plain)


# what decides is a file or a URL outside, and what it decides about is not
ASKED_OUTSIDE = [
    section("If", "%{REQUEST_URI} == '/f.txt' && -U '/o/x.txt'", DENY),
    section("If", "%{REQUEST_URI} == '/f.txt' && -A '/o/x.txt'", DENY),
    ON + "RewriteCond /o/x.txt -U\nRewriteRule ^/f - [F]\n",
    directory("${JAIL}/html", 'Require expr "! -F \'%{env:P}\'"'),
    # the URL that is asked for is decided about by a file outside
    location("/open", "Require expr \"-f '%{env:P}'\"") + ON
    + "RewriteCond /open/x.txt -U\nRewriteRule ^/f - [F]\n",
]


@pytest.mark.parametrize("text", ASKED_OUTSIDE)
def test_a_sub_request_that_leads_outside_grants_nothing(decides, text):
    done = decides(SITE + 'Alias "/o" "${ROOT}/out"\n'
                   "SetEnvIf Request_URI ^ P=${ROOT}/out/x.txt\n" + text, {},
                   ["/f.txt"], ignore=["(?s).*"])
    assert done.plain[0].status == 403 and done.jailed[0].status >= 400


@pytest.mark.parametrize("root, starts", [("${ROOT}/out", False),
                                          ("${JAIL}/open", True)])
def test_a_rule_about_the_document_root_of_a_host_outside(
        decides, refused, root, starts):
    host = vhost(f'DocumentRoot "{root}"', 'Alias "/i" "${JAIL}/html"', ON,
                 "RewriteCond %{DOCUMENT_ROOT}/x.txt -f",
                 "RewriteRule .* - [F]")
    if starts:
        decides(SITE + host, {"/i/f.txt": 403}, files={"open/x.txt": ""})
    else:
        refused(SITE + host, "tests the file")


@pytest.mark.parametrize("lines", [
    ON + "RewriteCond %{REMOTE_HOST} =localhost\nRewriteRule .* - [F]\n",
    ON + "RewriteRule .* - [E=H:%{REMOTE_HOST}]\n",
    "<AuthzProviderAlias host evil localhost>\n</AuthzProviderAlias>\n",
    "<AuthzProviderAlias forward-dns evil localhost>\n</AuthzProviderAlias>\n"])
def test_what_decides_by_names_of_hosts_is_an_error(refused, lines):
    refused(SITE + lines, "needs /etc/resolv.conf")


@pytest.mark.parametrize("name", ["unix-group", "unix-file-group"])
@pytest.mark.parametrize("file", ["passwd", "group"])
def test_what_decides_by_the_systems_groups_is_an_error(refused, name, file):
    """The providers of mod_authz_unixgroup, here of mod_lua."""
    refused(f"LuaAuthzProvider {name} /x.lua f\n" + SITE + location(
        "/", f"Require {name} staff"), f"needs /etc/{file}", modules=["lua"])


def security(operator):
    return f'SecRule FILES_TMPNAMES "{operator}" "id:1,phase:2,deny"'


@pytest.mark.parametrize("lines, words", [
    (security("@inspectFile ${ROOT}/scan"), 'scan", which is not in the jail'),
    (security("@inspectFile\t ${ROOT}/scan.lua.sh"), "which is not in the jail"),
    (security("!@inspectfile scan"), "which is not in the jail"),
    (security("@inspectFile ${JAIL}/scan"), "children do not find the interp"),
    (security("@validateSchema ${ROOT}/xsd"), 'xsd", which is not in the jail'),
    (security("@validateDTD ${ROOT}/dtd"), 'dtd", which is not in the jail'),
    (location("/", "WSGIAccessScript ${ROOT}/x.wsgi"),
     'x.wsgi", which is not in the jail'),
    (location("/", "WSGIAuthUserScript ${ROOT}/x.wsgi"),
     'x.wsgi", which is not in the jail'),
    (location("/", "WSGIAuthGroupScript ${ROOT}/x.wsgi"),
     'x.wsgi", which is not in the jail'),
    ('DBDriver sqlite3\nDBDParams "${ROOT}/ban.db"\n' + ON
     + 'RewriteMap ban "dbd:SELECT a FROM ban WHERE b = %s"\n'
     'RewriteCond "${ban:%{REMOTE_ADDR}}" =yes\nRewriteRule .* - [F]',
     'ban.db", which is not in the jail'),
    ('DBDriver pgsql\nDBDParams "host=db.example.org"\n' + ON
     + 'RewriteMap ban "DBD:SELECT a FROM ban WHERE b = %s"\n',
     "DBDParams at"),
    ("RewriteMap ban TXT:${ROOT}/scan", 'scan", which is not in the jail'),
    (location("/", "Require host example.org"),
     "Require at")])
@pytest.mark.parametrize("before", ["", "HostnameLookups On\n" + "".join(
    f"Alias /{n} ${{JAIL}}/{n}\n" for n in range(1100))],
    ids=["alone", "behind many paths"])
def test_what_decides_by_a_program_or_a_database(refused, lines, words,
                                                 before):
    refused(SITE + before + lines + "\n", words, files={
        "../scan": "", "../ban.db": "",
        "scan": File("#!/bin/none", mode=0o755)},
        modules=["dbd", "unique_id", "security2", "wsgi"])


@pytest.mark.parametrize("mode", [JAILED, comparison.MOUNTED])
def test_a_file_of_a_repository_is_not_looked_for_in_serverroot(httpd, mode):
    server = httpd(modules=["dav", "dav_svn", "authz_svn"])
    status, said = server.configtest(mode + location(
        "/", "AuthzSVNReposRelativeAccessFile authz"))
    assert status == 0, said


ABOVE = {
    "AllowOverride All": directory("${ROOT}", "AllowOverride All"),
    "AllowOverride None All": directory("${ROOT}", "AllowOverride None All"),
    "AllowOverride All None": directory("${ROOT}", "AllowOverride All None"),
    "AllowOverride AuthConfig": directory("/", "AllowOverride AuthConfig"),
    "AllowOverrideList": directory("/", "AllowOverrideList Require"),
    "AllowOverrideList beside None": directory(
        "/", "AllowOverride None", "AllowOverrideList Require"),
    "a pattern": directory("/v*/lib", "AllowOverride AuthConfig"),
    "DirectoryMatch": section("DirectoryMatch", "^/var", "AllowOverride All"),
    "nothing": directory("/", "AllowOverride None"),
    "nothing but below": directory("/", "AllowOverride None")
    + directory("${JAIL}", "AllowOverride All"),
}


@pytest.mark.parametrize("name", ABOVE)
@pytest.mark.parametrize("where", ["", "virtual host"])
def test_an_htaccess_file_above_the_jail(decides, name, where):
    """Where httpd does not read it nor minds it (500), it does not matter."""
    site = SITE + ABOVE[name]
    status = (200 if name in ("nothing", "nothing but below",
                              "AllowOverride All None")
              else None if name == "DirectoryMatch" else 403)
    done = decides(vhost(site) if where else site,
                   {"/f.txt": status, "/open/x.txt": status} if status else [],
                   [] if status else ["/f.txt", "/open/x.txt"],
                   files={"../.htaccess": DENY + "\n"})
    assert status or 200 not in done.statuses


@pytest.mark.parametrize("names", [".acl", ".acl .htaccess", "x .acl"])
@pytest.mark.parametrize("where", ["server", "virtual host"])
def test_an_access_file_of_another_name_above_the_jail(decides, names, where):
    site = SITE + f"AccessFileName {names}\n"
    decides(directory("/", "AllowOverride All")
            + (vhost(site) if where == "virtual host" else site),
            {"/f.txt": 403}, files={"../.acl": DENY + "\n"})


@pytest.mark.parametrize("what", [
    "Require all granted\n", File(DENY, mode=0o600), Link("none"),
    Link("jail/etc/deny")])
def test_an_htaccess_above_that_cannot_be_read_in_the_jail(decides, what):
    """Whatever it is: no page without what it says."""
    decides(SITE + directory("${ROOT}", "AllowOverride All"), {}, ["/f.txt"],
            files={"../.htaccess": what, "etc/deny": DENY})


@pytest.mark.parametrize("names", ["../x", "../.htaccess", ".htaccess ../x",
                                   "a/.htaccess", "./x", "/etc/x"])
def test_an_access_file_name_with_a_path_is_an_error(refused, names):
    refused(SITE + f"AccessFileName {names}\n", "AccessFileName")
    refused(vhost(SITE + f"aCCESSfileNAME {names}"), "has to be a file's name")


def test_an_access_file_inside_decides_as_before(decides):
    decides(SITE + directory("${JAIL}", "AllowOverride All"),
            {"/private/x.txt": 403, "/open/x.txt": 200, "/f.txt": 200},
            files={"html/private/.htaccess": DENY + "\n",
                   ".htaccess": "Require all granted\n",
                   "html/.htaccess": "Options None\n"})


# -- odd paths

@pytest.mark.parametrize("name", [
    "j?il", "j\\il", "jail$1", "j%{x}", "j%1l", "j%{DOCUMENT_ROOT}", "j*l",
    "[jail]", "j(a)il", "j il", "j|l", "j#l", "j;l", "j&l", "j%41l", "j$",
    "j{1}l", "j,l", "j:l", "-f", "!jail"])
def test_odd_characters_in_the_jails_path(decides, name):
    root = "${ROOT}/" + name.replace("\\", "\\\\")
    decides(
        f'DocumentRoot "{root}/html"\nAlias /a "{root}/html"\n'
        + section("DirectoryMatch", "/html/private", DENY)
        + section("If", "%{request_filename} =~ m#lib/.*/html/html#", DENY)
        + ON + "RewriteRule ^/p/(.*)$ %{DOCUMENT_ROOT}/$1\n"
        "RewriteRule ^/q/(.*)$ /html/$1\n"
        "RewriteRule ^/r/(.*)$ /$1 [UnsafePrefixStat]\n"
        "RewriteCond %{LA-U:REQUEST_FILENAME} html/open/x\n"
        "RewriteRule ^/open - [F]\n",
        {"/private/x.txt": 403, "/f.txt": 200, "/html/f.txt": 403,
         "/open/x.txt": 403, "/a/private/x.txt": 403, "/a/open/x.txt": 200,
         "/q/f.txt": 403, "/q/open/x.txt": 403, "/r/private/x.txt": 403,
         "/r/f.txt": 200},
        ["/p/private/x.txt", "/r/etc/passwd"], name=name,
        jail_config=f'ChrootDir "{root}"\nChrootFixRoot On\n')


@pytest.mark.parametrize("pattern", ['"jail"', '"j?il"', "jail", '~ "^jail$"'])
@pytest.mark.parametrize("name", ["Files", "FilesMatch"])
def test_a_files_section_of_the_jails_own_name(compare, pattern, name):
    if name == "FilesMatch":
        pattern = '"^jail$"'
    compare(SITE + 'Alias "/x" "${JAIL}"\nDirectorySlash Off\n'
            f"<{name} {pattern}>\n{DENY}\n</{name}>\n",
            ["/x", "/x/", "/x/top.txt", "/f.txt"], same_log=False,
            files={"html/f.txt": "file", "top.txt": "top"})


def test_the_files_section_of_the_jails_own_name_denies(decides):
    decides(SITE + 'Alias "/x" "${JAIL}"\n'
            + section("Files", "jail", DENY), {"/x": 403, "/x/top.txt": 200})


# -- links

def link(target):
    return lambda server: (server.root / "link").symlink_to(target)


@pytest.mark.parametrize("line", [
    'DocumentRoot "${ROOT}/link/html"', 'Alias "/a" "${ROOT}/link/html"',
    'AliasMatch "^/a/(.*)$" "${ROOT}/link/html/$1"',
    '<VirtualHost *>\nVirtualDocumentRoot "${ROOT}/link/%0"\n</VirtualHost>',
    "UserDir ${ROOT}/link", 'ScriptAlias "/a" "${ROOT}/link/html/"',
    "RewriteEngine On\nRewriteRule ^/a/(.*)$ ${ROOT}/link/html/$1"])
def test_a_mapping_through_a_link_to_the_jail_is_right_or_refused(decides,
                                                                  line):
    """The sections name one of two ways: it must not open the other."""
    urls = ["/private/x.txt", "/a/private/x.txt", "/~html/private/x.txt"]
    done = decides((SITE if "DocumentRoot \"${ROOT}" not in line else "")
                   + line + "\n" + directory("${ROOT}/link/html/private")
                   + PRIVATE, [], urls, prepare=link("jail"), refusal_ok=True)
    assert done.jailed or "symbolic link" in done.refusal, done.refusal


def test_the_jails_top_is_not_read_through_a_link(decides):
    decides('DocumentRoot "${ROOT}/link"\n', [], [
        "/etc/pages", "/html/private/x.txt", "/top.txt"],
        prepare=link("jail"), refusal_ok=True)


def test_a_link_that_is_switched_while_the_server_runs(httpd):
    """What lay outside at start does not get into the jail later."""
    server = httpd(JAILED + 'DocumentRoot "${ROOT}/link"\n' + SITE.replace(
        "DocumentRoot", 'Alias "/in"') + PRIVATE, modules=MODULES, files={
            name: what for name, what in FILES.items() if "$" not in name})
    server.allow_log("chroot:warn|client")
    (server.root / "link").symlink_to("out")
    server.start()
    urls = ["/x.txt", "/private/x.txt", "/html/f.txt", "/html/private/x.txt",
            "/etc/pages", "/top.txt", "/"]
    for target in ("out", "jail", "jail/html", "jail2"):
        (server.root / "link").unlink()
        (server.root / "link").symlink_to(target)
        for url in urls:
            assert server.get(url).status in (403, 404), (target, url)
        assert server.get("/in/private/x.txt").status == 403
        assert server.get("/in/open/x.txt").status == 200


@pytest.mark.parametrize("options, status", [
    ("FollowSymLinks", 200), ("None", 403), ("SymLinksIfOwnerMatch", 200)])
def test_links_between_pages_are_judged_as_before(decides, options, status):
    decides(SITE + PRIVATE + directory("${JAIL}", f"Options {options}"),
            {"/rel/x.txt": status, "/deep/x.txt": status, "/f.txt": 200,
             "/none/x.txt": 403, "/loop/x.txt": 403},
            files={"html/rel": Link("open"), "html/deep": Link("../data"),
                   "html/none": Link("absent"), "html/loop": Link("loop")})


# -- what lies outside, with a file of the same name inside

MAPPERS = {
    "Alias": ('Alias "/o" "${ROOT}/out"', ["/o/x.txt", "/o/private/x.txt"]),
    "Alias of a file": ('Alias "/o" "${ROOT}/out/x.txt"', ["/o"]),
    "AliasMatch": ('AliasMatch "^/o/(.*)$" "${ROOT}/out/$1"', ["/o/x.txt"]),
    "AliasMatch of anything": (
        'AliasMatch "^/o(/.*)$" "$1"',
        ["/o${ROOT}/out/x.txt", "/o/usr/share/x.txt", "/o/etc/passwd"]),
    "Alias in a location": (
        '<Location "/o">\nAlias "${ROOT}/out/x.txt"\n</Location>', ["/o"]),
    "Alias by an expression": (
        '<LocationMatch "^/o(?<p>/.*)">\nAlias "%{env:MATCH_P}"\n'
        "</LocationMatch>", ["/o${ROOT}/out/x.txt", "/o/usr/share/x.txt"]),
    "ScriptAlias": ('ScriptAlias "/o" "${ROOT}/out"', ["/o/x.txt"]),
    "the parent of the jail": ('Alias "/o" "${ROOT}"', [
        "/o/out/x.txt", "/o/jail2/x.txt", "/o/jail/../out/x.txt"]),
    "the root": ('Alias "/o" "/"', ["/o${ROOT}/out/x.txt",
                                    "/o/usr/share/x.txt", "/o/etc/passwd"]),
    "a sibling": ('Alias "/o" "${JAIL}2"', ["/o/x.txt"]),
    "dots": ('Alias "/o" "${JAIL}/../out"', ["/o/x.txt"]),
    "a directory of the system": ('Alias "/o" "/usr/share"', ["/o/x.txt"]),
    "DirectoryIndex": (
        'Alias "/o" "${ROOT}/out"\nDirectoryIndex /o/x.txt', ["/open/"]),
    "Action": ('Alias "/o" "${ROOT}/out"\nAction a /o/x.txt\n'
               '<Location "/f.txt">\nSetHandler a\n</Location>', ["/f.txt"]),
    "a rule of a directory": (
        f'<Directory "${{JAIL}}/html">\n{ON}RewriteRule ^o/(.*)$ '
        "${ROOT}/out/$1\n</Directory>", ["/o/x.txt"]),
}


@pytest.mark.parametrize("name", MAPPERS)
@pytest.mark.parametrize("virtual", [False, True])
def test_what_lies_outside_is_not_looked_for_inside(decides, name, virtual):
    config, requests = MAPPERS[name]
    config = SITE + config + "\n"
    decides(vhost(config) if virtual else config, {"/open/x.txt": 200},
            requests)


def test_a_fallback_outside_is_missing(httpd):
    """As without a jail, httpd tries until it gives up."""
    server = httpd(JAILED + SITE + 'Alias "/o" "${ROOT}/out"\n'
                   "FallbackResource /o/x.txt\n", modules=MODULES)
    put(server.jail, {"out/x.txt": "inside", "html/f.txt": "file"})
    server.allow_log("chroot:warn|client")
    server.start()
    assert server.get("/none").status in (403, 404, 500)
    assert server.get("/f.txt").text == "file"


def test_a_document_root_outside(decides):
    decides(SITE + vhost('DocumentRoot "${ROOT}/out"', name="out")
            + vhost('DocumentRoot "${JAIL}2"', name="two")
            + vhost('DocumentRoot "${ROOT}"', name="three"), [
        (Request("/jail/html/f.txt", host="three"), 200)], [
        Request(path, host=host) for host in ("out", "two", "three")
        for path in ("/x.txt", "/out/x.txt", "/f.txt", "/")])


def test_an_included_page_that_lies_outside(decides):
    done = decides(
        SITE + 'Alias "/o" "${ROOT}/out"\nAddType text/html .shtml\n'
        "AddOutputFilter INCLUDES .shtml\n" + PRIVATE
        + directory("${JAIL}/html", "Options Includes"), {}, files={
            "html/p.shtml": "".join(
                f'<!--#include virtual="{path}"-->' for path in (
                    "/o/x.txt", "/private/x.txt", "${JAIL}/html/f.txt",
                    "/html/../private/x.txt", "/%2e%2e/top.txt"))
            + "".join(f'<!--#include file="{path}"-->' for path in (
                "private/x.txt", "html/../private/x.txt"))})
    server = done.server
    server.start()
    text = server.get("/p.shtml").text
    assert "inside" not in text and "secret" not in text and "top" not in text


# -- decisions about sub-requests

def test_a_listing_leaves_out_what_is_denied(decides):
    decides(SITE + directory("${JAIL}/html", "Options Indexes FollowSymLinks")
            + "DirectoryIndex disabled\n"
            + directory("${JAIL}/html/private") + section(
                "If", "%{REQUEST_FILENAME} =~ m#^${JAIL}/html/f#", DENY)
            + directory("${JAIL}/html/open", ON
                        + "RewriteCond %{request_filename} jail/html/open/s\n"
                        "RewriteRule .* - [F]"),
            {"/": 200, "/open/": 200, "/f.txt": 403, "/open/s.txt": 403},
            files={"html/open/s.txt": "secret"})


def test_negotiated_pages_are_decided_about_by_outer_names(decides):
    decides(SITE + directory("${JAIL}/html", "Options MultiViews")
            + section("If", "%{REQUEST_FILENAME} =~ m#^${JAIL}/html/private#",
                      DENY)
            + section("If", "%{REQUEST_FILENAME} =~ m#jail/html/open/y[.]txt#",
                      DENY),
            {"/private/x": 403, "/open/x": 200, "/open/y": 404},
            files={"html/open/y.txt": "secret"})


def test_index_pages_are_decided_about_by_outer_names(decides):
    decides(SITE + "DirectoryIndex x.txt\n" + section(
        "If", "%{REQUEST_FILENAME} == '${JAIL}/html/private/x.txt'", DENY),
        {"/private/": 403, "/open/": 200})


def test_error_documents_are_decided_about_by_outer_names(decides):
    decides(SITE + "ErrorDocument 404 /private/x.txt\n"
            "ErrorDocument 410 /open/x.txt\nRedirect gone /gone\n" + section(
                "If", "%{request_filename} =~ m#jail/html/private#", DENY),
            {"/none": 404, "/gone": 410, "/private/x.txt": 403})


@pytest.mark.parametrize("method", ["COPY", "MOVE"])
def test_the_destination_of_webdav_is_decided_about_by_its_outer_name(
        decides, method):
    request = Request("/open/x.txt", method, {
        "Destination": "http://localhost/private/y.txt"})
    decides(SITE + "DavLockDB ${JAIL}/lock/db\n" + directory(
        "${JAIL}/html", "Dav On") + section(
            "If", "%{request_filename} =~ m#^${JAIL}/html/private#", DENY),
        [(request, 403), ("/open/x.txt", 200)], files={"lock": Dir},
        modules=["dav", "dav_fs", "dav_lock"])


# -- tests of files, and files, that are outside

@pytest.mark.parametrize("lines", [
    '<If "-f \'${ROOT}/out/x.txt\'">\nRequire all denied\n</If>',
    '<If "! -f \'/html/f.txt\'">\nRequire all denied\n</If>',
    '<If "-d \'/usr/share\'">\nRequire all denied\n</If>',
    "<Location />\nRequire expr \"! -e '${ROOT}/out'\"\n</Location>",
    "<Location />\nRequire \"expr\" \"! -e '${ROOT}/out'\"\n</Location>",
    "<Location />\nSetEnvIfExpr \"file('${ROOT}/out/x.txt') =~ /o/\" x\n"
    "</Location>",
    "RewriteCond ${ROOT}/out/x.txt -f", "RewriteCond /html/f.txt !-f",
    "RewriteCond /etc/passwd -f", "RewriteCond ${ROOT}/out -d",
    'rewritecond "/etc/passwd" "-f"', "RewriteCond ${JAIL}/../out/x.txt -f",
    "RewriteCond expr \"-f '/etc/passwd'\"",
    "RewriteCond \"expr\" \"-f '/etc/passwd'\"",
    "RewriteCond %1 -d", "RewriteCond %{ENV:P} -f",
    "RewriteCond %{REQUEST_URI} -f",
    "RewriteMap m txt:${ROOT}/out/x.txt", "RewriteMap m rnd:${ROOT}/out/x.txt",
    "<Location />\nAuthUserFile ${ROOT}/out/x.txt\n</Location>",
    "<Location />\nAuthGroupFile ${ROOT}/out/x.txt\n</Location>",
    '<If "true">\nAuthGroupFile ${JAIL}2/x.txt\n</If>'])
def test_what_decides_by_a_file_outside_is_an_error(refused, lines):
    refused(SITE + lines + "\n", "the jail")


COMPUTED_TESTS = [
    "<If \"-f '%{ENV:P}'\">\nRequire all denied\n</If>",
    'Require expr "! -f %{env:P}"', 'Require not expr "-s %{reqenv:P}"',
    "SetEnvIfExpr \"-e '%{ENV:P}'\" bad\nRequire not env bad",
    # these not in .htaccess files
    "SetEnvIfExpr \"-n file('%{ENV:P}')\" bad\nRequire not env bad",
    "Require expr \"filesize('%{ENV:P}') -lt 1\""]


@pytest.mark.parametrize("place", ["Directory", ".htaccess"])
@pytest.mark.parametrize("where", ["${ROOT}/out/x.txt", "${JAIL}/html/f.txt",
                                   "${JAIL}/html/../../out/x.txt"])
def test_a_computed_name_of_a_file_that_decides(decides, place, where):
    """Outside, nobody knows what is there: nothing is granted."""
    files, config, answers = {}, SITE + f"SetEnv P {where}\n" + (
        f"SetEnvIf Request_URI . P={where}\n"), []
    for number, text in enumerate(
            COMPUTED_TESTS[:4 if place == ".htaccess" else None]):
        if "Require not" in text:
            text = text.replace("Require not", "<RequireAll>\nRequire all "
                                "granted\nRequire not") + "\n</RequireAll>"
        files[f"html/e{number}/x.txt"] = "x\n"
        if place == ".htaccess":
            files[f"html/e{number}/.htaccess"] = text + "\n"
        else:
            config += directory(f"${{JAIL}}/html/e{number}", text)
        answers.append((f"/e{number}/x.txt", 403))
    config += directory("${JAIL}/html", "AllowOverride All")
    inside = "JAIL" in where and ".." not in where
    done = decides(config, answers if inside else {},
                   [] if inside else [request for request, _ in answers],
                   files=files, ignore=["(?s).*do not see the file.*"])
    assert all(answer.status in (403, 500) for answer in done.jailed)


@pytest.mark.parametrize("text", ["! -f '/etc/passwd'", "! -d '/usr/share'"])
def test_a_literal_name_in_an_htaccess_file(decides, text):
    decides(SITE + directory("${JAIL}/html", "AllowOverride All"), {},
            ["/open/x.txt"], files={"html/open/.htaccess":
                                    f'Require expr "{text}"\n'})


# -- the self-link has no URL

def twice(server):
    put(server.jail, self_link(server.jail))


@pytest.mark.parametrize("config", [
    'DocumentRoot "${JAIL}"\n', SITE + 'Alias "/a" "${JAIL}"\n',
    SITE + 'Alias "/a" "${JAIL}${JAIL}"\n',
    SITE + 'AliasMatch "^/a(/.*)" "${JAIL}${JAIL}$1"\n',
    SITE + 'AliasMatch "^/a(/.*)" "${JAIL}$1"\n',
    SITE + "UserDir ${JAIL}${ROOT}\n",
    SITE + vhost('DocumentRoot "${JAIL}${JAIL}/html"'),
    SITE + ON + "RewriteRule ^/a(/.*) ${JAIL}${JAIL}$1\n",
    SITE + ON + "RewriteRule ^/a(/.*) ${JAIL}$1\n",
    'DocumentRoot "${JAIL}"\n' + ON + "RewriteRule ^/a(/.*) $1 "
    "[UnsafePrefixStat]\n"])
@pytest.mark.parametrize("made", [False, True])
def test_the_self_link_has_no_url(httpd, config, made):
    server = httpd(JAILED + config + PRIVATE + directory("${JAIL}/private")
                   + directory("${JAIL}/html/html/private"),
                   modules=MODULES, files={
                       name: what for name, what in FILES.items()
                       if "$" not in name})
    server.allow_log("chroot:warn|client|AH00112")
    if made:
        twice(server)
    server.start()
    jail = str(server.jail)
    for before in ("", "/a", "/~jail"):
        for path in ("", jail, 2 * jail, "/." + jail, "/" + jail,
                     jail.replace("j", "%6a"), "/.mod_chroot", "/html/.."):
            for file in ("/private/x.txt", "/html/private/x.txt"):
                got = server.get(before + path + file).status
                assert got in (403, 404), (before, path, file)
            if path.startswith((jail, "/.mod")) and before != "/a":
                for file in ("/html/f.txt", "/top.txt", "/", ""):
                    got = server.get(before + path + file)
                    assert got.status == 404, (before, path, file)


# -- others that compare paths

LUA = """\
function check(r)
    if r.filename:find("${JAIL}/html/private", 1, true) then
        return 403
    end
    return apache2.DECLINED
end
"""


@pytest.mark.parametrize("hook", ["LuaHookAccessChecker", "LuaHookFixups"])
def test_a_lua_hook_sees_outer_names(decides, hook):
    decides(SITE + f"{hook} ${{JAIL}}/lua/check.lua check\n",
            {"/private/x.txt": 403, "/open/x.txt": 200}, modules=["lua"],
            files={"lua/check.lua": LUA})


def test_a_rule_of_modsecurity_sees_outer_names(decides):
    decides(SITE + "SecRuleEngine On\nSecRule SCRIPT_FILENAME "
            '"@beginsWith ${JAIL}/html/private" "id:1,phase:2,deny"\n',
            {"/private/x.txt": 403, "/open/x.txt": 200},
            modules=["unique_id", "security2"])


@pytest.mark.parametrize("lines", [
    "RewriteEngine On\nRewriteCond %{SCRIPT_USER} =root\nRewriteRule .* - [F]",
    "RewriteEngine On\nRewriteCond %{SCRIPT_GROUP} =root\n"
    "RewriteRule .* - [F]",
    "RewriteEngine On\nRewriteCond %{script_user} =root\nRewriteRule .* - [F]",
    '<If "%{SCRIPT_USER} == \'root\'">\nRequire all denied\n</If>',
    '<If "%{script_group} == \'root\'">\nRequire all denied\n</If>'])
@pytest.mark.parametrize("named", [False, True])
def test_names_of_owners_are_known_or_refused(decides, lines, named):
    files = {"etc/passwd": "root:x:0:0::/:\n", "etc/group": "root:x:0:\n"}
    decides(SITE + directory("${JAIL}/html", lines), {"/f.txt": 403},
            files=files if named else {}, refusal_ok=True)
