"""The looks at the jail at start: who could replace it, who may write to it,
and what in it leads out.  One WARNING for each, with path, owner and mode."""
import os
import re
import shutil
import stat

import pytest

from harness import GID, UID, Dir, File, Link

NOBODY = 65534
MATES = 54321

REPLACED = "should be writable by root alone: others could replace the jail"
WRITTEN = "is the jail, and User or Group may write to it"
DEVICE = "is a device node in the jail"
SET_ID = "is set-user-id or set-group-id in the jail"
PROC = "is a mounted proc file system in the jail"


def warnings(text):
    """What is said about files: [(path, owner, mode, what)]"""
    return re.findall(r"(/\S*) \(owner (\S+), mode (\d+)\) ([^\n]*)", text)


def said_of(path, what):
    st = os.lstat(path)
    return (str(path), f"{st.st_uid}:{st.st_gid}",
            f"{stat.S_IMODE(st.st_mode):04o}", what)


@pytest.fixture
def in_jail(httpd):
    """A server whose jail lies two directories below its root."""
    def make(config="", **options):
        server = httpd("", **options)
        server.jail = server.root / "sites/one/jail"
        server.put({".": Dir})
        server.config = "ChrootDir ${JAIL}\n" + config
        return server
    return make


def expect(server, *found):
    """Exactly these, at a start, and once more in the next generation."""
    server.allow_log(r":warn\].*\(owner ")
    server.start()
    for seen in (1, 2):
        assert sorted(warnings(server.log())) == sorted(found * seen)
        assert len(re.findall(r":warn\]", server.log())) == len(found) * seen
        assert "owner" not in server.output()
        server.assert_jailed()
        if seen == 1:
            server.graceful()


# -------------------------------------------------------- the way to the jail

# (owner, group, mode) of a directory, and whether that is warned of
OTHERS = [(0, 0, 0o775), (0, 0, 0o757), (0, 0, 0o1777), (UID, GID, 0o755),
          (NOBODY, 0, 0o555), (0, MATES, 0o775)]


@pytest.mark.parametrize("above", ["sites", "sites/one"])
@pytest.mark.parametrize("owner, group, mode", OTHERS)
def test_a_directory_above_the_jail_that_others_may_write_to(
        in_jail, above, owner, group, mode):
    server = in_jail()
    directory = server.root / above
    os.chown(directory, owner, group)
    directory.chmod(mode)
    expect(server, said_of(directory, REPLACED))


@pytest.mark.parametrize("owner, group, mode, what", [
    (UID, 0, 0o755, WRITTEN), (0, GID, 0o775, WRITTEN), (0, 0, 0o777, WRITTEN),
    (UID, GID, 0o777, WRITTEN), (UID, 0, 0o555, REPLACED),
    (NOBODY, 0, 0o755, REPLACED), (0, MATES, 0o775, REPLACED)])
def test_the_jail_that_others_may_write_to(
        in_jail, owner, group, mode, what):
    server = in_jail()
    os.chown(server.jail, owner, group)
    server.jail.chmod(mode)
    expect(server, said_of(server.jail, what))


def test_the_configured_user_counts(in_jail):
    server = in_jail(user=f"#{NOBODY}", group=f"#{MATES}")
    os.chown(server.jail, 0, MATES)
    server.jail.chmod(0o775)
    expect(server, said_of(server.jail, WRITTEN))


def test_every_finding_is_said(in_jail):
    server = in_jail()
    places = server.root / "sites", server.root / "sites/one"
    for directory in places:
        directory.chmod(0o777)
    server.jail.chmod(0o777)
    expect(server, *(said_of(directory, REPLACED) for directory in places),
           said_of(server.jail, WRITTEN))


def test_the_way_is_that_of_the_directory_which_a_link_means(in_jail):
    server = in_jail()
    server.put({"../../../way": Link("sites/one/jail")})
    server.config = "ChrootDir ${ROOT}/way"
    (server.root / "sites").chmod(0o777)
    expect(server, said_of(server.root / "sites", REPLACED))


def test_where_a_link_in_chrootdir_lies_counts_as_well(in_jail):
    server = in_jail()
    server.put({"../../../loose/way": Link("../sites/one/jail")})
    server.config = "ChrootDir ${ROOT}/loose/way"
    (server.root / "loose").chmod(0o777)
    expect(server, said_of(server.root / "loose", REPLACED))


def test_many_files_do_not_hide_what_lies_beside_them(in_jail):
    server = in_jail()
    for i in range(6):
        (server.jail / str(i)).mkdir()
        for j in range(1500):
            (server.jail / str(i) / str(j)).touch()
    server.put({"zz": File(mode=0o4755)})
    expect(server, said_of(server.jail / "zz", SET_ID))
    status, output = server.httpd("-t", "-D", "DUMP_CHROOT")
    assert f"note: {server.jail}/0 has many entries" in output or \
        f"note: {server.jail}/1 has many entries" in output, output


def test_a_configtest_says_it_too(in_jail, variant):
    server = in_jail()
    places = server.root / "sites", server.jail
    for directory in places:
        directory.chmod(0o777)
    null = device(server.jail / "dev/null")
    status, output = server.configtest()
    assert status == 0 and "Syntax OK" in output
    assert sorted(warnings(output)) == sorted([
        said_of(places[0], REPLACED), said_of(places[1], WRITTEN), null])


def test_modes_that_are_no_danger_are_quiet(in_jail, variant):
    server = in_jail()
    server.jail.parent.chmod(0o711)
    os.chown(server.jail, 0, GID)
    server.jail.chmod(0o2755)
    expect(server)
    assert server.configtest() == (0, "Syntax OK\n")


# -------------------------------------------------------- what is in the jail

def device(path, kind=stat.S_IFCHR, number=(1, 1)):
    path.parent.mkdir(parents=True, exist_ok=True)
    os.mknod(path, kind | 0o660, os.makedev(*number))
    return said_of(path, DEVICE)


@pytest.mark.parametrize("below", ["", "dev"])
def test_device_nodes(in_jail, variant, below):
    server = in_jail()
    directory = server.jail / below
    expect(server, device(directory / "null"),
           device(directory / "disk", stat.S_IFBLK, (7, 200)))


@pytest.mark.parametrize("mode", [0o4755, 0o2755, 0o6555, 0o4000])
@pytest.mark.parametrize("name", ["su", "bin/su"])
def test_set_user_id_and_set_group_id_files(in_jail, name, mode):
    server = in_jail()
    server.put({name: File("", mode)})
    expect(server, said_of(server.jail / name, SET_ID))


@pytest.mark.parametrize("name", ["proc", "of/processes"])
def test_a_mounted_proc(in_jail, variant, name):
    server = in_jail()
    server.put({name: Dir})
    server.binds = [("/proc", server.jail / name)]
    server.allow_log(r":warn\].*\(owner ")
    server.start()
    (path, _, _, what), = warnings(server.log())
    assert path == str(server.jail / name)
    assert what.startswith(PROC)
    server.assert_jailed()


def test_what_leads_nowhere_is_quiet(in_jail, variant):
    server = in_jail()
    device(server.root / "beside/null")
    server.put({
        "link-to-a-device": Link("/dev/null"),
        "link-to-devices": Link(str(server.root / "beside")),
        "proc/self/root/which-is-no-proc": "",
        "mounted": Dir,
        "set-group-id-directory": Dir,
        "a b\tc": "odd",
        "loop": Link("loop"),
    })
    (server.jail / "set-group-id-directory").chmod(0o2775)
    os.mkfifo(server.jail / "fifo")
    server.binds = [(server.root / "logs", server.jail / "mounted")]
    expect(server)


def test_what_lies_deeper_than_two_levels_is_not_looked_at(in_jail, variant):
    server = in_jail()
    device(server.jail / "one/two/null")
    server.put({"one/two/su": File("", 0o4755)})
    expect(server)
    shutil.move(server.jail / "one/two/null", server.jail / "one/null")
    server.graceful()
    found = said_of(server.jail / "one/null", DEVICE)
    assert warnings(server.log()) == [found]


def test_a_huge_jail_does_not_slow_the_start(in_jail):
    """It has 8,000 entries; a few thousand are looked at, once."""
    server = in_jail()
    for i in range(100):
        directory = server.jail / str(i)
        directory.mkdir()
        for j in range(80):
            (directory / str(j)).touch()
    trace = server.root / "logs/trace"
    server.wrapper = ["strace", "-f", "-y", "-qq", "-o", trace, "-e",
                      "trace=%%stat"]
    server.start()
    server.stop()
    looked_at = re.findall(r'\d<(/[^>]*)>, "(\d+)"', trace.read_text())
    assert 1000 < len(looked_at) < 5000
    assert len(set(looked_at)) == len(looked_at)


# ------------------------------------------------- a jail that serves nobody

@pytest.mark.parametrize("closed", ["sites", "sites/one", "sites/one/jail"])
@pytest.mark.parametrize("fix_root", ["On", "Off"])
def test_a_jail_that_user_cannot_search(in_jail, variant, closed, fix_root):
    """The way there counts where it would without a jail."""
    server = in_jail(f"ChrootFixRoot {fix_root}\nDocumentRoot "
                     + ("${JAIL}" if fix_root == "On" else "/"))
    (server.root / closed).chmod(0o700)
    if fix_root == "Off" and closed != "sites/one/jail":
        server.start()
        server.assert_jailed()
        return
    said = server.refused_start()
    assert f"User {server.user} cannot search it" in said
    assert f'"{server.jail}"' in said
    status, output = server.configtest()
    assert status != 0 and "cannot search it" in output
    assert not server.answers()
