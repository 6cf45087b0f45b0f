"""Modules that jails suffer from: see mod_test_attack.c.  Every child and
every daemon is jailed, or does not serve; no process stays behind unseen."""
import contextlib
import os
import re
import signal
from pathlib import Path

import pytest

import failclosed as fc
import procfs
from harness import UID, needs, wait_for


@pytest.fixture(params=os.environ.get("CHROOT_TEST_MPMS", "event").split())
def mpm(request):
    """One MPM, for time's sake; CHROOT_TEST_MPMS names others."""
    return request.param


@pytest.fixture
def attacked(httpd, builds):
    def make(attack, config="", **options):
        server = httpd("ChrootDir ${JAIL}\n" + fc.SITE +
                       f"TestAttack {attack}\n" + config, modules=[
                           ("test_attack", builds.module("test_attack"))],
                       **options)
        fc.both_worlds(server)
        return server
    return make


def launch(server):
    """Start; the children may all refuse -> have some of them served?"""
    server.answers = lambda: True       # not a condition of the start
    server.start()
    del server.answers
    server.allow_log(r":alert\]")

    def settled():
        return server.workers() or len(fc.alerts(server)) >= 2
    wait_for(settled, "children that serve, or that have refused", 20)
    return bool(server.workers())


# ------------------------------------------------------------------ in a child

# (what, can late chroot hold it?) Early children were jailed before.
IN_CHILD = ["unshare-main", "unshare-thread", "chdir-thread", "chdir-outside",
            "open-root", "open-root-path", "open-thread", "open-high",
            "thread-late"]


@pytest.mark.parametrize("attack", IN_CHILD)
def test_an_attack_in_child_init(attacked, mpm, variant, attack):
    server = attacked(attack)
    serves = launch(server)
    assert "the attack itself failed" not in server.log()
    with fc.Client(server) as client:
        if serves:
            for pid in server.workers():
                wait_for(lambda: server._is_up(pid) or not
                         procfs.alive(pid), "a child")
                fc.assert_child_is_confined(server, pid)
    client.assert_no_leak()
    if variant == "early":
        assert serves
    elif not serves:
        assert any(str(server.jail) in line for line in fc.alerts(server))
    if variant == "late" and attack in ("unshare-main", "unshare-thread",
                                        "open-root", "open-root-path",
                                        "open-high", "open-thread",
                                        "chdir-outside"):
        assert not serves
    server.terminate()
    assert not server.leftovers()


@pytest.mark.parametrize("mode", ["Off", "On"])
def test_a_module_that_holds_the_jail_open_has_one_without_a_seal(
        attacked, mpm, variant, mode):
    """Out of a sealed one its descriptor would lead."""
    needs("mount_setattr")
    server = attacked("open-jail", f"ChrootFixRoot {mode}\n")
    server.allow_log(r"chroot:warn\]")
    assert launch(server), server.log()
    assert (f"ChrootFixRoot {mode}, not sealed: children cannot be locked into "
            "one, see above") in server.log()
    assert re.search(r"alert\].* descriptor \d+ is a directory outside of",
                     server.log())
    server.assert_jailed()
    server.graceful()
    server.assert_jailed()


def test_a_module_that_holds_the_jail_open_has_no_view(attacked, mpm, variant):
    said = attacked("open-jail", "ChrootFixRoot Mount\n").refused_start()
    assert "is a directory outside of" in said


def strangers(server):
    """What the attack forked, wherever it is now."""
    known = [server.pid, *server.workers()]
    return [pid for pid in procfs.marked(server.marker, server.root)
            if pid not in known and procfs.parent(pid) != server.pid]


def kill_all(server):
    """The parent first, with the children that do not listen to it."""
    parent = server.pid
    server.quiesce()
    with contextlib.suppress(ProcessLookupError):
        os.kill(parent, signal.SIGTERM)

    def killed():
        left = procfs.marked(server.marker, server.root)
        for pid in left:
            if pid != parent:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
        return server.gone(parent) and not left
    wait_for(killed, "httpd to stop")


@pytest.mark.parametrize("attack", ["fork", "fork-clone", "fork-twice"])
def test_a_process_that_stays_is_reported(attacked, mpm, variant, attack):
    """But for a grandchild, which belongs to nobody."""
    server = attacked(attack)
    launch(server)
    wait_for(lambda: len(server.workers()) == 2
             and len(strangers(server)) == 2, "two that stay")
    with fc.Client(server) as client:
        pass
    client.assert_no_leak()
    wrong = []
    try:
        for pid in strangers(server):
            assert procfs.uids(pid) == [UID] * 4
            if variant == "late":
                assert procfs.root_path(pid) == "/"
                if attack != "fork-twice":
                    server.expect_log(rf":warn\].*process.*\b{pid}\b")
                continue
            assert procfs.is_jailed(pid, server.jail)
            wrong += [f"{pid}: {fd}, {target}"
                      for fd, target in procfs.fds(pid).items()
                      if os.path.isdir(f"/proc/{pid}/fd/{fd}")
                      and not procfs.is_inside(f"/proc/{pid}/fd/{fd}",
                                               server.jail)]
    finally:
        kill_all(server)
    assert not wrong, f"a way out stays open: {wrong}"


def test_a_process_that_stays_does_not_keep_a_jailer(attacked, mpm):
    """It has the child's end of the pipe; and the child dies unasked."""
    server = attacked("fork stop")
    server.answers = lambda: True
    server.start()
    server.allow_log("exit signal")
    pid = wait_for(lambda: [
        pid for pid in server.children()
        if procfs.state(pid) == "T" and len(procfs.children(pid)) == 2],
        "a child that stopped")[0]
    jailer, = [p for p in procfs.children(pid) if procfs.uids(p)[0] == 0]
    try:
        os.kill(pid, signal.SIGKILL)
        wait_for(lambda: not procfs.alive(pid), "the child to end")
        wait_for(lambda: not procfs.alive(jailer), "the jailer to end", 5)
    finally:
        kill_all(server)


# ------------------------------------------------------------------ privileges

@pytest.mark.parametrize("attack", ["capabilities", "seteuid"])
def test_a_module_that_keeps_privileges_is_refused_at_start(
        attacked, variant, attack):
    said = attacked(attack).refused_start()
    assert re.search(r":alert\]", said)


@pytest.mark.parametrize("attack", ["capabilities", "seteuid"])
def test_a_module_that_keeps_privileges_in_children_only(
        attacked, mpm, variant, attack):
    server = attacked(f"{attack} mpm-only")
    assert not launch(server), "a child serves"
    with fc.Client(server) as client:
        wait_for(lambda: len(fc.alerts(server)) >= 4, "more failures")
    client.assert_no_leak()
    assert server.running() and not server.workers()
    server.terminate()
    assert not server.leftovers()


@pytest.mark.parametrize("action", ["stop", "restart"])
def test_a_child_that_is_told_to_end_while_it_drops_privileges_goes_quietly(
        attacked, mpm, variant, action):
    server = attacked("linger mpm-only")
    server.answers = lambda: True       # nobody will
    server.start()
    del server.answers
    old = wait_for(lambda: lingering(server, []), "children")
    if action == "stop":
        server.stop()
    else:
        server.control(action)
        wait_for(lambda: lingering(server, old), "new children")
    assert not fc.alerts(server)


def lingering(server, old):
    """The children, once all of them are new and do not come to an end."""
    pids = server.children()
    return pids if not set(pids) & set(old) and all(
        comm(pid) == "lingers" for pid in pids) else None


# --------------------------------------------------------------------- daemons

def comm(pid):
    return (Path("/proc") / str(pid) / "comm").read_text().strip()


HOOKS = ["open_logs", "post_config", "optional", "pre_mpm", "child_status",
         "monitor"]


def daemons(server):
    """{daemon: its name now}, without what it has forked itself"""
    found = {}
    for pid in procfs.marked(server.marker, server.root):
        with contextlib.suppress(OSError):
            if comm(pid).startswith("attack"):
                found[pid] = comm(pid)
    return {pid: name for pid, name in found.items()
            if procfs.parent(pid) not in found}


def assert_daemons(server):
    wait_for(lambda: daemons(server), "a daemon")
    wait_for(lambda: "attackdaemon" not in daemons(server).values(),
             "daemons to get an answer")
    assert all(procfs.uids(pid)[0] or name == "attackrefused"
               for pid, name in daemons(server).items())
    wrong = []
    for pid, name in daemons(server).items():
        if procfs.children(pid):
            wrong.append(f"{name} {pid} has a jailer")
        if not procfs.is_jailed(pid, server.jail):
            wrong.append(f"{name} {pid} is in {procfs.root_path(pid)}")
        wrong += [f"{name} {pid} has {target}"
                  for fd, target in procfs.fds(pid).items()
                  if os.path.isdir(f"/proc/{pid}/fd/{fd}")]
    assert not wrong, wrong


@pytest.mark.parametrize("where", ["first", "middle", "last"])
@pytest.mark.parametrize("hook", HOOKS)
def test_a_daemon_that_a_module_forks_in_the_parent(
        attacked, mpm, variant, hook, where):
    """It takes what drop_privileges does to it, and ignores what it says."""
    server = attacked(f"daemon-{hook} {where}")
    server.allow_log(":alert|:warn|long lost child|AH03092|AH00046")
    server.start()
    try:
        for _ in range(2):
            assert_daemons(server)
            server.assert_jailed()
            old, seen = daemons(server), server.generations()
            server.quiesce()
            server.control("restart")   # pre_mpm is not run when graceful
            wait_for(lambda: server.generations() > seen, "the restart")
            for pid in old:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            wait_for(lambda: not any(map(procfs.alive, old)),
                     "the old daemons to end")
            wait_for(server.answers, "an answer")
            server.serving()
    finally:
        kill_all(server)
