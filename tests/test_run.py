"""run.sh and what it installs packages with."""
import os
import re
import shutil
import signal
import subprocess

import pytest

from harness import PROJECT, run, wait_for

# apt-get that takes until there is a file "go", and looks at policy-rc.d then.
APT_GET = """#!/bin/sh
case $* in *download-only* | *update*) exit ;; esac
[ ! -e fail ] || exit 100
touch started
until [ -e go ] || [ ! -e started ]; do sleep 0.1; done
cat /usr/sbin/policy-rc.d > policy
"""
# With an administrator's policy-rc.d; what is seen of it afterwards.
NEED = f"""
mount -t tmpfs tmpfs /usr/sbin
echo theirs > /usr/sbin/policy-rc.d
trap : INT
sh -euc '. {PROJECT}/tests/packages.sh; need no-such; echo went on' || echo $?
cd /usr/sbin
for file in *; do echo "$file: $(cat "$file")"; done
"""


@pytest.fixture
def need(directory):
    """A started script that needs a package, and its directory."""
    place = directory()
    for name, text in [("apt-get", APT_GET), ("apt-cache", """#!/bin/sh
echo '  Candidate: 1'
""")]:
        (place / name).write_text(text)
        (place / name).chmod(0o755)

    def start():
        return subprocess.Popen(
            ["unshare", "--mount", "sh", "-euc", NEED], cwd=place, text=True,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            env={**os.environ, "PATH": f"{place}:{os.environ['PATH']}"},
            start_new_session=True)
    return start, place


def test_ctrl_c_waits_for_apt_get_before_services_may_start(need):
    start, place = need
    process = start()
    wait_for((place / "started").exists, "apt-get")
    os.killpg(process.pid, signal.SIGINT)
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(1)
    (place / "go").touch()
    output = process.communicate(timeout=60)[0]
    assert "exit 101" in (place / "policy").read_text()
    assert output.endswith("\n130\npolicy-rc.d: theirs\n")
    assert "went on" not in output


def test_an_apt_get_that_fails_is_named_by_what_it_did(need):
    start, place = need
    (place / "fail").touch()
    said = start().communicate(timeout=60)[0]
    assert said.endswith("sh: apt-get install failed\n1\npolicy-rc.d: theirs\n")


# PATH has no apt-get and no python3: nothing could be installed, or tested.
@pytest.mark.parametrize("arguments, status, said", [
    (["--help"], 0, ""),
    (["--release", "trixie", "--help"], 0, ""),
    (["--smoke", "--nonsense"], 2, ""),
    (["--release", "sid", "--smoke", "-x"], 2, "no option goes with --smoke: -x"),
    (["--release"], 2, "--release needs a value"),
    (["--arch"], 2, "--arch needs a value"),
    (["--release", "--smoke"], 2, "--release needs a value")])
def test_a_wrong_argument_is_refused_before_anything_is_done(
        directory, arguments, status, said):
    place = directory()
    for name in ("cat", "dirname", "dpkg", "id"):
        (place / name).symlink_to(shutil.which(name))
    script = PROJECT / "tests/run.sh"
    seen, output = run([script, *arguments], env={"PATH": str(place)})
    assert seen == status and said in output
    assert re.match("(release.sh: .*\n)?usage: tests/run.sh ", output)


def test_ctrl_c_in_a_smoke_tests_build_leaves_nothing(directory):
    place = directory()
    with subprocess.Popen([PROJECT / "tests/run.sh", "--smoke"], text=True,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          env={**os.environ, "TMPDIR": str(place)},
                          start_new_session=True) as process:
        for line in process.stdout:
            if "Build:" in line:
                break
        os.killpg(process.pid, signal.SIGINT)
        process.stdout.read()
    assert process.returncode == 130
    assert not list(place.iterdir())
