"""What cannot work is refused, with the path, the reason and the cure."""
import os
import re
import shutil

import pytest

from harness import USER, Dir, Link, run_ok, self_link

ON = "ChrootDir ${JAIL}\nChrootFixRoot On\nDocumentRoot ${JAIL}\n"
NOBODY = ["setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups"]
NO_CHROOT = ["setpriv", "--bounding-set=-sys_chroot",
             "--inh-caps=-sys_chroot"]


@pytest.mark.parametrize("written, files, named, reason", [
    ("${ROOT}/absent", {}, "absent", "No such file or directory"),
    ("absent", {}, "absent", "No such file or directory"),
    ("absent/deep", {}, "absent/deep", "No such file or directory"),
    ("nonesuch", {}, "nonesuch", "No such file or directory"),
    ("DOCUMENT_ROOTS", {}, "DOCUMENT_ROOTS", "No such file or directory"),
    ("file", {"../file": ""}, "file", "(?i)not a directory"),
    ("file/below", {"../file": ""}, "file/below", "Not a directory"),
    ("link", {"../link": Link("absent")}, "link",
     "No such file or directory"),
    ("link", {"../link": Link("file"), "../file": ""}, "link",
     "(?i)not a directory"),
    ("loop", {"../loop": Link("loop")}, "loop",
     "Too many levels of symbolic links"),
    ("x" * 300, {}, "x" * 300, "File name too long"),
])
def test_a_jail_that_is_no_directory_is_a_configuration_error(
        httpd, variant, written, files, named, reason):
    server = httpd(f"ChrootDir {written}", files=files)
    status, output = server.configtest()
    assert status != 0
    assert output.count("ChrootDir") == 1
    assert f"{server.root}/{named}" in output or f'"{named}"' in output
    assert re.search(reason, output)
    assert "Syntax error on line" in output
    assert "must be a valid directory" not in output


def test_a_document_root_that_does_not_exist_is_no_jail(httpd, variant):
    server = httpd("ChrootDir DOCUMENT_ROOT\nDocumentRoot ${ROOT}/absent")
    status, output = server.configtest()
    assert status != 0
    assert "ChrootDir" in output and f"{server.root}/absent" in output
    assert "No such file or directory" in output


@pytest.mark.parametrize("mode", [0o700, 0o000, 0o750, 0o744])
def test_a_jail_the_user_may_not_search_is_refused(httpd, variant, mode):
    server = httpd("ChrootDir ${JAIL}")
    server.jail.chmod(mode)
    said = server.refused_start()
    assert str(server.jail) in said
    assert "Permission denied" in said and "search" in said


def test_a_jail_the_users_group_may_search_is_accepted(httpd, variant):
    server = httpd("ChrootDir ${JAIL}")
    shutil.chown(server.jail, "root", USER)
    server.jail.chmod(0o710)
    server.start().assert_jailed()


def assert_refused_for_lack_of_rights(server):
    said = server.refused_start()
    about = [line for line in said.splitlines() if str(server.jail) in line]
    assert about and re.search("ChrootDir|chroot", about[0]), said
    assert re.search(r"\broot\b", said)
    assert not server.leftovers()
    return said


def test_without_the_right_to_chroot_it_does_not_start(httpd, mpm, variant):
    server = httpd("ChrootDir ${JAIL}", wrapper=NO_CHROOT)
    text = assert_refused_for_lack_of_rights(server)
    assert "Operation not permitted" in text
    assert "CAP_SYS_CHROOT" in text


def as_nobody(server):
    for name in ("run", "logs", "conf"):
        shutil.chown(server.root / name, "nobody", "nogroup")
    server.wrapper = NOBODY
    return server


def test_an_ordinary_user_cannot_start_it(httpd, mpm, variant):
    server = as_nobody(httpd("ChrootDir ${JAIL}"))
    assert_refused_for_lack_of_rights(server)


def test_an_ordinary_user_may_start_it_without_a_jail(httpd, variant):
    server = as_nobody(httpd("ChrootDir none\nDocumentRoot ${JAIL}",
                             files={"index.html": "hello"})).start()
    assert server.get("/").text == "hello"


@pytest.mark.parametrize("config", [
    "ChrootDir ${JAIL}\nChrootFixRoot On", "ChrootDir none",
    "ChrootDir DOCUMENT_ROOT\nDocumentRoot ${JAIL}\nChrootFixRoot On"])
def test_configtest_works_for_an_ordinary_user(httpd, variant, config):
    server = as_nobody(httpd(config))
    status, output = server.configtest()
    assert (status, output) == (0, "Syntax OK\n")


def test_configtest_works_without_the_right_to_chroot(httpd, variant):
    server = httpd("ChrootDir ${JAIL}", wrapper=NO_CHROOT)
    status, output = server.configtest()
    assert status == 0 and output.endswith("Syntax OK\n")
    assert "the server needs root with CAP_SYS_CHROOT" in output


def test_apachectl_configtest_works_for_an_ordinary_user(httpd, variant):
    server = as_nobody(httpd("ChrootDir ${JAIL}"))
    server.write_config()
    status, output = server.apachectl("configtest")
    assert status == 0 and "Syntax OK" in output


def test_a_refused_graceful_restart_is_a_refused_restart(httpd, variant):
    """A jail that disappears: the running children stay, httpd -k graceful
    says why."""
    server = httpd("ChrootDir ${JAIL}").start()
    server.serving()
    os.rename(server.jail, server.root / "moved")
    status, output = server.httpd("-k", "graceful")
    assert status != 0 and str(server.jail) in output
    server.assert_jailed(server.root / "moved")


# --------------------------------------------- what ChrootFixRoot On refuses

@pytest.mark.parametrize("lines, said", [
    ("Alias /a ${ROOT}/link",
     'Alias at {conf}:{line} names "{root}/link", which gets to the jail '
     'through a symbolic link; write "{jail}"'),
    ("Alias /a ${ROOT}/link/sub/",
     'Alias at {conf}:{line} names "{root}/link/sub", which gets to the jail '
     'through a symbolic link; write "{jail}/sub"'),
    ("AccessFileName conf/.htaccess",
     "AccessFileName at {conf}:{line} names a path, and has to be a file's "
     "name"),
    ("<Location />\nAuthGroupFile ${ROOT}/groups\n</Location>",
     'AuthGroupFile at {conf}:{line} decides by "{root}/groups", which is not '
     "in the jail; copy it to {jail}{root}/groups, unless that has a URL, and "
     "write that path"),
    ("RewriteMap deny txt:${ROOT}/groups",
     'RewriteMap at {conf}:{line} decides by "{root}/groups"'),
    ("RewriteCond /etc/passwd -f",
     'RewriteCond at {conf}:{line} tests the file "/etc/passwd", and children '
     "see those in the jail {jail} only"),
    ("RewriteCond %{{ENV:X}} -f",
     'RewriteCond at {conf}:{line} tests the file "%{{ENV:X}}", which may be '
     "outside; begin it with the jail {jail} or %{{DOCUMENT_ROOT}}"),
    ("RewriteCond %{{DOCUMENT_ROOT}}/../x !-d",
     'RewriteCond at {conf}:{line} tests the file "%{{DOCUMENT_ROOT}}/../x"'),
    ("<If \"-f '/etc/passwd'\">\nRequire all denied\n</If>",
     '<If> at {conf}:{line} tests the file "/etc/passwd"'),
    ("<If \"file('/etc/passwd') =~ /x/\">\nRequire all denied\n</If>",
     '<If> at {conf}:{line} tests the file "/etc/passwd"'),
])
def test_what_would_decide_otherwise_is_an_error_with_file_and_line(
        httpd, lines, said):
    server = httpd(ON + lines.replace("{{", "{").replace("}}", "}"),
                   files={"../link": Link("jail"), "sub": Dir, "../groups": ""},
                   modules=["rewrite", "authz_groupfile"])
    status, output = server.configtest()
    assert status != 0
    assert re.sub(r":\d+ ", ":N ", output).startswith(said.format(
        conf=server.conf, line="N", root=server.root, jail=server.jail)), output
    line = int(re.search(r":(\d+) ", output)[1])
    named = server.conf.read_text().splitlines()[line - 1]
    assert output.split()[0].strip(">") in named
    server.refused_start()


@pytest.mark.parametrize("lines", [
    "RewriteCond %{REQUEST_FILENAME} !-f", "RewriteCond ${JAIL}/x -f",
    "RewriteCond %{DOCUMENT_ROOT}/x/%{REQUEST_URI} -f",
    "RewriteCond %{LA-U:REQUEST_FILENAME} -f",
    "<If \"-f '${JAIL}/x'\">\n</If>",
    "<If \"-d %{REQUEST_FILENAME}\">\n</If>",
    "<DirectoryMatch \"x(?!y)/(.*)$\">\n</DirectoryMatch>",
    "AccessFileName .htaccess .access", "Alias /a ${JAIL}/../jail/a"])
def test_what_decides_as_without_a_jail_is_accepted(httpd, lines):
    server = httpd(ON + lines, modules=["rewrite"])
    assert server.configtest() == (0, "Syntax OK\n")


# ----------------------------------------- the self-link, which start makes

@pytest.mark.parametrize("target", [
    Dir, "a file", Link("/srv/none"), Link("../x"),
    Link("../../../../../../../..")])
def test_something_else_in_the_place_of_the_self_link_is_refused(
        httpd, variant, target):
    server = httpd(ON)
    place = server.jail / str(server.jail)[1:]
    server.put({str(server.jail)[1:]: target})
    status, output = server.configtest()
    assert status != 0
    assert (f"needs a link to the jail at {place}, and something else is "
            "there; move it away") in output
    said = server.refused_start()
    assert f"{place} is something else; move it away" in said
    place.rmdir() if target is Dir else place.unlink()
    server.start().assert_jailed()


def test_a_read_only_jail_is_told_which_link_it_needs(httpd, variant):
    server = httpd(ON, files={"index.html": "hello"})
    server.wrapper = ["unshare", "--mount", "--propagation", "private", "sh",
                      "-ec", 'mount --bind "$0" "$0"; '
                      'mount -o remount,bind,ro "$0"; exec "$@"', server.jail]
    said = server.refused_start()
    assert "Read-only file system" in said
    assert f"{server.jail}{server.jail} cannot be made; ChrootFixRoot On" in said
    run_ok(["sh", "-ec", re.search("mkdir -p .* && ln -s .*", said)[0]])
    place = server.jail / str(server.jail)[1:]
    assert os.readlink(place) == self_link(server.jail)[
        str(server.jail)[1:]].target
    server.start()
    assert server.get("/index.html").text == "hello"


def test_a_link_that_somebody_in_the_jail_makes_ends_no_server(httpd, mpm):
    """With ChrootFixRoot Off it gives the jail a second URL: refused at a
    start, a warning at a restart."""
    server = httpd("ChrootDir ${JAIL}\nDocumentRoot /")
    server.start()
    server.put(self_link(server.jail))
    server.graceful()
    server.expect_log(r"chroot:warn\].*would give the whole jail URLs")
    server.assert_jailed()
    server.stop()
    server.allow_log(".*")
    assert "would give the whole jail URLs" in server.refused_start()
