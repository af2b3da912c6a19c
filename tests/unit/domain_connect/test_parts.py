"""The pure parts: what hosts say is parsed strictly, and what they verify is as the draft says."""

import base64
import json
from contextlib import suppress
from ipaddress import ip_address
from random import Random
from urllib.parse import parse_qsl, unquote

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey, generate_private_key
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import load_der_public_key
from hypothesis import given
from hypothesis import strategies as st

from alignd.config.file import parse_configuration
from alignd.domain_connect.address_check import is_public
from alignd.domain_connect.discovery import Offer, Place
from alignd.domain_connect.key_record import (
    MAX_RECORD,
    KeyRecordError,
    make_records,
    parse_records,
)
from alignd.domain_connect.link import apply_link, canonical_query
from alignd.domain_connect.provider import DnsProvider, SettingsError, parse_settings
from alignd.domain_connect.signing_key import SigningKey
from alignd.domain_connect.template import Group, TemplateId, make_template
from alignd.domain_connect.url import MAX_URL, UrlError, UrlPrefix, parse_page
from alignd.mail.domain import Domain
from tests.lab.settings import configuration

ZONE = Domain.parse("mycompany.com")
SETTINGS = {
    "providerId": "dnshost.example",
    "providerName": "DNS Host",
    "urlSyncUX": "https://connect.dnshost.example/ux/",
    "urlAsyncUX": None,
    "urlAPI": "https://api.dnshost.example",
    "urlControlPanel": "https://panel.dnshost.example/?domain=%domain%",
    "width": 800,
    "height": "tall",
    "nameServers": ["ns1.dnshost.example"],
}
OURS = """\
[domain_connect]
provider = "easysoftware.com"
provider_name = "Easy Software"
key_file = "/etc/alignd/domain-connect.key"
"""


def settings(**changes: object) -> bytes:
    return json.dumps(SETTINGS | changes).encode()


@pytest.mark.parametrize(
    "text",
    [
        *("8.8.8.8", "192.0.1.1", "2600::1", "2a00:1450:4001:80e::200e"),
        *("::ffff:8.8.8.8", "64:ff9b::808:808"),
    ],
)
def test_an_address_of_the_public_network_may_be_connected_to(text: str) -> None:
    assert is_public(ip_address(text))


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("127.0.0.1", id="loopback"),
        pytest.param("127.8.9.10", id="another loopback"),
        pytest.param("::1", id="loopback of IPv6"),
        pytest.param("0.0.0.0", id="unspecified"),
        pytest.param("0.1.2.3", id="this network"),
        pytest.param("::", id="unspecified of IPv6"),
        pytest.param("10.0.0.1", id="private 10/8"),
        pytest.param("172.31.255.255", id="private 172.16/12"),
        pytest.param("192.168.1.1", id="private 192.168/16"),
        pytest.param("100.64.0.1", id="shared, of a carrier's NAT"),
        pytest.param("169.254.169.254", id="link-local, the metadata of clouds"),
        pytest.param("fe80::1", id="link-local of IPv6"),
        pytest.param("fe80::1%lo", id="link-local with its interface"),
        pytest.param("fd00:ec2::254", id="unique local, the metadata of a cloud"),
        pytest.param("fec0::1", id="site-local"),
        pytest.param("224.0.0.1", id="multicast"),
        pytest.param("239.255.255.250", id="multicast of the site"),
        pytest.param("ff02::1", id="multicast of IPv6"),
        pytest.param("ff0e::1", id="global multicast of IPv6"),
        pytest.param("255.255.255.255", id="broadcast"),
        pytest.param("240.0.0.1", id="reserved"),
        pytest.param("192.0.2.1", id="documentation"),
        pytest.param("2001:db8::1", id="documentation of IPv6"),
        pytest.param("198.18.0.1", id="benchmarks"),
        pytest.param("::ffff:127.0.0.1", id="mapped loopback"),
        pytest.param("::ffff:169.254.169.254", id="mapped link-local"),
        pytest.param("::7f00:1", id="IPv4-compatible loopback"),
        pytest.param("64:ff9b::a00:1", id="private behind NAT64"),
        pytest.param("64:ff9b::7f00:1", id="loopback behind NAT64"),
        pytest.param("64:ff9b:1::808:808", id="NAT64 of the local network"),
        pytest.param("2002:7f00:1::", id="loopback behind 6to4"),
        pytest.param("2001:0:4136:e378:8000:63bf:3fff:fdd2", id="Teredo"),
    ],
)
def test_no_other_address_may_be_connected_to(text: str) -> None:
    assert not is_public(ip_address(text))


@pytest.mark.parametrize(
    ("text", "written"),
    [
        pytest.param("https://a.example", "https://a.example", id="a host"),
        pytest.param("https://A.Example/dns/", "https://a.example/dns", id="a path and a slash"),
        pytest.param(
            "https://a.example:8443/host/192.0.2.1", "https://a.example:8443/host/192.0.2.1"
        ),
        pytest.param("https://a.example:443", "https://a.example", id="the port of https"),
    ],
)
def test_a_prefix_is_a_host_a_port_and_a_path(text: str, written: str) -> None:
    assert str(UrlPrefix.parse(text)) == written


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("http://a.example", id="http"),
        pytest.param("ftp://a.example", id="another scheme"),
        pytest.param("//a.example", id="no scheme"),
        pytest.param("https://user@a.example", id="userinfo"),
        pytest.param("https://good.example:pw@a.example/", id="name and password"),
        pytest.param("https://a.example?x=1", id="a query"),
        pytest.param("https://a.example/#x", id="a fragment"),
        pytest.param("https://127.0.0.1", id="an address"),
        pytest.param("https://2130706433", id="an address as one number"),
        pytest.param("https://0x7f.0x0.0x0.0x1", id="an address in hexadecimal"),
        pytest.param("https://[::1]/", id="an address of IPv6"),
        pytest.param("https://localhost", id="one label"),
        pytest.param("https://a..example", id="an empty label"),
        pytest.param("https://a.example:0", id="port 0"),
        pytest.param("https://a.example:65536", id="no port"),
        pytest.param("https://a.example:\u0664\u0664\u0663", id="digits of another script"),
        pytest.param("https://a.example/a b", id="a blank"),
        pytest.param("https://a.example/\r\nHost: b", id="a line end"),
        pytest.param("https://a.example\n", id="a line end behind it"),
        pytest.param("https://a.example/%0", id="half an octet"),
        pytest.param("https://a.example\\@b.example", id="a backslash"),
        pytest.param("https://m\u00fcller.example", id="not ASCII"),
        pytest.param(f"https://a.example/{'a' * MAX_URL}", id="too long"),
        pytest.param("", id="nothing"),
    ],
)
def test_no_other_url_is_followed(text: str) -> None:
    with pytest.raises(UrlError):
        UrlPrefix.parse(text)


def test_a_page_for_people_may_have_a_query_and_a_fragment() -> None:
    page = "https://panel.example/a?domain=mycompany.com&x=1#/dns?y"
    assert parse_page(page) == page
    for wrong in (
        "javascript:alert(1)",
        "http://a.example?x",
        'https://a.example/?"><b>',
        "x" * 9,
    ):
        with pytest.raises(UrlError):
            parse_page(wrong)


@given(st.text() | st.from_regex(r"https://[ -~]{0,40}", fullmatch=True))
def test_a_url_that_is_parsed_reads_back_the_same(text: str) -> None:
    with suppress(UrlError):
        parsed = UrlPrefix.parse(text)
        assert UrlPrefix.parse(str(parsed)) == parsed
        assert str(parsed).isascii()
        assert "@" not in parsed.authority


def test_settings_say_where_the_link_goes() -> None:
    assert parse_settings(settings(), ZONE) == DnsProvider(
        "dnshost.example",
        "DNS Host",
        UrlPrefix.parse("https://api.dnshost.example"),
        UrlPrefix.parse("https://connect.dnshost.example/ux"),
        "https://panel.dnshost.example/?domain=mycompany.com",
        800,
        750,
    )


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"urlSyncUX": None}, id="null"),
        pytest.param({"urlSyncUX": ""}, id="empty"),
    ],
)
def test_a_host_without_the_synchronous_flow_is_known(changes: dict[str, object]) -> None:
    assert parse_settings(settings(**changes), ZONE).sync_ux is None


def test_a_name_for_display_cannot_control_a_terminal() -> None:
    parsed = parse_settings(settings(providerDisplayName="\x1b[31mHost\u202e"), ZONE)
    assert parsed.name == "?[31mHost?"


@pytest.mark.parametrize(
    "url", ["http://panel.example", "javascript:alert(1)", "https://a:b@c.example/", 7, ["x"]]
)
def test_a_control_panel_that_is_no_page_is_left_out(url: object) -> None:
    assert parse_settings(settings(urlControlPanel=url), ZONE).control_panel == ""


@pytest.mark.parametrize(
    ("document", "said"),
    [
        pytest.param(b"", "not JSON", id="nothing"),
        pytest.param(b"<html>", "not JSON", id="a page"),
        pytest.param(b"\xff\xfe{\x00}\x00", "not JSON", id="not UTF-8"),
        pytest.param(b"[" * 60_000, "not JSON", id="too deep"),
        pytest.param(b"9" * 60_000, "not JSON", id="a number too long"),
        pytest.param(b"[]", "not a JSON object", id="a list"),
        pytest.param(b"{}", "urlAPI is missing", id="an empty object"),
        pytest.param(settings(urlAPI=7), "urlAPI is no text", id="a number for a URL"),
        pytest.param(settings(urlAPI="http://a.example"), "urlAPI: not an https", id="http"),
        pytest.param(
            settings(urlSyncUX="https://a@b.example"), "urlSyncUX: not an", id="userinfo"
        ),
        pytest.param(settings(urlAPI="https://10.0.0.1"), "urlAPI: not the full", id="an address"),
        pytest.param(settings(providerId="a b"), "providerId is no identifier", id="a blank"),
        pytest.param(settings(providerId="a" * 64), "providerId is no identifier", id="a long id"),
        pytest.param(settings(providerName=""), "providerName has 0", id="no name"),
        pytest.param(settings(providerName="x" * 256), "providerName has 256", id="a long name"),
        pytest.param(settings(providerName=["x"]), "providerName is no text", id="a list"),
    ],
)
def test_what_are_no_settings_is_refused_with_the_reason(document: bytes, said: str) -> None:
    with pytest.raises(SettingsError, match=f"^{said}"):
        parse_settings(document, ZONE)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)


@given(st.binary() | JSON.map(lambda value: json.dumps(value).encode()))
def test_any_document_is_settings_or_refused(document: bytes) -> None:
    with suppress(SettingsError):
        parse_settings(document, ZONE)


@given(st.dictionaries(st.sampled_from(sorted(SETTINGS)), JSON))
def test_any_field_is_taken_or_refused(changes: dict[str, object]) -> None:
    with suppress(SettingsError):
        parsed = parse_settings(settings(**changes), ZONE)
        assert parsed.name.isprintable()
        assert 0 < len(parsed.name) <= 255


@pytest.fixture(scope="module")
def key() -> SigningKey:
    return SigningKey(generate_private_key(65537, 2048))


def public(der: bytes) -> RSAPublicKey:
    loaded = load_der_public_key(der)
    assert isinstance(loaded, RSAPublicKey)
    return loaded


def test_the_key_is_published_in_records_that_are_one_string_each(key: SigningKey) -> None:
    records = make_records(key.public_key)

    assert [record[:12] for record in records] == ["p=1,a=RS256,", "p=2,a=RS256,"]
    assert max(map(len, records)) <= MAX_RECORD
    joined = "".join(record.partition("d=")[2] for record in records)
    assert base64.b64decode(joined, validate=True) == key.public_key


@given(st.binary(min_size=1, max_size=2000), st.randoms())
def test_records_give_the_key_again_in_any_order(der: bytes, random: Random) -> None:
    records = [record.encode() for record in make_records(der)]
    random.shuffle(records)
    assert parse_records(records) == der


@given(st.lists(st.binary() | st.from_regex(rb"p=[0-9]{1,3}(,[adt]=[A-Za-z0-9=]*)*"), max_size=4))
def test_any_records_are_a_key_or_refused(texts: list[bytes]) -> None:
    with suppress(KeyRecordError):
        assert isinstance(parse_records(texts), bytes)


@pytest.mark.parametrize(
    ("texts", "said"),
    [
        pytest.param((), "a fragment is missing", id="none"),
        pytest.param((b"p=2,d=AAAA",), "a fragment is missing", id="no first"),
        pytest.param((b"p=1,d=AAAA", b"p=3,d=AAAA"), "a fragment is missing", id="a gap"),
        pytest.param((b"p=1,d=AAAA", b"p=1,d=BBBB"), "fragment 1 is there twice", id="twice"),
        pytest.param((b"p=1,p=2,d=AAAA",), "a record has a tag twice", id="a tag twice"),
        pytest.param((b"d=AAAA",), "a record has no number", id="no number"),
        pytest.param((b"p=1,a=ES256,d=AAAA",), "a record is of another kind", id="ES256"),
        pytest.param((b"p=1,a=RS256,d=AAA",), "the fragments are not base64", id="cut"),
        pytest.param((b"v=spf1 -all",), "a record is none of a key", id="SPF"),
        pytest.param((b'"p=1,d=AAAA"',), "a record is none of a key", id="stray quotes"),
    ],
)
def test_records_that_hosts_could_not_read_are_refused(
    texts: tuple[bytes, ...], said: str
) -> None:
    with pytest.raises(KeyRecordError, match=f"^{said}"):
        parse_records(texts)


def offer(host: str = "") -> Offer:
    provider = parse_settings(settings(), ZONE)
    assert provider.sync_ux
    return Offer(Place(ZONE, host, provider), provider.sync_ux)


@pytest.mark.parametrize(
    ("host", "groups", "query"),
    [
        pytest.param("", (), "domain=mycompany.com", id="the zone"),
        pytest.param("help.eu", (), "domain=mycompany.com&host=help.eu", id="a name in it"),
        pytest.param("", (Group.SPF,), "domain=mycompany.com&groupId=spf", id="one group"),
        pytest.param(
            "help",
            (Group.SPF, Group.DKIM),
            "domain=mycompany.com&groupId=dkim%2Cspf&host=help",
            id="two groups",
        ),
    ],
)
def test_a_host_verifies_the_link_as_it_stands(
    key: SigningKey, host: str, groups: tuple[Group, ...], query: str
) -> None:
    template = TemplateId("easysoftware.com", "helpdesk-mail")
    link = apply_link(offer(host), template, "_dcpubkeyv1", key.sign, groups)

    begin, _, rest = link.partition("?")
    assert begin == (
        "https://connect.dnshost.example/ux/v2/domainTemplates/providers/easysoftware.com"
        "/services/helpdesk-mail/apply"
    )
    signed, _, appended = rest.partition("&sig=")
    signature, _, name = appended.partition("&key=")
    assert (signed, name) == (query, "_dcpubkeyv1")
    # As in section 8.3.4: what is left of the query when `sig` and `key` are taken away.
    published = public(parse_records(each.encode() for each in make_records(key.public_key)))
    sig = base64.b64decode(unquote(signature), validate=True)
    published.verify(sig, signed.encode(), PKCS1v15(), SHA256())
    with pytest.raises(InvalidSignature):
        published.verify(sig, signed.replace("my", "your").encode(), PKCS1v15(), SHA256())
    assert not set(signature) & set("+/=")


def test_the_query_is_that_of_the_draft() -> None:
    example = {"domain": "example.net", "b": "2", "a": "1", "text": "a+b", "ip": "10.10.10.10"}
    assert canonical_query(example) == "a=1&b=2&domain=example.net&ip=10.10.10.10&text=a%2Bb"


@given(st.dictionaries(st.text(min_size=1), st.text(min_size=1), min_size=1))
def test_any_parameters_read_back_from_the_query(parameters: dict[str, str]) -> None:
    query = canonical_query(parameters)
    assert dict(parse_qsl(query, strict_parsing=True)) == parameters
    names = [pair.partition("=")[0] for pair in query.split("&")]
    assert names == sorted(names)


def made(changes: str) -> dict[str, object]:
    parsed = parse_configuration(configuration(f"{OURS}{changes}"), "alignd.conf")
    provider = parsed.domain_connect.provider
    assert provider
    return make_template(parsed, provider, 3)


SPF = {
    "type": "SPFM",
    "groupId": "spf",
    "host": "@",
    "spfRules": "include:spf.mailing.easy.cz",
}


def test_the_template_has_the_include_and_asks_for_signed_links() -> None:
    assert made("") == {
        "providerId": "easysoftware.com",
        "providerName": "Easy Software",
        "serviceId": "helpdesk-mail",
        "serviceName": "Helpdesk mail",
        "version": 3,
        "description": "Authorises a relay to send the mail of the domain's own helpdesk agents.",
        "syncBlock": False,
        "syncPubKeyDomain": "easysoftware.com",
        "records": [SPF],
    }


def test_a_delegated_selector_is_a_cname() -> None:
    delegate = '{ selector = "easy1", target = "easy1.dkim.easysoftware.com" }'
    assert made(f"[dkim]\ndelegate = {delegate}")["records"] == [
        SPF,
        {
            "type": "CNAME",
            "groupId": "dkim",
            "host": "easy1._domainkey",
            "ttl": 3600,
            "pointsTo": "easy1.dkim.easysoftware.com",
        },
    ]


def test_a_key_is_a_text_that_takes_the_place_of_another() -> None:
    delegate = f'{{ selector = "easy1", public_key = "{"A" * 40}" }}'
    assert made(f"[dkim]\ndelegate = {delegate}")["records"] == [
        SPF,
        {
            "type": "TXT",
            "groupId": "dkim",
            "host": "easy1._domainkey",
            "ttl": 3600,
            "data": f"v=DKIM1; k=rsa; p={'A' * 40}",
            "txtConflictMatchingMode": "All",
        },
    ]
