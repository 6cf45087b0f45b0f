"""What lies in the jail keeps no server from starting."""
from harness import File


def test_programs_in_a_directory_that_many_hosts_have(httpd):
    hosts = "".join(f"<VirtualHost *>\nServerName h{i}\nScriptAlias /cgi-bin/ "
                    "${JAIL}/cgi/\n</VirtualHost>\n" for i in range(1000))
    server = httpd(
        "ChrootDir ${JAIL}\nChrootFixRoot On\nDocumentRoot ${JAIL}/cgi\n"
        + hosts, files={f"cgi/p{i}": File("#!/cgi/p0\n", mode=0o755)
                        for i in range(1024)})
    status, output = server.configtest()
    assert status == 0 and "alert" not in output, output
