"""Modules that keep or look up data: caches, rewrite maps, Lua, databases."""
import base64
import hashlib
import os
import shutil
import signal
import sqlite3
from pathlib import Path

import pytest

from comparison import JAILED
from harness import (UID, Dir, File, Request, free_port, run, run_ok,
                     self_link, wait_for)
from stack_apps import (FAILS, WHOSE, answers, as_without_the_jail, cell,
                        in_jail, page, pages, paste, service)

# What the table of CAVEATS.md says: (On, stock ChrootDir, Mount)
MODULES = {
    "mod_cache_disk": 3 * ("works",),
    "mod_cache_socache": 3 * ("works",),
    "mod_rewrite, txt and dbm maps": ("works", "needs the self-link",
                                      "works"),
    "mod_rewrite, prg map": 3 * ("works",),
    "mod_lua": 3 * ("works",),
    "mod_dbd, sqlite3": ("works", "needs the self-link", "works"),
    "mod_dbd, PostgreSQL over TCP": 3 * ("works",),
    "mod_dbd, PostgreSQL's socket": ("needs TCP to connect again", FAILS,
                                     "needs the socket"),
}


def directory_of_user(server, inner):
    path = server.jail / inner
    path.mkdir(exist_ok=True)
    os.chown(path, UID, -1)
    return path


# --------------------------------------------------------------------- caches

CACHES = """\
DocumentRoot "${JAIL}/www"
CacheHeader On
CacheEnable disk "/disk"
CacheRoot "${JAIL}/cache"
CacheLock On
CacheLockPath "${JAIL}/cache/lock"
CacheEnable socache "/shared"
CacheSocache "shmcb:${ROOT}/run/cache(512000)"
"""
CACHE_MODULES = ["cache", "cache_disk", "cache_socache", "socache_shmcb"]


def ask_caches(server):
    """Twice each: it comes from the file, then from the cache."""
    shutil.rmtree(server.jail / "cache")
    directory_of_user(server, "cache")
    found = []
    for what in ("disk", "shared"):
        name = f"/{what}/{len(list(server.jail.glob(f'www/{what}/*')))}.txt"
        file = server.jail / f"www{name}"
        for text in ("first", "second"):
            server.put({f"www{name}": text})
            # a page younger than a second is not kept
            os.utime(file, (10 ** 9, 10 ** 9))
            answer = server.get(name)
            found.append((answer.status, answer.text,
                          answer.headers["x-cache"].split()[0]))
        file.unlink()
    return found


@pytest.mark.parametrize("quick", ["On", "Off"])
def test_caches_answer_as_without_the_jail(httpd, quick, variant):
    server = httpd(CACHES + f"CacheQuickHandler {quick}\n",
                   modules=CACHE_MODULES,
                   files={"www/disk": Dir, "www/shared": Dir, "cache": Dir})
    assert as_without_the_jail(server, ask_caches) == [
        (200, "first", "MISS"), (200, "first", "HIT")] * 2
    assert list(server.jail.glob("cache/**/*.data"))


# --------------------------------------------------------------- rewrite maps

MAPS = """\
DocumentRoot "${JAIL}/www"
RewriteEngine On
RewriteMap text "txt:${JAIL}/maps/map.txt"
RewriteMap random "rnd:${JAIL}/maps/map.txt"
RewriteMap dbm "dbm=sdbm:${JAIL}/maps/map.dbm"
RewriteMap program "prg:${ROOT}/conf/map.sh"
RewriteMap lower int:tolower
RewriteRule "^/t/(.*)$" "/${text:$1|none}.txt"
RewriteRule "^/r/(.*)$" "/${random:$1|none}.txt"
RewriteRule "^/d/(.*)$" "/${dbm:$1|none}.txt"
RewriteRule "^/p/(.*)$" "${JAIL}/www/${program:$1}.txt"
RewriteRule "^/l/(.*)$" "/${lower:$1}.txt"
"""
MAP_FILES = {
    "www/one.txt": "page one", "www/two.txt": "page two",
    "../conf/map.sh": File("#!/bin/sh\nwhile read -r word; do\n"
                           "echo \"${word#a-}\"; done\n", mode=0o755),
    "maps": Dir}


def write_map(server, target):
    server.put({"maps/map.txt": f"name {target}\n"})
    maps = server.jail / "maps"
    for old in maps.glob("map.dbm*"):
        old.unlink()
    run_ok(["httxt2dbm", "-f", "SDBM", "-i", maps / "map.txt",
            "-o", maps / "map.dbm"])
    for path in maps.glob("map.dbm*"):
        path.chmod(0o644)


def ask_maps(server):
    """Also after a map has changed."""
    found = []
    for target in ("one", "two"):
        write_map(server, target)
        found += [page(server, f"/{path}") for path in (
            "t/name", "r/name", "d/name", "t/other", "d/other", "p/a-one",
            "l/TWO")]
    return found


def test_rewrite_maps_answer_as_without_the_jail(httpd, mpm, variant):
    server = httpd(MAPS, modules=["rewrite"], files=MAP_FILES)
    write_map(server, "one")
    seen = as_without_the_jail(server, ask_maps)
    assert [text for status, text in seen if status == 200] == (
        ["page one"] * 4 + ["page two"] + ["page two"] * 3
        + ["page one", "page two"])


# ------------------------------------------------------------------------ Lua

LUA = """\
DocumentRoot "${JAIL}/www"
LuaRoot "${JAIL}/lua"
LuaPackagePath "${JAIL}/lua/lib/?.lua"
LuaHookTranslateName "${JAIL}/lua/hooks.lua" translate early
LuaHookAccessChecker "${JAIL}/lua/hooks.lua" access
LuaHookFixups hooks.lua fixups
LuaMapHandler "^/mapped/(\\w+)$" "${JAIL}/lua/handler.lua" handle_$1
LuaOutputFilter loud "${JAIL}/lua/filter.lua" loud
AddHandler lua-script .lua
<Location "/loud.txt">
    SetOutputFilter loud
</Location>
"""
LUA_FILES = {
    "lua/lib/words.lua": 'return { hello = "hello from a library" }\n',
    "lua/hooks.lua": """\
require "apache2"
function translate(r)
    if r.uri == "/translated" then
        r.filename = r.document_root .. "/page.txt"
        return apache2.OK
    end
    return apache2.DECLINED
end
function access(r)
    if r.uri == "/forbidden.txt" then
        return 403
    end
    return apache2.DECLINED
end
function fixups(r)
    r.headers_out["X-Lua"] = r.filename
    return apache2.DECLINED
end
""",
    "lua/handler.lua": """\
require "apache2"
local words = require "words"
function handle_words(r)
    r.content_type = "text/plain"
    r:puts(words.hello, "\\n", r.document_root, "\\n")
    local file = io.open(r.document_root .. "/page.txt")
    r:puts(file:read("*a"))
    return apache2.OK
end
""",
    "lua/filter.lua": """\
function loud(r)
    coroutine.yield()
    while bucket ~= nil do
        coroutine.yield(string.upper(bucket))
    end
    coroutine.yield()
end
""",
    "www/page.txt": "page", "www/loud.txt": "quiet",
    "www/forbidden.txt": "forbidden",
    "www/script.lua": """\
function handle(r)
    r.content_type = "text/plain"
    r:puts(r.filename, " ", r.method, " ", r.args or "", " ",
           tostring(r:stat(r.filename) ~= nil), "\\n")
    return apache2.OK
end
"""}


def ask_lua(server):
    header = server.get("/page.txt").headers["x-lua"]
    return [header.replace(f"{server.jail}/", "/")] + pages(
        "/translated", "/forbidden.txt", "/mapped/words", "/loud.txt",
        "/script.lua?a=b", Request("/script.lua", "POST", body="x"),
        "/missing.lua")(server)


def test_lua_answers_as_without_the_jail(httpd, mpm, variant):
    server = httpd(LUA, modules=["lua"], files=LUA_FILES)
    server.allow_log("AH0147[45]|AH01482|missing.lua")
    seen = as_without_the_jail(server, ask_lua)
    assert seen[0] == "/www/page.txt"
    assert seen[3] == (200, "hello from a library\n/www\npage")
    assert seen[4] == (200, "QUIET")
    assert seen[5] == (200, "/www/script.lua GET a=b true\n")
    assert [status for status, _ in seen[1:]] == [200, 403, 200, 200, 200,
                                                  200, 404]


# ------------------------------------------------------------------ databases

DBD_MODULES = ["dbd", "authn_core", "authn_dbd", "auth_basic", "authz_user",
               "session", "session_dbd", "include", "asis"]
DBD = """\
DocumentRoot "${JAIL}/www"
<Directory "${JAIL}/www">
    Options +Includes
    AddOutputFilter INCLUDES .shtml
    AddHandler send-as-is .asis
</Directory>
"""
# A request may come before the connection of the last one is given back.
QUERIES = """\
DBDMin 2
DBDMax 2
DBDPrepareSQL "delete from session where key = %s" deletesession
DBDPrepareSQL "update session set value = %s, expiry = %lld, key = %s \\
    where key = %s" updatesession
DBDPrepareSQL "insert into session (value, expiry, key) \\
    values (%s, %lld, %s)" insertsession
DBDPrepareSQL "select value from session \\
    where key = %s and (expiry = 0 or expiry > %lld)" selectsession
DBDPrepareSQL "delete from session where expiry < %lld" cleansession
<Location "/private">
    AuthType Basic
    AuthName "private"
    AuthBasicProvider dbd
    AuthDBDUserPWQuery "select password from users where name = %s"
    Require valid-user
</Location>
<Location "/session">
    Session On
    SessionEnv On
    SessionHeader X-Replace-Session
    SessionDBDCookieName session path=/
</Location>
"""
DBD_FILES = {"www/private/page.txt": "private",
             "www/session/set.asis": "Content-Type: text/plain\n"
                                     "X-Replace-Session: who=me\n\nset\n",
             "www/session/get.shtml": '<!--#echo var="HTTP_SESSION" -->'}
TABLES = ["create table users (name text, password text)",
          "create table session (key text, value text, expiry bigint)",
          "insert into users values ('ann', '{SHA}%s')" % base64.b64encode(
              hashlib.sha1(b"secret").digest()).decode()]
ANN = Request("/private/page.txt", auth=("ann", "secret"))


def ask_database(server):
    found = [page(server, request) for request in (
        ANN, "/private/page.txt",
        Request(ANN.path, auth=("ann", "wrong")),
        Request(ANN.path, auth=("bob", "secret")), ANN, ANN, ANN)]
    given = server.get("/session/set.asis").headers.get("set-cookie", "")
    return found + [page(server, Request(
        "/session/get.shtml", headers={"Cookie": given.split(";")[0]}))]


def assert_is_database(seen):
    """As without the jail is not enough: both may be wrong."""
    assert [status for status, _ in seen] == [200, 401, 401, 401, 200, 200,
                                              200, 200]
    assert seen[-1][1] == "who=me"


def dbd_server(httpd, driver, parameters, more="", **options):
    server = httpd(DBD + f'DBDriver {driver}\nDBDParams "{parameters}"\n'
                   + QUERIES + more, modules=DBD_MODULES, files=DBD_FILES,
                   **options)
    server.allow_log("AH0161[78]|DBDParams")
    return server


# -------------------------------------------------------------------- sqlite3

SQLITE = "${JAIL}/db/site.db"


def make_sqlite(server):
    path = directory_of_user(server, "db") / "site.db"
    database = sqlite3.connect(path)
    for statement in TABLES:
        database.execute(statement)
    database.commit()
    database.close()
    os.chown(path, UID, -1)


@pytest.mark.parametrize("mpm", ["event", "prefork"])
def test_sqlite_answers_as_without_the_jail(httpd, mpm, variant):
    server = dbd_server(httpd, "sqlite3", SQLITE)
    # a child that starts while another writes a session asks again later
    server.allow_log("AH00632.*database is locked|AH0063[36]")
    make_sqlite(server)
    assert_is_database(as_without_the_jail(server, ask_database))


def test_sqlite_without_the_self_link_can_be_read_but_not_written(httpd):
    """The file was opened outside, its journal is looked for inside."""
    server = dbd_server(httpd, "sqlite3", SQLITE, mpm="prefork")
    make_sqlite(server)
    server.config = "ChrootDir ${JAIL}\n" + server.config.replace(
        'DocumentRoot "${JAIL}/www"', "Alias / /www/").replace(
            '<Directory "${JAIL}/www">', "<Directory /www>")
    server.expect_log("AH01859.*attempt to write a readonly database")
    server.allow_log("AH01822")
    server.start()
    for _ in range(3):
        assert page(server, ANN) == (200, "private")
    assert "set-cookie" not in server.get("/session/set.asis").headers


# ----------------------------------------------------------------- PostgreSQL

class Postgres:
    """A PostgreSQL server with a unix socket outside of every jail."""

    def __init__(self, directory):
        self.directory = directory
        self.programs = max(Path("/usr/lib/postgresql").glob("*/bin"))
        self.port = free_port()
        self.user = ["setpriv", "--reuid=postgres", "--regid=postgres",
                     "--clear-groups"]

    def running(self):
        data = self.directory / "data"
        shutil.chown(self.directory, "postgres")
        run_ok([*self.user, self.programs / "initdb", "-D", data, "-N",
                "-A", "trust", "-U", "postgres", "-E", "UTF8",
                "--locale=C"], cwd="/")
        return service(
            [*self.user, self.programs / "postgres", "-D", data, "-F",
             "-k", self.directory, "-h", "127.0.0.1", "-p", self.port,
             "-c", "shared_buffers=8MB", "-c", "max_connections=50"],
            lambda: run([self.programs / "pg_isready", "-q", "-h",
                         self.directory, "-p", self.port])[0] == 0,
            self.directory / "log", end=signal.SIGINT, cwd="/")

    def sql(self, text):
        return run_ok(["psql", "-XqAt", "-v", "ON_ERROR_STOP=1",
                       "-h", self.directory, "-p", self.port,
                       "-U", "postgres", "-c", text]).split()

    def parameters(self, hosts):
        return (f"host={hosts} port={self.port} user=postgres "
                "dbname=postgres application_name=httpd")

    def connections(self, what="coalesce(host(client_addr), 'unix')"):
        """How httpd is connected."""
        return self.sql(f"select {what} from pg_stat_activity "
                        "where application_name = 'httpd'")

    def end_connections(self):
        """What a restart of the database does."""
        wait_for(lambda: not self.connections("pg_terminate_backend(pid)"),
                 "connections to end, those of new children too")


@pytest.fixture(scope="module")
def postgres(workspace):
    directory = workspace / "postgres"
    directory.mkdir(mode=0o755)
    server = Postgres(directory)
    with server.running():
        for statement in TABLES:
            server.sql(statement)
        yield server


@pytest.mark.parametrize("mpm", ["event", "prefork"])
def test_postgresql_answers_as_without_the_jail_by_a_socket_outside(
        httpd, postgres, mpm):
    """Children connect before the jail closes.  The jail is empty."""
    server = dbd_server(httpd, "pgsql",
                        postgres.parameters(postgres.directory))
    assert_is_database(as_without_the_jail(server, ask_database))
    assert set(postgres.connections()) == {"unix"}


def test_postgresql_by_tcp_connects_anew_in_the_jail(httpd, postgres, variant):
    server = dbd_server(httpd, "pgsql", postgres.parameters("127.0.0.1"),
                        "DBDPersist Off\n")

    def ask(server):
        before = ask_database(server)
        postgres.end_connections()
        assert ask_database(server) == before
        return before

    assert_is_database(as_without_the_jail(server, ask))


def test_postgresql_by_a_socket_outside_connects_again_over_tcp(
        httpd, postgres):
    """libpq goes on to the next host.  What was prepared is lost by APR's
    driver, without the jail as well, until a graceful restart."""
    server = dbd_server(httpd, "pgsql", postgres.parameters(
        f"{postgres.directory},127.0.0.1"), mpm="prefork")
    server.config = JAILED + server.config
    server.start()
    assert server.request(ANN).status == 200
    assert set(postgres.connections()) == {"unix"}
    postgres.end_connections()

    def connected_again():
        assert server.request(ANN).status in (200, 401)
        return "127.0.0.1" in postgres.connections()

    wait_for(connected_again, "a connection over TCP")
    server.graceful()
    assert server.request(ANN).status == 200
    assert set(postgres.connections()) == {"unix"}


# ------------------------------------------------------------- what is needed

# {jail} is where inner paths begin; a map is looked for outside first
ALL = """\
<VirtualHost *:${PORT}>
    ServerName localhost
    DocumentRoot "{jail}/"
    CacheHeader On
    CacheEnable disk "/disk"
    CacheRoot "{jail}/cache"
    CacheEnable socache "/shared"
    CacheSocache "shmcb:${ROOT}/run/cache(512000)"
    RewriteEngine On
    RewriteMap text "txt:${JAIL}/maps/map.txt"
    RewriteMap dbm "dbm=sdbm:${JAIL}/maps/map.dbm"
    RewriteMap program "prg:${ROOT}/conf/map.sh"
    RewriteRule "^/t/(.*)$" "/${text:$1}.txt"
    RewriteRule "^/d/(.*)$" "/${dbm:$1}.txt"
    RewriteRule "^/p/(.*)$" "/${program:$1}.txt"
    LuaMapHandler "^/greet$" "{jail}/lua/hello.lua" hello
</VirtualHost>
<Directory "{jail}/session">
    AddHandler send-as-is .asis
</Directory>
"""
HOST = """\
<VirtualHost *:${{PORT}}>
    ServerName {name}
    DocumentRoot "{{jail}}/"
    DBDriver {driver}
    DBDParams "{parameters}"
    {queries}
</VirtualHost>
"""
HELLO = """\
require "apache2"
function hello(r)
    r:puts("hello")
    return apache2.OK
end
"""


def host(name, driver, parameters, more=""):
    return HOST.format(name=name, driver=driver, parameters=parameters,
                       queries=QUERIES + more)


def login(server, name):
    return answers(server, Request(ANN.path, host=name, auth=ANN.auth),
                   "private")


def found_in(server):
    """{row: does it work?}"""
    def hit(path):
        answers(server, path, "page")
        return server.get(path).headers.get("x-cache", "").startswith("HIT")

    session = Request("/session/set.asis", host="sqlite3")
    return {
        "mod_cache_disk": hit("/disk/page.txt"),
        "mod_cache_socache": hit("/shared/page.txt"),
        "mod_rewrite, txt and dbm maps":
            answers(server, "/t/name", "page one")
            and answers(server, "/d/name", "page one"),
        "mod_rewrite, prg map": answers(server, "/p/a-one", "page one"),
        "mod_lua": answers(server, "/greet", "hello"),
        "mod_dbd, sqlite3": login(server, "sqlite3")
            and "set-cookie" in server.request(session).headers,
        "mod_dbd, PostgreSQL over TCP": login(server, "tcp"),
        "mod_dbd, PostgreSQL's socket": login(server, "socket")}


@pytest.mark.parametrize("column", range(3), ids=WHOSE)
def test_what_data_needs_in_the_jail(httpd, postgres, column):
    server = httpd(
        modules=[*CACHE_MODULES, *DBD_MODULES, "rewrite", "lua"], files={
            **MAP_FILES, **DBD_FILES, "lua/hello.lua": HELLO,
            "one.txt": "page one", "disk/page.txt": "page",
            "shared/page.txt": "page", "private/page.txt": "private",
            "session/set.asis": DBD_FILES["www/session/set.asis"]})
    for path in server.jail.glob("*/page.txt"):
        os.utime(path, (10 ** 9, 10 ** 9))
    directory_of_user(server, "cache")
    make_sqlite(server)
    write_map(server, "one")
    in_jail(server, column, ALL + host("sqlite3", "sqlite3", SQLITE) + host(
        "tcp", "pgsql", postgres.parameters("127.0.0.1"), "DBDPersist Off\n")
        + host("socket", "pgsql", postgres.parameters(postgres.directory)))
    server.allow_log("DBDParams|RewriteMap|:error")
    server.start()

    def connects_again():
        server.serving()    # a late child would connect outside
        postgres.end_connections()
        for _ in range(3):
            login(server, "socket")
        return bool(postgres.connections())

    empty, again = found_in(server), connects_again()
    if WHOSE[column] == "stock":
        server.put(self_link(server.jail))
    elif WHOSE[column] == "Mount":
        paste(server)
    server.graceful()
    with_it = found_in(server)
    cells = {name: cell(empty[name], "the self-link", with_it[name])
             for name in empty}
    name = "mod_dbd, PostgreSQL's socket"
    if WHOSE[column] == "Mount":
        cells[name] = cell(again, "the socket", connects_again())
    elif not again:
        cells[name] = cell(False, "TCP to connect again", empty[name])
    assert cells == {name: row[column] for name, row in MODULES.items()}
