"""quickstart.sh, run from a copy of the tree as a newcomer runs it."""
import glob
import os
import re
import signal
import subprocess
import urllib.request

import pytest

import procfs
from harness import copy_tree, free_port, run, wait_for

INSTALLED = ("/etc/apache2", "/var/log/apache2", "/var/www",
             "/usr/lib/apache2", "/run/apache2", "/var/lib/apache2")


@pytest.fixture
def quickstart(directory):
    """The script's path in a fresh copy, and the environment that marks its
    processes."""
    tree = copy_tree(directory() / "clone")
    return tree / "quickstart.sh", {**os.environ, "CHROOT_TEST": str(tree)}


def fingerprint():
    """Every installed file of Apache with size and time of change."""
    return {path: os.lstat(path)[6:] for top in INSTALLED
            for path in glob.glob(f"{top}/**", recursive=True)
            if not os.path.isdir(path)}


def leftovers(env):
    return procfs.marked(f"CHROOT_TEST={env['CHROOT_TEST']}",
                         env["CHROOT_TEST"])


def temporary_directories():
    return glob.glob("/var/lib/mod_chroot-quickstart*")


def test_once_shows_that_the_jail_is_true_and_leaves_nothing(quickstart):
    script, env = quickstart
    before, dirs = fingerprint(), temporary_directories()
    clone = sorted(script.parent.rglob("*"))
    port = free_port()
    status, output = run([script, "--once", "--port", str(port)], env=env,
                         cwd="/", timeout=120)
    assert status == 0, output
    assert f"127.0.0.1:{port}" in output
    assert "Hello from the jail" in output and "403" in output
    roots = re.findall(r"child +\d+: root (\S+), uid (\d+)", output)
    assert len(roots) >= 2
    assert all(root != "/" and uid != "0" for root, uid in roots)
    assert len(re.findall("graceful", output)) >= 1
    assert not leftovers(env)
    assert temporary_directories() == dirs
    assert fingerprint() == before
    assert sorted(script.parent.rglob("*")) == clone


@pytest.mark.parametrize("ending", [signal.SIGINT, signal.SIGTERM])
def test_it_serves_until_ctrl_c_and_leaves_nothing(
        quickstart, directory, ending):
    script, env = quickstart
    dirs, port = temporary_directories(), free_port()
    log = directory() / "out"
    with open(log, "wb") as out:
        process = subprocess.Popen([script, "--port", str(port)], stdout=out,
                                   stderr=out, env=env, cwd="/",
                                   start_new_session=True)
    try:
        wait_for(lambda: "until Ctrl-C" in log.read_text(), "the show", 60)
        url = f"http://127.0.0.1:{port}/"
        assert b"Hello" in urllib.request.urlopen(url, timeout=10).read()
        assert process.poll() is None
    finally:
        os.killpg(process.pid, ending)
        process.wait(20)
    wait_for(lambda: not leftovers(env), "everything to end")
    assert temporary_directories() == dirs


def test_a_port_in_use_is_said_at_once(httpd, quickstart):
    script, env = quickstart
    server = httpd(variant=None).start()
    status, output = run([script, "--once", "--port", str(server.port)],
                         env=env, timeout=60)
    assert status != 0 and str(server.port) in output
    assert not leftovers(env)


@pytest.mark.parametrize("arguments", [
    ["--port"], ["--port", "x"], ["--port", "0"], ["--port", "65536"],
    ["--nonsense"]])
def test_wrong_arguments_show_the_usage(quickstart, arguments):
    script, env = quickstart
    status, output = run([script, *arguments], env=env)
    assert status == 2 and "usage" in output


def test_an_ordinary_user_is_told_to_be_root(quickstart):
    script, env = quickstart
    status, output = run(["setpriv", "--reuid=nobody", "--clear-groups",
                          script, "--once"], env=env)
    assert status != 0 and "root" in output
