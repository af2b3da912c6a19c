"""`alignd domain-connect`: the template, its key, and a link that a DNS host verifies."""

import base64
import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import parse_qs, unquote, urlsplit

import pytest
from click.testing import CliRunner, Result
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from alignd.cli.main import main
from alignd.domain_connect.assembly import Reach
from tests.lab.nameserver import run_nameserver
from tests.lab.settings import configuration, world
from tests.lab.webhook_receiver import Authority, Receiver, run_receiver, status
from tests.support.commandline import CommandLine, Outcome

HOST = "connect.dnshost.example"
CONFIG = ("--config", "alignd.conf")
TEMPLATE = "/v2/domainTemplates/providers/easysoftware.com/services/helpdesk-mail"


@pytest.fixture(scope="module")
def private_key() -> bytes:
    key = generate_private_key(65537, 2048)
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


@pytest.fixture
def own(cli: CommandLine, private_key: bytes) -> CommandLine:
    """A directory where Domain Connect is on."""
    cli.write("alignd.conf", conf(cli))
    cli.write("connect.key", private_key)
    (cli.directory / "connect.key").chmod(0o640)
    return cli


def conf(cli: CommandLine, nameserver: str = "127.0.0.1:53") -> str:
    options = f'provider = "easysoftware.com"\nkey_file = "{cli.directory}/connect.key"\n'
    return configuration(f"[domain_connect]\n{options}", nameserver=nameserver)


def published(own: CommandLine) -> str:
    """The records of the key, as a zone has them."""
    records = own.run("domain-connect", "key", *CONFIG).stdout.splitlines()
    return "".join(f'_dcpubkeyv1.easysoftware.com. TXT "{each}"\n' for each in records)


def test_the_template_is_what_hosts_take(own: CommandLine) -> None:
    outcome = own.run("domain-connect", "template", "--template-version", "4", *CONFIG)

    assert (outcome.status, outcome.stderr) == (0, "")
    assert outcome.json["version"] == 4
    assert outcome.json["syncPubKeyDomain"] == "easysoftware.com"
    assert outcome.json["records"][0]["spfRules"] == "include:spf.mailing.easy.cz"


def test_the_records_of_the_key_stand_alone_on_standard_output(own: CommandLine) -> None:
    outcome = own.run("domain-connect", "key", *CONFIG)

    first, second = outcome.stdout.splitlines()
    assert first.startswith("p=1,a=RS256,d=MII")
    assert second.startswith("p=2,a=RS256,d=")
    assert "all at _dcpubkeyv1.easysoftware.com" in outcome.stderr


def test_check_config_names_the_template(own: CommandLine) -> None:
    outcome = own.run("check-config", *CONFIG)

    assert outcome.status == 0
    assert "Domain Connect: the template easysoftware.com/helpdesk-mail.\n" in outcome.stdout


@pytest.mark.parametrize(
    ("content", "mode", "said"),
    [
        pytest.param(None, 0o640, "cannot be read: No such file or directory", id="missing"),
        pytest.param(b"", 0o644, "its mode is 0644: others than the service can", id="open"),
        pytest.param(b"x", 0o640, "not an RSA key of 2048 to 4096 bits in PEM", id="no key"),
    ],
)
def test_a_key_that_is_no_use_is_named(
    own: CommandLine, content: bytes | None, mode: int, said: str
) -> None:
    path = own.directory / "connect.key"
    path.unlink()
    if content is not None:
        path.write_bytes(content)
        path.chmod(mode)

    for command, exit_status in ((("domain-connect", "key"), 2), (("check-config",), 78)):
        outcome = own.run(*command, *CONFIG)
        assert (outcome.status, outcome.stdout) == (exit_status, "")
        assert f"{path}:1: {said}" in outcome.stderr


def test_where_it_is_off_it_says_what_to_set(cli: CommandLine) -> None:
    complaint = (
        "Error: alignd.conf: Domain Connect is off; domain_connect.provider switches it on\n"
    )
    for command in (("template",), ("key",), ("link", "a.example"), ("check", "a.example")):
        outcome = cli.run("domain-connect", *command, *CONFIG)
        assert outcome == Outcome(2, "", complaint)


@pytest.mark.parametrize(
    ("domain", "zone", "exit_status", "said"),
    [
        pytest.param(
            "mycompany.com", "", 1, "the DNS host of mycompany.com does not take part", id="none"
        ),
        pytest.param(
            "mycompany.com",
            f'_domainconnect.mycompany.com. TXT "{HOST}"\n{HOST}. A 127.0.0.1\n',
            2,
            f"{HOST} has the address 127.0.0.1, which is not asked",
            id="a host inside",
        ),
        pytest.param(
            "mycompany.com",
            f'_domainconnect.mycompany.com. TXT "{HOST}"\n{HOST}. A 192.0.2.25\n',
            2,
            f"{HOST} has the address 192.0.2.25, which is not asked",
            id="the relay's own address",
        ),
        pytest.param(
            "mycompany.com", "; SERVFAIL _domainconnect.mycompany.com.\n", 2, "SERVFAIL", id="DNS"
        ),
        pytest.param("gmail.com", "", 1, "gmail.com is a mailbox provider's", id="freemail"),
    ],
)
def test_where_there_is_no_link_the_reason_is_told(
    own: CommandLine, domain: str, zone: str, exit_status: int, said: str
) -> None:
    own.write("zone", published(own) + zone)
    for command in ("link", "check"):
        outcome = own.run("domain-connect", command, domain, "--zone", "zone", *CONFIG)
        assert outcome.status == exit_status
        assert said in " ".join((outcome.stderr + outcome.stdout).split())
        assert "https" not in outcome.stdout


def test_a_wrong_domain_or_group_is_told(own: CommandLine) -> None:
    outcome = own.run("domain-connect", "link", "a..b", *CONFIG)
    assert outcome == Outcome(2, "", "Error: not a domain: 'a..b': empty label\n")
    outcome = own.run("domain-connect", "link", "a.example", "--only", "dkim", *CONFIG)
    assert outcome == Outcome(2, "", "Error: --only: the template has no records of dkim\n")


class DnsHost:
    """A DNS host that takes part, and the command in its world."""

    def __init__(self, own: CommandLine, server: Receiver, reach: Reach) -> None:
        self.own = own
        self.server = server
        self.reach = reach
        self.knows_template = True
        server.answer = lambda request: status(*self.found(request.path))(request)

    def found(self, path: str) -> tuple[int, bytes]:
        if path == "/v2/mycompany.com/settings":
            url = f"https://{HOST}:{self.server.port}"
            fields = {
                "providerId": "dnshost.example",
                "providerName": "DNS Host",
                "urlSyncUX": "https://www.dnshost.example",
                "urlAPI": url,
                "urlControlPanel": "https://panel.dnshost.example/%domain%",
            }
            return 200, json.dumps(fields).encode()
        return (200 if path == TEMPLATE and self.knows_template else 404), b""

    def run(self, *arguments: str) -> Result:
        config = str(self.own.directory / "alignd.conf")
        command = ["domain-connect", *arguments, "--config", config]
        return CliRunner().invoke(main, command, obj=self.reach)


@pytest.fixture
def host(own: CommandLine) -> Iterator[DnsHost]:
    authority = Authority(own.directory)
    with (
        run_receiver(authority.issue(HOST), status(404)) as server,
        run_nameserver() as nameserver,
    ):
        record = f'_domainconnect.mycompany.com. TXT "{HOST}:{server.port}"\n'
        nameserver.serve(world(f"{record}{HOST}. A 127.0.0.1\n{published(own)}"))
        own.write("alignd.conf", conf(own, nameserver.address))
        reach = Reach(
            lambda address: address.is_loopback, frozenset({server.port}), str(authority.file)
        )
        yield DnsHost(own, server, reach)


def verified(link: str, own: CommandLine, tmp_path: Path) -> bool:
    """Whether OpenSSL verifies *link*, with the key that the records in DNS are."""
    query, _, appended = urlsplit(link).query.partition("&sig=")
    records = own.run("domain-connect", "key", *CONFIG).stdout.split()
    der = base64.b64decode("".join(each.partition("d=")[2] for each in records))
    (tmp_path / "key.der").write_bytes(der)
    (tmp_path / "query").write_text(query)
    signature = base64.b64decode(unquote(appended.partition("&key=")[0]))
    (tmp_path / "signature").write_bytes(signature)
    command = ["openssl", "dgst", "-sha256", "-verify", "key.der", "-keyform", "DER"]
    done = subprocess.run(
        [*command, "-signature", "signature", "query"], cwd=tmp_path, capture_output=True,
        text=True, check=False,
    )  # fmt: skip
    return done.stdout == "Verified OK\n"


def test_a_link_is_for_one_domain_and_openssl_verifies_it(
    host: DnsHost, own: CommandLine, tmp_path: Path
) -> None:
    result = host.run("link", "help.mycompany.com", "--only", "spf")

    assert (result.exit_code, result.stderr) == (0, "")
    link = result.stdout.strip()
    url = urlsplit(link)
    assert (url.netloc, url.path) == ("www.dnshost.example", f"{TEMPLATE}/apply")
    asked = parse_qs(url.query, strict_parsing=True)
    del asked["sig"]
    assert asked == {
        "domain": ["mycompany.com"],
        "host": ["help"],
        "groupId": ["spf"],
        "key": ["_dcpubkeyv1"],
    }
    assert verified(link, own, tmp_path)
    assert not verified(link.replace("host=help", "host=desk"), own, tmp_path)


def test_check_says_that_all_is_there(host: DnsHost) -> None:
    result = host.run("check", "mycompany.com")

    assert result.exit_code == 0
    assert result.stdout == (
        "mycompany.com: its DNS is at DNS Host (dnshost.example).\n"
        "By hand: https://panel.dnshost.example/mycompany.com\n"
        "It knows the template easysoftware.com/helpdesk-mail.\n"
        "Our key is published at _dcpubkeyv1.easysoftware.com.\n"
    )
    assert json.loads(host.run("check", "mycompany.com", "--json").stdout) == {
        "domain": "mycompany.com",
        "zone": "mycompany.com",
        "host": "",
        "dns_provider": {
            "id": "dnshost.example",
            "name": "DNS Host",
            "control_panel": "https://panel.dnshost.example/mycompany.com",
        },
        "template": "easysoftware.com/helpdesk-mail",
        "supported": True,
        "key_published": True,
        "problems": [],
    }


def test_where_the_host_lacks_the_template_the_panel_is_shown(host: DnsHost) -> None:
    host.knows_template = False
    result = host.run("check", "mycompany.com")

    assert result.exit_code == 1
    assert "By hand: https://panel.dnshost.example/mycompany.com\n" in result.stdout
    said = " ".join(result.stdout.split())
    assert "DNS Host does not have the template easysoftware.com/helpdesk-mail." in said
    assert host.run("link", "mycompany.com").stdout == ""


def test_no_link_is_given_that_hosts_would_refuse_for_want_of_the_key(
    host: DnsHost, own: CommandLine
) -> None:
    path = own.directory / "alignd.conf"
    path.write_text(
        path.read_text().replace("[domain_connect]\n", '[domain_connect]\nkey_name = "k2"\n')
    )
    result = host.run("link", "mycompany.com")

    assert (result.exit_code, result.stdout) == (1, "")
    assert "k2.easysoftware.com has no records" in result.stderr
