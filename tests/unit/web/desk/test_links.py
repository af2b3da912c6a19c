"""Links of Domain Connect: asked for behind the page, and never what a page fails for."""

import json
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from alignd.config.file import parse_configuration
from alignd.config.nameservers import nameservers_of
from alignd.config.signer import load_signer
from alignd.domain_connect.assembly import Reach, Service
from alignd.domain_connect.discovery import Discovery
from alignd.domain_connect.key_record import make_records
from alignd.domain_connect.signing_key import load_signing_key
from alignd.mail.domain import Domain
from alignd.return_path.directory import NO_DIRECTORY
from alignd.web.desk.assembly import Tuning, make_checker
from alignd.web.desk.checker import Checker
from alignd.web.desk.examined import ApplyLink, Examined, NoLink, WhyNoLink
from tests.lab.nameserver import Nameserver, run_nameserver
from tests.lab.readiness import wait_until
from tests.lab.settings import configuration, world
from tests.lab.webhook_receiver import Authority, Receiver, run_receiver, status

HOST = "connect.dnshost.example"
TEMPLATE = "/v2/domainTemplates/providers/easysoftware.com/services/helpdesk-mail"
MARKYS = Domain("mycompany.com")
ZONE = """\
_dmarc.mycompany.com. TXT "v=DMARC1; p=reject"
mycompany.com. TXT "v=spf1 -all"
"""
PASSES = ZONE.replace("-all", "include:spf.mailing.easy.cz -all")


class Story:
    """A DNS host, what a nameserver says, and the checker that asks both."""

    def __init__(self, directory: Path, server: Receiver, dns: Nameserver, ca: Path) -> None:
        self.server = server
        self.dns = dns
        self.failures: list[str] = []
        self.knows_template = True
        self.may_answer = threading.Event()
        self.may_answer.set()
        server.answer = lambda request: status(*self._found(request.path))(request)
        key = directory / "connect.key"
        self._records = "".join(
            f'_dcpubkeyv1.easysoftware.com. TXT "{each}"\n'
            for each in make_records(load_signing_key(str(key)).public_key)
        )
        options = f'provider = "easysoftware.com"\nkey_file = "{key}"\n'
        self._text = configuration(f"[domain_connect]\n{options}", nameserver=dns.address)
        self._reach = Reach(lambda address: address.is_loopback, frozenset({server.port}), str(ca))

    def serve(self, zone: str, *, with_key: bool = True, with_host: bool = True) -> None:
        host = (
            f'_domainconnect.mycompany.com. TXT "{HOST}:{self.server.port}"\n{HOST}. A 127.0.0.1\n'
        )
        records = (zone, host if with_host else "", self._records if with_key else "")
        self.dns.serve(world("".join(records)))

    def checker(self, reach: Reach | None = None) -> Checker:
        settings = parse_configuration(self._text, "test")
        return make_checker(
            settings,
            load_signer(settings.dkim),
            NO_DIRECTORY,
            nameservers_of(settings.dns),
            lambda domain, error: self.failures.append(f"{domain}: {error!r}"),
            Tuning(reach=reach or self._reach, port=self.dns.port),
        )

    def _found(self, path: str) -> tuple[int, bytes]:
        self.may_answer.wait(20.0)
        if path == "/v2/mycompany.com/settings":
            fields = {
                "providerId": "dnshost.example",
                "providerName": "DNS <Host>",
                "urlSyncUX": "https://www.dnshost.example",
                "urlAPI": f"https://{HOST}:{self.server.port}",
            }
            return 200, json.dumps(fields).encode()
        return (200 if path == TEMPLATE and self.knows_template else 404), b""


@pytest.fixture
def story(tmp_path: Path) -> Iterator[Story]:
    key = generate_private_key(65537, 2048)
    file = tmp_path / "connect.key"
    file.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    file.chmod(0o640)
    authority = Authority(tmp_path)
    with (
        run_receiver(authority.issue(HOST), status(404)) as server,
        run_nameserver() as nameserver,
    ):
        told = Story(tmp_path, server, nameserver, authority.file)
        yield told
        told.may_answer.set()
        assert told.failures == []


def link(checker: Checker, domain: Domain = MARKYS) -> ApplyLink | NoLink:
    """What the page has, once the host was asked."""
    found: list[ApplyLink | NoLink] = []

    def is_known() -> bool:
        examined = checker.examine(domain)
        assert isinstance(examined, Examined)
        found.append(examined.domain_connect)
        connect = examined.domain_connect
        return isinstance(connect, ApplyLink) or connect.why is not WhyNoLink.NOT_YET_KNOWN

    wait_until(is_known, "the DNS host has answered, or is given up")
    return found[-1]


def test_the_link_applies_what_was_proven(story: Story) -> None:
    story.serve(ZONE)
    with closing(story.checker()) as checker:
        found = link(checker)
        asked = len(story.server.received)
        assert isinstance(link(checker), ApplyLink)

    assert isinstance(found, ApplyLink)
    assert found.provider == "DNS <Host>"
    url = urlsplit(found.url)
    assert (url.scheme, url.netloc, url.path) == (
        "https",
        "www.dnshost.example",
        f"{TEMPLATE}/apply",
    )
    query = parse_qs(url.query, strict_parsing=True)
    assert (query["domain"], query["groupId"]) == (["mycompany.com"], ["spf"])
    assert query["sig"]
    assert len(story.server.received) == asked, "what the host said is remembered"


@pytest.mark.parametrize(
    ("zone", "why"),
    [
        pytest.param(PASSES, WhyNoLink.NOTHING_TO_PUBLISH, id="passes"),
        pytest.param(
            ZONE + 'mycompany.com. TXT "v=spf1 a -all"\n', WhyNoLink.NOT_OUR_TEMPLATE, id="two"
        ),
    ],
)
def test_no_host_is_asked_where_the_template_would_not_do(
    story: Story, zone: str, why: WhyNoLink
) -> None:
    story.serve(zone)
    with closing(story.checker()) as checker:
        assert link(checker) == NoLink(why)
    assert not story.server.received


def test_a_host_that_takes_no_part_or_lacks_the_template_is_told(story: Story) -> None:
    story.serve(ZONE, with_host=False)
    with closing(story.checker()) as checker:
        found = link(checker)
        assert isinstance(found, NoLink)
        assert found.why is WhyNoLink.UNSUPPORTED
        assert "does not take part" in found.detail
    story.serve(ZONE)
    story.knows_template = False
    with closing(story.checker()) as checker:
        found = link(checker)
        assert isinstance(found, NoLink)
        assert (found.why, "does not have the template" in found.detail) == (
            WhyNoLink.UNSUPPORTED,
            True,
        )


def test_a_link_that_hosts_could_not_verify_is_none(story: Story) -> None:
    story.serve(ZONE, with_key=False)
    with closing(story.checker()) as checker:
        found = link(checker)
    assert isinstance(found, NoLink)
    assert found.why is WhyNoLink.KEY_NOT_PUBLISHED


def test_a_host_inside_is_not_asked(story: Story) -> None:
    story.serve(ZONE)
    with closing(story.checker(Reach(ports=frozenset({story.server.port})))) as checker:
        found = link(checker)
    assert isinstance(found, NoLink)
    assert found.why is WhyNoLink.UNKNOWN
    assert found.detail == f"{HOST} has the address 127.0.0.1, which is not asked"
    assert not story.server.received


def test_a_slow_host_keeps_no_page_and_its_link_is_there_later(story: Story) -> None:
    story.serve(ZONE)
    story.may_answer.clear()
    with closing(story.checker()) as checker:
        began = time.monotonic()
        examined = checker.examine(MARKYS)
        assert isinstance(examined, Examined)
        assert examined.domain_connect == NoLink(WhyNoLink.NOT_YET_KNOWN)
        assert examined.advice.alternatives
        assert time.monotonic() - began < 15.0
        story.may_answer.set()
        assert isinstance(link(checker), ApplyLink)


def test_a_silent_host_is_given_up(story: Story) -> None:
    story.serve(ZONE)
    story.may_answer.clear()
    with closing(story.checker()) as checker:
        found = link(checker)
    assert isinstance(found, NoLink)
    assert found.why is WhyNoLink.UNKNOWN
    assert "no answer within 3 s" in found.detail


def test_what_is_closed_asks_no_host(story: Story) -> None:
    story.serve(ZONE)
    checker = story.checker()
    examined = checker.examine(MARKYS)
    assert isinstance(examined, Examined)
    checker.close()
    wait_until(
        lambda: (
            not [each for each in threading.enumerate() if each.name.startswith("domain connect")]
        ),
        "the threads have ended",
    )


@pytest.mark.parametrize(
    ("owner", "name"),
    [
        pytest.param(Discovery, "offer", id="while the host is asked"),
        pytest.param(Service, "link", id="while the link is signed"),
    ],
)
def test_a_bug_is_no_link_and_a_report(
    story: Story, monkeypatch: pytest.MonkeyPatch, owner: type, name: str
) -> None:
    def broken(*_: object) -> None:
        raise KeyError("bug")

    monkeypatch.setattr(owner, name, broken)
    story.serve(ZONE)
    with closing(story.checker()) as checker:
        assert link(checker) == NoLink(WhyNoLink.UNKNOWN, "KeyError")
    assert story.failures == ["mycompany.com: KeyError('bug')"]
    story.failures.clear()
