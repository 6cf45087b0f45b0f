"""README.md and CAVEATS.md: every command and configuration in them is run,
every message in them is mod_chroot's.

The documents' site, /srv, is a directory of the test's: it is mounted there
for one server and its commands alone.
"""
import contextlib
import importlib
import os
import re
import shutil
import signal
import socket
import stat
import subprocess
import threading

import pytest

import procfs
from harness import (BUSYBOX, MOD_PHP, MULTIARCH, NOT_BY_SYSTEMD, PLAIN,
                     PROJECT, TESTS, UID, USER, Dir, Link, Mode, Server,
                     installed, needs, put, read, run, run_ok, script,
                     wait_for)

README = (PROJECT / "README.md").read_text()
CAVEATS = (PROJECT / "CAVEATS.md").read_text()
SOURCE = (PROJECT / "mod_chroot.c").read_text()


# --------------------------------------------------------------------- blocks

def blocks(document):
    """{first line: text} of what is indented by four columns, and by none of
    a list's."""
    found = re.findall(r"(?m)(?<=\n\n)((?:    .*\n|\n(?=    ))+)", document)
    texts = [re.sub(r"(?m)^    ", "", text) for text in found]
    firsts = [text.splitlines()[0] for text in texts]
    assert len(firsts) == len(set(firsts)), "two blocks begin alike"
    return dict(zip(firsts, texts))


ON = "ChrootDir /srv/www\nChrootFixRoot On\nDocumentRoot /srv/www/html\n"
BLOCKS = {**blocks(README), **blocks(CAVEATS)}
CLAIMED, USED = set(), set()

# What other files run.
ELSEWHERE = {
    "apt install dokuwiki libapache2-mod-php":
        "test_packages.py::test_a_packaged_application_in_five_minutes",
    "sed -i 's/^#Chroot/Chroot/' /etc/apache2/mods-available/chroot.conf":
        "test_packages.py::test_a_packaged_application_in_five_minutes",
    "./quickstart.sh":
        "test_quickstart.py::"
        "test_once_shows_that_the_jail_is_true_and_leaves_nothing",
    "apt update":
        "test_packages.py::test_the_readme_followed_on_debian",
    "apt install apache2 apache2-dev autoconf automake curl gcc make":
        "test_packages.py::test_the_readme_followed_on_debian",
    "a2dissite 000-default":
        "test_packages.py::test_the_readme_followed_on_debian",
    "sed -i 's/^Chroot/#&/' /etc/apache2/mods-available/chroot.conf":
        "test_packages.py::test_a_packaged_application_in_five_minutes",
    'DBDParams "host=/var/run/postgresql,127.0.0.1 dbname=site"':
        "test_stack_data.py::"
        "test_postgresql_by_a_socket_outside_connects_again_over_tcp",
    "ProxyFCGIBackendType GENERIC":
        "test_stack_php.py::test_php_fpm_answers_as_without_the_jail",
    "for f in /usr/bin/git /usr/lib/git-core/git-http-backend; do":
        "test_stack_cgi.py::test_git_clones_and_pushes_as_without_the_jail",
    "install -d -o www-data /srv/www/var/lib/apache2/fcgid/sock":
        "test_stack_apps.py::test_what_mod_fcgid_needs_in_the_jail",
    'WSGIScriptAlias "/app" "/srv/www/app/app.wsgi"':
        "test_stack_apps.py::"
        "test_mod_wsgi_embedded_answers_as_without_the_jail",
    'WSGISocketPrefix "/srv/www/run/wsgi"':
        "test_stack_apps.py::"
        "test_mod_wsgi_daemon_in_its_own_chroot_with_outer_paths",
}


def block(first):
    """A block's text, for a test that runs it."""
    USED.add(first)
    return BLOCKS[first]


def shows(*firsts):
    """Claims blocks for a test."""
    def claim(test):
        CLAIMED.update(firsts)
        test.shows = set(firsts)
        return test
    return claim


@pytest.fixture(autouse=True)
def what_is_claimed_is_used(request):
    USED.clear()
    yield
    assert USED == getattr(request.function, "shows", set())


def test_every_block_of_the_documents_is_run():
    assert set(BLOCKS) == CLAIMED | set(ELSEWHERE)
    assert not CLAIMED & set(ELSEWHERE)
    for test in ELSEWHERE.values():
        name, function = test.split("::")
        assert f"\ndef {function}(" in (TESTS / name).read_text(), test


# ------------------------------------------------------------------- messages

TOKEN = re.compile(r'/\*.*?\*/|"(?:[^"\\\n]|\\.)*"|\'(?:[^\'\\]|\\.)*\'', re.S)
FORMAT = re.compile(r"%[-.*\d]*l?[a-z]")


def texts_of(source):
    """The string literals of C code, adjacent ones joined, with "..." for
    what is filled in -> [(offset, text)]"""
    found, end = [], None
    for match in TOKEN.finditer(source):
        if match[0][0] != '"':
            continue
        if found and not source[end:match.start()].strip():
            found[-1][1] += match[0][1:-1]
        else:
            found.append([match.start(), match[0][1:-1]])
        end = match.end()
    return [(offset, FORMAT.sub("…", text.replace('\\"', '"')))
            for offset, text in found]


def broken():
    """What verify_broken() puts together: "thread ... is outside of"."""
    calls = re.findall(r'verify_broken\(s, "(\w+)", \w+,\s*"([^"]+)"\)',
                       SOURCE)
    assert len(calls) >= 3
    return {f"{what} … {how} the jail …" for what, how in calls}


def alerts():
    """Every text that is logged on level alert."""
    literals = texts_of(SOURCE)
    found = set()
    for call in re.finditer(r"\bAPLOG_ALERT\b", SOURCE):
        found.add(next(text for offset, text in literals
                       if offset > call.start()))
    assert len(found) >= 20
    composed = {"… … … the jail …",     # verify_broken()'s
                "…"}                    # findings_log()'s
    assert composed < found
    return found - composed | broken()


def documented():
    """The messages in the list."""
    text = CAVEATS.partition("## Troubleshooting by message")[2]
    text = text.partition("\n## ")[0]
    items = re.split(r"(?m)^\* ", text)[1:]
    return [" ".join(message.split()) for item in items
            for message in re.findall("`([^`]+)`",
                                      item.partition("`:")[0] + "`")
            if " " in message]


def is_said_by(message, text):
    """Are the message's fragments in a text, in this order?"""
    fragments = [re.escape(part.strip()) for part in message.split("…")]
    return re.search(".*".join(fragments), text, re.S) is not None


def test_every_message_in_the_list_is_the_modules():
    texts = {text for _, text in texts_of(SOURCE)} | broken()
    assert len(documented()) > 50
    assert [message for message in documented() if not any(
        is_said_by(message, text) for text in texts)] == []


def test_every_alert_is_in_the_list():
    assert [text for text in alerts() if not any(
        is_said_by(message, text) for message in documented())] == []


# Frames for other messages, and notes.
NOT_IN_THE_LIST = {"… (owner …:…, mode …) …", "write to",
                     " and ChrootFixRoot On", " ", "read-only there",
                     "not in the jail",
                     'runs "…", which is not jailed'}


def arguments(function):
    """Where in the source the arguments of its calls are."""
    for call in re.finditer(rf"\b{function}\(", SOURCE):
        depth, end = 1, call.end()
        while depth:
            depth += {"(": 1, ")": -1}.get(SOURCE[end], 0)
            end += 1
        yield range(call.end(), end)


def body(function):
    """Where in the source its definition is."""
    start = re.search(rf"(?m)^static .*\b{function}\([^;]*?\n{{\n", SOURCE).end()
    return range(start, SOURCE.index("\n}\n", start))


def test_every_warning_is_in_the_list():
    places = [*arguments("finding_add"), *arguments("finding_file"),
              body("outside_error"), body("path_finding")]
    texts = {text for where in places for offset, text in texts_of(SOURCE)
             if offset in where and " " in text}
    assert len(texts) > 20
    assert [text for text in texts - NOT_IN_THE_LIST if not any(
        is_said_by(message, text) for message in documented())] == []


# ----------------------------------------------------- what the README names

def test_the_table_of_modules_is_what_the_tests_found():
    found = {}
    for path in TESTS.glob("test_stack_*.py"):
        module = importlib.import_module(path.stem)
        found.update(getattr(module, "MODULES", {}))
    table = CAVEATS.partition("<!-- modules -->")[2].partition(
        "<!-- /modules -->")[0]
    rows = re.findall(r"^\| (.+?) \| (.+?) \| (.+?) \| (.+?) \|$", table,
                      re.M)[1:]
    assert {name: tuple(cells) for name, *cells in rows} == found
    assert len(rows) == len(found)


BOX = ["Description", "Syntax", "Default", "Context", "Status", "Module",
       "Compatibility"]


def test_each_directive_has_a_box_as_in_httpds_manual():
    described = dict(re.findall(
        r"(?ms)^### (\w+) directive\n\n(.*?)(?=^##)", README))
    assert set(described) == set(re.findall(
        r'AP_INIT_\w+\("(\w+)"', SOURCE))
    for name, text in described.items():
        rows = re.findall(r"(?m)^\| (\w+) \| (.*) \|$",
                          text.split("\n\n")[0])     # the box comes first
        assert [row for row, _ in rows] == BOX
        values = dict(rows)
        assert values["Syntax"].startswith(f"`{name} ")
        assert values["Default"].startswith((f"`{name} ", "none"))


def test_the_rows_of_what_was_tried_are_run_shs_own():
    rows = re.findall(r"(?m)^\| Debian .*", README)
    assert rows
    for row in rows:
        assert re.fullmatch(
            r"\| Debian [^|]+ \| (?:amd64|i386) \| 2\.4\.\d+ \| "
            r"(?:smoke|whole suite): \d+ passed, 0 failed(?:, \d+ skipped)? \|",
            row), row


def test_each_file_that_the_documents_name_is_there():
    named = re.findall(r"`((?:tests|packaging|debian)/[\w./*]+)`",
                       README + CAVEATS)
    assert named
    assert [name for name in named if not list(PROJECT.glob(name))] == []


@shows("parent, root, outside             child, forked by the MPM")
def test_the_picture_has_the_hooks_in_their_order():
    picture = block("parent, root, outside             child, forked by the "
                    "MPM")
    hooks = ["pre_config", "post_config", "drop_privileges", "child_init"]
    assert [picture.index(hook) for hook in hooks] == sorted(
        picture.index(hook) for hook in hooks)
    for hook in hooks:
        assert f"ap_hook_{hook}(" in SOURCE


@shows("View: rw /srv/www, by ChrootDir at /srv/mount.conf:9",
       'inside: DocumentRoot at /srv/php-fpm.conf:9 names "/srv/www/html", '
       'for children "/html"')
def test_the_report_in_the_readme_is_one_of_those_that_are_tested():
    reports = [set(path.read_text().splitlines())
               for path in (TESTS / "reports").glob("*.txt")]
    for first in BLOCKS:
        if first.startswith(("inside: ", "View: ")):
            assert any(set(block(first).splitlines()) <= report
                       for report in reports)


# -------------------------------------------------------- the site, in /srv

# Debian 11 has it as C.UTF-8.
C_UTF8 = installed("/usr/lib/locale/C.[Uu][Tt][Ff]*").replace(
    "/usr/lib/locale", "")


class Documented(Server):
    """httpd, and commands, in a mount namespace where /srv is ROOT/srv."""

    def __init__(self, root, mounts="", config="", **options):
        (root / "srv/www/html").mkdir(parents=True)
        self.holder = subprocess.Popen(
            ["unshare", "--mount", "--propagation", "private", "sh", "-ec",
             f'cd "$1"; mount --bind srv /srv; {mounts}\necho ready; exec cat',
             "sh", root],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert self.holder.stdout.readline() == "ready\n"
        super().__init__(root, jail=root / "srv/www", config=config, **options)

    def inside(self, *command):
        return ["nsenter", f"--target={self.holder.pid}", "--mount", *command]

    def command(self, *arguments, wrapped=True):
        return self.inside(*super().command(*arguments, wrapped=wrapped))

    def close(self):
        complaints = super().close()
        self.holder.stdin.close()
        self.holder.wait(60)
        self.holder.stdout.close()
        return complaints

    def filled_in(self, text):
        """A document's command, for this server."""
        return (text.replace("http://localhost",
                             f"http://127.0.0.1:{self.port}")
                .replace("/run/apache2/apache2.pid",
                         f"{self.root}/{self.pid_file}")
                .replace("/root/lookups", f"{self.root}/lookups")
                .replace("service apache2", "apachectl")
                .replace("x86_64-linux-gnu", MULTIARCH)
                .replace("/C.utf8", C_UTF8))

    def shell(self, text):
        """Run a document's commands -> what they print."""
        httpd, *arguments = Server.command(self)
        for name in ("apache2", "lock"):
            (self.root / "run" / name).mkdir(exist_ok=True)
        return run_ok(
            self.inside("bash", "-ec", self.filled_in(text)), env={
                **self.env, "PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
                "APACHE_HTTPD": httpd,
                "APACHE_ARGUMENTS": " ".join(arguments),
                "APACHE_CONFDIR": str(self.root),
                "APACHE_ENVVARS": "/dev/null",
                "APACHE_RUN_DIR": f"{self.root}/run/apache2",
                "APACHE_LOCK_DIR": f"{self.root}/run/lock",
                "APACHE_RUN_USER": "root",
                **NOT_BY_SYSTEMD})


@pytest.fixture
def documented_site(request, builds, directory):
    servers = request.node.servers = []

    def new_server(config="", **options):
        options.setdefault("so", builds.variant("late"))
        servers.append(Documented(directory(), config=config, **options))
        return servers[-1]

    yield new_server
    complaints = [complaint for server in servers
                  for complaint in server.close()]
    if complaints:
        pytest.fail("\n".join(complaints), pytrace=False)


@shows("LoadModule chroot_module modules/mod_chroot.so")
def test_the_first_three_lines_of_the_readme_make_a_jail(
        documented_site, builds):
    server = documented_site(
        block("LoadModule chroot_module modules/mod_chroot.so"), so=PLAIN)
    (server.root / "modules").symlink_to(builds.variant("late").parent)
    server.start()
    assert ", sealed)" in server.log()
    for pid in server.serving():
        wait_for(lambda: procfs.root_id(pid) != procfs.dir_id("/"), "a view")
        root = f"/proc/{pid}/root"
        assert os.listdir(root) == ["srv"] and os.listdir(root + "/srv") == [
            "www"]
    assert server.get("/").status == 404


ASK = "curl -s http://localhost/"


@shows("mkdir -p /srv/www/html/private", "ChrootDir /srv/www", ASK, "hello",
       "apachectl configtest", "apachectl -t -D DUMP_CHROOT",
       "rm /srv/www/srv/www")
def test_a_site_step_by_step(documented_site):
    server = documented_site()
    server.shell(block("mkdir -p /srv/www/html/private"))
    server.write_config(block("ChrootDir /srv/www"))
    server.shell(block("apachectl configtest"))
    wait_for(server.running, "httpd to start")
    server.allow_log("client denied by server configuration")
    assert server.shell(block(ASK)) == block("hello")
    server.assert_jailed()
    server.graceful()
    server.assert_jailed()

    report = server.shell(block("apachectl -t -D DUMP_CHROOT"))
    assert "/html/private" in report and "warning" not in report
    link = server.jail / "srv/www"
    assert link.is_symlink() and not link.exists()      # from outside
    server.shell("apachectl graceful-stop")
    wait_for(lambda: not server.running(), "httpd to stop")
    server.shell(block("rm /srv/www/srv/www"))
    assert [path.name for path in server.jail.iterdir()] == ["html"]


@shows(LINK := "mkdir -p /srv/www/srv && ln -s .. /srv/www/srv/www")
def test_the_administrators_link_is_as_good(documented_site):
    server = documented_site(ON)
    server.put({"html/index.html": "hello"})
    server.shell(block(LINK))
    server.start()
    assert server.get("/index.html").text == "hello"
    assert os.readlink(server.jail / "srv/www") == ".."
    assert not (server.jail / ".mod_chroot").exists()


@shows("ChrootDir DOCUMENT_ROOT")
def test_the_pages_of_the_main_server_are_the_jail(documented_site):
    server = documented_site(block("ChrootDir DOCUMENT_ROOT"))
    server.put({"html/index.html": "hello"})
    server.start()
    server.assert_jailed(server.jail / "html")
    assert server.get("/index.html").text == "hello"


def test_what_listings_show_when_the_pages_are_the_jail(documented_site):
    config = ("DocumentRoot /srv/www/html\nOptions +Indexes\n"
              "<Directory />\nAllowOverride None\n</Directory>\n")
    server = documented_site("ChrootDir DOCUMENT_ROOT\nChrootFixRoot On\n"
                             + config, modules=["autoindex"])
    server.put({"html/page.html": "page"})
    server.start()

    def listed(path):
        return re.findall(r'href="([^"?]+)"', server.get(path).text)
    assert listed("/") == ["page.html", "srv/"]
    assert listed("/srv/") == ["/", "www/"]
    assert listed("/srv/www/") == ["/srv/", "html/"]
    gone = ["/srv/www/html", "/srv/www/html/", "/srv/www/html/page.html",
            "/.mod_chroot", "/.mod_chroot/", "/.mod_chroot/x"]
    assert [server.get(path).status for path in gone] == [404] * 6
    # without the module, the link leads nowhere
    server.allow_log("AH00037")
    server.write_config(config)
    server.graceful()
    assert [server.get(path).status for path in gone[:3]] == [403, 403, 403]
    assert server.get("/.mod_chroot/page.html").status == 404


@shows("ChrootFixRoot Off")
def test_with_chrootfixroot_off_paths_are_inner_ones(documented_site):
    config = block("ChrootFixRoot Off")
    server = documented_site(config)
    server.put({"html/index.html": "hello"})
    server.start()
    server.assert_jailed()
    assert server.get("/index.html").text == "hello"
    status, output = server.configtest(config + "DocumentRoot /html\n")
    assert status != 0 and "'/html' is not a directory" in output


@shows("ChrootFixRoot Mount", "ChrootBind /srv/www/html")
def test_with_chrootfixroot_mount_paths_are_outer_ones(documented_site):
    server = documented_site(
        block("ChrootFixRoot Mount") + block("ChrootBind /srv/www/html")
        + "DocumentRoot /srv/www/html\n")
    server.put({"html/index.html": "hello", "html/uploads/x": ""})
    server.allow_log("leaves .*(dokuwiki|resolv.conf)")
    server.start()
    assert server.get("/index.html").text == "hello"
    for pid in server.serving():
        for path, writable in [("/usr/share/zoneinfo", False),
                               ("/srv/www/html", False), ("/srv/www", True),
                               ("/srv/www/html/uploads", True)]:
            assert os.access(f"/proc/{pid}/root{path}", os.W_OK) == writable


def test_each_line_in_the_caveats_table_is_one(documented_site):
    """What is not installed here is warned of, and nothing else."""
    lines = re.findall(r"(?m)^\|.*\| `(ChrootBind [^`]*/[^`]*)` \|$", CAVEATS)
    assert len(lines) > 15
    server = documented_site()
    server.allow_log(".*")
    status, said = server.configtest("\n".join([
        "ChrootDir /srv/www", "ChrootFixRoot Mount", *lines, ""]))
    assert status == 0, said
    for line in re.findall("chroot:warn.*", said):
        assert "leaves" in line and "No such file" in line, line


@shows("mkdir /srv/www/etc", "<Directory /srv/www/html/private>",
       "ChrootDir /srv/www")
def test_a_password_file_lies_beside_the_pages(documented_site):
    server = documented_site(
        block("ChrootDir /srv/www")
        + block("<Directory /srv/www/html/private>"),
        modules=["authn_core", "authn_file", "auth_basic", "authz_user"])
    server.put({"html/private/index.html": "secret"})
    server.shell(block("mkdir /srv/www/etc"))
    server.start()
    server.allow_log("AH01617")

    def ask(auth):
        return server.get("/private/index.html", auth=auth).status
    assert [ask(None), ask(("alice", "secret")), ask(("alice", "x"))] == [
        401, 200, 401]
    assert server.get("/etc/members").status == 404


@shows("./tests/run.sh")
def test_the_command_that_runs_the_tests_is_there():
    program = TESTS.parent / block("./tests/run.sh").strip()
    assert program.stat().st_mode & stat.S_IXUSR
    run_ok(["sh", "-n", program])


# -------------------------------------------------------------------- CAVEATS

PHP = ON + """\
<FilesMatch "\\.php$">
    SetHandler application/x-httpd-php
</FilesMatch>
php_value html_errors Off
"""
NO_ZONES = "needs /usr/share/zoneinfo in the jail"


@pytest.fixture
def php(documented_site):
    """A started server on prefork, with mod_php and pages of it."""
    def new_server(pages, config="", modules=(), **options):
        server = documented_site(PHP + config, mpm="prefork", modules=[
            MOD_PHP, *modules], **options)
        server.put({f"html/{name}.php": f"<?php {text}"
                    for name, text in pages.items()})
        server.allow_log(NO_ZONES)
        return server.start()
    return new_server


class NameServer:
    """Knows the address (A) of app.example: 127.0.0.7."""

    def __init__(self):
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        for number in range(1, 250):
            self.address = f"127.53.{os.getpid() % 250}.{number}"
            with contextlib.suppress(OSError):
                self.socket.bind((self.address, 53))
                break
        self.thread = threading.Thread(target=self.serve, daemon=True)
        self.thread.start()

    def serve(self):
        while True:
            query, client = self.socket.recvfrom(512)
            if not query:
                return
            end = query.index(b"\0", 12) + 5
            answer = b""
            if query[12:end - 2] == b"\3app\7example\0\0\1":
                answer = b"\xc0\x0c\0\1\0\1\0\0\0\1\0\4\x7f\0\0\7"
            self.socket.sendto(
                query[:2] + b"\x81\x80\0\1\0" + bytes([bool(answer)])
                + b"\0\0\0\0" + query[12:end] + answer, client)

    def close(self):
        self.socket.sendto(b"", (self.address, 53))
        self.thread.join(10)
        self.socket.close()


@pytest.fixture
def name_server():
    server = NameServer()
    yield server.address
    server.close()


LOOK_UP = "echo gethostbyname('app.example'), ' ', gethostbyname('localhost');"
NAMES = "mkdir -p /srv/www/etc && cp -L /etc/hosts /etc/resolv.conf " \
    "/srv/www/etc/"


def machine(name, text):
    """Mounts a file of the machine's /etc, for one server."""
    return f"printf '{text}' >{name}; mount --bind {name} /etc/{name}\n"


@shows(NAMES)
def test_names_of_hosts_need_files_and_no_library(php, name_server):
    server = php({"name": LOOK_UP}, mounts=(
        machine("resolv.conf", f"nameserver {name_server}\\n")
        + machine("hosts", "127.0.0.1 localhost\\n")))
    (server.jail / "etc").mkdir()
    (server.jail / "etc/resolv.conf").write_text("options attempts:1\n")
    assert server.get("/name.php").text == "app.example localhost"
    server.shell(block(NAMES))
    assert server.get("/name.php").text == "127.0.0.7 127.0.0.1"
    assert not list(server.jail.rglob("*.so*"))


def test_nsswitch_conf_is_the_one_outside(php, name_server):
    server = php({"name": LOOK_UP}, mounts=machine(
        "nsswitch.conf", "hosts: hesiod dns\\n"))
    server.put({"etc/hosts": "127.0.0.1 app.example\n",
                "etc/resolv.conf": f"nameserver {name_server}\n",
                "etc/nsswitch.conf": "hosts: files\n"})
    assert server.get("/name.php").text.startswith("127.0.0.7")
    report = server.shell(BLOCKS["apachectl -t -D DUMP_CHROOT"])
    assert re.search("(?m)^Preloaded: .*libnss_hesiod", report), report


def test_nscd_is_asked_when_its_socket_is_in_the_jail(php):
    server = php({"name": LOOK_UP})
    server.put({"etc/hosts": "127.0.0.1 app.example localhost\n",
                "var/run/nscd": Dir})
    assert server.get("/name.php").text == "127.0.0.1 127.0.0.1"
    place = server.jail / "var/run/nscd/socket"
    server.graceful()
    with socket.socket(socket.AF_UNIX) as nscd:
        nscd.bind(str(place))
        nscd.listen()
        nscd.settimeout(10)
        place.chmod(0o777)
        asked = []

        def answer():
            connection, _ = nscd.accept()
            asked.append(connection.recv(4))
            connection.close()
        thread = threading.Thread(target=answer, daemon=True)
        thread.start()
        assert server.get("/name.php", timeout=30).text == \
            "127.0.0.1 127.0.0.1"
        thread.join(20)
    assert asked


PASSWD = "getent passwd root www-data > /srv/www/etc/passwd"


@shows(PASSWD)
def test_names_of_users_need_a_passwd(documented_site):
    server = documented_site(ON + "AddOutputFilter INCLUDES .html\n"
                             "<Directory /srv/www/html>\nOptions +Includes\n"
                             "</Directory>\n", modules=["include"])
    server.put({"html/who.html": '<!--#echo var="USER_NAME" -->',
                "etc": Dir})
    # root is known to libnss_systemd, without a file
    shutil.chown(server.jail / "html/who.html", USER)
    server.start()
    assert server.get("/who.html").text == "&lt;unknown&gt;"
    server.shell(block(PASSWD))
    assert server.get("/who.html").text == USER


DATABASE = "mkdir -p /srv/www/run/mysqld"
CONNECT = """foreach (['tcp://127.0.0.1:%d', 'tcp://localhost:%d',
    'unix:///run/mysqld/mysqld.sock'] as $where)
    echo @stream_socket_client($where, $e, $text, 5) ? 'yes ' : "$text; ";"""


@shows(DATABASE)
def test_a_database_is_reached_by_an_address_or_a_mounted_socket(php):
    with socket.socket() as tcp, socket.socket(socket.AF_UNIX) as unix:
        tcp.bind(("127.0.0.1", 0))
        tcp.listen()
        port = tcp.getsockname()[1]
        server = php({"connect": CONNECT % (port, port)}, mounts=(
            "mkdir mysqld run2; mount --bind run2 /run; mkdir -p /run/mysqld"
            "; mount --bind mysqld /run/mysqld"))
        place = server.root / "mysqld/mysqld.sock"
        unix.bind(str(place))
        unix.listen()
        place.chmod(0o777)
        first, second, third, _ = re.split(
            "(?<=yes) |; ", server.get("/connect.php").text)
        assert first == "yes" and third == "No such file or directory"
        assert "Temporary failure in name resolution" in second
        server.shell(block(DATABASE))
        server.put({"etc/hosts": "127.0.0.1 localhost\n"})
        wait_for(lambda: server.get("/connect.php").text == "yes yes yes ",
                 "new children")


# ------------------------------------------------------------- TLS, libraries

CURL = "for f in /usr/bin/curl $(ldd /usr/bin/curl | grep -o '/[^ ]*'); do"
CAS = "mkdir -p /srv/www/etc/ssl/certs /srv/www/usr/lib/ssl"
ABOUT_TLS = "AH01(882|873|906|909)"  # versions, no cache, its own CA
BACK_END = """\
DocumentRoot /srv/www/html
SSLEngine on
SSLCertificateFile ${ROOT}/server.pem
SSLCertificateKeyFile ${ROOT}/server.key
"""


@pytest.fixture
def back_end(documented_site):
    """A server by https, whose certificate a CA of its own has signed."""
    server = documented_site(BACK_END, so=PLAIN, modules=[
        "ssl", "socache_shmcb"])
    run_ok(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes",
            "-subj", "/CN=127.0.0.1", "-addext",
            "subjectAltName=DNS:127.0.0.1,IP:127.0.0.1",
            "-keyout", server.root / "server.key",
            "-out", server.root / "server.pem"])
    server.put({"html/index.html": "by tls"})
    server.answers = lambda: True       # not in plain HTTP
    server.allow_log(ABOUT_TLS)
    return server.start()


@shows(CURL, CAS)
def test_https_needs_the_bundle_of_cas_but_for_mod_proxy(php, back_end):
    url = f"https://127.0.0.1:{back_end.port}/"
    bundle = back_end.root / "server.pem"
    server = php(
        {"get": f"echo file_get_contents('{url}');"}, f"""\
ScriptAlias /cgi-bin/ /srv/www/cgi-bin/
SSLProxyEngine on
SSLProxyVerify require
SSLProxyCACertificateFile {bundle}
ProxyPass /proxy {url}
""", modules=["ssl", "socache_shmcb", "cgi", "proxy", "proxy_http"],
        mounts=f"mount --bind {bundle} /etc/ssl/certs/ca-certificates.crt")
    server.put({"bin/sh": BUSYBOX,
                "cgi-bin/curl": script(f"exec 2>&1; curl -sS {url}\n")})
    server.allow_log(ABOUT_TLS)
    server.allow_log("SSL operation failed|enable crypto|open stream")
    server.shell(block(CURL))
    server.graceful()
    assert server.get("/proxy").text == "by tls"
    assert "curl: (77)" in server.get("/cgi-bin/curl").text
    assert server.get("/get.php").text == ""
    assert "certificate verify failed" in server.log()
    server.shell(block(CAS))
    assert server.get("/cgi-bin/curl").text == "by tls"
    assert server.get("/get.php").text == "by tls"


STRACE = "strace -f -e trace=%file -o /root/lookups \\"
LOAD = "LoadFile /usr/lib/x86_64-linux-gnu/libblkid.so.1"
USES = """try {
    FFI::cdef('int blkid_parse_version_string(char *);', 'libblkid.so.1');
    echo 'loaded'; } catch (Throwable $e) { echo $e->getMessage(); }"""


@shows(STRACE, LOAD)
def test_strace_finds_a_library_and_loadfile_loads_it(php):
    server = php({"page": USES}, "php_admin_value ffi.enable true\n")
    assert "libblkid.so.1" in server.get("/page.php").text

    attach, graceful, ask, end = re.split(
        "\n(?! )", block(STRACE).replace(" &\n", "\n").strip())
    tracer = subprocess.Popen(
        ["sh", "-c", "exec " + server.filled_in(attach)],
        stderr=subprocess.PIPE, text=True)
    try:
        assert "attached" in tracer.stderr.readline()
        server.graceful(lambda _: server.shell(graceful))
        server.shell(ask)
    finally:
        assert end.startswith("kill $!; ")
        tracer.terminate()
        tracer.wait(60)
        tracer.stderr.close()
    found = server.shell(end.partition("; ")[2])
    assert "libblkid.so.1" in found[found.index("chroot("):]

    server.config = server.filled_in(block(LOAD)) + server.config
    server.write_config()
    server.graceful()
    assert server.get("/page.php").text == "loaded"


# ------------------------------------------------------------------------ PHP

ZONES = "mkdir -p /srv/www/usr/share/zoneinfo/Europe"
GCONV = "cd /usr/lib/x86_64-linux-gnu/gconv"
LOCALES = "mkdir -p /srv/www/usr/lib/locale"
FUNCTIONS = {
    "date": "echo @date('T', 1600000000) === 'CEST' ? 'yes' : 'no';",
    "iconv": r"""echo @iconv('UTF-8', 'ISO-8859-15', "\u{20ac}")"""
             " === chr(0xa4) ? 'yes' : 'no';",
    "random": "echo strlen(random_bytes(8));",
    "locale": "echo setlocale(LC_ALL, 'C.UTF-8') ? 'yes' : 'no';",
}


@shows(ZONES, GCONV, LOCALES)
def test_php_needs_zones_converters_and_locales(php):
    server = php(FUNCTIONS, "php_value date.timezone Europe/Berlin\n")
    server.allow_log("Invalid date.timezone")

    def found():
        return [server.get(f"/{name}.php").text
                for name in ("iconv", "locale")]
    assert found() == ["no", "no"]
    assert server.get("/random.php").text == "8"    # without /dev/urandom
    for commands in block(ZONES), block(GCONV), block(LOCALES):
        server.shell(commands)
    server.graceful()
    assert found() == ["yes", "yes"]
    assert server.get("/date.php").text == "yes"


# -------------------------------------------------------------- glibc and musl

LIBC = r"""
#include <iconv.h>
#include <locale.h>
#include <netdb.h>
#include <pwd.h>
#include <stdio.h>
#include <time.h>

int main(void)
{
    char in[] = "\xe2\x82\xac", out[8], *i = in, *o = out, zone[8] = "";
    size_t left = 3, room = 8;
    iconv_t cd = iconv_open("ISO-8859-15", "UTF-8");
    struct addrinfo *found;
    time_t then = 1600000000;

    strftime(zone, sizeof(zone), "%Z", localtime(&then));
    printf("Content-Type: text/plain\n\n%s %d %d %d %d\n", zone,
           cd != (iconv_t)-1 && iconv(cd, &i, &left, &o, &room) == 0,
           setlocale(LC_ALL, "C.UTF-8") != NULL,
           getpwnam("www-data") != NULL,
           getaddrinfo("localhost", NULL, NULL, &found) == 0);
    printf("%d\n", getaddrinfo("app.example", NULL, NULL, &found) == 0);
    return 0;
}
"""


def test_what_glibc_and_musl_need_in_the_jail(documented_site, name_server):
    needs("glibc-2.34")
    server = documented_site(ON + "ScriptAlias /cgi-bin/ /srv/www/cgi-bin/\n",
                             modules=["cgi"], env={"TZ": "JST-9"})
    server.put({"cgi-bin": Dir,
                "etc/resolv.conf": f"nameserver {name_server}\n"})
    (server.root / "libc.c").write_text(LIBC)
    for compiler, name in ("gcc", "glibc"), ("musl-gcc", "musl"):
        run_ok([compiler, "-static", "-w", "-o",
                server.jail / "cgi-bin" / name, server.root / "libc.c"])
    server.start()
    # zone; iconv, locale, passwd, localhost; a name by DNS
    assert server.get("/cgi-bin/glibc").text == "JST 0 0 0 0\n1\n"
    assert server.get("/cgi-bin/musl").text == "JST 1 1 0 0\n1\n"
    server.put({"etc/hosts": "127.0.0.1 localhost\n",
                "etc/passwd": "www-data:x:33:33::/:/\n"})
    assert server.get("/cgi-bin/glibc").text == "JST 0 0 1 1\n1\n"
    assert server.get("/cgi-bin/musl").text == "JST 1 1 1 1\n1\n"

    (server.jail / "etc/resolv.conf").unlink()
    alone = ["unshare", "--net", "chroot", server.jail]
    assert run_ok([*alone, "/cgi-bin/glibc"]).endswith("\n0\n")
    with pytest.raises(subprocess.TimeoutExpired):
        run([*alone, "/cgi-bin/musl"], timeout=2)


# ------------------------------------------------------------- CGI and modules

def test_suexec_is_not_in_the_jail(documented_site):
    config = ON + "ScriptAlias /cgi-bin/ /srv/www/cgi-bin/\n"
    server = documented_site(config + "SuexecUserGroup nobody nogroup\n",
                             modules=["cgi", "suexec"])
    server.put({"bin/sh": BUSYBOX, "bin/id": Link("sh"),
                "cgi-bin/id": script("id -u\n")})
    server.allow_log("exec of '/usr/lib/apache2/suexec' failed|"
                     "End of script output before headers")
    server.start()
    assert server.get("/cgi-bin/id").status == 500
    assert "exec of '/usr/lib/apache2/suexec' failed" in server.log()
    server.write_config(config + "Suexec Off\n")
    server.graceful()
    assert server.get("/cgi-bin/id").text == f"{UID}\n"


HTACCESS = ON + """\
<Directory /srv/www/html>
    AllowOverride All
</Directory>
"""
AUTH = ["authn_core", "authn_file", "auth_basic", "authz_user",
        "authz_groupfile"]


def test_paths_in_htaccess_are_outer_ones(documented_site):
    """One that is not in the jail is looked for there."""
    server = documented_site(HTACCESS, modules=AUTH)
    htaccess = "AuthType Basic\nAuthName x\nAuthUserFile {}\n" \
        "Require valid-user\n"
    places = {"outer": "/srv/www/etc/members", "inner": "/etc/members",
              "none": "/etc/apache2/members"}
    for name, path in places.items():
        server.put({f"html/{name}/.htaccess": htaccess.format(path),
                    f"html/{name}/a.html": "a"})
    server.shell(BLOCKS["mkdir /srv/www/etc"])
    server.allow_log("Could not open password file")
    server.start()
    assert [server.get(f"/{name}/a.html", auth=("alice", "secret")).status
            for name in places] == [200, 200, 500]


def test_htaccess_that_names_a_group_file_outside_does_not_deny(
        documented_site):
    """Inherent: CAVEATS.md and SECURITY.md say so."""
    server = documented_site(HTACCESS, modules=AUTH)
    put(server.root / "srv", {"groups": "bad: alice\n"})
    server.put({"html/.htaccess": """\
AuthType Basic
AuthName x
AuthUserFile /srv/www/etc/members
AuthGroupFile /srv/groups
<RequireAll>
    Require valid-user
    Require not group bad
</RequireAll>
""", "html/a.html": "a"})
    server.shell(BLOCKS["mkdir /srv/www/etc"])
    server.allow_log("AH01665: Could not open group file|AH01631")
    server.start()

    def ask():
        return server.get("/a.html", auth=("alice", "secret")).status
    assert ask() == 200
    server.put({"srv/groups": "bad: alice\n"})
    assert ask() == 401


def test_an_absolute_link_means_what_has_that_name_inside(documented_site):
    server = documented_site(ON)
    server.put({"data/a.txt": "a", "etc/motd": "inside",
                "html/data": Link("/srv/www/data"),
                "html/motd": Link("/etc/motd"),
                "html/issue": Link("/etc/issue")})
    server.allow_log("AH00037")
    server.start()
    assert server.get("/data/a.txt").text == "a"
    assert server.get("/motd").text == "inside"
    assert server.get("/issue").status == 403


def test_nothing_is_served_outside(documented_site):
    config = ("ChrootDir /srv/www\nChrootFixRoot On\n%s"
              "Alias /icons/ /usr/share/apache2/icons/\n"
              "<Location /s>\nSetHandler server-status\n</Location>\n")
    server = documented_site(config % "", modules=["status"])
    server.allow_log("/usr/share/apache2/icons")
    server.start()

    def ask():
        return [server.get(path).status for path in (
            "/icons/folder.gif", "/icons/none", "/s")]
    assert ask() == [404, 404, 404]
    server.write_config(config % "DocumentRoot /srv/www/html\n")
    server.graceful()
    assert ask() == [404, 404, 200]


def test_a_htaccess_above_the_jail_is_noted_at_start(documented_site):
    server = documented_site(ON + "<Directory />\nAllowOverride All\n"
                                  "</Directory>\n")
    server.put({"html/a.html": "a"})
    server.allow_log("AH00529")
    server.start()
    put(server.root / "srv", {".htaccess": "Require all denied\n"})
    assert server.get("/a.html").status == 200
    server.graceful()
    assert server.get("/a.html").status == 403


MD = ON + """\
MDStoreDir /srv/www/md
MDCertificateAgreement accepted
MDContactEmail admin@example.org
MDPortMap 80:${{PORT}}
MDCertificateAuthority http://127.0.0.1:{port}/directory
MDomain example.org
<VirtualHost *:${{PORT}}>
    ServerName example.org
</VirtualHost>
"""


def test_mod_md_keeps_its_store_in_the_jail(documented_site):
    """Its watchdog, in a child, asks the CA; challenges are answered."""
    with socket.socket() as ca:
        ca.bind(("127.0.0.1", 0))
        ca.listen()
        ca.settimeout(20)
        server = documented_site(MD.format(port=ca.getsockname()[1]), modules=[
            "md", "ssl", "socache_shmcb"])
        server.allow_log(r"\[md:|AH01882|AH0187[35]")
        server.start()
        connection, _ = ca.accept()
        with connection:
            assert connection.recv(100).startswith(b"GET /directory ")
        challenges = server.jail / "md/challenges/example.org"
        challenges.mkdir()
        (challenges / "acme-http-01.txt").write_text("token")
        shutil.chown(challenges.parent, USER)
        url = "/.well-known/acme-challenge/token"
        assert server.get(url, host="example.org").text == "token"


ICONS = "cp -R /usr/share/apache2/icons /srv/www/icons"


@shows(ICONS, "Alias /icons/ /srv/www/icons/")
def test_debians_icons_are_outside(documented_site):
    server = documented_site(ON + "Alias /icons/ /usr/share/apache2/icons/\n")
    server.expect_log('"/usr/share/apache2/icons", which is not in the jail')
    server.start()
    assert server.get("/icons/folder.gif").status == 404
    server.shell(block(ICONS))
    server.write_config(ON + block("Alias /icons/ /srv/www/icons/"))
    server.graceful()
    assert server.get("/icons/folder.gif").body == read_bytes(
        "/usr/share/apache2/icons/folder.gif")


def read_bytes(path):
    with open(path, "rb") as file:
        return file.read()


def test_a_single_process_leaves_its_pid_file(documented_site):
    server = documented_site(ON, mpm="prefork").start(Mode.SINGLE)
    pid = server.pid
    os.kill(pid, signal.SIGINT)
    server.popen.wait(60)
    assert (server.root / server.pid_file).read_text() == f"{pid}\n"
    server.expect_log("AH00098: pid file .* overwritten")
    server.start()


# ----------------------------------------------------- what no jail holds

WRITABLE_ETC = """\
mkdir etc && mount -t tmpfs tmpfs etc && mkdir etc/upper etc/work
mount -t overlay -o lowerdir=/etc,upperdir=etc/upper,workdir=etc/work etc /etc
"""
USERADD = "useradd --system --no-create-home --shell /usr/sbin/nologin " \
    "httpd-jail"
NFT = "nft add table inet jail"

# As the user of the first word: is an address reached, are requests answered?
REACHES = """\
import os, pwd, socket, sys
here = socket.create_server(("127.0.0.1", 0))
reading, writing = os.pipe()
if os.fork() == 0:
    os.setuid(pwd.getpwnam(sys.argv[1]).pw_uid)
    with socket.create_server(("127.0.0.1", 0)) as mine:
        try:
            socket.create_connection(here.getsockname(), 10)
            print("reached", flush=True)
        except OSError:
            print("rejected", flush=True)
        os.write(writing, b"%d" % mine.getsockname()[1])
        mine.accept()[0].sendall(b"answered")
    os._exit(0)
port = int(os.read(reading, 10))
with socket.create_connection(("127.0.0.1", port), 10) as client:
    print(client.recv(20).decode())
os.wait()
"""


@shows(USERADD, NFT)
def test_a_user_of_its_own_is_kept_from_the_network(documented_site):
    server = documented_site(ON, mounts=WRITABLE_ETC, user="httpd-jail",
                             group="httpd-jail")
    server.put({"html/index.html": "hello"})
    server.shell(block(USERADD))
    uid = int(server.shell("id -u httpd-jail"))
    server.start()
    assert server.get("/index.html").text == "hello"
    wait_for(lambda: all(procfs.uids(pid) == [uid] * 4
                         for pid in server.workers()), "User")

    put(server.root, {"reaches.py": REACHES})
    (server.root / "reaches.sh").write_text(
        f"busybox ip link set lo up\n{block(NFT)}\n"
        "for user in httpd-jail www-data; do\n"
        f"/usr/bin/python3 {server.root}/reaches.py $user\ndone\n")
    said = server.shell(f"unshare --net bash -e {server.root}/reaches.sh")
    assert said.split() == ["rejected", "answered", "reached", "answered"]


# ------------------------------------------------- other ways to lock httpd in

def test_stock_chrootdir_logs_and_restarts(documented_site):
    server = documented_site(
        "LoadFile libgcc_s.so.1\nChrootDir /srv/www\nAlias / /html/\n"
        "CustomLog logs/access.log %U\n", so=PLAIN)
    server.put({"html/a.html": "a"})
    server.start()
    server.graceful()
    server.assert_jailed()
    assert server.get("/a.html").text == "a"
    wait_for(lambda: "/a.html\n" in read(server.root / "logs/access.log"),
             "the access log")


def test_secchrootdir_ends_the_server_at_a_graceful_restart(documented_site):
    server = documented_site("SecChrootDir /srv/www\n", so=PLAIN,
                             modules=["unique_id", "security2"])
    server.allow_log(".*")
    assert "could not create" in server.refused_start()     # its PidFile
    server.put({f"{str(server.root)[1:]}/{name}": Dir
                for name in ("run", "logs")})
    server.answers = lambda: True
    server.start()
    wait_for(lambda: procfs.children(server.popen.pid), "children")
    for pid in [server.popen.pid, *procfs.children(server.popen.pid)]:
        assert procfs.is_jailed(pid, server.jail)
    server.popen.send_signal(signal.SIGUSR1)
    assert server.popen.wait(60) != 0
    assert "Could not open configuration file" in (
        server.output() + server.log())
