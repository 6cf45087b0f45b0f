"""What the tests of httpd's own modules share: the same questions asked
without a jail, in mod_chroot's and in stock ChrootDir's."""
import contextlib
import http.client
import os

from comparison import IGNORED_HEADERS, JAILED, MOUNTED
from harness import PLAIN, put, self_link, wait_for
from stack_apps import FAILS, WORKS, as_without_the_jail, cell

# On event and worker children abort without the first line, whatever they
# serve: test_stack_sites shows it.
STOCK = "LoadFile libgcc_s.so.1\nChrootDir ${JAIL}\n"


def answers(server, requests):
    """What the server answers, but for what is new each time: a file of this
    second has a weak ETag."""
    return [answer_of(server, request) for request in requests]


def answer_of(server, request):
    answer = server.request(request)
    port = str(server.port)
    headers = {name: value.replace(port, "PORT").removeprefix("W/")
               for name, value in answer.headers.items()
               if name not in IGNORED_HEADERS | {"content-length"}}
    return answer.status, headers, answer.text.replace(port, "PORT")


def asking(*requests):
    """ask() for in_each: these, one after the other."""
    return lambda server: answers(server, requests)


def in_each(server, ask, needs="", bind=""):
    """ask(server) without a jail, in mod_chroot's, in stock ChrootDir's and in
    a view -> the cells of the table, and what was answered."""
    config = server.config
    found = as_without_the_jail(server, ask, bind=bind)
    server.stop()
    server.config = config
    return (WORKS, in_stock(server, ask, found),
            cell(not server.bound, needs, True)), found


def with_and_without(server, ask, needs, add, bind=""):
    """ask(server) in each jail without what add() puts there, and with it
    -> the cells of the table, what was answered without and with it."""
    config, so, server.so = server.config, server.so, PLAIN
    plain = ask(server.start())
    server.stop()
    stock = in_stock(server, ask, plain)

    empty = []
    server.so = so
    for jailed in (MOUNTED, JAILED):
        server.config = jailed + config
        empty.append(ask(server.start()))
        server.stop()
    server.config = config

    add()
    rows, found = in_each(server, ask, bind=bind)
    return (tuple(cell(without, needs, row != FAILS) for without, row in zip(
        (empty[1] == plain, stock == WORKS, empty[0] == plain), rows)),
        empty[1], found)


def in_stock(server, ask, expected, prefix=STOCK):
    """mod_unixd's ChrootDir, with the same configuration: the self-link makes
    its paths valid inside.  -> does it answer as expected?"""
    so, config = server.so, server.config
    server.so, server.config = PLAIN, prefix + config
    server.allow_log(".*")
    with linked(server.jail):
        try:
            works = starts(server) and ask(server) == expected
        except (AssertionError, OSError, http.client.HTTPException):
            works = False
        if server.running():
            server.terminate()
    server.so, server.config = so, config
    return WORKS if works else FAILS


@contextlib.contextmanager
def linked(jail):
    """The jail with the self-link; then as it was."""
    link, = [jail / name for name in self_link(jail)]
    if os.path.lexists(link):
        yield
        return
    put(jail, self_link(jail))
    yield
    link.unlink()
    for parent in link.parents:
        if parent == jail or any(parent.iterdir()):
            break
        parent.rmdir()


def starts(server):
    """Does it start, and do its children live and serve?"""
    seen = len(server.log())
    server.answers = lambda: True           # may never come
    started = server.try_start()
    del server.answers
    return started and wait_for(
        lambda: "exit signal" in server.log()[seen:] or server.answers(),
        "an answer, or a child's end") and server.answers()
