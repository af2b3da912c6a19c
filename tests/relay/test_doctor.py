"""`alignd doctor` finds each fault of a real Postfix configuration, and nothing in a right one."""

import socketserver
from collections.abc import Iterator
from dataclasses import replace
from shutil import which

import pytest

from alignd.config.endpoint import InetEndpoint, UnixEndpoint
from alignd.doctor.findings import FindingId
from tests.lab.alignd import Fleet, run_alignd
from tests.lab.nameserver import Nameserver
from tests.lab.places import CASES
from tests.lab.postfix import obstacle, version
from tests.lab.readiness import free_ports, open_directory
from tests.lab.unix_server import run_unix_server
from tests.support.relay import (
    INLINE_FOR_ALL,
    INLINE_FOR_SUBMISSION,
    LAYOUTS,
    QUEUE_FIRST,
    ZONE,
    Fault,
    Relay,
)

pytestmark = [
    pytest.mark.postfix,
    pytest.mark.skipif(obstacle() is not None, reason=obstacle() or ""),
]

SIGNER = ", unix:opendkim/opendkim.sock"
TEMPFAIL = "default_action=tempfail"
SUBMISSION = "submission inet n       -       {chroot}       -       -       smtpd\n"
SPF = 'notifications.easysoftware.com. TXT "v=spf1 include:spf.mailing.easy.cz -all"\n'
EXCHANGE = "notifications.easysoftware.com. MX 10 mx.easysoftware.com.\n"
POLICY = '_dmarc.notifications.easysoftware.com. TXT "v=DMARC1; p=none"\n'
HELO_SPF = 'smtp2.easyredmine.com. TXT "v=spf1 ip4:192.0.2.25 ip6:2001:db8::25 -all"\n'
SIGNS = """\
[dkim]
signs = [{ domain = "notifications.easysoftware.com", selector = "easy1" }]
"""
CASE = CASES / "signer-with-published-key.case"
KEY = next(line for line in CASE.read_text().splitlines() if "_domainkey" in line).replace(
    "mycompany.com", "notifications.easysoftware.com"
)
TENANT = """\
[[tenant]]
match = { "X-Tenant" = "other" }
notifications = { address = "help@other.example" }
"""
OTHER = """\
other.example. MX 10 mx.easysoftware.com.
_dmarc.other.example. TXT "v=DMARC1; p=reject"
"""


def added(text: str) -> dict[str, str]:
    """A change of the zone that adds records."""
    first = ZONE.partition("\n")[0]
    return {first: f"{text.rstrip()}\n{first}"}


@pytest.fixture(scope="module")
def socket(nameserver: Nameserver) -> Iterator[InetEndpoint]:
    """Where an alignd listens on TCP."""
    (port,) = free_ports(1)
    changes = f'[milter]\nsocket = "inet:{port}@127.0.0.1"\n'
    with (
        open_directory() as directory,
        run_alignd(directory / "alignd", nameserver.address, changes),
    ):
        yield InetEndpoint("127.0.0.1", port)


@pytest.fixture
def relay(socket: InetEndpoint) -> Iterator[Relay]:
    with open_directory() as directory:
        yield Relay(directory, socket, f"inet:{socket.port}@127.0.0.1")


@pytest.fixture
def unix_relay(fleet: Fleet) -> Iterator[Relay]:
    path = fleet.alignd().socket.removeprefix("unix:")
    with open_directory() as directory:
        yield Relay(directory, UnixEndpoint(path), f"unix:{path}")


def found(relay: Relay, fault: Fault) -> list[str]:
    """The names of what was found."""
    outcome = relay.examine(fault, "--json")
    findings = [finding["id"] for finding in outcome.json["findings"]]
    assert outcome.status == (1 if findings else 0), outcome
    return findings


@pytest.mark.parametrize("layout", LAYOUTS)
def test_nothing_is_found_where_all_is_right(relay: Relay, layout: str) -> None:
    outcome = relay.examine(Fault(layout=layout))

    assert (outcome.status, outcome.stderr) == (0, "")
    assert "0 errors, 0 warnings, 0 could not be checked." in outcome.stdout


@pytest.mark.parametrize("layout", LAYOUTS)
def test_nothing_is_found_with_a_unix_socket(unix_relay: Relay, layout: str) -> None:
    outcome = unix_relay.examine(Fault(layout=layout))

    assert (outcome.status, outcome.stderr) == (0, "")


@pytest.mark.parametrize(
    "settings",
    [
        pytest.param("", id="defaults"),
        pytest.param("InternalHosts 127.0.0.1,::1\nMode s\nSenderHeaders From", id="said"),
        pytest.param("InternalHosts refile:tests/data/opendkim/trusted.hosts", id="in-a-file"),
    ],
)
def test_nothing_is_found_where_opendkim_does_what_alignd_thinks(
    relay: Relay, settings: str
) -> None:
    outcome = relay.examine(Fault(conf=BY_OPENDKIM, opendkim=f"{OPENDKIM}{settings}\n"))

    assert (outcome.status, outcome.stderr) == (0, "")


@pytest.mark.parametrize(
    ("settings", "text"),
    [
        pytest.param("InternalHosts localhost", "InternalHosts of", id="names-of-hosts"),
        pytest.param("InternalHosts /nowhere/hosts", "/nowhere/hosts: No such", id="no-list"),
    ],
)
def test_what_opendkim_does_may_be_unknown(relay: Relay, settings: str, text: str) -> None:
    outcome = relay.examine(Fault(conf=BY_OPENDKIM, opendkim=f"{OPENDKIM}{settings}\n"))

    assert outcome.status == 2
    assert text in " ".join(outcome.stdout.split())


DNS_FAULTS = [
    pytest.param(
        "notifications-domain-fails",
        Fault(zone={SPF: ""}),
        id="the-notifications-domain-has-no-spf",
    ),
    pytest.param(
        "notifications-domain-fails",
        Fault(
            zone={'ip4:192.0.2.25 ip6:2001:db8::25 -all"\nnotif': 'ip4:192.0.2.25 -all"\nnotif'}
        ),
        id="its-spf-does-not-name-the-ipv6-address",
    ),
    pytest.param(
        "notifications-domain-fails",
        Fault(zone={"include:spf.mailing.easy.cz -all": "+all"}),
        id="its-spf-passes-the-whole-world",
    ),
    pytest.param(
        "notifications-domain-fails",
        Fault(
            conf='[notifications]\nenvelope_sender = "bounces@elsewhere.example"\n',
            zone=added(
                "elsewhere.example. MX 10 mx.easysoftware.com.\n"
                'elsewhere.example. TXT "v=spf1 include:spf.mailing.easy.cz -all"\n'
            ),
        ),
        id="the-envelope-sender-does-not-align",
    ),
    pytest.param(
        "notifications-domain-fails",
        Fault(conf=TENANT, zone=added(OTHER)),
        id="the-domain-of-a-tenant-does-not-pass",
    ),
    pytest.param(
        "reports-not-requested",
        Fault(conf='[reports]\naddress = "dmarc@notifications.easysoftware.com"\n'),
        id="receivers-are-not-asked-for-reports",
    ),
    pytest.param(
        "reports-not-requested reports-not-allowed",
        Fault(conf='[reports]\naddress = "dmarc@elsewhere.example"\n'),
        id="reports-go-where-nobody-allows-them",
    ),
    pytest.param(
        "notifications-spf-fails",
        Fault(conf=SIGNS, zone={SPF: f"{KEY}\n"}),
        id="the-signature-passes-and-spf-does-not",
    ),
    pytest.param(
        "notifications-key-unusable",
        Fault(conf=SIGNS),
        id="the-signer-signs-with-a-key-that-is-not-published",
    ),
    pytest.param(
        "notifications-without-dmarc",
        Fault(zone={POLICY: ""}),
        id="there-is-no-dmarc-record",
    ),
    pytest.param(
        "null-sender-rewrite-fails",
        Fault(zone={POLICY: POLICY.replace("none", "reject")}),
        id="nobody-signs-for-it-and-the-helo-name-does-not-align",
    ),
    pytest.param(
        "notifications-unroutable", Fault(zone={EXCHANGE: ""}), id="nobody-takes-its-mail"
    ),
    pytest.param(
        "notifications-unroutable",
        Fault(zone={EXCHANGE: "notifications.easysoftware.com. MX 0 .\n"}),
        id="it-says-that-it-takes-no-mail",
    ),
    pytest.param(
        "notifications-are-applications",
        Fault(options=("--application-address", "HelpDesk@Notifications.easysoftware.com")),
        id="rewritten-mail-is-from-the-applications-own-address",
    ),
    pytest.param(
        "helo-unresolved",
        Fault(zone={"smtp2.easyredmine.com. AAAA 2001:db8::25\n": ""}),
        id="the-helo-name-does-not-lead-to-the-ipv6-address",
    ),
    pytest.param("helo-without-spf", Fault(zone={HELO_SPF: ""}), id="the-helo-name-has-no-spf"),
    pytest.param(
        "address-without-name",
        Fault(zone={"25.2.0.192.in-addr.arpa. PTR mx25.easyredmine.com.\n": ""}),
        id="an-address-has-no-name",
    ),
    pytest.param(
        "address-without-name",
        Fault(zone={"mx25.easyredmine.com. AAAA 2001:db8::25\n": ""}),
        id="the-name-of-an-address-does-not-point-back",
    ),
]

OPENDKIM = """\
SigningTable	refile:tests/data/opendkim/signing.table  # as alignd has it
KeyTable file:tests/data/opendkim/key.table
OversignHeaders From
"""
BY_OPENDKIM = """\
[dkim]
opendkim = { \
signing_table = "refile:tests/data/opendkim/signing.table", \
key_table = "tests/data/opendkim/key.table" }
"""
SIGNER_FAULTS = [
    pytest.param(
        "signer-ignores-clients",
        Fault(conf=f'{SIGNS}[helpdesk]\nnetworks = ["203.0.113.0/24"]\n', zone=added(KEY)),
        id="the-helpdesk-is-on-a-host-that-the-signer-does-not-sign-for",
    ),
    pytest.param(
        "signer-table-unusable notifications-key-unusable",
        Fault(
            conf=BY_OPENDKIM.replace("signing.table", "odd.signing.table").replace(
                "key.table", "odd.key.table"
            ),
            opendkim=OPENDKIM.replace("signing.table", "odd.signing.table").replace(
                "key.table", "odd.key.table"
            ),
        ),
        id="entries-of-its-tables-are-no-use",
    ),
    pytest.param(
        "signer-tables-differ",
        Fault(conf=BY_OPENDKIM, opendkim=OPENDKIM.replace("refile:", "")),
        id="opendkim-reads-the-table-as-a-plain-file",
    ),
    pytest.param(
        "signer-hosts-differ",
        Fault(conf=f'{BY_OPENDKIM}internal_hosts = ["198.51.100.0/24"]\n', opendkim=OPENDKIM),
        id="it-signs-for-others",
    ),
    pytest.param(
        "signer-hosts-differ",
        Fault(
            conf=BY_OPENDKIM, opendkim=f"{OPENDKIM}InternalHosts 127.0.0.1, ::1, 198.51.100.0/24\n"
        ),
        id="it-signs-for-more",
    ),
    pytest.param(
        "signer-setting-unpredicted milter-unreachable",
        Fault(conf=SIGNS, zone=added(KEY), main={SIGNER: ", inet:127.0.0.1:11332"}),
        id="rspamd-signs-for-senders-and-logins-of-the-domain-alone",
        marks=pytest.mark.skipif(which("rspamadm") is None, reason="there is no rspamd"),
    ),
    *(
        pytest.param(
            "signer-setting-unpredicted",
            Fault(conf=BY_OPENDKIM, opendkim=f"{OPENDKIM}{setting}\n"),
            id=f"with-{setting.replace(' ', '-').lower()}",
        )
        for setting in (
            "Mode v",
            "PeerList 127.0.0.1",
            "DontSignMailTo x@y.example",
            "SenderHeaders Sender,From",
            "SignatureAlgorithm ed25519-sha256",
            "On-InternalError accept",
            "SignatureTTL 3600",
        )
    ),
]
POSTFIX_FAULTS = [
    pytest.param(
        "bind-address-unlisted",
        Fault(main={"smtp_bind_address = 192.0.2.25": "smtp_bind_address = 192.0.2.99"}),
        id="postfix-sends-from-an-address-that-is-not-listed",
    ),
    pytest.param(
        "bind-address-unlisted",
        Fault(master={"smtp unix - - n - - smtp\n": (
            "smtp unix - - n - - smtp\n -o smtp_bind_address=192.0.2.99\n")}),
        id="one-service-sends-from-another-address",
    ),
    pytest.param(
        "interface-address-unlisted",
        Fault(main={
            "inet_interfaces = 127.0.0.1": "inet_interfaces = 192.0.2.99",
            "smtp_bind_address = 192.0.2.25\n": "",
        }),
        id="postfix-binds-to-the-only-interface-that-it-has",
    ),
    pytest.param(
        "protocols-none",
        Fault(main={"relayhost =": "relayhost =\ninet_protocols ="}),
        id="postfix-listens-nowhere",
    ),
    pytest.param(
        "address-of-examples bind-address-unlisted",
        Fault(main={
            "smtp_bind_address = 192.0.2.25\n": "smtp_bind_address = 10.1.1.1\n",
            "smtp_bind_address6 = 2001:db8::25\n": "smtp_bind_address6 = fd00::1\n",
        }),
        id="an-address-that-is-left-of-the-example",
    ),
    pytest.param(
        "protocol-off",
        Fault(main={"inet_protocols = all": "inet_protocols = ipv4"}),
        id="an-ipv6-address-is-listed-and-ipv6-is-off",
    ),
    pytest.param(
        "helo-name-differs",
        Fault(main={"myhostname = smtp2.": "myhostname = smtp3."}),
        id="postfix-has-another-name",
    ),
    pytest.param(
        "helo-name-differs",
        Fault(main={"myhostname": "smtp_helo_name = [192.0.2.25]\nmyhostname"}),
        id="postfix-says-an-address-in-helo",
    ),
    pytest.param(
        "alignd-not-in-chain",
        Fault(main={"smtpd_milters = {": "smtpd_milters =\nunused = {"}),
        id="there-are-no-milters",
    ),
    pytest.param(
        "alignd-not-in-chain",
        Fault(main={"{ inet:127.0.0.1:": "{ inet:127.0.0.1:1"}),
        id="the-port-is-another",
    ),
    pytest.param(
        "alignd-not-in-chain",
        Fault(master={"{ smtpd_milters": "{ unused"}, layout=QUEUE_FIRST),
        id="the-second-listener-has-no-milters",
    ),
    pytest.param(
        "milters-malformed",
        Fault(main={TEMPFAIL + " }": TEMPFAIL}),
        id="a-brace-is-never-closed",
    ),
    pytest.param(
        "milters-malformed",
        Fault(main={"connect_timeout=5s": "connect_timeout = 5s"}),
        id="a-setting-has-blanks",
    ),
    pytest.param(
        "milters-malformed",
        Fault(main={TEMPFAIL: "default_action=tempfial"}),
        id="an-action-is-misspelt",
    ),
    pytest.param(
        "milters-malformed",
        Fault(main={"content_timeout=20s": "content_timeout=soon"}),
        id="a-timeout-is-no-time",
    ),
    pytest.param(
        "milters-switched-off",
        Fault(master={"smtp inet n - n - - smtpd\n": (
            "smtp inet n - n - - smtpd\n -o receive_override_options=no_milters\n")}),
        id="a-listener-asks-no-milter",
    ),
    pytest.param(
        "signer-before-alignd",
        Fault(main={SIGNER: "", "smtpd_milters = {": f"smtpd_milters = {SIGNER[2:]} {{"}),
        id="the-signer-stands-before-alignd",
    ),
    pytest.param(
        "signer-before-alignd milter-unreachable",
        Fault(
            main={SIGNER: "", "smtpd_milters = {": "smtpd_milters = inet:127.0.0.1:10040 {"},
            conf='[dkim]\nsigns = [{ domain = "mycompany.com", selector = "easy1" }]\n',
        ),
        id="what-must-be-the-signer-stands-before-alignd",
    ),
    pytest.param(
        "signer-missing",
        Fault(
            main={SIGNER: ""},
            conf='[dkim]\nsigns = [{ domain = "mycompany.com", selector = "easy1" }]\n',
        ),
        id="there-is-no-signer-though-there-should-be",
    ),
    pytest.param(
        "verifier-missing",
        Fault(conf='[dkim]\ntrusted_authserv_ids = ["relay.mailing.easy.cz"]\n'),
        id="nobody-verifies-what-is-trusted",
    ),
    pytest.param(
        "sendmail-escapes",
        Fault(main={"non_smtpd_milters = $smtpd_milters": ""}),
        id="mail-of-sendmail-is-not-shown-to-alignd",
    ),
    pytest.param(
        "submission-escapes",
        Fault(master={
            "pickup unix": "submission inet n - n - - smtpd\n -o smtpd_milters=\npickup unix"}),
        id="the-submission-port-is-not-shown-to-alignd",
    ),
]  # fmt: skip

FAILURE_FAULTS = [
    pytest.param(
        "default-action-accepts",
        {TEMPFAIL: "default_action=accept"},
        id="mail-leaves-unrewritten-while-alignd-is-down",
    ),
    pytest.param(
        "default-action-quarantines", {TEMPFAIL: "default_action=quarantine"}, id="quarantine"
    ),
    pytest.param("default-action-refuses", {TEMPFAIL: "default_action=reject"}, id="reject"),
    pytest.param(
        "default-action-refuses" if version() >= (3, 11) else "milters-malformed",
        {TEMPFAIL: "default_action=shutdown"},
        id="what-3.11-knows-first",
    ),
    pytest.param("timeout-long", {"content_timeout=20s": "content_timeout=300s"}, id="patient"),
    pytest.param("timeout-long", {"command_timeout=5s, ": "command_timeout=1m, "}, id="a-minute"),
    pytest.param("timeout-long", {"connect_timeout=5s, ": ""}, id="the-general-timeout"),
    pytest.param("timeout-short", {"content_timeout=20s": "content_timeout=2"}, id="impatient"),
    pytest.param(
        "milter-protocol-old",
        {"tempfail }": "tempfail, protocol=2 }"},
        id="an-old-protocol-in-braces",
    ),
]

GENERAL_FAULTS = [
    pytest.param(
        "default-action-unset",
        Fault(main={", default_action=tempfail": "", "milter_default_action = tempfail\n": ""}),
        id="the-default-action-is-not-written-down",
    ),
    pytest.param(
        "milter-protocol-old",
        Fault(main={"milter_protocol = 6": "milter_protocol = 3"}),
        id="an-old-protocol",
    ),
    pytest.param(
        "login-macro-invented",
        Fault(main={"milter_protocol": "milter_macro_defaults = auth_authen=x\nmilter_protocol"}),
        id="everybody-is-logged-in",
    ),
]

QUEUE_FIRST_FAULTS = [
    pytest.param(
        "milters-before-queue",
        {"  -o smtpd_milters=\n": "  -o smtpd_milters=unix:opendkim/opendkim.sock\n"},
        id="the-first-listener-has-a-milter",
    ),
    pytest.param(
        "second-listener-missing",
        {"\n127.0.0.1:10026": "\n127.0.0.1:10027"},
        id="mail-is-handed-to-another-port",
    ),
    pytest.param(
        "second-listener-loops",
        {"-o content_filter=\n": "-o content_filter=requeue:[127.0.0.1]:10026\n"},
        id="the-second-listener-hands-over-to-itself",
    ),
    pytest.param(
        "requeue-transport-missing", {"\nrequeue ": "\nrequeued "}, id="no-such-transport"
    ),
    pytest.param(
        "requeue-sessions-shared",
        {"  -o smtp_connection_cache_on_demand=no\n": ""},
        id="sessions-are-shared",
    ),
    pytest.param(
        "xforward-missing",
        {"  -o smtp_send_xforward_command=yes\n": ""},
        id="the-client-is-not-told",
    ),
    pytest.param(
        "xforward-missing",
        {"  -o smtpd_authorized_xforward_hosts=127.0.0.0/8\n": ""},
        id="the-client-is-not-believed",
    ),
]

MACHINE_FAULTS = [
    pytest.param(
        "resolver-remote",
        Fault(conf='[dns]\nnameservers = ["127.0.0.1", "192.0.2.53"]\n'),
        id="dns-is-asked-elsewhere",
    ),
    pytest.param(
        "connections-few",
        Fault(conf="[milter]\nmax_connections = 50\n"),
        id="postfix-may-open-more-sessions-than-alignd-takes",
    ),
    pytest.param(
        "descriptors-few",
        Fault(before=("prlimit", "--nofile=500:500")),
        id="there-are-few-descriptors",
    ),
]


SENDER = r"regexp:{ {/^(.*)@notifications\.easysoftware\.com$$/ $$1@srs.example} }"
ANYBODY = "regexp:{ {/^(.*)@author.example$$/ SRS0=x=author.example=$$1@srs.example} }"
SIGNED = '[dkim]\nsigns = [{ domain = "mycompany.com", selector = "easy1" }]\n'
CLEANUP = "cleanup unix n - n - 0 cleanup\n"
PICKUP = "pickup unix n - n 60 1 pickup\n"
SMTP = "smtp unix - - n - - smtp\n"
LISTENER = "smtp inet n - n - - smtpd\n"
SMARTHOST = "smarthost.example. MX 10 out.example.\nout.example. A 198.51.100.7\n"


def setting(text: str) -> dict[str, str]:
    """A change of main.cf that adds a setting."""
    return {"myhostname =": f"{text}\nmyhostname ="}


def option(service: str, text: str) -> dict[str, str]:
    """A change of master.cf that adds a setting of one service."""
    return {service: f"{service}  -o {{ {text} }}\n"}


BEHIND_FAULTS = [
    pytest.param(
        "edits-discarded",
        Fault(master=option(LISTENER, "smtpd_proxy_filter = 127.0.0.1:10027")),
        id="a-proxy-takes-mail-as-it-came",
    ),
    pytest.param(
        "sender-rewritten",
        Fault(main=setting(f"sender_canonical_maps = {SENDER}")),
        id="our-envelope-sender-is-canonicalised",
    ),
    pytest.param(
        "sender-rewritten",
        Fault(main=setting(
            "canonical_maps = inline:{ {x@y.example = z}, "
            "{@notifications.easysoftware.com = @srs.example} }")),
        id="its-whole-domain-is",
    ),
    pytest.param(
        "sender-rewritten",
        Fault(master=option(CLEANUP, f"sender_canonical_maps = {ANYBODY}")),
        id="one-cleanup-rewrites-the-envelope-senders-of-authors",
    ),
    pytest.param(
        "sender-rewritten",
        Fault(main=setting("sender_canonical_maps = socketmap:unix:srs:forward")),
        id="postsrsd-that-does-not-run",
    ),
    pytest.param(
        "sender-rewritten",
        Fault(main=setting("masquerade_domains = !x.example easysoftware.com")),
        id="our-domain-is-masqueraded",
    ),
    pytest.param(
        "sender-rewritten",
        Fault(main=setting(
            "mydestination = notifications.easysoftware.com\n"
            "canonical_maps = inline:{bounces=x@y.example}")),
        id="its-local-part-is-where-its-domain-is-local",
    ),
    pytest.param(
        "sender-rewritten",
        Fault(
            main=setting("recipient_delimiter = +-\ncanonical_maps = inline:{"
                "bounces@notifications.easysoftware.com=x@y.example}"),
            conf='[notifications]\n'
                'envelope_sender = "Bounces+1@notifications.easysoftware.com"\n',
        ),
        id="its-address-without-the-extension-is",
    ),
    pytest.param(
        "addresses-rewritten",
        Fault(main=setting(f"smtp_generic_maps = {SENDER}")),
        id="the-client-replaces-our-addresses",
    ),
    pytest.param(
        "addresses-rewritten",
        Fault(master=option(SMTP, f"smtp_generic_maps = {ANYBODY}")),
        id="one-client-replaces-those-of-authors",
    ),
    pytest.param(
        "checks-change-header",
        Fault(main=setting(
            "milter_header_checks = regexp:{ {/^From:.*via/ REPLACE From: x@y.example} }")),
        id="a-check-replaces-the-from-that-alignd-wrote",
    ),
    pytest.param(
        "checks-change-header",
        Fault(main=setting("smtp_header_checks = regexp:{ {/^Subject:/ REPLACE Subject: x} }")),
        id="the-client-replaces-what-is-signed",
    ),
    pytest.param(
        "checks-change-body",
        Fault(main=setting("smtp_body_checks = regexp:{ {/x/ REPLACE y} }"), conf=SIGNED),
        id="the-client-replaces-lines-of-signed-mail",
    ),
    pytest.param(
        "checks-change-body",
        Fault(master=option(SMTP, "smtp_nested_header_checks = static:IGNORE"), conf=SIGNED),
        id="one-client-replaces-fields-of-an-attached-message",
    ),
    pytest.param(
        "lines-broken-early",
        Fault(main=setting("smtp_line_length_limit = 990")),
        id="lines-are-broken-that-alignd-takes-for-whole",
    ),
]  # fmt: skip

ROUTE_FAULTS = [
    pytest.param(
        "relayhost-unlisted",
        Fault(main={"relayhost =": "relayhost = smarthost.example"}, zone=added(SMARTHOST)),
        id="mail-leaves-through-a-smarthost-by-mx",
    ),
    pytest.param(
        "relayhost-unlisted",
        Fault(main={"relayhost =": "relayhost = [198.51.100.7]:587"}),
        id="or-by-address",
    ),
    pytest.param(
        "relayhost-unlisted",
        Fault(main=setting("default_transport = smtp:[out.example]"), zone=added(SMARTHOST)),
        id="or-by-the-default-transport",
    ),
    pytest.param(
        "relayhost-unlisted",
        Fault(main=setting(
            "sender_dependent_relayhost_maps = "
            "inline:{ {@notifications.easysoftware.com = [198.51.100.7]} }")),
        id="or-for-our-envelope-sender",
    ),
    pytest.param(
        "relayhost-unlisted",
        Fault(master=option(SMTP, "smtp_fallback_relay = [198.51.100.7]")),
        id="or-when-a-receiver-cannot-be-reached",
    ),
]  # fmt: skip

HARMLESS = [
    pytest.param(
        Fault(main=setting(
            f"sender_canonical_maps = {SENDER}\nsender_canonical_classes = header_sender")),
        "",
        id="canonical-maps-for-the-header-alone-come-before-the-milters",
    ),
    pytest.param(
        Fault(main=setting(f"recipient_canonical_maps = {SENDER}")), "", id="recipients"
    ),
    pytest.param(
        Fault(
            main=setting(f"sender_canonical_maps = {SENDER}"),
            master={
                **option(LISTENER, "receive_override_options = no_address_mappings"),
                **option(PICKUP, "receive_override_options = no_address_mappings"),
            },
        ),
        "",
        id="a-listener-whose-addresses-are-not-mapped",
    ),
    pytest.param(
        Fault(
            main=setting(f"sender_canonical_maps = {SENDER}"),
            master={
                **option(LISTENER, "cleanup_service_name = unmapped"),
                **option(PICKUP, "cleanup_service_name = unmapped"),
                CLEANUP: f"{CLEANUP}unmapped unix n - - - 0 cleanup -o sender_canonical_maps=\n",
            },
        ),
        "",
        id="a-cleanup-of-its-own-as-doctor-advises",
    ),
    pytest.param(
        Fault(main=setting("sender_canonical_maps = inline:{ {a@b.example = c@d.example} }")),
        "sender_canonical_maps of cleanup/unix may change addresses behind alignd",
        id="a-table-without-our-addresses",
    ),
    pytest.param(
        Fault(
            main=setting("masquerade_domains = easysoftware.com"),
            zone=added(
                'easysoftware.com. TXT "v=spf1 include:spf.mailing.easy.cz -all"\n'
                '_dmarc.easysoftware.com. TXT "v=DMARC1; p=reject"'
            ),
        ),
        "strips envelope senders below easysoftware.com",
        id="a-masquerade-that-passes",
    ),
    pytest.param(
        Fault(main=setting("masquerade_domains = mycompany.com")),
        "strips envelope senders below mycompany.com",
        id="a-masquerade-of-another-domain",
    ),
    pytest.param(
        Fault(main=setting("smtp_header_checks = regexp:{ {/^(Received|User-Agent):/ IGNORE} }")),
        "changes no usual field",
        id="checks-of-fields-that-nobody-signs",
    ),
    pytest.param(
        Fault(main=setting("header_checks = static:IGNORE\nbody_checks = static:IGNORE")),
        "",
        id="what-checks-change-before-the-milters-alignd-sees",
    ),
    pytest.param(
        Fault(main=setting("smtp_body_checks = static:IGNORE")),
        "may change the body behind the signer",
        id="the-body-where-nobody-signs",
    ),
    pytest.param(
        Fault(main=setting("disable_mime_output_conversion = no"), conf=SIGNED),
        "postconf -e 'disable_mime_output_conversion = yes' prevents it",
        id="eight-bit-text-for-a-receiver-of-seven",
    ),
    pytest.param(
        Fault(main=setting("transport_maps = inline:{ {a.example = smtp:[b.example]} }")),
        "transport_maps (inline:{ {a.example = smtp:[b.example]} }) may send some mail through",
        id="a-route-of-some-mail",
    ),
    pytest.param(
        Fault(main={"relayhost =": "relayhost = [192.0.2.25]", "smtp_bind_address = 192.0.2.25\n":
            "smtp_bind_address = 10.0.0.7\n", "myhostname = smtp2": "myhostname = inside"}),
        "",
        id="a-smarthost-whose-address-is-listed-and-whose-name-it-is",
    ),
    pytest.param(
        Fault(main={"relayhost =": "relayhost = [198.51.100.7]", "myhostname = smtp2":
            "myhostname = inside"}),
        "mail leaves through 198.51.100.7 (relayhost): relay.addresses must list",
        id="a-smarthost-by-whose-name-alignd.conf-goes",
    ),
    pytest.param(
        Fault(main={"relayhost =": "relayhost = [127.0.0.1]:10027"}),
        "relay.addresses must list the addresses from which it sends",
        id="a-relay-on-this-machine",
    ),
    pytest.param(
        Fault(master=option(LISTENER, "content_filter = smtp:[127.0.0.1]:10024")),
        "hands mail to smtp:[127.0.0.1]:10024 behind alignd",
        id="a-filter-behind-alignd",
    ),
]  # fmt: skip


@pytest.mark.parametrize(("fault", "note"), HARMLESS)
def test_what_may_change_mail_is_told_and_no_fault(relay: Relay, fault: Fault, note: str) -> None:
    outcome = relay.examine(fault, "--json")

    assert (outcome.status, outcome.json["findings"]) == (0, [])
    notes = [each for topic in outcome.json["checked"] for each in topic["notes"]]
    assert any(note in each for each in notes) or not note


class Srs(socketserver.StreamRequestHandler):
    """Answers over socketmap_table(5) as PostSRSd does for a sender that is not its own."""

    def handle(self) -> None:
        while size := self.rfile.readline(1):
            while not size.endswith(b":"):
                size += self.rfile.read(1)
            _, _, address = self.rfile.read(int(size[:-1]) + 1)[:-1].decode().partition(" ")
            local_part, _, domain = address.rpartition("@")
            answer = f"OK SRS0=4fZl=2B={domain}={local_part}@relay.example"
            self.wfile.write(f"{len(answer)}:{answer},".encode())


def test_a_table_behind_a_socket_is_asked(relay: Relay) -> None:
    with open_directory() as directory, run_unix_server(directory / "map", Srs):
        table = f"socketmap:unix:{directory}/map:forward"
        outcome = relay.examine(Fault(main=setting(f"sender_canonical_maps = {table}")), "--json")

    (finding,) = outcome.json["findings"]
    assert finding["id"] == "sender-rewritten"
    assert "SRS0=4fZl=2B=author.example=agent@relay.example" in finding["what"]


def test_a_smarthost_that_dns_does_not_say_is_unknown(relay: Relay) -> None:
    silent = added("; SERVFAIL smarthost.example.")

    outcome = relay.examine(
        Fault(main={"relayhost =": "relayhost = smarthost.example"}, zone=silent), "--json"
    )

    assert (outcome.status, outcome.json["findings"]) == (2, [])
    unknown = [why for each in outcome.json["checked"] for why in each["could_not_check"]]
    (why,) = unknown
    assert why.startswith("which addresses smarthost.example has (relayhost): SERVFAIL")


def test_a_table_that_does_not_answer_is_unknown(relay: Relay) -> None:
    fault = Fault(main=setting("sender_canonical_maps = socketmap:unix:none:forward"))

    outcome = relay.examine(fault, "--json")

    assert (outcome.status, outcome.json["findings"]) == (2, [])
    unknown = [why for each in outcome.json["checked"] for why in each["could_not_check"]]
    (why,) = unknown
    assert why.startswith("whether sender_canonical_maps of cleanup/unix changes addresses")


@pytest.mark.parametrize(
    ("name", "fault"),
    (DNS_FAULTS + SIGNER_FAULTS + BEHIND_FAULTS + ROUTE_FAULTS)
    + (POSTFIX_FAULTS + GENERAL_FAULTS + MACHINE_FAULTS),
)
def test_a_fault_is_found_and_nothing_else(relay: Relay, name: str, fault: Fault) -> None:
    assert set(found(relay, fault)) == set(name.split())


@pytest.mark.parametrize(
    ("layout", "file"),
    [(INLINE_FOR_ALL, "main"), (INLINE_FOR_SUBMISSION, "master"), (QUEUE_FIRST, "master")],
)
@pytest.mark.parametrize(("name", "changes"), FAILURE_FAULTS)
def test_what_alignd_s_failure_means_is_found_in_each_layout(
    relay: Relay, layout: str, file: str, name: str, changes: dict[str, str]
) -> None:
    changed = {"main": Fault(main=changes, layout=layout)}
    changed["master"] = Fault(master=changes, layout=layout)

    assert found(relay, changed[file]) == [name]


@pytest.mark.parametrize(("name", "changes"), QUEUE_FIRST_FAULTS)
def test_a_fault_of_queue_first_is_found(relay: Relay, name: str, changes: dict[str, str]) -> None:
    assert found(relay, Fault(master=changes, layout=QUEUE_FIRST)) == [name]


def test_accepting_is_worse_where_nothing_need_be_lost(relay: Relay) -> None:
    changes = {TEMPFAIL: "default_action=accept"}

    severities = [
        relay.examine(fault, "--json").json["findings"][0]["severity"]
        for fault in (
            Fault(master=changes, layout=INLINE_FOR_SUBMISSION),
            Fault(master=changes, layout=QUEUE_FIRST),
        )
    ]

    assert severities == ["warning", "error"]


def test_an_alignd_that_does_not_run() -> None:
    (port,) = free_ports(1)
    with open_directory() as directory:
        relay = Relay(directory, InetEndpoint("127.0.0.1", port), f"inet:{port}@127.0.0.1")

        assert found(relay, Fault()) == ["alignd-does-not-answer"]


def test_a_socket_that_is_not_there() -> None:
    with open_directory() as directory:
        path = f"{directory}/none.sock"
        relay = Relay(directory, UnixEndpoint(path), f"unix:{path}")

        assert found(relay, Fault()) == ["alignd-does-not-answer"]


@pytest.mark.parametrize(
    ("has_signer", "mode", "stopped"),
    [
        pytest.param(False, 0, "No such file or directory", id="nobody-made-the-socket"),
        pytest.param(True, 0o600, "Permission denied", id="a-socket-for-its-own-user"),
    ],
)
def test_a_signer_that_postfix_cannot_reach(
    relay: Relay, has_signer: bool, mode: int, stopped: str
) -> None:
    unreached = replace(relay, has_signer=has_signer, signer_mode=mode)

    outcome = unreached.examine(Fault(), "--json")

    (finding,) = outcome.json["findings"]
    assert (finding["id"], finding["severity"]) == ("milter-unreachable", "error")
    assert stopped in finding["what"]
    assert f"{relay.directory}/queue/opendkim" in finding["fix"]


def test_a_socket_outside_of_the_chroot(unix_relay: Relay) -> None:
    chrooted = {SUBMISSION.format(chroot="n"): SUBMISSION.format(chroot="y")}
    fault = Fault(master=chrooted, layout=INLINE_FOR_SUBMISSION)

    assert found(unix_relay, fault) == ["socket-outside-chroot"]


def test_a_chroot_by_default_of_an_old_compatibility_level(unix_relay: Relay) -> None:
    fault = Fault(
        master={SUBMISSION.format(chroot="n"): SUBMISSION.format(chroot="-")},
        main={"compatibility_level = 3.6": "compatibility_level = 0"},
        layout=INLINE_FOR_SUBMISSION,
    )

    assert found(unix_relay, fault) == ["socket-outside-chroot"]


@pytest.mark.parametrize(
    ("place", "mode", "stopped"),
    [
        pytest.param("", 0o700, "may not enter the directory", id="a-directory-for-root-alone"),
        pytest.param(
            "milter.sock", 0o700, "may not write to the socket", id="a-socket-for-root-alone"
        ),
    ],
)
def test_a_socket_that_postfix_may_not_reach(
    nameserver: Nameserver, place: str, mode: int, stopped: str
) -> None:
    with (
        open_directory() as directory,
        run_alignd(directory / "alignd", nameserver.address) as alignd,
    ):
        barrier = directory / "alignd" / place
        barrier.chmod(mode)
        path = alignd.socket.removeprefix("unix:")
        relay = Relay(directory, UnixEndpoint(path), f"unix:{path}")
        (finding,) = relay.examine(Fault(), "--json").json["findings"]

    assert finding["id"] == "socket-forbidden"
    assert f"postfix {stopped} {barrier}" in finding["what"]


def test_a_socket_below_the_queue_directory_is_reached_in_a_chroot(
    nameserver: Nameserver,
) -> None:
    with open_directory() as directory:
        path = f"{directory}/queue/alignd/alignd.sock"
        changes = f'[milter]\nsocket = "unix:{path}"\n'
        (directory / "queue/alignd").mkdir(parents=True)
        with run_alignd(directory / "run", nameserver.address, changes):
            relay = Relay(directory, UnixEndpoint("alignd/alignd.sock"), f"unix:{path}")
            fault = Fault(master={"smtp inet n - n": "smtp inet n - y"})

            assert found(relay, fault) == []


def test_a_socket_of_systemd_is_looked_for_where_one_is_told(unix_relay: Relay) -> None:
    handed = Relay(unix_relay.directory, unix_relay.endpoint, "fd:3")

    told = handed.examine(Fault(options=("--socket", str(unix_relay.endpoint))))
    untold = handed.examine(Fault())

    assert told.status == 0
    assert "systemd owns the socket" not in told.stdout
    assert untold.status == 1
    assert "looked for at inet:127.0.0.1:8899" in untold.stdout


# A network of its own with one more address, for one command.
WITH_ADDRESS = (
    *("unshare", "--net", "--", "sh", "-ec"),
    'ip link set lo up; ip address add {address} dev lo; exec "$@"',
    "sh",
)


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        pytest.param("203.0.113.7/32", ["interface-address-unlisted"], id="a-public-address"),
        pytest.param("10.1.2.3/32", [], id="a-private-address-may-be-behind-nat"),
        pytest.param("192.0.2.25/32", [], id="the-relay-address"),
    ],
)
def test_the_addresses_of_this_machine(
    unix_relay: Relay, address: str, expected: list[str]
) -> None:
    fault = Fault(
        main={"smtp_bind_address = 192.0.2.25\n": ""},
        before=tuple(word.format(address=address) for word in WITH_ADDRESS),
    )

    assert found(unix_relay, fault) == expected


@pytest.fixture
def live_relay(unix_relay: Relay, nameserver: Nameserver) -> Relay:
    """A relay that asks a real nameserver."""
    nameserver.serve(ZONE)
    return unix_relay


def test_dns_may_be_asked_on_the_network(live_relay: Relay, nameserver: Nameserver) -> None:
    asking = Fault(conf=f'[dns]\nnameservers = ["{nameserver.address}"]\n')

    outcome = live_relay.examine(asking, "--json", zone=False)

    assert (outcome.status, outcome.json["findings"]) == (0, [])
    assert ("notifications.easysoftware.com.", "TXT") in nameserver.questions
    (resolver,) = [each for each in outcome.json["checked"] if each["topic"] == "resolver"]
    assert "127.0.0.1 answers in " in resolver["notes"][0]


def test_a_nameserver_that_is_down(live_relay: Relay, nameserver: Nameserver) -> None:
    (port,) = free_ports(1)
    servers = f'["{nameserver.address}", "127.0.0.1:{port}"]'

    outcome = live_relay.examine(Fault(conf=f"[dns]\nnameservers = {servers}\n"), zone=False)

    assert outcome.status == 1
    assert "resolver-silent" in outcome.stdout
    assert "notifications-domain-fails" not in outcome.stdout


def test_what_dns_does_not_say_is_unknown_and_no_fault(relay: Relay) -> None:
    failing = "\n".join(
        f"; SERVFAIL {name}."
        for name in (
            "notifications.easysoftware.com",
            "_dmarc.notifications.easysoftware.com",
            "smtp2.easyredmine.com",
            "25.2.0.192.in-addr.arpa",
        )
    )

    outcome = relay.examine(Fault(zone=added(failing)), "--json")

    assert (outcome.status, outcome.json["findings"]) == (2, [])
    unknown = [why for each in outcome.json["checked"] for why in each["could_not_check"]]
    assert any(
        why.startswith("whether notifications.easysoftware.com passes DMARC") for why in unknown
    )
    assert any(why.startswith("whether smtp2.easyredmine.com resolves") for why in unknown)
    assert any(why.startswith("whether 192.0.2.25 has a name") for why in unknown)


def test_each_finding_was_planted() -> None:
    tables = (
        (DNS_FAULTS + SIGNER_FAULTS + POSTFIX_FAULTS + GENERAL_FAULTS)
        + (MACHINE_FAULTS + FAILURE_FAULTS + BEHIND_FAULTS + ROUTE_FAULTS)
        + QUEUE_FIRST_FAULTS
    )
    planted = {name for row in tables for name in str(row.values[0]).split()}
    alone = {
        FindingId.ALIGND_DOES_NOT_ANSWER,
        FindingId.SOCKET_OUTSIDE_CHROOT,
        FindingId.SOCKET_FORBIDDEN,
        FindingId.MILTER_UNREACHABLE,
        FindingId.RESOLVER_SILENT,
    }
    in_units = {
        FindingId.SIGNER_TABLE_UNREADABLE,  # and in tests/packages
        FindingId.RESOLVER_SLOW,
        FindingId.SUFFIX_LIST_OLD,
        FindingId.POSTFIX_MISPLACES_EDITS,
        # What the running service says of itself; and in tests/wire/test_status.py.
        FindingId.CONFIGURATION_NOT_IN_FORCE,
        FindingId.RELOAD_REFUSED,
        FindingId.NAMESERVERS_NOT_IN_FORCE,
        FindingId.SIGNING_TABLES_NOT_IN_FORCE,
        FindingId.VERSION_NOT_IN_FORCE,
        FindingId.WORKERS_MISSING,
        FindingId.NAMESERVER_FAILS,
        FindingId.DNS_IS_DOWN,
        FindingId.ARCHIVE_FAILS,
        FindingId.LOG_LINES_DROPPED,
    }

    # Those of the way back: tests/relay/test_doctor_return.py.
    assert planted | {each.value for each in alone | in_units} == {
        each.value for each in FindingId if not each.value.startswith("return-")
    }
