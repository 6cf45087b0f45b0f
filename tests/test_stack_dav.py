"""mod_dav_fs under litmus, the test suite for WebDAV servers."""
import os
import re

from comparison import JAILED
from harness import UID, Dir, Request, run
from stack import answers, in_each
from stack_apps import FAILS, WORKS

# What the table of CAVEATS.md says: (On, stock ChrootDir, Mount)
MODULES = {
    "mod_dav_fs": (WORKS, FAILS, WORKS),
}
DAV = """\
DocumentRoot "${JAIL}/www"
DavLockDB "${JAIL}/var/lock"
<Directory "${JAIL}/www/dav">
Dav On
</Directory>
"""
LOCK = """\
<?xml version="1.0"?><D:lockinfo xmlns:D="DAV:"><D:lockscope><D:exclusive/>
</D:lockscope><D:locktype><D:write/></D:locktype></D:lockinfo>"""


def dav(httpd):
    server = httpd(DAV, modules=["dav", "dav_fs"],
                   files={"www/dav": Dir, "var": Dir})
    for name in ("www/dav", "var"):
        os.chown(server.jail / name, UID, -1)
    server.allow_log(r"(dav|core):error\] .*\[client")   # clients' mistakes
    return server


def litmus(server):
    """-> [(suite or test, its result)] of all five suites"""
    work = server.root / "litmus"
    work.mkdir(exist_ok=True)
    _, output = run(["litmus", "--keep-going",
                     f"http://127.0.0.1:{server.port}/dav/"], cwd=work)
    return re.findall(r"^ *\d+\. (\w+)\.+ (\w+)|"
                      r"^<- summary for `(\w+)': (.*)", output, re.M)


def test_litmus_passes_what_it_passes_without_the_jail(httpd):
    rows, found = in_each(dav(httpd), litmus)
    assert rows == MODULES["mod_dav_fs"]
    summaries = [words[2:] for words in found if words[2]]
    assert [suite for suite, _ in summaries] == [
        "basic", "copymove", "props", "locks", "http"]
    passed = [name for name, result, *_ in found if result == "pass"]
    assert len(passed) > 60 and {"propget", "lock_excl"} <= set(passed)


def test_a_lock_outlives_a_graceful_restart(httpd):
    server = dav(httpd)
    server.config = JAILED + server.config
    server.start()
    url = "/dav/page.txt"
    created, locked = answers(server, [
        Request(url, "PUT", body="first"), Request(url, "LOCK", body=LOCK)])
    token = {"If": f"({locked[1]['lock-token']})"}
    server.graceful()
    found = answers(server, [
        Request(url, "PUT", body="stolen"), url,
        Request(url, "PUT", body="second", headers=token), url])
    assert [created[0], locked[0]] == [201, 200]
    assert [answer[0] for answer in found] == [423, 200, 204, 200]
    assert [found[1][2], found[3][2]] == ["first", "second"]
    assert list((server.jail / "var").iterdir())
