"""The benchmark runs, its table has all figures, and it does not measure what
is not there."""
import re
import sys

import pytest

from harness import PROJECT, VARIANTS, needs, run, wait_for

sys.path.insert(0, str(PROJECT / "bench"))

import bench  # noqa: E402

FIGURE = re.compile(r"^[\d,]+(\.\d+)? ±\d+\.\d%$")
RATIO = re.compile(r"^(\d+\.\d{3}|inf)!?$")

# table: its columns, its rows
SERVERS = ["none", "short", "stock", "off", "on", "mount"]
REQUESTS = ["static file", "Alias", ".htaccess", "304", "404", "CGI"]
HOSTS = ["none", "short", "off", "on", "mount"]
LOADED = ["none", "off", "on", "mount"]
MPMS = ["event", "worker", "prefork"]
BINDS = ["1 bind", "10 binds", "10 binds, 100 virtual hosts"]
TABLES = {
    "Per request, AllowOverride": (SERVERS, REQUESTS),
    "Per request: wrk": (SERVERS, REQUESTS),
    "Memory": (SERVERS, ["parent", "child"]),
    "Per child": (["none", "stock", "early", "late", "late, on",
                   "late, mount"], MPMS),
    "Per start: httpd -t, processor": (HOSTS, ["10 virtual hosts",
                                               "100 virtual hosts"]),
    "Per start: httpd -t, callgrind": (HOSTS, ["10 virtual hosts"]),
    "Per restart": (HOSTS, ["10 virtual hosts", "100 virtual hosts"]),
    "Per view: from clone": (["builder"], BINDS),
    "Per view: httpd -t": (["off", "mount"], BINDS),
    "Under load: answered": (LOADED, MPMS),
    "Under load: lost": (LOADED, MPMS)}


def cells(line):
    return re.split(r"\s{2,}", line.strip())


def nonzero(figure):
    return float(figure.partition(" ")[0].replace(",", "")) > 0


def tables(text):
    """{title: lines of cells}, from what the benchmark prints."""
    found = {}
    for block in text.split("\n\n")[1:]:
        title, _, *lines = block.strip().splitlines()
        found[title] = [cells(line) for line in lines
                        if not line.startswith(("> ", "Hooks "))]
    return found


def titled(found, start):
    title, = (title for title in found if title.startswith(start))
    return found[title]


def check_tables(text):
    found = tables(text)
    for start, (columns, rows) in TABLES.items():
        header, *lines = titled(found, start)
        assert header[1:len(columns) + 1] == columns
        assert [line[0] for line in lines] == rows
        for line in lines:
            assert len(line) == len(header)
            figures = line[1:len(columns) + 1]
            assert all(map(FIGURE.match, figures)), line
            assert all(map(RATIO.match, line[len(columns) + 1:])), line
            if start != "Under load: lost":
                assert all(map(nonzero, figures)), line


@pytest.fixture
def smoke(builds, directory, monkeypatch):
    """bench.py --smoke -> (exit status, output, where its results are)"""
    needs("mount_setattr")
    for variant in VARIANTS:
        monkeypatch.setenv(f"CHROOT_TEST_{variant.upper()}_SO",
                           str(builds.variant(variant)))

    results = directory()
    status, output = run([sys.executable, PROJECT / "bench/bench.py",
                          "--smoke", "--results", results], timeout=300)
    return status, output, results


def test_the_benchmark_has_all_figures_for_all_servers(smoke):
    kept = {path: path.read_bytes()
            for path in (PROJECT / "bench").rglob("*") if path.is_file()}
    status, output, results = smoke
    assert status == 0, output
    text = (results / "latest.txt").read_text()
    check_tables(text)
    for path in results.glob("*.svg"):
        assert path.read_text().rstrip().endswith("</svg>")
    assert len(list(results.glob("*.svg"))) == len(TABLES) - 3
    assert "Hooks of mod_chroot in a request: none 0, short 0, stock 0, " \
        "off 0, on 8, mount 2" in text
    assert kept == {path: path.read_bytes() for path in kept}


@pytest.fixture
def small(builds, directory, monkeypatch):
    """A benchmark in smoke mode, its parts to be called one by one."""
    needs("mount_setattr")
    for variant in VARIANTS:
        monkeypatch.setenv(f"CHROOT_TEST_{variant.upper()}_SO",
                           str(builds.variant(variant)))
    return bench.Bench(directory(), smoke=True)


DENIED = "<Location /pictures>\nRequire all denied\n</Location>\n"


@pytest.mark.parametrize("part", ["instructions", "requests"])
def test_a_benchmark_of_error_pages_fails(small, monkeypatch, part):
    monkeypatch.setattr(bench, "SITE", bench.SITE + DENIED)
    with pytest.raises(bench.Failure, match="Alias: not the right answer"):
        list(bench.PHASES[part](small))


def test_a_benchmark_of_another_page_fails(small, monkeypatch):
    monkeypatch.setattr(bench, "OVERRIDDEN", "what is not in the file")
    monkeypatch.setattr(bench, "KINDS", [bench.Kind(
        "page", "/page.txt", bench.OVERRIDDEN)])
    with pytest.raises(bench.Failure, match="page: not the right answer"):
        bench.requests(small)


def test_requests_that_are_refused_under_load_fail(small, monkeypatch):
    monkeypatch.setattr(bench, "KINDS", [bench.Kind("page", "/none", "")])
    monkeypatch.setattr(bench.Kind, "check", lambda *_: None)
    with pytest.raises(bench.Failure, match="wrk, page"):
        bench.requests(small)


def test_a_lost_request_is_counted(httpd):
    server = httpd().start()
    server.stop()
    with bench.Clients(server, 1) as clients:
        wait_for(lambda: clients.wrong, "a request to be lost")
    assert not clients.right


def section(bars, values, **options):
    made = bench.Section("Title", "unit", ("a", "b"), bars, **options)
    for row, (a, b) in values.items():
        made.add(row, "a", a)
        made.add(row, "b", b)
    return made


def test_a_missed_bar_is_named():
    made = section((bench.Bar("b", "a", 1.05),),
                   {"met": (100, 105), "missed": (100, 106)})
    assert made.missed() == [
        "Title: missed: b is 106, more than 105; b/a <= 1.05"]
    assert "1.060!" in made.text() and "1.050!" not in made.text()


def test_a_bar_has_an_addition_and_other_limits_for_a_row():
    bar = bench.Bar("b", "a", 1.1, 5, other=("odd", 1, 40))
    made = section((bar,), {"even": (100, 115), "odd": (100, 140)})
    assert not made.missed()
    assert "b/a <= 1.1 + 5, odd: 1 + 40" in made.text()
    made = section((bar,), {"even": (100, 116), "odd": (100, 141)})
    assert len(made.missed()) == 2
    made = section((bench.Bar("b", "a", 1, 0, ("one",)),),
                   {"one": (1, 2), "another": (1, 2)})
    assert [line.split(": ")[1] for line in made.missed()] == ["one"]


def test_what_grows_faster_than_the_number_is_named():
    made = section((), {"10": (10, 10), "100": (100, 121)})
    made.linear("10", "100", 10, ("a", "b"))
    assert len(made.missed()) == 1 and "> b, 100: 121 <= 120" in made.text()


def test_a_plot_has_its_bars(tmp_path, monkeypatch):
    scripts = []
    monkeypatch.setattr(bench.subprocess, "run", lambda *_, input, **__:
                        scripts.append(input))
    section((bench.Bar("b", "a", 1.05),), {"row": (100, 104)},
            plot="plot").svg(tmp_path)
    assert "$marks << END\n0.1250 1.0500 0.1250\nEND" in scripts[0]


def test_a_view_that_is_played_with_other_hooks_is_no_measure(
        small, monkeypatch):
    monkeypatch.setattr(bench, "EARLY_MOUNT", bench.EARLY_ON)
    with pytest.raises(bench.Failure, match="other hooks"):
        bench.compare_hooks(small)


def test_a_child_outside_of_its_view_is_no_measure(small):
    with small.servers([bench.FIX_OFF]) as servers:
        server, = servers.values()
        server.setup = bench.FIX_MOUNT
        pids = server.serving()
        with pytest.raises(AssertionError, match="to be in the view"):
            bench.assert_confined(server, pids)
        server.setup = bench.FIX_OFF


def test_the_readme_shows_the_last_table():
    readme = (PROJECT / "bench/README.md").read_text()
    shown = re.search(r"```\n(.*)```", readme, re.S)[1]
    assert shown == (PROJECT / "bench/results/latest.txt").read_text()
