"""Applications of Debian's archive, where their packages put them: the same
answers without a jail, and with ChrootFixRoot Mount and the lines that the
report asks for, and nothing else."""
import contextlib
import http.client
import os
import re
import shutil
import subprocess
import threading
import urllib.parse
from pathlib import Path

import pytest

from harness import (PLAIN, UID, USER, Answer, File, put, read, run_ok,
                     wait_for)
from stack_apps import service
from test_view import MOUNT, assert_in_view

MOD_PHP = ("php", "/usr/lib/apache2/modules/libphp8.2.so")
PHP = """\
DirectoryIndex index.php index.html
<FilesMatch "\\.php$">
    SetHandler application/x-httpd-php
</FilesMatch>
"""


class Application:
    """A server for an application.  `state` are directories outside that it
    writes to: each run has fresh copies of them, mounted for it alone."""

    def __init__(self, server, state=(), prepare=None):
        self.server, self.prepare = server, prepare or (lambda copies: None)
        self.config = server.config
        self.copies = {path: server.root / "state" / path.strip("/").replace(
            "/", "-") for path in state}
        (server.root / "state").mkdir()
        for path, copy in self.copies.items():
            copy.mkdir()
            server.binds.append((copy, path))

    def afresh(self):
        for path, copy in self.copies.items():
            run_ok(["find", copy, "-mindepth", "1", "-delete"])
            run_ok(["cp", "-a", f"{path}/.", copy])
        self.prepare(self.copies)

    def report(self):
        """-> the lines to paste, and what else is found to be wrong."""
        status, text = self.server.httpd("-t", "-D", "DUMP_CHROOT")
        assert status == 0, text
        assert "Mount, sealed" in text
        block = re.search(r"(?ms)^\n(# .*?)\n\n", text + "\n\n")
        return (block[1] + "\n" if block else "",
                re.findall(r"(?m)^(?:error|warning): .*", text))

    def same_in_view(self, use):
        """use(server) returns the same in both; then a graceful restart under
        load -> the lines that the report asked for."""
        server, so = self.server, self.server.so
        server.so = PLAIN
        self.afresh()
        plain = use(server.start())
        server.stop()
        server.so = so

        self.afresh()
        server.write_config(MOUNT + self.config)
        block, _ = self.report()
        server.write_config(MOUNT + block + self.config)
        assert self.report() == ("", [])
        server.start()
        assert_in_view(server)
        seen = use(server)
        for key in plain:
            assert seen[key] == plain[key], key
        assert seen.keys() == plain.keys()
        restart_under_load(server, next(iter(plain)))
        return block


def restart_under_load(server, path):
    status, ended, wrong = server.get(path).status, threading.Event(), []

    def load():
        while not ended.is_set():
            try:
                answer = server.get(path)
            except OSError as error:
                wrong.append(error)
            else:
                wrong.extend([answer.status] * (answer.status != status))
    threads = [threading.Thread(target=load) for _ in range(2)]
    for thread in threads:
        thread.start()
    server.graceful()
    ended.set()
    for thread in threads:
        thread.join()
    assert not wrong
    assert_in_view(server)


class Browser:
    """Requests with cookies."""

    def __init__(self, server):
        self.server, self.cookies, self.seen = server, {}, {}

    def __call__(self, path, method="GET", body=None, headers=None):
        connection = http.client.HTTPConnection("127.0.0.1", self.server.port,
                                                timeout=20)
        with contextlib.closing(connection):
            connection.request(method, path, body, {
                "Host": "localhost", "Connection": "close", **(headers or {}),
                "Cookie": "; ".join(map("=".join, self.cookies.items()))})
            response = connection.getresponse()
            for line in response.headers.get_all("set-cookie", []):
                self.cookies.update([line.split(";")[0].split("=", 1)])
            return Answer(response.status, dict(response.getheaders()),
                          response.read())

    def post(self, path, **fields):
        return self(path, "POST", urllib.parse.urlencode(fields), {
            "Content-Type": "application/x-www-form-urlencoded"})

    def follow(self, path):
        answer = self(path)
        while answer.status in (301, 302):
            path = urllib.parse.urljoin(path, answer.headers["Location"])
            parts = urllib.parse.urlsplit(path)
            answer = self(urllib.parse.urlunsplit(("", "", *parts[2:4], "")))
        return answer

    def crawl(self, start, limit=30, but="logout"):
        """{path: (status, body)} of a page and those it leads to."""
        queue, seen = [start], {}
        while queue and len(seen) < limit:
            path = queue.pop(0)
            answer = self(path)
            seen[plain_text(path, self.server)] = (
                answer.status, plain_text(answer.text, self.server))
            for link in [answer.headers.get("Location", ""), *re.findall(
                    r'(?:href|src|action)="([^"#]+)', answer.text)]:
                link = urllib.parse.urljoin(
                    f"http://localhost{path}", link.replace("&amp;", "&"))
                parts = urllib.parse.urlsplit(link)
                link = urllib.parse.urlunsplit(("", "", *parts[2:4], ""))
                if (parts.hostname == "localhost" and link not in queue
                        and plain_text(link, self.server) not in seen
                        and not re.search(but, link)):
                    queue.append(link)
        assert len(seen) >= min(limit, 20), seen.keys()
        return seen


def plain_text(text, server):
    """Without what is new each time: ports, nonces, times."""
    text = text.replace(str(server.port), "PORT")
    for new in (r'nonce="[^"]*"', r"[0-9a-f]{8,}", r"\d{9,}",
                r"\d\d?:\d\d(:\d\d)?( [ap]m)?", r"\d+(\.\d+)? (ms|sec\w*)"):
        text = re.sub(new, "NEW", text)
    return text


# ------------------------------------------------------------------- DokuWiki

DOKUWIKI = PHP + """\
DocumentRoot ${JAIL}
Include /etc/dokuwiki/apache.conf
"""


def dokuwiki(server):
    browser = Browser(server)
    seen = browser.crawl("/dokuwiki/")
    page = browser("/dokuwiki/doku.php?id=start&do=login").text
    sectok = re.search('name="sectok" value="(.*?)"', page)[1]
    browser.post("/dokuwiki/doku.php?id=start", do="login", u="admin",
                 p="secret", sectok=sectok)
    page = browser("/dokuwiki/doku.php?id=written&do=edit").text
    fields = dict(re.findall('<input type="hidden" name="(.*?)" value="(.*?)"',
                             page))
    saved = browser.post("/dokuwiki/doku.php?id=written", **{
        **fields, "id": "written", "wikitext": "A **new** page, Zürich",
        "do[save]": "1", "summary": "new"})
    assert saved.status == 302
    text = browser.follow("/dokuwiki/doku.php?id=written").text
    assert "A <strong>new</strong> page" in text
    found = browser("/dokuwiki/doku.php?do=search&q=Z%C3%BCrich").text
    assert "written" in found
    token = re.search('name="sectok" value="(.*?)"', browser(
        "/dokuwiki/doku.php?id=start&do=media").text)
    upload = browser(
        "/dokuwiki/lib/exe/ajax.php?call=mediaupload&qqfile=a.pdf&"
        f"mediaid=a.pdf&sectok={token[1]}", "POST", "%PDF-1.4 uploaded")
    seen.update(written=plain_text(text, server), upload=upload.status,
                media=browser("/dokuwiki/lib/exe/fetch.php?media=a.pdf").text)
    assert seen["media"] == "%PDF-1.4 uploaded", upload.text
    return seen


def test_dokuwiki(httpd):
    server = httpd(DOKUWIKI, mpm="prefork", modules=[
        MOD_PHP, "access_compat", "authz_host", "rewrite"])
    server.allow_log("php:(warn|error|notice)|AH01797|AH01630")

    def prepare(copies):
        password = run_ok(["openssl", "passwd", "-1", "secret"]).strip()
        users = copies["/var/lib/dokuwiki"] / "acl/users.auth.php"
        users.write_text(f"admin:{password}:Admin:admin@localhost:admin,user\n")
    app = Application(server, ["/var/lib/dokuwiki", "/var/lib/php/sessions"],
                      prepare)
    block = app.same_in_view(dokuwiki)
    print(block)
