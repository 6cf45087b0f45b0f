"""What a process in the jail could do to the terminal, and to the parent: no
child has a terminal, and at a restart nothing that a child did, or that lies
in the jail, ends the parent or keeps it waiting.

CHROOT_TEST_HOSTILE, 50, is the number of graceful restarts while a process in
the jail does its worst, for each MPM and variant; two fifths of it in the
other modes than Off.
"""
import contextlib
import os
import random
import re
import shutil
import signal
import stat
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

import failclosed as fc
import procfs
from harness import GID, UID, Dir, File, Link, Mode, self_link, wait_for

PAUSE = 0.3     # seconds at most from a restart to the next
RESTARTS = int(os.environ.get("CHROOT_TEST_HOSTILE", "50"))


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


# ----------------------------------------------------------------------- probe

def gated(httpd, builds, **options):
    server = fc.with_gate(httpd, builds, **options)
    server.allow_log(r":alert\]|AH00166")
    return server


def begin_graceful(server):
    """-> a predicate: whether the new generation has begun"""
    seen = server.generations()
    os.kill(server.pid, signal.SIGUSR1)
    return lambda: server.generations() > seen


def test_probes_that_are_killed_do_not_end_a_server_that_is_up(
        httpd, builds, mpm, variant):
    server = gated(httpd, builds)
    parent = server.pid
    fc.arm(server, "probe", 3)
    begun = begin_graceful(server)

    def killed():
        for pid in fc.caught(server, "probe"):
            fc.forget(server, pid)
            os.kill(pid, signal.SIGKILL)
        return begun()
    wait_for(killed, "the restart", 30)
    assert server.log().count("ended with signal 9") == 3
    assert f"goes on, by {variant} chroot" in server.log()
    wait_for(server.answers, "an answer", 20)
    assert server.pid == parent
    server.assert_jailed()
    assert server.get("/which.txt").text == "inside"
    server.graceful()                   # and the next one is as ever
    assert server.log().count("goes on") == 1


def test_one_probe_that_is_killed_is_tried_again(httpd, builds, variant):
    server = gated(httpd, builds, start=False)
    fc.arm(server, "probe")

    def kill_one():
        pid, = fc.wait_caught(server, "probe")
        os.kill(pid, signal.SIGKILL)
        return True
    with ThreadPoolExecutor(1) as pool:
        done = pool.submit(kill_one)
        server.start()
        assert done.result()
    server.assert_jailed()
    assert "goes on" not in server.log()


def test_probes_that_stop_do_not_stop_the_parent(httpd, builds, variant):
    server = gated(httpd, builds)
    fc.arm(server, "probe", 3)
    begun = begin_graceful(server)
    assert server.get("/which.txt", timeout=60).text == "inside"
    wait_for(begun, "the restart", 60)
    wait_for(server.answers, "an answer", 20)
    assert f"goes on, by {variant} chroot" in server.log()
    server.assert_jailed()


def test_probes_that_stop_are_a_refusal_at_the_first_start(
        httpd, builds, variant):
    server = gated(httpd, builds, start=False)
    fc.arm(server, "probe", 3)
    said = server.refused_start()
    assert "goes on" not in said and "cannot be locked into" in said


@pytest.mark.parametrize("mpm", ["event"])   # a child waits ten seconds
def test_a_jailer_that_does_not_answer_is_not_waited_for(httpd, builds, mpm):
    server = gated(httpd, builds, mpm=mpm, config="MinSpareThreads 8\n")
    parent = server.pid
    server.serving()
    fc.arm(server, "dropped")
    os.kill(server.workers()[0], signal.SIGKILL)
    pid = fc.wait_caught(server, "dropped")[0]
    jailer = wait_for(lambda: fc.clones_of(pid), "the jailer")[0]
    os.kill(jailer, signal.SIGSTOP)
    wait_for(lambda: procfs.state(jailer) == "T", "the jailer to stop")
    fc.go_on(pid)
    assert fc.outcome(server, pid, 40) == "gone"
    assert f"no answer from the jailer for {server.jail}" in server.log()
    os.kill(jailer, signal.SIGCONT)
    wait_for(lambda: not procfs.alive(jailer), "the jailer to go")
    wait_for(server.answers, "an answer")
    server.assert_jailed()
    assert server.pid == parent


@pytest.mark.parametrize("fix_root", ["On", "Off"])
def test_a_jail_that_cannot_be_searched_any_more_does_not_end_the_server(
        jailed, mpm, variant, fix_root):
    server = jailed(f"ChrootFixRoot {fix_root}")
    parent = server.pid
    server.serving()                    # a child that starts may meet AH00166
    server.expect_log(r":alert\].*cannot search it")
    server.expect_log(r":alert\].*goes on")
    server.allow_log(r":alert\]|AH00035|AH00045|AH00046")
    server.jail.chmod(0o700)
    begun = begin_graceful(server)
    wait_for(begun, "the restart", 30)
    wait_for(lambda: "User cannot enter" in server.log(), "a refusal", 20)
    assert server.pid == parent and procfs.alive(parent)
    server.jail.chmod(0o755)
    wait_for(server.answers, "an answer", 20)
    server.assert_jailed()


# ------------------------------------------------------------------- attackers

# A user of this run's own, whom nobody but the server knows: kill(-1) is for
# all processes of a user
HOSTILE = 61000 + os.getpid() % 4000


@pytest.fixture
def hostile(httpd):
    def start(config):
        server = httpd("ChrootDir ${JAIL}\n" + config, user=f"#{HOSTILE}",
                       group=f"#{HOSTILE}")
        server.put({"../passwd": Path("/etc/passwd").read_text() +
                    f"hostile:x:{HOSTILE}:{HOSTILE}::/:/bin/false\n"})
        server.binds = [(server.root / "passwd", "/etc/passwd")]
        return server.start()
    return start


@contextlib.contextmanager
def attacker(server, act):
    """A process of User's in the jail that calls act() again and again."""
    pid = os.fork()
    if pid == 0:
        with contextlib.suppress(BaseException):
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            os.chroot(server.jail)
            os.chdir("/")
            os.setgroups([])
            os.setresgid(HOSTILE, HOSTILE, HOSTILE)
            os.setresuid(HOSTILE, HOSTILE, HOSTILE)
            while os.getuid() == HOSTILE:
                with contextlib.suppress(OSError):
                    act()
        os._exit(1)
    try:
        yield pid
        assert procfs.alive(pid), "the attacker itself failed"
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)


def kill_all():
    os.kill(-1, signal.SIGKILL)


def stop_all():
    os.kill(-1, signal.SIGSTOP)


@pytest.mark.parametrize("act", [kill_all, stop_all])
def test_signals_for_all_of_users_processes_during_a_restart(
        hostile, mpm, variant, act):
    server = hostile("ChrootFixRoot Off")
    server.allow_log(r":alert\]|exit signal Killed|AH00045|AH00046|"
                     "AH10392|AH10393|AH00166")
    parent = server.pid
    old = server.children()
    with attacker(server, act):
        begun = begin_graceful(server)
        wait_for(begun, "the restart", 60)
    assert procfs.alive(parent)
    for pid in {*old, *server.children()}:      # none of them is root
        with contextlib.suppress(OSError):
            os.kill(pid, signal.SIGCONT)
    wait_for(lambda: resumed(server) and server.answers(), "an answer", 30)
    assert server.pid == parent


def resumed(server):
    for pid in server.children():
        with contextlib.suppress(OSError):
            if procfs.state(pid) == "T":
                os.kill(pid, signal.SIGCONT)
    return True


# -------------------------------------------------------- root looks into jail

def hostile_files(server):
    server.put({
        "a": Link("b"), "b": Link("a"), "out": Link("../../../../etc"),
        "full/.keep": "", "up": Link(".."),
        "in\nfe\x1b[31mct": File("", mode=0o4755),
        "di\nr/su": File("", mode=0o4755),
    })
    for i in range(3000):
        (server.jail / f"full/{i}").touch()
    for name in ("fifo", "bin\nfifo"):
        os.mkfifo(server.jail / name)
    os.truncate(server.jail / "full/1", 1 << 40)


def test_nothing_in_the_jail_is_opened_by_root(httpd, mpm, variant):
    server = httpd("ChrootDir ${JAIL}\nChrootFixRoot Off\nDocumentRoot /")
    hostile_files(server)
    server.expect_log(r":warn\].*in\\\\+nfe.*is set-user-id")
    server.expect_log(r":warn\].*di\\\\+nr/su .*is set-user-id")
    trace = server.root / "logs/trace"
    server.wrapper = ["strace", "-qq", "-y", "-o", trace, "-e",
                      "trace=open,openat,openat2,readlink,getdents64"]
    server.start()
    server.assert_jailed()
    wrong = [line for line in trace.read_text().splitlines()
             if f"{server.jail}/" in line
             or f"{server.jail}" in line and "getdents" in line]
    assert not wrong
    assert "\x1b" not in server.log()


def test_a_directory_of_a_million_entries_is_not_read_to_its_end(httpd):
    """A mount holds it, which goes with all that is in it."""
    server = httpd("ChrootDir ${JAIL}\nChrootFixRoot Off\nDocumentRoot /")
    server.put({"many": Dir})
    with tmpfs(server.jail / "many"):
        for i in range(1_000_000):
            os.mknod(f"{server.jail}/many/{i}")
        trace = server.root / "logs/trace"
        server.wrapper = ["strace", "-f", "-qq", "-y", "-o", trace, "-e",
                          "trace=getdents64"]
        status, output = server.httpd("-t", "-D", "DUMP_CHROOT")
        assert status == 0, output
        assert f"note: {server.jail}/many has many entries" in output
        read = sum("/many>" in line for line in trace.read_text().splitlines())
        assert 0 < read < 10


@contextlib.contextmanager
def tmpfs(path):
    subprocess.run(["mount", "-t", "tmpfs", "-o", "nr_inodes=0", "tmpfs", path],
                   check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", path], check=True)


def test_the_report_escapes_what_names_hold(httpd, variant):
    server = httpd("ChrootDir ${JAIL}\nChrootFixRoot Off\nDocumentRoot /")
    hostile_files(server)
    status, output = server.httpd("-t", "-D", "DUMP_CHROOT")
    assert status == 0, output
    assert "\x1b" not in output
    assert re.search(r"(?m)^warning: \S*/in\\nfe\\x1b\[31mct \(owner", output)


# --------------------------------------------------------------------- tracing

def test_a_late_child_cannot_be_traced_until_it_is_jailed(
        httpd, builds, mpm):
    """Who may trace a process owns its files in /proc."""
    server = httpd("ChrootDir ${JAIL}\nTestAttack traceable stop\n",
                   modules=[("test_attack", builds.module("test_attack"))])
    server.answers = lambda: True
    server.start()
    del server.answers
    parent = server.pid

    def stopped():
        return [pid for pid in procfs.children(parent)
                if procfs.state(pid) == "T"]
    pid = wait_for(stopped, "a child in child_init")[0]
    assert procfs.uids(pid) == [UID] * 4 and procfs.root_path(pid) == "/"
    assert os.stat(f"/proc/{pid}/maps").st_uid == 0

    def resume(condition):
        for child in stopped():
            os.kill(child, signal.SIGCONT)
        return condition()
    wait_for(lambda: resume(server.answers), "an answer")
    server.assert_jailed()
    wait_for(lambda: os.stat(f"/proc/{pid}/maps").st_uid == UID,
             "what fs.suid_dumpable allows")
    os.kill(parent, signal.SIGTERM)             # children still come, and stop
    wait_for(lambda: resume(lambda: not server.leftovers()), "httpd to stop")


# ------------------------------------------------ lines that root will paste

MOUNT = ('ChrootDir "${JAIL}"\nChrootFixRoot Mount\n'
         'DocumentRoot "${JAIL}/html"\nAlias "/app" "${ROOT}/app"\n')
EVIL = "/tmp/x\nInclude /tmp\n#"


@pytest.fixture
def report_of_links(httpd):
    """With an application whose link leads to a link, which User has put there
    or root."""
    def run(target, uid=UID):
        server = httpd(MOUNT, files={
            "html/index.html": "x", "../app/data": Link("../state/data"),
            "../state": Dir})
        os.chown(server.root / "state", uid, GID)
        (server.root / "state/data").symlink_to(target)
        os.lchown(server.root / "state/data", uid, GID)
        status, output = server.httpd("-t", "-D", "DUMP_CHROOT")
        assert status == 0, output
        return output
    return run


def test_no_line_of_the_block_is_users(report_of_links):
    os.makedirs(EVIL)
    try:
        assert "\nInclude" not in report_of_links(EVIL)
    finally:
        shutil.rmtree("/tmp/x\nInclude ")


def test_no_bind_is_users(report_of_links):
    assert "ChrootBind rw /var/backups" not in report_of_links("/var/backups")
    assert "\nChrootBind rw /var/backups\n" in report_of_links("/var/backups", 0)


# ------------------------------------------------ what a probe hands over

WRITER = r"""
import os, sys
children = "/proc/{0}/task/{0}/children".format(sys.argv[1])
done = set(open(children).read().split())
print("ready", flush=True)
while True:
    for pid in set(open(children).read().split()) - done:
        try:
            for line in open(f"/proc/{pid}/maps"):
                start, end = (int(n, 16) for n in line.split()[0].split("-"))
                if "rw-s" in line and end - start == 69632:
                    fd = os.open(f"/proc/{pid}/mem", os.O_RDWR)
                    for _ in range(300):
                        os.pwrite(fd, b"1" * (end - start - 8), start + 8)
        except OSError:
            pass
"""


def test_what_a_probe_has_seen_is_written_by_nobody_else(httpd):
    """It has much to look at, so that there is time."""
    server = httpd(
        "ChrootDir ${JAIL}\nCoreDumpDirectory ${JAIL}/core\n"
        + "".join(f"ScriptAlias /c{i} /c{i}\n" for i in range(8)),
        variant="early", files={"core": Dir, **{
            f"c{i}/p{n}": File("#!/c0/p0\n" + "x" * 4000, mode=0o755)
            for i in range(8) for n in range(1000)}})
    server.start()
    parent = server.pid
    with subprocess.Popen(
            ["setpriv", f"--reuid={UID}", f"--regid={GID}", "--clear-groups",
             sys.executable, "-c", WRITER, str(parent)], text=True,
            stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as writer:
        assert writer.stdout.readline() == "ready\n"
        for _ in range(5):
            seen = server.generations()
            server.control("graceful")
            wait_for(lambda: server.generations() > seen, "a restart")
        writer.kill()
    assert "1111" not in server.log() and server.pid == parent


def test_programs_in_a_directory_that_many_hosts_have(httpd):
    hosts = "".join(f"<VirtualHost *>\nServerName h{i}\nScriptAlias /cgi-bin/ "
                    "${JAIL}/cgi/\n</VirtualHost>\n" for i in range(1000))
    server = httpd(
        "ChrootDir ${JAIL}\nChrootFixRoot On\nDocumentRoot ${JAIL}/cgi\n"
        + hosts, files={f"cgi/p{i}": File("#!/cgi/p0\n", mode=0o755)
                        for i in range(1024)})
    status, output = server.configtest()
    assert status == 0 and "alert" not in output, output


# ------------------------------------------------------------ all of it at once

def worst():
    """One of many bad turns, as User in a jail that User may write to."""
    turn = random.Random(time.monotonic_ns())
    name = f"/{turn.randrange(50)}"
    act = turn.randrange(9)
    if act == 0:
        for _ in range(200):
            os.kill(-1, signal.SIGKILL)
    elif act == 1:
        for _ in range(200):
            os.kill(-1, signal.SIGSTOP)
        time.sleep(0.05)
        os.kill(-1, signal.SIGCONT)
    elif act == 2:
        os.kill(-1, turn.choice([signal.SIGTERM, signal.SIGHUP,
                                 signal.SIGUSR1, signal.SIGABRT]))
    elif act == 3:
        os.mkfifo(name)
    elif act == 4:
        os.rename(name, f"/{turn.randrange(50)}")
    elif act == 5:
        os.symlink(turn.choice(["..", name, "/etc", "/proc/self/root"]), name)
    elif act == 6:
        os.makedirs(f"/full/{name}", exist_ok=True)
        for i in range(100):
            with open(f"/full/{turn.randrange(3000)}\n", "w"):
                pass
    elif act == 7:
        os.unlink(name)
    else:
        os.chmod("/", turn.choice([0o755, 0o700, 0o000, 0o777]))
    time.sleep(turn.random() / 20)


@pytest.mark.parametrize("fix_root", ["Off", "On", "Mount"])
def test_restarts_while_a_process_in_the_jail_does_its_worst(
        hostile, mpm, variant, fix_root):
    server = hostile(f"ChrootFixRoot {fix_root}\nDocumentRoot "
                     + ("/" if fix_root == "Off" else "${JAIL}"))
    server.allow_log(".*")
    parent = server.pid
    os.chown(server.jail, HOSTILE, HOSTILE)
    restarts = RESTARTS if fix_root == "Off" else RESTARTS * 2 // 5
    for batch in range(0, restarts, 10):
        with attacker(server, worst):
            for i in range(batch, batch + 10):
                wait_for(begin_graceful(server), f"restart {i}", 60)
                until = time.monotonic() + PAUSE
                wait_for(lambda: confined(server) or until < time.monotonic(),
                         "a child")
                assert procfs.alive(parent) and server.pid == parent
        server.jail.chmod(0o755)
        wait_for(lambda: resumed(server) and server.answers(),
                 "an answer", 60)
        confined(server)
    resumed(server)
    server.serving()
    assert confined(server)


def confined(server):
    """No process serves outside; whether one serves."""
    serving = server.workers()
    for pid in serving:
        with contextlib.suppress(OSError):
            root = os.stat(f"/proc/{pid}/root")
            assert not os.path.samestat(root, os.stat("/"))
            assert procfs.is_jailed(pid, server.jail) or os.path.samestat(
                os.stat(f"/proc/{pid}/root{server.jail}"),
                os.stat(server.jail))
    return serving
