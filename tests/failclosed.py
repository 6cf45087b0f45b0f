"""What the test_failclosed_* have in common: children stopped at a gate
(mod_test_gate.c), strace attached to them, a client that looks for a leak."""
import contextlib
import os
import re
import signal
import subprocess
import threading

import procfs
from harness import GID, THREADS_PER_CHILD, UID, Dir, wait_for

# One path, with and without the jail: outside there is a file that must never
# be served, and another one with the same name as one inside.
SITE = """\
ChrootFixRoot Off
DocumentRoot "${ROOT}/www"
LogLevel info chroot:debug
"""


def both_worlds(server):
    """The files for SITE, outside and inside."""
    inner = str(server.root).strip("/")
    server.put({
        "../www/which.txt": "outside",
        "../www/only.txt": "outside",
        f"{inner}/www/which.txt": "inside",
    })


def with_gate(httpd, builds, config="", modules=(), start=True, **options):
    """A server with SITE and, in gate/, the gates of mod_test_gate."""
    server = httpd("", modules=[
        ("test_gate", builds.module("test_gate")), *modules], **options)
    server.config = (
        'ChrootDir ${JAIL}\nTestGate "${ROOT}/gate"\n' + SITE + config)
    both_worlds(server)
    server.put({"../gate": Dir})
    (server.root / "gate").chmod(0o777)
    # nothing that these tests do is silent
    server.allow_log("exit signal Killed")
    return server.start() if start else server


# ------------------------------------------------------------------- gates

def arm(server, point, count=1):
    """The next processes that reach the point will stop there."""
    gate = server.root / "gate"
    for i in range(count):
        (gate / (f"{point}.{i}" if i else point)).touch()


def disarm(server):
    for left in (server.root / "gate").iterdir():
        left.unlink()


def caught(server, point):
    """{process that stopped at point}"""
    found = set()
    for name in os.listdir(server.root / "gate"):
        if match := re.fullmatch(rf"{point}(?:\.\d)?\.(\d{{2,}})", name):
            pid = int(match[1])
            with contextlib.suppress(OSError):
                if procfs.state(pid) in "Tt":
                    found.add(pid)
    return found


def wait_caught(server, point, count=1):
    found = wait_for(lambda: len(caught(server, point)) >= count
                     and caught(server, point),
                     f"{count} stopped at {point}", 15)
    for pid in found:
        forget(server, pid)
    return sorted(found)


def forget(server, pid):
    for passed in (server.root / "gate").glob(f"*.{pid}"):
        passed.unlink()


def go_on(pid):
    os.kill(pid, signal.SIGCONT)


def clones_of(pid):
    """A child's jailer: no thread of it, but a child."""
    return procfs.children(pid)


# ------------------------------------------------------------------ strace

@contextlib.contextmanager
def traced(pid, *arguments, output="/dev/null"):
    """strace attached to one process, which may be stopped."""
    tracer = subprocess.Popen(
        ["strace", "-qq", "-o", str(output), "-p", str(pid), *arguments],
        stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    try:
        def attached():
            if tracer.poll() is not None:       # what it traced has ended
                assert tracer.returncode == 0 and not procfs.alive(pid), \
                    tracer.stderr.read()
                return True
            return procfs.status(pid)["TracerPid"] == str(tracer.pid)
        wait_for(attached, f"strace to attach to {pid}")
        yield tracer
    finally:
        if tracer.poll() is None:
            tracer.terminate()
        tracer.wait(60)
        tracer.stderr.close()


def inject(fault):
    """"chroot:error=EIO:when=1" -> strace's arguments"""
    call = fault.split(":")[0]
    return ["-e", f"trace={call}", "-e", f"inject={fault}"]


# ------------------------------------------------------------------ outcome

def is_serving(server, pid):
    return pid in server.workers()


def outcome(server, pid, timeout=15):
    """What becomes of a child: "serves" or "gone"."""
    def decided():
        if is_serving(server, pid):
            return "serves"
        return "gone" if not procfs.alive(pid) else None
    return wait_for(decided, f"{pid} to serve or to go", timeout)


def assert_child_is_confined(server, pid):
    """Root, threads, ids, capabilities, groups, descriptors."""
    wait_for(lambda: len(procfs.tasks(pid)) >= (
        1 if server.mpm == "prefork" else THREADS_PER_CHILD + 1), "threads")
    assert procfs.is_jailed(pid, server.jail), procfs.root_path(pid)

    def is_confined(pid, tid):
        assert procfs.uids(pid, tid) == [UID] * 4
        assert procfs.gids(pid, tid) == [GID] * 4
        assert 0 not in procfs.groups(pid, tid)
        assert procfs.capabilities(pid, tid) == 0
        assert procfs.is_inside(f"/proc/{pid}/task/{tid}/cwd", server.jail)
        for fd in os.listdir(f"/proc/{pid}/task/{tid}/fd"):
            path = f"/proc/{pid}/task/{tid}/fd/{fd}"
            assert not os.path.isdir(path) or procfs.is_inside(
                path, server.jail), path
    procfs.each_thread(pid, is_confined)


def alerts(server, since=0):
    return [line for line in server.log()[since:].splitlines()
            if re.search(r"\[\w+:(alert|emerg)\]", line)]


class Client:
    """Asks for what must not be served, all the time, and looks where the
    children that serve are."""

    def __init__(self, server):
        self.server = server
        self.wrong, self.failed, self.answers = [], [], 0
        self.stopped = threading.Event()
        self.thread = threading.Thread(target=self.run, daemon=True)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.stopped.set()
        self.thread.join(20)

    def run(self):
        while not self.stopped.wait(0.01):
            self.ask("/only.txt", 404, None)
            self.ask("/which.txt", 200, "inside")
            self.look()

    def ask(self, path, status, text):
        try:
            answer = self.server.get(path, timeout=5)
        except Exception as error:      # no answer is no leak
            self.failed.append(f"{path}: {error!r}")
            return
        self.answers += 1
        if answer.status != status or text and answer.text != text:
            self.wrong.append(f"{path}: {answer.status} {answer.text[:40]!r}")

    def look(self):
        with contextlib.suppress(OSError, ValueError):
            for pid in self.server.workers():
                if not procfs.is_jailed(pid, self.server.jail):
                    self.wrong.append(f"{pid} in {procfs.root_path(pid)}")

    def assert_no_leak(self):
        assert not self.wrong, self.wrong[:5]
