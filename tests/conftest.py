"""Fixtures: where servers live, which MPM and build variant, the audit."""
import ctypes
import errno
import inspect
import os
import re
import shutil
import signal
import sys
import tempfile
from pathlib import Path

import pytest

sys.dont_write_bytecode = True

import comparison  # noqa: E402
from harness import (LACKED, MPMS, VARIANTS, Builds, Server,  # noqa: E402
                     httpd_command, run_ok)

PR_SET_PDEATHSIG = 1
PR_SET_CHILD_SUBREAPER = 36
CLONE_NEWNS, CLONE_NEWUSER = 0x00020000, 0x10000000
MS_BIND, MS_REC, MS_PRIVATE = 0x1000, 0x4000, 0x40000
MNT_DETACH = 2
COMPARE_OPTIONS = set(inspect.signature(comparison.compare).parameters)


def pytest_addoption(parser):
    parser.addoption("--keep", action="store_true",
                     help="keep the server roots, print where they are")


def pytest_configure(config):
    if os.geteuid() != 0:
        pytest.exit("the tests start httpd as root: run them as root", 2)
    # A shell's background job ignores it, and with it all that tests start
    signal.signal(signal.SIGINT, signal.default_int_handler)
    if not hasattr(config, "workerinput"):      # one of several at a time
        if is_chrooted():
            leave_chroot()
        become_init()


def is_chrooted():
    """In a chroot the kernel forbids user name spaces, to root too."""
    pid = os.fork()
    if pid == 0:
        libc = ctypes.CDLL(None, use_errno=True)
        failed = libc.unshare(CLONE_NEWUSER) == -1
        os._exit(failed and ctypes.get_errno() == errno.EPERM)
    return os.waitpid(pid, 0)[1] != 0


def leave_chroot():
    """Make the chroot's directory the root of a mount name space of our own:
    the ways out of a jail that the tests look for lead there, and no further.
    """
    libc = ctypes.CDLL(None, use_errno=True)

    def call(function, *arguments):
        if function(*arguments) == -1:
            error = ctypes.get_errno()
            raise OSError(error, f"{function.__name__}: {os.strerror(error)}")

    before = os.getcwd()
    call(libc.unshare, CLONE_NEWNS)
    root = os.open("/", os.O_PATH | os.O_DIRECTORY)
    name_space = os.open("/proc/self/ns/mnt", os.O_RDONLY)
    call(libc.setns, name_space, CLONE_NEWNS)   # the host's root again
    call(libc.mount, None, b"/", None, MS_REC | MS_PRIVATE, None)
    os.fchdir(root)
    call(libc.mount, b".", b".", None, MS_BIND | MS_REC, None)
    os.chdir(os.getcwd())                       # into what was mounted
    call(libc.pivot_root, b".", b".")
    call(libc.umount2, b".", MNT_DETACH)
    os.close(root)
    os.close(name_space)
    os.chdir(before)


def become_init():
    """Go on as pytest in a child; the process that was started does what an
    init does, which containers lack: adopt orphans and reap them at once."""
    prctl = ctypes.CDLL(None).prctl
    prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    pytest_pid = os.fork()
    if pytest_pid == 0:
        prctl(PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
        signal.signal(signal.SIGTERM, interrupt)
        return
    signal.signal(signal.SIGINT, signal.SIG_IGN)    # ^C reaches pytest itself
    signal.signal(signal.SIGTERM,
                  lambda *_: os.kill(pytest_pid, signal.SIGTERM))
    pid = status = 0
    while pid != pytest_pid:
        pid, status = os.wait()
    code = os.waitstatus_to_exitcode(status)
    os._exit(code if code >= 0 else 128 - code)


def interrupt(signum, frame):
    """SIGTERM ends a session as ^C does: servers stop, directories go."""
    signal.signal(signum, signal.SIG_IGN)
    raise KeyboardInterrupt


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item):
    report = (yield).get_result()
    if (report.skipped and os.environ.get("CI") == "true"
            and LACKED not in str(report.longrepr)):
        report.outcome = "failed"
        report.longrepr = f"skipped in CI: {report.longrepr}"
    if report.failed:
        for server in getattr(item, "servers", []):
            report.sections += [
                (f"{server.root}: start", server.output()),
                (f"{server.root}: error.log", server.log()[-8000:])]


def pytest_terminal_summary(terminalreporter):
    """Write the README's row of what was run: run.sh names it."""
    what = os.environ.get("CHROOT_TEST_WHAT")
    if what:
        counts = {name: len(terminalreporter.stats.get(name, []))
                  for name in ("passed", "failed", "error", "skipped")}
        system = re.search('PRETTY_NAME="(.*)"',
                           Path("/etc/os-release").read_text())[1]
        version = run_ok([*httpd_command(), "-v"])
        terminalreporter.write_line("| {} | {} | {} | {}: {} |".format(
            system, run_ok(["dpkg", "--print-architecture"]).strip(),
            re.search(r"Apache/([\d.]+)", version)[1], what,
            ", ".join(f"{count} {name}" for name, count in counts.items()
                      if count or name in ("passed", "failed"))))


@pytest.fixture(scope="session")
def workspace(request):
    """A directory that a jail may be in: every component of its path belongs
    to root and nobody else can write there."""
    path = Path(tempfile.mkdtemp(prefix="chroot-test-", dir="/var/lib"))
    path.chmod(0o755)
    yield path
    if not request.config.getoption("keep"):
        shutil.rmtree(path)


@pytest.fixture(scope="session")
def builds(workspace):
    (workspace / "build").mkdir(mode=0o755)
    return Builds(workspace / "build")


@pytest.fixture(params=MPMS)
def mpm(request):
    """A test that takes this runs on every MPM; others on event."""
    return request.param


@pytest.fixture(params=VARIANTS)
def variant(request):
    """A test that takes this runs on both builds; others on "late"."""
    return request.param


@pytest.fixture
def directory(request, workspace):
    """A fresh directory for one server; gone after the test."""
    made = []

    def new_directory():
        path = workspace / str(1 + len(list(workspace.iterdir())))
        while path.exists():
            path = path.with_name(str(int(path.name) + 1))
        path.mkdir(mode=0o755)
        made.append(path)
        return path

    yield new_directory
    keep = request.config.getoption("keep")
    for path in made:
        if keep:
            print(f"{request.node.name}: {path}", file=sys.__stderr__)
        else:
            shutil.rmtree(path)


@pytest.fixture
def httpd(request, builds, directory):
    """Make servers: httpd(config, variant=None for no mod_chroot, ...)."""
    servers = request.node.servers = []

    def chosen(name, default):
        if name in request.fixturenames:
            return request.getfixturevalue(name)
        return default

    def new_server(config="", **options):
        options.setdefault("mpm", chosen("mpm", "event"))
        variant = options.pop("variant", chosen("variant", "late"))
        so = builds.variant(variant) if variant else None
        server = Server(directory(), so=so, config=config, **options)
        servers.append(server)
        return server

    yield new_server
    complaints = [complaint for server in servers
                  for complaint in server.close()]
    if complaints:
        pytest.fail("\n".join(complaints), pytrace=False)


@pytest.fixture
def jailed(httpd):
    """A running server whose children are in an empty jail."""
    def start(config="", **options):
        return httpd("ChrootDir ${JAIL}\n" + config, **options).start()
    return start


@pytest.fixture
def compare(httpd):
    """comparison.compare on a fresh server: see there."""
    def run(config, requests, **options):
        asked = {name: options.pop(name) for name in COMPARE_OPTIONS
                 if name in options}
        return comparison.compare(httpd(config, **options), requests, **asked)
    return run
