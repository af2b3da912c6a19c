"""`alignd doctor` finds each fault of a real way back, and nothing in a right one."""

from collections.abc import Iterator

import pytest

from alignd.postfix.layouts import Layout
from tests.lab.alignd import Return, run_alignd, run_return
from tests.lab.nameserver import Nameserver
from tests.lab.postfix import obstacle
from tests.lab.readiness import open_directory
from tests.lab.return_addresses import KEY_FILE
from tests.support.return_relay import INSTANCE, ReturnFault, ReturnRelay

pytestmark = [
    pytest.mark.postfix,
    pytest.mark.skipif(obstacle() is not None, reason=obstacle() or ""),
]

LAYOUTS = (Layout.RETURN, Layout.RETURN_INSIDE)


@pytest.fixture(scope="module")
def back(nameserver: Nameserver) -> Iterator[Return]:
    changes = f'[return]\nkeys = "{KEY_FILE}"\n'
    with (
        open_directory() as directory,
        run_return(directory / "return", nameserver.address, changes) as back,
    ):
        yield back


@pytest.fixture(scope="module")
def outbound(nameserver: Nameserver) -> Iterator[str]:
    with (
        open_directory() as directory,
        run_alignd(directory / "alignd", nameserver.address) as alignd,
    ):
        yield alignd.socket


@pytest.fixture
def relay(back: Return, outbound: str) -> Iterator[ReturnRelay]:
    with open_directory() as directory:
        yield ReturnRelay(directory, outbound, back)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_nothing_is_found_where_all_is_right(relay: ReturnRelay, layout: Layout) -> None:
    outcome = relay.examine(ReturnFault(layout=layout))

    assert (outcome.status, outcome.stderr) == (0, ""), outcome.stdout


INSIDE = Layout.RETURN_INSIDE
DOMAIN = "notifications.easysoftware.com"
GUARD = r"/^(.*@notifications\.easysoftware\.com)$/ $1"
SIGNER = ", unix:opendkim-return/opendkim.sock"
ACTION = "default_action=tempfail"


def main(*changes: tuple[str, str], layout: Layout = Layout.RETURN) -> ReturnFault:
    """A fault in main.cf of the Postfix that takes what comes back."""
    return ReturnFault({"main.cf": dict(changes)}, layout=layout)


def also(line: str, layout: Layout = Layout.RETURN) -> ReturnFault:
    """One more line in that main.cf, which takes the place of one above."""
    known = "disable_mime_output_conversion = yes\n"
    return main((known, f"{known}{line}\n"), layout=layout)


def signer(*changes: tuple[str, str], file: str = "opendkim-return.conf") -> ReturnFault:
    return ReturnFault({file: dict(changes)})


# A guard that lets every recipient through, or none: as bad as no guard.
MAP_FAULTS = [
    pytest.param(
        "return-map-missing",
        main(("virtual_alias_maps = hash:", "relocated_maps = hash:")),
        id="the-map-is-nowhere",
    ),
    pytest.param(
        "return-map-missing",
        also("receive_override_options = no_address_mappings"),
        id="addresses-are-not-mapped",
    ),
    pytest.param(
        "return-map-unguarded",
        main(
            ("pipemap:{ regexp:$config_directory/return-domains, ", ""),
            (":return }", ":return"),
            layout=INSIDE,
        ),
        id="outgoing-mail-hangs-on-the-map",
    ),
    pytest.param(
        "return-map-unguarded",
        main(
            ("pipemap:{ regexp:$config_directory/return-domains, ", ""),
            (":return }", ":return"),
        ),
        id="shared-addresses-hang-on-the-map",
    ),
    pytest.param(
        "return-map-unguarded",
        also("recipient_canonical_maps = socketmap:unix:{map}:return", INSIDE),
        id="a-canonical-map-without-a-guard",
    ),
    pytest.param(
        "return-map-unguarded",
        ReturnFault({"return-domains": {GUARD: "/^(.*)$/ $1"}}, layout=INSIDE),
        id="a-guard-that-lets-all-through",
    ),
    pytest.param(
        "return-guard-wrong",
        ReturnFault({"return-domains": {GUARD: GUARD.replace("$1", "$0")}}),
        id="the-trap-of-dollar-zero",
    ),
    pytest.param(
        "return-guard-wrong",
        ReturnFault({"return-domains": {"easysoftware": "easyredmine"}}),
        id="a-guard-for-another-domain",
    ),
    pytest.param(
        "return-guard-wrong",
        ReturnFault(
            {"return-domains": {GUARD: GUARD.replace(".*", "[a-z.=0-9]*").replace("/ ", "/i ")}}
        ),
        id="a-guard-that-minds-the-case",
    ),
    pytest.param(
        "return-map-outside-chroot",
        main(("proxy:socketmap", "socketmap"), layout=INSIDE),
        id="smtpd-asks-from-its-chroot",
    ),
    pytest.param(
        "return-map-fails",
        also("queue_directory = /nowhere"),
        id="nobody-is-at-the-socket",
    ),
    pytest.param(
        "return-map-fails",
        main((":return }", ":other }")),
        id="another-name-of-the-map",
    ),
    pytest.param(
        "return-domain-foreign",
        main((f"virtual_alias_domains = {DOMAIN}", "virtual_alias_domains =")),
        id="postfix-does-not-know-the-domain",
    ),
    pytest.param(
        "return-domain-foreign",
        main(("mydestination = ", f"mydestination = {DOMAIN}, ")),
        id="the-domain-is-local-as-well",
    ),
    pytest.param(
        "return-domain-kept",
        ReturnFault(sending={"relayhost =": f"virtual_alias_domains = {DOMAIN}\nrelayhost ="}),
        id="the-postfix-that-sends-keeps-the-domain",
    ),
    pytest.param(
        "return-shared-refused",
        ReturnFault({"return-shared": {f"bounces@{DOMAIN} root\n": ""}}),
        id="the-shared-envelope-sender-is-unknown",
    ),
    pytest.param(
        "return-shared-refused",
        ReturnFault({"return-shared": {f"abuse@{DOMAIN} root\n": ""}}),
        id="nobody-reads-abuse",
    ),
    pytest.param(
        "return-shared-refused",
        ReturnFault({"return-shared": {f"dmarc-reports@{DOMAIN} root\n": ""}}),
        id="nobody-takes-the-reports-that-dmarc-asks-for",
    ),
    pytest.param(
        "return-shared-behind-map",
        main(
            ("hash:$config_directory/return-shared, pipemap", "pipemap"),
            (":return }", ":return }, hash:$config_directory/return-shared"),
        ),
        id="shared-addresses-are-behind-the-map",
    ),
    pytest.param(
        "return-address-cut",
        main(("recipient_delimiter =", "recipient_delimiter = =")),
        id="an-equals-sign-cuts-addresses",
    ),
]
MILTER_FAULTS = [
    pytest.param(
        "return-not-in-chain",
        main(("smtpd_milters = {", "unused = {"), ("non_smtpd_milters = $smtpd_milters", "")),
        id="nobody-judges-what-comes-back",
    ),
    pytest.param(
        "return-escapes",
        ReturnFault(
            {
                "master.cf": {
                    "": "smtp inet n - n - - smtpd\n"
                    "192.0.2.99:25 inet n - n - - smtpd\n  -o smtpd_milters=\n"
                }
            }
        ),
        id="one-of-two-listeners-does-not-judge",
    ),
    pytest.param(
        "return-judged-as-outbound",
        main((SIGNER, f", {{outbound}}{SIGNER}")),
        id="the-milter-of-the-helpdesk-s-mail-sees-it",
    ),
    pytest.param(
        "return-unjudged",
        main((ACTION, "default_action=accept")),
        id="it-is-delivered-unjudged-while-alignd-is-down",
    ),
    pytest.param(
        "milters-switched-off",
        also("receive_override_options = no_milters"),
        id="milters-are-switched-off",
    ),
    pytest.param(
        "timeout-long", main(("content_timeout=20s", "content_timeout=300s")), id="it-waits"
    ),
    pytest.param(
        "return-signer-missing", main((SIGNER, "")), id="nobody-signs-what-alignd-rewrites"
    ),
    pytest.param(
        "return-signer-shared",
        main((SIGNER, ", unix:{queue}/opendkim/opendkim.sock")),
        id="the-signer-of-the-relay-signs",
    ),
    pytest.param(
        "return-signer-wide",
        signer(
            (
                f"helpdesk@{DOMAIN} {DOMAIN}",
                f"helpdesk@{DOMAIN} {DOMAIN}\n*@customer.com customer",
            ),
            file="opendkim-return.signing",
        ),
        id="the-signer-signs-for-a-customer",
    ),
    pytest.param(
        "return-signer-wide",
        ReturnFault(conf='[dkim]\ninternal_hosts = ["0.0.0.0/0"]\n'),
        id="the-signer-of-the-relay-signs-for-strangers",
    ),
    pytest.param(
        "return-signer-narrow",
        signer(("0.0.0.0/0", "127.0.0.1"), file="opendkim-return.hosts"),
        id="the-signer-signs-for-local-clients-alone",
    ),
    pytest.param(
        "return-signer-narrow", signer(("Mode s", "Mode v")), id="the-signer-only-verifies"
    ),
    pytest.param(
        "return-signer-narrow",
        signer((f"helpdesk@{DOMAIN}", f"info@{DOMAIN}"), file="opendkim-return.signing"),
        id="the-signer-does-not-sign-for-the-notifications-address",
    ),
    pytest.param(
        "return-bounces-unseen",
        main(("notify_classes = resource, software, 2bounce", "")),
        id="postfix-tells-nobody-of-refused-bounces",
    ),
    pytest.param(
        "return-bounces-unseen",
        main(("non_smtpd_milters = $smtpd_milters", "")),
        id="alignd-does-not-see-them",
    ),
    pytest.param(
        "return-signatures-broken",
        main(("output_conversion = yes", "output_conversion = no")),
        id="a-conversion-breaks-signatures",
    ),
]
OTHER_FAULTS = [
    pytest.param(
        "return-mx-unresolved",
        ReturnFault(zone={"mx.easysoftware.com. A 192.0.2.25\n": ""}),
        id="the-mx-has-no-address",
    ),
    pytest.param(
        "notifications-unroutable",
        ReturnFault(zone={"MX 10 mx.easysoftware.com.": "MX 0 ."}),
        id="the-domain-takes-no-mail",
    ),
    pytest.param(
        "notifications-domain-fails notifications-unroutable return-domain-foreign",
        ReturnFault(
            {"main.cf": {f"= {'reply.easysoftware.com'}": f"= {DOMAIN}"}},
            conf='[return]\ndomain = "reply.easysoftware.com"\n',
            zone={
                "smtp2.easyredmine.com. TXT": '_dmarc.reply.easysoftware.com. TXT "v=DMARC1; p=reject"\nsmtp2.easyredmine.com. TXT'
            },
        ),
        id="a-domain-of-its-own-without-records",
    ),
    pytest.param(
        "return-sender-fails",
        ReturnFault(zone={f" ip4:{INSTANCE} -all": " -all"}),
        id="spf-does-not-name-the-address-of-the-instance",
    ),
    pytest.param(
        "return-bounces-fail",
        ReturnFault(
            zone={
                f'mx.{DOMAIN}. TXT "v=spf1 a -all"\n': f'_dmarc.mx.{DOMAIN}. TXT "v=DMARC1; p=reject"\n'
            }
        ),
        id="bounces-of-the-instance-fail",
    ),
    pytest.param(
        "return-bounces-fail",
        ReturnFault(
            sending={"relayhost =": "myorigin = mycompany.com\nrelayhost ="},
            zone={
                "smtp2.easyredmine.com. TXT": '_dmarc.mycompany.com. TXT "v=DMARC1; p=reject"\nsmtp2.easyredmine.com. TXT'
            },
        ),
        id="bounces-are-from-another-domain",
    ),
    pytest.param(
        "return-keys-unusable return-map-fails",
        ReturnFault(keys="accept aaaa\n"),
        id="the-keys-are-too-short",
    ),
    pytest.param(
        "return-map-differs",
        ReturnFault(keys=f"sign {'7c' * 32}\n"),
        id="the-service-has-other-keys",
    ),
    pytest.param(
        "return-map-differs",
        ReturnFault(conf='[return]\ndeliver_to = "tickets@mycompany.com"\n'),
        id="the-service-delivers-elsewhere",
    ),
]


@pytest.mark.parametrize(("name", "fault"), MAP_FAULTS + MILTER_FAULTS + OTHER_FAULTS)
def test_a_fault_is_found_and_nothing_else(
    relay: ReturnRelay, name: str, fault: ReturnFault
) -> None:
    outcome = relay.examine(fault, "--json")

    found = [finding["id"] for finding in outcome.json["findings"]]
    assert set(found) == set(name.split()), outcome.json["findings"]
    assert outcome.status == 1
