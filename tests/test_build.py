"""autoreconf, configure and every target of make."""
import os
import re
import shutil
import tarfile

import pytest

from harness import APXS, PROJECT, apxs, build, run, run_ok

LIBEXECDIR = apxs("LIBEXECDIR").lstrip("/")


@pytest.fixture(scope="module")
def tree(workspace):
    """A configured and built copy of the project."""
    path = workspace / "tree"
    yield build(path)
    shutil.rmtree(path)


@pytest.fixture
def copy(tree, directory):
    return shutil.copytree(tree, directory() / "copy", symlinks=True)


def files_in(directory):
    return sorted(str(path.relative_to(directory))
                  for path in directory.rglob("*") if path.is_file())


def test_the_version_stands_in_configure_ac_alone():
    version = re.search(r"AC_INIT\(\[mod_chroot\],\s*\[([\d.]+)\]",
                        (PROJECT / "configure.ac").read_text())[1]
    for name in ("mod_chroot.c", "Makefile.in", "quickstart.sh"):
        assert version not in (PROJECT / name).read_text()


def test_install_honours_destdir_and_uninstall_undoes_it(copy, directory):
    dest = directory()
    run_ok(["make", "install", f"DESTDIR={dest}"], cwd=copy)
    assert files_in(dest) == [f"{LIBEXECDIR}/mod_chroot.so"]
    run_ok(["make", "uninstall", f"DESTDIR={dest}"], cwd=copy)
    assert files_in(dest) == []


def test_the_module_needs_no_library_but_libc(tree):
    dynamic = run_ok(["readelf", "-d", tree / "mod_chroot.so"])
    assert re.findall(r"\(NEEDED\).*\[(.*)\]", dynamic) == ["libc.so.6"]


def test_destdir_may_have_a_space(copy, directory):
    dest = directory() / "a b"
    run_ok(["make", "install", f"DESTDIR={dest}"], cwd=copy)
    assert files_in(dest) == [f"{LIBEXECDIR}/mod_chroot.so"]


def test_clean_leaves_the_configuration_and_distclean_nothing(copy):
    run_ok(["make", "clean"], cwd=copy)
    assert not (copy / "mod_chroot.so").exists()
    assert (copy / "Makefile").exists()
    run_ok(["make"], cwd=copy)
    assert (copy / "mod_chroot.so").exists()
    run_ok(["make", "distclean"], cwd=copy)
    left = {name.split("/")[0] for name in files_in(copy)}
    tracked = {path.name for path in PROJECT.iterdir()}
    assert left - tracked <= {"configure", "autom4te.cache"}


def test_a_change_of_the_source_is_built(copy):
    assert "up to date" in run_ok(["make", "-q"], cwd=copy) + "up to date"
    os.utime(copy / "mod_chroot.c")
    assert run(["make", "-q"], cwd=copy)[0] == 1


def test_make_builds_outside_the_source_directory(copy, directory):
    """Built in or not: what is there is not taken."""
    run_ok(["make", "mod_chroot.8"], cwd=copy)
    elsewhere = directory()
    run_ok([copy / "configure"], cwd=elsewhere)
    run_ok(["make", "check"], cwd=elsewhere)
    assert (elsewhere / "mod_chroot.so").exists()


def test_dist_makes_a_tarball_that_builds_elsewhere(copy, directory):
    run_ok(["make", "dist"], cwd=copy)
    tarball, = copy.glob("mod_chroot-*.tar.gz")
    elsewhere = directory()
    with tarfile.open(tarball) as archive:
        archive.extractall(elsewhere)
    unpacked, = elsewhere.iterdir()
    assert unpacked.name == tarball.name.removesuffix(".tar.gz")
    names = files_in(unpacked)
    assert {"configure", "mod_chroot.c", "tests/harness.py"} <= set(names)
    assert not [name for name in names if name.endswith((".so", ".o", ".pyc"))]
    path = path_without(elsewhere / "bin", "autoconf", "autoreconf", "aclocal")
    run_ok(["./configure"], cwd=unpacked, env={**os.environ, "PATH": path})
    run_ok(["make"], cwd=unpacked, env={**os.environ, "PATH": path})
    assert (unpacked / "mod_chroot.so").exists()


def test_dist_fails_where_git_does(copy, directory):
    (copy / ".git").mkdir()
    git = directory() / "git"
    git.write_text("#!/bin/sh\necho fatal: dubious ownership >&2\nexit 128\n")
    git.chmod(0o755)
    status, output = run(["make", "dist"], cwd=copy, env={
        **os.environ, "PATH": f"{git.parent}:{os.environ['PATH']}"})
    assert status != 0 and "fatal: dubious ownership" in output
    assert not list(copy.glob("*.tar*"))


def test_make_check_passes(copy):
    run_ok(["make", "check"], cwd=copy, timeout=600)


@pytest.mark.parametrize("name, old, new", [
    ("README.md", "### ChrootFixRoot directive", "### ChrootFix directive"),
    ("CAVEATS.md", "| `leads out` |", "| `leaves` |"),
    ("mod_chroot.c", '"leads out"', '"leaves"')])
def test_make_check_sees_that_the_readme_has_drifted(copy, name, old, new):
    text = (copy / name).read_text()
    assert old in text
    (copy / name).write_text(text.replace(old, new))
    status, output = run(["make", "check"], cwd=copy, timeout=600)
    assert status != 0 and "not ok" in output


# ------------------------------------------------------ what configure refuses

def path_without(directory, *names):
    """A PATH with every program of this machine but these."""
    directory.mkdir()
    for bin_dir in ("/usr/bin", "/bin", "/usr/sbin", "/sbin"):
        for program in os.listdir(bin_dir):
            link = directory / program
            if program not in names and not link.is_symlink():
                link.symlink_to(f"{bin_dir}/{program}")
    return str(directory)


def test_without_apxs_the_packages_are_named(copy, directory):
    path = path_without(directory() / "bin", "apxs", "apxs2")
    if os.path.exists("/usr/sbin/apxs") or os.path.exists("/usr/sbin/apxs2"):
        pytest.skip("configure looks in /usr/sbin too, and apxs is there")
    status, output = run(["./configure"], cwd=copy,
                         env={**os.environ, "PATH": path})
    assert status != 0
    last = output.strip().splitlines()[-1]
    assert "apxs" in last
    for package in ("apache2-dev", "httpd-devel", "apache24"):
        assert package in last
    for system in ("Debian", "RHEL", "Fedora", "Alpine", "Arch", "FreeBSD"):
        assert system in last


def test_apxs2_is_found_when_there_is_no_apxs(copy, directory):
    bin_dir = directory() / "bin"
    path = path_without(bin_dir, "apxs", "apxs2")
    (bin_dir / "apxs2").symlink_to(APXS)
    run_ok(["./configure"], cwd=copy, env={**os.environ, "PATH": path})
    assert f"APXS = {bin_dir}/apxs2" in (copy / "Makefile").read_text()


@pytest.mark.parametrize("given", ["/nonexistent/apxs", "/", "yes",
                                   "/bin/false"])
def test_a_wrong_with_apxs_is_an_error_that_names_it(copy, given):
    status, output = run(["./configure", f"--with-apxs={given}"], cwd=copy)
    assert status != 0
    last = output.strip().splitlines()[-1]
    assert "error" in last and "apxs" in last


def test_with_apxs_takes_that_one(copy, directory):
    mine = directory() / "my apxs"
    mine.symlink_to(APXS)
    run_ok(["./configure", f"--with-apxs={mine}"], cwd=copy)
    run_ok(["make", "clean", "all"], cwd=copy)


OLD_APXS = """\
#!/bin/sh
case "$2" in
HTTPD_VERSION) echo {version} ;;
INCLUDEDIR | includedir) echo "{headers}" ;;
*) exec {apxs} "$@" ;;
esac
"""


@pytest.mark.parametrize("version, magic", [
    ("2.2.34", "20051115"), ("2.0.65", "20020903"), ("2.3.16", "20111130")])
def test_an_httpd_older_than_2_4_is_refused(copy, directory, version, magic):
    place = directory()
    headers = shutil.copytree(apxs("INCLUDEDIR"), place / "include")
    for part, number in zip(("MAJOR", "MINOR", "PATCH"), version.split(".")):
        replace(headers / "ap_release.h",
                rf"(define AP_SERVER_{part}\w*_NUMBER\s+)\d+",
                rf"\g<1>{number}")
    replace(headers / "ap_mmn.h",
            r"(define MODULE_MAGIC_NUMBER_MAJOR\s+)\d+", rf"\g<1>{magic}")
    old = place / "apxs"
    old.write_text(OLD_APXS.format(version=version, headers=headers,
                                   apxs=APXS))
    old.chmod(0o755)
    status, output = run(["./configure", f"--with-apxs={old}"], cwd=copy)
    assert status != 0
    last = output.strip().splitlines()[-1]
    assert "2.4" in last and ".".join(version.split(".")[:2]) in last


def replace(path, pattern, replacement):
    text, count = re.subn(pattern, replacement, path.read_text())
    assert count, f"{pattern} in {path}"
    path.write_text(text)
