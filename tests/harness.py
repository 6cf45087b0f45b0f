"""A fresh httpd per test: its configuration, its processes, its error log."""
import base64
import contextlib
import functools
import glob
import grp
import http.client
import os
import pwd
import random
import re
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import sysconfig
import time
from dataclasses import dataclass, field
from pathlib import Path

import pytest

import procfs

TESTS = Path(__file__).resolve().parent
PROJECT = TESTS.parent
APXS = os.environ.get("APXS") or shutil.which("apxs") or shutil.which("apxs2")
MPMS = ("event", "worker", "prefork")
VARIANTS = ("late", "early")
CONFIGURE_FLAGS = {"late": [], "early": ["--disable-late-chroot"]}
PLAIN = None



LACKED = "this release has no "


def lacks(name):
    """Does this release have no such package, or system call in the kernel's
    headers?  Debian 12 has all: run.sh."""
    return name in os.environ.get("CHROOT_TEST_LACKS", "").split()


def needs(name):
    """Skips a test where it cannot be: that is no failure in CI either."""
    if lacks(name):
        pytest.skip(LACKED + name)


# What is said of a jail of On and Off.
SEALED = ("not sealed: a mount namespace: Function not implemented"
          if lacks("mount_setattr") else "sealed")


def installed(pattern):
    """A package's file that has the release's version in its name."""
    return max(glob.glob(pattern), default=pattern)


MOD_PHP = ("php", installed("/usr/lib/apache2/modules/libphp[78]*.so"))
if "/libphp7" in MOD_PHP[1]:
    MOD_PHP = ("php7", MOD_PHP[1])
PHP_CGI = installed("/usr/bin/php-cgi[78].*")
PHP_FPM = installed("/usr/sbin/php-fpm[78].*")
PYTHON_LIBRARY = "/usr/lib/python{}.{}".format(*sys.version_info)
MULTIARCH = sysconfig.get_config_var("MULTIARCH")      # x86_64-linux-gnu

# apachectl is to start httpd itself; newer ones do where systemd is not init,
# and take this for a start in the foreground.
NOT_BY_SYSTEMD = ({"APACHE_STARTED_BY_SYSTEMD": "1"}
                  if Path("/proc/1/comm").read_text() == "systemd\n" else {})

USER = GROUP = "www-data"


def uid_of(user):
    return int(user[1:]) if user[0] == "#" else pwd.getpwnam(user).pw_uid


def gid_of(group):
    return int(group[1:]) if group[0] == "#" else grp.getgrnam(group).gr_gid


UID, GID = uid_of(USER), gid_of(GROUP)

WATCHED = re.compile(r":(emerg|alert|crit|error|warn)\]|exit signal")
FORMATTED = re.compile(r"\[[A-Z][a-z]{2} [A-Z][a-z]{2} \d\d ")


def wait_for(predicate, what="the condition", timeout=30):
    """Poll until predicate() is true; returns its value.  A process or file
    that is not there (OSError) counts as not yet."""
    deadline = time.monotonic() + timeout
    while True:
        reason = ""
        try:
            value = predicate()
            if value:
                return value
        except OSError as error:
            reason = f" ({error})"
        if time.monotonic() > deadline:
            raise AssertionError(f"waited {timeout} s for {what}{reason}")
        time.sleep(0.01)


def run(command, timeout=300, **options):
    """Run a command to its end -> (exit status, stdout and stderr)."""
    done = subprocess.run([str(word) for word in command], timeout=timeout,
                          stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True,
                          errors="replace", **options)
    return done.returncode, done.stdout


def run_ok(command, **options):
    status, output = run(command, **options)
    assert status == 0, f"{shlex.join(map(str, command))}: {status}\n{output}"
    return output


@functools.lru_cache(None)
def apxs(name):
    return run_ok([APXS, "-q", name]).strip()


@functools.lru_cache(None)
def httpd_command():
    """CHROOT_TEST_HTTPD may put valgrind in front."""
    given = os.environ.get("CHROOT_TEST_HTTPD")
    return shlex.split(given) if given else [
        f"{apxs('SBINDIR')}/{apxs('PROGNAME')}"]


@functools.lru_cache(None)
def static_modules():
    return re.findall(r"mod_(\w+)\.c", run_ok([*httpd_command(), "-l"]))


# ---------------------------------------------------------------- building

def copy_tree(target, source=PROJECT):
    """The sources without what a build leaves behind."""
    ignore = shutil.ignore_patterns(
        ".git", ".libs", "*.o", "*.lo", "*.la", "*.slo", "*.so", "*.tar.gz",
        "autom4te.cache", "configure", "config.log", "config.status",
        "Makefile", "__pycache__", ".pytest_cache")
    return Path(shutil.copytree(source, target, ignore=ignore))


def build(target, flags=()):
    """configure and make in a copy of the tree; returns the directory."""
    tree = copy_tree(target)
    run_ok(["autoreconf", "-fi"], cwd=tree)
    run_ok(["./configure", *flags], cwd=tree)
    run_ok(["make"], cwd=tree)
    return tree


class Builds:
    """Both variants of mod_chroot and the C helpers, each built once."""

    def __init__(self, directory):
        self.directory = directory
        self.done = {}

    def once(self, name, make):
        if name not in self.done:
            self.done[name] = AssertionError(f"{name} did not build before")
            self.done[name] = make()
        if isinstance(self.done[name], AssertionError):
            raise self.done[name]
        return self.done[name]

    def variant(self, name):
        """Path of mod_chroot.so: prebuilt (CHROOT_TEST_LATE_SO or
        CHROOT_TEST_EARLY_SO) or configured and made."""
        given = os.environ.get(f"CHROOT_TEST_{name.upper()}_SO")
        if given:
            return Path(given)
        return self.once(name, lambda: build(
            self.directory / name, CONFIGURE_FLAGS[name]) / "mod_chroot.so")

    def module(self, name):
        """tests/mod_NAME.c as a loadable module."""
        return self.once(f"mod_{name}", lambda: self.gcc(
            f"mod_{name}.c", f"mod_{name}.so", "-shared", "-fPIC",
            *apxs("CFLAGS").split(), *apxs("EXTRA_CPPFLAGS").split(),
            f"-I{apxs('INCLUDEDIR')}", f"-I{apxs('APR_INCLUDEDIR')}"))

    def program(self, name):
        """tests/NAME.c as a static program: it runs in an empty jail."""
        if name == "escape":
            needs("glibc-2.34")     # knows the calls that it makes
        return self.once(name, lambda: self.gcc(
            f"{name}.c", name, "-static", "-O1"))

    def gcc(self, source, target, *flags):
        target = self.directory / target
        run_ok(["gcc", "-Wall", "-Wextra", "-Wno-unused-parameter",
                TESTS / source, "-o", target, *flags])
        target.chmod(0o755)
        return target


# ------------------------------------------------------------------- files

@dataclass
class File:
    """What to put at a path: text or bytes, or a copy of a file."""
    content: object = ""
    mode: int = 0o644
    owner: str = "root"
    copy_of: object = None


@dataclass
class Link:
    """A symbolic link."""
    target: str


class Dir:
    """An empty directory."""


BUSYBOX = File(copy_of="/bin/busybox", mode=0o755)


def script(text):
    """A CGI program for a jail that has BUSYBOX at bin/sh."""
    return File("#!/bin/sh\necho Content-Type: text/plain\necho\n" + text,
                mode=0o755)


def put(base, files):
    """Create {relative path: text | bytes | File | Link | Dir} below base."""
    for name, what in files.items():
        path = Path(base) / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if what is Dir:
            path.mkdir(exist_ok=True)
            continue
        if isinstance(what, Link):
            path.symlink_to(what.target)
            continue
        if not isinstance(what, File):
            what = File(what)
        if what.copy_of:
            shutil.copyfile(what.copy_of, path)
        elif isinstance(what.content, bytes):
            path.write_bytes(what.content)
        else:
            path.write_text(what.content)
        path.chmod(what.mode)
        if what.owner != "root":
            shutil.chown(path, what.owner)


def self_link(jail):
    """{name: Link} that makes the jail's outer path valid inside."""
    inner = str(jail).strip("/")
    return {inner: Link("/".join([".."] * inner.count("/")) or ".")}


# ---------------------------------------------------------------- requests

@dataclass
class Request:
    path: str
    method: str = "GET"
    headers: dict = field(default_factory=dict)
    body: object = None
    host: str = "localhost"
    auth: tuple = None

    def all_headers(self):
        headers = {"Host": self.host, **self.headers}
        if self.auth:
            pair = ":".join(self.auth).encode()
            headers["Authorization"] = (
                "Basic " + base64.b64encode(pair).decode())
        return headers


@dataclass
class Answer:
    status: int
    headers: dict
    body: bytes

    @property
    def text(self):
        return self.body.decode(errors="replace")


class Mode:
    """How httpd is started."""
    FOREGROUND = "-DFOREGROUND"
    DAEMON = "-k start"
    SINGLE = "-X"


BASE_MODULES = ("unixd", "log_config", "authz_core", "alias", "dir", "mime")

START_SERVERS = 2
PROCESSES = {
    "event": f"""\
StartServers {START_SERVERS}
ServerLimit 4
ThreadLimit 4
ThreadsPerChild 4
MaxRequestWorkers 16
MinSpareThreads 1
MaxSpareThreads 16
""",
    "prefork": f"""\
StartServers {START_SERVERS}
ServerLimit 8
MaxRequestWorkers 8
MinSpareServers 1
MaxSpareServers 8
"""}
PROCESSES["worker"] = PROCESSES["event"]

THREADS_PER_CHILD = 4

CONFIG = """\
Define ROOT "{root}"
Define JAIL "{jail}"
Define PORT {port}
ServerRoot "{root}"
{modules}
Listen 127.0.0.1:{port}
ServerName localhost
User {user}
Group {group}
PidFile run/httpd.pid
DefaultRuntimeDir run
ErrorLog logs/error.log
LogLevel info
Timeout 10
GracefulShutdownTimeout 10
TypesConfig /dev/null
AddType text/html .html
AddType text/plain .txt
{processes}
{config}
"""


class Server:
    """One httpd with a ServerRoot of its own.

    The configuration text may use ${ROOT}, ${JAIL} and ${PORT}.  `modules` are
    names (looked up in httpd's module directory) or (name, path) pairs, loaded
    in that order; mod_chroot comes first unless "chroot" is in the list.
    `wrapper` is a command put before httpd (strace, setpriv).  `binds` are
    (source, target) pairs mounted for this server only.
    """

    def __init__(self, root, so=PLAIN, mpm="event", config="", modules=(),
                 jail=None, files=None, binds=(), wrapper=(), user=USER,
                 group=GROUP, env=None):
        self.root = Path(root)
        self.jail = Path(jail) if jail else self.root / "jail"
        self.so, self.mpm = so, mpm
        self.config, self.modules = config, list(modules)
        self.binds, self.wrapper = list(binds), list(wrapper)
        self.user, self.group = user, group
        self.port = 0
        self.pid_file = "run/httpd.pid"
        self.popen = self.mode = None
        self.marker = f"CHROOT_TEST={self.root}"
        self.env = {name: value for name, value in os.environ.items()
                    if name not in ("TZ", "LISTEN_FDS", "NOTIFY_SOCKET")}
        self.env.update([self.marker.split("=", 1)], LC_ALL="C", **(env or {}))
        self.expected, self.allowed = [], []
        self.patience = 20      # seconds for processes to end by themselves
        for name in ("conf", "logs", "run", "jail"):
            (self.root / name).mkdir(mode=0o755, exist_ok=True)
        self.put(files or {})

    # -- files and configuration

    def put(self, files):
        """Files of the jail ("../x": beside it)."""
        put(self.jail, files)

    @property
    def conf(self):
        return self.root / "conf/httpd.conf"

    def load_lines(self):
        modules = [f"mpm_{self.mpm}", "chroot", *BASE_MODULES, *self.modules]
        if "chroot" in self.modules:
            modules.remove("chroot")
        return "\n".join(filter(None, map(self._load_line, modules)))

    def _load_line(self, module):
        if module in static_modules() or module == "chroot" and not self.so:
            return None
        if module == "chroot":
            module = ("chroot", self.so)
        if isinstance(module, str):
            module = (module, f"{apxs('LIBEXECDIR')}/mod_{module}.so")
        return "LoadModule {}_module {}".format(*module)

    def write_config(self, config=None):
        if config is not None:
            self.config = config
        if "ChrootFixRoot Mount" in self.config and lacks("mount_setattr"):
            self.expected.clear()
            needs("mount_setattr")
        self.port = self.port or free_port()
        self.conf.write_text(CONFIG.format(
            root=self.root, jail=self.jail, port=self.port,
            user=self.user, group=self.group, modules=self.load_lines(),
            processes=PROCESSES[self.mpm], config=self.config))

    # -- running httpd

    def command(self, *arguments, wrapped=True):
        prefix = []
        if self.binds:
            mounts = " && ".join(
                shlex.join(["mount", "--bind", str(source), str(target)])
                for source, target in self.binds)
            prefix = ["unshare", "--mount", "--propagation", "private",
                      "sh", "-c", f'{mounts} && exec "$@"', "sh"]
        if wrapped:
            prefix += map(str, self.wrapper)
        return [*prefix, *httpd_command(), "-d", str(self.root),
                "-f", str(self.conf), *arguments]

    def httpd(self, *arguments):
        """Run httpd to its end -> (exit status, output)."""
        if not self.conf.exists():
            self.write_config()
        return run(self.command(*arguments), env=self.env, cwd="/")

    def configtest(self, config=None):
        self.write_config(config)
        return self.httpd("-t")

    def try_start(self, mode=Mode.FOREGROUND):
        """Start and wait for the first answer, or for httpd's end -> has it
        started?  A port that somebody else took meanwhile is replaced."""
        for _ in range(5):
            self.port = free_port()
            if self._try_start_once(mode):
                return True
            if "Address already in use" not in self.output() + self.log():
                return False
            for log in (self.root / "logs").glob("error.log*"):
                log.unlink()
        return False

    def start(self, mode=Mode.FOREGROUND):
        started = self.try_start(mode)
        assert started, f"no start:\n{self.output()}\n{self.log()}"
        return self

    def refused_start(self, mode=Mode.FOREGROUND):
        """Start must fail: returns what httpd said, on stderr and in its
        log."""
        assert not self.try_start(mode), "httpd started"
        said = self.output() + self.log()
        self.allow_log(".*")
        return said

    def _try_start_once(self, mode):
        self.mode = mode
        self.write_config()
        command = self.command(*mode.split())
        with open(self.root / "logs/start.out", "ab") as out:
            self.popen = subprocess.Popen(
                command, env=self.env, cwd="/", stdin=subprocess.DEVNULL,
                stdout=out, stderr=out, start_new_session=True)
        if mode == Mode.DAEMON and self.popen.wait(120) != 0:
            return False
        return wait_for(self._decided, "httpd to start", 120) == "started"

    def _decided(self):
        if self._ended():
            return "ended"
        if self.mode != Mode.SINGLE and not self.generations():
            return None
        return "started" if self.answers() else None

    def _ended(self):
        if self.mode == Mode.DAEMON:
            return not procfs.marked(self.marker, self.root)
        return self.popen.poll() is not None

    def answers(self):
        try:
            self.get("/", timeout=2)
        except (OSError, http.client.HTTPException):
            return False
        return True

    def output(self):
        """What httpd wrote before its error log was open."""
        return read(self.root / "logs/start.out")

    def log(self):
        return read(self.root / "logs/error.log")

    def generations(self):
        """How many generations have begun, by the error log."""
        return len(re.findall("resuming normal operations", self.log()))

    @property
    def pid(self):
        return int((self.root / self.pid_file).read_text())

    def running(self):
        try:
            return procfs.alive(self.pid)
        except (OSError, ValueError):
            return False

    def control(self, action):
        """httpd -k action: as apachectl does."""
        output = run_ok(self.command("-k", action, wrapped=False),
                        env=self.env, cwd="/")
        assert not output, output

    def apachectl(self, action):
        """Debian's apachectl, told by its variables to drive this server."""
        words = self.command(wrapped=False)
        split = len(httpd_command())
        owner = (self.root / "run").owner()
        for name in ("apache2", "lock"):
            path = self.root / "run" / name
            path.mkdir(exist_ok=True)
            shutil.chown(path, owner)
        return run([*map(str, self.wrapper), "apachectl", action], env={
            **self.env, "APACHE_HTTPD": " ".join(words[:split]),
            "APACHE_ARGUMENTS": " ".join(words[split:]),
            "APACHE_CONFDIR": str(self.root), "APACHE_ENVVARS": "/dev/null",
            "APACHE_RUN_DIR": str(self.root / "run/apache2"),
            "APACHE_LOCK_DIR": str(self.root / "run/lock"),
            "APACHE_RUN_USER": owner, **NOT_BY_SYSTEMD})

    def graceful(self, control=None):
        """A graceful restart, until only new children are left and serve."""
        self._next_generation("graceful", control)

    def restart(self, control=None):
        self._next_generation("restart", control)

    def _next_generation(self, action, control):
        self.quiesce()
        old, seen = self.children(), self.generations()
        (control or self.control)(action)
        wait_for(lambda: self.generations() > seen, f"{action} to begin")
        wait_for(lambda: not any(map(procfs.alive, old)),
                 f"the old children {old} to end")
        wait_for(self.workers, "new children")
        wait_for(self.answers, "the new generation to answer")

    def stop(self, action="stop", control=None):
        """Stop and wait until the parent is gone."""
        self.quiesce()
        parent = self.pid
        (control or self.control)(action)
        wait_for(lambda: self.gone(parent), "httpd to stop")

    def terminate(self):
        """Stop without asking the configuration: it may be broken."""
        self.quiesce()
        parent = self.pid
        os.kill(parent, signal.SIGTERM)
        wait_for(lambda: self.gone(parent), "httpd to stop")

    def quiesce(self):
        """Let finished connections be closed: event's children may crash when
        a SIGTERM meets one at that moment (close_worker_sockets() in httpd's
        event.c).  A connection that stays is the test's intention."""
        def quiet():
            inherited = procfs.sockets(self.pid)
            return all(procfs.sockets(pid) <= inherited
                       for pid in self.workers())
        with contextlib.suppress(AssertionError):
            wait_for(quiet, "connections to end", 1)

    def graceful_stop(self, control=None):
        self.stop("graceful-stop", control)

    def gone(self, pid):
        """Has the process ended, and been reaped?"""
        if self.popen:
            self.popen.poll()
        return not os.path.exists(f"/proc/{pid}")

    # -- processes

    def children(self):
        """All direct children of the parent, zombies too."""
        return procfs.children(self.pid)

    def workers(self):
        """The MPM's children: those that poll the listening socket."""
        found, listeners = [], procfs.listeners(self.port)
        for pid in self.children():
            with contextlib.suppress(OSError):
                fds = {*procfs.fds(pid).values()}
                if "anon_inode:[eventpoll]" in fds and fds & listeners:
                    found.append(pid)
        return found

    def all_workers(self):
        """The MPM's children, once as many serve as are started."""
        def started():
            pids = self.workers()
            return pids if len(pids) >= START_SERVERS else None
        return wait_for(started, "the MPM's children")

    def daemons(self):
        """The other living children: mod_cgid's, mod_fcgid's, piped
        loggers.  One of the MPM's that does not serve yet is none."""
        workers = self.all_workers()
        return [pid for pid in self.children()
                if pid not in workers and procfs.alive(pid)]

    def serving(self):
        """The MPM's children, once all of them are up with all their threads
        and nothing of their start is left."""
        def ready():
            pids = self.workers()
            return pids if pids and all(map(self._is_up, pids)) else None
        return wait_for(ready, "all children to be up")

    def _is_up(self, pid):
        threads = 1 if self.mpm == "prefork" else THREADS_PER_CHILD + 1
        return (len(procfs.tasks(pid)) >= threads
                and procfs.uids(pid)[0] != 0 and not procfs.children(pid))

    def assert_jailed(self, jail=None, pids=None):
        """Every child, every thread: root in the jail, not privileged.
        Returns the children."""
        jail = jail or self.jail
        pids = pids or self.serving()
        wait_for(lambda: all(procfs.is_jailed(pid, jail) for pid in pids),
                 f"{pids} to be in {jail}, not in "
                 f"{[procfs.root_path(pid) for pid in pids]}")

        self._assert_unprivileged(pids)
        if procfs.alive(self.pid) and self.pid not in pids:
            assert procfs.root_id(self.pid) == procfs.dir_id("/")
        return pids

    def assert_in_view(self, pids=None):
        """Every child, every thread: not privileged, one root that is not the
        host's, which has the jail at its own path.  Returns the children."""
        pids = pids or self.serving()
        for pid in pids:
            wait_for(lambda: procfs.uids(pid)[0] != 0,
                     "privileges to be dropped")
            wait_for(lambda: os.path.samefile(
                f"/proc/{pid}/root{self.jail}", self.jail),
                f"{pid} to see the jail")
            roots = set(procfs.thread_roots(pid).values())
            assert len(roots) == 1 and roots.pop() != procfs.dir_id("/")
            assert any(target.startswith("mnt:")
                       for target in procfs.fds(pid).values())
        self._assert_unprivileged(pids)
        assert procfs.root_id(self.pid) == procfs.dir_id("/")
        return pids

    def _assert_unprivileged(self, pids):
        def is_user(pid, tid):
            assert procfs.uids(pid, tid) == [uid_of(self.user)] * 4
            assert procfs.gids(pid, tid) == [gid_of(self.group)] * 4
            assert procfs.capabilities(pid, tid) == 0
        for pid in pids:
            procfs.each_thread(pid, is_user)

    # -- requests

    def get(self, path, timeout=30, **options):
        return self.request(Request(path, **options), timeout)

    def request(self, request, timeout=30):
        if isinstance(request, str):
            request = Request(request)
        connection = http.client.HTTPConnection("127.0.0.1", self.port,
                                                timeout=timeout)
        with contextlib.closing(connection):
            connection.request(request.method, request.path, request.body,
                               {"Connection": "close",
                                **request.all_headers()})
            response = connection.getresponse()
            return Answer(response.status,
                          {name.lower(): value
                           for name, value in response.getheaders()},
                          response.read())

    def raw(self, data, timeout=30):
        """Send bytes, return all bytes that come back."""
        with socket.create_connection(("127.0.0.1", self.port),
                                      timeout) as conn:
            conn.sendall(data)
            conn.shutdown(socket.SHUT_WR)
            received = b""
            while chunk := conn.recv(65536):
                received += chunk
            return received

    # -- the end of the test

    def expect_log(self, pattern):
        """Declare a log line; it has to be there when the test ends."""
        self.expected.append(pattern)

    def allow_log(self, pattern):
        """Declare a log line that may be there."""
        self.allowed.append(pattern)

    def undeclared(self):
        """Lines at warn or above, crashes, lines that are not httpd's own."""
        lines = self.output().splitlines()
        for log in sorted((self.root / "logs").glob("error.log*")):
            lines += read(log).splitlines()
        return [line for line in lines if line.strip()
                and (WATCHED.search(line) or not FORMATTED.match(line))
                and not any(re.search(pattern, line)
                            for pattern in self.expected + self.allowed)]

    def leftovers(self):
        found = procfs.marked(self.marker, self.root)
        return [pid for pid in found if not self.gone(pid)]

    def close(self):
        """Stop if still running -> complaints about what is left."""
        complaints = []
        try:
            if self.running():
                self.terminate()
        except (AssertionError, OSError) as error:
            complaints.append(f"stop: {error}")
        try:
            wait_for(lambda: not self.leftovers(), "processes to end",
                     self.patience)
        except AssertionError:
            complaints.append("processes left: " + "; ".join(
                describe(pid) for pid in self.leftovers()))
            self._kill_leftovers()
        if self.popen:
            self.popen.wait(60)
        complaints += [f"undeclared in the log: {line}"
                       for line in self.undeclared()]
        logged = self.output() + "".join(
            map(read, (self.root / "logs").glob("error.log*")))
        complaints += [f"not in the log: {pattern}"
                       for pattern in self.expected
                       if not re.search(pattern, logged)]
        return complaints

    def _kill_leftovers(self):
        def killed():
            for pid in self.leftovers():
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            return not self.leftovers()
        wait_for(killed, "killed processes to end")


def describe(pid):
    try:
        command = Path(f"/proc/{pid}/cmdline").read_bytes()
        return (f"{pid} (parent {procfs.parent(pid)}, "
                f"root {procfs.root_path(pid)}): "
                f"{command.replace(bytes(1), b' ').decode()}")
    except OSError as error:
        return f"{pid} ({error})"


def read(path):
    try:
        return Path(path).read_text(errors="replace")
    except FileNotFoundError:
        return ""


def free_port():
    """A port that nobody has, and none that the kernel gives to clients, which
    are below 32768 only where that is set, ip(7)."""
    while True:
        with contextlib.suppress(OSError), socket.socket() as probe:
            port = random.randrange(10000, 32768)
            probe.bind(("127.0.0.1", port))
            return port
