"""Random configurations, jailed against unjailed.

One seed makes one Case: mappings, sections around, above, below and beside the
jail, expressions, rules with conditions and maps, .htaccess files with all of
them, requests. run() asks a server without mod_chroot and a jailed one, which
must not answer a request that was denied. Where nothing leads out of the jail
every answer has to be the same, the list of the sections that applied (X-Sec)
included.

    python3 tests/sectionfuzz.py MOD_CHROOT.so FIRST-SEED COUNT [--mode On]
"""
import argparse
import contextlib
import http.client
import os
import random
import re
import shutil
import sys
import tempfile
import time
from dataclasses import dataclass, field, replace
from pathlib import Path

from harness import Link, Server, put, self_link

MODES = {"On": "ChrootDir ${JAIL}\nChrootFixRoot On\n",
         "Mount": "ChrootDir ${JAIL}\nChrootFixRoot Mount\n"}
MODULES = ("headers", "rewrite", "userdir", "vhost_alias", "authn_core",
           "autoindex", "setenvif", "authz_host", "auth_basic", "authn_file",
           "authz_user")
VARIABLES = ("REQUEST_FILENAME", "REQUEST_FILENAME", "SCRIPT_FILENAME",
             "DOCUMENT_ROOT", "CONTEXT_DOCUMENT_ROOT")
TREE = ("www/index.html", "www/f.txt", "www/a/f.txt", "www/a/b/f.txt",
        "www/priv/f.txt", "www/priv/index.html", "data/f.txt", "data/a/f.txt",
        "data/priv/b/f.txt", "usr/share/f.txt", "lib/f.txt", "priv/f.txt")
AROUND = ("out/f.txt", "out/a/f.txt", "jail2/f.txt", "jail2/www/f.txt",
          "jail2/priv/f.txt")
DIRS = ("", "/www", "/www/a", "/www/a/b", "/www/priv", "/data", "/data/a",
        "/data/priv", "/data/priv/b", "/usr", "/usr/share", "/lib", "/priv",
        "/none")
SERVED = ("/www", "/www", "/www/priv", "/www/a", "/www/a/b", "/data",
          "/data/a", "/priv")
URLS = ("", "/", "/f.txt", "/a", "/a/", "/a/f.txt", "/a/b/f.txt", "/priv",
        "/priv/", "/priv/f.txt", "/www/f.txt", "/www/priv/f.txt",
        "/www/a/b/f.txt", "/data/f.txt", "/data/priv/b/f.txt", "/data",
        "/usr/share/f.txt", "/share/f.txt", "/lib/f.txt", "/none",
        "/b/f.txt", "/f.txt/info", "/jail/www/priv/f.txt", "/jail/f.txt",
        "/jail/www/f.txt", "/link/www/priv/f.txt", "/out/f.txt",
        "/jail2/f.txt")


@dataclass
class Case:
    seed: int
    jail: str
    units: list = field(default_factory=list)     # pieces of configuration
    files: dict = field(default_factory=dict)     # below the jail; "../x"
    requests: list = field(default_factory=list)  # (host, path)
    closed: bool = True                           # nothing leads outside

    def config(self):
        return "\n".join(self.units)


class Generator:
    """Writes a Case for a server whose root and jail are these."""

    def __init__(self, seed, root, jail):
        self.rng = random.Random(seed)
        self.root, self.jail = str(root), str(jail)
        self.link = f"{root}/link"
        self.case = Case(seed, self.jail)
        self.section = self.variables = 0
        self.with_link = self.chance(0.15)
        self.aim = self.pick(*SERVED)       # most of what decides is about it
        self.prefixes = [""]
        self.hosts = ["localhost"]

    def chance(self, probability):
        return self.rng.random() < probability

    def pick(self, *choices):
        return self.rng.choice(choices)

    # -- paths

    def base(self):
        """A directory: in, at, above or beside the jail."""
        parts = self.jail.split("/")[1:]
        kind = self.rng.random()
        if kind < 0.5:
            path = self.jail + self.pick(*DIRS)
        elif kind < 0.72:
            path = "/" + "/".join(parts[:self.rng.randrange(len(parts) + 1)])
        elif kind < 0.8 and self.with_link:
            path = self.link + self.pick(*DIRS)
        elif kind < 0.9:
            path = self.pick(
                self.jail + "2", self.jail + "2/priv", self.root + "/out",
                self.root + "/out/a", self.jail[:-1], self.jail + "x/priv",
                self.jail + self.jail, self.jail + self.jail + "/priv")
        else:
            path = self.pick(*DIRS[1:])
        return path

    def odd(self, path):
        """The same path, spelled differently."""
        parts = path.split("/")[1:]
        for _ in range(self.pick(0, 0, 1, 1, 2)):
            at = self.rng.randrange(len(parts) + 1)
            parts[at:at] = self.pick([""], ["."], ["x", ".."],
                                     ["x", "y", "..", ".."])
        return "/" + "/".join(parts) + self.pick("", "", "", "/", "//", "/.")

    def wild(self, path):
        """A pattern that matches the path, or nearly does."""
        parts = path.split("/")[1:]
        for at, part in enumerate(parts):
            if part and self.chance(0.4):
                start = self.rng.randrange(len(part))
                one = part[start]
                parts[at] = self.pick(
                    "*", part[0] + "*", "*" + part[-1], "?" * len(part),
                    f"[{part[0]}]{part[1:]}", f"[!{part[0]}]*",
                    part[:start] + "?" + part[start + 1:],
                    part[:start] + "\\" + part[start:],
                    f"{part[:start]}[{one}-{one}]{part[start + 1:]}",
                    part + "*", "**", f"[^{one}]?*", f"[a/{part[0]}]*")
        return "/" + self.pick("/", "/", "/", "/", "\\/").join(parts)

    def regex(self, path):
        escape = self.pick(re.escape, re.escape, lambda text: text)
        tail = path[len(self.jail):] if path.startswith(self.jail) else path
        start = self.rng.randrange(max(1, len(path) - 3))
        return self.pick(
            "^" + escape(path), "^" + escape(path) + "/",
            "^" + escape(path) + "$", "^" + escape(path) + "(/|$)",
            escape(tail) or "/priv", escape(tail) + "/", escape(tail) + "$",
            escape(path[start:]), escape(path[start:]) + "/",
            "^.*" + (escape(tail) or "/a"), ".*" + escape(path[start:]),
            f"^{escape(self.jail)}/.*/(a|priv)", "/(a|priv)(/|$)",
            f"^{escape(self.jail)}/[^/]+/(?:a|b)", "/[^/]*iv/", "priv|data",
            f"^{escape(self.jail)}/a|/priv", f"^{escape(self.jail)}?",
            f"(^{escape(self.jail)}|priv)", f"(?i){escape(path)}",
            f"^{escape(path)}(?!/f)", f"^(?!{escape(path)})", "(?<=/)priv",
            "^/[^/]+/[^/]+/", f"/{self.pick('w', 'd', 'j', 'l', 'v')}",
            f"^{escape(self.jail)}/+www", f"^{escape(self.jail)}/(www)/\\w+$",
            "/www/../", "(www|data)/(a|priv)", "^/var/.*/priv",
            "(?<x>/www)/a", "\\b(www|priv)\\b", "/(?=priv)", "w{3}/a",
            "^" + escape(path) + "/?", "^" + escape(path) + "/*",
            "^" + escape(path) + "/.*[.]txt$", escape(tail) + "/f\\.txt")

    def quoted(self, word):
        if self.chance(0.3) and not re.search(r"[\s>\\\"]", word):
            return word
        return '"' + word.replace('"', '\\"') + '"'

    # -- expressions, conditions and rules

    def variable(self, names=VARIABLES):
        name = self.pick(*names)
        if self.chance(0.5):
            name = "".join(self.pick(c.lower(), c) for c in name)
        return f"%{{{name}}}"

    def inner(self):
        """A directory in the jail, mostly one that has pages."""
        if self.chance(0.5):
            return self.jail + self.aim
        return self.jail + self.pick(*SERVED, *DIRS[1:])

    def split(self):
        """The same in two parts."""
        return self.inner().rsplit("/", 1)

    def file(self):
        """What a test may be about: a name on both sides, or what is asked
        for."""
        return self.pick(
            self.jail + "/www/f.txt", self.jail + "/www/priv/f.txt",
            self.jail + "/none", self.inner(), self.inner() + "/f.txt",
            self.variable(["REQUEST_FILENAME"]))

    def expression(self, depth=2):
        path = self.inner() if self.chance(0.7) else self.base()
        kind = self.rng.random()
        if depth and kind < 0.2:
            one, two = self.expression(depth - 1), self.expression(depth - 1)
            return self.pick(f"({one}) && ({two})", f"({one}) || ({two})",
                             f"! ({one})", f"!({one} && {two})")
        if kind < 0.5:
            pattern = self.regex(path).replace('"', "")
            return f"{self.variable()} {self.pick('=~', '!~')} m#{pattern}#"
        if kind < 0.6:
            wild = self.wild(path).replace("'", "").replace("\\", "")
            return f"{self.variable()} -strmatch '{wild}'"
        if kind < 0.7:
            return f"{self.variable()} == '{path}{self.pick('', '/f.txt')}'"
        if kind < 0.75:
            return (f"{self.variable()} in {{ '{path}', '{path}/f.txt', "
                    f"'{self.inner()}/f.txt' }}")
        if kind < 0.82:
            above, name = self.split()
            return (f"{self.variable()} =~ m#^(.*)/{name}(/|$)# && "
                    f"'$1' {self.pick('==', '!=')} '{above}'")
        if kind < 0.9:
            return (f"{self.pick('', '! ')}{self.pick('-f', '-d', '-e', '-s')} "
                    f"'{self.file()}'")
        return f"%{{ENV:P}} =~ m#{self.regex(path)}#"

    def condition(self, in_section):
        path = self.inner() if self.chance(0.7) else self.base()
        name = self.variable()
        if not in_section:
            name = self.pick("%{LA-U:" + name[2:], "%{DOCUMENT_ROOT}",
                             "%{DOCUMENT_ROOT}%{REQUEST_URI}",
                             "%{CONTEXT_DOCUMENT_ROOT}")
        kind = self.rng.random()
        if kind < 0.4:
            return (f'RewriteCond "{name}" "{self.pick("", "", "!")}'
                    f'{self.regex(path)}"{self.pick("", " [NC]", " [OR]")}')
        if kind < 0.5:
            return (f'RewriteCond "{name}" "{self.pick("=", "<", ">", "!=")}'
                    f'{path}{self.pick("", "/f.txt")}"')
        if kind < 0.6:
            return (f'RewriteCond "{self.file()}" "{self.pick("", "!")}'
                    f'{self.pick("-f", "-d", "-s")}"')
        if kind < 0.7:
            above, last = self.split()
            return (f'RewriteCond "{name}" "^(.*)/{last}(/|$)"\n'
                    f'RewriteCond "%1" "{self.pick("=", "^", "!=")}{above}"')
        if kind < 0.8:
            return f'RewriteCond "%{{ENV:P}}" "{self.regex(path)}"'
        if kind < 0.9:
            return (f'RewriteCond "${{m:{name}|no}}" '
                    f'"{self.pick("=yes", "!=yes", "=no")}"')
        text = self.expression().replace('"', "")
        return f'RewriteCond {self.pick("expr", chr(34) + "expr" + chr(34))} ' \
               f'"{text}"'

    def rules(self, in_section=True):
        """Rules that deny, keep a path or lead elsewhere."""
        lines = ["RewriteEngine On"]
        name = "%{LA-U:REQUEST_FILENAME}" if not in_section else \
            self.variable()
        if self.chance(0.3):
            lines.append(f'RewriteRule ".*" "-" [E=P:{name}]')
        for _ in range(self.pick(1, 2, 2)):
            lines += [self.condition(in_section)
                      for _ in range(self.pick(0, 1, 1, 2))]
            pattern = self.pick(
                ".*", "^", "f", "priv", self.regex(self.inner()),
                "^/?(.*/)?priv/(.*)$")
            lines.append(f'RewriteRule "{pattern}" ' + self.pick(
                "- [F]", "- [F]", "- [F]", "- [E=P:%{DOCUMENT_ROOT}]",
                f'"{self.jail}/www/f.txt"', f'"{self.jail}/data/$1"',
                '"/www/f.txt"', '"/f.txt"', '"%{DOCUMENT_ROOT}/f.txt"',
                '"a/f.txt"' if in_section else '"/a/f.txt"'))
        return "\n".join(lines)

    def denial(self):
        """Something that denies by an expression."""
        self.section += 1
        text = self.expression().replace('"', "")
        header = f"Header always append X-Sec {self.section}"
        kind = self.rng.random()
        if kind < 0.4:
            name = self.pick("<If", "<If", "<if")
            return (f'{name} "{text}">\n{header}\nRequire all '
                    f'{self.pick("denied", "denied", "granted")}\n</If>')
        if kind < 0.5:
            return (f'<If "{text}">\n{header}\n</If>\n<ElseIf "'
                    + self.expression().replace('"', "")
                    + f'">\nRequire all denied\n</ElseIf>\n<Else>\n{header}'
                    "\n</Else>")
        if kind < 0.75:
            word = self.pick("expr", "expr", '"expr"')
            return (f"<RequireAll>\nRequire all granted\n<RequireNone>\n"
                    f'Require {word} "{text}"\n</RequireNone>\n'
                    "</RequireAll>")
        self.variables += 1
        how = f'SetEnvIfExpr "{text}" bad{self.variables}'
        if self.chance(0.4):
            how = (f'SetEnvIfExpr "{self.variable()} =~ m#^(.*)/'
                   f'{self.pick("f", "priv", "a")}#" P=$1\n'
                   f'SetEnvIf P "{self.regex(self.inner())}" '
                   f"bad{self.variables}")
        return (f"{how}\n<RequireAll>\nRequire all granted\n"
                f"Require not env bad{self.variables}\n</RequireAll>")

    # -- pieces of configuration

    def body(self, in_section=True):
        self.section += 1
        lines = [f"Header always append X-Sec {self.section}"]
        if self.chance(0.7):
            lines.append(self.pick("Require all denied", "Require all denied",
                                   "Require all granted"))
        if self.chance(0.15):
            lines.append("AuthMerging " + self.pick("And", "Or", "Off"))
        if self.chance(0.25):
            lines.append("Options " + self.pick(
                "None", "FollowSymLinks", "-FollowSymLinks", "+Indexes",
                "SymLinksIfOwnerMatch", "All", "Indexes FollowSymLinks"))
        if in_section and self.chance(0.25):
            lines.append("AllowOverride " + self.pick(
                "All", "None", "FileInfo", "AuthConfig", "Options"))
        if self.chance(0.1):
            lines.append(self.pick("DirectoryIndex f.txt",
                                   "DirectoryIndex disabled",
                                   "ErrorDocument 403 no"))
        if in_section and self.chance(0.12):
            name = self.pick("f.txt", "*.txt", "index.html")
            lines.append(f"<Files {name}>\nRequire all "
                         f"{self.pick('denied', 'granted')}\n</Files>")
        if self.chance(0.45):
            lines.append(self.denial())
        if self.chance(0.35):
            lines.append("Options +FollowSymLinks\n" + self.rules())
        if self.chance(0.05):
            lines.append("AuthType Basic\nAuthName x\nAuthUserFile "
                         f"{self.jail}/users\nRequire valid-user")
        return "\n".join(lines)

    def one_section(self):
        path = self.base()
        kind = self.rng.random()
        if self.chance(0.15):
            return self.other_section()
        if kind < 0.55:
            name, word = "Directory", self.odd(path)
        elif kind < 0.8:
            name, word = "Directory", self.odd(self.wild(path))
        elif kind < 0.9:
            return (f'<Directory ~ "{self.regex(path)}">\n{self.body()}\n'
                    "</Directory>")
        else:
            return (f'<DirectoryMatch "{self.regex(path)}">\n{self.body()}\n'
                    "</DirectoryMatch>")
        return f"<{name} {self.quoted(word)}>\n{self.body()}\n</{name}>"

    def other_section(self):
        """One about URLs or files, of which some have names of inner paths."""
        name, word = self.pick(
            ("Location", "/"), ("Location", "/www"), ("Location", "/priv"),
            ("Location", "/m"), ("LocationMatch", "^/(?<p>[a-z]+)/priv"),
            ("Files", "f.txt"), ("Files", "jail"), ("FilesMatch", "^f"),
            ("DirectoryMatch", "^(?<P>/.*)/(priv|a)"))
        body = self.pick(self.denial, self.rules)()
        if self.chance(0.3):
            body += ('\n<If "%{env:MATCH_P} =~ m#'
                     f'{self.regex(self.inner())}#">\nRequire all denied\n'
                     "</If>")
        if name == "Files" and word == "jail":
            body = "Require all denied"
        return f'<{name} "{word}">\n{body}\n</{name}>'

    def target(self):
        """Where a mapping leads."""
        kind = self.rng.random()
        if kind < 0.8:
            return self.jail + self.pick("", "/www", "/data", "/www/a",
                                         "/usr/share", "/none")
        if kind < 0.92:
            return self.odd(self.jail + self.pick("/www", "/data"))
        self.case.closed = False
        return self.pick(self.root, self.root + "/out", self.jail + "2",
                         "/usr/share", "/data", "/", self.jail + self.jail)

    def document_root(self, others=()):
        target = self.jail + self.pick("/www", "/www", "/data", "", *others)
        if self.chance(0.05):
            self.case.closed = False
            target = self.pick(self.root, self.root + "/out", self.root)
        return f'DocumentRoot "{self.odd(target)}"'

    def mapping(self):
        prefix = self.pick("/m", "/n", "/p", "/m/a", "/priv", "/a")
        kind = self.rng.random()
        target = self.target()
        if kind < 0.6:
            self.prefixes.append(prefix)
            return f'Alias "{prefix}" "{target}"'
        if kind < 0.75:
            self.prefixes.append(prefix)
            return f'AliasMatch "^{prefix}/(.*)$" "{target}/$1"'
        if kind < 0.8:
            self.prefixes.append(prefix)
            return (f'<Location "{prefix}/f.txt">\nAlias "{target}/f.txt"\n'
                    "</Location>")
        if kind < 0.92:
            self.prefixes.append(prefix)
            return self.rewriting(prefix, os.path.normpath(target))
        self.prefixes += ["/~www", "/~priv"]
        return f'UserDir "{target}/*"' if self.chance(0.5) else (
            f'UserDir "{target}"')

    def rewriting(self, prefix, target):
        lines = ["RewriteEngine On", f'RewriteMap m "txt:{self.jail}/map"']
        if self.chance(0.5):
            target = self.pick("", "/www", "/data", "/priv", "/usr", target,
                               "%{DOCUMENT_ROOT}", "%{document_root}/..",
                               self.jail, "%{ENV:T}", "${m:dir}")
            if target in ("", "/usr", "%{document_root}/.."):
                self.case.closed = False
            lines.append("RewriteRule .* - [E=T:" + self.pick(
                f"{self.jail}/www]", "/www]"))
        lines.append(f'RewriteRule "^{prefix}/(.*)$" "{target}/$1"' + self.pick(
            "", " [UnsafePrefixStat]", " [UnsafePrefixStat]"))
        if self.chance(0.4):        # a rule behind it sees where it led
            lines.append(f'RewriteRule "{self.regex(self.inner())}" ' +
                         self.pick("- [F]", "- [F]", f'"{self.inner()}/f.txt"'))
        if self.chance(0.3):
            lines.append(self.rules(False))
        return "\n".join(lines)

    def virtual_host(self, number):
        host = f"v{number}"
        self.hosts.append(host)
        lines = [f"ServerName {host}"]
        if self.chance(0.8):
            lines.append(self.document_root(["/none"]))
        elif self.chance(0.5):
            self.hosts += ["www", "data"]
            lines += ["ServerAlias www data", "UseCanonicalName Off",
                      f'VirtualDocumentRoot "{self.jail}/%0"']
        lines += [self.mapping() for _ in range(self.pick(0, 0, 1, 2))]
        lines += [self.one_section() for _ in range(self.pick(0, 1, 2))]
        if self.chance(0.1):
            lines.append(f"AccessFileName .acl")
        inner = "\n".join(lines)
        return f"<VirtualHost *>\n{inner}\n</VirtualHost>"

    def denial_of_the_server(self):
        text = self.expression().replace('"', "")
        return f'<If "{text}">\nRequire all denied\n</If>'

    def request_path(self):
        if self.chance(0.4):
            return "/q" + self.pick("", "/", "/f.txt", "/f.txt", "/a/f.txt")
        path = self.pick(*self.prefixes) + self.pick(*URLS) or "/"
        if self.chance(0.15):
            at = path.find("/", self.rng.randrange(len(path)))
            if at != -1:
                path = path[:at] + self.pick(
                    "//", "/./", "/x/../", "/%2e/", "/a/%2e%2e/") + path[
                        at + 1:]
        if self.chance(0.05):
            path = self.pick(*self.prefixes) + self.jail + self.pick(*URLS)
        return path

    def make(self, requests=14):
        case = self.case
        case.files.update({name: f"in {name}\n" for name in TREE})
        case.files.update({f"../{name}": f"out {name}\n" for name in AROUND})
        if self.with_link:
            case.files["../link"] = Link("jail")
        if self.chance(0.3):
            case.files["www/rel"] = Link("../data")
            self.prefixes.append("/rel")
        if self.chance(0.2):
            case.files.update(self_link(self.jail))
        for name in self.rng.sample(
                [".", "www", "www/a", "www/priv", "data", "..", "data/a"],
                self.pick(0, 1, 1, 2)):
            kind = self.pick(".htaccess", ".htaccess", ".acl")
            case.files[f"{name}/{kind}"] = self.body(False) + "\n"
            if name == "..":        # what it says, nobody in the jail can read
                case.closed = False
        case.files["map"] = "".join(
            f"{self.jail}{name}{end} yes\n" for name in DIRS
            for end in ("", "/f.txt")) + f"dir {self.jail}/www\n"
        case.files["users"] = "bob:{SHA}x\n"
        case.units.append(self.document_root())
        if self.chance(0.6):
            case.units.append(f'<Directory "{self.jail}">\nAllowOverride All\n'
                              "</Directory>")
        if self.chance(0.2):
            case.units.append(f'RewriteMap m "txt:{self.jail}/map"\n'
                              + self.rules(False))
        if self.chance(0.1):
            case.units.append(self.denial_of_the_server())
        case.units.append(f'Alias "/q" "{self.jail}{self.aim}"')
        case.units += [self.mapping() for _ in range(self.pick(0, 1, 1, 2))]
        case.units += [self.one_section()
                       for _ in range(self.pick(1, 2, 2, 3, 4))]
        for number in range(self.pick(0, 0, 0, 1, 2)):
            if number == 0:
                case.units.append("<VirtualHost *>\nServerName localhost\n"
                                  "</VirtualHost>")
            case.units.append(self.virtual_host(number))
        case.requests = [(self.pick(*self.hosts), self.request_path())
                         for _ in range(requests)]
        if self.chance(0.35):
            case.units.insert(1, "<Directory />\nRequire all denied\n"
                              "</Directory>")
        return case


# ------------------------------------------------------------------ running

def get(conn, host, path):
    conn.request("GET", path, headers={"Host": host})
    return conn.getresponse()


def ask(port, requests):
    """The (status, location, X-Sec, body) of each request."""
    answers = []
    conn = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    with contextlib.closing(conn):
        for host, path in requests:
            try:
                response = get(conn, host, path)
            except http.client.RemoteDisconnected:
                response = get(conn, host, path)    # kept alive too long
            body = response.read()
            if response.status == 200:
                text = body.decode("latin-1")
            else:
                text = ""
            answers.append((
                response.status,
                (response.getheader("Location") or "").replace(
                    f":{port}", ""),
                response.getheader("X-Sec") or "", text))
    return answers


DENIED = (401, 403)


def judge(case, plain, jailed, mode="On"):
    """What is wrong -> [(how bad, text)], the worst first.  With Mount every
    answer has to be the same; with On what leads outside is an error, and
    which one depends on what the host has there."""
    found = []
    top = case.jail.split("/")[1]       # a listing shows what the link is in
    shown = f'<li><a href="{top}/"> {top}/</a></li>\n'
    for request, was, now in zip(case.requests, plain, jailed):
        if mode != "Mount":
            now = (*now[:3], now[3].replace(shown, ""))
        if was == now or (mode != "Mount" and now[0] == 404
                          and case.jail in request[1]):
            continue            # the jail's own path has no URL in it
        text = f"{request}\n    plain  {was}\n    jailed {now}"
        if was[0] in DENIED and now[0] < 400:
            found.append(("OPENED", text))
        elif now[0] == 200 and was[0] != 200:
            found.append(("APPEARED", text))
        elif case.closed or mode == "Mount":
            found.append(("DIFFERS", text))
        elif now[0] < 400 or was[0] < 400 and now[0] not in (*DENIED, 404):
            found.append(("CHANGED", text))     # an error is as good as another
    order = ["OPENED", "APPEARED", "DIFFERS", "CHANGED"]
    return sorted(found, key=lambda one: order.index(one[0]))


class Runner:
    """Runs cases in directories of their own below base."""

    def __init__(self, base, so, mode="On"):
        self.base, self.so, self.count = Path(base), so, 0
        self.mode, self.jail_directives = mode, MODES[mode]
        self.said = []
        self.refused = self.broken = self.judged = self.denied = 0

    def fresh(self):
        self.count += 1
        root = self.base / f"f{self.count:07}"
        root.mkdir(mode=0o755)
        return root

    def seed(self, seed):
        """Generates and runs -> (case, findings)."""
        root = self.fresh()
        try:
            case = Generator(seed, root, root / "jail").make()
            return case, self.run(case, root)
        finally:
            shutil.rmtree(root)

    def run(self, case, root):
        server = Server(root, config=case.config(), files=case.files,
                        modules=MODULES)
        plain = self.answers(server, case)
        if plain is None:
            self.broken += 1
            return []
        server.so = self.so
        server.config = self.jail_directives + case.config()
        jailed = self.answers(server, case)
        if jailed is None:
            self.refused += 1
            return []
        self.judged += 1
        self.denied += sum(answer[0] in DENIED for answer in plain)
        return judge(case, plain, jailed, self.mode)

    def answers(self, server, case):
        try:
            if not server.try_start():
                self.said.append(server.output() + server.log())
                return None
            return ask(server.port, case.requests)
        except (OSError, http.client.HTTPException) as error:
            raise AssertionError(f"{error!r}\n{case.requests}\n"
                                 f"{server.config}\n{server.log()[-3000:]}")
        finally:
            server.allow_log(".*")
            complaints = server.close()
            complaints += re.findall(".*exit signal.*", server.log())
            for log in (server.root / "logs").iterdir():
                log.unlink()
            assert not complaints, complaints

    def minimal(self, seed, kind):
        """The smallest part of the case that still shows this kind."""
        def parts(case):
            for at in range(1, len(case.units)):
                yield replace(case, units=case.units[:at]
                              + case.units[at + 1:])
            for at, unit in enumerate(case.units):
                lines = unit.split("\n")
                for line in range(1, len(lines) - 1):
                    rest = lines[:line] + lines[line + 1:]
                    yield replace(case, units=case.units[:at]
                                  + ["\n".join(rest)] + case.units[at + 1:])
            for name, what in case.files.items():
                if isinstance(what, Link) or name.split("/")[-1][0] == ".":
                    yield replace(case, files={
                        key: value for key, value in case.files.items()
                        if key != name})
            if len(case.requests) > 1:
                for request in case.requests:
                    yield replace(case, requests=[request])

        counts = self.refused, self.broken, self.judged, self.denied
        root = self.fresh()
        case = Generator(seed, root, root / "jail").make()
        before = str(root)
        shutil.rmtree(root)
        findings = self.again(case, before)
        shrunk, deadline = True, time.monotonic() + 60
        while shrunk and time.monotonic() < deadline:
            shrunk = False
            for smaller in parts(case):
                found = self.again(smaller, before)
                if found and found[0][0] == kind:
                    case, findings, shrunk = smaller, found, True
                    break
        self.refused, self.broken, self.judged, self.denied = counts
        return case, findings

    def again(self, case, path):
        """The case was made for a server at this path: run it there."""
        root = Path(path)
        root.mkdir(mode=0o755)
        try:
            return self.run(case, root)
        finally:
            shutil.rmtree(root)


def describe(case, findings):
    special = {name: what for name, what in case.files.items()
               if isinstance(what, Link) or name.split("/")[-1][0] == "."}
    return "\n".join([f"seed {case.seed}", case.config(), f"{special}"]
                     + [f"  {kind} {text}" for kind, text in findings[:3]])


def said(text):
    """What httpd said when it refused, without its own start."""
    return "\n".join(
        line for line in text.splitlines()
        if not re.search(r":(notice|info|warn)\]|AH00018", line))[-1000:]


def main(so, first, count, mode):
    import ctypes
    ctypes.CDLL(None).prctl(36, 1, 0, 0, 0)
    base = Path(tempfile.mkdtemp(prefix="chroot-test-", dir="/var/lib"))
    base.chmod(0o755)
    runner = Runner(base, so, mode)
    seen, refused = {}, 0
    began = time.monotonic()
    try:
        for seed in range(first, first + count):
            case, findings = runner.seed(seed)
            if runner.refused > refused:
                refused = runner.refused
                print(f"seed {seed}: refused\n{said(runner.said[-1])}",
                      flush=True)
            if not findings:
                continue
            kind = findings[0][0]
            seen[kind] = seen.get(kind, 0) + 1
            if seen[kind] > 12:
                print(f"seed {seed}: {kind}", flush=True)
                continue
            case, findings = runner.minimal(seed, kind)
            print("=" * 70, flush=True)
            print(describe(case, findings), flush=True)
    finally:
        shutil.rmtree(base)
        print(f"{count} seeds from {first}: {runner.judged} compared, "
              f"{runner.denied} answers denied, {runner.refused} refused, "
              f"{runner.broken} broken, opened {seen.get('OPENED', 0)}, "
              f"appeared {seen.get('APPEARED', 0)}, different "
              f"{seen.get('DIFFERS', 0) + seen.get('CHANGED', 0)}, "
              f"{time.monotonic() - began:.0f} s")


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("so")
    parser.add_argument("first", type=int)
    parser.add_argument("count", type=int)
    parser.add_argument("--mode", choices=MODES, default="On")
    main(**vars(parser.parse_args()))
