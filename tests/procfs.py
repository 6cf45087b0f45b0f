"""What the kernel says about a process: root, ids, threads, descriptors.

Everything here reads /proc, but for listeners().  A process that vanishes in the
middle raises ProcessLookupError or FileNotFoundError (both are OSError).
"""
import contextlib
import os
import re
import subprocess
from pathlib import Path


def pids():
    return [int(name) for name in os.listdir("/proc") if name.isdigit()]


def tasks(pid):
    return sorted(int(tid) for tid in os.listdir(f"/proc/{pid}/task"))


def dir_id(path):
    """(device, inode): what makes two directories the same one."""
    st = os.stat(path)
    return st.st_dev, st.st_ino


def root_id(pid, tid=None):
    return dir_id(f"/proc/{pid}/task/{tid or pid}/root/")


def root_path(pid):
    return os.readlink(f"/proc/{pid}/root")


def each_thread(pid, look):
    """{tid: look(pid, tid)}, without threads that end meanwhile."""
    found = {}
    for tid in tasks(pid):
        try:
            found[tid] = look(pid, tid)
        except OSError:
            if tid in tasks(pid) and state(pid, tid) not in "ZX":
                raise
    return found


def thread_roots(pid):
    return each_thread(pid, root_id)


def is_inside(path, jail):
    """Is a directory, /proc/PID/cwd for example, the jail or in it?  Its name
    is of no use: a sealed jail is in a mount namespace of its own."""
    want, seen = dir_id(jail), None
    fd = os.open(path, os.O_PATH)
    while True:
        st = os.fstat(fd)
        if (st.st_dev, st.st_ino) in (want, seen):
            os.close(fd)
            return (st.st_dev, st.st_ino) == want
        seen = st.st_dev, st.st_ino
        up = os.open("..", os.O_PATH, dir_fd=fd)
        os.close(fd)
        fd = up


def is_jailed(pid, jail):
    """Every thread of pid has its root in jail."""
    want = dir_id(jail)
    return all(root == want for root in thread_roots(pid).values())


def status(pid, tid=None):
    text = Path(f"/proc/{pid}/task/{tid or pid}/status").read_text()
    return dict(line.split(":\t", 1) for line in text.splitlines()
                if ":\t" in line)


def uids(pid, tid=None):
    """Real, effective, saved and file-system user id."""
    return [int(n) for n in status(pid, tid)["Uid"].split()]


def gids(pid, tid=None):
    return [int(n) for n in status(pid, tid)["Gid"].split()]


def groups(pid, tid=None):
    return sorted(int(n) for n in status(pid, tid)["Groups"].split())


def capabilities(pid, tid=None):
    """Permitted, effective, inheritable and ambient, or'ed together."""
    lines = status(pid, tid)
    held = 0
    for name in ("CapPrm", "CapEff", "CapInh", "CapAmb"):
        held |= int(lines[name], 16)
    return held


def stat_fields(pid, tid=None):
    """The fields of /proc/PID/task/TID/stat from the state on."""
    text = Path(f"/proc/{pid}/task/{tid or pid}/stat").read_text()
    return text.rpartition(")")[2].split()


def state(pid, tid=None):
    return stat_fields(pid, tid)[0]


def parent(pid):
    return int(stat_fields(pid)[1])


def children(pid):
    """Direct children, zombies included."""
    found = []
    for other in pids():
        try:
            if parent(other) == pid:
                found.append(other)
        except OSError:
            pass
    return sorted(found)


def descendants(pid):
    found = []
    for child in children(pid):
        found += [child, *descendants(child)]
    return found


def alive(pid):
    try:
        return state(pid) not in "ZX"
    except OSError:
        return False


def fds(pid):
    found = {}
    for fd in os.listdir(f"/proc/{pid}/fd"):
        try:
            found[int(fd)] = os.readlink(f"/proc/{pid}/fd/{fd}")
        except FileNotFoundError:
            pass
    return found


def sockets(pid):
    return {target for target in fds(pid).values()
            if target.startswith("socket:")}


def fd_kinds(pid):
    """Like fds(), with the numbers that differ between two runs left out."""
    return {fd: re.sub(r"\[?\d{3,}\]?", "N", target)
            for fd, target in fds(pid).items()}


def environ(pid):
    raw = Path(f"/proc/{pid}/environ").read_bytes()
    return dict(entry.split("=", 1)
                for entry in raw.decode(errors="replace").split("\0")
                if "=" in entry)


def listeners(port):
    """The sockets that listen on a TCP port, as fds() names them.  ss asks the
    kernel for these alone; /proc/net/tcp has all that ever were connected."""
    text = subprocess.run(["ss", "-Hltne", f"sport = :{port}"], check=True,
                          capture_output=True, text=True).stdout
    return {f"socket:[{inode}]" for inode in re.findall(r"\bino:(\d+)", text)}


def marked(marker, directory):
    """Live processes with marker (NAME=value) in their environment, or whose
    root, working directory or program lies in directory.  A CGI program gets
    an environment of its own; its directory gives it away."""
    found, own, jails = [], dir_id("/"), {}
    for place in (directory, *Path(directory).glob("*/")):
        with contextlib.suppress(OSError):
            if dir_id(place) != own:        # a link to the root
                jails[place] = dir_id(place)

    def sees(pid, place):
        with contextlib.suppress(OSError):
            return dir_id(f"/proc/{pid}/root{place}") == jails[place]

    for pid in pids():
        try:
            raw = Path(f"/proc/{pid}/environ").read_bytes()
            places = [os.readlink(f"/proc/{pid}/{link}")
                      for link in ("root", "cwd", "exe")]
            root = root_id(pid)
        except OSError:
            continue
        if (marker.encode() in raw.split(b"\0")
                or any(place.startswith(f"{directory}/") for place in places)
                or root in jails.values()
                or root != own and any(sees(pid, place) for place in jails)):
            if alive(pid):
                found.append(pid)
    return found
