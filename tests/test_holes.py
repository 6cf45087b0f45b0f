"""What a process in the jail could do to the terminal, and to the parent: no
child has a terminal."""
import os
import re
import stat
import sys

import pytest

import procfs
from harness import Dir, File, Mode, self_link, wait_for


# -------------------------------------------------------------------- terminal

# Starts httpd as a shell does: in a process group of its own, in front of the
# terminal, which the given descriptors are open on; or as what a container
# starts, which leads the session.
AS_A_SHELL = """\
import os, signal, sys
tty = os.open(sys.argv[1], os.O_RDWR)
for fd in map(int, sys.argv[2].split(",")):
    os.dup2(tty, fd)
pid = os.fork() if sys.argv[3] == "shell" else 0
if pid == 0:
    if sys.argv[3] == "shell":
        os.setpgid(0, 0)
    os.execv(sys.argv[4], sys.argv[4:])
signal.signal(signal.SIGTTOU, signal.SIG_IGN)
try:
    os.setpgid(pid, pid)
except OSError:
    pass
os.tcsetpgrp(tty, pid)
_, status = os.waitpid(pid, 0)
os.tcsetpgrp(tty, os.getpgrp())
os._exit(os.waitstatus_to_exitcode(status) & 255)
"""


class Terminal:
    def __init__(self):
        self.master, self.slave = os.openpty()
        self.path = os.ttyname(self.slave)

    def type(self, text):
        os.write(self.master, text)

    def close(self):
        os.close(self.slave)
        os.close(self.master)


@pytest.fixture
def terminal():
    """One that nobody else uses; before the server, so that it outlives it."""
    made = Terminal()
    yield made
    made.close()


def on_terminal(server, terminal, descriptors="0,1", leader="shell"):
    server.wrapper = [sys.executable, "-c", AS_A_SHELL, terminal.path,
                      descriptors, leader]
    return server


def terminals(pid):
    """{descriptor: terminal}, and the controlling one as "tty"."""
    found = {fd: target for fd, target in procfs.fds(pid).items()
             if re.match("/dev/(pts/|tty|ptmx)", target)}
    if int(procfs.stat_fields(pid)[4]) != 0:
        found["tty"] = procfs.stat_fields(pid)[4]
    return found


@pytest.mark.parametrize("leader", ["shell", "no shell"])
def test_children_and_daemons_have_no_terminal(
        terminal, httpd, mpm, variant, leader):
    server = httpd("ChrootDir ${JAIL}\nChrootFixRoot Off", modules=["cgid"])
    on_terminal(server, terminal, leader=leader)
    server.allow_log("ScriptSock")
    server.start(Mode.FOREGROUND)
    for _ in range(2):
        server.assert_jailed()
        assert server.daemons()
        for pid in server.serving() + server.daemons():
            assert terminals(pid) == {}
        held = terminals(server.pid)
        assert held[0] == held[1] == terminal.path and held["tty"]
        server.graceful()


def test_a_terminal_as_another_descriptor_is_warned_of_and_left(
        terminal, httpd, mpm, variant):
    server = httpd("ChrootDir ${JAIL}\nChrootFixRoot Off")
    on_terminal(server, terminal, "0,1,2,7")
    server.expect_log(r":warn\].*descriptor 7,.*is a terminal")
    server.start(Mode.FOREGROUND)
    for pid in server.serving():
        assert terminals(pid) == {}
        assert procfs.fds(pid)[7] == "/dev/null"
    assert terminals(server.pid)[7] == terminal.path


def test_a_daemon_keeps_no_terminal_that_it_was_started_with(
        terminal, httpd, mpm, variant):
    server = httpd("ChrootDir ${JAIL}\nChrootFixRoot Off")
    on_terminal(server, terminal, "0,1,2,7")
    server.expect_log("is a terminal")
    server.start(Mode.DAEMON)
    for pid in server.serving():
        assert terminals(pid) == {}


@pytest.mark.parametrize("leader", ["shell", "no shell"])
def test_a_single_process_gives_up_its_terminal(
        terminal, httpd, mpm, variant, leader):
    server = httpd("ChrootDir ${JAIL}\nChrootFixRoot Off", files={"a": "b"})
    server.config += "\nDocumentRoot /"
    server.write_config()
    on_terminal(server, terminal, "0,1,2", leader)
    server.start(Mode.SINGLE)
    assert server.get("/a").text == "b"
    server.assert_jailed(pids=[server.pid])
    assert terminals(server.pid) == {}


def test_ctrl_c_still_ends_all_processes(terminal, httpd, mpm, variant):
    server = httpd("ChrootDir ${JAIL}\nChrootFixRoot Off")
    on_terminal(server, terminal, "0,1,2").start(Mode.FOREGROUND)
    groups = {os.getpgid(pid) for pid in server.serving()}
    assert groups == {os.getpgid(server.pid)}
    parent = server.pid
    terminal.type(b"\x03")
    wait_for(lambda: server.gone(parent), "httpd to end")
    wait_for(lambda: not server.leftovers(), "everything to end")


@pytest.mark.parametrize("mode", [Mode.FOREGROUND, Mode.SINGLE])
@pytest.mark.parametrize("module", ["cgi", "cgid"])
def test_a_program_in_the_jail_cannot_type_into_the_shell(
        terminal, httpd, builds, mpm, variant, mode, module):
    if (mode, module) == (Mode.SINGLE, "cgid"):
        return                          # httpd -X has no such daemon for long
    config = ("ChrootDir ${JAIL}\nChrootFixRoot Off\n"
              "ScriptAlias /cgi/ /cgi/\n")
    server = httpd(config, modules=[module], files={
        "cgi/terminal": File(copy_of=builds.program("terminal"), mode=0o755),
        "dev": Dir})
    if module == "cgid":
        server.put({**self_link(server.jail), "run": Dir})
        server.config += 'ScriptSock "${JAIL}/run/cgid.sock"\n'
    os.mknod(server.jail / "dev/tty", stat.S_IFCHR | 0o666, os.makedev(5, 0))
    (server.jail / "dev/tty").chmod(0o666)
    server.allow_log(r":warn\]")
    on_terminal(server, terminal, "0,1,2,7").start(mode)
    answer = server.get("/cgi/terminal")
    assert answer.status == 200
    assert answer.text == "nothing to type into"


def test_a_log_that_is_a_terminal_is_warned_of(terminal, httpd, variant):
    server = httpd("ChrootDir ${JAIL}\nChrootFixRoot Off\n"
                   f'CustomLog "{terminal.path}" "%U"')
    server.expect_log(r":warn\].*is a terminal.*log to a file")
    server.start()
    for pid in server.serving():
        assert terminals(pid) == {}


def test_a_child_that_has_a_terminal_does_not_serve(
        httpd, builds, mpm, variant):
    server = httpd("ChrootDir ${JAIL}\nTestAttack terminal mpm-only\n",
                   modules=[("test_attack", builds.module("test_attack"))])
    server.answers = lambda: True       # not a condition of the start
    server.allow_log(r":alert\]|AH00046|AH00045")
    server.start()
    del server.answers
    wait_for(lambda: re.search(r"descriptor \d+ is a terminal in the jail",
                               server.log()), "a refusal")
    assert not server.answers()
    assert procfs.alive(server.pid)
