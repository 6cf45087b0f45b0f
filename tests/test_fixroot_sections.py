"""ChrootFixRoot and access control: sections, patterns, rules and .htaccess
files deny as without a jail."""
import pytest

from comparison import JAILED
from harness import PLAIN, Link, Request, self_link

SITE = 'DocumentRoot "${JAIL}/www"\n'
FILES = {"www/index.html": "home", "www/f.txt": "open",
         "www/private/index.html": "secret", "www/private/x.txt": "secret",
         "private/x.txt": "another", "usr/share/x.txt": "in the jail's /usr",
         "../other/x.txt": "outside", "../jail2/x.txt": "sibling"}
SECRET = "/private/x.txt"
DENY = "Require all denied"
ANSWERED_DENIED = (401, 403)


def directory(path, body=DENY):
    return f'<Directory "{path}">\n{body}\n</Directory>\n'


def matching(regex, body=DENY):
    return f'<DirectoryMatch "{regex}">\n{body}\n</DirectoryMatch>\n'


@pytest.fixture
def denied(httpd):
    """Requests that are denied without mod_chroot are denied, or find nothing,
    in the jail. Returns the statuses there."""
    def check(config, requests=(SECRET,), files=None, prepare=None, **options):
        server = httpd(config, files={**FILES, **(files or {})}, **options)
        if prepare:
            prepare(server)
        server.allow_log(":(warn|error|crit)\\]|^AH0|not in the jail")
        so, server.so = server.so, PLAIN
        server.start()
        plain = [server.request(each) for each in requests]
        server.stop()
        wrong = [f"{request}: {answer.status}" for request, answer
                 in zip(requests, plain)
                 if answer.status not in ANSWERED_DENIED]
        assert not wrong, f"not denied without mod_chroot: {wrong}"
        server.so, server.config = so, JAILED + config
        server.start()
        jailed = [server.request(each) for each in requests]
        opened = [f"{request}: {was.status} -> {now.status}"
                  for request, was, now in zip(requests, plain, jailed)
                  if now.status not in (*ANSWERED_DENIED, 404)]
        assert not opened, f"opened: {opened}"
        return [answer.status for answer in jailed]
    return check


# -- sections inside, containing, neither

INSIDE = ["${JAIL}/www/private", "${JAIL}/www/private/", "${JAIL}/www",
          "${JAIL}", "${JAIL}/", "${JAIL}//www///private", "${JAIL}/./www",
          "${JAIL}/x/../www/private", "${ROOT}/x/../jail/www/private",
          "/./${JAIL}/www", "/x/..${JAIL}/www/private/.",
          "${JAIL}/*", "${JAIL}/w?w/[p]rivate", "${ROOT}/*/www/private",
          "${ROOT}/j*/www", "${ROOT}/?ail/*/private", "/*/*/*/*/jail/www",
          "${ROOT}/[i-k]ail/www/private", "${ROOT}/[!x]ail/www"]


@pytest.mark.parametrize("path", INSIDE)
def test_a_section_inside_applies(denied, path):
    assert denied(SITE + directory(path)) == [403]


CONTAINING = ["/", "${ROOT}", "${ROOT}/", "/var", "/var/lib", "/*", "/**",
              "/[v]ar", "/v*/*", "/var/lib/*/", "${ROOT}/.", "/x/../var",
              "/?ar/lib", "//", "/.", "/var/.."]


@pytest.mark.parametrize("path", CONTAINING)
def test_a_section_around_the_jail_applies_to_all_of_it(denied, path):
    assert denied(SITE + directory(path)) == [403]


@pytest.mark.parametrize("path", [
    # a backslash in a pattern escapes what follows, a slash too
    "/v*/lib/*/*/\\jail/www/private", "/v*/\\lib/*/*/jail/www/private",
    "/v*/lib/*/*/jail/www/priv\\ate", "/v*\\/lib/*/*/jail/www/private",
    "/v*/lib/*/*/jail\\/www/private", "/v*/lib/*/*/jail/www\\/private",
    "/v*/lib/*/*/jail\\/www\\/private", "/var\\/[l]ib", "/[v]ar/li\\b"])
def test_escapes_in_a_wildcard_section(denied, path):
    assert denied(SITE + directory(path)) == [403]


def test_a_sibling_with_the_same_beginning_is_not_inside(denied):
    denied(SITE + 'Alias "/two" "${ROOT}/jail2"\n'
           + directory("${ROOT}/jail2"), ["/two/x.txt"])


def test_a_section_about_an_outer_path_does_not_open_the_inner_one(denied):
    denied(SITE + directory("/") + directory("/usr/share",
                                             "Require all granted")
           + directory("${JAIL}/www", "Require all granted")
           + 'Alias "/u" "${JAIL}/usr/share"\n', ["/u/x.txt"])


def test_an_outer_section_stays_with_requests_that_lead_there(denied):
    denied(SITE + 'Alias "/o" "${ROOT}/other"\n' + directory("${ROOT}/other"),
           ["/o/x.txt"])


@pytest.mark.parametrize("mapping, url, modules", [
    ("RewriteEngine On\nRewriteRule ^/u/(.*)$ /usr/$1", "/u/share/x.txt",
     ["rewrite"]),
    ("RewriteEngine On\nRewriteRule ^/u$ /usr/share/x.txt", "/u",
     ["rewrite"]),
    ("UserDir /usr/*", "/~share/x.txt", ["userdir"]),
    ('AliasMatch "^/u(/.*)$" "/usr$1"', "/u/share/x.txt", []),
    ("<VirtualHost *>\nVirtualDocumentRoot /usr\n</VirtualHost>",
     "/share/x.txt", ["vhost_alias"])])
def test_mappers_that_lead_out_do_not_lead_in_again(denied, mapping, url,
                                                    modules):
    denied(SITE + mapping + "\n" + directory("/usr"), [url],
           modules=modules)


def test_the_way_out_into_the_jail_again_is_closed(denied):
    """/usr/share outside and the jail's own are two directories."""
    denied(SITE + 'Alias "/u" "/usr/share"\n' + directory("/usr/share"),
           ["/u/x.txt"])


# -- order

def test_sections_around_the_jail_keep_the_order_of_their_depth(denied):
    assert denied(
        SITE + directory("${ROOT}") + directory("/", "Require all granted")
        + directory("/var", "Require all granted")) == [403]


def test_order_across_main_and_virtual_hosts(denied):
    assert denied(
        SITE + directory("${ROOT}") + "<VirtualHost *>\n" + SITE
        + directory("/var", "Require all granted")
        + directory("/", "Require all granted") + "</VirtualHost>\n") == [403]


def test_a_virtual_hosts_section_comes_after_one_of_the_same_depth(compare):
    compare(SITE + directory("${ROOT}", "Require all granted")
            + "<VirtualHost *>\n" + SITE + directory("${ROOT}")
            + "</VirtualHost>\n<VirtualHost *>\nServerName two\n" + SITE
            + "</VirtualHost>\n", files=FILES,
            requests=[SECRET, Request(SECRET, host="two")])


# -- regular expressions

@pytest.mark.parametrize("regex", [
    "^${JAIL}/www/private", "^${JAIL}/", "^${JAIL}/www/(private|x)",
    "/private", "/private/", "/pri[v]ate", "private", "^.*/private",
    ".*/private", "^${JAIL}/.*ate"])
def test_regular_expressions_about_the_jail(denied, regex):
    assert denied(SITE + matching(regex)) == [403]


@pytest.mark.parametrize("regex", [
    "^${JAIL}/a|/priv", "^(${JAIL}|x)", "(?i)${JAIL}/WWW", "/jail/www",
    "^/var/lib", "^${JAIL}?", "^${ROOT}/[j]ail/www", "l/www/private",
    "^(?!/srv/)/", "^/[^/]+/[^/]+/", "var", "", "^", ".",
    "^/[a-z]+/lib/.*/www/private", "${JAIL}/www", "(?<=jail)/www"])
def test_regular_expressions_that_rely_on_outer_parts(denied, regex):
    assert denied(SITE + matching(regex)) == [403]


def test_regular_expressions_without_regard_to_case(denied):
    denied("RegexDefaultOptions +ICASE\n" + SITE
           + matching("/LIB/.*/WWW/private"))
    denied("RegexDefaultOptions +ICASE\n" + SITE
           + matching("^/VAR/LIB/.*/WWW/private"))


@pytest.mark.parametrize("tilde", ["~", '"~"'])
def test_directory_with_a_tilde(denied, tilde):
    assert denied(SITE + f'<Directory {tilde} "^${{JAIL}}/www/private">\n'
                  f"{DENY}\n</Directory>\n") == [403]


def test_a_directory_above_the_jail_that_user_cannot_search(httpd):
    """Without a jail httpd serves nothing there."""
    server = httpd(SITE, files=FILES)
    server.root.chmod(0o700)
    server.so, so = PLAIN, server.so
    server.allow_log(".*client")
    assert server.start().get("/f.txt").status == 403
    server.stop()
    server.so, server.config = so, JAILED + SITE
    assert "cannot search it" in server.refused_start()


# -- rewrite rules in sections: what they match is a path from outside

RULE = "RewriteEngine On\nRewriteRule %s - [F]"


@pytest.mark.parametrize("section, rule", [
    ('<Directory "${ROOT}">', "^jail/www/private"),
    ('<Directory "/">', "jail/www"),
    ('<Directory "/v*/lib/*/*/jail/www/private">', "jail/www"),
    ('<DirectoryMatch "/private">', "jail/www"),
    ('<DirectoryMatch "/private">', "^${JAIL}/www"),
    ('<Location "/private">', "jail/www"),
    ('<Location "/private">', "^${JAIL}/www/private"),
    ('<LocationMatch "/private">', "^${JAIL}/www/private"),
    ('<Files "x.txt">', "^${JAIL}/www/private"),
    ('<If "true">', "jail/www/private")])
def test_rewrite_rules_that_see_outer_paths(denied, section, rule):
    name = section[1:].split()[0]
    denied(f"{SITE}{section}\n{RULE % rule}\n</{name}>\n",
           modules=["rewrite"])


@pytest.mark.parametrize("rule", ["^x", "private/x", "^private/x", "x.txt$"])
def test_rewrite_rules_in_sections_inside(denied, rule):
    path = "${JAIL}/www" + ("" if "private" in rule else "/private")
    assert denied(SITE + directory(path, RULE % rule), modules=["rewrite"]) == [403]


def test_a_rewrite_rule_to_the_top_of_the_jail(denied):
    """mod_rewrite takes "/index.html" for a URL where no file of that name
    begins the rule: then the document root's would be served."""
    denied(SITE + "RewriteEngine On\n"
           'RewriteRule "^/p/(.*)$" "${JAIL}/$1"\n'
           '<Location "/f.txt">\n' + DENY + "\n</Location>\n"
           + directory("${JAIL}") + directory("${JAIL}/www",
                                              "Require all granted"),
           ["/p/f.txt", "/p/private/x.txt"], modules=["rewrite"])


# -- expressions and patterns

@pytest.mark.parametrize("expression", [
    "%{REQUEST_FILENAME} =~ m#^${JAIL}/www/private#",
    "%{REQUEST_FILENAME} =~ m#jail/www/private#",
    "%{REQUEST_FILENAME} =~ m#^/[a-z]+/lib/.*/private#",
    "%{SCRIPT_FILENAME} -strmatch '/*/*/*/*/jail/www/private/*'",
    "%{REQUEST_FILENAME} -strmatch '*/jail/*'",
    "%{DOCUMENT_ROOT} == '${JAIL}/www'",
    "%{DOCUMENT_ROOT} -strmatch '*jail*'",
    "%{CONTEXT_DOCUMENT_ROOT} -strmatch '/v*'",
    "-f '${JAIL}/www/private/x.txt'",
    "-d '${ROOT}'", "-d '/var'", "file('${JAIL}/www/f.txt') == 'open'"])
def test_expressions_about_outer_paths(denied, expression):
    denied(f'{SITE}<If "{expression}">\n{DENY}\n</If>\n')
    denied(f'{SITE}<Location "/private">\n<RequireAll>\nRequire all granted\n'
           f'<RequireNone>\nRequire expr "{expression}"\n</RequireNone>\n'
           "</RequireAll>\n</Location>\n")


def test_an_expression_in_an_authz_provider_alias(denied):
    denied(SITE + '<AuthzProviderAlias expr elsewhere "%{REQUEST_FILENAME} '
           '!~ m#^${JAIL}/www/private#">\n</AuthzProviderAlias>\n'
           '<Location "/">\nRequire elsewhere\n</Location>\n')


@pytest.mark.parametrize("condition", [
    "%{LA-U:REQUEST_FILENAME} jail/www/private",
    "%{LA-U:REQUEST_FILENAME} ^${JAIL}/www/private",
    "%{REQUEST_URI}%{LA-U:REQUEST_FILENAME} ${JAIL}/www/private",
    "%{DOCUMENT_ROOT} jail", "%{DOCUMENT_ROOT} ^/v",
    "%{CONTEXT_DOCUMENT_ROOT} ^${JAIL}", "${JAIL}/www/f.txt -f",
    "${JAIL}/other/x.txt !-f", "${ROOT} -d"])
def test_conditions_about_outer_paths(denied, condition):
    denied(f"{SITE}RewriteEngine On\nRewriteCond {condition}\n"
           "RewriteRule .* - [F]\n", modules=["rewrite"])


@pytest.mark.parametrize("how", [
    'SetEnvIfExpr "%{REQUEST_FILENAME} =~ m#jail/www/private#" bad',
    'SetEnvIfExpr "%{REQUEST_FILENAME} =~ m#^${JAIL}/www/private#" bad'])
def test_environment_variables_set_by_outer_paths(denied, how):
    denied(f"{SITE}<Location />\n{how}\n<RequireAll>\nRequire all granted\n"
           "Require not env bad\n</RequireAll>\n</Location>\n",
           modules=["setenvif", "authz_host"])


# -- .htaccess above the jail

@pytest.mark.parametrize("config, name", [
    (directory("${ROOT}", "AllowOverride All"), ".htaccess"),
    (directory("/", "AllowOverride AuthConfig"), ".htaccess"),
    (directory("/", "AllowOverrideList Require"), ".htaccess"),
    ("AccessFileName .acl\n" + directory("/", "AllowOverride All"), ".acl"),
    (directory("/", "AllowOverride All") + "<VirtualHost *>\n" + SITE
     + "AccessFileName .acl\n</VirtualHost>\n", ".acl"),
    ("<VirtualHost *>\n" + SITE + directory("/", "AllowOverride All")
     + "</VirtualHost>\n", ".htaccess")])
def test_an_htaccess_file_above_the_jail(denied, config, name):
    denied(SITE + config, files={f"../{name}": DENY + "\n"})


def test_an_htaccess_file_above_the_jail_that_nothing_allows(httpd):
    """Without any AllowOverride httpd reads it, and answers 500."""
    server = httpd(JAILED + SITE, files={**FILES, "../.htaccess": DENY + "\n"})
    server.allow_log("client")
    assert server.start().get(SECRET).status == 403


def test_an_htaccess_file_above_the_jail_that_is_not_read(compare):
    compare(SITE + directory("/", "AllowOverride None"),
            files={**FILES, "../.htaccess": DENY + "\n"}, requests=[SECRET])


def test_htaccess_files_inside_apply(denied):
    assert denied(SITE + directory("${ROOT}", "AllowOverride All"),
                  files={"www/private/.htaccess": DENY + "\n"}) == [403]


# -- walking around a section

def test_the_jails_path_twice_does_not_walk_around_a_section(denied):
    requests = ["/a/www/private/x.txt"]

    def prepare(server):
        from harness import put
        put(server.jail, self_link(server.jail))
        requests.append(f"/a{server.jail}/www/private/x.txt")
        requests.append(f"/a{server.jail}{server.jail}/www/private/x.txt")
    denied(SITE + 'Alias "/a" "${JAIL}"\n' + directory("${JAIL}/www/private")
           + matching("/www/private"), requests, prepare=prepare)


# -- sections that code adds

@pytest.mark.parametrize("path", ["${JAIL}/www/private", "${ROOT}", "/"])
def test_a_section_added_by_perl_denies(denied, path):
    """It is in no file."""
    denied(SITE + "PerlModule Apache2::ServerUtil\n<Perl>\n"
           "Apache2::ServerUtil->server->add_config(["
           f"'<Directory \"{path}\">', 'Require all denied', "
           "'</Directory>']);\n</Perl>\n", modules=["perl"])
