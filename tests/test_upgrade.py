"""INSTALL's ways from stock ChrootDir and from mod_chroot 1.x, on jails that
are as those needed them."""
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
