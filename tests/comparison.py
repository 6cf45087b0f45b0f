"""The same requests, without mod_chroot and inside the jail, side by side.

    def test_an_alias_answers_as_before(compare):
        compare(config='Alias "/icons" "${JAIL}/pictures"',
                files={"pictures/a.txt": "a"},
                requests=["/icons/a.txt", "/icons/none"])
"""
import re
from dataclasses import dataclass

from harness import PLAIN, Request

JAILED = "ChrootDir ${JAIL}\nChrootFixRoot On\n"
MOUNTED = "ChrootDir ${JAIL}\nChrootFixRoot Mount\n"
IGNORED_HEADERS = {"date", "expires", "age"}
NOTHING = (401, 403, 404, 500)
ABOUT_A_REQUEST = r":(alert|crit|error|warn)\] .*\[client "


@dataclass
class Comparison:
    plain: list            # an Answer for each request
    jailed: list           # the same, or None when the start was refused
    refusal: str = ""      # what httpd said when it refused

    @property
    def statuses(self):
        return [answer.status for answer in self.plain]


def compare(server, requests, jail_config=JAILED, strip_jail=False, ignore=(),
            refusal_ok=False, same_log=True, outside=(), bind=""):
    """Ask `server` (made with mod_chroot and the configuration that both runs
    share) without the module, then jailed, and assert equal answers.

    strip_jail: take the jail's path out of both bodies (CGI environments).
    ignore:     regular expressions of what may differ in a body.
    refusal_ok: the jailed server may refuse to start instead.
    same_log:   requests also have to be refused for the same reasons: the
                numbers of httpd's messages about them are compared.
    outside:    more requests, for what lies outside the jail: it answers
                none of them with a page.

    What is asked with ChrootFixRoot On is asked with Mount before, with what
    `bind` names; every answer has to be the same there, to the letter, and
    nothing is refused.
    """
    outside = [Request(r) if isinstance(r, str) else r for r in outside]
    requests = [Request(r) if isinstance(r, str) else r for r in requests]
    requests += outside
    so, config = server.so, server.config
    server.allow_log(ABOUT_A_REQUEST)
    server.allow_log(r"chroot:warn\].* (which is not in the jail|leaves )")

    server.so = PLAIN
    plain = _ask(server.start(), requests)
    server.stop()
    log_of_plain = server.log()
    if jail_config == JAILED and not refusal_ok:
        _compare_mounted(server, requests, plain, so, bind + config, ignore,
                         outside)

    before = len(server.log())
    server.so, server.config = so, jail_config + config
    if refusal_ok:
        if not server.try_start():
            refusal = server.output() + server.log()
            server.allow_log(".*")
            return Comparison(plain, None, refusal)
    else:
        server.start()
    jailed = _ask(server, requests)
    server.stop()
    log_of_jailed = server.log()[before:]

    def seen(answer):
        return _essence(server, answer, strip_jail, ignore)

    def right(request, was, now):
        if request in outside:
            return now.status in NOTHING
        return seen(was) == seen(now)

    differences = [
        f"{request}\n  plain:  {seen(was)}\n  jailed: {seen(now)}"
        for request, was, now in zip(requests, plain, jailed)
        if not right(request, was, now)]
    assert not differences, "\n".join(differences)
    if same_log:
        assert _reasons(log_of_jailed) == _reasons(log_of_plain)
    return Comparison(plain, jailed)


def _compare_mounted(server, requests, plain, so, config, ignore, outside):
    server.allow_log(r"chroot:warn\]")
    server.so, server.config = so, MOUNTED + config
    mounted = _ask(server.start(), requests)
    server.stop()
    ignore = [r"(?m)^TZ=.*\n", *ignore]        # children are told the zone
    for request, was, now in zip(requests, plain, mounted):
        was, now = (_essence(server, answer, False, ignore)
                    for answer in (was, now))
        if request in outside and (now[0] in NOTHING or now[0] == was[0] < 400):
            continue
        assert was == now, f"{request}\n  plain: {was}\n  Mount: {now}"


def _ask(server, requests):
    """The answers, with the port of this run made neutral."""
    answers = [server.request(request) for request in requests]
    port = f":{server.port}"
    for answer in answers:
        answer.body = answer.body.replace(port.encode(), b":PORT")
        answer.headers = {name: value.replace(port, ":PORT")
                          for name, value in answer.headers.items()
                          if name != "content-length"}
    return answers


def _essence(server, answer, strip_jail, ignore):
    text = answer.body.decode("latin-1")
    if strip_jail:
        text = re.sub(r"(?m)^TZ=.*\n", "", text)   # children are told the zone
        text = re.sub(re.escape(str(server.jail)) + r"(?=/)", "", text)
        text = re.sub(re.escape(str(server.jail)) + r"(?!\w)", "/", text)
    for pattern in ignore:
        text = re.sub(pattern, "", text)
    headers = {name: value for name, value in answer.headers.items()
               if name not in IGNORED_HEADERS}
    if "etag" in headers:   # weak within a second of the file's last change
        headers["etag"] = headers["etag"].removeprefix("W/")
    if "allow" in headers:
        headers["allow"] = sorted(headers["allow"].split(","))
    return answer.status, headers, text


def _reasons(log):
    """The message numbers of everything logged about a request at warn or
    above."""
    return sorted(number for line in log.splitlines()
                  if re.search(ABOUT_A_REQUEST, line)
                  for number in re.findall(r"\bAH\d{5}", line)[:1])
