"""ChrootFixRoot Mount: children see a file system of their own that holds
ChrootDir, what URLs are mapped to and what ChrootBind names, by their names."""
import contextlib
import ctypes
import os
import re
import signal
import socket
import struct
from pathlib import Path

import pytest

import failclosed as fc
import procfs
from harness import GID, UID, File, Link, needs, run, run_ok, wait_for
from test_stack_apps import fcgi_program    # noqa: F401, a fixture

MODES = ("Mount", "On")
MOUNT = 'ChrootDir "${JAIL}"\nChrootFixRoot Mount\n'
SITE = MOUNT + 'DocumentRoot "${JAIL}/www"\n'
PAGE = {"www/index.html": "hello"}


@pytest.fixture
def view(httpd):
    """A running server with a view."""
    def start(config="", files=None, **options):
        return httpd(SITE + config, files={**PAGE, **(files or {})},
                     **options).start()
    return start


def inside(pid, path):
    """Where this process finds an absolute path of its own."""
    return f"/proc/{pid}/root{path}"


def same(pid, path):
    return os.path.samefile(inside(pid, path), path)


def everything(pid):
    """All paths that a process sees; below ChrootDir and binds, too."""
    found, root = [], f"/proc/{pid}/root"
    for where, directories, files in os.walk(root):
        found += [os.path.join(where, name)[len(root):]
                  for name in [*directories, *files]]
    return sorted(found)


def on_the_way(path):
    return [str(parent) for parent in Path(path).parents][:-1]


# ------------------------------------------------------------------ the view

def test_names_do_not_change_and_nothing_else_is_there(view, mpm, variant):
    server = view("ChrootBind ${ROOT}/bound\nChrootBind rw ${ROOT}/data\n",
                  files={"../bound/deep/file": "x", "../data/file": "y",
                         "../secret": "z"})
    jail = server.jail
    for again in (server.graceful, server.restart):
        assert server.get("/").text == "hello"
        for pid in server.assert_in_view():
            assert everything(pid) == sorted([
                *on_the_way(jail), str(jail), f"{jail}/www",
                f"{jail}/www/index.html", *[
                    f"{server.root}/{name}" for name in (
                        "bound", "bound/deep", "bound/deep/file", "data",
                        "data/file")]])
            for path in (jail, server.root / "data/file"):
                assert same(pid, path)
        again()
    assert "sealed" in server.log()
    assert re.search(r"notice\].*ChrootFixRoot Mount, sealed\)", server.log())


def test_directories_on_the_way_are_as_outside(view):
    server = view("ChrootBind ${ROOT}/mine/bound\n",
                  files={"../mine/bound/x": ""})
    mine = server.root / "mine"
    os.chown(mine, UID, GID)
    mine.chmod(0o2711)
    server.graceful()
    for pid in server.assert_in_view():
        st = os.stat(inside(pid, mine))
        assert (st.st_uid, st.st_gid, st.st_mode & 0o7777) == (
            UID, GID, 0o2711)


def can_write(pid, path):
    return os.access(inside(pid, path), os.W_OK)


def test_what_may_be_written_to(view, variant):
    server = view(
        "ChrootBind ${ROOT}/ro ${JAIL}/code\nChrootBind rw ${ROOT}/rw "
        "${JAIL}/code/cache\nAlias /mapped ${ROOT}/mapped\n"
        "ChrootBind ${ROOT}/file\n",
        files={name: "" for name in (
            "../ro/x", "../rw/x", "../mapped/x", "code/x", "code/cache/x",
            "../file")})
    root, jail = server.root, server.jail
    for pid in server.assert_in_view():
        assert [path for path in (
            "/", root, root / "ro", root / "file", root / "rw",
            root / "mapped", jail, jail / "www", jail / "code",
            jail / "code/x", jail / "code/cache/x") if can_write(pid, path)
        ] == [root / "rw", jail, jail / "www", jail / "code/cache/x"]


def test_the_jail_itself_may_be_read_only(view):
    server = view("ChrootBind ${JAIL}\n")
    for pid in server.assert_in_view():
        assert not can_write(pid, server.jail / "www")


@pytest.mark.parametrize("writable, warned", [
    ("www", True), (".", True), ("www/app", False), ("other", False)])
def test_what_is_read_only_below_what_user_may_write_is_warned_of(
        httpd, writable, warned):
    """It can be moved away there: children are in the host's name space."""
    server = httpd(SITE + "ChrootBind ${JAIL}/www/app\n", files={
        **PAGE, "www/app/x": "", "other/x": ""})
    os.chown(server.jail / writable, UID, GID)
    server.allow_log("is the jail, and User or Group may write")
    warning = r"warn\].*has \".*/www/app\" read-only, but User may write to"
    if warned:
        server.expect_log(warning)
    server.start()
    assert bool(re.search(warning, server.log())) == warned


def test_symbolic_links_on_the_way_are_as_outside(httpd, variant):
    server = httpd('ChrootDir "${ROOT}/link"\nChrootFixRoot Mount\n'
                   'DocumentRoot "${ROOT}/link/www"\n'
                   "Alias /a ${ROOT}/to/docs\nChrootBind ${ROOT}/etc/conf\n",
                   files={**PAGE, "../link": Link("./to/../jail"),
                          "../to/x": "", "../to/docs": Link("../real/docs"),
                          "../real/docs/a.txt": "a", "../etc/x": "",
                          "../etc/conf": Link("../run/x/conf"),
                          "../run/x/conf": "nameserver"}).start()
    root = server.root
    assert server.get("/").text == "hello"
    assert server.get("/a/a.txt").text == "a"
    for pid in server.assert_in_view():
        for name in ("link", "to/docs", "etc/conf"):
            link = inside(pid, root / name)
            assert os.readlink(link) == os.readlink(root / name)
        assert same(pid, root / "run/x/conf")
        assert same(pid, root / "real/docs/a.txt")
        assert not os.path.exists(inside(pid, root / "to/x"))


def test_a_link_that_user_may_replace_is_not_followed(httpd):
    server = httpd(SITE + "ChrootBind ${ROOT}/users/data\n", files={
        **PAGE, "../users/data": Link("../secret"), "../secret/x": ""})
    os.chown(server.root / "users", UID, GID)
    server.expect_log("warn.*ChrootBind at .*User may replace a symbolic link")
    server.start()
    for pid in server.assert_in_view():
        assert not os.path.exists(inside(pid, server.root / "secret"))


# ------------------------------------------------------- what URLs are mapped to

def test_a_mapped_directory_outside_is_served_and_its_htaccess_denies(
        view, mpm, variant):
    server = view(
        "Alias /out ${ROOT}/outside\nAliasMatch ^/m/(.*) ${ROOT}/match/$1\n"
        "Alias /one.txt ${ROOT}/single.txt\n"
        "<VirtualHost *>\nServerName other\nDocumentRoot ${ROOT}/second\n"
        "<Directory ${ROOT}>\nAllowOverride All\n</Directory>\n"
        "</VirtualHost>\n<Directory ${ROOT}>\nAllowOverride All\n"
        "</Directory>\n",
        files={"../outside/a.txt": "a", "../outside/no/a.txt": "a",
               "../outside/no/.htaccess": "Require all denied",
               "../match/a.txt": "m", "../single.txt": "one",
               "../second/a.txt": "second"})
    server.expect_log("AH01630")
    for path, host, status, text in [
            ("/out/a.txt", "other", 200, "a"), ("/m/a.txt", "other", 200, "m"),
            ("/one.txt", "other", 200, "one"),
            ("/a.txt", "other", 200, "second"),
            ("/out/no/a.txt", "other", 403, "Forbidden")]:
        answer = server.get(path, host=host)
        assert (answer.status, text in answer.text) == (status, True), path
    for pid in server.assert_in_view():
        for name in ("outside", "match", "second"):
            assert not can_write(pid, server.root / name)


@pytest.mark.parametrize("name", [".htaccess", "access"])
def test_an_htaccess_above_counts(httpd, variant, name):
    server = httpd(SITE + f"AccessFileName {name}\nAlias /out ${{ROOT}}/up/out"
                   "\n<Directory ${ROOT}>\nAllowOverride All\n</Directory>\n",
                   files={**PAGE, "../up/out/a.txt": "a",
                          f"../up/{name}": "Require all denied\n"}).start()
    assert server.get("/").text == "hello"
    server.expect_log("AH01630")
    assert server.get("/out/a.txt").status == 403


@pytest.mark.parametrize("binds", [
    "", "ChrootBind ${ROOT}", "ChrootBind ${ROOT} ${JAIL}",
    "ChrootBind rw ${JAIL}/www", "ChrootBind ${ROOT}/up"])
@pytest.mark.parametrize("later", [False, True])
def test_an_htaccess_above_the_jail_counts(httpd, variant, binds, later):
    server = httpd(SITE + f"{binds}\n<Directory ${{ROOT}}>\n"
                   "AllowOverride All\n</Directory>\n",
                   files={**PAGE, "../up/x": ""})
    server.allow_log(r"AH01630|chroot:warn\]")
    deny = {"../.htaccess": "Require all denied\n"}
    server.put({} if later else deny)
    server.start()
    assert server.get("/").status == (200 if later else 403)
    server.put(deny)
    server.graceful()
    assert server.get("/").status == 403


def test_an_htaccess_that_is_a_link_out_of_the_view_denies(httpd, variant):
    """What it says, children cannot read."""
    server = httpd(SITE + "Alias /out ${ROOT}/out\n<Directory ${ROOT}/out>\n"
                   "AllowOverride All\n</Directory>\n", files={
                       **PAGE, "../out/a.txt": "a", "../out/.htaccess":
                       Link("../rules/htaccess"), "../rules/htaccess":
                       "Require all denied\n"}).start()
    server.expect_log("AH00529.*unable to check htaccess")
    assert server.get("/out/a.txt").status == 403
    server.write_config(SITE + "ChrootBind ${ROOT}/rules\n" + server.config[
        len(SITE):])
    (server.root / "rules/htaccess").write_text("Require all granted\n")
    server.graceful()
    assert server.get("/out/a.txt").text == "a"


MAPPINGS = {
    "VirtualDocumentRoot ${ROOT}/hosts/%0/htdocs": "vhost_alias",
    "UserDir ${ROOT}/hosts/*/htdocs": "userdir",
    "AliasMatch ^/x/(.*) ${ROOT}/hosts/a$1": "status",
    "<Location /x>\nAlias ${ROOT}/hosts/%{env:X}\n</Location>": "status",
}


@pytest.mark.parametrize("line", MAPPINGS)
def test_a_mapping_counts_up_to_what_depends_on_the_request(httpd, line):
    server = httpd(SITE + line, modules=[MAPPINGS[line]], files={
        **PAGE, "../hosts/localhost/htdocs/index.html": "host"}).start()
    for pid in server.assert_in_view():
        assert same(pid, server.root / "hosts")


@pytest.mark.parametrize("rule", [
    '"^/(usr/.*)" "/$1" [UnsafePrefixStat]', '"^/x/(.*)" "/usr/share/$1"',
    '"^/y/(.*)" "/usr/$1"', '"^/z/(.*)" "/boot/$1"'])
def test_a_path_of_the_host_that_a_rule_makes_is_one_in_the_view(compare, rule):
    """mod_rewrite looks for its first name; without it the path is a URL, and
    another file, which nobody denies."""
    compare('DocumentRoot "${JAIL}/www"\nRewriteEngine On\nRewriteRule '
            f"{rule}\n<Directory />\nRequire all denied\n</Directory>\n"
            '<Directory "${JAIL}">\nRequire all granted\n</Directory>',
            ["/usr/share/x.txt", "/x/x.txt", "/y/share/x.txt", "/z/x.txt",
             "/x/../usr/share/x.txt"], modules=["rewrite"], files={
                 "www/usr/share/x.txt": "in the jail", "www/boot/x.txt": "in"},
            same_log=False)


@pytest.mark.parametrize("before", ["", "".join(
    f"Alias /{n} ${{JAIL}}/{n}\n" for n in range(1100))],
    ids=["alone", "behind many paths"])
@pytest.mark.parametrize("path", ["${ROOT}/secret/users", "${ROOT}/link/users",
                                  "${JAIL}/link", "${JAIL}/up/users"])
def test_a_file_that_decides_and_is_not_in_the_view_is_an_error(httpd, path,
                                                                before):
    directives = (SITE + before + '<Directory "${JAIL}/www">\nAuthType Basic\n'
                  f'AuthName x\nAuthUserFile "{path}"\nRequire valid-user\n'
                  "</Directory>\n")
    server = httpd(directives, modules=["auth_basic", "authn_core", "authn_file",
                                        "authz_user"], files={
        **PAGE, "../secret/users": "bob:{SHA}x\n", "../link": Link("secret"),
        "link": Link("../secret/users"), "up": Link("../secret")})
    assert re.search("AuthUserFile at .* names ", server.refused_start())
    server.config += "ChrootBind ${ROOT}/secret ${ROOT}/link\n"
    server.start()
    assert server.get("/").status == 401


@pytest.mark.parametrize("lines", [
    "RewriteEngine On\nRewriteCond ${ROOT}/switch/closed -f\n"
    "RewriteRule .* - [F]\n",
    '<If "-f \'${ROOT}/switch/closed\'">\nRequire all denied\n</If>\n'])
def test_a_file_that_decides_and_comes_later_has_to_be_seen(httpd, lines):
    server = httpd(SITE + lines, modules=["rewrite"], files={
        **PAGE, "../switch/x": ""})
    status, said = server.configtest()
    assert status != 0
    assert f'write "ChrootBind {server.root}/switch"' in said
    server.write_config("ChrootBind ${ROOT}/switch\n" + server.config)
    server.start()
    assert server.get("/").status == 200
    (server.root / "switch/closed").touch()
    server.allow_log("AH01630")
    assert server.get("/").status == 403


@pytest.mark.parametrize("kind", ["db", "sdbm"])
def test_a_dbm_map_that_is_not_in_the_view_is_an_error(httpd, kind):
    server = httpd(SITE + f"RewriteMap map dbm={kind}:${{ROOT}}/secret/map\n",
                   modules=["rewrite"], files={**PAGE, "../secret/text": "a b\n"})
    path = server.root / "secret"
    run_ok(["httxt2dbm", "-f", kind, "-i", path / "text", "-o", path / "map"])
    assert re.search("RewriteMap at .* names ", server.refused_start())
    server.write_config(f"ChrootBind ${{ROOT}}/secret\n{server.config}")
    assert server.httpd("-t")[0] == 0


@pytest.mark.parametrize("line, module", [
    ("VirtualDocumentRoot /%0", "vhost_alias"),
    ("VirtualDocumentRoot /srv/%0", "vhost_alias"),
    ("UserDir public_html", "userdir"), ("AliasMatch ^/x/(.*) $1", "status")])
def test_a_mapping_that_depends_on_the_request_too_early_is_warned_of(
        httpd, line, module):
    server = httpd(SITE + line, modules=[module], files=PAGE)
    server.expect_log(r"warn\].*at .*:\d+ leaves .*the request; write ChrootBind")
    server.allow_log(r"UserDir at .* needs /etc/passwd")
    server.start()
    assert "srv" not in os.listdir(inside(server.assert_in_view()[0], "/"))
    assert re.search("leaves .*; write ChrootBind", server.httpd("-t")[1])


def test_more_mapped_paths_than_a_view_holds_are_an_error(httpd):
    files = {f"../out/{i}/x": "" for i in range(1030)}
    aliases = "".join(f"Alias /{i} ${{ROOT}}/out/{i}\n" for i in range(1030))
    server = httpd(SITE + aliases, files={**PAGE, **files})
    error = (r"Alias at \S+:\d+ maps URLs outside ChrootDir, and more than 1024 "
             "such paths cannot be mounted; write ChrootBind")
    assert re.search(error, server.refused_start())
    status, said = server.configtest()
    assert status != 0 and re.search(error, said)
    server.config = SITE + "ChrootBind ${ROOT}/out\n" + aliases[:20000]
    server.start()
    server.assert_in_view()


# ------------------------------------------------------------------- daemons

def test_cgi_programs_run_with_debians_defaults(httpd, mpm, variant):
    server = httpd(SITE + 'ScriptSock "${ROOT}/socks/cgisock"\n'
                   'ScriptAlias /cgi-bin/ "${JAIL}/cgi-bin/"\n'
                   "ChrootBind /bin/busybox\n", modules=["cgid"], files={
                       **PAGE, "../socks/x": "", "cgi-bin/who": File(
                           "#!/bin/busybox sh\necho Content-Type: text/plain\n"
                           "echo\n/bin/busybox id -u\necho $SCRIPT_FILENAME "
                           "$DOCUMENT_ROOT\n", mode=0o755)})
    os.chown(server.root / "socks", UID, GID)
    server.start()
    server.allow_log("cgid daemon process died")
    for again in (server.graceful, None):
        assert server.get("/cgi-bin/who").text == (
            f"{UID}\n{server.jail}/cgi-bin/who {server.jail}/www\n")
        daemon, = server.daemons()
        server.assert_in_view([daemon])
        os.kill(daemon, signal.SIGKILL)
        wait_for(lambda: server.daemons() not in ([], [daemon]), "a respawn")
        server.assert_in_view(server.daemons())
        wait_for(lambda: server.get("/cgi-bin/who").status == 200, "CGI")
        if again:
            again()


def test_fcgid_runs_with_its_directory_of_sockets(
        httpd, fcgi_program, mpm, variant):     # noqa: F811
    server = httpd(SITE + 'Suexec Off\nFcgidIPCDir "${ROOT}/sock"\n'
                   'FcgidProcessTableFile "${ROOT}/run/fcgid_shm"\n'
                   'ScriptAlias /app "${JAIL}/app"\n<Location /app>\n'
                   "SetHandler fcgid-script\n</Location>\n",
                   modules=["fcgid"],
                   files={**PAGE, "../sock/x": "", "app": fcgi_program})
    os.chown(server.root / "sock", UID, GID)
    server.allow_log("fcgid.*(died|exit)")
    server.start()
    for again in (server.graceful, None):
        answer = server.get("/app")
        assert answer.status == 200
        assert f"SCRIPT_FILENAME={server.jail}/app\n" in answer.text
        server.assert_in_view([pid for pid in server.daemons()])
        if again:
            again()


def test_sockets_that_are_not_in_a_directory_of_their_own(httpd):
    server = httpd(SITE + 'ScriptSock "/run/chroot-test-cgisock"\n',
                   modules=["cgid"], files=PAGE)
    server.expect_log("warn.*ScriptSock at .* leaves \"/run\" out "
                      ".*directory of their own")
    server.start()
    assert "run" not in os.listdir(inside(server.assert_in_view()[0], "/"))


# ---------------------------------------------------------------- directives

@pytest.mark.parametrize("config, said", [
    (MOUNT + "ChrootBind /", "ChrootBind \"/\": it is the whole file system"),
    (MOUNT + "ChrootBind /proc", "ChrootBind \"/proc\": /proc and /sys show"),
    (MOUNT + "ChrootBind /proc/self", "/proc and /sys show"),
    (MOUNT + "ChrootBind /sys", "/proc and /sys show"),
    (MOUNT + "ChrootBind rw ${ROOT}", "it contains ChrootDir"),
    (MOUNT + "ChrootBind", "ChrootBind takes one or more paths"),
    (MOUNT + "ChrootBind rw", "ChrootBind takes one or more paths"),
    (MOUNT + 'ChrootBind ro "" /tmp', "not a valid path"),
    (MOUNT + 'ChrootBind rw "" ""', "not a valid path"),
    ("ChrootDir ${JAIL}\nChrootBind /etc", "requires ChrootFixRoot Mount"),
    ("ChrootDir ${JAIL}\nChrootFixRoot On\nChrootBind /etc",
     "requires ChrootFixRoot Mount"),
    ("ChrootDir /\nChrootFixRoot Mount", "would show children everything"),
    (MOUNT + "<VirtualHost *>\nChrootBind /etc\n</VirtualHost>",
     "ChrootBind (cannot occur|not allowed)"),
    (MOUNT + "<Directory />\nChrootBind /etc\n</Directory>",
     "ChrootBind not allowed in"),
    ("ChrootDir ${JAIL}\nChrootFixRoot Mounted", "must be On, Off or Mount"),
])
def test_what_is_an_error(httpd, config, said):
    status, text = httpd(config).configtest()
    assert status != 0 and re.search(said, text), text


def test_the_view_is_built_from_any_working_directory(httpd):
    server = httpd(SITE, files=PAGE)
    server.write_config()
    for directory in ("/", server.root, server.jail):
        status, said = run(server.command("-t"), env=server.env, cwd=directory)
        assert (status, said) == (0, "Syntax OK\n")


def test_a_bind_that_is_not_there_is_warned_of_and_left_out(httpd, variant):
    line = (r"warn\].*ChrootBind at \S+:\d+ leaves \"{}\" out of what children see: "
            "No such file")
    server = httpd(SITE + "ChrootBind later ${ROOT}/here\n",
                   files={**PAGE, "../here": ""})
    line = line.format(re.escape(f"{server.root}/later"))
    server.expect_log(line)
    status, said = server.configtest()
    assert status == 0 and re.search(line, said)
    server.start()
    later = server.root / "later"
    later.mkdir()
    assert not os.path.exists(inside(server.assert_in_view()[0], later))
    server.graceful()
    assert same(server.assert_in_view()[0], later)
    later.rmdir()
    server.graceful()
    assert len(re.findall(line, server.log())) == 2


def test_devices_in_a_directory_lead_nowhere_and_are_quiet(httpd):
    """It is mounted nodev, and what is set-user-id in it nosuid."""
    server = httpd(SITE + "ChrootBind /dev ${ROOT}/suid\n", files={
        **PAGE, "../suid/program": File(mode=0o4755)})
    assert server.configtest() == (0, "Syntax OK\n")


def test_without_a_jail_nothing_is_mounted(httpd):
    server = httpd("ChrootDir none\nChrootFixRoot Mount\nChrootBind /etc"
                   ).start()
    server.assert_jailed("/")


def test_mod_status_and_the_report_say_what_is_in_force(view):
    server = view("<Location /status>\nSetHandler server-status\n</Location>\n"
                  "ChrootBind /etc/hostname\n", modules=["status"])
    said = f"ChrootDir: {server.jail} (late chroot, ChrootFixRoot Mount, sealed)"
    assert said in server.get("/status?auto").text
    assert said in server.get("/status").text
    text = server.httpd("-t", "-DDUMP_CHROOT")[1]
    assert "ChrootFixRoot: Mount, sealed\n" in text
    assert re.search(rf"(?m)^View: rw {server.jail}, by ChrootDir at ", text)
    assert re.search(r"View: ro /etc/hostname, by ChrootBind at \S+ \(this file",
                     text)


# -------------------------------------------------------------------- escapes

CAPABILITIES = {"SYS_MODULE": 16, "SYS_PTRACE": 19, "SYS_ADMIN": 21}


def as_root_in(pid, command, **options):
    """Run a command in the view of a process, as root with all capabilities
    but three: what somebody could be who has become root there."""
    root = os.open(f"/proc/{pid}/root", os.O_PATH)
    prctl = ctypes.CDLL(None).prctl

    def enter():
        os.fchdir(root)
        os.chroot(".")
        for number in CAPABILITIES.values():
            prctl(24, number, 0, 0, 0)      # PR_CAPBSET_DROP

    try:
        return run([*command], preexec_fn=enter, **options)[1]
    finally:
        os.close(root)


@pytest.mark.parametrize("mode", MODES)
def test_root_without_three_capabilities_stays_in(
        httpd, builds, variant, mode):
    server = httpd(SITE.replace("Mount", mode) + (
        "ChrootBind rw /tmp\n" if mode == "Mount" else ""), files={
            **PAGE, "tmp/x": "", "escape": File(
                copy_of=builds.program("escape"), mode=0o755)}).start()
    (server.root / "secret").write_text("secret")
    pid = server.serving()[0]
    text = as_root_in(pid, [
        server.jail / "escape" if mode == "Mount" else "/escape"], env={
            "QUERY_STRING": f"secret={server.root}/secret&pid={server.pid}"
                            f"&parent={server.pid}".replace("=/", "=", 1)})
    found = dict(re.findall(r"^(.+): (\S+)$", text, re.M))
    held = {"dot-dot": "ENOENT", "second-chroot": "ENOENT", "mount": "EPERM",
            "fsopen": "EPERM", "open_tree": "EPERM", "pivot_root": "EPERM",
            "unshare-mounts": "EPERM", "setns": "EPERM", "proc-1": "ENOENT",
            "proc-parent": "ENOENT"}
    assert {way: found[way] for way in held} == held
    assert found["inherited-descriptors"] != "ok"


def test_root_that_may_open_files_by_handle_gets_out(view):
    """Of a view as of any other mount: open_by_handle_at(2)."""
    server = view()
    root = os.open(f"/proc/{server.serving()[0]}/root", os.O_PATH)
    readable, writable = os.pipe()
    libc = ctypes.CDLL(None, use_errno=True)
    pid = os.fork()
    if pid == 0:
        os.fchdir(root)
        os.chroot(".")
        jail = os.open(server.jail, os.O_RDONLY)
        top = struct.pack("IiII", 8, 1, 2, 0)   # ext4: inode 2
        fd = libc.open_by_handle_at(jail, top, os.O_RDONLY | os.O_DIRECTORY)
        os.write(writable, b"out" if fd != -1 else b"in")
        os._exit(0)
    os.waitpid(pid, 0)
    assert os.read(readable, 9) == b"out" or not ext4(server.jail)
    for fd in (root, readable, writable):
        os.close(fd)


def ext4(path):
    return run_ok(["stat", "-f", "-c", "%T", path]).strip() == "ext2/ext3"


def test_with_a_plain_chroot_root_gets_out(httpd, builds):
    """So that what fails in a view fails for the view's sake."""
    server = httpd('ChrootDir "${JAIL}"\nChrootFixRoot On\n', files={
        "tmp/x": "", "escape": File(copy_of=builds.program("escape"),
                                    mode=0o755)},
        wrapper=["setpriv", "--bounding-set=-sys_admin"]).start()
    assert "On, not sealed: clone: Operation not permitted" in server.log()
    (server.root / "secret").write_text("secret")
    text = as_root_in(server.serving()[0], ["/escape"], env={
        "QUERY_STRING": f"only=second-chroot&secret={server.root}/secret"
        .replace("=/", "=")})
    assert "second-chroot: ok" in text


def test_devices_and_set_user_id_programs_do_not_work_in_the_jail(view):
    server = view("ChrootBind /dev/null /bin/busybox\n")
    os.mknod(server.jail / "device", 0o20666, os.makedev(1, 3))
    pid = server.assert_in_view()[0]
    said = as_root_in(pid, ["/bin/busybox", "sh", "-c",
                            f"$0 cat {server.jail}/device; $0 cat /dev/null && echo ok",
                            "/bin/busybox"])
    assert "device': Permission denied" in said and said.endswith("ok\n")
    flags = os.statvfs(inside(pid, server.jail)).f_flag
    assert flags & os.ST_NOSUID and flags & 4       # ST_NODEV


def in_a_chroot(root):
    """A command before httpd, which starts it in a chroot that is no mount
    point, with all of this machine in it."""
    mounts = " && ".join(
        f"mkdir -p {root}/{name} && mount --rbind /{name} {root}/{name}"
        for name in sorted(os.listdir("/")) if os.path.isdir(f"/{name}")
        and not os.path.islink(f"/{name}") and name != "lost+found")
    links = " && ".join(f"ln -s {os.readlink(f'/{name}')} {root}/{name}"
                        for name in os.listdir("/")
                        if os.path.islink(f"/{name}"))
    return ["unshare", "-m", "--propagation", "private", "sh", "-c",
            f'{mounts} && {links or ":"} && exec chroot {root} "$@"', "sh"]


@pytest.mark.parametrize("mode", MODES)
def test_a_server_in_a_chroot_is_sealed_as_well(httpd, directory, mode):
    needs("mount_setattr")
    server = httpd(SITE.replace("Mount", mode), files=PAGE,
                   wrapper=in_a_chroot(directory() / "root"))
    server.start()
    assert f"ChrootFixRoot {mode}, sealed" in server.log()
    assert server.get("/").text == "hello"
    secret = server.root / "secret"
    secret.write_text("secret")
    for pid in server.workers():
        assert not os.path.exists(inside(pid, secret))


# --------------------------------------------------------------- generations

def test_a_download_goes_on_over_three_graceful_restarts(
        view, mpm, variant):
    server = view("GracefulShutdownTimeout 0\nEnableSendfile Off\n")
    size = 40 << 20
    (server.jail / "www/big.bin").write_bytes(os.urandom(1024) * (size >> 10))
    with socket.create_connection(("127.0.0.1", server.port)) as conn:
        conn.sendall(b"GET /big.bin HTTP/1.0\r\n\r\n")
        data = conn.recv(1000)
        for _ in range(3):
            seen = server.generations()
            server.control("graceful")
            wait_for(lambda: server.generations() > seen, "a restart")
            wait_for(server.answers, "answers")
        while chunk := conn.recv(1 << 20):
            data += chunk
    head, _, body = data.partition(b"\r\n\r\n")
    assert b" 200 " in head and body == \
        (server.jail / "www/big.bin").read_bytes()
    wait_for(lambda: len(view_namespaces(server)) == 1, "old views to go")


def view_namespaces(server):
    own = os.readlink("/proc/self/ns/mnt").replace("mnt:", "")
    return {target for pid in [server.pid, *procfs.descendants(server.pid)]
            for target in procfs.fds(pid).values()
            if target.startswith("mnt:") and own not in target}


@pytest.mark.parametrize("mode", MODES)
def test_nothing_is_left_after_many_restarts(httpd, mode):
    needs("mount_setattr")
    server = httpd(SITE.replace("Mount", mode), files=PAGE).start()
    fds = procfs.fd_kinds(server.pid)
    for _ in range(int(os.environ.get("CHROOT_TEST_RESTARTS", 50))):
        server.graceful()
    assert len(view_namespaces(server)) == 1
    assert sorted(procfs.fd_kinds(server.pid).values()) == sorted(fds.values())
    assert str(server.root) not in Path("/proc/self/mountinfo").read_text()


def test_nothing_is_kept_without_a_jail(view):
    server = view()
    for config, count in ((SITE.replace("Mount", "On"), 1), (SITE, 1),
                          ('DocumentRoot "${JAIL}/www"', 0)):
        server.write_config(config)
        server.graceful()
        assert len(view_namespaces(server)) == count
        if "On" in config:
            server.assert_jailed()


def test_a_file_system_mounted_below_the_jail_is_in_the_view(httpd):
    server = httpd(SITE, files={**PAGE, "www/sub/x": ""})
    server.binds = [("/usr/share/zoneinfo", server.jail / "www/sub")]
    server.start()
    assert server.get("/sub/UTC").status == 200


# --------------------------------------------------------------------- faults

# Each call of the builder, and how often it is made; the last one decides
# whether the view is called sealed only
CALLS = ["openat", "mount_setattr", "openat2", "open_tree", "fsopen",
         "fsconfig", "fsmount", "move_mount", "mkdirat", "fchownat",
         "fchmodat", "symlinkat", "fchdir", "pivot_root", "umount2", "chdir"]
FAULTY = SITE + "ChrootBind ${ROOT}/link ${JAIL}/www\n"
FILES = {**PAGE, "../link": Link("bound"), "../bound/x": ""}


def state(pid):
    return (procfs.root_id(pid), os.readlink(f"/proc/{pid}/ns/mnt"),
            os.readlink(f"/proc/{pid}/cwd"), procfs.fd_kinds(pid))


def faults(call, error="EIO"):
    """In every process that the parent starts, the builder above all."""
    return ["-f", "-e", f"trace={call}", "-e",
            f"inject={call}:error={error}:when=1"]


@pytest.mark.parametrize("call", [call for call in CALLS
                                  if call not in ("openat", "chdir")])
def test_a_step_of_the_builder_that_fails_refuses_the_first_start(
        httpd, call):
    server = httpd(FAULTY, files=FILES, wrapper=[
        "strace", "-qq", "-o", "/dev/null", *faults(call)])
    said = server.refused_start()
    assert re.search(r"\(5\)Input/output error: ChrootFixRoot Mount: "
                     rf"{call} \S+: .*ChrootFixRoot On", said), said


@pytest.mark.parametrize("call", [call for call in CALLS
                                  if call not in ("openat", "chdir")])
def test_a_step_of_the_builder_that_fails_at_a_restart_keeps_the_last_view(
        httpd, call):
    server = httpd(FAULTY, files=FILES).start()
    before = state(server.pid)
    root = procfs.root_id(server.assert_in_view()[0])
    server.expect_log(r"alert.*\(5\).*ChrootFixRoot Mount.*children see what "
                      "those before this restart saw")
    with fc.traced(server.pid, *faults(call)):
        server.graceful()
    assert procfs.root_id(server.assert_in_view()[0]) == root
    assert server.get("/").text == "hello"
    assert state(server.pid) == before
    server.graceful()
    assert procfs.root_id(server.assert_in_view()[0]) != root
    assert server.get("/").text == "hello"


CURE = ("ChrootFixRoot On; .*Linux 5.12 .*CAP_SYS_ADMIN.*RestrictNamespaces="
        ".*@mount")


@pytest.mark.parametrize("error", ["EPERM", "ENOSYS", "EINVAL"])
def test_the_cure_of_what_the_kernel_forbids(httpd, error):
    server = httpd(SITE, files=PAGE, wrapper=[
        "strace", "-qq", "-o", "/dev/null", *faults("open_tree", error)])
    assert re.search(f"Mount: open_tree .*{CURE}", server.refused_start())


def test_a_server_without_cap_sys_admin_is_refused_with_the_cure(
        httpd, variant):
    server = httpd(SITE, files=PAGE, wrapper=[
        "setpriv", "--bounding-set=-sys_admin"])
    assert re.search(f"Operation not permitted: .*Mount: clone .*{CURE}",
                     server.refused_start())


# A child that has stayed outside writes the maps
IN_USER_NAMESPACE = """
import ctypes, os, sys
ready, done = os.pipe(), os.pipe()
if os.fork() == 0:
    os.read(ready[0], 1)
    for name in ("uid_map", "gid_map"):
        with open(f"/proc/{os.getppid()}/{name}", "w") as ids:
            ids.write("0 0 65536")
    os.write(done[1], b"x")
    os._exit(0)
ctypes.CDLL(None).unshare(0x10020000)   # CLONE_NEWUSER | CLONE_NEWNS
os.write(ready[1], b"x")
os.read(done[0], 1)
os.wait()
os.execvp(sys.argv[1], sys.argv[1:])
"""


def test_the_root_of_a_user_namespace_has_a_view(httpd):
    server = httpd(SITE, files=PAGE, wrapper=[
        "/usr/bin/python3", "-c", IN_USER_NAMESPACE])
    server.start()
    assert server.get("/").text == "hello"
    assert "Mount, sealed" in server.log()


def test_a_builder_whose_time_is_over_is_given_up(httpd):
    server = httpd(SITE, files=PAGE).start()
    server.expect_log(r"alert.*timed out: ChrootFixRoot Mount: pivot_root.*"
                      "children see what those before")
    with fc.traced(server.pid, "-f", "-e", "trace=pivot_root", "-e",
                   "inject=pivot_root:signal=SIGALRM"):
        server.graceful()
    assert server.get("/").text == "hello"


def test_sealed_is_said_only_when_it_was_tried(httpd):
    server = httpd(SITE, files=PAGE, variant="late", wrapper=[
        "strace", "-qq", "-o", "/dev/null", "-f", "-e", "trace=fchdir", "-e",
        "inject=fchdir:error=EPERM:when=2"])
    server.start()
    assert "Mount, not sealed: chroot: Operation not permitted" in server.log()
