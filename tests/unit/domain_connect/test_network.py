"""A DNS host is found by real DNS and a real server, and none leads into this network."""

import json
import socket
import ssl
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest

from alignd.config.nameservers import nameservers_of
from alignd.config.settings import DnsOptions
from alignd.domain_connect.address_check import is_public
from alignd.domain_connect.discovery import Discovery, Offer, Place, Unknown, Unsupported
from alignd.domain_connect.fetch import Fetched, FetchFailed
from alignd.domain_connect.https import MAX_DOCUMENT, GuardedHttps
from alignd.domain_connect.key_record import is_published, make_records
from alignd.domain_connect.template import TemplateId
from alignd.domain_connect.url import UrlPrefix
from alignd.mail.domain import Domain
from alignd.mail.ip_address import IpAddress
from alignd.mailauth.dns import Lookup
from alignd.mailauth.ternary import Ternary
from alignd.resolver.resolver import Resolver
from tests.lab.nameserver import Nameserver, run_nameserver
from tests.lab.readiness import free_ports
from tests.lab.webhook_receiver import Answer, Authority, Receiver, close, run_receiver, status

HOST = "connect.dnshost.example"
ADDRESS = f"{HOST}. A 127.0.0.1\n"
Refusal = type[Unsupported] | type[Unknown]
OURS = TemplateId("easysoftware.com", "helpdesk-mail")
TEMPLATE = "/v2/domainTemplates/providers/easysoftware.com/services/helpdesk-mail"
DOMAIN = Domain.parse("mycompany.com")


def is_loopback(address: IpAddress) -> bool:
    return address.is_loopback


def registered(domain: Domain) -> Domain:
    return domain.last(2)


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="module")
def certificate(authority: Authority) -> Path:
    return authority.issue(HOST)


@pytest.fixture
def server(certificate: Path) -> Iterator[Receiver]:
    with run_receiver(certificate, status(200, b"{}")) as receiver:
        yield receiver


@pytest.fixture
def nameserver() -> Iterator[Nameserver]:
    with run_nameserver() as nameserver:
        nameserver.serve(ADDRESS)
        yield nameserver


@dataclass
class World:
    """A nameserver, a server, and what is allowed to reach them."""

    nameserver: Nameserver
    server: Receiver
    authority: Authority
    may_connect: Callable[[IpAddress], bool] = is_loopback
    ports: frozenset[int] | None = None
    patience: float = 5.0
    documents: dict[str, Answer] = field(default_factory=dict)

    @property
    def prefix(self) -> UrlPrefix:
        return UrlPrefix.parse(f"https://{HOST}:{self.server.port}")

    def lookups(self) -> Lookup:
        where = f"{self.nameserver.host}:{self.nameserver.port}"
        options = DnsOptions.model_validate({"nameservers": [where], "min_ttl": "0s"})
        return Resolver(options, nameservers_of(options), print).for_message()

    def https(self) -> GuardedHttps:
        return GuardedHttps(
            self.lookups,
            "alignd/1",
            ssl.create_default_context(cafile=self.authority.file),
            may_connect=self.may_connect,
            ports=self.ports or frozenset({self.server.port}),
            patience=self.patience,
        )

    def get(self, prefix: UrlPrefix | None = None) -> Fetched | FetchFailed:
        return self.https()(prefix or self.prefix, "/v2/mycompany.com/settings")

    def refusal(self, prefix: UrlPrefix | None = None) -> str:
        """Why there is no document."""
        failed = self.get(prefix)
        assert isinstance(failed, FetchFailed)
        assert failed.reason.isprintable()
        return failed.reason

    def offer(self, domain: Domain = DOMAIN) -> Offer | Unsupported | Unknown:
        self.server.answer = self.answer
        return Discovery(self.lookups, self.https(), registered).offer(domain, OURS)

    def answer(self, request: BaseHTTPRequestHandler) -> None:
        self.documents.get(request.path, status(404))(request)

    def settings(self, zone: str = "mycompany.com", **changes: object) -> None:
        """Have the host know *zone*."""
        url = f"https://{HOST}:{self.server.port}"
        fields = {
            "providerId": "dnshost.example",
            "providerName": "DNS Host",
            "urlSyncUX": "https://www.dnshost.example",
            "urlAPI": f"{url}/api",
        }
        document = json.dumps(fields | changes).encode()
        self.documents[f"/dns/v2/{zone}/settings"] = status(200, document)

    def record(self, zone: str = "mycompany.com") -> str:
        return f'_domainconnect.{zone}. TXT "{HOST}:{self.server.port}/dns"\n'


@pytest.fixture
def world(nameserver: Nameserver, server: Receiver, authority: Authority) -> World:
    return World(nameserver, server, authority)


def test_a_document_comes_from_the_host_by_its_name(world: World) -> None:
    assert world.get() == Fetched(200, b"{}")

    (request,) = world.server.received
    assert request.path == "/v2/mycompany.com/settings"
    assert request.headers["host"] == f"{HOST}:{world.server.port}"
    assert request.headers["user-agent"] == "alignd/1"


def test_the_address_that_was_checked_is_the_one_that_is_asked(world: World) -> None:
    seen = []

    def check(address: IpAddress) -> bool:
        seen.append(str(address))
        # Whoever asks again now gets an address where nothing listens.
        world.nameserver.serve(f"{HOST}. A 127.0.0.99\n")
        return True

    world.may_connect = check
    assert isinstance(world.get(), Fetched)
    assert seen == ["127.0.0.1"]
    assert world.nameserver.questions.count((f"{HOST}.", "A")) == 0, "not asked again"


@pytest.mark.parametrize(
    "address",
    [
        pytest.param("A 127.0.0.1", id="loopback"),
        pytest.param("A 10.1.2.3", id="private"),
        pytest.param("A 169.254.169.254", id="the metadata of a cloud"),
        pytest.param("A 224.0.0.1", id="multicast"),
        pytest.param("AAAA ::1", id="loopback of IPv6"),
        pytest.param("AAAA fe80::1", id="link-local of IPv6"),
        pytest.param("AAAA fd00::1", id="unique local"),
        pytest.param("AAAA ::ffff:127.0.0.1", id="mapped"),
    ],
)
def test_a_host_with_an_address_inside_is_not_asked(world: World, address: str) -> None:
    world.nameserver.serve(f"{HOST}. {address}\n{HOST}. A 93.184.215.14\n")
    world.may_connect = is_public
    said = world.refusal()
    assert said.startswith(f"{HOST} has the address ")
    assert said.endswith(", which is not asked")
    assert world.server.received == []


def test_only_the_port_of_https_is_asked(world: World) -> None:
    world.ports = frozenset({443})
    assert world.refusal() == f"port {world.server.port} of {HOST} is not asked"
    assert world.nameserver.questions == []


@pytest.mark.parametrize(
    ("zone", "said"),
    [
        pytest.param("", f"{HOST}: no address", id="a name that is not there"),
        pytest.param(f"; SERVFAIL {HOST}.\n", f"{HOST}: DNS: SERVFAIL", id="SERVFAIL"),
    ],
)
def test_a_host_without_an_address_is_named(world: World, zone: str, said: str) -> None:
    world.nameserver.serve(zone)
    assert world.refusal() == said


def chunked(request: BaseHTTPRequestHandler) -> None:
    """More than anybody reads, without a length."""
    request.wfile.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    while True:
        request.wfile.write(b"4000\r\n" + b"x" * 0x4000 + b"\r\n")


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        pytest.param(
            status(302, Location="https://169.254.169.254/"),
            "answered 302, a redirection: it is not followed",
            id="a redirection",
        ),
        pytest.param(
            status(200, b"x" * (MAX_DOCUMENT + 1)), "answered more than 65536 octets", id="huge"
        ),
        pytest.param(chunked, "answered more than 65536 octets", id="without end"),
        pytest.param(close, "Remote end closed connection without response", id="a close"),
        pytest.param(
            lambda request: request.wfile.write(b"220 mail ESMTP\r\n"), "220 mail", id="not HTTP"
        ),
    ],
)
def test_an_answer_that_is_none_is_refused(world: World, answer: Answer, said: str) -> None:
    world.server.answer = answer
    assert said in world.refusal()
    assert len(world.server.received) == 1


@pytest.mark.parametrize(
    "begin",
    [
        pytest.param(b"", id="silence"),
        pytest.param(b"HTTP/1.1 200 OK\r\nX-Long: ", id="a header without end"),
        pytest.param(b"HTTP/1.1 200 OK\r\nContent-Length: 60000\r\n\r\n", id="a slow document"),
    ],
)
def test_who_answers_an_octet_now_and_then_is_cut(world: World, begin: bytes) -> None:
    def drip(request: BaseHTTPRequestHandler) -> None:
        request.wfile.write(begin)
        while not world.server.ended.wait(0.05):
            request.wfile.write(b"x" if begin else b"")

    world.server.answer = drip
    world.patience = 0.3
    assert world.refusal() == f"{HOST}: no answer within 0.3 s"


def test_who_takes_the_connection_and_no_more_is_not_waited_for(world: World) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        world.ports = frozenset({port})
        world.patience = 0.3
        said = world.refusal(UrlPrefix.parse(f"https://{HOST}:{port}"))
    assert said == f"{HOST}: no answer within 0.3 s"


def test_when_one_address_is_down_the_next_is_asked(world: World) -> None:
    world.nameserver.serve(f"{HOST}. A 127.0.0.99\n{HOST}. A 127.0.0.1\n")
    assert world.get() == Fetched(200, b"{}")


def test_a_server_that_is_down_is_told_as_such(world: World) -> None:
    (port,) = free_ports(1)
    world.ports = frozenset({port})
    assert "Connection refused" in world.refusal(UrlPrefix.parse(f"https://{HOST}:{port}"))


@pytest.mark.parametrize(
    "name",
    [
        pytest.param("127.0.0.1", id="its address"),
        pytest.param("dnshost.example", id="the name above"),
    ],
)
def test_a_certificate_for_another_name_is_refused(world: World, name: str) -> None:
    with run_receiver(world.authority.issue(name), status(200)) as other:
        world.server = other
        assert "certificate verify failed" in world.refusal()
        assert other.received == []


def test_a_certificate_of_a_stranger_is_refused(world: World, tmp_path: Path) -> None:
    world.authority = Authority(tmp_path)
    assert "certificate verify failed" in world.refusal()
    assert world.server.received == []


def test_a_host_that_knows_our_template_makes_an_offer(world: World) -> None:
    world.nameserver.serve(world.record() + ADDRESS)
    world.settings()
    world.documents[f"/api{TEMPLATE}"] = status(200, b"whatever")

    offer = world.offer()
    assert isinstance(offer, Offer)
    assert (offer.place.zone, offer.place.host) == (DOMAIN, "")
    assert str(offer.sync_ux) == "https://www.dnshost.example"
    assert [each.path for each in world.server.received] == [
        "/dns/v2/mycompany.com/settings",
        f"/api{TEMPLATE}",
    ]


def test_a_name_in_a_zone_is_the_host_of_the_link(world: World) -> None:
    world.nameserver.serve(world.record() + ADDRESS)
    world.settings()
    world.documents[f"/api{TEMPLATE}"] = status(200)

    offer = world.offer(Domain.parse("a.help.mycompany.com"))
    assert isinstance(offer, Offer)
    assert (offer.place.zone, offer.place.host) == (DOMAIN, "a.help")


def test_the_record_of_a_wildcard_makes_no_zone(world: World) -> None:
    wildcard = '*.mycompany.com. TXT "google-site-verification=x"\n'
    cname = f"_domainconnect.mycompany.com. CNAME _domainconnect.dnshost.example.\n{wildcard}"
    world.nameserver.serve(cname + world.record("dnshost.example") + ADDRESS)
    world.settings()
    world.documents[f"/api{TEMPLATE}"] = status(200)

    offer = world.offer(Domain.parse("help.mycompany.com"))
    assert isinstance(offer, Offer)
    assert (offer.place.zone, offer.place.host) == (DOMAIN, "help")


def test_of_a_host_that_lacks_the_template_the_place_is_known(world: World) -> None:
    world.nameserver.serve(world.record() + ADDRESS)
    world.settings(urlControlPanel="https://panel.dnshost.example/%domain%")

    found = world.offer()
    assert isinstance(found, Unsupported)
    assert found.reason == "DNS Host does not have the template easysoftware.com/helpdesk-mail"
    assert isinstance(found.place, Place)
    assert found.place.provider.control_panel == "https://panel.dnshost.example/mycompany.com"


@pytest.mark.parametrize(
    ("changes", "kind", "said"),
    [
        pytest.param({"urlSyncUX": None}, Unsupported, "DNS Host has no link", id="no flow"),
        pytest.param(
            {"urlAPI": "http://a.example"}, Unknown, "gave no settings: urlAPI", id="http"
        ),
        pytest.param(
            {"urlAPI": "https://u:p@a.example"}, Unknown, "gave no settings: urlAPI", id="userinfo"
        ),
        pytest.param(
            {"urlAPI": "https://api.inside.example"}, Unknown, "port 443 of api.", id="a port"
        ),
    ],
)
def test_settings_that_lead_nowhere_make_no_offer(
    world: World, changes: dict[str, Any], kind: Refusal, said: str
) -> None:
    world.nameserver.serve(world.record() + ADDRESS)
    world.settings(**changes)

    found = world.offer()
    assert isinstance(found, kind)
    assert said in found.reason
    assert len(world.server.received) == 1


def test_an_api_inside_is_not_asked_though_the_settings_came_from_outside(world: World) -> None:
    url = f"https://api.inside.example:{world.server.port}"
    world.nameserver.serve(f"{world.record()}{ADDRESS}api.inside.example. A 10.0.0.1\n")
    world.settings(urlAPI=url)

    found = world.offer()
    assert isinstance(found, Unknown)
    assert found.reason == "api.inside.example has the address 10.0.0.1, which is not asked"


@pytest.mark.parametrize(
    ("zone", "kind", "said"),
    [
        pytest.param(
            "",
            Unsupported,
            "the DNS host of mycompany.com does not take part in Domain Connect",
            id="no record",
        ),
        pytest.param(
            '_domainconnect.mycompany.com. TXT "http://connect.dnshost.example"',
            Unsupported,
            "the DNS host of mycompany.com does not take part in Domain Connect",
            id="a scheme in the record",
        ),
        pytest.param(
            '_domainconnect.mycompany.com. TXT "user@connect.dnshost.example"',
            Unsupported,
            "the DNS host of mycompany.com does not take part in Domain Connect",
            id="userinfo in the record",
        ),
        pytest.param(
            '_domainconnect.mycompany.com. TXT "127.0.0.1"',
            Unsupported,
            "the DNS host of mycompany.com does not take part in Domain Connect",
            id="an address in the record",
        ),
        pytest.param(
            '_domainconnect.mycompany.com. TXT "a.example"\n'
            '_domainconnect.mycompany.com. TXT "b.example"',
            Unsupported,
            "_domainconnect.mycompany.com names 2 hosts",
            id="two records",
        ),
        pytest.param(
            "; SERVFAIL _domainconnect.mycompany.com.",
            Unknown,
            "DNS did not say what _domainconnect.mycompany.com has: SERVFAIL",
            id="SERVFAIL",
        ),
    ],
)
def test_records_that_lead_nowhere_make_no_offer(
    world: World, zone: str, kind: Refusal, said: str
) -> None:
    world.nameserver.serve(f"{zone}\n{ADDRESS}")
    assert world.offer() == kind(said)
    assert world.server.received == []


@pytest.mark.parametrize(
    ("answer", "kind", "said"),
    [
        pytest.param(status(404), Unsupported, "does not have the zone mycompany.com", id="404"),
        pytest.param(status(500), Unknown, f"{HOST} answered 500", id="500"),
        pytest.param(status(200, b"<html>"), Unknown, "gave no settings: not JSON", id="a page"),
    ],
)
def test_a_host_that_gives_no_settings_makes_no_offer(
    world: World, answer: Answer, kind: Refusal, said: str
) -> None:
    world.nameserver.serve(world.record() + ADDRESS)
    world.documents["/dns/v2/mycompany.com/settings"] = answer

    found = world.offer()
    assert isinstance(found, kind)
    assert said in found.reason


def test_the_names_that_are_asked_of_a_long_domain_are_few(world: World) -> None:
    world.nameserver.serve("")
    assert isinstance(world.offer(Domain.parse(f"{'a.' * 100}mycompany.com")), Unsupported)
    assert len({name for name, _ in world.nameserver.questions}) == 5


@pytest.mark.parametrize(
    ("zone", "expected", "why"),
    [
        pytest.param("", Ternary.NO, "has no records", id="none"),
        pytest.param("; SERVFAIL k.ours.example.", Ternary.UNKNOWN, "SERVFAIL", id="SERVFAIL"),
        pytest.param('k.ours.example. TXT "p=1,d=AAAA"', Ternary.NO, "another key", id="another"),
        pytest.param('k.ours.example. TXT "p=2,d=AAAA"', Ternary.NO, "missing", id="half"),
        pytest.param(
            "".join(f'k.ours.example. TXT "{each}"\n' for each in make_records(b"x" * 294)),
            Ternary.YES,
            "",
            id="ours",
        ),
    ],
)
def test_whether_our_key_is_published_is_known(
    world: World, zone: str, expected: Ternary, why: str
) -> None:
    world.nameserver.serve(zone)
    found, reason = is_published(b"x" * 294, "k.ours.example", world.lookups())
    assert found is expected
    assert why in reason
