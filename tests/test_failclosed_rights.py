"""The right to chroot.  Who has it starts, a root of a user namespace too; who
lacks it, or would pass it on to children, is told so and does not start."""
import os
import platform
import re
import shutil
import struct

import pytest

import procfs
from harness import GID, UID, USER, Mode, apxs, run_ok

PYTHON = "/usr/bin/python3"
SITE = "ChrootDir ${JAIL}\nChrootFixRoot On\nDocumentRoot ${JAIL}\n"
PAGE = {"index.html": "hello"}


def assert_refused(server, *reasons):
    """It says why and what to do, ends with an error, and nobody answers."""
    said = server.refused_start()
    for reason in (*reasons, re.escape(str(server.jail))):
        assert re.search(reason, said), f"{reason}: {said}"
    assert server.popen.wait(60) > 0
    assert not server.answers()
    assert not server.leftovers()


def assert_serves_from_the_jail(server):
    for _ in range(2):
        server.assert_jailed()
        assert server.get("/").text == "hello"
        server.graceful()


# ------------------------------------------------------- a server that is root

CURE = r"needs root with CAP_SYS_CHROOT.*SystemCallFilter="


def test_root_without_cap_sys_chroot_is_refused(httpd, mpm, variant):
    server = httpd(SITE, files=PAGE, wrapper=[
        "capsh", "--drop=cap_sys_chroot", "--", "-c", 'exec "$@"', "sh"])
    assert_refused(server, "Operation not permitted", CURE)


@pytest.mark.parametrize("right", ["cap_setuid", "cap_setgid"])
def test_root_that_cannot_become_user_is_refused(httpd, variant, right):
    server = httpd(SITE, files=PAGE, wrapper=[
        "capsh", f"--drop={right}", "--", "-c", 'exec "$@"', "sh"])
    assert_refused(server, "Operation not permitted", CURE)


def test_a_start_as_a_daemon_is_refused_too(httpd, mpm):
    server = httpd(SITE, wrapper=[
        "capsh", "--drop=cap_sys_chroot", "--", "-c", 'exec "$@"', "sh"])
    said = server.refused_start(Mode.DAEMON)
    assert re.search(CURE, said)
    assert not server.answers() and not server.leftovers()


# ------------------------------------------ system calls that are filtered out

CLONE_VM, CLONE_FS = 0x100, 0x200
SYSTEM_CALLS = {"x86_64": {"chroot": 161, "clone": 56},
                "aarch64": {"chroot": 51, "clone": 220},
                "i686": {"chroot": 61, "clone": 120}}

# seccomp(2), installed by what is executed in place of itself afterwards
FILTER = """\
import ctypes, os, sys
code = bytes.fromhex(sys.argv[1])
class Program(ctypes.Structure):
    _fields_ = [("length", ctypes.c_ushort), ("code", ctypes.c_char_p)]
prctl = ctypes.CDLL(None, use_errno=True).prctl
program = Program(len(code) // 8, code)
if prctl(22, 2, ctypes.byref(program), 0, 0):      # PR_SET_SECCOMP, a filter
    sys.exit("seccomp: " + os.strerror(ctypes.get_errno()))
os.execvp(sys.argv[2], sys.argv[2:])
"""


def forbid(call, mask=0, value=0):
    """A wrapper in which a call fails with EPERM when its first argument,
    masked, is value."""
    load, equal, mask_it, done = 0x20, 0x15, 0x54, 0x06
    allow, eperm = 0x7fff0000, 0x00050001
    code = [(load, 0, 0, 0),                    # its number
            (equal, 0, 4, SYSTEM_CALLS[platform.machine()][call]),
            (load, 0, 0, 16),                   # lower half of the argument
            (mask_it, 0, 0, mask),
            (equal, 0, 1, value),
            (done, 0, 0, eperm),
            (done, 0, 0, allow)]
    return [PYTHON, "-c", FILTER,
            b"".join(struct.pack("=HBBI", *line) for line in code).hex()]


def test_a_service_whose_system_calls_are_filtered_is_refused(
        httpd, mpm, variant):
    """As with systemd's SystemCallFilter=~@mount."""
    server = httpd(SITE, wrapper=forbid("chroot"))
    assert_refused(server, "Operation not permitted", CURE)


def test_where_no_jailer_can_be_cloned_the_generation_is_early(httpd, mpm):
    server = httpd(SITE, files=PAGE, wrapper=forbid(
        "clone", CLONE_VM | CLONE_FS, CLONE_FS)).start()
    assert_serves_from_the_jail(server)
    assert len(re.findall(r":notice\].*\(early chroot", server.log())) == \
        server.generations()
    assert "late chroot" not in server.log()


# --------------------------------------------------- a server that is not root

AS_USER = ["setpriv", f"--reuid={UID}", f"--regid={GID}", "--init-groups"]
AMBIENT = [*AS_USER, "--inh-caps=+sys_chroot", "--ambient-caps=+sys_chroot"]


def owned_by_user(server):
    for name in ("logs", "run"):
        shutil.chown(server.root / name, USER, USER)
    return server


@pytest.mark.parametrize("user", [AS_USER, AMBIENT],
                         ids=["ordinary", "ambient-cap-sys-chroot"])
def test_a_server_that_is_not_root_is_refused(httpd, mpm, variant, user):
    """With an ambient capability it could chroot, and so could every child:
    once more, and out."""
    capability = run_ok([*user, "sh", "-c", "grep CapAmb /proc/self/status"])
    assert (int(capability.split()[1], 16) != 0) == (user is AMBIENT)
    server = owned_by_user(httpd(SITE, wrapper=user))
    assert_refused(server, "needs a server that is started as root;"
                           " start it as root, or take ChrootDir out")


def test_a_server_that_is_not_root_serves_without_a_jail(httpd, variant):
    server = owned_by_user(httpd(
        "ChrootDir none\nDocumentRoot ${JAIL}", files=PAGE, wrapper=AS_USER))
    server.start()
    assert server.get("/").text == "hello"


def test_an_ordinary_user_may_test_a_configuration(httpd, variant):
    server = owned_by_user(httpd(SITE, wrapper=AS_USER))
    assert server.configtest() == (0, "Syntax OK\n")


# -------------------------------------------------- root of a user namespace

# Its first process; the map is written by one outside, which may map others
# than itself.
ENTER = """\
import ctypes, os, sys
ready, go = os.pipe()
mapper = os.fork()
if mapper == 0:
    os.close(go)
    os.read(ready, 1)
    for kind in ("uid", "gid"):
        with open(f"/proc/{os.getppid()}/{kind}_map", "w") as file:
            file.write(sys.argv[1])
    os._exit(0)
if ctypes.CDLL(None, use_errno=True).unshare(0x10000000):  # CLONE_NEWUSER
    sys.exit("unshare: " + os.strerror(ctypes.get_errno()))
os.close(go)
assert os.waitpid(mapper, 0)[1] == 0
os.setgroups([])
os.setgid(0)
os.setuid(0)
os.execvp(sys.argv[2], sys.argv[2:])
"""

BASE = 100000


def namespace(*maps):
    """(inner, outer) ids, users and groups alike"""
    lines = "".join(f"{inner} {outer} 1\n" for inner, outer in maps)
    return [PYTHON, "-c", ENTER, lines]


def test_root_of_a_user_namespace_has_the_right(httpd, mpm, variant):
    server = httpd(SITE, files=PAGE, wrapper=namespace((0, 0), (UID, UID)))
    server.start()
    assert os.readlink(f"/proc/{server.pid}/ns/user") != \
        os.readlink("/proc/self/ns/user")
    assert_serves_from_the_jail(server)


def test_it_has_it_when_it_is_nobody_outside(httpd, variant):
    """As in a container that an ordinary user has started: / is not root's
    there."""
    server = httpd(SITE, files=PAGE, wrapper=namespace(
        (0, BASE), (UID, BASE + UID)))
    run_ok(["chown", "-R", f"{BASE}:{BASE}", server.root])
    server.allow_log("should be writable by root alone")
    server.start()
    assert procfs.uids(server.pid) == [BASE] * 4
    server.user = server.group = f"#{BASE + UID}"   # as it is seen from here
    server.assert_jailed()
    assert server.get("/").text == "hello"
    assert "is the jail" not in server.log()


def test_a_user_namespace_that_does_not_map_user_is_refused(
        httpd, mpm, variant):
    server = httpd(SITE, wrapper=namespace((0, 0)))
    assert_refused(server, "Invalid argument", CURE)


# ----------------------------------------------- modules that keep privileges

STUB = """\
#include "httpd.h"
#include "http_config.h"
module AP_MODULE_DECLARE_DATA {}_module = {{ STANDARD20_MODULE_STUFF }};
"""


@pytest.mark.parametrize("name, file", [("mpm_itk", "mpm_itk"),
                                        ("ruid2", "mod_ruid2")])
def test_a_module_whose_children_stay_half_root_is_refused(
        httpd, variant, name, file):
    """By its name; what it does in children comes after the jail."""
    server = httpd(SITE)
    source = server.root / f"{file}.c"
    source.write_text(STUB.format(name))
    run_ok(["gcc", "-shared", "-fPIC", *apxs("CFLAGS").split(),
            *apxs("EXTRA_CPPFLAGS").split(), f"-I{apxs('INCLUDEDIR')}",
            f"-I{apxs('APR_INCLUDEDIR')}", source.name, "-o", f"{file}.so"],
           cwd=server.root)
    server.modules = [(name, server.root / f"{file}.so")]
    assert_refused(server, rf"{file}\.c keeps privileges in children,"
                           ".* unload it or mod_chroot")
    server.config = SITE.replace("${JAIL}", "none", 1).replace(
        "ChrootFixRoot On\n", "")
    server.start()
