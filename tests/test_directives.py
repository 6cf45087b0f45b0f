"""ChrootDir and ChrootFixRoot: what may be written, where, and what it means.

Which directory is in force is asked of the running children.
"""
import pytest

import procfs
from harness import Dir, File, Link, run_ok

# With ChrootFixRoot Off children do not find a DocumentRoot of the outside
OUTER_ROOT = r"chroot:warn\].*DocumentRoot at .* names"

PLACES = {
    "../here/.keep": "", "../a b/.keep": "", "../nonesuch/.keep": "",
    "../document_root2/.keep": "", '../say "hi"/.keep': "",
    "../back\\slash/.keep": "", "../jäil/.keep": "", "../-dash/.keep": "",
    "../link": Link("here"), "../upper/link": Link("../here"),
    "../here/sub/.keep": "", "../upper/here/.keep": "",
}

SPELLINGS = {
    "an absolute path": ("${ROOT}/here", "here"),
    "relative to ServerRoot": ("here", "here"),
    "relative with ./": ("./here", "here"),
    "relative with ../": ("here/../here", "here"),
    "trailing slash": ("${ROOT}/here/", "here"),
    "many trailing slashes": ("${ROOT}/here///", "here"),
    "double slash": ("${ROOT}//here", "here"),
    "dot": ("${ROOT}/./here/.", "here"),
    "dot dot": ("${ROOT}/here/sub/..", "here"),
    "symbolic link": ("${ROOT}/link", "here"),
    "symbolic link and slash": ("${ROOT}/link/", "here"),
    "relative symbolic link": ("upper/link", "here"),
    "below a symbolic link": ("${ROOT}/link/sub", "here/sub"),
    "dot dot after a symbolic link, as text, like DocumentRoot's":
        ("${ROOT}/upper/link/../here", "upper/here"),
    "double quotes": ('"${ROOT}/here"', "here"),
    "single quotes": ("'here'", "here"),
    "spaces": ('"${ROOT}/a b"', "a b"),
    "spaces, relative": ('"a b"', "a b"),
    "quotes in the name": (r'"say \"hi\""', 'say "hi"'),
    "backslash in the name": (r'"back\\slash"', "back\\slash"),
    "not ascii": ("jäil", "jäil"),
    "leading dash": ("-dash", "-dash"),
    "a name that begins like none": ("nonesuch", "nonesuch"),
    "a name that begins like a keyword": ("document_root2", "document_root2"),
    "a keyword as a path": ("./none", "none"),
    "the root directory": ("/", "/"),
}


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_a_path_in_any_spelling_is_the_jail(httpd, spelling):
    written, place = SPELLINGS[spelling]
    server = httpd(f"ChrootDir {written}",
                   files={**PLACES, "../none/.keep": ""}).start()
    if place == "/":
        server.allow_log(r"chroot:warn.*/(dev|proc)\b")
    server.assert_jailed(server.root / place)


@pytest.mark.parametrize("define", ["Define WHERE here",
                                    "Define WHERE ${ROOT}/here"])
def test_a_define_works_in_the_path(httpd, define):
    server = httpd(f"{define}\nChrootDir ${{WHERE}}", files=PLACES).start()
    server.assert_jailed(server.root / "here")


@pytest.mark.parametrize("config", [
    "ChrootDir {}\nDocumentRoot ${{JAIL}}",
    "DocumentRoot ${{JAIL}}\nChrootDir {}",
    "DocumentRoot ${{ROOT}}\nChrootDir {}\nDocumentRoot ${{JAIL}}",
    "ChrootDir {}\nDocumentRoot ${{ROOT}}\nDocumentRoot ${{JAIL}}/",
    "ChrootDir {}\nDocumentRoot jail",
    "ChrootDir {}\nDocumentRoot \"${{JAIL}}\"\n"
    "<VirtualHost *>\nDocumentRoot ${{ROOT}}\n</VirtualHost>",
])
@pytest.mark.parametrize("keyword", ["DOCUMENT_ROOT", "Document_Root"])
def test_document_root_is_the_final_one_of_the_main_server(
        httpd, config, keyword):
    server = httpd(config.format(keyword))
    server.allow_log(OUTER_ROOT)
    server.start().assert_jailed()


@pytest.mark.parametrize("keyword", ["SERVER_ROOT", "server_root",
                                     '"Server_Root"'])
def test_server_root_is_the_server_root(httpd, keyword):
    server = httpd(f"ChrootDir {keyword}").start()
    server.assert_jailed(server.root)


def test_server_root_is_the_final_one(httpd):
    server = httpd("ChrootDir SERVER_ROOT\nServerRoot ${ROOT}/other",
                   files={"../other/run/.keep": "", "../other/logs/.keep": ""})
    server.config += "\nPidFile ${ROOT}/run/httpd.pid" \
        "\nErrorLog ${ROOT}/logs/error.log\nDefaultRuntimeDir ${ROOT}/run"
    server.start().assert_jailed(server.root / "other")


@pytest.mark.parametrize("keyword", ["none", "None", "NONE", '"none"'])
def test_none_switches_the_jail_off(httpd, variant, keyword):
    server = httpd(f"ChrootDir {keyword}\nDocumentRoot ${{JAIL}}",
                   files={"index.html": "outside"}).start()
    server.assert_jailed("/")
    assert server.get("/").text == "outside"


def test_without_chrootdir_nothing_is_jailed(httpd, variant):
    httpd().start().assert_jailed("/")


@pytest.mark.parametrize("lines, place", [
    (["${ROOT}/here", "${JAIL}"], "jail"),
    (["${JAIL}", "here"], "here"),
    (["none", "${JAIL}"], "jail"),
    (["${JAIL}", "none"], "/"),
    (["SERVER_ROOT", "none", "here"], "here"),
    (["here", "DOCUMENT_ROOT"], "jail"),
    (["DOCUMENT_ROOT", "here"], "here"),
])
def test_the_last_chrootdir_wins(httpd, lines, place):
    config = "".join(f"ChrootDir {line}\n" for line in lines)
    server = httpd(config + "DocumentRoot ${JAIL}", files=PLACES)
    server.allow_log(OUTER_ROOT)
    server.start().assert_jailed(server.root / place)


def test_the_last_chrootfixroot_wins(httpd):
    server = httpd("ChrootDir ${JAIL}\nChrootFixRoot Off\nChrootFixRoot On\n"
                   "DocumentRoot ${JAIL}/www",
                   files={"www/index.html": "hello"}).start()
    assert server.get("/").text == "hello"


@pytest.mark.parametrize("wrapper", [
    "<IfModule chroot_module>\n{}\n</IfModule>",
    "<IfModule mod_chroot.c>\n{}\n</IfModule>",
    "<IfDefine !ABSENT>\n{}\n</IfDefine>",
    "<IfModule chroot_module>\n<IfDefine !ABSENT>\n{}\n</IfDefine>\n"
    "</IfModule>",
    "Include ${{ROOT}}/conf/extra.conf",
    "<Macro Jail $dir>\nChrootDir $dir\nChrootFixRoot On\n</Macro>\n"
    "Use Jail ${{JAIL}}",
])
def test_conditional_sections_includes_and_macros_are_the_main_server(
        httpd, wrapper):
    directives = "ChrootDir ${JAIL}\nChrootFixRoot On"
    server = httpd(wrapper.format(directives) + "\nDocumentRoot ${JAIL}/www",
                   files={"../conf/extra.conf": directives,
                          "www/index.html": "hello"},
                   modules=["macro"]).start()
    server.assert_jailed()
    assert server.get("/").text == "hello"


def test_directive_names_are_read_in_any_case(httpd):
    httpd("chrootdir ${JAIL}\nCHROOTFIXROOT on").start().assert_jailed()


def test_a_continued_line_is_one_directive(httpd):
    httpd("ChrootDir \\\n  ${JAIL}").start().assert_jailed()


# ---------------------------------------------------------- wrong contexts

SECTIONS = [
    "<VirtualHost *:80>", "<Directory />", "<Directory ~ x>",
    "<DirectoryMatch x>", "<Location />", "<LocationMatch x>", "<Files x>",
    "<FilesMatch x>", '<If "true">', "<Proxy *>",
]
INNER_SECTIONS = ["<Limit GET>", "<LimitExcept GET>", "<RequireAll>", "<Else>"]


def wrapped(section, text):
    return f"{section}\n{text}\n</{section[1:].split()[0].rstrip('>')}>"


@pytest.mark.parametrize("directive", ["ChrootDir ${JAIL}", "ChrootDir none",
                                       "ChrootFixRoot On"])
@pytest.mark.parametrize("section", SECTIONS + INNER_SECTIONS)
def test_in_a_section_it_is_an_error_that_names_both(
        httpd, section, directive):
    config = wrapped(section, directive)
    if section in INNER_SECTIONS:
        config = wrapped("<Location />", config)
    server = httpd(config, modules=["proxy"])
    status, output = server.configtest()
    name = directive.split()[0]
    assert status != 0
    assert name in output and section.split()[0].rstrip(">") in output
    assert f"{server.conf}" in output


@pytest.mark.parametrize("directive", ["ChrootDir ${JAIL}", "ChrootDir none",
                                       "ChrootFixRoot On"])
def test_deep_in_sections_it_is_an_error_too(httpd, directive):
    server = httpd(f"<VirtualHost *:80>\n<IfModule chroot_module>\n"
                   f"<Location /x>\n<If \"true\">\n{directive}\n</If>\n"
                   "</Location>\n</IfModule>\n</VirtualHost>")
    status, output = server.configtest()
    assert status != 0 and directive.split()[0] in output


def test_a_wrong_section_does_not_hide_behind_a_right_line(httpd):
    server = httpd("ChrootDir ${JAIL}\n<VirtualHost *:80>\nChrootDir none\n"
                   "</VirtualHost>\nChrootDir ${JAIL}")
    status, output = server.configtest()
    assert status != 0 and "<VirtualHost" in output


@pytest.mark.parametrize("directive", ["ChrootDir /", "ChrootFixRoot On"])
def test_in_htaccess_it_is_an_error_that_names_the_directive(
        httpd, directive):
    server = httpd("<Directory />\nAllowOverride All\n</Directory>\n"
                   "DocumentRoot ${JAIL}",
                   files={".htaccess": directive, "index.html": "no"}).start()
    server.expect_log(rf"\.htaccess: {directive.split()[0]}\b")
    assert server.get("/").status == 500


# ------------------------------------------------------------------ values

@pytest.mark.parametrize("value", ["On", "on", "ON", "Yes", "yes", '"On"'])
def test_chrootfixroot_on_serves_documentroot_by_its_outer_path(
        httpd, variant, value):
    server = httpd(f"ChrootDir ${{JAIL}}\nChrootFixRoot {value}\n"
                   "DocumentRoot ${JAIL}/www",
                   files={"www/index.html": "hello"}).start()
    server.assert_jailed()
    assert server.get("/").text == "hello"


@pytest.mark.parametrize("value", ["", "Off", "off", "No", "NO", '"no"'])
def test_chrootfixroot_off_and_by_default_paths_are_inner_ones(
        httpd, variant, value):
    line = f"ChrootFixRoot {value}\n" if value else ""
    server = httpd(f"ChrootDir ${{JAIL}}\n{line}DocumentRoot /opt",
                   files={"opt/index.html": "inner"}).start()
    server.assert_jailed()
    assert server.get("/").text == "inner"


@pytest.mark.parametrize("line", [
    "ChrootFixRoot maybe", "ChrootFixRoot 1", "ChrootFixRoot onn",
    "ChrootFixRoot none"])
def test_a_bad_value_of_chrootfixroot_is_quoted_back(httpd, line):
    status, output = httpd(line).configtest()
    name, value = line.split()
    assert status != 0 and name in output
    assert f'"{value}"' in output


@pytest.mark.parametrize("line", [
    "ChrootDir", "ChrootDir ${JAIL} ${JAIL}", "ChrootDir none ${JAIL}",
    "ChrootDir DOCUMENT_ROOT SERVER_ROOT", "ChrootFixRoot",
    "ChrootFixRoot On Off"])
def test_too_few_or_too_many_words_are_an_error(httpd, line):
    status, output = httpd(f"DocumentRoot ${{JAIL}}\n{line}").configtest()
    assert status != 0
    assert f"{line.split()[0]} takes" in output


@pytest.mark.parametrize("name", ["ChrootDir", "ChrootFixRoot"])
def test_an_empty_word_is_an_error(httpd, name):
    status, output = httpd(f'{name} ""').configtest()
    assert status != 0 and name in output


@pytest.mark.parametrize("config", [
    "ChrootDir DOCUMENT_ROOT",
    "ChrootDir document_root",
    "ChrootDir DOCUMENT_ROOT\n<VirtualHost *:80>\nDocumentRoot ${JAIL}\n"
    "</VirtualHost>",
])
def test_document_root_without_documentroot_is_an_error(httpd, config):
    status, output = httpd(config).configtest()
    assert status != 0
    assert "ChrootDir" in output and "DocumentRoot" in output


@pytest.mark.parametrize("config", [
    "ChrootDir DOCUMENT_ROOT\nDocumentRoot ${ROOT}/absent",
    "ChrootDir absent",
    "ChrootDir ${ROOT}/absent",
])
def test_an_error_in_chrootdir_is_placed_at_its_line(httpd, config):
    server = httpd(config)
    status, output = server.configtest()
    line = server.conf.read_text()[:server.conf.read_text()
                                   .index("ChrootDir ")].count("\n") + 1
    assert status != 0
    assert f"on line {line} of {server.conf}" in output


# ---------------------------------------------------- mod_unixd's ChrootDir

UNIXD_LINES = ["none", "DOCUMENT_ROOT", "SERVER_ROOT", "jail", "${JAIL}"]


@pytest.mark.parametrize("order", ["before", "after"])
@pytest.mark.parametrize("written", UNIXD_LINES)
def test_a_second_chrootdir_never_gets_in_the_way(
        httpd, builds, variant, written, order):
    unixd = ("test_unixd", builds.module("test_unixd"))
    modules = [unixd, "chroot"] if order == "before" else ["chroot", unixd]
    server = httpd(f"ChrootDir {written}\nDocumentRoot ${{JAIL}}",
                   modules=modules)
    server.allow_log(OUTER_ROOT)
    server.start()
    place = {"none": "/", "SERVER_ROOT": server.root}
    server.assert_jailed(place.get(written, server.jail))
    server.graceful()
    server.assert_jailed(place.get(written, server.jail))


@pytest.mark.parametrize("order", ["before", "after"])
def test_the_error_is_ours_whichever_module_was_loaded_first(
        httpd, builds, order):
    unixd = ("test_unixd", builds.module("test_unixd"))
    modules = [unixd, "chroot"] if order == "before" else ["chroot", unixd]
    status, output = httpd("ChrootDir absent", modules=modules).configtest()
    assert status != 0
    assert "absent" in output and "must be a valid directory" not in output


def test_a_jail_that_contains_its_own_path_is_entered_once(httpd, mpm,
                                                           variant):
    server = httpd("ChrootDir ${JAIL}")
    server.put({str(server.jail).strip("/"): Dir})
    server.start()
    server.assert_jailed()
    server.graceful()
    server.assert_jailed()
    assert procfs.root_id(server.workers()[0]) == procfs.dir_id(server.jail)


def test_the_modules_directives_are_listed(httpd):
    server = httpd()
    status, output = server.httpd("-L")
    assert status == 0
    for name in ("ChrootDir (mod_chroot.c)", "ChrootFixRoot (mod_chroot.c)"):
        assert name in output


def test_the_module_shows_one_symbol(builds, variant):
    lines = run_ok(["nm", "-D", "--defined-only", builds.variant(variant)])
    assert [line.split()[-1] for line in lines.splitlines()] == \
        ["chroot_module"]


def test_with_fixroot_a_jail_has_one_name(httpd):
    """httpd matches sections by names; a link would be a second one."""
    server = httpd("ChrootDir ${ROOT}/link\nChrootFixRoot On", files=PLACES)
    status, output = server.configtest()
    assert status != 0
    assert f'ChrootDir "{server.root}/link"' in output
    assert "is a symbolic link" in output
    assert f'write "{server.root}/here"' in output
    status, output = server.configtest(
        "ChrootDir ${ROOT}/here\nChrootFixRoot On")
    assert (status, output) == (0, "Syntax OK\n")


def test_configtest_says_ok_and_leaves_nothing(httpd, variant):
    server = httpd("ChrootDir ${JAIL}\nChrootFixRoot On")
    assert server.configtest() == (0, "Syntax OK\n")
    assert not server.leftovers()


def test_a_jail_only_the_user_may_enter_is_a_jail(httpd):
    server = httpd("ChrootDir ${ROOT}/closed",
                   files={"../closed/x": File("", owner="root")})
    closed = server.root / "closed"
    closed.chmod(0o711)
    server.start().assert_jailed(closed)
