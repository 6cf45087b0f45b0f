"""The harness judges everything else, so it is judged first: on stock httpd."""
import os
import shutil
import signal
import subprocess
import sys

import pytest

import procfs
from harness import PLAIN, TESTS, UID, Mode, wait_for


@pytest.fixture
def plain(httpd):
    def make(config="DocumentRoot ${JAIL}", **options):
        return httpd(config, variant=PLAIN, **options)
    return make


@pytest.mark.parametrize("mode", [Mode.FOREGROUND, Mode.DAEMON, Mode.SINGLE])
def test_a_stock_server_starts_answers_and_stops(plain, mpm, mode):
    server = plain(files={"index.html": "hello"}).start(mode)
    assert server.get("/").text == "hello"
    server.stop()
    assert not server.leftovers()


def test_a_graceful_restart_leaves_only_new_children(plain, mpm):
    server = plain(files={"index.html": "hello"}).start()
    old = server.serving()
    server.graceful()
    new = server.serving()
    assert not set(old) & set(new)
    assert all(procfs.uids(pid) == [UID] * 4 for pid in new)


def test_a_server_that_cannot_start_says_why(plain):
    server = plain("NoSuchDirective here")
    assert "NoSuchDirective" in server.refused_start()
    status, output = server.configtest()
    assert status != 0 and "NoSuchDirective" in output


THREADS = """\
import threading, time
while True:
    threads = [threading.Thread(target=time.sleep, args=[0.01])
               for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
"""


def test_threads_that_end_while_they_are_looked_at_are_left_out():
    process = subprocess.Popen([sys.executable, "-c", THREADS])
    try:
        seen = set()

        def many():
            seen.update(procfs.each_thread(process.pid, procfs.uids))
            assert process.pid in seen
            return len(seen) > 50
        wait_for(many, "threads", 60)
    finally:
        process.kill()
        process.wait()
    with pytest.raises(OSError):
        procfs.each_thread(process.pid, procfs.uids)


def test_an_undeclared_warning_is_a_complaint(plain):
    server = plain().start()
    with open(server.root / "logs/error.log", "a") as log:
        log.write("[Sun Nov 22 02:51:36.0 2026] [core:warn] [pid 1] careful\n"
                  "not from httpd\n"
                  "[Sun Nov 22 02:51:36.0 2026] [core:notice] [pid 1] child "
                  "pid 2 exit signal Aborted (6)\n")
    assert len(server.close()) == 3
    server.allow_log("careful|not from httpd|exit signal")


def test_a_declared_line_that_is_missing_is_a_complaint(plain):
    server = plain().start()
    server.expect_log("never logged")
    assert server.close() == ["not in the log: never logged"]
    server.expected.clear()


def test_an_orphan_is_a_complaint_and_is_ended(plain):
    server = plain().start()
    orphan = subprocess.Popen(["sleep", "60"], env=server.env)
    server.patience = 0.1
    complaints = server.close()
    assert len(complaints) == 1 and str(orphan.pid) in complaints[0]
    assert orphan.wait() == -signal.SIGKILL


def test_an_orphan_with_a_clean_environment_is_found_by_its_directory(plain):
    server = plain().start()
    orphan = subprocess.Popen(["sleep", "60"], env={},
                              cwd=server.root / "logs")
    assert server.leftovers().count(orphan.pid) == 1
    os.kill(orphan.pid, signal.SIGKILL)
    orphan.wait()


def test_wait_for_gives_up():
    with pytest.raises(AssertionError, match="waited .* for godot"):
        wait_for(lambda: False, "godot", timeout=0.05)


def test_a_skipped_test_fails_in_ci(directory):
    path = directory()
    (path / "test_skip.py").write_text(
        "import pytest\ndef test_it():\n    pytest.skip('no')\n")
    shutil.copy(TESTS / "conftest.py", path)
    for ci, status in (("true", 1), ("", 0)):
        done = subprocess.run(
            [sys.executable, "-m", "pytest", "-q", "-p",
             "no:cacheprovider", str(path / "test_skip.py")],
            env={**os.environ, "CI": ci, "PYTHONPATH": str(TESTS)},
            capture_output=True)
        assert done.returncode == status, done.stdout.decode()


def test_a_terminated_session_cleans_up(directory):
    path = directory()
    shutil.copy(TESTS / "conftest.py", path)
    (path / "test_endless.py").write_text(
        "import time\n"
        "def test_it(httpd, workspace):\n"
        "    server = httpd(variant=None).start()\n"
        f"    open('{path}/root', 'w').write(str(workspace))\n"
        "    time.sleep(60)\n")
    session = subprocess.Popen(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider",
         str(path)], env={**os.environ, "PYTHONPATH": str(TESTS)},
        stdout=subprocess.DEVNULL)
    root = wait_for((path / "root").read_text, "the server")
    session.terminate()
    assert session.wait(60) == 2
    assert not os.path.exists(root)
