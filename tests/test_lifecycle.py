"""Start, graceful, restart, stop: on every MPM, in both builds, every way of
starting httpd.  Who is where, and what is left behind."""
import os
import re
import shutil
import signal
import socket
import subprocess

import pytest

import procfs
from harness import PLAIN, Dir, Mode, free_port, needs, wait_for

PAGE = {"www/index.html": "hello"}
SITE = "ChrootFixRoot On\nDocumentRoot ${JAIL}/www\n"


def test_children_are_jailed_after_start_graceful_and_restart(
        jailed, mpm, variant):
    server = jailed(SITE, files=PAGE)
    parent = server.pid
    server.assert_jailed()
    for next_generation in (server.graceful, server.restart, server.graceful):
        next_generation()
        server.assert_jailed()
        assert server.get("/").text == "hello"
        assert server.pid == parent
    assert procfs.uids(parent) == [0] * 4
    assert procfs.root_path(parent) == "/"


@pytest.mark.parametrize("action", ["stop", "graceful-stop"])
def test_stopping_leaves_no_process_and_no_pid_file(
        jailed, mpm, variant, action):
    server = jailed(SITE, files=PAGE)
    server.serving()
    server.stop(action)
    assert not server.leftovers()
    assert not (server.root / "run/httpd.pid").exists()


def test_graceful_stop_lets_a_request_finish(jailed, mpm):
    server = jailed(SITE, files={**PAGE, "www/big": b"x" * 30_000_000})
    with socket.create_connection(("127.0.0.1", server.port), 10) as conn:
        conn.sendall(b"GET /big HTTP/1.0\r\n\r\n")
        received = len(conn.recv(4096))
        server.control("graceful-stop")
        while chunk := conn.recv(1 << 20):
            received += len(chunk)
    assert received > 30_000_000
    wait_for(lambda: not server.leftovers(), "httpd to stop")


def test_a_daemon_serves_and_obeys(httpd, mpm, variant):
    server = httpd("ChrootDir ${JAIL}\n" + SITE, files=PAGE)
    server.start(Mode.DAEMON)
    server.assert_jailed()
    server.graceful()
    server.assert_jailed()
    assert server.get("/").text == "hello"
    server.graceful_stop()


def test_a_single_process_is_jailed_too(httpd, mpm, variant):
    server = httpd("ChrootDir ${JAIL}\n" + SITE, files=PAGE)
    server.start(Mode.SINGLE)
    assert server.get("/").text == "hello"
    server.assert_jailed(pids=[server.pid])
    assert not server.children()


def test_ctrl_c_in_the_foreground_ends_everything(httpd, mpm, variant):
    server = httpd("ChrootDir ${JAIL}\n" + SITE, files=PAGE).start()
    server.serving()
    parent = server.pid
    os.killpg(os.getpgid(parent), signal.SIGINT)
    wait_for(lambda: server.gone(parent), "httpd to end")
    assert not server.leftovers()


def test_apachectl_controls_the_server(httpd, mpm, variant):
    server = httpd("ChrootDir ${JAIL}\n" + SITE, files=PAGE)
    server.write_config()

    def control(action):
        status, output = server.apachectl(action)
        assert status == 0, output
        return output

    assert "Syntax OK" in control("configtest")
    control("start")
    wait_for(server.generations, "the server to run")
    for next_generation in (server.graceful, server.restart):
        server.assert_jailed()
        next_generation(control)
    server.assert_jailed()
    assert server.get("/").text == "hello"
    server.graceful_stop(control)
    assert not server.leftovers()
    control("start")
    wait_for(lambda: server.running() and server.answers(), "an answer")
    server.assert_jailed()
    server.stop(control=control)


# ------------------------------------------------------------ nothing is left

def test_a_child_has_no_helper_and_the_parent_no_zombie(jailed, mpm, variant):
    server = jailed()
    for _ in range(2):
        server.serving()
        # worker's parent takes up to a second to reap the old generation
        wait_for(lambda: procfs.descendants(server.pid) == server.workers(),
                 "the MPM's children to be alone")
        assert not [pid for pid in server.children()
                    if procfs.state(pid) == "Z"]
        server.graceful()


def kinds(server):
    """What children have open, numbers aside: the same for each."""
    server.serving()
    server.quiesce()
    return {tuple(sorted(procfs.fd_kinds(pid).values()))
            for pid in server.serving()}


def test_a_child_has_no_descriptor_more_than_without_the_module(
        httpd, mpm, variant):
    needs("mount_setattr")      # sealed: the namespace's
    server = httpd("DocumentRoot ${JAIL}")
    so, server.so = server.so, PLAIN
    before = kinds(server.start())
    server.stop()

    server.so = so
    server.config += "\nChrootDir ${JAIL}\nChrootFixRoot On"
    sealed = {tuple(sorted([*files, "mnt:N"])) for files in before}
    assert kinds(server.start()) == sealed
    server.graceful()
    server.graceful()
    assert kinds(server) == sealed


def test_a_child_holds_no_directory_open(jailed, mpm, variant):
    server = jailed()
    for pid in server.serving():
        for fd in procfs.fds(pid):
            assert not os.path.isdir(f"/proc/{pid}/fd/{fd}")


def test_the_parent_gains_no_descriptor_by_graceful_restarts(
        jailed, mpm, variant):
    server = jailed()
    server.graceful()
    before = sorted(procfs.fd_kinds(server.pid).values())
    for _ in range(3):
        server.graceful()
    assert sorted(procfs.fd_kinds(server.pid).values()) == before


def test_a_killed_child_comes_back_jailed(jailed, mpm, variant):
    server = jailed()
    old = server.serving()
    server.allow_log("exit signal Killed")
    for pid in old:
        os.kill(pid, signal.SIGKILL)
    wait_for(lambda: server.workers() and not set(old) & set(server.workers()),
             "new children")
    wait_for(server.answers, "an answer")
    server.assert_jailed()


def test_children_that_end_after_a_few_connections_come_back_jailed(
        jailed, mpm, variant):
    server = jailed("MaxConnectionsPerChild 3\n" + SITE, files=PAGE)
    seen = set()
    for _ in range(12):
        assert server.get("/").text == "hello"
        seen.update(server.workers())
    assert len(seen) > 2
    server.assert_jailed()


# ------------------------------------------------------- exactly one chroot(2)

def calls_by_process(trace):
    """strace -f -> ({pid: chroot calls that succeeded}, {pid: parent})."""
    calls, parents = {}, {}
    for line in trace.splitlines():
        pid, _, event = line.partition(" ")
        event = event.strip()
        if made := re.match(r"(?:<\.\.\. )?(?:clone3?|v?fork)\b.*= (\d+)$",
                            event):
            parents[made[1]] = pid
        elif re.search(r"chroot\b.*= 0$", event):
            calls[pid] = calls.get(pid, 0) + 1
    return calls, parents


def test_each_child_is_chrooted_exactly_once(httpd, mpm, variant):
    server = httpd("ChrootDir ${JAIL}", modules=["cgid"])
    trace = server.root / "logs/trace"
    server.wrapper = ["strace", "-f", "-qq", "-o", trace, "-e",
                      "trace=chroot,clone,clone3,fork,vfork"]
    server.allow_log("ScriptSock")
    server.start(Mode.FOREGROUND)
    server.assert_jailed()
    server.graceful()
    children = server.assert_jailed(
        pids=server.assert_jailed() + server.daemons())
    server.stop()

    calls, parents = calls_by_process(trace.read_text())

    def times(pid):
        own = [child for child, parent in parents.items() if parent == pid]
        return calls.get(pid, 0) + sum(map(times, own))
    assert {pid: times(str(pid)) for pid in children} == \
        dict.fromkeys(children, 1)


# ------------------------------------ the parent's files need nothing inside

OUTSIDE = """\
PidFile run/other.pid
ScoreBoardFile run/scoreboard
CustomLog logs/access.log "%U"
Listen 127.0.0.1:${SECOND}
"""


def assert_nothing_needed_inside(httpd, mutex):
    server = httpd(f"Define SECOND {free_port()}\nMutex {mutex} default\n"
                   "ChrootDir ${JAIL}\n" + OUTSIDE)
    server.pid_file = "run/other.pid"
    server.start()
    server.assert_jailed()
    server.graceful()
    server.assert_jailed()
    assert server.get("/asked").status == 404
    log = server.root / "logs/access.log"
    wait_for(lambda: "/asked" in log.read_text(), "the access log")
    assert not list(server.jail.iterdir())


@pytest.mark.parametrize("mutex", ["pthread", "fcntl:run", "sysvsem",
                                   "posixsem"])
def test_files_of_the_parent_need_nothing_in_the_jail(
        httpd, mpm, variant, mutex):
    assert_nothing_needed_inside(httpd, mutex)


def test_a_lock_file_needs_nothing_in_the_jail_when_late(httpd, mpm):
    # children open it again by name in child_init, which in an early child,
    # as with the stock ChrootDir, is too late
    assert_nothing_needed_inside(httpd, "flock:run")


def test_the_pid_file_lies_outside_and_is_removed(jailed, mpm):
    server = jailed()
    assert (server.root / "run/httpd.pid").exists()
    assert not list(server.jail.iterdir())
    server.stop()
    assert not (server.root / "run/httpd.pid").exists()


def test_a_jail_that_is_moved_away_keeps_its_children(jailed, mpm):
    server = jailed()
    server.serving()
    shutil.move(server.jail, server.root / "moved")
    server.put({".": Dir})
    server.assert_jailed(server.root / "moved")


def test_the_configuration_of_the_next_generation_counts(httpd, mpm, variant):
    server = httpd("ChrootDir ${JAIL}", files={"../other/.keep": ""}).start()
    for config, place in (("ChrootDir other", server.root / "other"),
                          ("ChrootDir none", "/"), ("", "/"),
                          ("ChrootDir ${JAIL}", server.jail)):
        server.write_config(config)
        server.graceful()
        server.assert_jailed(place)


def test_a_broken_configuration_does_not_disturb_a_running_server(
        jailed, mpm):
    server = jailed()
    old = server.all_workers()
    server.write_config("ChrootDir absent")
    done = subprocess.run(server.command("-k", "graceful"), env=server.env,
                          capture_output=True, text=True)
    assert done.returncode != 0 and "absent" in done.stderr
    assert server.workers() == old
    server.write_config("ChrootDir ${JAIL}")
