"""A process of User that writes into the memory by which a probe answers."""
import subprocess
import sys

from harness import GID, UID, Dir, File, wait_for

WRITER = r"""
import os, sys
children = "/proc/{0}/task/{0}/children".format(sys.argv[1])
done = set(open(children).read().split())
print("ready", flush=True)
while True:
    for pid in set(open(children).read().split()) - done:
        try:
            for line in open(f"/proc/{pid}/maps"):
                start, end = (int(n, 16) for n in line.split()[0].split("-"))
                if "rw-s" in line and end - start == 69632:
                    fd = os.open(f"/proc/{pid}/mem", os.O_RDWR)
                    for _ in range(300):
                        os.pwrite(fd, b"1" * (end - start - 8), start + 8)
        except OSError:
            pass
"""


def test_what_a_probe_has_seen_is_written_by_nobody_else(httpd):
    """It has much to look at, so that there is time."""
    server = httpd(
        "ChrootDir ${JAIL}\nCoreDumpDirectory ${JAIL}/core\n"
        + "".join(f"ScriptAlias /c{i} /c{i}\n" for i in range(8)),
        variant="early", files={"core": Dir, **{
            f"c{i}/p{n}": File("#!/c0/p0\n" + "x" * 4000, mode=0o755)
            for i in range(8) for n in range(1000)}})
    server.start()
    parent = server.pid
    with subprocess.Popen(
            ["setpriv", f"--reuid={UID}", f"--regid={GID}", "--clear-groups",
             sys.executable, "-c", WRITER, str(parent)], text=True,
            stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as writer:
        assert writer.stdout.readline() == "ready\n"
        for _ in range(5):
            seen = server.generations()
            server.control("graceful")
            wait_for(lambda: server.generations() > seen, "a restart")
        writer.kill()
    assert "1111" not in server.log() and server.pid == parent
