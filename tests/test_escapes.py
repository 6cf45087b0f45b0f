"""The known ways out of a jail, tried by a program that runs in it as a CGI:
escape.c.  What fails is asserted with its error.  What chroot(2) is no help
against is asserted, too: CAVEATS.md says what to do about it."""
import contextlib
import os
import re
import signal
import socket
import subprocess
import threading
from pathlib import Path

import pytest

import failclosed as fc
import procfs
from harness import GID, UID, Dir, File, run_ok, self_link, wait_for

# A server that may not make a mount namespace
UNSEALED = ["setpriv", "--bounding-set=-sys_admin"]
AS_USER = ["setpriv", f"--reuid={UID}", f"--regid={GID}", "--clear-groups"]
YAMA = Path("/proc/sys/kernel/yama/ptrace_scope")

# What nobody can do in a jail, and what the kernel answers
HELD = {
    "dot-dot": "ENOENT",
    "inherited-descriptors": "ENOTDIR",
    "second-chroot": "EPERM",
    "mount": "EPERM",
    "fsopen": "EPERM",
    "open_tree": "EPERM",
    "pivot_root": "EPERM",
    "unshare-mounts": "EPERM",
    "unshare-users": "EPERM",
    "clone-users": "EPERM",
    "setns": "EPERM",
    "mknod": "EPERM",
    "open_by_handle_at": "EPERM",
    "ptrace-parent": "EPERM",
    "signal-parent": "EPERM",
    "path-socket": "ENOENT",
    "directory-moved-out": "ENOENT",
}

NO_PROC = dict.fromkeys(["proc-1", "proc-parent", "proc-pid"], "ENOENT")
WITH_PROC = {"proc-1": "EACCES", "proc-parent": "EACCES", "proc-pid": "ok"}


def tracing():
    """kernel.yama.ptrace_scope; kernels without it allow it."""
    restricted = YAMA.exists() and YAMA.read_text().strip() != "0"
    return "EPERM" if restricted else "ok"


# Processes outside that are the same user, sockets that are no files, and
# somebody outside who moves a directory
BY_DESIGN = {
    "ptrace": tracing(),
    "process_vm_readv": tracing(),
    "pidfd_getfd": tracing(),
    "signal": "ok",
    "shared-memory": "ok",
    "semaphores": "ok",
    "abstract-socket": "ok",
    "passed-descriptor": "ok",
    "tcp": "ok",
}


# ------------------------------------------------------- what there is outside

def listener(stack, family, address):
    """Accepts everybody, and on Unix sockets hands over the directory /."""
    sock = stack.enter_context(socket.socket(family))
    sock.bind(address)
    sock.listen(50)

    def accept():
        with contextlib.suppress(OSError):
            while True:
                client, _ = sock.accept()
                with client, contextlib.suppress(OSError):
                    if family == socket.AF_UNIX:
                        fd = os.open("/", os.O_PATH)
                        socket.send_fds(client, [b"/"], [fd])
                        os.close(fd)

    thread = threading.Thread(target=accept, daemon=True)
    thread.start()
    stack.callback(thread.join, 10)
    stack.callback(sock.shutdown, socket.SHUT_RDWR)
    return sock


def victim(stack):
    """A process that is User, with the directory / open."""
    fd = os.open("/", os.O_PATH)
    process = subprocess.Popen([*AS_USER, "sleep", "600"], pass_fds=[fd],
                               cwd="/", stdin=subprocess.DEVNULL)
    os.close(fd)
    stack.callback(process.wait)
    stack.callback(process.kill)
    wait_for(lambda: Path(f"/proc/{process.pid}/comm").read_text()
             == "sleep\n", "sleep to run")
    maps = Path(f"/proc/{process.pid}/maps").read_text()
    return {"pid": process.pid, "fd": fd,
            "address": "0x" + maps.partition("-")[0]}


def user_ipc(stack):
    """System V's, for User alone."""
    said = run_ok([*AS_USER, "ipcmk", "-M", "4096", "-S", "1", "-p", "0600"])
    memory, semaphores = re.findall(r"id: (\d+)", said)
    stack.callback(run_ok, ["ipcrm", "-m", memory, "-s", semaphores])
    return {"memory": memory, "semaphores": semaphores}


def mover(stack, jail, target):
    """Moves jail/tmp/moving out once somebody stands in it."""
    directory = jail / "tmp/moving"
    directory.mkdir()
    directory.chmod(0o777)
    over = threading.Event()

    def move():
        while not over.wait(0.01):
            if (directory / "ready").exists():
                directory.rename(target)
                return

    thread = threading.Thread(target=move, daemon=True)
    thread.start()
    stack.callback(thread.join, 10)
    stack.callback(over.set)


@pytest.fixture
def outside():
    """Everything that escape.c looks for: {name in its query: value}"""
    with contextlib.ExitStack() as stack:
        def make(server):
            root = server.root
            (root / "secret.txt").write_text("secret")
            listener(stack, socket.AF_UNIX, str(root / "socket"))
            (root / "socket").chmod(0o777)
            listener(stack, socket.AF_UNIX, f"\0{root}")
            tcp = listener(stack, socket.AF_INET, ("127.0.0.1", 0))
            mover(stack, server.jail, root / "moved")
            return {"secret": str(root / "secret.txt")[1:],
                    "path": root / "socket", "abstract": root,
                    "port": tcp.getsockname()[1], "parent": server.pid,
                    **victim(stack), **user_ipc(stack)}
        yield make


def query(known, only=""):
    return "&".join(f"{name}={value}" for name, value in
                    {**known, "only": only}.items())


def ways(text):
    """escape.c's lines -> {way: outcome}"""
    return dict(re.findall(r"^(.+): (\S+)$", text, re.M))


# --------------------------------------------------------------- in the jail

CGI = """\
ChrootFixRoot On
ScriptAlias "/cgi-bin/" "${JAIL}/cgi-bin/"
"""
CGID = 'ScriptSock "${JAIL}/cgisock"\n'


@pytest.fixture
def with_escape(httpd, builds):
    def make(mpm="event", module="cgi", mode=0o755, config="", **options):
        server = httpd("ChrootDir ${JAIL}\n" + CGI + config, mpm=mpm,
                       modules=[module], **options)
        server.put({"tmp": Dir, "cgi-bin/escape": File(
            copy_of=builds.program("escape"), mode=mode),
            **self_link(server.jail)})
        (server.jail / "tmp").chmod(0o1777)
        return server
    return make


def escape(server, known, only=""):
    answer = server.get(f"/cgi-bin/escape?{query(known, only)}", timeout=60)
    assert answer.status == 200
    return ways(answer.text)


# What a program has open but pipes, and of which kind it is. mod_cgid's is
# given the error log itself.
SOCKET, REGULAR = "140000", "100000"
OPEN = {"cgi": {}, "cgid": {"descriptor 0": SOCKET, "descriptor 1": SOCKET,
                            "descriptor 2": REGULAR}}


@pytest.mark.parametrize("place, module", [
    ("prefork", "cgi"), ("event", "cgi"), ("event", "cgid")])
def test_a_program_in_the_jail_does_not_get_out(
        with_escape, outside, variant, place, module):
    server = with_escape(place, module,
                         config=CGID if module == "cgid" else "").start()
    found = escape(server, outside(server))
    assert found == {**HELD, **NO_PROC, **BY_DESIGN, **OPEN[module]}


def test_outside_it_does(with_escape, outside, builds):
    """So that what fails in the jail fails for the jail's sake."""
    server = with_escape().start()
    known = outside(server)
    said = run_ok([*AS_USER, builds.program("escape")], cwd="/", env={
        "QUERY_STRING": query(known)}, timeout=60)
    found = ways(said)
    for way in ("dot-dot", "unshare-users", "clone-users", "path-socket",
                "proc-pid"):
        assert found[way] == "ok", way


def test_a_proc_in_the_jail_is_a_way_out(with_escape, outside, variant):
    """To wherever a process of the same user is; the start warns of it."""
    server = with_escape()
    server.put({"proc": Dir})
    server.binds = [("/proc", server.jail / "proc")]
    server.expect_log(r":warn\].*/proc \(owner.*mounted proc file system")
    server.start()
    found = escape(server, outside(server))
    assert found == {**HELD, **WITH_PROC, **BY_DESIGN}


@pytest.mark.parametrize("sealed, outcome", [(True, "EPERM"), (False, "ok")])
def test_a_set_user_id_program_is_a_way_out_where_nothing_is_sealed(
        with_escape, outside, variant, sealed, outcome):
    """For who is root: the classic; the start warns of it.  In a namespace that
    is not its own a process gets nothing by such a program."""
    server = with_escape(mode=0o4755, wrapper=[] if sealed else UNSEALED)
    server.expect_log(r":warn\].*/escape \(owner 0:0, mode 4755\) is set-user")
    server.start()
    assert (", sealed)" in server.log()) == sealed
    assert escape(server, outside(server), "second-chroot") == \
        {"second-chroot": outcome}


def test_a_directory_that_is_moved_out_is_a_way_where_nothing_is_sealed(
        with_escape, outside):
    server = with_escape(wrapper=UNSEALED).start()
    assert escape(server, outside(server), "directory-moved-out") == \
        {"directory-moved-out": "ok"}


@pytest.mark.parametrize("core", ["", "CoreDumpDirectory /tmp\n"])
def test_a_new_child_that_is_not_locked_in_yet_cannot_be_traced(
        with_escape, outside, builds, core):
    """It is the same user already, and still outside."""
    server = with_escape(config=core + 'TestGate "${ROOT}/gate"')
    server.modules += [("test_gate", builds.module("test_gate"))]
    server.put({"../gate": Dir})
    (server.root / "gate").chmod(0o777)
    server.allow_log("exit signal Killed")
    known = outside(server.start())
    fc.arm(server, "init")
    os.kill(server.serving()[0], signal.SIGKILL)
    pid, = fc.wait_caught(server, "init")
    try:
        assert procfs.uids(pid) == [UID] * 4
        assert procfs.root_path(pid) == "/"
        for way in ("ptrace", "process_vm_readv", "pidfd_getfd"):
            assert escape(server, {**known, "pid": pid}, way) == \
                {way: "EPERM"}
    finally:
        fc.go_on(pid)
    server.assert_jailed()
