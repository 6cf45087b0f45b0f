"""mod_proxy with real back ends, on loopback and on a socket in the jail:
plain, balanced, checked for health, and tunnelled websockets."""
import asyncio
import contextlib
import hashlib
import os
import socketserver
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
import websockets

from harness import UID, Dir, Request, free_port, wait_for
from stack import answers, asking, in_each, with_and_without
from stack_apps import WORKS

# What the table of CAVEATS.md says: (On, stock ChrootDir, Mount)
MODULES = {
    "mod_proxy_http": 3 * (WORKS,),
    "mod_proxy_balancer": 3 * (WORKS,),
    "mod_proxy_hcheck": 3 * (WORKS,),
    "mod_proxy_wstunnel": 3 * (WORKS,),
    "mod_proxy, bodies that are spooled": 3 * ("needs /tmp",),
    "mod_proxy, back ends by name": 3 * ("needs /etc/hosts",),
}
BALANCER = ["proxy", "proxy_http", "proxy_balancer", "lbmethod_byrequests",
            "slotmem_shm", "headers"]


# ---------------------------------------------------------------- back ends

class Handler(BaseHTTPRequestHandler):
    """Tells what has reached it."""

    def do_GET(self):
        if self.path == "/health":
            self.reply(200 if self.server.healthy else 503, "")
        elif self.path == "/moved":
            self.reply(302, "", Location=f"{self.server.url}/there")
        else:
            self.reply(200, f"{self.server.name} {self.path} "
                            f"{self.headers['X-Forwarded-Host']}")

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.reply(200, f"{len(body)} {hashlib.md5(body).hexdigest()}")

    def reply(self, status, text, **headers):
        self.send_response(status)
        for name, value in {"Content-Length": len(text), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(text.encode())

    def version_string(self):
        return "back end"

    def log_message(self, *_):
        pass


class UnixHTTPServer(socketserver.ThreadingMixIn,
                     socketserver.UnixStreamServer):
    daemon_threads = True


@pytest.fixture
def back_end():
    """Start one: back_end(name), or on a socket at a path."""
    with contextlib.ExitStack() as stack:
        def start(name, path=None):
            server = stack.enter_context(
                UnixHTTPServer(str(path), Handler) if path else
                ThreadingHTTPServer(("127.0.0.1", 0), Handler))
            server.name, server.healthy, server.url = name, True, ""
            if path:
                os.chown(path, UID, -1)
            else:
                server.url = f"http://127.0.0.1:{server.server_port}"
            thread = threading.Thread(target=server.serve_forever, args=(.05,))
            thread.start()
            stack.callback(thread.join, 10)
            stack.callback(server.shutdown)
            return server
        yield start


@contextlib.contextmanager
def echo_server():
    """A websocket server that returns what it gets -> its port"""
    loop, started = asyncio.new_event_loop(), threading.Event()
    stopped, ports = [], []

    async def echo(connection, path=None):  # before websockets 10.1
        async for message in connection:
            await connection.send(message)

    async def serve():
        async with websockets.serve(echo, "127.0.0.1", 0) as server:
            ports.append(server.sockets[0].getsockname()[1])
            stopped.append(asyncio.Event())     # this loop's
            started.set()
            await stopped[0].wait()

    thread = threading.Thread(target=loop.run_until_complete, args=(serve(),))
    thread.start()
    try:
        assert started.wait(10)
        yield ports[0]
    finally:
        loop.call_soon_threadsafe(stopped[0].set)
        thread.join(10)
        loop.close()


def echoed(server, path):
    """Text and bytes, small and large, through one tunnel."""
    messages = ["hello", b"\0" * 10, "x" * 70000]

    async def talk():
        url = f"ws://127.0.0.1:{server.port}{path}"
        async with websockets.connect(url) as connection:
            for message in messages:
                await connection.send(message)
                assert await connection.recv() == message
            return len(messages)
    return asyncio.run(asyncio.wait_for(talk(), 10))


# -------------------------------------------------------------------- tests

def test_back_ends_by_address_and_by_a_socket_in_the_jail(httpd, back_end):
    server = httpd(modules=["proxy", "proxy_http"], files={"run": Dir})
    one, two = back_end("one"), back_end("two")
    back_end("local", server.jail / "run/app.sock")
    server.config = (
        f"ProxyPass /one {one.url}\nProxyPassReverse /one {one.url}\n"
        f"ProxyPass /two {two.url}\n"
        'ProxyPass /local "unix:${JAIL}/run/app.sock|http://app"\n')
    body = os.urandom(300000)
    rows, found = in_each(server, asking(
        "/one/x?y=1", "/two/", "/one/moved", "/local/x",
        *(Request(f"{path}/", "POST", body=body)
          for path in ("/one", "/local")), "/none"))
    assert rows == MODULES["mod_proxy_http"]
    assert [answer[0] for answer in found] == [
        200, 200, 302, 200, 200, 200, 404]
    assert found[2][1]["location"].endswith("/one/there")
    assert found[3][2].startswith("local /x localhost")
    assert found[5][2] == f"300000 {hashlib.md5(body).hexdigest()}"


def members(server, path, count=8):
    """Which back ends answer that many requests?"""
    return sorted(server.get(path).text.split()[0] for _ in range(count))


def test_a_balancer_does_without_a_back_end_that_fails(httpd, back_end):
    one, two = back_end("one"), back_end("two")
    server = httpd(
        "Header add Set-Cookie \"ROUTE=.%{BALANCER_WORKER_ROUTE}e; path=/\" "
        "env=BALANCER_ROUTE_CHANGED\n"
        "<Proxy balancer://fair>\n"
        f"BalancerMember {one.url} route=1\nBalancerMember {two.url} route=2\n"
        "ProxySet stickysession=ROUTE\n</Proxy>\n"
        "<Proxy balancer://lame>\n"
        f"BalancerMember {one.url}\n"
        f"BalancerMember http://127.0.0.1:{free_port()}\n</Proxy>\n"
        "ProxyPass /fair balancer://fair\nProxyPass /lame balancer://lame\n",
        modules=BALANCER)
    server.allow_log("AH00957|AH00959|AH01114")     # the one that is not there

    def ask(server):
        sticky = Request("/fair/", headers={"Cookie": "ROUTE=.2"})
        return (members(server, "/fair/"), members(server, "/lame/"),
                [server.request(sticky).text for _ in range(4)],
                server.get("/fair/").headers["set-cookie"][:7])

    rows, found = in_each(server, ask)
    assert rows == MODULES["mod_proxy_balancer"]
    assert found[0] == 4 * ["one"] + 4 * ["two"]
    assert found[1] == 8 * ["one"]
    assert {text[:3] for text in found[2]} == {"two"}


def test_health_checks_reach_the_back_ends(httpd, back_end):
    """Their threads were started before the jail closed."""
    server = httpd(modules=[*BALANCER, "proxy_hcheck"])
    one, two = back_end("one"), back_end("two")
    check = "hcmethod=GET hcuri=/health hcinterval=200ms hcfails=1 hcpasses=1"
    server.config = (
        "<Proxy balancer://pair>\n"
        f"BalancerMember {one.url} {check}\nBalancerMember {two.url} {check}\n"
        "</Proxy>\nProxyPass / balancer://pair/\n")
    server.allow_log("AH01144|AH03251|AH02900|AH03155|AH00957|AH00959")

    def until(*names):
        wait_for(lambda: set(members(server, "/")) == set(names),
                 f"{names} to answer")
        return names

    def ask(_):
        one.healthy = False
        seen = [until("two")]
        one.healthy = True
        seen.append(until("one", "two"))
        two.healthy = False
        seen.append(until("one"))
        two.healthy = True
        return *seen, until("one", "two")

    rows, _ = in_each(server, ask)
    assert rows == MODULES["mod_proxy_hcheck"]


def test_websockets_are_tunnelled(httpd):
    with echo_server() as port:
        server = httpd(
            f"ProxyPass /old/ ws://127.0.0.1:{port}/\n"
            f"ProxyPass /new/ http://127.0.0.1:{port}/ upgrade=websocket\n",
            modules=["proxy", "proxy_http", "proxy_wstunnel"])
        rows, found = in_each(server, lambda server: [
            echoed(server, path) for path in ("/old/", "/new/")])
    assert rows == MODULES["mod_proxy_wstunnel"]
    assert found == [3, 3]


# A body whose length is not known, for a back end that has to know it.
SPOOLED = "SetEnv proxy-sendcl 1\n"


def chunked(path, body):
    """A request without a Content-Length."""
    return Request(path, "POST", body=iter([body[:8000], body[8000:]]))


def test_a_large_body_is_spooled_to_tmp(httpd, back_end):
    one, body = back_end("one"), os.urandom(200000)
    server = httpd(SPOOLED + f"ProxyPass / {one.url}/\n",
                   modules=["proxy", "proxy_http", "env"])
    server.expect_log("AH01089: search for temporary directory failed")

    def ask(server):
        return answers(server, [chunked("/", body[:9000]),
                                chunked("/", body)])

    def make_tmp():
        (server.jail / "tmp").mkdir()
        (server.jail / "tmp").chmod(0o1777)

    rows, empty, found = with_and_without(
        server, ask, "/tmp", make_tmp, "ChrootBind rw /tmp\n")
    assert rows == MODULES["mod_proxy, bodies that are spooled"]
    assert [answer[0] for answer in empty] == [200, 500]
    assert found[1][2] == f"200000 {hashlib.md5(body).hexdigest()}"
    assert not list((server.jail / "tmp").iterdir())


def test_a_back_end_by_name_takes_a_hosts_file(httpd, back_end):
    one = back_end("one")
    server = httpd(f"ProxyPass / http://localhost:{one.server_port}/\n",
                   modules=["proxy", "proxy_http"])
    server.allow_log("AH00898|AH01102|DNS lookup failure")
    rows, empty, found = with_and_without(
        server, asking("/x"), "/etc/hosts",
        lambda: server.put({"etc/hosts": "127.0.0.1 localhost\n"}))
    assert rows == MODULES["mod_proxy, back ends by name"]
    assert (empty[0][0], found[0][0]) == (500, 200)
