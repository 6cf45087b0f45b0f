"""httpd -t -D DUMP_CHROOT on real configurations: reports/NAME.conf gives
reports/NAME.txt, word for word.  Each was read by eye before it was kept.

A site's directory is mounted at /srv, for httpd alone, so that the paths in
the reports are the same everywhere.
"""
import os
import re
import shlex
import shutil
import socket

import pytest

from harness import (BUSYBOX, SEALED, TESTS, Dir, File, Link, apxs, httpd_command, needs,
                     put, run, run_ok, self_link)

REPORTS = TESTS / "reports"
SITES = sorted(path.stem for path in REPORTS.glob("*.conf"))

BASE = """\
LoadModule mpm_event_module ${MODULES}/mod_mpm_event.so
LoadModule authz_core_module ${MODULES}/mod_authz_core.so
LoadModule alias_module ${MODULES}/mod_alias.so
LoadModule mime_module ${MODULES}/mod_mime.so
ServerRoot /srv
ServerName localhost
Listen 127.0.0.1:18080
User www-data
Group www-data
PidFile /srv/run/httpd.pid
DefaultRuntimeDir /srv/run
ErrorLog /srv/run/error.log
TypesConfig /dev/null
LogFormat "%h" combined
"""

FILES = {
    "base.conf": BASE,
    "run": Dir, "ca": Dir, "passwords": "", "script": File(mode=0o755),
    "www/html/index.html": "hello", "www/html/private/x": "",
    "www/secure/members/x": "", "www/etc/members": File(mode=0o600),
    "www/hosts.map": "", "www/cache": Dir, "www/the share": Dir,
    "www/dav/users": "", "www/pictures/x": "", "www/log": Dir,
    "www/hosts": Dir, "www/home/bob/www": Dir,
    "www/cgi-bin/env": File("#!/usr/bin/perl\n", mode=0o755),
    "www/cgi-bin/true": File(copy_of="/bin/true", mode=0o755),
    "www/cgi-bin/static": BUSYBOX,
    "www/cgi-bin/notes.txt": "#!/usr/bin/none\n",
}


class Site:
    """A directory that httpd sees as /srv."""

    def __init__(self, root, so):
        self.root, self.so = root, so
        put(root, FILES)
        for name in ("run/app.sock", "run/php.sock", "www/run/php.sock"):
            (root / name).parent.mkdir(exist_ok=True)
            with socket.socket(socket.AF_UNIX) as sock:
                sock.bind(str(root / name))
            (root / name).chmod(0o666)
        run_ok(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes",
                "-subj", "/CN=localhost", "-keyout", root / "server.key",
                "-out", root / "server.pem"])

    def conf(self, name, text):
        put(self.root, {f"{name}.conf": "Include /srv/base.conf\n" + text})

    def run(self, command, env=()):
        """Run a command to its end -> (exit status, output)."""
        return run(["unshare", "--mount", "--propagation", "private",
                    "sh", "-ec", 'mount --bind "$1" /srv; shift; exec "$@"',
                    "sh", self.root, *command],
                   env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "TZ": "UTC0",
                        **dict(env)})

    def shell(self, text):
        status, output = self.run(["sh", "-ec", text])
        assert status == 0, output

    def httpd(self, conf, *arguments, wrapper=(), defines=(), directory="/srv",
              env=()):
        first = [f"Define MODULES {apxs('LIBEXECDIR')}",
                 f"LoadModule chroot_module {self.so}", *defines]
        return self.run([*wrapper, *httpd_command(), "-d", directory,
                         "-f", conf,
                         *(word for line in first for word in ("-C", line)),
                         *arguments], env)

    def report(self, name, **options):
        shutil.copy(REPORTS / f"{name}.conf", self.root)
        return self.httpd(f"/srv/{name}.conf", "-t", "-D", "DUMP_CHROOT",
                          **options)


@pytest.fixture
def site(builds, directory):
    return Site(directory(), builds.variant("late"))


def expected(name):
    return (REPORTS / f"{name}.txt").read_text().replace("sealed", SEALED)


def comparable(report):
    """Without what depends on the machine: its name services."""
    return re.sub(r"(?m)^(Preloaded: libgcc_s\.so\.1)( .*)?$", r"\1", report)


@pytest.mark.parametrize("name", SITES)
def test_the_report_of_a_site(site, name):
    if name == "mount":
        needs("mount_setattr")
        shutil.chown(site.root / "run", "www-data")  # locks are made there
    status, output = site.report(name)
    assert status == 0, output
    assert output.endswith("Syntax OK\n")
    assert comparable(output) == expected(name)


def debian_site(root):
    """Debian's default configuration, its modules and site, in a copy that
    has /srv in place of /var/www."""
    shutil.copytree("/etc/apache2", root / "apache2", symlinks=True)
    enabled = root / "apache2/mods-enabled"
    shutil.rmtree(enabled)
    enabled.mkdir()
    for path in (root / "apache2/mods-available").iterdir():
        if path.stem in DEBIAN_MODULES:
            (enabled / path.name).symlink_to(f"../mods-available/{path.name}")
    for path in (root / "apache2/conf-enabled").iterdir():
        if path.stem not in DEBIAN_CONF:        # other packages'
            path.unlink()
    for path in (root / "apache2").rglob("*.conf"):
        path.write_text(path.read_text().replace("/var/www", "/srv/www"))


DEBIAN_CONF = """charset localized-error-pages other-vhosts-access-log
    security serve-cgi-bin""".split()
DEBIAN_MODULES = """access_compat alias auth_basic authn_core authn_file
    authz_core authz_host authz_user autoindex deflate dir env filter mime
    mpm_event negotiation reqtimeout setenvif status""".split()

DEBIAN = {"APACHE_RUN_DIR": "/srv/run", "APACHE_LOG_DIR": "/srv/run",
          "APACHE_LOCK_DIR": "/srv/run", "APACHE_RUN_USER": "www-data",
          "APACHE_RUN_GROUP": "www-data",
          "APACHE_PID_FILE": "/srv/run/apache2.pid"}


def test_the_report_of_debians_default_site(site):
    debian_site(site.root)
    status, output = site.httpd(
        "/srv/apache2/apache2.conf", "-t", "-D", "DUMP_CHROOT", "-c", "ChrootDir /srv/www/html", "-c", "ChrootFixRoot On",
        directory="/srv/apache2", defines=["ServerName localhost"],
        env=DEBIAN)
    assert status == 0, output
    # where a line stands in Debian's files is Debian's
    report = re.sub(r"(/srv/apache2/\S+):\d+", r"\1:N", comparable(output))
    assert report == expected("debian")


def test_debians_default_site_lacks_nothing_in_a_view(site):
    """With its icons, and what javascript-common adds."""
    needs("mount_setattr")
    debian_site(site.root)
    put(site.root, {"js.conf": "Alias /javascript /usr/share/javascript/\n"
                    "<Directory \"/usr/share/javascript/\">\n"
                    "Options FollowSymLinks MultiViews\n</Directory>\n"})
    for arguments in ([], ["-D", "DUMP_CHROOT"]):
        status, output = site.httpd(
            "/srv/apache2/apache2.conf", "-t", *arguments, "-c",
            "ChrootDir /srv/www/html", "-c", "ChrootFixRoot Mount", "-c",
            "Include /srv/js.conf", directory="/srv/apache2", env=DEBIAN,
            defines=["ServerName localhost"])
        assert status == 0 and not findings(output), output
        # Some packages' part of /usr/share/javascript is links.
        output = re.sub(r"# needed by: Alias at /srv/js.conf:\d+ \(symbolic "
                        r"links\)\nChrootBind /usr/share/.*\n", "", output)
        assert "chroot:" not in output and "ChrootBind" not in output
    assert "View: ro /usr/share/apache2/icons, by Alias at " in output


def test_a_file_that_decides_is_not_bound_alone_nor_with_all_of_etc(site):
    """It would go on deciding when another one has taken its place."""
    needs("mount_setattr")
    site.conf("etc", "LoadModule authn_file_module ${MODULES}/"
              "mod_authn_file.so\nChrootDir /srv/www\nChrootFixRoot Mount\n"
              "<Location />\nAuthUserFile /etc/hostname\n</Location>\n")
    output = site.httpd("/srv/etc.conf", "-t", "-D", "DUMP_CHROOT")[1]
    assert re.search('error: AuthUserFile at .* names "/etc/hostname", which is '
                     "not in the jail; move it to a directory of its own",
                     output)
    assert "\nChrootBind" not in output


def findings(output):
    return re.findall(r"(?m)^(?:error|warning): (.*)$", output)


@pytest.mark.parametrize("name", ["cgi", "proxy", "ssl", "webdav"])
def test_every_cure_mends_what_it_says(site, name):
    said = findings(site.report(name)[1])
    conf = site.root / f"{name}.conf"
    cured = 0
    for text in said:
        target = re.search("copy it to ([^ ,]+)", text)
        if not target:
            continue
        source = re.search(r'needs (\S+) in|by "(.*?)"', text)
        source = source[1] or source[2]
        site.shell(f"mkdir -p $(dirname {target[1]}) && "
                   f"cp -rL {source} {target[1]}")
        if "write that path" in text:
            conf.write_text(conf.read_text().replace(f" {source}\n",
                                                     f" {target[1]}\n"))
        cured += 1
    assert cured
    left = findings(site.httpd(f"/srv/{name}.conf", "-t", "-D",
                               "DUMP_CHROOT")[1])
    assert not [text for text in left if "copy it" in text], left


@pytest.mark.parametrize("jail", ["a b", "it's", "$(touch x)", "a;b"])
def test_what_is_printed_for_the_shell_is_quoted(site, jail):
    put(site.root, {f"{jail}/x": ""})
    site.conf("odd", f'ChrootDir "/srv/{jail}"\nChrootFixRoot On\n'
              "HostnameLookups On\n")
    said = findings(site.httpd("/srv/odd.conf", "-t", "-D",
                               "DUMP_CHROOT")[1])
    words = [shlex.split(text.partition("copy it to ")[2]) for text in said]
    assert words == [[f"/srv/{jail}/etc/resolv.conf"]]


def test_a_clean_configuration_is_quiet(site):
    site.conf("clean", "ChrootDir /srv/www\nChrootFixRoot On\n"
              "DocumentRoot /srv/www/html\nAlias /p /srv/www/pictures\n")
    assert site.httpd("/srv/clean.conf", "-t") == (0, "Syntax OK\n")
    output = site.httpd("/srv/clean.conf", "-t", "-D", "DUMP_CHROOT")[1]
    assert not findings(output) and "note:" not in output


def test_configtest_warns_of_what_bites_and_start_of_the_same_once(
        jailed, site):
    config = ("ChrootFixRoot On\nDocumentRoot ${JAIL}\n"
              "Alias /out ${ROOT}/out\nErrorLog logs/error.log\n"
              "CustomLog \"|$cat >/dev/null\" %h\n")
    server = jailed(config, files={"../out/x": ""})
    server.expect_log(WARNING)
    server.allow_log("long lost child")     # httpd's own, about the logger
    server.quiesce()
    assert len(re.findall(WARNING, server.log())) == 1
    server.graceful()
    assert len(re.findall(WARNING, server.log())) == 2
    assert "not jailed" not in server.log()
    status, output = server.httpd("-t")
    assert status == 0
    assert len(re.findall(WARNING, output)) == 1
    assert "not jailed" not in output


WARNING = r'chroot:warn\].* Alias at .*httpd\.conf:\d+ names "\S+/out", which'


def test_without_a_jail_there_is_little_to_report(site):
    site.conf("none", "ChrootDir none\n")
    assert site.httpd("/srv/none.conf", "-t", "-D", "DUMP_CHROOT") == (
        0, "ChrootDir: none\nSyntax OK\n")


def test_an_ordinary_user_gets_the_report(site):
    """Only root may look; what leads out is known without."""
    status, output = site.report("php-fpm", wrapper=[
        "setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups"])
    assert status == 0
    assert "Chroot: only root can try\n" in output
    expected = (REPORTS / "php-fpm.txt").read_text()
    table = expected[expected.index("inside:"):]
    assert output[output.index("unknown:"):].replace(
        "unknown:", "inside:") == table


def test_a_configtest_leaves_the_jail_as_it_is(site):
    site.conf("link", "ChrootDir /srv/www\nChrootFixRoot On\n")
    before = sorted(site.root.rglob("*"))
    site.httpd("/srv/link.conf", "-t")
    site.httpd("/srv/link.conf", "-t", "-D", "DUMP_CHROOT")
    assert sorted(site.root.rglob("*")) == before


def test_a_self_link_with_a_url_is_in_the_report(site):
    site.conf("link", "ChrootDir /srv/www\nDocumentRoot /\n")
    put(site.root / "www", {"srv/www": Link("..")})
    status, output = site.httpd("/srv/link.conf", "-t", "-D", "DUMP_CHROOT")
    assert status == 0
    assert re.search("where the link /srv/www/srv/www would give the whole jail "
                     "URLs; remove it", findings(output)[0])
    assert site.httpd("/srv/link.conf", "-t")[0] != 0


def test_a_server_does_not_start_because_a_report_is_asked_for(httpd):
    server = httpd("ChrootDir ${JAIL}\nDocumentRoot /\n")
    put(server.jail, self_link(server.jail))
    assert server.httpd("-t", "-D", "DUMP_CHROOT")[0] == 0
    said = server.refused_start("-DFOREGROUND -DDUMP_CHROOT")
    assert "would give the whole jail URLs" in said


def test_daemons_that_nobody_jails_are_named(site):
    site.conf("wsgi", "LoadModule wsgi_module ${MODULES}/mod_wsgi.so\n"
              "ChrootDir /srv/www\nChrootFixRoot On\n"
              "WSGIDaemonProcess free\n"
              "WSGIDaemonProcess jailed chroot=/srv/www\n")
    output = site.httpd("/srv/wsgi.conf", "-t")[1]
    said = re.findall("chroot:warn.* (WSGI.*?);", output)
    assert said == [
        "WSGIDaemonProcess at /srv/wsgi.conf:5 makes processes that are not "
        "jailed", "WSGIDaemonProcess at /srv/wsgi.conf:6 has a chroot= of its "
        "own, and finds no script"]
    site.conf("wsgi", (site.root / "wsgi.conf").read_text().replace(
        "Include /srv/base.conf\n", "").replace("FixRoot On", "FixRoot Off"))
    output = site.httpd("/srv/wsgi.conf", "-t")[1]
    assert re.findall("chroot:warn.* (WSGI.*)", output) == [
        "WSGIDaemonProcess at /srv/wsgi.conf:5 makes processes that are not "
        "jailed; add chroot=/srv/www home=/"]


@pytest.mark.parametrize("lines, need", [
    ("HostnameLookups On", "/etc/resolv.conf"),
    ("HostnameLookups Double", "/etc/resolv.conf"),
    ("HostnameLookups Off", None),
    ("<Location />\nRequire host example.org\n</Location>",
     "!/etc/resolv.conf"),
    ("<Location />\nRequire forward-dns example.org\n</Location>",
     "!/etc/resolv.conf"),
    ("<Location />\nRequire ip 192.0.2.1\n</Location>", None),
    ("<Location />\nOrder deny,allow\nDeny from all\n"
     "Allow from example.org\n</Location>", "!/etc/resolv.conf"),
    ("<Location />\nOrder deny,allow\nDeny from all\n"
     "Allow from 192.0.2 10.0.0.0/8 env=x\n</Location>", None),
    ("<Location />\nRequire file-group\n</Location>", "!/etc/group"),
    ("<Location />\nRequire expr \"%{REMOTE_HOST} != 'x'\"\n</Location>",
     "!/etc/resolv.conf"),
    ("SetEnvIf Remote_Host example bad", "!/etc/resolv.conf"),
    ("<Location />\nAuthLDAPURL ldap://ldap.example.org/o=x\n</Location>",
     "!/etc/resolv.conf"),
    ("<Location />\nAuthLDAPURL ldap://localhost/o=x\n</Location>",
     "!/etc/hosts"),
    ("<Location />\nAuthLDAPURL ldap://192.0.2.1/o=x\n</Location>", None),
    ("<Location />\nAuthLDAPURL \"ldap://192.0.2.1 ldap.example.org/o=x\"\n"
     "</Location>", "!/etc/resolv.conf"),
    ("SecRule REMOTE_ADDR \"@rbl bl.example.org\" \"id:1,deny\"",
     "!/etc/resolv.conf"),
    ("SecRule REMOTE_ADDR \"@rbl dnsbl.httpbl.org\" \"id:1,deny\"", None),
    ("SecHttpBlKey abcdefghijkl", "!/etc/resolv.conf"),
    ("SecRule SCRIPT_USERNAME \"@streq bob\" \"id:1,deny\"",
     "!/etc/passwd"),
    ("UserDir public_html", "/etc/passwd"),
    ("UserDir disabled bob", None),
    ("UserDir /srv/www/home/*/www", None),
    ("UserDir http://example.org/*/", None),
    ("ProxyPass /a http://192.0.2.1:80/", None),
    ("ProxyPass /a http://[2001:db8::1]:80/", None),
    ("ProxyPass /a ajp://app.example.org/", "/etc/resolv.conf"),
    ("ProxyPassMatch ^/(.*)$ http://$1.example.org/", "/etc/resolv.conf"),
    ("ProxyRemote * http://proxy.example.org:3128", "/etc/resolv.conf"),
    ("ProxyRequests On", "/etc/resolv.conf"),
    ("RewriteEngine On\nRewriteRule ^/a(.*) http://b.example.org$1 [L,P]",
     "/etc/resolv.conf"),
    ("RewriteEngine On\nRewriteRule ^/a(.*) http://b.example.org$1 [L,R]",
     None)])
def test_what_a_configuration_needs_in_the_jail(site, lines, need):
    """"!": it decides by that, and is refused without."""
    loads = "".join(
        f"LoadModule {name}_module ${{MODULES}}/mod_{name}.so\n" for name in
        ("authz_host", "access_compat", "userdir", "proxy", "proxy_http",
         "proxy_ajp", "rewrite", "authz_owner", "authz_groupfile", "setenvif",
         "ldap", "authnz_ldap", "unique_id", "security2"))
    site.conf("need", loads + "ChrootDir /srv/www\nChrootFixRoot On\n"
              + lines + "\n")
    status, output = site.httpd("/srv/need.conf", "-t")
    decides = bool(need) and need[0] == "!"
    need = need and need.strip("!")
    assert (status != 0) == decides, output
    said = re.findall(r" needs (\S+) in the jail, for User www-data: "
                      r"copy it to /srv/www(\S+)", output)
    assert said == ([(need, need)] if need else [])
    assert ("chroot:warn]" in output) == (bool(need) and not decides)
    if need:
        put(site.root / "www", {need[1:]: ""})
        assert site.httpd("/srv/need.conf", "-t") == (0, "Syntax OK\n")


def test_nothing_secret_is_copied_to_where_it_has_a_url(site):
    """When the jail itself is mapped, as with Debian's /var/www/html."""
    text = ("LoadModule authn_file_module ${MODULES}/mod_authn_file.so\n"
            "ChrootDir /srv/www\nChrootFixRoot On\nDocumentRoot %s\n"
            "HostnameLookups On\n<Location />\n%s</Location>\n")
    secret = "AuthUserFile /srv/passwords\n"
    site.conf("below", text % ("/srv/www/html", secret))
    status, said = site.httpd("/srv/below.conf", "-t")
    assert status != 0
    assert ("copy it to /srv/www/srv/passwords, unless that has a URL, "
            "and write that path") in said
    site.conf("below", text % ("/srv/www/html", ""))
    assert "whole jail" not in site.httpd("/srv/below.conf", "-t")[1]
    site.conf("open", text % ("/srv/www", ""))
    said = site.httpd("/srv/open.conf", "-t")[1]
    assert "needs /etc/resolv.conf" in said
    assert re.search("DocumentRoot at .* maps URLs to the whole jail", said)


def test_certificates_that_were_copied_are_found(site):
    """By the name that they have in the jail, and only by that."""
    put(site.root / "www", {"srv/ca": Dir})
    shutil.copy(REPORTS / "ssl.conf", site.root / "copied.conf")
    conf = site.root / "copied.conf"

    def said():
        return [text for text in findings(site.httpd(
            "/srv/copied.conf", "-t", "-D", "DUMP_CHROOT")[1])
            if "SSLCACertificatePath" in text]
    assert len(said()) == 1
    conf.write_text(conf.read_text().replace("/srv/ca", "/srv/www/srv/ca"))
    assert not said()


@pytest.mark.parametrize("lines, said", [
    ("DBDriver pgsql\nDBDParams \"host=/run/postgresql dbname=x\"",
     'names "/run/postgresql"'),
    ("DBDriver pgsql\nDBDParams \"host=/run/postgresql,127.0.0.1\"", None),
    ("DBDriver pgsql\nDBDParams \"host=db.example.org dbname=x\"",
     "needs /etc/resolv.conf"),
    ("DBDriver pgsql\nDBDParams \"host=192.0.2.1 dbname=x\"", None),
    ("DBDriver sqlite3\nDBDParams /srv/run/x.db", 'names "/srv/run/x.db"'),
    ("FcgidIPCDir /srv/run", 'names "/srv/run"'),
    ("FcgidIPCDir /srv/www/log", 'names "/srv/www/log"'),
    ("FcgidWrapper \"/bin/true -x\" .php", 'names "/bin/true"'),
    ("WSGISocketPrefix /srv/run/wsgi", 'names "/srv/run/wsgi"'),
    ("CacheRoot /srv/run", "name a directory there, owner www-data"),
    ("Alias /a /srv", 'names "/srv", which is not in the jail; '
     "name what is in it"),
    ("SetEnv DATA /srv/www/data", None),
    ("LuaPackagePath /srv/www/lua/?.lua", None),
    ("WSGIScriptAlias /a /srv/www/html", None),
    ("WSGIScriptAlias /a /srv/run", 'names "/srv/run"'),
    ('ProxyFCGISetEnvIf true A "/srv/www%{reqenv:A}"', None),
    ("SetHandler proxy:unix:/run/none.sock|fcgi://localhost",
     'names "/run/none.sock"'),
    ("SetHandler proxy:unix:/srv/run/php.sock|fcgi://localhost",
     "have its server make it there and write that path")])
def test_what_applications_need_is_warned_of(site, lines, said):
    loads = "".join(
        f"LoadModule {name}_module ${{MODULES}}/mod_{name}.so\n" for name in
        ("dbd", "fcgid", "wsgi", "env", "lua", "proxy", "proxy_fcgi", "cache",
         "cache_disk"))
    site.conf("app", loads + "Suexec Off\nChrootDir /srv/www\n"
              "ChrootFixRoot On\nFcgidIPCDir /srv/www/html\n" + lines + "\n")
    status, output = site.httpd("/srv/app.conf", "-t")
    assert status == 0, output
    warned = [line for line in output.splitlines() if "chroot:warn" in line
              and "html" not in line or "WSGIScript" in line]
    assert len(warned) == (said is not None), output
    assert said is None or said in warned[0]


def test_a_mount_point_of_which_the_mount_is_gone(site):
    """Empty inside, and not outside: an administrator mounted it by hand."""
    conf = site.conf("mounts", "ChrootDir /srv/www\nChrootFixRoot Off\n"
                     "LuaRoot /srv/data\nLuaPackagePath /srv/none\n"
                     "LoadModule lua_module ${MODULES}/mod_lua.so\n")
    site.shell("mkdir -p /srv/data /srv/none /srv/www/srv/data "
               "/srv/www/srv/none; touch /srv/data/x")

    def said():
        return [text for text in findings(site.httpd(
            "/srv/mounts.conf", "-t", "-D", "DUMP_CHROOT")[1])
            if "is empty in the jail" in text]
    assert len(said()) == 1 and 'names "/srv/data"' in said()[0]
    site.shell("touch /srv/www/srv/data/x")
    assert not said()


@pytest.mark.parametrize("name, line", [
    ("a b", 'ChrootBind "/srv/a b"'), ("c'd", 'ChrootBind "/srv/c\'d"'),
    ('e\\"f', 'ChrootBind "/srv/e\\"f"'), ("${x}", None), ("g\x01h", None)])
def test_a_line_to_paste_names_one_path(site, name, line):
    needs("mount_setattr")
    (site.root / name.replace("\\", "")).mkdir()
    site.conf("paste", "ChrootDir /srv/www\nChrootFixRoot Mount\n"
              f'LuaRoot "/srv/{name}"\n'
              "LoadModule lua_module ${MODULES}/mod_lua.so\n")
    status, said = site.httpd("/srv/paste.conf", "-t", "-D", "DUMP_CHROOT")
    assert status == 0 and 'names "/srv/' in said, said
    assert re.findall("(?m)^ChrootBind .*", said) == ([line] if line else [])


def test_devices_that_lead_nowhere_are_quiet(site):
    (site.root / "www/dev").mkdir()
    for minor in (3, 5, 8, 9):
        os.mknod(site.root / f"www/dev/{minor}", 0o20666, os.makedev(1, minor))
    site.conf("dev", "ChrootDir /srv/www\n")
    assert site.httpd("/srv/dev.conf", "-t") == (0, "Syntax OK\n")


def test_mod_status_names_the_jail(jailed, variant):
    server = jailed("ChrootFixRoot On\nDocumentRoot ${JAIL}\n<Location /s>\n"
                    "SetHandler server-status\n</Location>\n",
                    modules=["status"])
    line = f"ChrootDir: {server.jail} ({variant} chroot, ChrootFixRoot On, {SEALED})"
    assert f"<p>{line}</p>" in server.get("/s").text
    assert line in server.get("/s?auto").text.splitlines()


@pytest.mark.parametrize("writable", [False, True])
def test_no_line_lets_user_write_to_a_directory_of_others(site, writable):
    """A lock database that is not there yet would be made in it, or not."""
    needs("mount_setattr")
    put(site.root, {"state": Dir})
    (site.root / "state").chmod(0o777 if writable else 0o755)
    site.conf("dav", "LoadModule dav_module ${MODULES}/mod_dav.so\n"
              "LoadModule dav_fs_module ${MODULES}/mod_dav_fs.so\n"
              "ChrootDir /srv/www\nChrootFixRoot Mount\n"
              "DavLockDB /srv/state/lock\n")
    said = site.httpd("/srv/dav.conf", "-t", "-D", "DUMP_CHROOT")[1]
    assert ("\nChrootBind rw /srv/state\n" in said) == writable
    assert ("of its own, for ChrootBind" in said) == (not writable)


def test_run_cfg_has_a_line_beside_that_of_mod_unixd(site):
    site.conf("run", "ChrootDir /srv/www\nChrootFixRoot On\n")
    output = site.httpd("/srv/run.conf", "-t", "-D", "DUMP_RUN_CFG")[1]
    assert 'ChrootDir: "/srv/www"\n' in output
    assert f"ChrootFixRoot: On, {SEALED}\n" in output


def test_many_paths_are_looked_at_in_the_report_and_few_at_start(site):
    """A start stays fast: LOOK_PATHS in mod_chroot.c."""
    aliases = "".join(f"Alias /a{n} /usr/bin/n{n % 7}\n" for n in range(5000))
    site.conf("many", "ChrootDir /srv/www\nChrootFixRoot On\n" + aliases
              + "Alias /last /usr/lib\n")
    output = site.httpd("/srv/many.conf", "-t", "-D", "DUMP_CHROOT")[1]
    assert len(re.findall(r"(?m)^outside: Alias ", output)) == 5001
    assert 'names "/usr/lib"' in output
    assert 'names "/usr/lib"' not in site.httpd("/srv/many.conf", "-t")[1]
