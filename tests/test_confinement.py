"""Who is in the jail, as whom, and how far the jail is empty: threads of
other modules, daemons, groups."""
import os
import re
import shutil
import signal
import subprocess

import pytest

import procfs
from harness import (BUSYBOX, GID, PLAIN, THREADS_PER_CHILD, UID, USER, Dir, Link,
                     script, self_link, wait_for)

MATES = 54321


@pytest.fixture
def group_file(directory):
    """(source, target): /etc/group with one more group for User."""
    source = directory() / "group"
    shutil.copy("/etc/group", source)
    with open(source, "a") as group:
        group.write(f"jailmates:x:{MATES}:{USER}\n")
    return source, "/etc/group"


def assert_groups(pids):
    for pid in pids:
        found = procfs.each_thread(pid, procfs.groups).values()
        assert all(groups == sorted([GID, MATES]) for groups in found)


def test_supplementary_groups_are_kept(jailed, mpm, variant, group_file):
    server = jailed(binds=[group_file])
    assert_groups(server.assert_jailed())
    server.graceful()
    assert_groups(server.assert_jailed())


def test_a_supplementary_group_opens_a_file_in_the_jail(
        jailed, variant, group_file):
    server = jailed("ChrootFixRoot On\nDocumentRoot ${JAIL}",
                    files={"shared.txt": "for mates"}, binds=[group_file])
    page = server.jail / "shared.txt"
    os.chown(page, 0, MATES)
    page.chmod(0o640)
    assert server.get("/shared.txt").text == "for mates"


# ---------------------------------------------------------------- empty jail

def test_an_empty_jail_answers_404_and_gets_nothing_but_the_link(
        jailed, mpm, variant):
    server = jailed("DocumentRoot ${JAIL}\nChrootFixRoot On")
    for next_generation in (server.graceful, server.restart):
        assert server.get("/").status == 404
        assert server.get("/page.html").status == 404
        server.assert_jailed()
        next_generation()
    server.stop()
    link = server.jail / str(server.jail)[1:]
    assert set(server.jail.rglob("*")) == {
        link, server.jail / ".mod_chroot", *(
            path for path in link.parents if server.jail in path.parents)}


def test_threads_end_in_an_empty_jail_without_libgcc_s(jailed, variant, mpm):
    server = jailed("MaxConnectionsPerChild 1")
    for _ in range(6):
        assert server.get("/").status == 404
    server.graceful()
    server.graceful()
    server.graceful_stop()
    assert "libgcc" not in server.log()
    assert "exit signal" not in server.log()


def test_the_working_directory_is_the_jail(jailed, mpm, variant):
    server = jailed()
    for pid in server.assert_jailed():
        assert procfs.dir_id(f"/proc/{pid}/cwd/") == \
            procfs.dir_id(server.jail)


# --------------------------------------------------- child_init of the others

def seen_in_child_init(server):
    return wait_for(lambda: set(re.findall(r"child_init: (root .*)",
                                           server.log())), "child_init")


def test_child_init_of_other_modules_is_as_without_the_module_when_late(
        httpd, builds, mpm):
    server = httpd(modules=[("test_child_init",
                             builds.module("test_child_init"))])
    so, server.so = server.so, PLAIN
    without = seen_in_child_init(server.start())
    server.stop()

    server.so, server.config = so, "ChrootDir ${JAIL}"
    server.start()
    server.graceful()
    assert len(without) == 1 and f"uid {UID} euid {UID}" in without.pop()
    assert len(seen_in_child_init(server)) == 1
    server.assert_jailed()


def test_child_init_of_other_modules_is_in_the_jail_when_early(
        jailed, builds, mpm):
    server = jailed(variant="early", modules=[
        ("test_child_init", builds.module("test_child_init"))])
    place = "{}:{}".format(*procfs.dir_id(server.jail))
    assert seen_in_child_init(server) == {
        f"root {place} cwd {place} uid {UID} euid {UID}"}


# --------------------------------------------------------- another user

@pytest.mark.parametrize("user, group", [
    ("nobody", "nogroup"), ("#65534", "#65534"), ("nobody", USER)])
def test_children_and_daemons_are_the_configured_user(
        jailed, variant, user, group):
    server = jailed("ScriptSock cgisock", modules=["cgid"], user=user,
                    group=group)
    server.allow_log("ScriptSock")
    server.assert_jailed()
    server.assert_jailed(pids=[the_daemon(server)])


# ------------------------------------------------- threads of other modules

HTTP2 = """\
ChrootFixRoot On
Protocols h2c http/1.1
H2MinWorkers 3
H2MaxWorkers 3
DocumentRoot ${JAIL}
"""


@pytest.mark.parametrize("threaded", ["event", "worker"])
def test_http2_threads_are_jailed(jailed, variant, threaded):
    server = jailed(HTTP2, mpm=threaded, modules=["http2"],
                    files={"index.html": "hello"})
    for _ in range(2):
        url = f"http://127.0.0.1:{server.port}/"
        answer = subprocess.run(
            ["curl", "-sS", "--http2-prior-knowledge", "-w", "%{http_version}",
             url], capture_output=True, text=True, timeout=20)
        assert answer.stdout == "hello2", answer.stderr
        wait_for(lambda: all(
            len(procfs.tasks(pid)) >= THREADS_PER_CHILD + 2 + 3
            for pid in server.workers()), "HTTP/2's workers")
        server.assert_jailed()
        server.graceful()


WATCHDOG = """\
<Proxy "balancer://here">
    BalancerMember "http://127.0.0.1:${PORT}" hcmethod=TCP hcinterval=1
</Proxy>
"""


def test_watchdog_threads_are_jailed(jailed, mpm, variant):
    usual = 1 if mpm == "prefork" else THREADS_PER_CHILD + 2
    server = jailed(WATCHDOG, modules=[
        "proxy", "proxy_http", "proxy_balancer", "proxy_hcheck",
        "slotmem_shm", "lbmethod_byrequests"])
    for _ in range(2):
        wait_for(lambda: all(len(procfs.tasks(pid)) > usual
                             for pid in server.workers()), "a watchdog thread")
        server.assert_jailed()
        server.graceful()


# ------------------------------------------------------------------- daemons

CGI = """\
ScriptSock "${JAIL}/cgisock"
ScriptAlias "/cgi-bin/" "/cgi-bin/"
"""
CGI_FILES = {"bin/sh": BUSYBOX, "bin/id": Link("sh"),
             "cgi-bin/who": script("id -u; id -g; echo *; cd /; echo *\n")}

FCGID = """\
Suexec Off
FcgidIPCDir "${ROOT}/run/fcgid"
FcgidProcessTableFile "${ROOT}/run/fcgid_shm"
"""


def alone(pids):
    return pids if len(pids) == 1 else None


def the_daemon(server, other_than=None):
    """The one daemon of the server, once it has dropped its privileges."""
    def settled():
        for pid in alone(server.daemons()) or ():
            if pid != other_than and procfs.uids(pid)[0] != 0:
                return pid
        return None
    return wait_for(settled, "the daemon")


def test_cgids_daemon_is_jailed_and_again_after_a_respawn(
        httpd, mpm, variant, group_file):
    server = httpd("ChrootDir ${JAIL}\n" + CGI, modules=["cgid"],
                   files=CGI_FILES, binds=[group_file])
    server.put(self_link(server.jail))
    server.start()
    server.expect_log("cgid daemon process died")

    def assert_daemon(other_than=None):
        pid = the_daemon(server, other_than)
        assert_groups(server.assert_jailed(pids=[pid]))
        assert server.get("/cgi-bin/who").text == \
            f"{UID}\n{GID}\nwho\nbin cgi-bin cgisock.{server.pid} var\n"
        return pid

    first = assert_daemon()
    os.kill(first, signal.SIGKILL)
    second = assert_daemon(first)
    server.graceful()
    third = assert_daemon(second)
    os.kill(third, signal.SIGKILL)
    assert_daemon(third)
    server.assert_jailed()


def test_cgids_daemon_is_jailed_in_an_empty_jail(jailed, mpm, variant):
    server = jailed("ScriptSock cgisock", modules=["cgid"])
    server.allow_log("ScriptSock")
    server.assert_jailed(pids=[the_daemon(server)])
    server.graceful()
    server.assert_jailed(pids=[the_daemon(server)])
    assert not list(server.jail.iterdir())


def test_fcgids_process_manager_is_jailed_and_again_after_a_respawn(
        jailed, mpm, variant, group_file):
    server = jailed(FCGID, modules=["fcgid"], binds=[group_file])
    server.allow_log("fcgid.*(died|exit)|chroot:warn.*Fcgid")
    daemon = None
    for _ in range(2):
        daemon = the_daemon(server, daemon)
        assert_groups(server.assert_jailed(pids=[daemon]))
        os.kill(daemon, signal.SIGKILL)
        daemon = the_daemon(server, daemon)
        assert_groups(server.assert_jailed(pids=[daemon]))
        server.graceful()
    server.assert_jailed()


def test_without_a_jail_daemons_are_not_jailed(httpd, variant):
    server = httpd("ChrootDir none\nScriptSock cgisock",
                   modules=["cgid"]).start()
    server.assert_jailed("/", pids=[the_daemon(server)])


def test_piped_loggers_stay_outside_as_root(jailed, mpm, variant):
    server = jailed('CustomLog "|$exec cat >>${ROOT}/logs/piped" "%U"')
    server.allow_log("long lost child")     # httpd's own, about the logger
    for _ in range(2):
        server.get("/asked")
        logger, = wait_for(lambda: alone(server.daemons()), "one logger")
        assert os.readlink(f"/proc/{logger}/exe").endswith("/cat")
        assert procfs.uids(logger) == [0] * 4
        assert procfs.root_path(logger) == "/"
        server.graceful()


def test_the_jail_may_lie_on_a_path_of_many_components(httpd, variant):
    deep = "/".join(["component"] * 40)
    server = httpd(f"ChrootDir {deep}",
                   files={f"../{deep}": Dir}).start()
    server.assert_jailed(server.root / deep)
