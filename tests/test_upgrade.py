"""INSTALL's ways from stock ChrootDir and from mod_chroot 1.x, on jails that
are as those needed them."""
import re
import shutil

import pytest

from harness import PLAIN, File, self_link

PAGES = {"index.html": "home", "private/index.html": "private",
         "notes/a.txt": "note"}
PATHS = {"/": 200, "/private/": 403, "/notes/a.txt": 200, "/none": 404,
         "/etc/passwd": 404}

SITE = """\
<Directory "{0}/htdocs">
    Require all granted
</Directory>
<Directory "{0}/htdocs/private">
    Require all denied
</Directory>
"""
OUTER = 'DocumentRoot "${JAIL}/htdocs"\n' + SITE.format("${JAIL}")
INNER = ('DocumentRoot "${ROOT}"\nAlias "/" "/htdocs/"\n<Directory />\n'
         "Require all denied\n</Directory>\n" + SITE.format(""))

# What old ways had in a jail; the text does not matter, as nothing reads it.
COPIES = {name: File("", 0o755) for name in (
    "lib/x86_64-linux-gnu/libgcc_s.so.1", "lib/x86_64-linux-gnu/libnss_dns.so.2",
    "etc/localtime", "etc/passwd", "etc/mime.types", "var/run/httpd.pid",
    "etc/apache2/apache2.conf", "usr/lib/apache2/modules/mod_dir.so")}


def pages(base):
    return {f"{base}/{name}": text for name, text in PAGES.items()}


def assert_answers(server):
    server.allow_log("AH01630|AH01797")     # denied
    assert {path: server.get(path).status for path in PATHS} == PATHS
    assert server.get("/").text == "home"


def without(copies, jail):
    for name in copies:
        (jail / name).unlink()


def test_from_stock_chrootdir(httpd, builds, mpm):
    """First load the module and change nothing; then let what is superfluous
    go; then write outer paths."""
    server = httpd("LoadFile libgcc_s.so.1\nChrootDir ${JAIL}\n" + INNER,
                   variant=PLAIN, files={**pages("htdocs"), **COPIES})
    server.start()
    assert_answers(server)
    server.stop()

    server.so = builds.variant("late")
    server.expect_log('DocumentRoot .*, which is not in the jail')
    server.start()
    server.assert_jailed()
    assert_answers(server)

    without(COPIES, server.jail)
    server.write_config("ChrootDir ${JAIL}\n" + INNER)
    server.restart()
    server.assert_jailed()
    assert_answers(server)

    server.write_config("ChrootDir ${JAIL}\nChrootFixRoot On\n" + OUTER)
    server.restart()
    server.assert_jailed()
    assert_answers(server)


def section(path):
    return f'<Directory "{path}">\n    Require all denied\n</Directory>\n'


@pytest.mark.parametrize("mode", ["On", "Mount"])
def test_a_section_that_still_has_an_inner_path_is_warned_of(httpd, mode):
    """It would grant what it denied. What the host has may have been meant."""
    server = httpd(f"ChrootDir ${{JAIL}}\nChrootFixRoot {mode}\n" + OUTER
                   + section("/htdocs/notes") + section("/usr/share")
                   + section("/htdocs/absent"),
                   files={**pages("htdocs"), "usr/share/x": ""})
    warning = (f'<Directory> at {server.conf}:N names "/htdocs/notes", which '
               'does not exist outside the jail, and has no effect; write '
               f'"{server.jail}/htdocs/notes"')
    server.expect_log(warning.replace(":N", r":\d+"))
    server.start()
    said = server.configtest()[1]
    assert re.sub(r":\d+ names", ":N names", said).count(warning) == 1
    assert said.count("has no effect") == 1
    report = server.httpd("-t", "-D", "DUMP_CHROOT")[1]
    names = re.findall(r'^[a-z ]+: <Directory> at .* names "([^"]*)"', report,
                       re.M)
    assert names.count("/htdocs/notes") == 2    # what becomes of it; a warning


def test_an_outer_section_is_warned_of_where_the_self_link_is_left(httpd):
    server = httpd("ChrootDir ${JAIL}\n" + INNER.replace("${ROOT}",
                                                         "${ROOT}/conf")
                   + section("${JAIL}/htdocs/notes"), files=pages("htdocs"))
    for left in False, True:
        if left:
            server.put(self_link(server.jail))
        said = server.configtest()[1]
        assert ('which children look for in the jail; write "/htdocs/notes"'
                in said), left


def doubled(server):
    """The jail's own path in it, with the pages."""
    server.put({**pages(f"{server.jail}/htdocs"[1:]), **COPIES})
    shutil.rmtree(server.jail / "htdocs")
    (server.jail / "htdocs").mkdir()        # what httpd 2.2 wanted to see


def linked(server):
    """A link there that leads to the jail: inside it leads to the pages."""
    server.put({**self_link(server.jail), **COPIES})


def test_what_mount_has_no_use_for_is_named_by_the_report(httpd):
    server = httpd("ChrootDir ${JAIL}\nChrootFixRoot Mount\n" + OUTER,
                   files=pages("htdocs"))
    note = f"note: {server.jail}{server.jail} is not needed with Mount"
    doubled(server)
    status, report = server.httpd("-t", "-D", "DUMP_CHROOT")
    assert status == 0 and note in report
    assert note[6:] not in server.configtest()[1]
    shutil.rmtree(server.jail / server.jail.parts[1])
    linked(server)
    assert note not in server.httpd("-t", "-D", "DUMP_CHROOT")[1]


@pytest.mark.parametrize("layout", [doubled, linked])
def test_from_mod_chroot_1(httpd, mpm, layout):
    server = httpd("ChrootDir ${JAIL}\nChrootFixRoot On\n" + OUTER,
                   files=pages("htdocs"))
    layout(server)
    inside = server.jail / str(server.jail)[1:]
    if layout is doubled:
        assert f"{inside} is something else" in server.refused_start()
        (server.jail / "htdocs").rmdir()
        shutil.move(inside / "htdocs", server.jail / "htdocs")
        inside.rmdir()
    without(COPIES, server.jail)
    server.allowed[:] = ["is something else|Configuration Failed"]
    server.start()
    server.assert_jailed()
    assert_answers(server)
    server.graceful()
    server.assert_jailed()
    assert_answers(server)
