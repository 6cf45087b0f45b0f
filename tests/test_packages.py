"""The Debian package and the RPM, from `make dist` to purge.

The .deb is installed on a Debian system of its own: this machine's root
directory under an overlay, so that nothing is changed here, with its own mount
and pid namespaces and with Apache as Debian configures it.
"""
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

import procfs
from harness import (PROJECT, UID, Server, build, copy_tree, free_port, needs, read,
                     run, run_ok, wait_for)
from test_documents import BLOCKS

VERSION = re.search(r"AC_INIT\(\[mod_chroot\],\[([\d.]+)\]",
                    (PROJECT / "configure.ac").read_text())[1]
DOCS = sorted(path.name for path in PROJECT.glob("*.md"))
PACKAGE = "libapache2-mod-chroot"
ENVIRONMENT = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "HOME": "/root",
               "LC_ALL": "C", "DEBIAN_FRONTEND": "noninteractive"}


@pytest.fixture(scope="module")
def tree(workspace):
    """A configured and built copy of the project."""
    return build(workspace / "dist")


@pytest.fixture(scope="module")
def tarball(tree):
    """What `make dist` makes."""
    run_ok(["make", "dist"], cwd=tree)
    return tree / f"mod_chroot-{VERSION}.tar.gz"


# ------------------------------------------------------------------- versions

@pytest.mark.parametrize("name", [
    "ChangeLog.md", "debian/changelog", "packaging/rpm/mod_chroot.spec"])
def test_make_check_finds_another_version(tree, directory, name):
    copy = shutil.copytree(tree, directory() / "copy")
    run_ok(["make", "check"], cwd=copy)
    changed = copy / name
    changed.write_text(changed.read_text().replace(VERSION, "99.0", 1))
    status, output = run(["make", "check"], cwd=copy)
    assert status != 0
    assert f"{name} has 99.0, configure.ac {VERSION}" in output


# ------------------------------------------------------------------------ RPM

@pytest.fixture(scope="module")
def rpms(tarball, workspace):
    """Where rpmbuild left the source and the binary package."""
    place = workspace / "rpm"
    run_ok(["rpmbuild", "-ta", "--nodeps", "--define", f"_topdir {place}",
            "--define", f"_tmppath {place}/tmp", tarball],
           env=ENVIRONMENT, timeout=600)
    return place


@pytest.fixture(scope="module")
def rpm(rpms):
    path, = rpms.glob(f"RPMS/*/mod_chroot-{VERSION}-*.rpm")
    return path


RPM_CONF = "/etc/httpd/conf.modules.d/10-chroot.conf"


def test_the_source_rpm_holds_the_tarball_and_the_spec(rpms, tarball):
    source, = rpms.glob("SRPMS/*.src.rpm")
    assert sorted(query(source, "-l")) == [tarball.name, "mod_chroot.spec"]
    assert {"autoconf", "automake", "gcc", "httpd-devel", "make"} <= {
        line.split()[0] for line in query(source, "-R")}


def test_the_rpm_has_the_layout_of_rhel(rpm):
    libdir = run_ok(["rpm", "--eval", "%{_libdir}"]).strip()
    doc = f"/usr/share/doc/mod_chroot-{VERSION}"
    license_dir = f"/usr/share/licenses/mod_chroot-{VERSION}"
    assert sorted(name.removesuffix(".gz") for name in query(rpm, "-l")
                  if not name.startswith("/usr/lib/.build-id")) == sorted([
        RPM_CONF, f"{libdir}/httpd/modules/mod_chroot.so",
        "/usr/sbin/chroot-trace", "/usr/share/man/man8/chroot-trace.8",
        "/usr/share/man/man8/mod_chroot.8",
        doc, *(f"{doc}/{name}" for name in [*DOCS, "INSTALL"]),
        license_dir, f"{license_dir}/LICENSE"])
    assert query(rpm, "-c") == [RPM_CONF]


def test_the_rpm_loads_the_module_and_jails_nothing(rpm, httpd, directory):
    place = directory()
    run_ok(["sh", "-c", f"rpm2archive - < {rpm} | tar -xz"], cwd=place)
    conf = (place / RPM_CONF.lstrip("/")).read_text()
    assert conf.endswith("#ChrootDir /var/www/html\n#ChrootFixRoot On\n")
    server = httpd(f"Include {place}{RPM_CONF}", variant=None)
    module, = place.rglob("mod_chroot.so")
    (server.root / "modules").symlink_to(module.parent)
    assert "chroot_module (shared)" in server.httpd("-M")[1]
    server.start()
    server.assert_jailed(jail="/")


def test_the_rpm_needs_the_httpd_that_it_was_built_for():
    requires = run_ok([
        "rpmspec", "-q", "--requires", "--define", "_httpd_mmn 20120211x8664",
        PROJECT / "packaging/rpm/mod_chroot.spec"])
    assert requires.strip() == "httpd-mmn = 20120211x8664"


def test_the_selinux_module_compiles(directory):
    source = PROJECT / "packaging/selinux/mod_chroot.te"
    commands = [words.split() for words in re.findall(
        "(?m)^    ((?:checkmodule|semodule_package) .*)",
        (PROJECT / "INSTALL").read_text())]
    assert len(commands) == 2
    place = shutil.copytree(source.parent, directory() / "selinux")
    for command in commands:
        run_ok(command, cwd=place)
    assert (place / "mod_chroot.pp").exists()


def query(package, what):
    return run_ok(["rpm", "-qp", what, package]).splitlines()


# --------------------------------------------------------------------- Debian

@pytest.fixture(scope="module")
def debs(tarball, workspace):
    """Where dpkg-buildpackage, run in the unpacked tarball, left its files."""
    place = workspace / "deb"
    place.mkdir()
    run_ok(["tar", "-xzf", tarball], cwd=place)
    run_ok(["dpkg-buildpackage", "-us", "-uc"], env=ENVIRONMENT,
           cwd=place / tarball.name.removesuffix(".tar.gz"), timeout=600)
    return place


@pytest.fixture(scope="module")
def deb(debs):
    path, = debs.glob(f"{PACKAGE}_{VERSION}_*.deb")
    return path


def test_a_maintainer_whom_no_mail_reaches_is_said_to_be_that():
    """RFC 2606: nobody has such a domain."""
    debian = PROJECT / "debian"
    control = (debian / "control").read_text()
    maintainer = re.search("(?m)^Maintainer: (.* <.*>)$", control)[1]
    assert f" -- {maintainer}  " in (debian / "changelog").read_text()
    if re.search(r"\.(example|invalid|test)>$", maintainer):
        assert re.search("(?m)^# No mail reaches this Maintainer", control)
        assert "accepts mail" in (debian / "README.source").read_text()


def test_lintian_finds_no_fault_in_the_debian_packages(debs):
    changes, = debs.glob("*.changes")
    run_ok(["lintian", "--allow-root", "-I", "--fail-on", "error,warning",
            "--suppress-tags",  # the standards of this release of Debian
            "newer-standards-version,out-of-date-standards-version",
            changes], env=ENVIRONMENT)


def test_the_deb_holds_the_module_its_configuration_and_its_documents(deb):
    listed = run_ok(["dpkg-deb", "-c", deb])
    names = [line.split(" -> ")[0].split()[-1].removesuffix(".gz")
             for line in listed.splitlines() if line[0] != "d"]
    doc = f"./usr/share/doc/{PACKAGE}"
    assert sorted(names) == sorted([
        "./etc/apache2/mods-available/chroot.conf",
        "./etc/apache2/mods-available/chroot.load",
        "./usr/lib/apache2/modules/mod_chroot.so", "./usr/sbin/chroot-trace",
        "./usr/share/man/man8/chroot-trace.8",
        "./usr/share/man/man8/mod_chroot.8", f"./usr/share/lintian/overrides/{PACKAGE}",
        *(f"{doc}/{name}" for name in [*DOCS, "INSTALL", "changelog", "copyright"])])


def test_the_deb_is_hardened(deb, directory):
    place = directory()
    run_ok(["dpkg-deb", "-x", deb, place])
    module = place / "usr/lib/apache2/modules/mod_chroot.so"
    assert "BIND_NOW" in run_ok(["readelf", "-d", module])
    assert "GNU_RELRO" in run_ok(["readelf", "-l", module])
    symbols = run_ok(["nm", "-D", module])
    assert "__stack_chk_fail" in symbols and "_chk@" in symbols


# The holder of the namespaces is their init: it reaps by ignoring SIGCHLD,
# which dash's trap cannot do. When its stdin is closed, all processes end.
OVERLAY = """\
mount -t tmpfs -o mode=755 tmpfs "$1"
cd "$1"
mkdir upper work root
mount -t overlay -o lowerdir=/,upperdir=upper,workdir=work overlay root
mount -t proc proc root/proc
mount --rbind /dev root/dev
mount -t tmpfs -o mode=755 tmpfs root/run
mkdir root/run/lock
trap '' CHLD
echo ready
exec chroot root cat
"""

# A fresh installation, whatever other packages and somebody made of it here.
# Triggers of packages that are being installed here may be pending.
FRESH_APACHE = f"""\
printf '#!/bin/sh\\nexit 101\\n' > /usr/sbin/policy-rc.d
chmod 755 /usr/sbin/policy-rc.d
dpkg --configure -a
if dpkg-query -W {PACKAGE}; then dpkg --purge {PACKAGE}; fi
rm -rf /etc/apache2/*-enabled/* /var/log/apache2/*
rm -rf /var/lib/apache2/conf /var/lib/apache2/module /var/lib/apache2/site
export DPKG_MAINTSCRIPT_PACKAGE=apache2 DPKG_MAINTSCRIPT_NAME=postinst
/var/lib/dpkg/info/apache2.postinst configure
"""


class Debian(Server):
    """Debian's own Apache, not started, in an overlay over this machine."""

    def __init__(self, place):
        self.holder = subprocess.Popen(
            ["unshare", "--mount", "--propagation", "private", "--pid",
             "--fork", "--kill-child", "bash", "-euc", OVERLAY, "bash",
             place],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert self.holder.stdout.readline() == "ready\n", "no overlay"
        self.init, = procfs.children(self.holder.pid)
        wait_for(lambda: read(f"/proc/{self.init}/comm") == "cat\n", "init")
        self.inside = Path(f"/proc/{self.init}/root")
        (place / "logs").symlink_to(self.inside / "var/log/apache2")
        super().__init__(place, jail=self.inside / "var/www/html")
        self.allow_log("client denied by server configuration")
        self.allow_log('"/usr/share/apache2/icons"')     # Debian's Alias
        self.run("sh", "-euc", FRESH_APACHE)
        self.port = free_port()
        etc = self.inside / "etc/apache2"
        (etc / "ports.conf").write_text(f"Listen 127.0.0.1:{self.port}\n")
        (etc / "conf-enabled/servername.conf").write_text(
            "ServerName localhost\n")
        site = etc / "sites-available/000-default.conf"
        site.write_text(re.sub(r"(<VirtualHost \*:)\d+",
                               rf"\g<1>{self.port}", site.read_text()))

    def run(self, *command):
        return run_ok(["nsenter", "--target", str(self.init), "--mount",
                       "--pid", "--root", "--wd", *command],
                      env=ENVIRONMENT, timeout=600)

    def control(self, action):
        self.run("apachectl", action)

    def start(self):
        self.control("start")
        wait_for(self.answers, "the first answer")
        return self

    @property
    def pid(self):
        for pid in procfs.children(self.init):
            if read(f"/proc/{pid}/comm") == "apache2\n":
                return pid
        raise ProcessLookupError("apache2 does not run")

    def leftovers(self):
        return procfs.children(self.init)

    def changed(self):
        """Every file below the root that is not as on this machine."""
        upper = Path(f"/proc/{self.holder.pid}/root/{self.root}/upper")
        return {str(path.relative_to(upper)) for path in upper.rglob("*")
                if not path.is_dir()}

    def enabled(self):
        return sorted(os.listdir(self.inside / "etc/apache2/mods-enabled"))

    def install(self, deb):
        target = self.inside / "tmp" / deb.name
        target.write_bytes(deb.read_bytes())
        return self.run("apt-get", "-y", "install", f"/tmp/{deb.name}")

    def enable_jail(self):
        """As INSTALL does it."""
        needs("mount_setattr")
        install = (PROJECT / "INSTALL").read_text()
        self.run("sh", "-ec", re.search(
            "(?m)^    sed .*\n    a2enmod chroot$", install)[0])

    def answers_to(self, *paths):
        answers = [self.get(path) for path in paths]
        for answer in answers:
            del answer.headers["date"]
        return answers

    def assert_children_in(self, root):
        pids = self.serving()
        wait_for(lambda: all(procfs.is_jailed(pid, root) for pid in pids),
                 f"{pids} to be in {root}")
        assert all(procfs.uids(pid) == [UID] * 4 for pid in pids)
        assert procfs.root_id(self.pid) == procfs.dir_id(self.inside)


    def assert_children_have_a_view(self):
        """Of the pages, by their own name, and of no /etc."""
        pids = self.serving()
        for pid in pids:
            root = Path(f"/proc/{pid}/root")
            wait_for(lambda root=root: not (root / "etc/passwd").exists()
                     and (root / "var/www/html").samefile(self.jail),
                     f"{pid} to be in the view")
        assert all(procfs.uids(pid) == [UID] * 4 for pid in pids)
        assert procfs.root_id(self.pid) == procfs.dir_id(self.inside)


@pytest.fixture
def debian(directory):
    system = Debian(directory())
    yield system
    complaints = system.close()
    system.holder.stdin.close()
    system.holder.wait(60)
    assert not complaints, "\n".join(complaints)


PATHS = ["/", "/index.html", "/none", "/.htaccess", "/html/"]


def test_debians_default_site_is_jailed(debian, deb):
    debian.start()
    before = debian.answers_to(*PATHS)
    assert before[0].status == 200 and b"Debian" in before[0].body
    modules = debian.enabled()
    debian.install(deb)
    assert debian.enabled() == modules
    debian.stop()

    debian.enable_jail()
    debian.run("apachectl", "configtest")
    debian.start()
    debian.assert_children_have_a_view()
    assert debian.answers_to(*PATHS) == before
    debian.graceful()
    debian.assert_children_have_a_view()
    assert debian.answers_to(*PATHS) == before
    debian.restart()
    debian.assert_children_have_a_view()
    assert debian.answers_to(*PATHS) == before
    assert "children are locked into /var/www/html" in debian.log()
    debian.stop()


@pytest.fixture
def newcomer(debian):
    """Runs a block of the README in a copy of the source."""
    copy_tree(debian.inside / "root/newcomer")
    (debian.inside / "etc/apt/apt.conf.d/yes").write_text(
        'APT::Get::Assume-Yes "true";\n')

    def follow(first, conf="mods-available/chroot.conf"):
        commands = BLOCKS[first].removeprefix("apt update\n")
        return debian.run("sh", "-ec", "cd /root/newcomer\n" +
                          commands.replace("http://localhost",
                                           f"http://127.0.0.1:{debian.port}")
                          .replace("mods-available/chroot.conf", conf))
    return follow


PACKAGED = "apt update"
FROM_SOURCE = "apt install apache2 apache2-dev autoconf automake curl gcc make"
SWITCH_OFF = "sed -i 's/^Chroot/#&/' /etc/apache2/mods-available/chroot.conf"


@pytest.mark.parametrize("install", [PACKAGED, FROM_SOURCE])
def test_the_readme_followed_on_debian(debian, newcomer, install):
    """Apache runs already, with Debian's default site."""
    debian.start()
    newcomer(install)
    newcomer("mkdir -p /srv/www/html/private")
    site = debian.inside / "etc/apache2/conf-available/site.conf"
    site.write_text(BLOCKS["ChrootDir /srv/www"])
    newcomer("a2dissite 000-default")
    said = newcomer("apachectl configtest")
    assert "Syntax OK" in said and "/usr/share/apache2/icons" in said
    jail = debian.inside / "srv/www"
    debian.assert_children_in(jail)
    assert newcomer("curl -s http://localhost/") == BLOCKS["hello"]

    # a module that goes, and lines that stay
    debian.run("a2dismod", "chroot")
    with pytest.raises(AssertionError, match="Invalid command 'ChrootFixRoot'"):
        debian.run("apachectl", "configtest")
    written = site.read_text()
    site.write_text(written.replace("ChrootFixRoot On\n", ""))
    debian.run("apachectl", "configtest")
    site.write_text(written)
    debian.run("a2enmod", "chroot")

    newcomer(SWITCH_OFF, conf="conf-available/site.conf")
    debian.assert_children_in(debian.inside)
    assert debian.get("/").text == "hello\n"
    assert debian.get("/private/").status == 403


APPLICATION = "apt install dokuwiki libapache2-mod-php"
PASTE = "sed -i 's/^#Chroot/Chroot/' /etc/apache2/mods-available/chroot.conf"


def test_a_packaged_application_in_five_minutes(debian, deb, newcomer):
    """What its package sets up is set up here by hand: it is installed."""
    needs("mount_setattr")
    debian.install(deb)
    debian.run("a2enmod", "chroot")
    debian.run("sh", "-ec", "a2dismod -q mpm_event; a2enmod -q mpm_prefork "
               "$(basename /etc/apache2/mods-available/php*.load .load); "
               "a2enconf -q dokuwiki")
    debian.mpm = "prefork"
    debian.allow_log("php:(warn|notice)")
    debian.start()
    page = newcomer(APPLICATION)
    newcomer(PASTE)
    debian.assert_children_have_a_view()
    assert "DokuWiki" in debian.get("/dokuwiki/doku.php?id=start").text
    assert "HTTP/1.1 200 OK" in page
    said = debian.run("apachectl", "-t", "-D", "DUMP_CHROOT")
    assert "warning:" not in said and "ChrootBind" not in re.sub(
        ".*by ChrootBind.*", "", said)

    newcomer(SWITCH_OFF)
    debian.assert_children_in(debian.inside)
    assert "DokuWiki" in debian.get("/dokuwiki/doku.php?id=start").text


def test_an_enabled_module_without_a_jail_changes_nothing(debian, deb):
    debian.install(deb)
    debian.run("a2enmod", "chroot")
    debian.start()
    assert "chroot_module" in debian.run("apachectl", "-M")
    debian.assert_children_in(debian.inside)


def test_an_upgrade_restarts_apache_where_the_module_is_enabled(debian, deb):
    debian.install(deb)
    debian.start()
    policy = debian.inside / "usr/sbin/policy-rc.d"
    policy.write_text("#!/bin/sh\nexit 0\n")

    def upgrade(_):
        debian.run("dpkg", "-i", f"/tmp/{deb.name}")
    parent = debian.pid
    upgrade(None)
    assert debian.pid == parent

    debian.enable_jail()
    debian.stop()
    debian.start()
    debian.restart(control=upgrade)
    debian.assert_children_have_a_view()


# What apt and dpkg write about any package.
BOOKKEEPING = re.compile(
    r"var/(cache/(apt|debconf|ldconfig|man)|lib/apt|lib/dpkg/(status|available|"
    r"lock|triggers)|log/(apt|dpkg))|tmp/")


def test_purging_leaves_nothing(debian, deb):
    before, modules = debian.changed(), debian.enabled()
    debian.install(deb)
    debian.enable_jail()
    assert "chroot.load" in debian.enabled()
    debian.start()
    debian.assert_children_have_a_view()
    debian.stop()
    said = debian.run("apt-get", "-y", "purge", PACKAGE)
    assert "mod_chroot is gone: Apache's children are not locked in" in said
    assert debian.enabled() == modules
    assert [name for name in debian.changed() - before
            if not BOOKKEEPING.match(name)
            and not name.startswith("proc/")] == []
    assert debian.run("find", "/etc", "/usr/lib", "/usr/share",
                      "/var/lib/dpkg", "/var/lib/apache2",
                      "-name", "*mod*chroot*") == ""
    assert PACKAGE not in read(debian.inside / "var/lib/dpkg/status")
    debian.run("apachectl", "configtest")


def test_removing_names_the_files_with_directives_that_are_left(debian, deb):
    debian.install(deb)
    debian.run("a2enmod", "chroot")
    left = "etc/apache2/conf-enabled/jail.conf"
    (debian.inside / left).write_text("  ChrootDir /srv/www\n")
    said = debian.run("apt-get", "-y", "remove", PACKAGE)
    assert f"still have its directives:\n    /{left}\n" in said


def test_the_packages_own_test_passes(debian, deb):
    needs("mount_setattr")
    debian.install(deb)
    script = debian.inside / "tmp/default-site"
    script.write_bytes((PROJECT / "debian/tests/default-site").read_bytes())
    script.chmod(0o755)
    output = debian.run("/tmp/default-site")
    assert output.count("ok: the same answers, children see the site") == 2
