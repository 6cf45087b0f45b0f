"""Applications of Debian's archive, where their packages put them: the same
answers without a jail, and with ChrootFixRoot Mount and the lines that the
report asks for, and nothing else."""
import contextlib
import http.client
import os
import re
import shutil
import socket
import subprocess
import threading
import urllib.parse
from pathlib import Path

import pytest

from comparison import MOUNTED
from harness import (MOD_PHP, PHP_FPM, PLAIN, PROJECT, USER, Answer, File, needs,
                     put, run, run_ok, wait_for)
from stack_apps import paste, report, service

README = (PROJECT / "README.md").read_text()    # its lines are Debian 12's
IS_DEBIAN_12 = 'VERSION_ID="12"' in Path("/etc/os-release").read_text()


@pytest.fixture(autouse=True)
def views_can_be_made():
    needs("mount_setattr")


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

    def own_lines(self, block):
        """What the README's table has of them."""
        found = {"": set(), "rw": set()}
        for lines in re.findall(r"# needed by: .*\n((?:ChrootBind .*\n)+)",
                                block):
            for mode, paths in re.findall("ChrootBind( rw|) (.*)", lines):
                found[mode.strip()].update(paths.replace(
                    str(self.server.root), "/srv").split())
        return ", ".join(f"`{' '.join([mode, *sorted(paths)]).strip()}`"
                         for mode, paths in found.items() if paths)

    def same_in_view(self, name, use):
        """use(server) returns the same in both; then a graceful restart under
        load -> the lines that the report asked for."""
        server, so = self.server, self.server.so
        server.so = PLAIN
        self.afresh()
        plain = use(server.start())
        server.stop()
        server.so = so

        self.afresh()
        server.config = MOUNTED + self.config
        block, _ = report(server)
        server.config = MOUNTED + block + self.config
        assert report(server) == ("", [])
        row = f"\n| {name} | {self.own_lines(block)} |\n"
        assert row in README or not name or not IS_DEBIAN_12
        server.start()
        server.assert_in_view()
        seen = use(server)
        for key in plain:
            assert seen[key] == plain[key], (key, different(
                plain[key], seen[key]))
        assert seen.keys() == plain.keys()
        restart_under_load(server, next(iter(plain)))
        return block


def different(one, other):
    """The lines of two answers that are not in both."""
    return set(str(one).split("\\n")) ^ set(str(other).split("\\n"))


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
    server.assert_in_view()


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
    for new in (r'nonce="[^"]*"', r'secret=\W*\w+', r"[0-9a-f]{8,}", r"\d{9,}",
                r"\b\w{32,}\b", r"\d\.gravatar", r"Automatic update .*",
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
    app.same_in_view("DokuWiki, mod_php", dokuwiki)


# ------------------------------------------------- phpMyAdmin, WordPress, MariaDB

class MariaDB:
    """A server, and the directory of its socket."""

    def __init__(self, root, start):
        self.run, self.start = root / "run", start

    def sql(self, text, password=("-psecret",)):
        run_ok(["mariadb", "--no-defaults", "-S", self.run / "mysqld.sock",
                "-uroot", *password, "-e", text])


@pytest.fixture(scope="module")
def mariadb(workspace):
    root = workspace / "mariadb"
    for name in ("", "data", "run"):
        (root / name).mkdir()
        shutil.chown(root / name, "mysql")
    run_ok(["mariadb-install-db", "--no-defaults", f"--datadir={root}/data",
            "--user=mysql", "--skip-test-db",
            "--auth-root-authentication-method=normal"])
    sock = root / "run/mysqld.sock"
    # systemd makes it where Debian's package does not
    Path("/run/mysqld").mkdir(exist_ok=True)
    with contextlib.ExitStack() as running:
        def start():
            running.close()
            running.enter_context(service(
                ["mariadbd", "--no-defaults", f"--datadir={root}/data",
                 "--user=mysql", f"--socket={sock}", "--skip-networking",
                 f"--pid-file={root}/data/pid"],
                lambda: run(["mariadb-admin", "--no-defaults", "-S", sock,
                             "ping"])[0] == 0, root / "log"))
        server = MariaDB(root, start)
        start()
        server.sql("ALTER USER root@localhost IDENTIFIED BY 'secret'", ())
        yield server


PHPMYADMIN = PHP + """\
DocumentRoot ${JAIL}
Include /etc/phpmyadmin/apache.conf
<Directory /usr/share>
    Require all granted
</Directory>
"""


def phpmyadmin(server):
    browser = Browser(server)
    page = browser("/phpmyadmin/index.php").text

    def token(text):
        return re.search('name="token" value="(.*?)"', text)[1]
    browser.post("/phpmyadmin/index.php?route=/", pma_username="root",
                 pma_password="secret", server=1, token=token(page),
                 set_session=browser.cookies.get("phpMyAdmin", ""))
    seen = browser.crawl("/phpmyadmin/index.php?route=/", but="logout|version")
    page = browser("/phpmyadmin/index.php?route=/server/sql").text
    made = browser.post("/phpmyadmin/index.php?route=/import",
                        token=token(page), ajax_request="true", sql_query=
                        "CREATE DATABASE made; CREATE TABLE made.t (a INT)")
    assert '"success":true' in made.text
    page = browser("/phpmyadmin/index.php?route=/database/structure&db=made")
    assert "table=t&" in page.text.replace("&amp;", "&")
    seen["structure"] = plain_text(page.text, server)
    return seen


def test_phpmyadmin(httpd, mariadb):
    server = httpd(PHPMYADMIN, mpm="prefork", modules=[MOD_PHP])
    server.binds.append((mariadb.run, "/run/mysqld"))
    server.allow_log("php:(warn|error|notice)|AH01630")
    app = Application(server, ["/var/lib/phpmyadmin", "/var/lib/php/sessions"],
                      lambda copies: mariadb.sql(
                          "DROP DATABASE IF EXISTS made"))
    app.same_in_view("phpMyAdmin, mod_php", phpmyadmin)


CONNECTS = """<?php
mysqli_report(MYSQLI_REPORT_OFF);
echo @(new mysqli('localhost', 'root', 'secret'))->connect_error ?? 'connected';
"""


def test_php_finds_a_database_that_was_restarted(httpd, mariadb):
    """The directory is in the view: a new socket there is, too."""
    server = httpd(MOUNTED + PHP + "DocumentRoot ${JAIL}\n", mpm="prefork",
                   modules=[MOD_PHP], files={"index.php": CONNECTS})
    server.binds.append((mariadb.run, "/run/mysqld"))
    paste(server)
    server.start()
    children = server.workers()
    before = os.stat(mariadb.run / "mysqld.sock")
    assert server.get("/").text == "connected"
    mariadb.start()
    assert not os.path.samestat(before, os.stat(mariadb.run / "mysqld.sock"))
    assert server.get("/").text == "connected"
    assert set(children) <= set(server.workers())


WORDPRESS = """\
DocumentRoot ${JAIL}
Alias /blog/wp-content /var/lib/wordpress/wp-content
Alias /blog /usr/share/wordpress
<Directory /usr/share/wordpress>
    Options FollowSymLinks
    AllowOverride Limit Options FileInfo
    DirectoryIndex index.php
    Require all granted
</Directory>
<Directory /var/lib/wordpress/wp-content>
    Options FollowSymLinks
    Require all granted
</Directory>
"""
WORDPRESS_CONFIG = """<?php
define('DB_NAME', 'wordpress');
define('DB_USER', 'root');
define('DB_PASSWORD', 'secret');
define('DB_HOST', 'localhost');
define('WP_CONTENT_DIR', '/var/lib/wordpress/wp-content');
define('DISABLE_WP_CRON', true);
define('AUTOMATIC_UPDATER_DISABLED', true);
"""
PERMALINKS = """\
RewriteEngine On
RewriteBase /blog/
RewriteCond %{REQUEST_FILENAME} !-f
RewriteCond %{REQUEST_FILENAME} !-d
RewriteRule . /blog/index.php [L]
"""


def wordpress(server):
    browser = Browser(server)
    browser.post("/blog/wp-admin/install.php?step=2", weblog_title="Blog",
                 user_name="admin", admin_password="secret",
                 admin_password2="secret", pw_weak="on",
                 admin_email="admin@localhost.example", blog_public=0)
    browser("/blog/wp-login.php")
    browser.post("/blog/wp-login.php", log="admin", pwd="secret",
                 testcookie=1)
    page = browser("/blog/wp-admin/options-permalink.php").text
    nonce = re.search('name="_wpnonce" value="(.*?)"', page)[1]
    browser.post("/blog/wp-admin/options-permalink.php", _wpnonce=nonce,
                 selection="/%postname%/", permalink_structure="/%postname%/")
    seen = browser.crawl("/blog/", but="logout|_wpnonce|upgrade|update|"
                         "profile|edit|post|comment|[{]")
    assert "Hello world" in seen["/blog/hello-world/"][1]
    page = browser("/blog/wp-admin/media-new.php").text
    nonce = re.search('"_wpnonce":"(.*?)"', page)[1]
    parts = {"name": "a.txt", "action": "upload-attachment", "_wpnonce": nonce}
    body = "".join(f'--BOUND\r\nContent-Disposition: form-data; name="{name}"'
                   f"\r\n\r\n{value}\r\n" for name, value in parts.items())
    answer = browser("/blog/wp-admin/async-upload.php", "POST", body + (
        '--BOUND\r\nContent-Disposition: form-data; name="async-upload"; '
        'filename="a.txt"\r\nContent-Type: text/plain\r\n\r\nuploaded\r\n'
        "--BOUND--\r\n"), {"Content-Type":
                           "multipart/form-data; boundary=BOUND"})
    url = re.search(r'"url":"http:\\/\\/localhost(.*?)"', answer.text)
    assert url, answer.text
    seen["upload"] = browser(url[1].replace("\\/", "/")).text
    assert seen["upload"] == "uploaded"
    return seen


def run_wordpress(server, mariadb, php, beside=contextlib.nullcontext):
    """`beside` is what serves PHP, with what is mounted for the server."""
    server.binds.append((mariadb.run, "/run/mysqld"))
    server.allow_log("php:(warn|error|notice)|AH01630|AH01071")

    def prepare(copies):
        mariadb.sql("DROP DATABASE IF EXISTS wordpress;"
                    "CREATE DATABASE wordpress")
        put(copies["/etc/wordpress"], {"config-default.php": WORDPRESS_CONFIG})
        (copies["/etc/wordpress"] / "htaccess").write_text(PERMALINKS)
    app = Application(server, ["/var/lib/wordpress", "/etc/wordpress",
                               "/var/lib/php/sessions"], prepare)
    with beside(server.binds):
        return app.same_in_view(f"WordPress, {php}", wordpress)


def test_wordpress_in_mod_php(httpd, mariadb):
    server = httpd(PHP + WORDPRESS, mpm="prefork", modules=[
        MOD_PHP, "rewrite", "env", "expires"])
    block = run_wordpress(server, mariadb, "mod_php")
    assert "# PHP (databases)\nChrootBind /var/run/mysqld\n" in block


TO_FPM = """\
DirectoryIndex index.php
<FilesMatch "\\.php$">
    SetHandler "proxy:unix:/run/php/php-fpm.sock|fcgi://localhost"
</FilesMatch>
"""
FPM_POOL = """\
[global]
error_log = {root}/fpm.log
daemonize = no
[www]
user = www-data
group = www-data
listen = {root}/php/php-fpm.sock
listen.owner = www-data
pm = static
pm.max_children = 3
"""


def test_wordpress_in_php_fpm(httpd, mariadb):
    """The pool is outside, as Debian's is: names are those that it knows."""
    server = httpd(TO_FPM + WORDPRESS, modules=[
        "proxy", "proxy_fcgi", "rewrite", "env", "expires"])
    put(server.root, {"php/x": "", "fpm.conf": FPM_POOL.format(
        root=server.root)})
    os.makedirs("/run/php", exist_ok=True)          # as systemd-tmpfiles does
    server.binds.append((server.root / "php", "/run/php"))

    def start_pool(binds):
        mounts = " && ".join(f"mount --bind {source} {target}"
                             for source, target in binds)
        return service(
            ["unshare", "--mount", "--propagation", "private", "sh", "-c",
             f"{mounts} && exec {PHP_FPM} -y {server.root}/fpm.conf"],
            (server.root / "php/php-fpm.sock").exists,
            server.root / "fpm.out", env=server.env)
    run_wordpress(server, mariadb, "php-fpm", start_pool)


# ------------------------------------------------------------------ programs

GITWEB = """\
DocumentRoot ${JAIL}/www
DirectoryIndex index.html index.cgi
SetEnv GITWEB_CONFIG ${JAIL}/gitweb.conf
Include /etc/apache2/conf-available/gitweb.conf
<Directory /usr/share>
    Require all granted
</Directory>
"""
IN_THE_PAST = {"GIT_AUTHOR_DATE": "2020-01-01T00:00:00Z",
               "GIT_COMMITTER_DATE": "2020-01-01T00:00:00Z",
               "GIT_CONFIG_NOSYSTEM": "1", "HOME": "/nonexistent"}


def repository(path):
    """A bare repository with some commits."""
    work = path.with_suffix(".work")
    who = ["-c", "user.name=A", "-c", "user.email=a@localhost"]
    run_ok(["git", "init", "-q", work])
    for number in range(3):
        put(work, {f"dir/file{number}": f"text {number}\n"})
        run_ok(["git", "-C", work, "add", "."])
        run_ok(["git", "-C", work, *who, "commit", "-qm", f"commit {number}"],
               env={**os.environ, **IN_THE_PAST})
    run_ok(["git", "clone", "-q", "--bare", work, path])
    run_ok(["chown", "-R", USER, path])


def test_gitweb(httpd):
    server = httpd(GITWEB, modules=["cgi", "env"], files={
        "www/index.html": "", "gitweb.conf": ""})
    server.allow_log("AH01215")
    (server.jail / "gitweb.conf").write_text(
        f'$projectroot = "{server.jail}/git";\n')
    (server.jail / "git").mkdir()
    repository(server.jail / "git/project.git")
    seen = {}

    def use(server):
        seen.update(Browser(server).crawl("/gitweb/"))
        assert "commit 2" in str(seen)
        return dict(seen)
    Application(server).same_in_view("gitweb, mod_cgi", use)


# --------------------------------------------------------------------- Django

DJANGO = """\
DocumentRoot ${JAIL}/www
WSGIScriptAlias /app ${JAIL}/site/mysite/wsgi.py
WSGIPythonPath ${JAIL}/site
WSGIApplicationGroup %{GLOBAL}
Alias /static/admin /usr/lib/python3/dist-packages/django/contrib/admin/static/admin
<Directory /usr/lib/python3/dist-packages/django>
    Require all granted
</Directory>
"""


def django(server):
    browser = Browser(server)
    browser("/app/admin/login/")
    answer = browser.post("/app/admin/login/?next=/app/admin/",
                          csrfmiddlewaretoken=browser.cookies["csrftoken"],
                          username="admin", password="secret")
    assert answer.status == 302, answer.text
    seen = browser.crawl("/app/admin/")
    browser("/app/admin/auth/group/add/")
    answer = browser.post("/app/admin/auth/group/add/", name="new group",
                          csrfmiddlewaretoken=browser.cookies["csrftoken"])
    assert answer.status == 302, answer.text
    seen["groups"] = plain_text(browser("/app/admin/auth/group/").text, server)
    assert "new group" in seen["groups"]
    return seen


def test_django_embedded_in_mod_wsgi(httpd):
    server = httpd(DJANGO, modules=["wsgi"], files={"www/index.html": "x"})
    server.allow_log("wsgi:error.*Not Found")
    site = server.jail / "site"
    site.mkdir()
    run_ok(["django-admin", "startproject", "mysite", site])
    with open(site / "mysite/settings.py", "a") as settings:
        settings.write("ALLOWED_HOSTS = ['localhost']\nSTATIC_URL = "
                       "'/static/'\nUSE_TZ = False\n")
    manage = ["/usr/bin/python3", "-B", site / "manage.py"]
    run_ok([*manage, "migrate"])
    run_ok([*manage, "createsuperuser", "--noinput", "--username", "admin",
            "--email", "a@localhost"], env={
                **os.environ, "DJANGO_SUPERUSER_PASSWORD": "secret"})
    shutil.copy(site / "db.sqlite3", server.root)

    def prepare(copies):
        shutil.copy(server.root / "db.sqlite3", site)
        run_ok(["chown", "-R", USER, site])
    Application(server, prepare=prepare).same_in_view(
        "Django, mod_wsgi", django)


# ------------------------------------------------------------------ Subversion

SUBVERSION = """\
DocumentRoot ${JAIL}/www
<Location /svn>
    DAV svn
    SVNParentPath ${ROOT}/svn
    AuthzSVNAccessFile ${ROOT}/access/authz
</Location>
"""


def subversion(server):
    browser, url = Browser(server), f"http://127.0.0.1:{server.port}/svn/repo"
    copy = server.root / f"copy{server.port}"
    svn = ["svn", "--non-interactive", "--config-dir", server.root / "config"]
    run_ok([*svn, "checkout", "-q", url, copy])
    put(copy, {f"dir/{n}.txt": f"text {n}\n" for n in range(25)})
    run_ok([*svn, "add", "-q", copy / "dir"])
    run_ok([*svn, "commit", "-q", "-m", "new", copy])
    seen = browser.crawl("/svn/repo/")
    seen["secret"] = browser("/svn/repo/secret/x").status
    assert seen["secret"] in (401, 403)
    seen["log"] = re.findall("<D:comment>(.*?)</D:comment>", browser(
        "/svn/repo/!svn/rvr/2", "REPORT",
        '<S:log-report xmlns:S="svn:"><S:start-revision>2</S:start-revision>'
        "<S:end-revision>1</S:end-revision></S:log-report>").text)
    return seen


def test_subversion(httpd):
    server = httpd(SUBVERSION, modules=["dav", "dav_svn", "authz_svn"],
                   files={"www/index.html": "x", "../access/authz":
                          "[/]\n* = rw\n[repo:/secret]\n* =\n"})
    server.allow_log(r"authz_svn|AH0163\d|dav:error|AH01276")

    def prepare(copies):
        shutil.rmtree(server.root / "svn", ignore_errors=True)
        (server.root / "svn").mkdir()
        run_ok(["svnadmin", "create", server.root / "svn/repo"])
        put(server.root, {"import/secret/x": "secret"})
        run_ok(["svn", "import", "-q", "-m", "first", server.root / "import",
                f"file://{server.root}/svn/repo"])
        run_ok(["chown", "-R", USER, server.root / "svn/repo"])
    Application(server, prepare=prepare).same_in_view(
        "Subversion, mod_dav_svn", subversion)


HOOK = """\
#!/bin/sh
exec > "$1/hook" 2> /dev/null
echo "$2" /*
ls "$1/format"
"""


def test_hooks_of_repositories_run_in_the_view(httpd):
    """Nobody knows which repository has one: the report has a note."""
    server = httpd(MOUNTED + SUBVERSION + "ChrootBind rw ${ROOT}/svn\n"
                   "ChrootBind ${ROOT}/access\n",
                   modules=["dav", "dav_svn", "authz_svn"],
                   files={"www/index.html": "x", "../access/authz":
                          "[/]\n* = rw\n"})
    server.allow_log("authz_svn|AH01276|dav:error")
    repo = server.root / "svn/repo"
    repo.parent.mkdir()
    run_ok(["svnadmin", "create", repo])
    put(repo, {f"hooks/{name}-commit": File(HOOK, mode=0o755)
               for name in ("pre", "post")})
    run_ok(["chown", "-R", USER, repo])

    def commit(text):
        return run(["svn", "mkdir", "--non-interactive", "-m", text,
                    f"http://127.0.0.1:{server.port}/svn/repo/{text}"])
    server.start()
    status, said = commit("without")
    assert status == 1 and "Can't open file '/dev/null'" in said

    _, told = server.httpd("-t", "-D", "DUMP_CHROOT")
    assert re.search("note: SVNParentPath at .* runs hooks", told)
    server.write_config(server.config + "ChrootBind /usr /bin /lib /lib64 "
                        "/dev/null\n")
    server.graceful()
    status, said = commit("with")
    assert status == 0 and "Warning" not in said
    wait_for(lambda: "format" in (repo / "hook").read_text(), "the hook's end")
    assert (repo / "hook").read_text().split() == [
        "1", "/bin", "/dev", "/lib", "/lib64", "/usr", "/var",
        f"{repo}/format"]


# ----------------------------------------------- mod_security2, a reverse proxy

SECURITY = """\
DocumentRoot ${JAIL}/www
SecRuleEngine On
SecRequestBodyAccess On
SecDataDir ${ROOT}/data
SecTmpDir /tmp
SecAuditEngine Off
Include /etc/modsecurity/crs/crs-setup.conf
Include /usr/share/modsecurity-crs/rules/*.conf
"""
ATTACKS = ["?x=../../etc/passwd", "?x=<script>alert(1)</script>".replace(
    " ", "+"), "?q=1'+OR+'1'='1'--", "?x=;cat+/etc/passwd"]


def test_mod_security_with_the_core_rules(httpd):
    server = httpd(SECURITY, modules=["security2", "unique_id"], files={
        f"www/page{n}.html": f"page {n}" for n in range(20)})
    put(server.root, {"data/x": "", "jail/www/index.html": "x"})
    shutil.chown(server.root / "data", USER)
    server.allow_log("ModSecurity|security2")

    def use(server):
        browser = Browser(server)
        seen = {f"/page{n}.html": browser(f"/page{n}.html").text
                for n in range(20)}
        seen.update((path, browser(f"/{path}", headers={
            "User-Agent": "Mozilla", "Accept": "*/*"}).status)
            for path in ATTACKS)
        seen["body"] = browser.post("/page1.html", x="1' OR '1'='1").status
        assert [seen[path] for path in ATTACKS] == [403] * 4
        return seen
    Application(server).same_in_view("mod_security2, core rules", use)


def test_a_reverse_proxy_to_a_name(httpd, directory):
    pages = directory()
    put(pages, {f"page{n}.html": f'<a href="page{n + 1}.html">{n}</a>'
                for n in range(25)})
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port = sock.getsockname()[1]
    server = httpd("DocumentRoot ${JAIL}/www\nProxyPass /app/ "
                   f"http://localhost:{port}/\n", modules=[
                       "proxy", "proxy_http"], files={"www/index.html": "x"})

    def ready():
        with socket.create_connection(("127.0.0.1", port)):
            return True
    with service(["/usr/bin/python3", "-m", "http.server", "--bind",
                  "127.0.0.1", "-d", pages, str(port)], ready, pages / "log"):
        block = Application(server).same_in_view(
            "a reverse proxy to a name", lambda server: Browser(server).crawl("/app/page0.html"))
    assert re.search(r"# needed by: ProxyPass at \S+ \(names of hosts\)\n"
                     r"ChrootBind /etc/hosts\n", block)


# ---------------------------------------------------------- character sets, CGI

def test_charset_lite_has_glibcs_converters(httpd):
    """Without them other bytes are answered."""
    server = httpd("DocumentRoot ${JAIL}\nCharsetSourceEnc ISO-8859-1\n"
                   "CharsetDefault UTF-8\n",
                   modules=["charset_lite"], files={
                       "index.html": b"Z\xfcrich", "a.txt": b"\xe4"})
    block = Application(server).same_in_view("", lambda server: {
        path: server.request(path).body for path in ("/", "/a.txt")})
    assert server.get("/").text == "Zürich"
    assert block.startswith("# iconv (character sets)\nChrootBind /usr/lib")


# -------------------------------------------------------------- chroot-trace

def traced(server, *command):
    """What chroot-trace prints while a command uses the site."""
    return subprocess.run(
        [PROJECT / "packaging/chroot-trace", server.root / server.pid_file,
         *command], stdout=subprocess.PIPE, check=True, text=True).stdout


def test_chroot_trace_prints_the_lines_that_a_site_lacks(httpd):
    server = httpd(MOUNTED + PHP + "DocumentRoot ${JAIL}\nChrootBind "
                   "/usr/share/zoneinfo\n", modules=[MOD_PHP], mpm="prefork",
                   files={"index.php": "<?php echo file_exists("
                          "'/etc/hostname'), @file_get_contents("
                          "'/usr/share/common-licenses/BSD'), @filesize("
                          "'/nowhere/x'), touch('/usr/share/zoneinfo/x');"})
    server.allow_log("php:warn")
    server.start()
    printed = traced(server, "curl", "-s", f"http://127.0.0.1:{server.port}/")
    assert {"ChrootBind /etc/hostname",
            "ChrootBind /usr/share/common-licenses",
            "ChrootBind rw /usr/share/zoneinfo"} <= set(printed.splitlines())
    assert "nowhere" not in printed and str(server.jail) not in printed
    wait_for(lambda: server.get("/").status == 200, "an answer")


def test_chroot_trace_prints_nothing_of_what_is_made_in_the_view(httpd):
    """Such as a session: a line for it would make its directory read-only."""
    server = httpd(MOUNTED + PHP + "DocumentRoot ${JAIL}\nChrootBind "
                   "/usr/share/zoneinfo\nChrootBind rw ${ROOT}/data\n",
                   modules=[MOD_PHP], mpm="prefork", files={
                       "../data/kept": "", "index.php":
                       "<?php if (isset($_GET['file'])) var_dump("
                       "file_exists($_GET['file']), touch($_GET['file']));"})
    (server.root / "data").chmod(0o777)
    server.start()
    printed = traced(
        server, "curl", "-sf", f"http://127.0.0.1:{server.port}/?file="
        f"{server.root}/data/session")
    assert (server.root / "data/session").exists()
    assert f"{server.root}/data" not in printed


def test_chroot_trace_loses_nothing_of_many_requests_at_once(httpd):
    server = httpd(MOUNTED + PHP + "DocumentRoot ${JAIL}\nChrootBind "
                   "/usr/share/zoneinfo\n", modules=[MOD_PHP], mpm="prefork",
                   files={"index.php": "",
                          "look.php": "<?php foreach (explode(',', $_GET['n'])"
                          " as $n) file_exists(\"/usr/share/$n\");"}).start()
    names = [entry.name for entry in Path("/usr/share").iterdir()
             if entry.is_dir() and entry.name.isalnum()
             and entry.name != "zoneinfo"]
    urls = [f"http://127.0.0.1:{server.port}/look.php?n=" + ",".join(names[i::8])
            for i in range(8)]
    printed = traced(server, "curl", "-s", "-Z", *urls)
    assert len(names) > 40 and set(printed.splitlines()) >= {
        f"ChrootBind /usr/share/{name}" for name in names}
