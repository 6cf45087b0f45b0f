"""Local time in an empty jail, log rotation, piped logs, what start says."""
import re
from datetime import datetime, timedelta, timezone
from zoneinfo import ZoneInfo

import pytest

import procfs
from harness import wait_for

TOKYO = ("/usr/share/zoneinfo/Asia/Tokyo", "/etc/localtime")
JST = timezone(timedelta(hours=9))
SUMMER = ("/usr/share/zoneinfo/Europe/Berlin", "/etc/localtime")
ACCESS = 'CustomLog logs/access.log "%P %{%z %H}t %U"\n'


# httpd's own words about the logger of the generation before
OLD_LOGGER = "long lost child came home"


def lines_of(server, name, text):
    """The lines of a log that hold text, once there is one."""
    log = server.root / "logs" / name
    return wait_for(lambda: [line for line in log.read_text().splitlines()
                             if text in line], f"{text} in {name}")


def error_time(line, zone):
    stamp = re.match(r"\[(\w+ \w+ \d+ [\d:]+)\.\d+ (\d+)\]", line)
    return datetime.strptime(" ".join(stamp.groups()),
                             "%a %b %d %H:%M:%S %Y").replace(tzinfo=zone)


def assert_tokyo(server, path):
    server.get(path)
    pid, zone, hour, _ = lines_of(server, "access.log", path)[-1].split()
    now = datetime.now(JST)
    assert zone == "+0900"
    assert int(hour) in (now.hour, (now - timedelta(minutes=1)).hour)
    missing = [line for line in lines_of(server, "error.log", path)
               if f"[pid {pid}:" in line]
    assert abs(error_time(missing[-1], JST) - now) < timedelta(minutes=1)


def test_logs_have_local_time_without_localtime_in_the_jail(
        jailed, mpm, variant):
    server = jailed(ACCESS, binds=[TOKYO])
    assert "TZ" not in procfs.environ(server.pid)
    assert_tokyo(server, "/at-start")
    server.graceful()
    assert_tokyo(server, "/after-graceful")
    server.restart()
    assert_tokyo(server, "/after-restart")
    starts = lines_of(server, "error.log", "resuming normal operations")
    assert len(starts) == 3
    for line in starts:
        assert abs(error_time(line, JST) - datetime.now(JST)) < \
            timedelta(minutes=1)


def test_summer_time_is_that_of_the_zone(jailed, variant):
    server = jailed(ACCESS, binds=[SUMMER])
    server.get("/asked")
    zone = lines_of(server, "access.log", "/asked")[-1].split()[1]
    assert zone == datetime.now(ZoneInfo("Europe/Berlin")).strftime("%z")


@pytest.mark.parametrize("tz, offset", [
    ("EST5", "-0500"), ("<+0330>-3:30", "+0330"), ("Asia/Tokyo", "+0900"),
    (":Asia/Tokyo", "+0900"), ("UTC", "+0000")])
def test_tz_of_the_administrator_is_kept(jailed, variant, tz, offset):
    server = jailed(ACCESS, env={"TZ": tz})
    server.get("/asked")
    assert lines_of(server, "access.log", "/asked")[-1].split()[1] == offset
    assert procfs.environ(server.pid)["TZ"] == tz


def test_no_localtime_at_all_means_utc(jailed, variant, directory):
    nothing = directory() / "localtime"
    nothing.write_text("")
    server = jailed(ACCESS, binds=[(nothing, "/etc/localtime")])
    server.get("/asked")
    assert lines_of(server, "access.log", "/asked")[-1].split()[1] == "+0000"


def test_tz_does_not_leak_to_piped_loggers(jailed, variant, mpm):
    server = jailed('CustomLog "|$exec cat >>${ROOT}/logs/piped" "%U"',
                    binds=[TOKYO])
    server.allow_log(OLD_LOGGER)
    for next_generation in (server.graceful, server.restart):
        next_generation()
        server.serving()
        loggers = server.daemons()
        assert loggers
        assert not [pid for pid in loggers if "TZ" in procfs.environ(pid)]


# ------------------------------------------------------------------- rotation

def test_a_rotated_log_is_written_anew_after_graceful(jailed, mpm, variant):
    server = jailed(ACCESS)
    server.get("/before")
    lines_of(server, "access.log", "/before")
    seen = server.generations()
    for name in ("access.log", "error.log"):
        log = server.root / "logs" / name
        log.rename(f"{log}.1")
    old = server.serving()
    server.control("graceful")
    wait_for(lambda: not any(map(procfs.alive, old)), "old children to end")
    wait_for(server.answers, "an answer")
    assert seen == 1 and server.generations() == 1
    server.get("/after")
    assert lines_of(server, "access.log", "/after")
    assert lines_of(server, "error.log", "/after")
    rotated = (server.root / "logs/access.log.1").read_text()
    assert "/before" in rotated and "/after" not in rotated


def test_a_piped_log_is_written_in_every_generation(jailed, mpm, variant):
    server = jailed('CustomLog "|$exec cat >>${ROOT}/logs/piped" "%U"\n')
    server.allow_log(OLD_LOGGER)
    for path in ("/one", "/two", "/three"):
        server.get(path)
        assert lines_of(server, "piped", path)
        server.graceful()


def test_a_piped_error_log_is_written_by_children(jailed, variant):
    server = jailed('ErrorLog "|$exec cat >>${ROOT}/logs/error.log"')
    server.get("/missing")
    assert lines_of(server, "error.log", "/missing")


# ------------------------------------------------------------------- the plan

def plans(server):
    logged = server.output() + server.log()
    return [line for line in logged.splitlines() if "[chroot:notice]" in line]


def test_one_notice_per_start_says_what_is_in_force(jailed, mpm, variant):
    server = jailed()
    for count in (1, 2, 3):
        assert len(plans(server)) == count
        assert str(server.jail) in plans(server)[-1]
        assert re.search(rf"\b{variant}\b", plans(server)[-1])
        server.graceful()


def test_the_notice_names_the_directory_behind_a_symbolic_link(
        httpd, variant):
    server = httpd("ChrootDir link")
    (server.root / "link").symlink_to("jail")
    server.start()
    assert str(server.jail) in plans(server)[0]


def test_nothing_is_said_without_chrootdir(httpd, variant):
    server = httpd().start()
    assert not plans(server)
