"""The comparison of a plain and a jailed server: two simple sites, and that
it notices what differs."""
import pytest

from comparison import JAILED
from harness import Request

SITE = 'DocumentRoot "${JAIL}/www"\nAlias "/notes" "${JAIL}/notes"\n'
PAGES = {"www/index.html": "home", "www/sub/page.txt": "page",
         "notes/index.html": "notes"}


def test_pages_and_aliases_answer_as_before(compare, mpm, variant):
    done = compare(SITE, files=PAGES, requests=[
        "/", "/sub", "/sub/page.txt", "/notes/", "/notes/missing", "/x%2e/",
        Request("/", method="HEAD"), Request("/", method="OPTIONS"),
        Request("/sub/page.txt", headers={"Range": "bytes=1-2"})])
    assert done.statuses == [200, 301, 200, 200, 404, 404, 200, 200, 206]


def test_missing_modules_and_methods_answer_as_before(compare):
    compare(SITE + "<Location /secret>\nRequire all denied\n</Location>",
            files=PAGES,
            requests=["/secret", Request("/", method="POST", body="x"),
                      Request("/", method="TRACE"),
                      Request("/", host="other.example")])


def test_a_difference_is_noticed(compare):
    with pytest.raises(AssertionError, match="hidden.*\n *plain.*\n *jailed"):
        compare(SITE, files={**PAGES, "www/hidden.txt": "x"},
                requests=["/", "/hidden.txt"],
                jail_config=JAILED + "<Files hidden.txt>\n"
                "Require all denied\n</Files>\n")


def test_a_refusal_is_a_result_where_it_is_allowed(compare):
    done = compare(SITE, files=PAGES, requests=["/"], refusal_ok=True,
                   jail_config="ChrootDir absent\n")
    assert done.jailed is None and "absent" in done.refusal
