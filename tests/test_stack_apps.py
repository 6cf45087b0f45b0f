"""Applications that live in httpd, or beside it by a module of theirs:
mod_fcgid, mod_wsgi, mod_perl."""
import os
from dataclasses import replace

import pytest

import procfs
from comparison import JAILED
from harness import (PHP_CGI, PYTHON_LIBRARY, UID, Dir, File, Request, put,
                     run_ok, self_link, wait_for)
from stack_apps import (FAILS, WHOSE, answers, as_without_the_jail, cell,
                        end_hung_workers, in_jail, page, pages,
                        with_libraries)

OUTSIDE = "works, but outside the jail"
# What the table of CAVEATS.md says: (On, stock ChrootDir, Mount)
MODULES = {
    "mod_fcgid": (*2 * ("needs the directory of FcgidIPCDir",), "works"),
    "mod_wsgi, embedded": ("works", "needs Python's library", "works"),
    "mod_wsgi, daemon with chroot=": (
        FAILS, *2 * ("needs Python's library and the self-link",)),
    "mod_wsgi, daemon without chroot=": (
        FAILS, "needs Python's library and the self-link", OUTSIDE),
    "mod_perl": 3 * ("works",),
}

# ------------------------------------------------------------------ mod_fcgid

FCGID = """\
# with suexec programs run outside the jail
Suexec Off
DocumentRoot "${JAIL}/www"
FcgidIPCDir "${JAIL}/run"
FcgidProcessTableFile "${ROOT}/run/fcgid_shm"
FcgidMaxProcesses 4
ScriptAlias "/app" "${JAIL}/fcgi/app"
<Location "/app">
    SetHandler fcgid-script
</Location>
<Directory "${JAIL}/www">
    Options +ExecCGI
    AddHandler fcgid-script .php
    FcgidWrapper "${JAIL}%s" .php
</Directory>
""" % PHP_CGI
FCGI_C = r"""
#include <fcgi_stdio.h>
#include <stdlib.h>
#include <unistd.h>

int main(void)
{
    static const char *const names[] = { "SCRIPT_FILENAME", "DOCUMENT_ROOT",
        "SCRIPT_NAME", "PATH_INFO", "QUERY_STRING", "REQUEST_METHOD" };
    char cwd[4096];
    long body;
    size_t i;

    while (FCGI_Accept() >= 0) {
        printf("Content-Type: text/plain\r\n\r\n");
        for (i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
            const char *value = getenv(names[i]);
            printf("%s=%s\n", names[i], value != NULL ? value : "");
        }
        for (body = 0; getchar() != EOF; body++) {
        }
        printf("body=%ld\ncwd=%s\n", body, getcwd(cwd, sizeof(cwd)));
    }
    return 0;
}
"""



@pytest.fixture(scope="session")
def fcgi_program(builds):
    """A FastCGI program, static: it runs in an empty jail."""
    program = builds.directory / "fcgi-program"
    source = program.with_suffix(".c")
    source.write_text(FCGI_C)
    run_ok(["gcc", "-Wall", "-static", source, "-o", program, "-lfcgi"])
    return File(copy_of=program, mode=0o755)


def directory_of_user(server, inner):
    path = server.jail / str(inner).lstrip("/")
    path.mkdir(parents=True)
    os.chown(path, UID, -1)


def test_mod_fcgid_answers_as_without_the_jail(httpd, fcgi_program, variant):
    """The self-link makes the sockets and the wrapper valid."""
    server = httpd(FCGID, modules=["fcgid"], files={
        "fcgi/app": fcgi_program, "www/index.html": "home",
        "www/a.php": "<?php echo __FILE__, ' ', $_SERVER['SCRIPT_FILENAME'],"
                     " ' ', $_SERVER['DOCUMENT_ROOT'], ' ', getcwd();"})
    server.put({**with_libraries(PHP_CGI), **self_link(server.jail)})
    directory_of_user(server, "run")
    directory_of_user(server, "tmp")        # for large bodies
    server.allow_log("Fcgid(Wrapper|Process)|date.timezone|^<br />")
    seen = as_without_the_jail(server, pages(
        "/app/path?query", Request("/app", "POST", body="x" * 70000),
        "/a.php", "/missing.php", "/index.html"))
    assert seen[0][1].startswith("SCRIPT_FILENAME=/fcgi/app\n"
                                 "DOCUMENT_ROOT=/www\nSCRIPT_NAME=/app\n"
                                 "PATH_INFO=/path\nQUERY_STRING=query\n")
    assert seen[1][1].endswith("body=70000\ncwd=/fcgi\n")
    assert seen[2] == (200, "/www/a.php /www/a.php /www /www")
    assert [status for status, _ in seen] == [200, 200, 200, 404, 200]
    applications = [pid for daemon in server.daemons()
                    for pid in procfs.descendants(daemon)]
    assert len(applications) >= 2
    server.assert_jailed(pids=server.daemons() + applications)

    (server.jail / "tmp").rmdir()
    server.expect_log("can't get tmp dir")
    server.graceful()
    large = Request("/app", "POST", body="x" * 70000)
    assert server.request(large).status == 500


@pytest.mark.parametrize("column", range(3), ids=WHOSE)
def test_what_mod_fcgid_needs_in_the_jail(httpd, fcgi_program, column):
    """Its manager makes sockets inside, so that it is told the directory's
    name there."""
    server = httpd(modules=["fcgid"], files={"fcgi/app": fcgi_program})
    in_jail(server, column, '''\
Suexec Off
DocumentRoot "{jail}/"
FcgidIPCDir "${ROOT}/run/fcgid"
FcgidProcessTableFile "${ROOT}/run/fcgid_shm"
ScriptAlias "/app" "{jail}/fcgi/app"
<Location "/app">
    SetHandler fcgid-script
</Location>
''')
    server.allow_log("fcgid:(warn|error|emerg)|Fcgid(IPCDir|Process)")
    put(server.root, {"run/fcgid": Dir})    # Debian's package has it
    os.chown(server.root / "run/fcgid", UID, -1)
    server.start()
    empty = answers(server, "/app", "SCRIPT_NAME=/app", timeout=2)
    if not empty:
        end_hung_workers(server)
    directory_of_user(server, server.root / "run/fcgid")
    server.graceful()
    with_it = answers(server, "/app", "SCRIPT_NAME=/app")
    assert cell(empty, "the directory of FcgidIPCDir",
                with_it) == MODULES["mod_fcgid"][column]


# ------------------------------------------------------------------- mod_wsgi

BOTTLE = '''
import os
from bottle import Bottle, request, response, static_file, template

application = Bottle()


@application.get("/")
def index():
    return template("<p>{{name}}</p>", name=request.query.name)


@application.get("/env")
def env():
    response.content_type = "text/plain"
    names = ("SCRIPT_NAME", "PATH_INFO", "QUERY_STRING", "SCRIPT_FILENAME",
             "DOCUMENT_ROOT")
    return [f"{n}={request.environ.get(n)}\\n" for n in names] + [
        f"file={__file__}\\n"]


@application.post("/form")
def form():
    return {"text": request.forms.text, "length": len(request.forms.text)}


@application.post("/upload")
def upload():
    return {"name": request.files.f.filename,
            "length": len(request.files.f.file.read())}


@application.get("/static/<path:path>")
def static(path):
    return static_file(path, os.path.dirname(__file__) + "/static")


@application.get("/cookie")
def cookie():
    count = int(request.get_cookie("count", "0", secret="s")) + 1
    response.set_cookie("count", str(count), secret="s")
    return f"count {count}"


@application.get("/boom")
def boom():
    raise ValueError("boom")
'''
BOUNDARY = "sixteen-dashes"
UPLOADED = (f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="f"; '
            f'filename="a.txt"\r\n\r\n{"uploaded text " * 2000}\r\n'
            f"--{BOUNDARY}--\r\n")
UPLOAD = Request("/app/upload", "POST", body=UPLOADED, headers={
    "Content-Type": f"multipart/form-data; boundary={BOUNDARY}"})
LARGE_UPLOAD = replace(UPLOAD, body=UPLOADED.replace("text", "text" * 100))
WSGI = ("wsgi", "/usr/lib/apache2/modules/mod_wsgi.so")
WSGI_FILES = {"app/app.wsgi": BOTTLE, "app/static/a.txt": "static",
              "app/static/a.html": "<p>static"}
EMBEDDED = """\
DocumentRoot "${JAIL}/app"
WSGIScriptAlias "/app" "${JAIL}/app/app.wsgi"
WSGIApplicationGroup %{GLOBAL}
"""
PRELOAD = """\
WSGIImportScript "${JAIL}/app/app.wsgi" process-group=%{GLOBAL} \\
    application-group=%{GLOBAL}
"""
# the application's own traceback, and what Python says when it cannot start
WSGI_LOG = ("WSGI(Import|ScriptAlias|Daemon)|wsgi:error|^Could not find|"
            "^Current thread")


def ask_bottle(server):
    """What a web framework does."""
    answers = {path: page(server, f"/app/{path}") for path in (
        "?name=<x>", "env", "env/?q=1", "static/a.txt", "static/a.html",
        "static/../app.wsgi", "static/none", "none", "boom", "cookie")}
    answers["form"] = page(server, Request(
        "/app/form", "POST", body="text=caf%C3%A9" + "%20x" * 3000, headers={
            "Content-Type": "application/x-www-form-urlencoded"}))
    answers["upload"] = page(server, UPLOAD)
    given = server.get("/app/cookie").headers["set-cookie"].split(";")[0]
    answers["cookie again"] = page(server, Request(
        "/app/cookie", headers={"Cookie": given}))
    return answers


def assert_is_bottle(answers):
    """As without the jail is not enough: both may be wrong."""
    assert answers["?name=<x>"] == (200, "<p>&lt;x&gt;</p>")
    assert "SCRIPT_FILENAME=/app/app.wsgi\n" in answers["env"][1]
    assert answers["static/a.txt"] == (200, "static")
    assert answers["upload"] == (200, '{"name": "a.txt", "length": 28000}')
    assert answers["form"][0] == 200 and "caf" in answers["form"][1]
    assert answers["cookie again"] == (200, "count 2")
    assert [answers[name][0] for name in ("none", "boom")] == [404, 500]


@pytest.mark.parametrize("mpm", ["event", "prefork"])
def test_mod_wsgi_embedded_answers_as_without_the_jail(httpd, mpm):
    """Python's library is not in the jail: WSGIImportScript runs, and
    imports, before the jail closes."""
    server = httpd(EMBEDDED + PRELOAD, modules=[WSGI], files=WSGI_FILES)
    directory_of_user(server, "tmp")        # for uploads
    server.allow_log(WSGI_LOG)
    assert_is_bottle(as_without_the_jail(server, ask_bottle))

    (server.jail / "tmp").rmdir()
    assert server.request(LARGE_UPLOAD).status == 500


def test_mod_wsgi_needs_what_was_not_imported_before(httpd, variant):
    """Without WSGIImportScript, or when children are jailed early."""
    preload = PRELOAD if variant == "early" else ""
    server = httpd(JAILED + EMBEDDED + preload, modules=[WSGI],
                   files=WSGI_FILES)
    server.allow_log(WSGI_LOG)
    if variant == "early":
        server.answers = lambda: True       # children end at once
        server.start()
        server.expect_log("encodings")
        server.allow_log(".*")
        wait_for(lambda: "encodings" in server.log(), "Python to fail")
        server.stop()
        return
    server.expect_log("No module named 'bottle'")
    server.start()
    assert server.get("/app/").status == 500


PYTHON = (PYTHON_LIBRARY, "/usr/lib/python3")
DAEMON = """\
WSGISocketPrefix "${JAIL}/run/wsgi"
WSGIDaemonProcess app chroot=${JAIL} home=/ processes=1 threads=2
WSGIProcessGroup app
WSGIApplicationGroup %{GLOBAL}
WSGIScriptAlias "/app" "${JAIL}/app/app.wsgi"
"""


def wsgi_server(httpd, config, library=True, **options):
    server = httpd(config, modules=[WSGI], files=WSGI_FILES, **options)
    server.put({"run": Dir, **self_link(server.jail)})
    directory_of_user(server, "tmp")
    if library:
        server.put({path.lstrip("/"): Dir for path in PYTHON})
        server.binds = [(path, f"{server.jail}{path}") for path in PYTHON]
    server.allow_log(WSGI_LOG)
    server.allow_log("libgcc_s")    # of a daemon that is chrooted by itself
    return server


def test_mod_wsgi_daemon_in_its_own_chroot_with_outer_paths(httpd):
    """mod_wsgi takes its chroot= from the front of the script's path, and
    refuses one that does not begin with it: no ChrootFixRoot On."""
    server = wsgi_server(httpd, DAEMON)
    answers = as_without_the_jail(
        server, ask_bottle, jailed="ChrootDir ${JAIL}\n")
    assert_is_bottle(answers)
    daemon, = server.daemons()
    server.assert_jailed(pids=[daemon])

    server.stop()
    server.config = JAILED + DAEMON
    server.expect_log("not located within chroot directory")
    server.allow_log("wsgi:")
    server.start()
    assert server.get("/app/").status == 500
    server.assert_jailed(pids=server.daemons())


@pytest.mark.parametrize("column", range(3), ids=WHOSE)
def test_mod_wsgi_daemon_without_chroot_is_outside(httpd, column):
    """Nobody jails it; with ChrootFixRoot On it looks for the inner path."""
    stock = WHOSE[column] == "stock"
    server = wsgi_server(httpd, "", library=stock)
    in_jail(server, column, DAEMON.replace("chroot=${JAIL}", ""))
    server.allow_log("wsgi:")
    server.start()
    works = answers(server, "/app/env", "SCRIPT_NAME=/app")
    assert [procfs.root_path(pid) for pid in server.daemons()] == ["/"]
    found = cell(False, "Python's library and the self-link", works)
    assert (found if stock or not works else OUTSIDE) == MODULES[
        "mod_wsgi, daemon without chroot="][column]


def test_mod_fcgid_with_suexec_runs_programs_outside(httpd):
    """Its manager does not let go of root then, and nobody jails it."""
    server = httpd(JAILED + FCGID.replace("Suexec Off", "Suexec On"),
                   modules=["fcgid"], files={
                       PHP_CGI[1:]: "", "www/a.php": ""})
    server.put(self_link(server.jail))
    directory_of_user(server, "run")
    server.allow_log("[Ff]cgid|[Ss]uexec")
    server.start()
    manager, = server.daemons()
    wait_for(lambda: procfs.uids(manager)[1] == UID, "the manager to settle")
    assert procfs.root_path(manager) == "/"
    assert procfs.uids(manager)[2] == 0     # it can become root again


BOTH = """\
WSGIApplicationGroup %{GLOBAL}
WSGIScriptAlias "/embedded" "{jail}/app/app.wsgi"
WSGIImportScript "{jail}/app/app.wsgi" process-group=%{GLOBAL} \\
    application-group=%{GLOBAL}
WSGISocketPrefix "${JAIL}/run/wsgi"
WSGIDaemonProcess app chroot=${JAIL} home=/ processes=1 threads=2
WSGIScriptAlias "/daemon" "${JAIL}/app/app.wsgi" process-group=app
"""


def wsgi_answers(httpd, column, library):
    """Which of the two modes works?"""
    server = wsgi_server(httpd, "", library)
    in_jail(server, column, BOTH)
    if not library:
        # Python says so, each process in many writes that mix with the other's,
        # and crashes from 3.13 on; httpd's own lines begin with [
        server.allow_log("^[^[]|exit signal Seg")
    server.allow_log("wsgi")
    server.answers = lambda: True       # children may end at once
    server.start()
    # patience, where an answer may come
    found = [answers(server, f"/{mode}/?name=x", "<p>x</p>", timeout)
             for mode, timeout in (("embedded", 20 if library or not column
                                    else 2),
                                   ("daemon", 20 if library else 2))]
    if not all(found):
        end_hung_workers(server)
    return found


@pytest.mark.parametrize("column", range(3), ids=WHOSE)
def test_what_mod_wsgi_needs_in_the_jail(httpd, column):
    empty = wsgi_answers(httpd, column, library=False)
    with_it = wsgi_answers(httpd, column, library=True)
    needs = ["Python's library", "Python's library and the self-link"]
    names = ["mod_wsgi, embedded", "mod_wsgi, daemon with chroot="]
    assert [*map(cell, empty, needs, with_it)] == [
        MODULES[name][column] for name in names]


# ------------------------------------------------------------------- mod_perl

HANDLER = r"""package Test::Handler;
use strict;
use warnings;
use Apache2::RequestRec ();
use Apache2::RequestIO ();
use Apache2::RequestUtil ();
use Apache2::Const -compile => qw(OK HTTP_NOT_FOUND);
use APR::Table ();

sub handler {
    my $r = shift;
    return Apache2::Const::HTTP_NOT_FOUND if $r->path_info eq "/none";
    die "on purpose\n" if $r->path_info eq "/dies";
    $r->content_type("text/plain");
    $r->print(join("\n", $r->filename, $r->document_root, $r->args // "",
                   $r->headers_in->{"X-Own"} // "", ""));
    if ($r->path_info eq "/sends") {
        $r->sendfile($r->document_root . "/page.txt");
    }
    my $body = 0;
    while ($r->read(my $buffer, 8192)) {
        $body += length($buffer);
    }
    $r->print("body=$body\n");
    return Apache2::Const::OK;
}
1;
"""
REGISTRY = r"""use strict;
use CGI;
my $q = CGI->new;
print $q->header("text/plain"), "file=$0 ", __FILE__, "\n",
      "got=", scalar $q->param("x"), "\n";
open(my $page, "<", "$ENV{DOCUMENT_ROOT}/page.txt") or die $!;
print <$page>;
"""
PERL = """\
PerlSwitches -I${ROOT}/conf/perl
PerlModule Test::Handler
PerlModule ModPerl::Registry
PerlModule CGI
DocumentRoot "${JAIL}/www"
Alias "/scripts" "{jail}/scripts"
<Location "/handler">
    SetHandler perl-script
    PerlResponseHandler Test::Handler
</Location>
<Location "/scripts">
    SetHandler perl-script
    PerlResponseHandler ModPerl::Registry
    PerlOptions +ParseHeaders
    Options +ExecCGI
</Location>
"""
PERL_FILES = {"../conf/perl/Test/Handler.pm": HANDLER,
              "scripts/hello.pl": File(REGISTRY, mode=0o755),
              "www/page.txt": "page\n"}


def perl_server(httpd, **options):
    server = httpd(PERL.replace("{jail}", "${JAIL}"), modules=["perl"],
                   files=PERL_FILES, **options)
    server.allow_log("on purpose|AH01215|ModPerl::Registry: .*none")
    return server


@pytest.mark.parametrize("mpm", ["prefork", "event"])
def test_mod_perl_answers_as_without_the_jail(httpd, mpm, variant):
    """Handlers are loaded in the parent, from outside the jail."""
    server = perl_server(httpd, mpm=mpm)
    seen = as_without_the_jail(server, pages(
        "/handler/x?a=b", "/handler/none", "/handler/dies", "/handler/sends",
        Request("/handler", "POST", body="x" * 70000,
                headers={"X-Own": "header"}),
        "/scripts/hello.pl?x=1", "/scripts/none.pl",
        Request("/scripts/hello.pl", "POST", body="x=%3Cy%3E", headers={
            "Content-Type": "application/x-www-form-urlencoded"})))
    assert seen[0] == (200, "/www/handler\n/www\na=b\n\nbody=0\n")
    assert "page\n" in seen[3][1]
    assert seen[4][1].endswith("header\nbody=70000\n")
    assert seen[7] == (200, "file=/scripts/hello.pl /scripts/hello.pl\n"
                            "got=<y>\npage\n")
    assert [status for status, _ in seen] == [200, 404, 500, 200, 200, 200,
                                              404, 200]


@pytest.mark.parametrize("column", range(3), ids=WHOSE)
def test_what_mod_perl_needs_in_the_jail(httpd, column):
    server = perl_server(httpd, mpm="prefork")
    server.put({"page.txt": "page\n"})
    in_jail(server, column, PERL.replace("${JAIL}/www", "{jail}/"))
    server.start()
    for next_generation in (server.graceful, server.quiesce):
        empty = (answers(server, "/handler?a", "body=0") and
                 answers(server, "/scripts/hello.pl?x=1", "got=1\npage"))
        next_generation()
    assert cell(empty) == MODULES["mod_perl"][column]


def test_mod_perl_finds_no_module_that_was_not_loaded_before(httpd):
    server = perl_server(httpd, mpm="prefork")
    server.config = JAILED + server.config.replace("PerlModule CGI\n", "")
    server.expect_log("Can't locate CGI.pm")
    server.allow_log("BEGIN failed|CGI")
    server.start()
    assert server.get("/scripts/hello.pl").status == 500
    assert server.get("/handler").status == 200
