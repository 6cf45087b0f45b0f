"""The module under AddressSanitizer and UBSan: its helpers with random input
(mod_test_fuzz.c), generated configuration lines, real servers; and under
valgrind.  FUZZ_SEED and FUZZ_MS choose other, or more, random input."""
import os
import random
import re
from concurrent.futures import ThreadPoolExecutor

import pytest

from harness import PROJECT, TESTS, Mode, apxs, run_ok

# By its declaration apr_pstrmemdup() has no room for the NUL, which it has.
SANITIZE = ["-g", "-O1", "-fno-omit-frame-pointer",
            "-fsanitize=address,undefined", "-fno-sanitize=object-size",
            "-fno-sanitize-recover=all"]
SEED = int(os.environ.get("FUZZ_SEED", "1"))
LINES = 700
REPORT = re.compile(r"AddressSanitizer|runtime error:|Sanitizer:|"
                    r"Segmentation fault|stack smashing")
PROPERTIES = re.findall(r'\{ "(.*)", try_\w+ \}',
                        (TESTS / "mod_test_fuzz.c").read_text())


def sanitized(builds, name, source, late=1):
    def make():
        target = builds.directory / f"{name}.so"
        run_ok(["gcc", *apxs("CFLAGS").split(),
                *apxs("EXTRA_CPPFLAGS").split(), *SANITIZE, "-shared", "-fPIC",
                f"-I{apxs('INCLUDEDIR')}", f"-I{apxs('APR_INCLUDEDIR')}",
                f"-DCHROOT_LATE={late}", '-DCHROOT_VERSION="sanitized"',
                source, "-o", target])
        return target
    return builds.once(name, make)


@pytest.fixture
def asan_so(builds):
    return sanitized(builds, "chroot_asan", PROJECT / "mod_chroot.c")


@pytest.fixture
def asan_early_so(builds):
    return sanitized(builds, "chroot_asan_early", PROJECT / "mod_chroot.c", 0)


def asan_env():
    library = run_ok(["gcc", "-print-file-name=libasan.so"]).strip()
    return {"LD_PRELOAD": os.path.realpath(library),
            "ASAN_OPTIONS": "detect_leaks=0",
            "UBSAN_OPTIONS": "print_stacktrace=1"}


# ----------------------------------------------------------------- helpers

@pytest.mark.parametrize("name", [*PROPERTIES, "zone files of the system"])
def test_a_helper_does_what_a_simple_model_says(httpd, builds, name):
    fuzz = sanitized(builds, "mod_test_fuzz", TESTS / "mod_test_fuzz.c")
    server = httpd(variant=None, modules=[("test_fuzz", fuzz)],
                   env={**asan_env(), "FUZZ_ONLY": name})
    server.env["FUZZ_DIR"] = str(server.root)
    status, output = server.httpd("-t")
    print(output)
    assert not re.findall("^(?:failure|SUMMARY).*", output, re.M)
    assert status == 0
    done = re.search(r": (\d+) cases, (\d+) interesting, 0 fail", output)
    assert int(done[1]) > 5 and int(done[2]) > 2, output


# ----------------------------------------------------------- configuration

ARGUMENTS = (
    "${JAIL}", '"${JAIL}"', "'${JAIL}'", "On", "Off", "Yes", "none", "None",
    "DOCUMENT_ROOT", "SERVER_ROOT", "/", "//", ".", "..", "jail/../jail",
    "${JAIL}/", "${JAIL}//x", '"', "'", '""', '"${JAIL}', "\\", '"\\"', '"\\\\',
    "/dev/null", "${nothing}", "%{x}", "~", "*", "[", ">", "<", "#", "\t", " ",
    "${JAIL} ${JAIL}", "On Off", "x" * 300, "/" + "a/" * 2000, "\\ ", "\\\n",
    "\x01", "\x7f", "\xff\xfe", "\xc3\xa4", "/proc/self/root", "1", "-1")
CONTEXTS = (
    "{}", "{}", "{}", "{}", "<VirtualHost *>\n{}\n</VirtualHost>",
    "<Directory />\n{}\n</Directory>", "<Location />\n{}\n</Location>",
    "<Files x>\n{}\n</Files>", "<If true>\n{}\n</If>",
    "<IfModule chroot_module>\n{}\n</IfModule>", "<IfDefine !x>\n{}\n</IfDefine>",
    "<Limit GET>\n{}\n</Limit>", "{0}\n{0}", "{}\nChrootDir ${{JAIL}}",
    "ChrootDir ${{JAIL}}\nChrootFixRoot On\n{}",
    "ChrootDir ${{JAIL}}\nChrootFixRoot On\n{}\n"
    "<Directory ${{JAIL}}>\nRequire all denied\n</Directory>")
FIXED = ("Alias /x {}", "<Directory {}>\n</Directory>", "UserDir {}",
         "<DirectoryMatch {}>\n</DirectoryMatch>", "DocumentRoot {}",
         "<Directory ~ {}>\n</Directory>", "SetHandler {}", "CacheRoot {}",
         "<Directory ${{JAIL}}/{}>\n</Directory>",
         "<DirectoryMatch ^${{JAIL}}/{}>\n</DirectoryMatch>",
         "AuthUserFile {}", "LuaRoot {}", "CoreDumpDirectory {}")


def random_line(rnd):
    argument = "".join(rnd.choice(ARGUMENTS)
                       for _ in range(rnd.choice((0, 1, 1, 1, 1, 2, 3))))
    if rnd.random() < 0.05:
        argument += "y" * rnd.choice((4090, 8100, 70000))
    if rnd.random() < 0.1:
        argument += "".join(chr(rnd.randrange(1, 256)) for _ in range(20))
    argument = argument.replace("\0", "")
    if rnd.random() < 0.3:
        return ("ChrootDir ${JAIL}\nChrootFixRoot On\n"
                + rnd.choice(FIXED).format(argument))
    name = rnd.choice(("ChrootDir", "ChrootDir", "chrootdir", "ChrootFixRoot",
                       "CHROOTFIXROOT", "<ChrootDir", "ChrootBind"))
    return rnd.choice(CONTEXTS).format(f"{name} {argument}")


def test_no_configuration_line_crashes_the_parser(httpd, asan_so):
    servers = [httpd(variant=None, mpm="prefork", env=asan_env())
               for _ in range(2)]
    rnd = random.Random(SEED)
    lines = [random_line(rnd) for _ in range(LINES)]

    def judge(number):
        found, accepted = [], 0
        server = servers[number]
        server.so = asan_so
        for line in lines[number::2]:
            server.write_config()
            with open(server.conf, "ab") as conf:
                conf.write(line.encode("latin-1") + b"\n")
            status, output = server.httpd("-t")
            accepted += status == 0
            ok = (status == 0 and "Syntax OK" in output
                  or status == 1 and "Syntax OK" not in output
                  and len(output.strip()) > 20)
            if not ok or REPORT.search(output):
                found.append(f"{line[:300]!r}: {status}\n{output[:3000]}")
        return found, accepted

    with ThreadPoolExecutor(2) as pool:
        results = list(pool.map(judge, range(2)))
    accepted = sum(count for _, count in results)
    print(f"{LINES} lines, {accepted} accepted")
    assert LINES * 0.1 < accepted < LINES * 0.9
    assert not sum((found for found, _ in results), [])


# ------------------------------------------------------------- real servers

REFUSALS = (r"File name too long|AH00036|AH00127|AH01630|AH10244|"
            r"AliasMatch at .* names \"/etc")

SITE = """\
ChrootDir ${JAIL}
ChrootFixRoot On
DocumentRoot ${JAIL}/www
Alias /alias ${JAIL}/www
AliasMatch ^/out/(.*) /etc/$1
<Directory ${JAIL}/www/secret>
    Require all denied
</Directory>
<DirectoryMatch ^${JAIL}/www/[h]idden>
    Require all denied
</DirectoryMatch>
RewriteEngine On
RewriteRule ^/rewritten$ ${JAIL}/www/index.html
"""
FILES = {"www/index.html": "hello", "www/secret/a.txt": "no",
         "www/hidden/a.txt": "no"}
ANSWERS = {"/": 200, "/index.html": 200, "/none": 404, "/secret/a.txt": 403,
           "/hidden/a.txt": 403, "/alias/index.html": 200, "/alias/../x": 404,
           "/alias/secret/a.txt": 403, "/rewritten": 200, "/out/passwd": 404,
           "/%2e%2e/etc/passwd": 400, "/" + "x" * 3000: 403, "/alias": 301}


def use(server):
    for _ in range(3):
        seen = {path: server.get(path).status for path in ANSWERS}
        assert seen == ANSWERS
    server.assert_jailed()


def under_asan(httpd, so):
    """The site in use, with a sanitized module."""
    server = httpd(SITE, variant=None, files=FILES, modules=["rewrite"],
                   env=asan_env())
    server.so = so
    server.allow_log(REFUSALS)
    server.start()
    use(server)
    return server


@pytest.mark.parametrize("mpm", ["prefork", "event"])
def test_a_server_is_clean_under_address_sanitizer(httpd, mpm, asan_so):
    server = under_asan(httpd, asan_so)
    server.graceful()
    use(server)


@pytest.mark.parametrize("mpm", ["prefork"])
def test_an_early_server_is_clean_under_address_sanitizer(
        httpd, mpm, asan_early_so):
    under_asan(httpd, asan_early_so)


def without_namespaces(builds):
    """valgrind ends a process that makes one."""
    return {"LD_PRELOAD": builds.once("playview", lambda: builds.gcc(
        "../bench/playview.c", "playview.so", "-shared", "-fPIC"))}


@pytest.mark.parametrize("mpm", ["prefork"])
def test_the_early_build_is_clean_under_valgrind(httpd, builds, mpm):
    server = httpd(SITE, variant="early", modules=["rewrite"],
                   files=FILES, env=without_namespaces(builds))
    server.wrapper = ["valgrind", "-q", "--error-exitcode=99",
                      "--leak-check=no"]
    server.patience = 20
    server.allow_log(REFUSALS + "|connection to image .*/valgrind/"
                     "|no debug info loaded")
    server.start()
    use(server)
    server.terminate()
    assert server.popen.wait(60) == 0


def test_requests_write_nothing_shared(httpd, builds):
    """Under helgrind, which does not know httpd's atomics and reports requests
    that are handed from thread to thread, but nothing of the module's own."""
    server = httpd(SITE, variant="early", mpm="event", modules=["rewrite"],
                   files=FILES, env=without_namespaces(builds))
    report = server.root / "logs/helgrind"
    server.wrapper = ["valgrind", "--tool=helgrind", "--quiet",
                      f"--log-file={report}.%p"]
    server.patience = 60
    server.allow_log(REFUSALS)
    server.start()
    paths = list(ANSWERS) * 4
    with ThreadPoolExecutor(8) as clients:
        seen = list(clients.map(lambda path: server.get(path).status, paths))
    assert seen == [ANSWERS[path] for path in paths]
    server.stop()
    said = "".join(path.read_text() for path in report.parent.glob("helgrind.*"))
    assert "inside a block" in said         # what helgrind takes for a race
    assert not re.findall('.*(?:mod_chroot.so|symbol "gen").*', said)
