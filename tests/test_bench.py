"""The benchmark runs, its table has all figures, and it does not measure what
is not there."""
import re
import sys

import pytest

from harness import PROJECT, VARIANTS, run, wait_for

sys.path.insert(0, str(PROJECT / "bench"))

import bench  # noqa: E402

FIGURE = re.compile(r"^[\d,]+(\.\d+)? ±\d+\.\d%$")
RATIO = re.compile(r"^(\d+\.\d{3}|inf)!?$")

# table: its columns, its rows
SERVERS = ["none", "short", "stock", "off", "on"]
REQUESTS = ["static file", "Alias", ".htaccess", "304", "404", "CGI"]
HOSTS = ["none", "short", "off", "on"]
TABLES = {
    "Per request, AllowOverride": (SERVERS, REQUESTS),
    "Per request: wrk": (SERVERS, REQUESTS),
    "Memory": (SERVERS, ["parent", "child"]),
    "Per child": (["none", "stock", "early", "late", "late, on"],
                  ["event", "worker", "prefork"]),
    "Per start: httpd -t, processor": (HOSTS, ["10 virtual hosts",
                                               "100 virtual hosts"]),
    "Per start: httpd -t, callgrind": (HOSTS, ["10 virtual hosts"]),
    "Per restart": (HOSTS, ["10 virtual hosts", "100 virtual hosts"]),
    "Under load": (SERVERS, ["answered", "lost"])}


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
                        if not line.startswith("By the host, ")]
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
            if line[0] != "lost":
                assert all(map(nonzero, figures)), line


@pytest.fixture
def smoke(builds, directory, monkeypatch):
    """bench.py --smoke -> (exit status, output, where its results are)"""
    for variant in VARIANTS:
        monkeypatch.setenv(f"CHROOT_TEST_{variant.upper()}_SO",
                           str(builds.variant(variant)))

    results = directory()
    status, output = run([sys.executable, PROJECT / "bench/bench.py",
                          "--smoke", "--results", results], timeout=240)
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
    assert len(list(results.glob("*.svg"))) == len(TABLES) - 1
    assert kept == {path: path.read_bytes() for path in kept}


@pytest.fixture
def small(builds, directory, monkeypatch):
    """A benchmark in smoke mode, its parts to be called one by one."""
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


def test_a_missed_bar_is_named():
    section = bench.Section("Title", "unit", ("a", "b"), (("b", "a", 1.05),))
    for row, values in {"met": (100, 105), "missed": (100, 106)}.items():
        section.add(row, "a", values[0])
        section.add(row, "b", values[1])
    assert section.missed() == ["Title: missed: b/a is 1.060, more than 1.05"]
    assert "1.060!" in section.text() and "1.050!" not in section.text()


def test_the_readme_shows_the_last_table():
    readme = (PROJECT / "bench/README.md").read_text()
    shown = re.search(r"```\n(.*)```", readme, re.S)[1]
    assert shown == (PROJECT / "bench/results/latest.txt").read_text()
