"""Who may see a page: password files, digests, dbm files, slapd."""
import hashlib
import shutil

import pytest

from comparison import JAILED, MOUNTED
from harness import File, Request, free_port, put, run, run_ok
from stack import answers, in_each, in_stock
from stack_apps import FAILS, WORKS, cell, service

# What the table of CAVEATS.md says: (On, stock ChrootDir, Mount)
MODULES = {
    "mod_auth_basic": 3 * (WORKS,),
    "mod_auth_digest": 3 * (WORKS,),
    "mod_authn_dbm, Berkeley DB": (WORKS, FAILS, WORKS),
    "mod_authnz_ldap": 3 * (WORKS,),
    "mod_authnz_ldap, ldaps": 3 * ("needs the CA's file",),
}
PAGES = {f"www/{name}/index.html": f"{name}'s page" for name in (
    "basic", "group", "digest", "dbm", "sdbm", "ldap", "filter", "admins")}
ROOT = 'DocumentRoot "${JAIL}/www"\n'
DENIED = r"AH016(17|18|31)|AH0179[024]"


def section(name, text, kind="Basic"):
    """A page that takes a name and a password."""
    return (f'<Directory "${{JAIL}}/www/{name}">\nAuthType {kind}\n'
            f"AuthName {name}\n{text}</Directory>\n")


def asked(server, *names):
    """What each page says to nobody, to a friend, a stranger, a liar."""
    users = (None, ("alice", "wonder"), ("bob", "builder"),
             ("alice", "wrong"), ("nobody", "x"))
    return answers(server, [Request(f"/{name}/", auth=user)
                            for name in names for user in users])


def statuses(found):
    """In fives: one line for each page."""
    return [[answer[0] for answer in found[i:i + 5]]
            for i in range(0, len(found), 5)]


# ------------------------------------------------------------ password files

def password_files(server):
    """users (each line by another algorithm), digests, dbm files, groups."""
    where = server.jail / "auth"
    where.mkdir()
    for flags, user, password in (("-cbB", "alice", "wonder"),
                                  ("-b5", "bob", "builder")):
        run_ok(["htpasswd", flags, where / "users", user, password])
        for kind in ("SDBM", "DB"):
            run_ok(["htdbm", flags.replace("5", "m"), f"-T{kind}",
                    where / kind, user, password])
    put(where, {"groups": "admins: alice\n",
                "digests": digest("alice", "wonder")})


def digest(user, password):
    """A line of htdigest's, which asks for passwords at a terminal only."""
    secret = hashlib.md5(f"{user}:digest:{password}".encode()).hexdigest()
    return f"{user}:digest:{secret}\n"


FILES = "".join([
    section("basic", 'AuthUserFile "${JAIL}/auth/users"\n'
            "Require valid-user\n"),
    section("group", 'AuthUserFile "${JAIL}/auth/users"\n'
            'AuthGroupFile "${JAIL}/auth/groups"\nRequire group admins\n')])
DBM = "".join([
    section("dbm", 'AuthBasicProvider dbm\nAuthDBMType DB\nAuthDBMUserFile '
            '"${JAIL}/auth/DB"\nRequire valid-user\n'),
    section("sdbm", 'AuthBasicProvider dbm\nAuthDBMType SDBM\nAuthDBMUserFile '
            '"${JAIL}/auth/SDBM"\nRequire user bob\n')])


def test_passwords_in_files(httpd):
    server = httpd(ROOT + FILES, files=PAGES, modules=[
        "auth_basic", "authn_core", "authn_file", "authz_user",
        "authz_groupfile"])
    server.allow_log(DENIED)
    password_files(server)
    rows, found = in_each(server,
                          lambda server: asked(server, "basic", "group"))
    assert rows == MODULES["mod_auth_basic"]
    assert statuses(found) == [[401, 200, 200, 401, 401],
                               [401, 200, 401, 401, 401]]


def test_passwords_in_dbm_files(httpd):
    """Berkeley DB's driver is loaded when it is used first."""
    server = httpd(ROOT + DBM, files=PAGES, modules=[
        "auth_basic", "authn_core", "authn_dbm", "authz_user"])
    server.allow_log(DENIED)
    password_files(server)
    rows, found = in_each(server, lambda server: asked(server, "dbm", "sdbm"))
    assert rows == MODULES["mod_authn_dbm, Berkeley DB"]
    assert statuses(found) == [[401, 200, 200, 401, 401],
                               [401, 401, 200, 401, 401]]


def test_digests(httpd):
    server = httpd(ROOT + section(
        "digest", 'AuthDigestProvider file\nAuthUserFile '
        '"${JAIL}/auth/digests"\nRequire valid-user\n', "Digest"), files=PAGES,
        modules=["auth_digest", "authn_core", "authn_file", "authz_user"])
    server.allow_log(DENIED)
    password_files(server)

    def ask(server):
        url = f"http://127.0.0.1:{server.port}/digest/"
        return [run_ok(["curl", "-sS", "--digest", "-u", user, "-w",
                        "%{http_code} %{num_headers}", url])
                for user in ("alice:wonder", "alice:wrong", "bob:x")]

    rows, found = in_each(server, ask)
    assert rows == MODULES["mod_auth_digest"]
    assert found[0].startswith("digest's page200")
    assert "401" in found[1] and "401" in found[2]


# ---------------------------------------------------------- directory server

SLAPD = """\
include /etc/ldap/schema/core.schema
include /etc/ldap/schema/cosine.schema
include /etc/ldap/schema/inetorgperson.schema
pidfile {base}/slapd.pid
TLSCACertificateFile {base}/ca.pem
TLSCertificateFile {base}/ca.pem
TLSCertificateKeyFile {base}/ca.key
database ldif
directory {base}/data
suffix dc=example
rootdn cn=root,dc=example
rootpw secret
"""
ENTRIES = """\
dn: dc=example
objectClass: dcObject
objectClass: organization
dc: example
o: example

dn: uid=alice,dc=example
objectClass: inetOrgPerson
uid: alice
cn: Alice
sn: A
title: boss
userPassword: wonder

dn: uid=bob,dc=example
objectClass: inetOrgPerson
uid: bob
cn: Bob
sn: B
userPassword: builder

dn: cn=admins,dc=example
objectClass: groupOfNames
cn: admins
member: uid=alice,dc=example
"""
LDAP = """\
AuthBasicProvider ldap
AuthLDAPURL "{url}/dc=example?uid"
AuthLDAPBindDN cn=root,dc=example
AuthLDAPBindPassword secret
Require {require}
"""


@pytest.fixture(scope="module")
def slapd(workspace):
    """A directory server of nobody's on two ports -> (ldap, ldaps, its CA)"""
    base = workspace / "slapd"
    (base / "data").mkdir(parents=True)
    run_ok(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes",
            "-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1",
            "-keyout", base / "ca.key", "-out", base / "ca.pem"])
    put(base, {"slapd.conf": SLAPD.format(base=base), "entries": ENTRIES})
    run_ok(["slapadd", "-f", base / "slapd.conf", "-l", base / "entries"])
    run_ok(["chown", "-R", "nobody", base])
    urls = [f"ldap://127.0.0.1:{free_port()}",
            f"ldaps://127.0.0.1:{free_port()}"]
    command = ["slapd", "-d", "0", "-f", base / "slapd.conf", "-h",
               f"{urls[0]}/ {urls[1]}/"]
    with service(command, user="nobody", log=base / "log", ready=lambda: run(
            ["ldapsearch", "-x", "-H", urls[0], "-b", "dc=example"])[0] == 0):
        yield *urls, base / "ca.pem"
    shutil.rmtree(base)


def ldap_sections(url):
    requirements = {"ldap": "valid-user",
                    "filter": "ldap-filter title=boss",
                    "admins": "ldap-group cn=admins,dc=example"}
    return "".join(section(name, LDAP.format(url=url, require=require))
                   for name, require in requirements.items())


MODULES_OF_LDAP = ["auth_basic", "authn_core", "ldap", "authnz_ldap",
                   "authz_user"]


def ask_ldap(server):
    return asked(server, "ldap", "filter", "admins")


def test_a_directory_server(httpd, slapd):
    server = httpd(ROOT + ldap_sections(slapd[0]), files=PAGES,
                   modules=MODULES_OF_LDAP)
    server.allow_log(DENIED)
    rows, found = in_each(server, ask_ldap)
    assert rows == MODULES["mod_authnz_ldap"]
    assert statuses(found) == [[401, 200, 200, 401, 401],
                               [401, 200, 401, 401, 401],
                               [401, 200, 401, 401, 401]]


def test_a_directory_server_by_tls(httpd, slapd):
    """libldap reads the CA's file when it connects. Without it nobody is in a
    group, and "Require not ldap-group" denies nobody."""
    ca = {"conf/ca.pem": File(copy_of=slapd[2])}
    server = httpd("LDAPConnectionPoolTTL 0\n"      # connect each time
                   'LDAPTrustedGlobalCert CA_BASE64 "${JAIL}/conf/ca.pem"\n'
                   + ROOT + ldap_sections(slapd[1]), files={**PAGES, **ca},
                   modules=MODULES_OF_LDAP)
    put(server.root, ca)
    server.allow_log(DENIED)
    config = server.config
    rows, found = in_each(server, ask_ldap)
    assert tuple(cell(False, "the CA's file", row == WORKS) for row in rows) \
        == MODULES["mod_authnz_ldap, ldaps"]
    assert statuses(found)[0] == [401, 200, 200, 401, 401]

    server.config = config.replace("${JAIL}/conf", "${ROOT}/conf")
    assert in_stock(server, ask_ldap, found) == FAILS
    config, server.config = server.config, JAILED + server.config
    assert 'decides by "%s/conf/ca.pem"' % server.root in server.refused_start()
    server.config = MOUNTED + config
    assert f'names "{server.root}/conf/ca.pem", which is not in the jail' in \
        server.refused_start()


@pytest.mark.parametrize("url, mode, refused", [
    ("ldaps://192.0.2.1/dc=x", "", True), ("ldap://192.0.2.1/dc=x", "", False),
    ("ldap://192.0.2.1/dc=x", "STARTTLS", True),
    ("ldap://192.0.2.1/dc=x", "NONE", False)])
def test_a_directory_server_by_tls_whose_ca_is_not_named(httpd, url, mode,
                                                         refused):
    config = (JAILED + section("x", f'AuthLDAPURL "{url}" {mode}\n'
                               "Require valid-user\n"))
    server = httpd(config, modules=MODULES_OF_LDAP)
    assert (server.configtest()[0] != 0) == refused
    status, said = server.configtest("LDAPVerifyServerCert Off\n" + config)
    assert status == 0, said

