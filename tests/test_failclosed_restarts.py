"""Restarts, deaths and moves under load: each answer comes from the jail of
the configuration that gave it, none is lost, and the parent does not grow.

CHROOT_TEST_RESTARTS, 16, is the number of graceful restarts for each MPM,
CHROOT_TEST_CHURN, 3, for how many seconds children come and go; of early
children half of that.
"""
import contextlib
import http.client
import os
import shutil
import signal
import threading
import time

import pytest

import failclosed as fc
import procfs
from harness import Dir, Link, wait_for

RESTARTS = int(os.environ.get("CHROOT_TEST_RESTARTS", "16"))
CHURN = float(os.environ.get("CHROOT_TEST_CHURN", "3"))
CLIENTS = 4

# kB that the parent may gain for reasons of malloc(3)'s
SLACK = 128

# The worlds that generations are in. A page of each is nowhere else, and its
# type is of the generation's configuration.
WORLDS = {
    "jail": ("ChrootDir ${JAIL}\nChrootFixRoot On\n"
             'Alias / "${JAIL}/www/"\n', "jail"),
    "other": ('ChrootDir "${ROOT}/other"\nAlias / /www/\n', "other"),
    "none": ('ChrootDir none\nAlias / "${ROOT}/none/www/"\n', None),
    "jail-off": ("ChrootDir ${JAIL}\nChrootFixRoot Off\n"
                 "Alias / /www/\n", "jail"),
}
PLACES = ["jail", "other", "none"]


def config_of(world):
    return (WORLDS[world][0] + "LogLevel notice\n"
            f"AddType application/x-{world} .txt\n"
            f'ErrorDocument 404 "{world}"\n')


def root_of(server, world):
    directory = WORLDS[world][1]
    return procfs.dir_id(server.root / directory if directory else "/")


def put_worlds(server):
    server.put({f"../{place}/www/{place}.txt": place for place in PLACES})


class Load:
    """Clients that ask all the time, and judge each answer."""

    def __init__(self, server, timeout=30):
        self.server, self.timeout = server, timeout
        self.wrong, self.lost = [], []
        self.answers = {}
        self.over = threading.Event()
        self.threads = [threading.Thread(target=self.run, daemon=True)
                        for _ in range(CLIENTS)]

    def __enter__(self):
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self.over.set()
        for thread in self.threads:
            thread.join(self.timeout + 10)

    def run(self):
        while not self.over.wait(0.001):
            for place in PLACES:
                if self.over.is_set():
                    return
                try:
                    answer = self.server.get(f"/{place}.txt",
                                             timeout=self.timeout)
                except (OSError, http.client.HTTPException) as error:
                    self.lost.append(f"{place}: {error!r}")
                    continue
                self.judge(place, answer)

    def judge(self, place, answer):
        """By type or text it tells which configuration it is by."""
        world = answer.text
        if answer.status == 200:
            world = answer.headers["content-type"].partition("/x-")[2]
        here = world.partition("-")[0] == place
        if (world not in WORLDS or here != (answer.status == 200)
                or here and answer.text != place):
            self.wrong.append(f"{place}: {answer.status} {answer.text[:40]!r}"
                              f" by {world!r}")
        self.answers[world] = self.answers.get(world, 0) + 1

    def assert_right(self):
        assert self.answers and not self.wrong, self.wrong[:5]

    def assert_nothing_lost(self):
        assert not self.lost, (len(self.lost), self.lost[:5])


def parent_size(server):
    """What must not grow: (descriptors and threads, kB of memory)"""
    pid = server.pid
    return ((sorted(procfs.fd_kinds(pid).values()), len(procfs.tasks(pid))),
            int(procfs.status(pid)["RssAnon"].split()[0]))


def assert_no_growth(sizes):
    held, memory = zip(*sizes)
    assert len(held) > 1 and all(other == held[0] for other in held)
    assert memory[-1] - memory[0] < SLACK, memory


def report(request, load, sizes, started):
    """Figures, for pytest -rP."""
    print(f"{request.node.name}: {time.monotonic() - started:.0f} s, "
          f"{sum(load.answers.values())} answers {load.answers}, "
          f"{len(load.lost)} lost {load.lost[:2]}, parent "
          f"{[memory for _, memory in sizes]} kB")


def in_world(server, pid, world):
    """Each thread's root; a child that has gone meanwhile is nowhere."""
    with contextlib.suppress(OSError):
        for root in procfs.thread_roots(pid).values():
            assert root == root_of(server, world), procfs.root_path(pid)


# -------------------------------------------------------------------- restarts

def new_generation(server, world):
    """A graceful restart: each child that serves and was not there before is
    in the new generation's root."""
    old, seen = set(server.children()), server.generations()
    server.write_config(config_of(world))
    os.kill(server.pid, signal.SIGUSR1)
    wait_for(lambda: server.generations() > seen, "the restart", 60)

    def settled():
        new = set(server.workers()) - old
        for pid in new:
            in_world(server, pid, world)
        return new and not any(map(procfs.alive, old))
    wait_for(settled, f"only children in {world}", 60)


def test_graceful_restarts_under_load(request, httpd, mpm, variant):
    server = httpd(config_of("jail"))
    put_worlds(server)
    server.allow_log("AH00045|long lost child")     # busy children of worker
    server.start()
    sizes, started = [], time.monotonic()
    with Load(server) as load:
        for i in range(RESTARTS if variant == "late" else RESTARTS // 2):
            world = list(WORLDS)[(i + 1) % len(WORLDS)]
            new_generation(server, world)
            if world == "jail":
                sizes.append(parent_size(server))
    report(request, load, sizes, started)
    load.assert_right()
    load.assert_nothing_lost()
    assert set(load.answers) == set(WORLDS)
    assert_no_growth(sizes)
    wait_for(lambda: not [pid for pid in server.children()
                          if procfs.state(pid) == "Z"], "zombies to go")


# ---------------------------------------------------------------------- deaths

# As many as there is room for: httpd replaces a few once a second
CHURNING = {"event": (4, "StartServers 4\nServerLimit 16\n"
                       "MaxRequestWorkers 64\nMinSpareThreads 16\n"
                       "MaxSpareThreads 64\n"),
            "prefork": (8, "StartServers 8\nMinSpareServers 8\n")}
CHURNING["worker"] = CHURNING["event"]
NO_MORE_ROOM = "AH03490|AH00161|AH00286|AH00288"


def test_children_that_serve_one_connection_each(request, httpd, mpm, variant):
    most, config = CHURNING[mpm]
    server = httpd(config + "MaxConnectionsPerChild 1\n" +
                   config_of("jail") + "LogLevel notice chroot:debug\n")
    put_worlds(server)
    server.allow_log(NO_MORE_ROOM)
    server.start()
    seconds = CHURN if variant == "late" else CHURN / 2
    sizes, started = [], time.monotonic()
    with Load(server) as load:
        wait_for(lambda: load.answers, "an answer", 30)
        while len(sizes) < 2 or time.monotonic() < started + seconds:
            sizes.append(parent_size(server))
            for pid in server.workers():
                in_world(server, pid, "jail")
    lived = server.log().count("locked into /")
    report(request, load, sizes[::len(sizes) // 5 + 1], started)
    print(f"{lived} children")
    load.assert_right()
    load.assert_nothing_lost()
    assert_no_growth(sizes)
    assert lived > most
    assert not fc.alerts(server)
    stop_in_the_middle(server)


def stop_in_the_middle(server):
    """It meets children that start, and, with or without a jail, some that
    httpd has to kill."""
    server.allow_log("AH00045|AH00046")
    parent = server.pid
    server.quiesce()
    os.kill(parent, signal.SIGTERM)
    wait_for(lambda: server.gone(parent), "httpd to stop", 60)


def both(server):
    """The two children that a server starts with."""
    return wait_for(lambda: len(server.serving()) > 1 and server.serving(),
                    "two children", 30)


def kill(pids, killed_by=signal.SIGKILL):
    for pid in pids:
        os.kill(pid, killed_by)
    wait_for(lambda: not any(map(procfs.alive, pids)), f"{pids} to die")


def test_children_that_are_killed_come_back_jailed(httpd, mpm, variant):
    """What a killed child was about to answer is lost, and nothing else."""
    server = httpd(config_of("jail"), wrapper=[
        "sh", "-c", 'ulimit -c 0; exec "$@"', "sh"])
    put_worlds(server)
    server.expect_log("exit signal Segmentation fault")
    server.expect_log("exit signal Abort")
    server.start()
    with Load(server) as load:
        first, second, *_ = both(server)
        kill([first], signal.SIGSEGV)
        kill([second], signal.SIGABRT)
        kill(wait_for(server.workers, "new children", 30))
        new = wait_for(server.workers, "newer children", 30)
        for pid in new:
            in_world(server, pid, "jail")
        before = sum(load.answers.values())
        wait_for(lambda: sum(load.answers.values()) > before, "an answer", 30)
    load.assert_right()
    server.assert_jailed()


# ----------------------------------------------------------------------- moves

def replaced_by_another(jail, aside):
    jail.rename(aside)
    shutil.copytree(aside.parent / "other", jail)


def replaced_by_a_link_to_another(jail, aside):
    jail.rename(aside)
    jail.symlink_to("other")


def replaced_by_a_link_to_the_root(jail, aside):
    jail.rename(aside)
    jail.symlink_to("/")


def moved(jail, aside):
    jail.rename(aside)


MOVES = [replaced_by_another, replaced_by_a_link_to_another,
         replaced_by_a_link_to_the_root, moved]


EVERYWHERE = [("event", move) for move in MOVES] + [
    ("worker", replaced_by_another), ("prefork", replaced_by_another)]


def name_of(value):
    return getattr(value, "__name__", value)


@pytest.mark.parametrize("place, move", EVERYWHERE, ids=name_of)
def test_later_children_go_where_the_checked_directory_is(
        httpd, variant, place, move):
    server = httpd(config_of("jail"), mpm=place)
    put_worlds(server)
    server.start()
    old = both(server)
    aside = server.root / "aside"
    move(server.jail, aside)
    kill(old)
    wait_for(server.answers, "an answer", 30)
    server.assert_jailed(aside)
    assert server.get("/jail.txt").text == "jail"
    assert server.get("/other.txt").status == 404


@pytest.mark.parametrize("move", MOVES[:2], ids=name_of)
def test_the_next_generation_looks_for_its_jail_anew(httpd, variant, move):
    server = httpd(config_of("jail-off"))
    put_worlds(server)
    server.start()
    move(server.jail, server.root / "aside")
    server.graceful()
    server.assert_jailed(server.jail)
    assert server.get("/other.txt").text == "other"


def test_a_link_that_leads_elsewhere_now_counts_for_the_next_generation(
        httpd, variant):
    server = httpd(config_of("jail-off").replace("${JAIL}", "${ROOT}/current"))
    put_worlds(server)
    server.put({"../current": Link("jail")})
    server.start()
    old = both(server)
    (server.root / "current").unlink()
    server.put({"../current": Link("other")})
    kill(old)
    wait_for(server.answers, "an answer", 30)
    server.assert_jailed(server.jail)
    server.graceful()
    server.assert_jailed(server.root / "other")


@pytest.mark.parametrize("move", MOVES[1:3], ids=name_of)
def test_without_a_proc_outside_they_refuse(httpd, move):
    """There is no name then for the directory that was checked, wherever it
    is now."""
    server = httpd(config_of("jail"))
    put_worlds(server)
    server.put({"../empty": Dir})
    server.binds = [(server.root / "empty", "/proc")]
    server.allow_log(r":(alert|emerg)\]|AH02324")
    server.start()
    old = both(server)
    move(server.jail, server.root / "aside")
    kill(old)
    wait_for(lambda: ":alert]" in server.log(), "a child that refuses", 20)
    assert not server.answers()
    assert not server.running() or not server.workers()
