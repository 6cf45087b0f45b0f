"""What the tests of applications share: a server beside httpd, the same
questions without the jail and in it, and the cells of the table of CAVEATS.md."""
import contextlib
import http.client
import os
import re
import signal
import subprocess
from pathlib import Path

from comparison import JAILED, MOUNTED
from harness import PLAIN, File, read, run_ok, wait_for

WORKS, FAILS = "works", "does not work"


@contextlib.contextmanager
def service(command, ready, log, end=signal.SIGTERM, **options):
    """A server in the foreground, until the block ends; by its pid."""
    with open(log, "ab") as out:
        process = subprocess.Popen(
            [str(word) for word in command], stdin=subprocess.DEVNULL,
            stdout=out, stderr=out, start_new_session=True, **options)
    try:
        wait_for(lambda: process.poll() is not None or ready(),
                 f"{command[0]}:\n{read(log)}", 30)
        assert process.poll() is None, read(log)
        yield process
    finally:
        process.send_signal(end)
        process.wait(30)


def report(server):
    """What -D DUMP_CHROOT says of a view -> the lines to paste, and what else
    is wrong."""
    server.write_config()
    status, text = server.httpd("-t", "-D", "DUMP_CHROOT")
    assert status == 0, text
    assert "Mount, sealed" in text
    block = re.search(r"(?ms)^\n(# .*?)\n\n", text + "\n\n")
    return (block[1] + "\n" if block else "",
            re.findall(r"(?m)^(?:error|warning): .*", text))


def as_without_the_jail(server, ask, jailed=JAILED, plain="", bind=""):
    """ask(server) returns the same without mod_chroot, jailed, and jailed
    after a graceful restart.  Before ChrootFixRoot On it is asked in a view,
    too, after a restart, with the lines that the report asks for and `bind`:
    server.bound.  Leaves the server running -> what it returned.
    `plain` and `jailed` go before the configuration, which both have."""
    so, config = server.so, server.config
    server.so, server.config = PLAIN, plain + config
    expected = ask(server.start())
    server.stop()

    server.so = so
    if jailed == JAILED:
        server.config = MOUNTED + bind + config
        server.bound = bind + report(server)[0]
        server.config += server.bound
        server.start()
        server.graceful()
        server.assert_in_view()
        seen = ask(server)
        assert seen == expected, f"plain: {expected}\nMount: {seen}"
        server.stop()

    server.config = jailed + config
    server.start()
    for next_generation in (server.graceful, server.quiesce):
        server.assert_jailed()
        seen = ask(server)
        assert seen == expected, f"plain:  {expected}\njailed: {seen}"
        next_generation()
    return expected


def page(server, request, timeout=10):
    """(status, body) of a request, without what differs from run to run: the
    jail's path, the zone that children are told, ports."""
    answer = server.request(request, timeout)
    text = re.sub(r"(?m)^(TZ|REMOTE_PORT)=.*\n", "", answer.text)
    text = re.sub(rf"(?<![\w/]){re.escape(str(server.jail))}(?=[/\s])", "",
                  text)
    return answer.status, re.sub(rf"\b{server.port}\b", "PORT", text)


def pages(*requests):
    """ask() for as_without_the_jail: these, one after the other."""
    return lambda server: [page(server, request) for request in requests]


def answers(server, request, text, timeout=10):
    """Is this answered, with text in it?"""
    try:
        status, body = page(server, request, timeout)
    except (OSError, http.client.HTTPException):
        return False            # it takes too long, or the child has crashed
    return status == 200 and text in body


def end_hung_workers(server):
    """Children that wait in vain, for longer than a test may."""
    for pid in server.workers():
        os.kill(pid, signal.SIGKILL)


WHOSE = ("mod_chroot", "stock", "Mount")    # the columns of the table


def cell(empty, needs="", with_it=False):
    """What the table of CAVEATS.md says of a module that works in an empty jail,
    or with what it needs there, or not."""
    return WORKS if empty else f"needs {needs}" if with_it else FAILS


def in_jail(server, column, config):
    """The server in its jail by mod_chroot, by mod_unixd's ChrootDir, with what
    event and worker need to begin with, or in a view.  {jail} in config is
    where paths begin: stock ChrootDir has inner ones."""
    if WHOSE[column] == "stock":
        server.so = PLAIN
        server.config = ("LoadFile libgcc_s.so.1\nChrootDir ${JAIL}\n"
                         + config.replace("{jail}", ""))
        server.allow_log(".*")
    else:
        jailed = MOUNTED if WHOSE[column] == "Mount" else JAILED
        server.config = jailed + config.replace("{jail}", "${JAIL}")
    return server


def paste(server):
    """Add the lines that the report prints to the configuration of a view."""
    server.write_config(server.config + report(server)[0])


def with_libraries(*programs):
    """{inner path: File} of programs with what they are linked with."""
    files = {}
    for program in programs:
        needed = re.findall(r"(/\S+) \(0x", run_ok(["ldd", program]))
        for path in [str(program), *needed]:
            files[path.lstrip("/")] = File(copy_of=os.path.realpath(path),
                                           mode=0o755)
    return files


def copies(*paths):
    """{inner path: File} of files at the place that they have outside."""
    return {path.lstrip("/"): File(copy_of=path, mode=Path(path).stat().st_mode
                                   & 0o777) for path in paths}
