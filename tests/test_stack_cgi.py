"""Programs that httpd starts: CGI, filters and SSI's exec, with what they
need in the jail, and a real one, git's HTTP server."""
import os
import shutil

import pytest

from harness import (BUSYBOX, GROUP, USER, Dir, File, Link, Request,
                     run_ok, script, self_link)
from stack_apps import (WHOSE, answers, as_without_the_jail, cell, copies,
                        end_hung_workers, in_jail, pages, paste,
                        with_libraries)

# What the table of CAVEATS.md says: (On, stock ChrootDir, Mount)
MODULES = {
    "mod_cgi": 3 * ("works",),
    "mod_cgid": ("needs ScriptSock in the jail", "needs the self-link",
                 "works"),
    "mod_ext_filter": 3 * ("works",),
    "mod_include, exec": 3 * ("needs /bin/sh",),
    "git http-backend": 3 * (
        "needs its libraries, /dev/null, /dev/urandom",),
}

SITE = """\
DocumentRoot "${JAIL}/www"
ScriptAlias "/cgi-bin/" "${JAIL}/cgi-bin/"
<Directory "${JAIL}/www">
    Options +Includes +ExecCGI
    AddOutputFilter INCLUDES .shtml
    AddHandler cgi-script .cgi
</Directory>
"""
FILES = {
    "bin/sh": BUSYBOX, "bin/wc": Link("sh"), "bin/id": Link("sh"),
    "cgi-bin/shell": script('echo "$0 $PWD"; pwd; echo *; id -u; wc -c\n'),
    "cgi-bin/talks": script("echo to the log >&2; echo said\n"),
    "cgi-bin/status": File("#!/bin/sh\nprintf 'Status: 418\\n\\nteapot'\n",
                           mode=0o755),
    "cgi-bin/local": File("#!/bin/sh\nprintf 'Location: /page.txt\\n\\n'\n",
                          mode=0o755),
    "cgi-bin/wrong": File("#!/bin/sh\necho no header\n", mode=0o755),
    "cgi-bin/broken": File("#!/bin/not-there\n", mode=0o755),
    "cgi-bin/plain": File("not executable"),
    "www/here.cgi": script('echo "$SCRIPT_FILENAME"; pwd\n'),
    "www/page.txt": "page",
    "www/page.shtml": '<!--#include virtual="/cgi-bin/shell?a" -->'
                      '<!--#exec cgi="/cgi-bin/talks" -->'
                      '<!--#include file="page.txt" -->'
                      '<!--#fsize virtual="/page.txt" -->',
    "www/exec.shtml": '<!--#exec cmd="echo exec; pwd" -->',
}
REQUESTS = [
    "/cgi-bin/env", "/cgi-bin/env/path/info?a=b&c", "/cgi-bin/shell",
    Request("/cgi-bin/shell", "POST", body="posted " * 20000),
    Request("/cgi-bin/env", headers={"X-Own": "header"}), "/cgi-bin/talks",
    "/cgi-bin/status", "/cgi-bin/local", "/cgi-bin/wrong", "/cgi-bin/broken",
    "/cgi-bin/plain", "/cgi-bin/missing", "/here.cgi", "/page.shtml",
    "/exec.shtml"]
CGI_SOCK = 'ScriptSock "${JAIL}/run/cgisock"\n'


def cgi_server(httpd, builds, cgi, **options):
    server = httpd(SITE, modules=["include", cgi], files=FILES, **options)
    server.put({"cgi-bin/env": File(copy_of=builds.program("printenv"),
                                    mode=0o755)})
    if cgi == "cgid":
        server.config += CGI_SOCK
        server.put({"run": Dir, **self_link(server.jail)})
    server.allow_log("do not find the interpreter|to the log|"
                     "from script 'wrong'|/(broken|plain|missing)|"
                     "before headers: (broken|plain)|needs /bin/not-there")
    return server


def assert_is_cgi(answers):
    """As without the jail is not enough: both may be wrong."""
    status, env = answers[1]
    assert status == 200
    for line in ("SCRIPT_FILENAME=/cgi-bin/env", "PATH_INFO=/path/info",
                 "PATH_TRANSLATED=/www/path/info", "DOCUMENT_ROOT=/www"):
        assert line in env.splitlines()
    assert answers[3][1].endswith("\n140000\n")
    assert [status for status, _ in answers[5:12]] == [200, 418, 200, 500,
                                                       500, 500, 404]
    assert "/www/here.cgi\n/www\n" in answers[12][1]
    assert "said\npage" in answers[13][1]
    assert answers[14] == (200, "exec\n/www\n")


def test_mod_cgi_answers_as_without_the_jail(httpd, builds, mpm, variant):
    server = cgi_server(httpd, builds, "cgi")
    assert_is_cgi(as_without_the_jail(server, pages(*REQUESTS)))


@pytest.mark.parametrize("threaded", ["event", "worker"])
def test_mod_cgid_answers_as_without_the_jail(httpd, builds, variant,
                                              threaded):
    server = cgi_server(httpd, builds, "cgid", mpm=threaded)
    assert_is_cgi(as_without_the_jail(server, pages(*REQUESTS)))


# ------------------------------------------------------------- git's clients

GIT = "/usr/bin/git"
GIT_BACKEND = "/usr/lib/git-core/git-http-backend"
GIT_SITE = """\
DocumentRoot "${JAIL}"
SetEnv GIT_PROJECT_ROOT "${JAIL}/repositories"
SetEnv GIT_HTTP_EXPORT_ALL 1
ScriptAlias "/git/" "${JAIL}/usr/lib/git-core/git-http-backend/"
"""
AUTHOR = {"GIT_AUTHOR_NAME": "A", "GIT_AUTHOR_EMAIL": "a@example.org",
          "GIT_COMMITTER_NAME": "A", "GIT_COMMITTER_EMAIL": "a@example.org",
          "GIT_CONFIG_GLOBAL": "/dev/null", "GIT_CONFIG_SYSTEM": "/dev/null",
          "GIT_TERMINAL_PROMPT": "0"}


def git(*words, **options):
    return run_ok([GIT, *words], env={**os.environ, **AUTHOR}, **options)


def put_repository(server):
    """A repository with one commit that User may push to."""
    work = server.root / "work"
    bare = server.jail / "repositories/one.git"
    git("init", "-q", "-b", "main", work)
    (work / "a.txt").write_text("first\n" * 1000)
    git("-C", work, "add", "a.txt")
    git("-C", work, "commit", "-q", "-m", "first")
    git("clone", "-q", "--bare", work, bare)
    git("-C", bare, "config", "http.receivepack", "true")
    run_ok(["chown", "-R", f"{USER}:{GROUP}", bare])


def clone_and_push(server):
    """What git says, and what it has got; the server's repository stays."""
    url = f"http://127.0.0.1:{server.port}/git/one.git"
    target = server.root / "clone"
    git("clone", "-q", url, target)
    (target / "b.txt").write_text("second\n")
    git("-C", target, "add", "b.txt")
    git("-C", target, "commit", "-q", "-m", "second")
    git("-C", target, "push", "-q", "origin", "main:next")
    seen = sorted(line.split("refs/")[1] for line in
                  git("ls-remote", url).splitlines() if "refs/" in line)
    git("-C", target, "push", "-q", "origin", ":next")
    files = sorted(path.name for path in target.glob("*.txt"))
    shutil.rmtree(target)
    return seen, files


def put_devices(server):
    """git opens /dev/null, and makes names for new files with /dev/urandom."""
    for name, minor in (("null", 3), ("urandom", 9)):
        path = server.jail / "dev" / name
        path.parent.mkdir(exist_ok=True)
        os.mknod(path, 0o20666, os.makedev(1, minor))
        path.chmod(0o666)
    server.allow_log("is a device node")


GIT_FILES = {**with_libraries(GIT, GIT_BACKEND),
             "usr/lib/git-core/git": Link("../../bin/git")}


def test_git_clones_and_pushes_as_without_the_jail(httpd, variant):
    """The self-link makes GIT_PROJECT_ROOT valid, too."""
    server = httpd(GIT_SITE + CGI_SOCK, modules=["cgid", "env"])
    server.put({"run": Dir, **self_link(server.jail)})
    server.put(GIT_FILES)
    put_devices(server)
    put_repository(server)
    server.allow_log("SetEnv")
    assert as_without_the_jail(server, clone_and_push) == (
        ["heads/main", "heads/next"], ["a.txt", "b.txt"])


def test_a_program_without_what_loads_its_libraries_is_warned_of(httpd):
    """Newer linkers put the build id right in front of that one's name."""
    server = httpd('ChrootDir ${JAIL}\nChrootFixRoot On\n'
                   'ScriptAlias "/cgi-bin/" "${JAIL}/cgi-bin/"\n', files={
                       "cgi-bin/a": File(b"\177ELF\2\1\1\0build-id"
                                         b"/lib64/ld-linux.so.2\0", 0o755)})
    warning = "do not find the interpreter or the libraries of a program"
    status, output = server.configtest()
    assert status == 0 and warning in output
    server.put({"lib64/ld-linux.so.2": File("", 0o755)})
    status, output = server.configtest()
    assert status == 0 and warning not in output


# ------------------------------------------------------------- what is needed

ALL = """\
DocumentRoot "{jail}/"
Alias "/www" "{jail}/www"
ScriptAlias "/cgi-bin/" "{jail}/cgi-bin/"
SetEnv GIT_PROJECT_ROOT "{jail}/repositories"
SetEnv GIT_HTTP_EXPORT_ALL 1
ScriptAlias "/git/" "{jail}/usr/lib/git-core/git-http-backend/"
ExtFilterDefine upper mode=output cmd="{jail}/bin/tr a-z A-Z"
<Directory "{jail}/www">
    Options +Includes
    AddOutputFilter INCLUDES .shtml
    AddOutputFilter upper .up
</Directory>
"""
ALL_FILES = {"bin/tr": BUSYBOX, "www/exec.shtml": FILES["www/exec.shtml"],
             "www/page.up": "shout", "run": Dir}


def ready(httpd, builds, column, modules, config=""):
    """A server in a jail that holds nothing but programs and pages."""
    server = httpd(modules=["include", "ext_filter", "env", *modules],
                   files=ALL_FILES)
    server.put({"cgi-bin/env": File(copy_of=builds.program("printenv"),
                                    mode=0o755)})
    return in_jail(server, column, ALL + config)


@pytest.mark.parametrize("column", range(3), ids=WHOSE)
def test_what_programs_need_in_the_jail(httpd, builds, column):
    server = ready(httpd, builds, column, ["cgi"])
    put_repository(server)
    server.put(copies(GIT, GIT_BACKEND))
    server.allow_log("do not find the interpreter|stderr from|SetEnv|"
                     r"before headers: git|exec of 'echo")

    def found():
        repository = "/git/one.git/info/refs?service=git-receive-pack"
        return {
            "mod_cgi": answers(server, "/cgi-bin/env", "SCRIPT_NAME"),
            "mod_ext_filter": answers(server, "/www/page.up", "SHOUT"),
            "mod_include, exec": answers(server, "/www/exec.shtml", "exec"),
            "git http-backend": answers(server, repository, "heads/main")
            and clone_and_push(server)[1] == ["a.txt", "b.txt"]}

    server.start()
    empty = found()
    if WHOSE[column] == "Mount":
        paste(server)
    else:
        server.put({"bin/sh": BUSYBOX, **GIT_FILES})
        put_devices(server)
    server.graceful()
    with_it = found()
    needs = {"mod_include, exec": "/bin/sh",
             "git http-backend": "its libraries, /dev/null, /dev/urandom"}
    assert {name: cell(empty[name], needs.get(name), with_it[name])
            for name in empty} == {
                name: row[column] for name, row in MODULES.items()
                if name != "mod_cgid"}


@pytest.mark.parametrize("column", range(3), ids=WHOSE)
def test_what_mod_cgid_needs_in_the_jail(httpd, builds, column):
    outside = 'ScriptSock "${ROOT}/run/cgisock"\n'
    server = ready(httpd, builds, column, ["cgid"],
                   CGI_SOCK if WHOSE[column] == "stock" else outside)
    server.allow_log("ScriptSock|mod_cgid's daemon is out of reach")
    server.start()
    # httpd itself tries for half a minute
    empty = answers(server, "/cgi-bin/env", "SCRIPT_NAME", timeout=3)
    if column == 0:
        server.write_config(server.config.replace(outside, CGI_SOCK))
    elif column == 1:
        server.put(self_link(server.jail))
        end_hung_workers(server)
    server.restart()
    with_it = answers(server, "/cgi-bin/env", "SCRIPT_NAME")
    needs = ("ScriptSock in the jail", "the self-link", "")[column]
    assert cell(empty, needs, with_it) == MODULES["mod_cgid"][column]
