"""Every step of a child's way into the jail fails once, and the jailer is
attacked.  Nothing is served from outside, the log says what went wrong, the
parent and its healthy children live on.

A child is stopped at its birth by mod_test_gate, strace is attached to it
alone, and one system call of its way is made to fail (--inject).  Which calls
there are is found out by watching a child first: the tests follow the code.
"""
import contextlib
import os
import re
import signal
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import pytest

import failclosed as fc
import procfs
from harness import VARIANTS, describe, wait_for

EVERY_STEP = os.environ.get("CHROOT_TEST_EVERY_STEP")

SPARE = {"event": "MinSpareThreads 8\n", "worker": "MinSpareThreads 8\n",
         "prefork": "MinSpareServers 2\n"}


@pytest.fixture(params=os.environ.get("CHROOT_TEST_MPMS", "prefork").split())
def mpm(request):
    """One MPM, for time's sake; CHROOT_TEST_MPMS names others."""
    return request.param


@dataclass
class Step:
    call: str
    nth: int            # of this call, by this process, since its gate
    text: str


def parse(trace):
    """strace -o -> Steps, up to where the child says that it is locked in."""
    seen, steps = {}, []
    for line in trace.splitlines():
        match = re.match(r"(\w+)\(", line)
        if not match or " resumed>" in line:
            continue
        call = match[1]
        seen[call] = seen.get(call, 0) + 1
        steps.append(Step(call, seen[call], line))
        if call in ("write", "writev") and "locked into" in line:
            break
    return steps


def replace_a_child(server, point="drop"):
    """Kill a child; its successor is stopped at the gate."""
    server.serving()
    fc.arm(server, point)
    os.kill(server.workers()[0], signal.SIGKILL)
    return fc.wait_caught(server, point)[0]


WAYS = {}


def way_of(server, variant):
    """The Steps of a healthy child, watched once per MPM and variant."""
    key = server.mpm, variant
    if key not in WAYS:
        trace = server.root / "logs/strace"
        pid = replace_a_child(server)
        with fc.traced(pid, "-s", "200", output=trace):
            fc.go_on(pid)
            assert fc.outcome(server, pid) == "serves"
        WAYS[key] = parse(trace.read_text())
        assert "locked into" in WAYS[key][-1].text
    return WAYS[key]


@pytest.fixture
def gated(httpd, builds):
    def make(config="", mpm="event", **options):
        return fc.with_gate(httpd, builds, SPARE[mpm] + config, mpm=mpm,
                            **options)
    return make


# what fails, and how to find it in a healthy child's trace
STEPS = {
    "open of the threads": ("openat", r'"/proc/self/task"'),
    "the first pipe": ("pipe2", None),
    "the second pipe": ("pipe2#2", None),
    "clone": ("clone", r"CLONE_FS"),
    "chroot": ("chroot", None),
    "setgid": ("setgid", None),
    "setgroups": ("setgroups", None),
    "setuid": ("setuid", None),
    "write to the jailer": ("write", r'\(\d+, "\\0", 1\)'),
    "read from the jailer": ("read", r", 16\) "),
    "wait4": ("wait4", None),
    "stat of the root": ("newfstatat", r'"/", '),
    "chdir": ("chdir", r'"/"'),
    "a thread's root": ("newfstatat", r"/root"),
    "open of descriptors": ("openat", r'"\d+/fd"'),
    "listing of threads": ("getdents64", None),
    "listing of descriptors": ("getdents64#2", None),
    "capget": ("capget", None),
}


ONLY = {"the first pipe": "late", "the second pipe": "late", "clone": "late",
        "write to the jailer": "late", "read from the jailer": "late",
        "wait4": "late", "chroot": "early", "open of the threads": "late",
        "a thread's root": "late", "open of descriptors": "late",
        "listing of threads": "late", "listing of descriptors": "late"}


def find(way, name, pattern):
    call, _, nth = name.partition("#")
    found = [step for step in way if step.call == call
             and (not pattern or re.search(pattern, step.text))]
    index = int(nth or 1) - 1
    return found[index] if len(found) > index else None


def assert_lives_on(server, parent, pid):
    """The parent has seen the child go, and replaces it."""
    wait_for(lambda: server.gone(pid), "the parent to reap the child")
    wait_for(lambda: not procfs.alive(parent) or len(server.workers()) >= 2,
             "another child", 15)
    assert procfs.alive(parent), "the parent has gone; left: " + "; ".join(
        map(describe, server.leftovers()))
    assert server.answers()


def break_child(server, fault):
    """Let a new child fail so -> (what became of it, its alerts, pid)"""
    parent, mark = server.pid, len(server.log())
    pid = replace_a_child(server)
    with fc.Client(server) as client:
        with fc.traced(pid, *fc.inject(fault)):
            fc.go_on(pid)
            result = fc.outcome(server, pid)
            if result == "serves":
                fc.assert_child_is_confined(server, pid)
        if result == "gone":
            assert_lives_on(server, parent, pid)
    client.assert_no_leak()
    return result, fc.alerts(server, mark), pid


def assert_said(server, alerts, errno="Input/output error", path=True):
    server.allow_log(r":(alert|emerg)\]")
    assert alerts, "no ALERT"
    assert not path or any(str(server.jail) in line for line in alerts), alerts
    if errno:
        assert any(errno in line for line in alerts), alerts


@pytest.mark.parametrize("variant, name", [
    (variant, name) for name in STEPS for variant in VARIANTS
    if ONLY.get(name, variant) == variant])
def test_a_step_of_a_child_that_fails(gated, mpm, variant, name):
    server = gated(mpm=mpm)
    server.allow_log(r":(alert|emerg)\]")
    step = find(way_of(server, variant), *STEPS[name])
    assert step, f"no such step any more: {name}"
    result, alerts, _ = break_child(server, f"{step.call}:error=EIO:"
                                            f"when={step.nth}")
    assert result == "gone", f"it serves, although {step.text} failed"
    assert_said(server, alerts,
                path=step.call not in ("setuid", "setgid", "setgroups"))
    server.assert_jailed()


# what a process gets away with that believes its system calls
LIES = ["chroot", "chdir", "setgid", "setuid"]


@pytest.mark.parametrize("call", LIES)
def test_a_step_of_a_child_that_only_seems_to_succeed(
        gated, mpm, variant, call):
    server = gated(mpm=mpm, wrapper=["setpriv", "--groups", "0,4"])
    server.allow_log(r":(alert|emerg)\]")
    step = find(way_of(server, variant), call, None)
    if step is None:
        return                          # the jailer's, see below
    result, alerts, _ = break_child(server, f"{call}:retval=0:when={step.nth}")
    if result == "gone":
        assert_said(server, alerts, errno=None)
    server.assert_jailed()


# strace skips a close it lets fail; the kernel never does
CANNOT_FAIL = ("close", "futex", "geteuid", "getpid", "getuid", "mprotect",
               "munmap", "restart_syscall", "rt_sigprocmask", "rt_sigreturn")


def test_each_system_call_of_a_child_fails_once(gated, mpm, variant):
    """A sample; all of them with CHROOT_TEST_EVERY_STEP."""
    server = gated(mpm=mpm)
    server.allow_log(r":(alert|emerg)\]")
    wrong = []
    for step in way_of(server, variant)[:-1:1 if EVERY_STEP else 25]:
        if step.call in CANNOT_FAIL:
            continue
        if not server.running():
            wrong.append("the parent has gone: start again")
            server.start()
        try:
            result, alerts, _ = break_child(
                server, f"{step.call}:error=EIO:when={step.nth}")
            if result == "gone":
                assert_said(server, alerts)
            print(f"{result}: {step.text[:110]}")
        except AssertionError as error:
            wrong.append(f"{step.text[:140]}: {str(error)[:700]}")
    assert not wrong, "\n".join(wrong)


# ------------------------------------------------------------ the jailer's own

JAILER_STEPS = {"read": "read:error=EIO:when=1",
                "end of file": "read:retval=0:when=1",
                "chroot": "chroot:error=EIO:when=1",
                "chroot that lies": "chroot:retval=0:when=1",
                "chdir": "chdir:error=EIO:when=1",
                "chdir that lies": "chdir:retval=0:when=1",
                "write": "write:error=EIO:when=1",
                "short write": "write:retval=1:when=1",
                "killed in chroot": "chroot:signal=KILL:when=1",
                "killed in chdir": "chdir:signal=KILL:when=1",
                "killed in write": "write:signal=KILL:when=1"}


def jailer_of(pid):
    return wait_for(lambda: fc.clones_of(pid), "the jailer")[0]


@pytest.mark.parametrize("name", JAILER_STEPS)
def test_a_step_of_the_jailer_that_fails(gated, mpm, name):
    server = gated(mpm=mpm)
    server.allow_log(r":(alert|emerg)\]")
    mark = len(server.log())
    pid = replace_a_child(server, "dropped")
    jailer = jailer_of(pid)
    with fc.Client(server) as client:
        with fc.traced(jailer, *fc.inject(JAILER_STEPS[name])):
            fc.go_on(pid)
            result = fc.outcome(server, pid)
            if result == "serves":
                fc.assert_child_is_confined(server, pid)
    client.assert_no_leak()
    assert not procfs.alive(jailer)
    if name in ("chroot", "chdir", "write", "read", "end of file",
                "chroot that lies", "killed in chroot", "killed in chdir"):
        assert result == "gone"
    if result == "gone":
        assert_said(server, fc.alerts(server, mark),
                    errno="Input/output error"
                    if name in ("chroot", "chdir") else None)
    wait_for(server.answers, "an answer")
    server.assert_jailed()


# ---------------------------------------------------- first, later, after USR1

PERSISTENT = {"chroot": "chroot:error=EIO", "setuid": "setuid:error=EAGAIN",
              "pipe2": "pipe2:error=EMFILE"}


@pytest.mark.parametrize("call", PERSISTENT)
def test_no_child_can_be_confined_any_more(gated, mpm, variant, call):
    """All children of a running server fail until it heals."""
    server = gated(mpm=mpm)
    server.allow_log(r":(alert|emerg)\]")
    if variant == "early" and call == "pipe2":
        return
    parent = server.pid
    server.serving()
    mark = len(server.log())
    with fc.Client(server) as client:
        with fc.traced(parent, "-f", *fc.inject(PERSISTENT[call])):
            for pid in server.workers():
                os.kill(pid, signal.SIGKILL)
            began = time.monotonic()
            # two children, each of which may say two lines
            wait_for(lambda: len(fc.alerts(server, mark)) > 4
                     or not server.running(), "several failures", 20)
            took = time.monotonic() - began
            assert server.running(), "the parent has gone"
            assert not server.workers(), "a child serves"
    client.assert_no_leak()
    assert took > 1, f"a child twice within {took} s"
    wait_for(server.answers, "the server to heal", 20)
    assert server.pid == parent
    assert_said(server, fc.alerts(server, mark), None)
    server.assert_jailed()
    server.terminate()
    assert not server.leftovers()


PROBE_STEPS = {
    "late": ["openat:error=EMFILE", "pipe2:error=EMFILE:when=1",
             "pipe2:error=EMFILE:when=2", "clone:error=EAGAIN:when=1",
             "setgid:error=EIO", "setgroups:error=EIO", "setuid:error=EAGAIN",
             "chroot:error=EIO", "chroot:retval=0", "chdir:error=EIO",
             "write:error=EIO:when=1", "wait4:error=EIO",
             "newfstatat:error=EIO", "getdents64:error=EIO",
             "capget:error=EIO", "setuid:signal=SEGV", "setuid:signal=KILL",
             "exit_group:signal=KILL"],
    "early": ["openat:error=EMFILE", "chroot:error=EIO",
              "chroot:retval=0", "chdir:error=EIO:when=1",
              "setuid:error=EAGAIN", "setgid:error=EIO",
              "capget:error=EIO", "exit_group:signal=KILL"]}


def start_with_a_broken_probe(server, fault):
    """httpd reads its configuration twice, and tries twice.
    -> has it started?"""
    fc.arm(server, "probe", 6)          # an early one may follow a late one
    tracers = contextlib.ExitStack()
    with ThreadPoolExecutor(1) as pool, tracers:
        started = pool.submit(server.try_start)
        while not started.done():
            for pid in fc.caught(server, "probe"):
                tracers.enter_context(fc.traced(pid, "-f", *fc.inject(fault)))
                fc.forget(server, pid)
                fc.go_on(pid)
        return started.result()


@pytest.mark.parametrize("variant, fault", [
    (variant, fault) for variant in VARIANTS
    for fault in PROBE_STEPS[variant]])
def test_the_first_start_where_nobody_can_be_confined(
        gated, variant, fault):
    server = gated(start=False)
    assert not start_with_a_broken_probe(server, fault)
    server.allow_log(".*")
    said = fc.alerts(server)
    assert len(said) > 1, said          # the reason and the cure
    assert all(str(server.jail) in line or ":chroot:" not in line
               for line in said)
    if "error=" in fault:
        assert re.search(r"\(\d+\)(Input/output error|Resource temp|Too many)",
                         "".join(said)), said


def test_a_start_where_wait_for_the_probe_fails(gated):
    server = gated(start=False)
    server.wrapper = ["strace", "-qq", "-o", "/dev/null",
                      *fc.inject("wait4:error=EIO:when=1")]
    said = server.refused_start()
    assert "Input/output error" in said


@pytest.mark.parametrize("fault", [
    "clone:error=EPERM:when=1", "clone:error=ENOSYS:when=1",
    "clone:error=EINVAL:when=1"])
def test_the_generation_is_early_where_clone_is_forbidden(gated, fault):
    server = gated(start=False)
    assert start_with_a_broken_probe(server, fault)
    assert re.search(r":notice\].*early chroot", server.log())
    server.assert_jailed()


@pytest.mark.parametrize("fault", ["chroot:error=EIO", "setuid:error=EAGAIN"])
def test_a_graceful_restart_after_which_nobody_can_be_confined(
        gated, mpm, variant, fault):
    """The probe fails: httpd goes on, and nobody serves until it heals."""
    server = gated(mpm=mpm)
    server.allow_log(".*")
    parent = server.pid
    old = server.serving()
    with fc.Client(server) as client:
        with fc.traced(parent, "-f", *fc.inject(fault)):
            os.kill(parent, signal.SIGUSR1)
            wait_for(lambda: len(fc.alerts(server)) > 3, "alerts")
            wait_for(lambda: not set(old) & set(server.workers()),
                     "the old generation to end")
            assert not server.workers()
    client.assert_no_leak()
    wait_for(server.answers, "the server to heal", 20)
    assert server.pid == parent
    server.assert_jailed()


# -------------------------------------------------------------------- signals

SIGNALS = ["TERM", "USR1", "HUP", "WINCH", "KILL", "INT", "QUIT", "ALRM"]


@pytest.mark.parametrize("name", SIGNALS)
@pytest.mark.parametrize("when", ["before", "after"])
def test_a_signal_to_the_jailer(gated, mpm, name, when):
    """Before it was asked, and while it has been asked but has not acted."""
    server = gated(mpm=mpm)
    server.allow_log(r":alert\]")
    pid = replace_a_child(server, "dropped")
    jailer = jailer_of(pid)
    with fc.Client(server) as client:
        if when == "before":
            os.kill(jailer, getattr(signal, f"SIG{name}"))
            fc.go_on(pid)
        else:
            os.kill(jailer, signal.SIGSTOP)
            wait_for(lambda: procfs.state(jailer) == "T", "the jailer to stop")
            fc.go_on(pid)
            wait_for(lambda: asked(pid), "the child to ask")
            assert not fc.is_serving(server, pid)
            os.kill(jailer, getattr(signal, f"SIG{name}"))
            if name != "KILL":
                os.kill(jailer, signal.SIGCONT)
        result = fc.outcome(server, pid)
        assert result == ("gone" if name == "KILL" else "serves")
        if result == "serves":
            fc.assert_child_is_confined(server, pid)
    client.assert_no_leak()
    assert not procfs.alive(jailer)
    wait_for(server.answers, "an answer")
    server.assert_jailed()


POLL = "7"      # its number, x86-64


def asked(pid):
    """The child waits for an answer, from one pipe."""
    words = open(f"/proc/{pid}/syscall").read().split()
    return words[0] == POLL and words[2] == "0x1"


@pytest.mark.parametrize("name", ["TERM", "INT", "USR1", "HUP", "WINCH"])
@pytest.mark.parametrize("when", ["before", "after"])
def test_a_signal_to_the_process_group_while_a_child_starts(
        gated, mpm, name, when):
    server = gated(mpm=mpm)
    server.allow_log(r":alert\]")
    server.allow_log("AH03092")         # httpd's own, when it is stopped
    pid = replace_a_child(server, "dropped")
    jailer = jailer_of(pid)
    parent = server.pid
    with fc.Client(server) as client:
        if when == "after":
            os.kill(jailer, signal.SIGSTOP)
            fc.go_on(pid)
            wait_for(lambda: asked(pid), "the child to ask")
        os.killpg(os.getpgid(parent), getattr(signal, f"SIG{name}"))
        if when == "after":
            os.kill(jailer, signal.SIGCONT)
        else:
            fc.go_on(pid)
        if name in ("TERM", "INT", "WINCH"):
            wait_for(lambda: server.gone(parent), "httpd to end", 15)
            wait_for(lambda: not server.leftovers(), "no process behind", 10)
        else:
            wait_for(lambda: not procfs.alive(jailer), "the jailer to go")
            wait_for(server.answers, "an answer")
            wait_for(lambda: server.generations() > 1, "the restart")
            server.assert_jailed()
    client.assert_no_leak()


@pytest.mark.parametrize("sent", ["KILL", "SEGV"])
@pytest.mark.parametrize("stopped", [False, True])
def test_a_child_killed_before_child_init_leaves_no_jailer(
        gated, mpm, sent, stopped):
    """PR_SET_PDEATHSIG does not do it: the child has dropped root, and what
    it sends as it dies needs permission like any signal."""
    server = gated(mpm=mpm)
    server.allow_log("exit signal")
    pid = replace_a_child(server, "init")
    jailer = jailer_of(pid)
    if stopped:
        os.kill(jailer, signal.SIGSTOP)
        wait_for(lambda: procfs.state(jailer) == "T", "the jailer to stop")
    os.kill(pid, getattr(signal, f"SIG{sent}"))
    os.kill(pid, signal.SIGCONT)
    if stopped:                 # only root does this, and root goes on
        wait_for(lambda: not procfs.alive(pid), "the child to end")
        os.kill(jailer, signal.SIGCONT)
    wait_for(lambda: server.gone(jailer), "the jailer to go")
    wait_for(server.answers, "an answer")
    server.assert_jailed()


@pytest.mark.parametrize("action", [signal.SIGTERM, signal.SIGKILL])
def test_the_parent_goes_while_a_child_starts(gated, mpm, action):
    server = gated(mpm=mpm)
    server.allow_log(r":alert\]")
    pid = replace_a_child(server, "dropped")
    jailer = jailer_of(pid)
    parent = server.pid
    os.kill(parent, action)
    fc.go_on(pid)
    wait_for(lambda: server.gone(parent), "the parent to end", 15)
    wait_for(lambda: not procfs.alive(jailer), "the jailer to end")
    if action == signal.SIGKILL:        # httpd's children stay, as ever
        for child in procfs.marked(server.marker, server.root):
            if procfs.alive(child) and child != parent:
                assert procfs.is_jailed(child, server.jail)
                os.kill(child, signal.SIGKILL)
    wait_for(lambda: not server.leftovers(), "no process behind")
