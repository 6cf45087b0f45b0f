"""quickstart.sh, run from a copy of the tree as a newcomer runs it."""
import glob
import os
import re
import signal
import subprocess
import threading
import urllib.request
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

import procfs
from harness import copy_tree, free_port, lacks, run, run_ok, wait_for

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
    return {path: (os.lstat(path).st_size, os.lstat(path).st_ctime)
            for top in INSTALLED
            for path in glob.glob(f"{top}/**", recursive=True)
            if os.path.lexists(path) and not os.path.isdir(path)}


def leftovers(env):
    return procfs.marked(f"CHROOT_TEST={env['CHROOT_TEST']}",
                         env["CHROOT_TEST"])


def tmp(output):
    return re.search(r"Building mod_chroot in (\S+)/build", output)[1]


def temporary_directories():
    return glob.glob("/var/lib/mod_chroot-quickstart*")


# Alone with what is installed: no network but the loopback device.
OFFLINE = ["unshare", "--net", "sh", "-c",
           'busybox ip link set lo up && exec "$@"', "sh"]
# What a root in a container has; mounting is not needed.
CONTAINED = ["setpriv", "--bounding-set=-sys_admin,-sys_resource,-mknod"]

# What Docker leaves it: a look at another user's root is not in it.
DOCKER = ["setpriv", "--bounding-set=-all,+chown,+dac_override,+fowner,+fsetid,"
          "+kill,+setgid,+setuid,+setpcap,+net_bind_service,+net_raw,"
          "+sys_chroot,+mknod,+audit_write,+setfcap"]
READ_LINES = ["sh", "-c", 'lines=$1; shift; "$@" 2>&1 | head -n "$lines"', "sh"]
PRIVATE = ["sh", "-c", 'umask 077; exec "$@"', "sh"]


@pytest.mark.parametrize("wrapper", [[], OFFLINE, CONTAINED, DOCKER, PRIVATE],
                         ids=["here", "offline", "contained", "docker",
                              "umask"])
def test_once_shows_that_the_jail_is_true_and_leaves_nothing(
        quickstart, wrapper):
    script, env = quickstart
    before, dirs = fingerprint(), temporary_directories()
    clone = sorted(script.parent.rglob("*"))
    port = free_port()
    status, output = run([*wrapper, script, "--once", "--port", str(port)],
                         env=env, cwd="/", timeout=600)
    assert status == 0, output
    assert "Installing" not in output and "and stay" not in output
    refusal = ('"Mount" needs Linux 5.12 or newer' if lacks("mount_setattr")
               else "(1)Operation not permitted: ChrootFixRoot Mount: clone")
    mode = ("On" if wrapper in (CONTAINED, DOCKER) or lacks("mount_setattr")
            else "Mount")
    assert f'ChrootDir "{tmp(output)}/jail"\n    ChrootFixRoot {mode}\n' in output
    assert (refusal in output) == (mode == "On")
    assert "/climb -> 200 The top has " in output
    files = output.partition("All files in the jail")[2].partition("==>")[0]
    assert [line.split("/", 1)[1] for line in files.splitlines()[1:]] == [
        "climb", "htdocs/index.html", "htdocs/private/index.html",
        "notes/index.html", *[f"{tmp(output)}/jail"[1:]] * (mode == "On")]
    assert f"127.0.0.1:{port}" in output
    assert "Hello from the jail" in output and "403" in output
    roots = re.findall(r"child +\d+: (?:root (\S+), )?uid (\d+)", output)
    assert len(roots) >= 2
    seen = "" if wrapper is DOCKER else f"{tmp(output)}/jail"
    assert all(root == seen and uid != "0" for root, uid in roots)
    assert ("without CAP_SYS_PTRACE" in output) == (wrapper is DOCKER)
    assert ("the same jail" in output) == (wrapper is not DOCKER)
    assert len(re.findall("graceful", output)) >= 1
    assert not leftovers(env)
    assert temporary_directories() == dirs
    assert fingerprint() == before
    assert sorted(script.parent.rglob("*")) == clone


def test_it_runs_through_a_symbolic_link(quickstart, directory):
    script, env = quickstart
    link = directory() / "link"
    link.symlink_to(script)
    run_ok([link, "--once", "--port", str(free_port())], env=env, cwd="/")


@pytest.mark.parametrize("ending", [signal.SIGINT, signal.SIGTERM])
def test_it_serves_until_ctrl_c_and_leaves_nothing(
        httpd, quickstart, directory, ending):
    """Beside an Apache that runs already."""
    other = httpd(variant=None).start()
    script, env = quickstart
    dirs, port = temporary_directories(), free_port()
    log = directory() / "out"
    with open(log, "wb") as out:
        process = subprocess.Popen([script, "--port", str(port)], stdout=out,
                                   stderr=out, env=env, cwd="/",
                                   start_new_session=True)
    try:
        wait_for(lambda: "until Ctrl-C" in log.read_text(), "the show", 300)
        url = f"http://127.0.0.1:{port}/"
        assert b"Hello" in urllib.request.urlopen(url, timeout=10).read()
        assert process.poll() is None
    finally:
        os.killpg(process.pid, ending)
        process.wait(60)
    wait_for(lambda: not leftovers(env), "everything to end")
    assert temporary_directories() == dirs
    assert other.running() and other.answers()


@pytest.mark.parametrize("step", ["Building", "Starting", "The site"])
def test_ctrl_c_before_that_leaves_nothing_either(quickstart, step):
    script, env = quickstart
    dirs = temporary_directories()
    process = subprocess.Popen([script, "--port", str(free_port())],
                               stdout=subprocess.PIPE, text=True, cwd="/",
                               stderr=subprocess.STDOUT, env=env,
                               start_new_session=True)
    for line in process.stdout:
        if step in line:
            break
    os.killpg(process.pid, signal.SIGINT)
    process.stdout.read()
    assert process.wait(60) == 130
    wait_for(lambda: not leftovers(env), "everything to end")
    assert temporary_directories() == dirs


def test_ctrl_c_while_the_directory_is_made_leaves_nothing_either(
        quickstart, directory):
    script, env = quickstart
    dirs, place = temporary_directories(), directory()
    (place / "mktemp").write_text("""#!/bin/sh
name=$(/usr/bin/mktemp "$@")
kill -INT 0
echo "$name"
""")
    (place / "mktemp").chmod(0o755)
    status, output = run(
        [script, "--once"], start_new_session=True,
        env={**env, "PATH": f"{place}:{env['PATH']}"})
    assert (status, output) == (130, "")
    assert temporary_directories() == dirs


@pytest.mark.parametrize("lines", [1, 3])
def test_a_reader_that_goes_leaves_nothing_either(quickstart, lines):
    script, env = quickstart
    dirs = temporary_directories()
    run([*READ_LINES, str(lines), script, "--once", "--port", str(free_port())],
        env=env)
    wait_for(lambda: not leftovers(env), "everything to end")
    assert temporary_directories() == dirs


def test_a_port_in_use_is_said_at_once(httpd, quickstart):
    script, env = quickstart
    server = httpd(variant=None).start()
    status, output = run([script, "--once", "--port", str(server.port)],
                         env=env, timeout=60)
    assert status != 0 and str(server.port) in output
    assert not leftovers(env)


def test_a_server_that_took_the_port_meanwhile_is_another(quickstart):
    script, env = quickstart
    port = free_port()
    with subprocess.Popen([script, "--once", "--port", str(port)],
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          text=True, env=env) as process:
        assert "Building" in process.stdout.readline()
        with HTTPServer(("127.0.0.1", port), BaseHTTPRequestHandler) as other:
            threading.Thread(target=other.serve_forever).start()
            output = process.stdout.read()
            other.shutdown()
    assert process.returncode == 1 and "httpd did not start" in output
    assert not leftovers(env)


@pytest.mark.parametrize("arguments", [
    ["--port"], ["--port", "x"], ["--port", "0"], ["--port", "65536"],
    ["--nonsense"]])
def test_wrong_arguments_show_the_usage(quickstart, arguments):
    script, env = quickstart
    status, output = run([script, *arguments], env=env)
    assert status == 2 and "usage" in output


@pytest.mark.parametrize("name", [
    "CHOWN", "KILL", "SETGID", "SETUID", "SYS_CHROOT"])
def test_a_capability_that_is_missing_is_named_at_once(quickstart, name):
    script, env = quickstart
    dirs = temporary_directories()
    status, output = run(["setpriv", f"--bounding-set=-{name.lower()}", script,
                          "--once"], env=env)
    assert status == 1
    assert output == (f"quickstart.sh: no CAP_{name}: a container needs "
                      f"--cap-add={name} to have a jail in it\n")
    assert temporary_directories() == dirs


def test_an_ordinary_user_is_told_to_be_root(quickstart):
    script, env = quickstart
    status, output = run(["setpriv", "--reuid=nobody", "--clear-groups",
                          script, "--once"], env=env)
    assert status != 0 and "root" in output
