#!/usr/bin/python3
"""What the jail costs, beside no jail and stock ChrootDir.  See README.md."""
import argparse
import contextlib
import math
import os
import platform
import re
import resource
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

BENCH = Path(__file__).resolve().parent
sys.dont_write_bytecode = True
sys.path.insert(0, str(BENCH.parent / "tests"))

import procfs  # noqa: E402
from harness import (  # noqa: E402
    MPMS, PLAIN, PROJECT, Builds, Dir, File, Mode, Request,
    Server, httpd_command, put, run, run_ok, wait_for)

RESULTS = BENCH / "results"

# ------------------------------------------------------------ what is compared

# The content lies in ${JAIL}/srv, and for each server alone that is mounted on
# /srv, too: "short" has outside the paths that the jailed ones have inside.
INNER, OUTER = "/srv", "${JAIL}/srv"


@dataclass(frozen=True)
class Setup:
    name: str
    jail: str = ""          # directives
    base: str = INNER       # of all paths in the configuration
    variant: str = None     # of mod_chroot
    played: bool = False    # the view is

    def __str__(self):
        return self.name

    @property
    def has_view(self):
        return "ChrootFixRoot Mount" in self.jail


JAIL = "ChrootDir ${JAIL}\n"
OFF, ON, MOUNT = (f"{JAIL}ChrootFixRoot {mode}\n"
                  for mode in ("Off", "On", "Mount"))
NONE = Setup("none", base=OUTER)
SHORT = Setup("short")
STOCK = Setup("stock", JAIL)
FIX_OFF = Setup("off", OFF, variant="late")
FIX_ON = Setup("on", ON, OUTER, "late")
FIX_MOUNT = Setup("mount", MOUNT, OUTER, "late")
ALL = (NONE, SHORT, STOCK, FIX_OFF, FIX_ON, FIX_MOUNT)
EARLY_OFF = Setup("off", OFF, variant="early")
EARLY_ON = Setup("on", ON, OUTER, "early")
EARLY_MOUNT = Setup("mount", MOUNT, OUTER, "early")
# valgrind does not know the calls by which a view is built: here mount(8) makes
# it, and playview.c plays the kernel for the builder.
PLAYED = Setup("mount", MOUNT, OUTER, "early", played=True)
ALL_EARLY = (NONE, SHORT, STOCK, EARLY_OFF, EARLY_ON, PLAYED)

# With those of harness.py, what Debian enables; and two for the measurements.
MODULES = ("access_compat", "auth_basic", "authn_core", "authn_file",
           "authz_host", "authz_user", "autoindex", "deflate", "env", "filter",
           "negotiation", "reqtimeout", "setenvif", "status", "cgi", "rewrite")

SITE = """\
LogLevel notice
MaxKeepAliveRequests 0
DocumentRoot "{base}/docs"
Alias "/pictures" "{base}/pictures"
ScriptAlias "/programs" "{base}/programs"
<Directory "/">
    Options FollowSymLinks
    AllowOverride {override}
    Require all denied
</Directory>
<Directory "{base}">
    Require all granted
</Directory>
<Directory "{base}/docs/override">
    AllowOverride All
</Directory>
"""
PAGE, PICTURE, OVERRIDDEN = (f"{word}\n" * 100 for word in
                             ("page", "picture", "overridden"))
LAST_MODIFIED = 1_000_000_000, "Sun, 09 Sep 2001 01:46:40 GMT"


def site_files(builds):
    return {
        "srv/docs/index.html": "home", "srv/docs/page.txt": PAGE,
        "srv/pictures/picture.txt": PICTURE,
        "srv/docs/override/.htaccess": "ForceType text/x-overridden\n",
        "srv/docs/override/page.txt": OVERRIDDEN,
        "srv/programs/printenv": File(copy_of=builds.program("printenv"),
                                      mode=0o755)}


@dataclass
class Kind:
    """A kind of request, and what makes its answer the right one."""
    name: str
    path: str
    holds: str
    status: int = 200
    type: str = "text/plain"
    headers: dict = field(default_factory=dict)
    times: int = 1          # in a round: what it takes is not always the same
    framing: int = 0        # bytes between an answer in chunks and with a length

    def check(self, server):
        answer = server.request(Request(self.path, headers=self.headers))
        if (answer.status != self.status or self.holds not in answer.text
                or not answer.headers.get("content-type", "").startswith(
                    self.type)):
            raise Failure(f"{self.name}: not the right answer: {answer}")


KINDS = (
    Kind("static file", "/page.txt", PAGE),
    Kind("Alias", "/pictures/picture.txt", PICTURE),
    Kind(".htaccess", "/override/page.txt", OVERRIDDEN,
         type="text/x-overridden"),
    Kind("304", "/page.txt", "", 304, "",
         {"If-Modified-Since": LAST_MODIFIED[1]}),
    Kind("404", "/none.txt", "was not found", 404, "text/html"),
    Kind("CGI", "/programs/printenv", "\nSCRIPT_NAME=/programs/printenv\n",
         times=3, framing=19))


LINEAR = 1.2        # the most that ten times as much may take, by the piece


class Failure(Exception):
    """What was measured is not what it seems."""


# ------------------------------------------------------------------- the table

@dataclass(frozen=True)
class Bar:
    """A column takes at most so many times what another takes, and so much
    more, in the table's unit."""
    column: str
    to: str
    ratio: float = None     # None: it is shown, and that is all
    more: float = 0
    rows: tuple = ()        # those it is for; () all
    other: tuple = ()       # a row with limits of its own: row, ratio, more

    def limits(self, row):
        """(times, more), or None."""
        if self.ratio is None or self.rows and row not in self.rows:
            return None
        return self.other[1:] if row in self.other[:1] else (
            self.ratio, self.more)

    def __str__(self):
        text = f"{self.column}/{self.to}"
        if self.ratio is not None:
            text += " <= " + limits_text(self.ratio, self.more)
        if self.other:
            text += ", {}: {}".format(self.other[0],
                                      limits_text(*self.other[1:]))
        return text


def limits_text(ratio, more):
    return f"{ratio}" + f" + {more:g}" * (more > 0)


@dataclass
class Limit:
    """The most that one figure may be, and why."""
    row: str
    column: str
    most: float
    why: str


@dataclass
class Section:
    """Some rows of {column: measured values}, and what must hold for them."""
    title: str
    unit: str
    columns: tuple
    bars: tuple = ()
    digits: int = 0
    plot: str = ""           # name of the SVG
    figure: object = statistics.median
    rows: dict = field(default_factory=dict)
    limits: list = field(default_factory=list)
    notes: list = field(default_factory=list)    # lines below the table
    absolute: bool = False   # the plot is of the figures, and logarithmic

    def add(self, row, column, value):
        self.rows.setdefault(row, {}).setdefault(str(column), []).append(value)

    def value(self, row, column):
        return self.figure(self.rows[row][column])

    def ratio(self, row, column, to):
        value, below = self.value(row, column), self.value(row, to)
        if not below:
            return 1.0 if not value else math.inf
        return value / below

    def most(self, row, bar):
        limits = bar.limits(row)
        return (limits[0] * self.value(row, bar.to) + limits[1] if limits
                else math.inf)

    def is_missed(self, row, bar):
        return self.value(row, bar.column) > self.most(row, bar)

    def cell(self, row, column):
        return (f"{self.value(row, column):,.{self.digits}f}"
                f" ±{spread(self.rows[row][column]):.1f}%")

    def text(self):
        table = [[self.unit, *self.columns, *map(str, self.bars)]]
        for row in self.rows:
            table.append([row, *(self.cell(row, column)
                                 for column in self.columns)])
            table[-1] += [f"{self.ratio(row, bar.column, bar.to):.3f}"
                          + "!" * self.is_missed(row, bar)
                          for bar in self.bars]
        widths = [max(map(len, column)) for column in zip(*table)]
        lines = ["  ".join([line[0].ljust(widths[0]), *(
            cell.rjust(width) for cell, width in zip(line[1:], widths[1:]))])
            for line in table]
        return "\n".join([self.title, "-" * len(self.title), *lines,
                          *map(self.limit_text, self.limits), *self.notes, ""])

    def limit_text(self, limit):
        value = self.value(limit.row, limit.column)
        return (f"> {limit.column}, {limit.row}: {value:,.{self.digits}f} <= "
                f"{limit.most:,.{self.digits}f}, {limit.why}"
                + "!" * (value > limit.most))

    def linear(self, few, many, times, columns, to=None):
        """By the piece, many take little more than few do; or, where it is
        measured, than in the column that has no module."""
        for column in columns:
            own = times * self.value(few, to or column)
            if to:
                own = (self.value(few, column) * self.value(many, to)
                       / self.value(few, to))
            self.limits.append(Limit(
                many, column, LINEAR * own,
                f"{LINEAR} times what it would be by {few}"
                + (f", growing as {to}" if to else "")))

    def missed(self):
        return [
            f"{self.title}: {row}: {bar.column} is "
            f"{self.value(row, bar.column):,.{self.digits}f}, more than "
            f"{self.most(row, bar):,.{self.digits}f}; {bar}"
            for row in self.rows for bar in self.bars
            if self.is_missed(row, bar)] + [
            f"{self.title}: {self.limit_text(limit)}"
            for limit in self.limits
            if self.value(limit.row, limit.column) > limit.most]

    def marks(self):
        """{(row, column): the least limit}, for the picture."""
        found = [((row, bar.column), self.most(row, bar))
                 for row in self.rows for bar in self.bars
                 if bar.limits(row)]
        found += [((limit.row, limit.column), limit.most)
                  for limit in self.limits]
        return {key: min(most for other, most in found if other == key)
                for key, _ in found}

    def svg(self, directory):
        first = self.columns[0]
        scale = {row: 1 if self.absolute else self.value(row, first) or 1
                 for row in self.rows}
        lines = [" ".join(['"' + row.replace(", ", ",\\n") + '"', *(
            f"{self.value(row, column) / scale[row]:.4f}"
            for column in self.columns)]) for row in self.rows]
        # where gnuplot puts the boxes of a cluster
        count, rows = len(self.columns), list(self.rows)
        marks = []
        for (row, column), most in self.marks().items():
            box = self.columns.index(column) - (count - 1) / 2
            marks.append(f"{rows.index(row) + box / (count + 2):.4f} "
                         f"{most / scale[row]:.4f} {0.5 / (count + 2):.4f}")
        plots = ", ".join([
            *(f'$data using {number}:xtic(1) title "{column}"'
              for number, column in enumerate(self.columns, 2)),
            *['$marks using 1:2:3 with xerrorbars pointtype 0 linewidth 2 '
              'linecolor "black" title "bar"'] * bool(marks)])
        script = "\n".join([
            'set terminal svg size 900,400 font "sans,12" background "white"',
            f'set output "{directory / self.plot}.svg"',
            f'set title "{self.title}" noenhanced',
            f'set ylabel "{self.unit}' + ('' if self.absolute else
                                          f', {first} = 1') + '" noenhanced',
            "set xtics noenhanced", "set key outside noenhanced",
            "set logscale y" if self.absolute else "set yrange [0:*]",
            "set grid y", "set style data histograms",
            "set style histogram clustered gap 2",
            "set style fill solid 0.7", "set boxwidth 0.9",
            "$data << END", *lines, "END",
            "$marks << END", *marks, "END", f"plot {plots}", ""])
        subprocess.run(["gnuplot", "-"], input=script, text=True, check=True)


def lower_quartile(values):
    if len(values) == 1:
        return values[0]
    return statistics.quantiles(values, n=4, method="inclusive")[0]


def spread(values):
    """Half of what the middle half of the values spans, in percent of their
    median."""
    middle = statistics.median(values)
    if len(values) < 2 or not middle:
        return 0.0
    low, _, high = statistics.quantiles(values, n=4, method="inclusive")
    return 100 * (high - low) / 2 / middle


# ----------------------------------------------------------------- the servers

class Bench:
    def __init__(self, workspace, smoke):
        self.workspace, self.smoke = workspace, smoke
        (workspace / "build").mkdir()
        self.builds = Builds(workspace / "build")
        for variant in ("late", "early"):
            self.builds.variant(variant)
        self.builds.program("printenv")
        self.count = 0

    def pick(self, full, smoke):
        return smoke if self.smoke else full

    def server(self, setup, config="", override="All", **options):
        self.count += 1
        root = self.workspace / f"{self.count:03}"
        root.mkdir()
        so = self.builds.variant(setup.variant) if setup.variant else PLAIN
        server = Server(
            root, so=so, files=site_files(self.builds), modules=MODULES,
            config=setup.jail + SITE.format(base=setup.base,
                                            override=override) + config,
            binds=[(root / "jail/srv", INNER)], **options)
        if setup.played:
            view = root / "view"
            view.mkdir()
            server.wrapper = [
                "sh", "-ec", f"mount -t tmpfs tmpfs {view}\n" + "".join(
                    f"mkdir -p {view}{path}\nmount --bind {path} "
                    f"{view}{path}\n" for path in (server.jail, INNER))
                + 'exec "$@"', "sh"]
            server.env.update(PLAYVIEW=str(view))
        server.playview = self.library("playview")
        os.utime(root / "jail/srv/docs/page.txt", (LAST_MODIFIED[0],) * 2)
        server.setup = setup
        if setup is STOCK:
            # threads that end look for it, and without it children abort
            library, machine = (
                run_ok(["gcc", f"-print-{what}"]).strip()
                for what in ("file-name=libgcc_s.so.1", "multiarch"))
            server.put({f"lib/{machine}/libgcc_s.so.1": File(copy_of=library)})
        return server

    def library(self, name):
        """NAME.c, to be preloaded."""
        path = self.workspace / f"build/{name}.so"
        if not path.exists():
            run_ok(["gcc", "-Wall", "-Wextra", "-Wno-unused-parameter", "-O2",
                    "-shared", "-fPIC", BENCH / f"{name}.c", "-o", path,
                    "-ldl"])
        return str(path)

    @contextlib.contextmanager
    def servers(self, setups, mode=Mode.FOREGROUND, prepare=None, **options):
        """{setup: a running server}; their ends are audited."""
        made = []
        complaints = []
        try:
            for setup in setups:
                made.append(self.server(setup, **options))
                if prepare:
                    prepare(made[-1])
            with ThreadPoolExecutor(2) as pool:
                list(pool.map(lambda server: server.start(mode), made))
            for server in made:
                assert_confined(server, [server.pid] if mode == Mode.SINGLE
                                else server.serving())
            yield dict(zip(setups, made))
        finally:
            with ThreadPoolExecutor(5) as pool:
                for complaint in pool.map(Server.close, made):
                    complaints += complaint
            for server in made:
                shutil.rmtree(server.root)
        if complaints:
            raise Failure("\n".join(complaints))


def assert_confined(server, pids):
    """Processes are where the setup wants them: outside, in the jail, or in a
    view, a root of its own that has the jail by its own name."""
    setup = server.setup
    if not setup.has_view:
        server.assert_jailed(server.jail if setup.jail else "/", pids)
        return
    for pid in pids:
        wait_for(lambda: procfs.uids(pid)[0] != 0
                 and procfs.root_id(pid) != procfs.dir_id("/")
                 and procfs.dir_id(f"/proc/{pid}/root{server.jail}")
                 == procfs.dir_id(server.jail), f"{pid} to be in the view")
        server.assert_jailed(f"/proc/{pid}/root/", [pid])


# ----------------------------------------------------------------- per request

# The hooks of mod_chroot that are no request's
LIFE = {"pre_config", "check_config", "test_config", "open_logs",
        "post_config", "optional_fn_retrieve", "pre_mpm", "child_status",
        "drop_privileges", "child_init", "status_hook",
        "expr_lookup"}     # while an expression is read


def hooks(server):
    """{hook of a request: the modules that have it, in order}, as httpd says
    itself."""
    server.write_config()
    output = subprocess.run(
        server.command("-t"), text=True, check=True,
        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
        env={**server.env, "SHOW_HOOKS": "1"}).stdout
    found = {name: modules.split() for name, modules in
             re.findall(r"(?m)^Sorting (\w+): (.*)$", output)}
    if "translate_name" not in found:
        raise Failure(f"no hooks: {output}")
    return {name: modules for name, modules in found.items()
            if name not in LIFE}


def compare_hooks(bench):
    """A server whose view is played has the hooks in a request that one with a
    view of its own has.  Returns a line about all."""
    found = {}
    for setup in (*ALL_EARLY, EARLY_MOUNT, FIX_MOUNT):
        server = bench.server(setup, mpm="prefork")
        found[setup] = hooks(server)
        shutil.rmtree(server.root)
    if not found[PLAYED] == found[EARLY_MOUNT] == found[FIX_MOUNT]:
        raise Failure(f"other hooks: {found[PLAYED]}")
    return "Hooks of mod_chroot in a request: " + ", ".join(
        "{} {}".format(setup, sum(modules.count("mod_chroot.c")
                                  for modules in found[setup].values()))
        for setup in ALL_EARLY)


def instructions(bench):
    """Of the process that answers, from one connection's end to the next."""
    note = compare_hooks(bench)
    for override in ("All", "None")[:bench.pick(2, 1)]:
        section = Section(
            f"Per request, AllowOverride {override} for /: callgrind, "
            "prefork, early chroot", "instructions", tuple(map(str, ALL)),
            figure=min, plot=f"instructions-{override.lower()}",
            bars=(Bar("mount", "none", 1.005), Bar("on", "short", 1.01),
                  Bar("on", "none"), Bar("off", "stock")), notes=[note])
        with ThreadPoolExecutor(2) as pool:
            list(pool.map(lambda setup: count(bench, section, setup, override),
                          ALL_EARLY))
        yield section


def callgrind(server, *options):
    """Its file has one name inside and outside, and whoever a process becomes
    can open it, where it exists already."""
    server.put({"srv/dumps/out": File(mode=0o666)})
    (server.jail / "srv/dumps").chmod(0o777)
    server.env["LD_PRELOAD"] = server.playview
    server.wrapper += ["valgrind", "--tool=callgrind", "-q", "--vgdb=no",
                       f"--log-file={server.jail}/srv/dumps/valgrind",
                       "--callgrind-out-file=/srv/dumps/out", *options]


def total(path):
    found = re.search(r"(?m)^totals: (\d+)$", path.read_text())
    return int(found[1]) if found else None


def count(bench, section, setup, override):
    def prepare(server):
        server.patience = 60
        callgrind(server, "--dump-after=ap_process_connection")

    def totals():
        dumps = {path: total(path)
                 for path in (server.jail / "srv/dumps").glob("out.*")}
        return {path: value for path, value in dumps.items() if value}

    with bench.servers([setup], Mode.SINGLE, prepare, mpm="prefork",
                       override=override) as servers:
        server = servers[setup]
        # httpd closes a connection when its figures are written
        server.raw(b"GET / HTTP/1.0\r\n\r\n", 30)
        for turn in range(bench.pick(7, 2)):
            for kind in (kind for kind in KINDS for _ in range(kind.times)):
                before = totals().keys()
                kind.check(server)
                new = wait_for(lambda: totals().keys() - before,
                               "callgrind's figures", 30)
                if len(new) != 1:
                    raise Failure(f"{setup}: {len(new)} connections instead of "
                                  "one")
                if turn >= bench.pick(2, 1):    # now caches are filled
                    section.add(kind.name, setup, totals()[new.pop()])


SPAWN_NONE = """\
ServerLimit 2
StartServers 2
ThreadLimit 8
ThreadsPerChild 8
MaxRequestWorkers 16
MinSpareThreads 1
MaxSpareThreads 16
"""


WRK_SECONDS = 0.4


def requests(bench):
    """wrk against one server after the other, round by round."""
    columns = tuple(map(str, ALL))
    section = Section("Per request: wrk, event, late chroot", "requests/s",
                      columns, plot="requests",
                      bars=(Bar("mount", "none"), Bar("on", "none"),
                            Bar("on", "short"), Bar("off", "short")))
    memory = Section("Memory after that: Pss", "KiB", columns, plot="memory",
                     bars=(Bar("mount", "none", 1, 64, ("child",)),
                           Bar("on", "none", 1, 64, ("child",)),
                           Bar("off", "none", 1, 64, ("child",))))
    with bench.servers(ALL, config=SPAWN_NONE) as servers:
        for turn in range(bench.pick(4, 1)):
            order = [*servers.items()] * 2
            runs = [(kind, setup, server) for kind in KINDS for setup, server
                    in order[turn % len(ALL):][:len(ALL)]]
            with ThreadPoolExecutor(bench.pick(1, 10)) as pool:
                for (kind, setup, _), rate in zip(runs, pool.map(
                        lambda run: wrk(run[0], run[2], bench.pick(4, 1)),
                        runs)):
                    section.add(kind.name, setup, rate)
        for setup, server in servers.items():
            memory.add("parent", setup, pss(server.pid))
            for pid in server.serving():
                memory.add("child", setup, pss(pid))
    return section, memory


def wrk(kind, server, connections):
    kind.check(server)
    headers = "".join(f"{name}: {value}\r\n"
                      for name, value in kind.headers.items())
    size = len(server.raw(f"GET {kind.path} HTTP/1.1\r\nHost: 127.0.0.1:"
                          f"{server.port}\r\n{headers}\r\n".encode()))
    command = ["wrk", "-t1", f"-c{connections}", "-d5s",
               "-s", BENCH / "wrk.lua"]
    for name, value in kind.headers.items():
        command += ["-H", f"{name}: {value}"]
    seconds, result = WRK_SECONDS, None
    while not result and seconds < 5:
        # wrk counts in seconds, and ends early by SIGINT: if it is not up by
        # then, or has no answer yet, it has twice the time
        output = run(["timeout", "-s", "INT", seconds, *command,
                      f"http://127.0.0.1:{server.port}{kind.path}"])[1]
        result = re.search(r"RESULT ([1-9].*)", output)
        seconds *= 2
    if not result:
        raise Failure(f"wrk, {kind.name}, {server.setup}: no answer:\n{output}")
    done, duration, length, refused, errors = map(int, result[1].split())
    if (errors or refused != (done if kind.status >= 400 else 0)
            or not 0.98 * done * (size - kind.framing) < length
            < 1.02 * done * (size + kind.framing) + connections * size):
        raise Failure(f"wrk, {kind.name}, {server.setup}: not all answers "
                      f"were {kind.status} and {size} bytes:\n{output}")
    return done / duration * 1e6


def pss(pid):
    text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    return int(re.search(r"(?m)^Pss: +(\d+)", text)[1])


# ------------------------------------------------------------------- per child

CHILD_SETUPS = {"none": NONE, "stock": STOCK, "early": EARLY_OFF,
                "late": FIX_OFF, "late, on": FIX_ON, "late, mount": FIX_MOUNT}
# On prefork a child has nothing else to do while it waits for its jailer, and
# may take so many microseconds more.
CHILD_BARS = (Bar("early", "stock", 1.1), *(
    Bar(late, "stock", 1.1, other=("prefork", 1, 400))
    for late in ("late", "late, on", "late, mount")))
ONE_CHILD = {"prefork": """\
StartServers 1
MinSpareServers 1
MaxSpareServers 1
""", "event": """\
ServerLimit 2
StartServers 1
ThreadLimit 25
ThreadsPerChild 25
MaxRequestWorkers 50
MinSpareThreads 1
MaxSpareThreads 50
"""}
ONE_CHILD["worker"] = ONE_CHILD["event"]


def times(server, what):
    """Microseconds of each child, or builder, so far."""
    return [int(line.split()[1]) / 1000 for line in
            (server.root / "logs/forktime").read_text().splitlines()
            if line.split()[0] == what]


def children(bench):
    """Each graceful restart makes one child, and nothing else runs then."""
    section = Section(
        "Per child: from fork to the first wait for a connection",
        "microseconds", tuple(CHILD_SETUPS), plot="children",
        figure=lower_quartile,
        bars=CHILD_BARS)
    library = bench.library("forktime")

    def prepare(server):
        server.env.update(LD_PRELOAD=library,
                          FORKTIME=str(server.root / "logs/forktime"))

    def one_more(server):
        old, before = server.children(), len(times(server, "child"))
        os.kill(server.pid, signal.SIGUSR1)
        new = wait_for(lambda: times(server, "child")[before:], "a child", 30)
        wait_for(lambda: not any(map(procfs.alive, old)), "the old one's end")
        wait_for(server.answers, "an answer")
        return new[0]

    for mpm in MPMS:
        with bench.servers(CHILD_SETUPS.values(), prepare=prepare, mpm=mpm,
                           config=ONE_CHILD[mpm]) as servers:
            for _ in range(bench.pick(20, 1)):
                for name, setup in CHILD_SETUPS.items():
                    section.add(mpm, name, one_more(servers[setup]))
    return section


# ------------------------------------------------------------------- per start

# Ten paths. httpd asks whether document roots exist: there are a hundred.
HOST = """<VirtualHost *:${{PORT}}>
    ServerName host{number}.example
    DocumentRoot "{base}/{docs}"
    Alias "/static" "{base}/{number}/static"
    Alias "/media" "{base}/{number}/media"
    ScriptAlias "/cgi-bin" "{base}/{number}/cgi-bin"
    <Directory "{base}/{docs}">
        AllowOverride None
        Require all granted
    </Directory>
    <Directory "{base}/{number}/uploads">
        Options None
    </Directory>
    <Directory "{base}/{number}/private">
        AuthType Basic
        AuthName "private"
        AuthUserFile "{base}/{number}/passwords"
        Require valid-user
    </Directory>
    <DirectoryMatch "^{base}/{number}/[0-9]+/raw">
        Require all denied
    </DirectoryMatch>
    RewriteEngine On
    RewriteRule "^/old/(.*)$" "{base}/{number}/new/$1"
</VirtualHost>
"""


def cpu_of(pid):
    """Seconds on a processor; the parent has one thread only."""
    return int(Path(f"/proc/{pid}/schedstat").read_text().split()[0]) / 1e9


def cpu_of_children():
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


START_SETUPS = (NONE, SHORT, FIX_OFF, FIX_ON, FIX_MOUNT)


def start_bars(*limits, **rows):
    return (Bar("mount", "none", *limits, **rows),
            Bar("on", "none", *limits, **rows),
            Bar("off", "short", *limits, **rows))




def with_hosts(size):
    """A server's preparation: so many virtual hosts."""
    def prepare(server):
        home = (INNER if server.setup.base == INNER
                else f"{server.jail}/srv") + "/hosts"
        put(server.root, {"conf/hosts.conf": "".join(
            HOST.format(number=number, base=home, docs=number % 100)
            for number in range(size))})
        server.put({f"srv/hosts/{number}": Dir
                    for number in range(min(size, 100))})
        server.put({"srv/hosts/0/index.html": "first host"})
    return prepare


def starts(bench):
    """Processor time: it does not matter who else runs."""
    check, again = [Section(
        f"{title}, processor time", "milliseconds",
        tuple(map(str, START_SETUPS)), start_bars(1.05, 5), digits=1, plot=plot)
        for title, plot in (("Per start: httpd -t", "start"),
                            ("Per restart: the parent, graceful", "restart"))]
    sizes = bench.pick({10: 15, 1_000: 9, 10_000: 4, 50_000: 2},
                       {10: 1, 100: 1})
    for size, rounds in sizes.items():
        row = f"{size:,} virtual hosts"
        with bench.servers(START_SETUPS, prepare=with_hosts(size),
                           config="Include conf/hosts.conf") as servers:
            for _ in range(rounds):
                for setup, server in servers.items():
                    before = cpu_of_children()
                    status, output = server.httpd("-t")
                    check.add(row, setup, 1000 * (cpu_of_children() - before))
                    if status or output != "Syntax OK\n":
                        raise Failure(f"-t: {status}, {output}")
                for setup, server in servers.items():
                    before = cpu_of(server.pid)
                    server.graceful(lambda _, pid=server.pid:
                                    os.kill(pid, signal.SIGUSR1))
                    again.add(row, setup, 1000 * (cpu_of(server.pid) - before))
                    if server.get("/").text != "first host":
                        raise Failure(f"{setup}: not the first virtual host")
    few, many = list(sizes)[-2:]
    for section in check, again:
        for columns, to in (("on", "mount"), "none"), (("off",), "short"):
            section.linear(f"{few:,} virtual hosts", f"{many:,} virtual hosts",
                           many / few, columns, to)
    return check, again, start_instructions(bench)


def start_instructions(bench):
    """Of the process that reads the configuration."""
    section = Section("Per start: httpd -t, callgrind, early chroot",
                      "instructions", tuple(map(str, START_SETUPS)),
                      start_bars(1.05, rows=("1,000 virtual hosts",)),
                      plot="start-instructions")

    def measure(task):
        size, setup = task
        server = bench.server(setup, "Include conf/hosts.conf")
        with_hosts(size)(server)
        callgrind(server)
        status, output = server.httpd("-t")
        if status or output != "Syntax OK\n":
            raise Failure(f"-t: {status}, {output}")
        instructions = total(server.jail / "srv/dumps/out")
        shutil.rmtree(server.root)
        return instructions

    tasks = [(size, setup) for size in bench.pick((10, 1_000), (10,))
             for setup in (NONE, SHORT, EARLY_OFF, EARLY_ON, PLAYED)]
    with ThreadPoolExecutor(2) as pool:
        for (size, setup), value in zip(tasks, pool.map(measure, tasks)):
            section.add(f"{size:,} virtual hosts", setup, value)
    return section


# -------------------------------------------------------------------- per view

def views(bench):
    """What a view takes, by what is in it and by the size of the parent."""
    builder = Section(
        "Per view: from clone to the end of the builder", "microseconds",
        ("builder",), plot="views", figure=min, absolute=True)
    start = Section("Per view: httpd -t, processor time", "milliseconds",
                    ("off", "mount"), digits=1, figure=lower_quartile)
    sizes = bench.pick((1, 10, 100, 1_000), (1, 10))
    large = bench.pick(10_000, 100)
    tasks = [(size, 0) for size in sizes] + [(10, large)]
    made = {}
    for binds, hosts in tasks:
        row = f"{binds:,} bind" + "s" * (binds > 1)
        row += f", {hosts:,} virtual hosts" if hosts else ""
        made[row] = [view_server(bench, setup, binds, hosts)
                     for setup in (FIX_OFF, FIX_MOUNT)]
    for turn in range(bench.pick(9, 1)):
        for row, servers in list(made.items())[:5 if turn < 4 else -1]:
            for server in servers:
                before = cpu_of_children()
                status, output = server.httpd("-t")
                start.add(row, server.setup,
                          1000 * (cpu_of_children() - before))
                if status or output != "Syntax OK\n":
                    raise Failure(f"-t: {status}, {output}")
    for row, (off, mount) in made.items():
        for value in times(mount, "view"):
            builder.add(row, "builder", value)
        for server in off, mount:
            shutil.rmtree(server.root)
    few, many = list(made)[-3:-1]
    builder.limits += [
        Limit("10 binds", "builder", 3000, "3 ms"),
        Limit(list(made)[-1], "builder",
              LINEAR * builder.value("10 binds", "builder"),
              f"{LINEAR} times what it is in a small parent")]
    builder.linear(few, many, 10, ("builder",))
    return builder, start


def view_server(bench, setup, binds, hosts):
    names = [f"../binds/{number}" for number in range(binds)]
    server = bench.server(
        setup, ("".join(f"ChrootBind ${{ROOT}}/binds/{number}\n"
                        for number in range(binds)) if setup.has_view else "")
        + "Include conf/hosts.conf")
    server.put({name: Dir for name in names})
    with_hosts(hosts)(server)
    server.env.update(LD_PRELOAD=bench.library("forktime"),
                      FORKTIME=str(server.root / "logs/forktime"))
    return server


# ----------------------------------------------------------------- per restart

ROOM = {"event": """\
ServerLimit 16
StartServers 2
ThreadLimit 8
ThreadsPerChild 8
MaxRequestWorkers 128
MinSpareThreads 1
MaxSpareThreads 128
""", "prefork": ""}
ROOM["worker"] = ROOM["event"]


def losses(bench):
    """Clients ask without a pause while one generation follows the other."""
    count = bench.pick(100, 2)
    setups = (NONE, FIX_OFF, FIX_ON, FIX_MOUNT)
    answered = Section(f"Under load: answered, {count} graceful restarts, "
                       "late chroot", "requests",
                       tuple(map(str, setups)))
    lost = Section("Under load: lost", "requests",
                   answered.columns, bars=tuple(
                       Bar(str(setup), "none", 0) for setup in setups[1:]))
    tasks = [(mpm, setup) for mpm in MPMS for setup in setups]
    with ThreadPoolExecutor(4) as pool:
        for (mpm, setup), clients in zip(tasks, pool.map(
                lambda task: lose(bench, *task, count), tasks)):
            answered.add(mpm, setup, clients.right)
            lost.add(mpm, setup, clients.wrong)
    return answered, lost


def lose(bench, mpm, setup, count):
    with bench.servers([setup], mpm=mpm, config=ROOM[mpm]) as servers:
        server = servers[setup]
        with Clients(server, 2) as clients:
            for _ in range(count):
                old, seen = server.children(), server.generations()
                os.kill(server.pid, signal.SIGUSR1)
                wait_for(lambda: server.generations() > seen,
                         "the next generation", 30)
                wait_for(lambda: not any(map(procfs.alive, old)),
                         "the end of the last one", 30)
        if not clients.right:
            raise Failure(f"{setup}: no request was answered")
        # httpd's own: whether it happens does not depend on the jail
        server.allow_log("long lost child")
    return clients


class Clients:
    """Threads that ask for the page, a connection for each request."""

    def __init__(self, server, count):
        self.port, self.done = server.port, threading.Event()
        self.right = self.wrong = 0
        self.threads = [threading.Thread(target=self.run)
                        for _ in range(count)]
        self.lock = threading.Lock()

    def __enter__(self):
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self.done.set()
        for thread in self.threads:
            thread.join()

    def run(self):
        while not self.done.is_set():
            right = self.ask()
            with self.lock:
                self.right += right
                self.wrong += not right

    def ask(self):
        received = b""
        try:
            with socket.create_connection(("127.0.0.1", self.port), 10) as to:
                to.sendall(b"GET /page.txt HTTP/1.1\r\nHost: localhost\r\n"
                           b"Connection: close\r\n\r\n")
                while chunk := to.recv(65536):
                    received += chunk
        except OSError:
            return False
        return (received.startswith(b"HTTP/1.1 200 ")
                and received.endswith(b"\r\n\r\n" + PAGE.encode()))


# --------------------------------------------------------------------- the run

PHASES = {"instructions": instructions, "requests": requests,
          "children": children, "starts": starts, "views": views,
          "losses": losses}


def versions():
    first = run_ok([*httpd_command(), "-v"]).splitlines()[0]
    return "\n".join([
        time.strftime("%Y-%m-%d"),
        f"mod_chroot {version_of_module()}, {first.partition(': ')[2]}, "
        f"{run_ok(['valgrind', '--version']).strip()}",
        f"{platform.system()} {platform.release().partition('-')[0]} "
        f"{platform.machine()}, "
        f"{os.cpu_count()} processors, at most {open_files()} open files", ""])


def version_of_module():
    text = (PROJECT / "configure.ac").read_text()
    return re.search(r"AC_INIT\(\[\w+\],\s*\[([^]]+)\]", text)[1]


def open_files():
    return resource.getrlimit(resource.RLIMIT_NOFILE)[0]


def keep(results, text, sections):
    """The table as text, and pictures."""
    results.mkdir(exist_ok=True)
    (results / "latest.txt").write_text(text)
    for section in sections:
        if section.plot:
            section.svg(results)
    if results == RESULTS:
        readme = BENCH / "README.md"
        before, _, rest = readme.read_text().partition("```\n")
        behind = rest.partition("```")[2]
        readme.write_text(f"{before}```\n{text}```{behind}")


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--smoke", action="store_true",
                        help="whether it runs at all: no bars, nothing kept")
    parser.add_argument("--only", action="append", choices=PHASES,
                        help="nothing kept")
    parser.add_argument("--results", type=Path,
                        help="keep the table and the pictures there")
    options = parser.parse_args()
    if not (options.smoke or options.only or options.results):
        options.results = RESULTS
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))

    began = time.monotonic()
    text = versions()
    print(text, flush=True)
    sections = []
    with tempfile.TemporaryDirectory(prefix="chroot-bench-", dir="/var/lib") \
            as workspace:
        os.chmod(workspace, 0o755)
        bench = Bench(Path(workspace), options.smoke)
        for name in options.only or PHASES:
            for section in listed(PHASES[name](bench)):
                if bench.smoke:
                    section.bars = [Bar(bar.column, bar.to)
                                    for bar in section.bars]
                    section.limits = []
                print(section.text(), flush=True)
                sections.append(section)
            print(f"{name}: {time.monotonic() - began:.0f} s",
                  file=sys.stderr, flush=True)
    text = "\n".join([text, *(section.text() for section in sections)])
    if options.results:
        keep(options.results, text, sections)
    missed = [] if options.smoke else [
        line for section in sections for line in section.missed()]
    print(*missed, sep="\n")
    return 1 if missed else 0


def listed(sections):
    return [sections] if isinstance(sections, Section) else sections


if __name__ == "__main__":
    sys.exit(main())
