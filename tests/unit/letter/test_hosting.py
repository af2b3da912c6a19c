"""The DNS host of a domain is recognised by its nameservers, and a doubtful one is not."""

import re
from datetime import date

import pytest

from alignd.letter.dns_host import ApexName, DnsHost, Habit
from alignd.letter.hosting import UNKNOWN_HOSTING, find_hosting, recognise
from alignd.letter.hosts import HOSTS
from alignd.mail.domain import Domain
from alignd.resolver.zone import Zone

BY_NAME = {host.name: host for host in HOSTS}


@pytest.mark.parametrize(
    ("nameserver", "host"),
    [
        ("amy.ns.cloudflare.com", "Cloudflare"),
        ("NS17.DomainControl.com", "GoDaddy"),
        ("ns1045.ui-dns.de", "IONOS"),
        ("ns-512.awsdns-00.net", "Amazon Route 53"),
        ("ns-1752.awsdns-27.co.uk", "Amazon Route 53"),
        ("ns1-04.azure-dns.com", "Azure DNS"),
        ("hydrogen.ns.hetzner.com", "Hetzner"),
        ("ns1.simply.com", "Simply.com"),
        ("ns01.one.com", "one.com"),
        ("ns.wedos.eu", "WEDOS"),
        ("ns.forpsi.net", "FORPSI"),
        ("alfa.ns.active24.cz", "Active 24"),
        ("docks05.rzone.de", "STRATO"),
        ("ns.udag.de", "united-domains"),
        ("ns.inwx.de", "INWX"),
        ("notone.com", None),
        ("ns.awsdns-00.net.evil.example", None),
        ("cloudflare.com", None),
        ("<script>.ns.example", None),
        ("", None),
    ],
)
def test_a_nameserver_is_of_its_host(nameserver: str, host: str | None) -> None:
    found = recognise((nameserver,))

    assert (found.name if found else None) == host


@pytest.mark.parametrize("host", HOSTS, ids=lambda host: host.name)
def test_what_is_known_of_a_host_is_whole(host: DnsHost) -> None:
    assert host.nameservers
    assert all(name == name.lower() for name in host.nameservers)
    assert re.fullmatch(r"(https://[!-~]+)?", host.help)
    assert date(2026, 1, 1) < host.looked_at
    # What was read nowhere is not claimed.
    assert (
        host.help or host.apex is ApexName.UNKNOWN or host.name_field or host.menu or host.habits
    )


def test_the_large_hosts_and_those_of_three_countries_are_known() -> None:
    assert len(BY_NAME) == len(HOSTS) >= 25
    patterns = [pattern for host in HOSTS for pattern in host.nameservers]
    assert len(set(patterns)) == len(patterns)


@pytest.mark.parametrize(
    ("host", "name", "wanted"),
    [
        ("IONOS", "mycompany.com", "@"),
        ("IONOS", "easy1._domainkey.mycompany.com", "easy1._domainkey"),
        ("IONOS", "*.mycompany.com", "*"),
        ("STRATO", "mycompany.com", ""),
        ("STRATO", "sales.mycompany.com", "sales"),
        ("INWX", "mycompany.com", None),
    ],
)
def test_a_name_as_the_form_of_a_host_wants_it(host: str, name: str, wanted: str | None) -> None:
    assert BY_NAME[host].relative(name, Domain("mycompany.com")) == wanted


ZONE = Zone.parse(
    """\
mycompany.com. NS ns.wedos.eu.
mycompany.com. NS ns.wedos.cz.
mycompany.com. TXT "v=spf1 -all"
sales.mycompany.com. NS amy.ns.cloudflare.com.
alias.mycompany.com. CNAME elsewhere.example.
elsewhere.example. NS ns1.simply.com.
two.example. NS ns.wedos.eu.
two.example. NS ns.of-their-own.example.
; SERVFAIL down.example NS
"""
)


@pytest.mark.parametrize(
    ("name", "zone", "host"),
    [
        pytest.param("mycompany.com", "mycompany.com", "WEDOS", id="zone"),
        pytest.param("a._domainkey.mycompany.com", "mycompany.com", "WEDOS", id="below"),
        pytest.param("x.sales.mycompany.com", "sales.mycompany.com", "Cloudflare", id="cut"),
        pytest.param("alias.mycompany.com", "mycompany.com", "WEDOS", id="alias"),
        pytest.param("two.example", "two.example", None, id="one-is-somebody-elses"),
        pytest.param("nowhere.example", None, None, id="none"),
        pytest.param("x.down.example", None, None, id="dns-did-not-say"),
    ],
)
def test_the_zone_and_the_host_of_a_name(name: str, zone: str | None, host: str | None) -> None:
    found = find_hosting(Domain(name), ZONE)

    assert (found.zone.name if found.zone else None) == zone
    assert (found.host.name if found.host else None) == host


def test_a_deep_name_costs_few_questions() -> None:
    assert find_hosting(Domain(".".join("a" * 120)), ZONE) == UNKNOWN_HOSTING


def test_every_habit_is_that_of_somebody() -> None:
    assert set().union(*(host.habits for host in HOSTS)) == set(Habit)
