"""mod_ssl and mod_http2, as clients meet them: a certificate, h2 by ALPN,
resumed sessions, stapled OCSP responses, certificates of clients."""
import contextlib
import re
import socket
import ssl
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from comparison import JAILED, MOUNTED
from harness import File, free_port, put, run_ok
from stack import in_each, in_stock, with_and_without
from stack_apps import FAILS, WORKS, cell, paste

# What the table of CAVEATS.md says: (On, stock ChrootDir, Mount)
MODULES = {
    "mod_ssl": 3 * (WORKS,),
    "mod_http2": 3 * (WORKS,),
    "mod_ssl, OCSP responders by name": 3 * ("needs /etc/hosts",),
    "mod_ssl, SSLCACertificatePath": 3 * ("needs the directory",),
}

# Debian's own ssl.conf: a shmcb session cache, no session tickets, random
# bytes from /dev/urandom for each connection.
TLS = """\
Define APACHE_RUN_DIR ${ROOT}/run
Include /etc/apache2/mods-available/ssl.conf
Listen 127.0.0.1:${TLS}
DocumentRoot "${JAIL}/www"
<VirtualHost 127.0.0.1:${TLS}>
ServerName localhost
SSLEngine On
SSLCertificateFile "${ROOT}/conf/site.pem"
SSLCertificateKeyFile "${ROOT}/conf/site.key"
"""
STAPLING = """\
SSLUseStapling On
SSLStaplingForceURL http://{}:{}/
</VirtualHost>
SSLStaplingCache shmcb:${{ROOT}}/run/stapling(32768)
"""
H2 = "Include /etc/apache2/mods-available/http2.conf\n"
FILES = {"www/index.html": "home", "www/large.bin": b"0123456789" * 100000,
         **{f"www/{n}.txt": f"page {n}" for n in range(12)}}


@pytest.fixture(scope="session")
def ca(tmp_path_factory):
    """An authority, and what it has certified: a site and a client."""
    base = tmp_path_factory.mktemp("ca")

    def openssl(*words):
        return run_ok(["openssl", *words], cwd=base)

    def new_key(name, *words):
        openssl("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256",
                "-nodes", "-subj", f"/CN={name}", "-keyout", f"{name}.key",
                *words)

    new_key("ca", "-x509", "-out", "ca.pem", "-addext",
            "keyUsage=critical,keyCertSign,cRLSign,digitalSignature")
    index = ""
    for name in ("localhost", "client"):
        new_key(name, "-out", f"{name}.csr")
        (base / f"{name}.ext").write_text(
            f"subjectAltName=DNS:{name}\nauthorityKeyIdentifier=keyid\n")
        openssl("x509", "-req", "-in", f"{name}.csr", "-CA", "ca.pem",
                "-CAkey", "ca.key", "-CAcreateserial", "-extfile",
                f"{name}.ext", "-out", f"{name}.pem")
        serial = openssl("x509", "-noout", "-serial", "-in", f"{name}.pem")
        serial = serial.strip().removeprefix("serial=")
        index += f"V\t491231235959Z\t\t{serial}\tunknown\t/CN={name}\n"
    (base / "index").write_text(index)
    return base


class Responder(BaseHTTPRequestHandler):
    """The authority's OCSP responder: openssl ocsp, for one request."""

    def do_POST(self):
        self.server.asked += 1
        request = self.rfile.read(int(self.headers["Content-Length"]))
        (self.server.ca / "request").write_bytes(request)
        run_ok(["openssl", "ocsp", "-index", "index", "-CA", "ca.pem",
                "-rsigner", "ca.pem", "-rkey", "ca.key", "-nmin", "60",
                "-reqin", "request", "-respout", "response"],
               cwd=self.server.ca)
        self.send_response(200)
        self.send_header("Content-Type", "application/ocsp-response")
        self.end_headers()
        self.wfile.write((self.server.ca / "response").read_bytes())

    def log_message(self, *_):
        pass


@pytest.fixture
def responder(ca):
    server = HTTPServer(("127.0.0.1", 0), Responder)
    server.ca, server.asked = ca, 0
    with server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.shutdown()
        thread.join(10)


@pytest.fixture
def site(httpd, ca):
    """A TLS server that has not started, at server.tls."""
    def make(config, files=(), modules=(), **options):
        server = httpd(modules=["ssl", "socache_shmcb", "setenvif",
                                *modules],
                       files={**FILES, **dict(files)}, **options)
        server.tls, server.ca = free_port(), ca
        server.allow_log("AH01882")     # built with another OpenSSL
        server.config = f"Define TLS {server.tls}\n{TLS}{config}"
        put(server.root / "conf", {
            "site.pem": (ca / "localhost.pem").read_text()
            + (ca / "ca.pem").read_text(),
            "site.key": File(copy_of=ca / "localhost.key", mode=0o600)})
        return server
    return make


# ----------------------------------------------------------------- clients

def curl(server, *words):
    """-> (status and HTTP version, body) of each answer"""
    out = run_ok([
        "curl", "-sS", "--cacert", server.ca / "ca.pem", "-w",
        r"\t%{http_code} %{http_version}\t\t", "--connect-to",
        f"localhost:443:127.0.0.1:{server.tls}", *words])
    return [tuple(reversed(part.split("\t")))
            for part in out.split("\t\t")[:-1]]


def h2(server):
    """One connection, and twelve requests on it at the same time."""
    url = "https://localhost/"
    parallel = curl(server, "--http2", "--no-progress-meter", "--parallel",
                    f"{url}[0-11].txt", "-o", server.root / "run/page#1")
    pages = [(server.root / f"run/page{n}").read_text() for n in range(12)]
    return (parallel, pages, curl(server, "--http2", url, f"{url}none"),
            curl(server, "--http2", f"{url}large.bin"),
            curl(server, "--http1.1", url))


def connect(server, session=None, context=None):
    """-> (session, whether it was a resumed one)"""
    with socket.create_connection(("127.0.0.1", server.tls), 10) as plain, \
            (context or server.context).wrap_socket(
                plain, server_hostname="localhost", session=session) as tls:
        tls.sendall(b"GET / HTTP/1.0\r\nHost: localhost\r\n\r\n")
        assert tls.recv(20).startswith(b"HTTP/1.1 200")
        with contextlib.suppress(OSError):
            while tls.recv(65536):
                pass
        return tls.session, tls.session_reused


def resumptions(server):
    """The children share a cache: each of them resumes."""
    server.context = ssl.create_default_context(cafile=server.ca / "ca.pem")
    server.context.maximum_version = ssl.TLSVersion.TLSv1_2
    session, reused = connect(server)
    return [reused] + [connect(server, session)[1] for _ in range(8)]


def staple(server):
    out = run_ok(["openssl", "s_client", "-connect", f"127.0.0.1:{server.tls}",
                  "-servername", "localhost", "-status"])
    return re.findall(r"(?:OCSP Response|Cert) Status: (\w+)", out)


# ------------------------------------------------------------------- tests

def test_tls_h2_resumed_sessions_and_stapling(site, responder):
    server = site(STAPLING.format("127.0.0.1", responder.server_port) + H2,
                  modules=["http2"])

    def ask(server):
        asked = responder.asked
        found = h2(server), resumptions(server), staple(server)
        return *found, responder.asked - asked

    rows, found = in_each(server, ask, "/etc/hosts")
    assert rows == (*MODULES["mod_http2"][:2], MODULES[
        "mod_ssl, OCSP responders by name"][2])
    (parallel, pages, *_, large, old), resumed, stapled, asked = found
    assert parallel == 12 * [("200 2", "")]
    assert pages == [f"page {n}" for n in range(12)]
    assert large == [("200 2", FILES["www/large.bin"].decode())]
    assert old == [("200 1.1", "home")]
    assert resumed == [False] + 8 * [True]
    assert stapled == ["successful", "good"]
    assert asked == 1


def test_an_ocsp_responder_by_name_takes_a_hosts_file(site, responder):
    """Or, for names that are not in it, a resolv.conf."""
    server = site(STAPLING.format("localhost", responder.server_port))
    server.expect_log("AH01941: stapling_renew_response: responder error")
    server.allow_log("AH01972|AH01973|AH01974")
    rows, empty, found = with_and_without(
        server, staple, "/etc/hosts",
        lambda: server.put({"etc/hosts": "127.0.0.1 localhost\n"}))
    assert rows == MODULES["mod_ssl, OCSP responders by name"]
    assert (empty, found) == (["trylater"], ["successful", "good"])


def with_certificate(server):
    """What a client is told that shows its certificate; what without."""
    told = []
    for shows in (True, False):
        context = ssl.create_default_context(cafile=server.ca / "ca.pem")
        if shows:
            context.load_cert_chain(server.ca / "client.pem",
                                    server.ca / "client.key")
        try:
            connect(server, context=context)
            told.append("welcome")
        except (AssertionError, OSError) as error:
            told.append(getattr(error, "reason", "closed"))
    return told


def hashed(ca, directory):
    """An SSLCACertificatePath: files are found by the hash of their name."""
    name = run_ok(["openssl", "x509", "-noout", "-hash", "-in", ca / "ca.pem"])
    return {f"{directory}/{name.strip()}.0": (ca / "ca.pem").read_text()}


VERIFY = "SSLVerifyClient require\n%s\n</VirtualHost>\n"


def test_certificates_of_clients_by_a_file(site, ca):
    server = site(VERIFY % 'SSLCACertificateFile "${ROOT}/conf/ca.pem"')
    put(server.root / "conf", {"ca.pem": File(copy_of=ca / "ca.pem")})
    rows, found = in_each(server, with_certificate)
    assert rows == MODULES["mod_ssl"]
    assert found[0] == "welcome" != found[1]


def test_certificates_of_clients_by_a_directory(site, ca):
    """It is searched at each handshake: it has to be in the jail, and what is
    revoked by one outside would be let in."""
    server = site(VERIFY % 'SSLCACertificatePath "${ROOT}/ca"')
    config, authorities = server.config, hashed(ca, "ca")
    put(server.root, authorities)
    put(server.jail, authorities)
    server.config = config.replace("${ROOT}/ca", "${JAIL}/ca")
    rows, found = in_each(server, with_certificate)
    assert tuple(cell(False, "the directory", row == WORKS) for row in rows) \
        == MODULES["mod_ssl, SSLCACertificatePath"]
    assert found[0] == "welcome" != found[1]

    server.config = config
    assert in_stock(server, with_certificate, found) == FAILS
    server.config = MOUNTED + config
    paste(server)
    assert with_certificate(server.start()) == found
    server.stop()
    server.config = JAILED + config
    assert 'decides by "%s/ca"' % server.root in server.refused_start()
