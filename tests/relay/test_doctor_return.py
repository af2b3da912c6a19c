"""`alignd doctor` finds each fault of a real way back, and nothing in a right one."""

import json
import os
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner

from alignd.cli.main import main as command
from alignd.doctor.evidence.machine import barrier_to_key_file
from alignd.doctor.evidence.tables import ask_map
from alignd.doctor.facts import Barrier, MapTrouble
from alignd.doctor.findings import FindingId, Skipped
from alignd.postfix.layouts import Layout
from alignd.return_path.address import Kind
from tests.lab.alignd import Return, run_alignd, run_return
from tests.lab.nameserver import Nameserver
from tests.lab.postfix import obstacle, run_relay
from tests.lab.readiness import free_ports, open_directory
from tests.lab.return_addresses import KEY_FILE, return_address
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
 In unit tests.open_directory() as directory,
 In unit tests.run_return(directory / "return", nameserver.address, changes) as back,
    ):
 In unit tests.yield back


@pytest.fixture(scope="module")
def outbound(nameserver: Nameserver) -> Iterator[str]:
    with (
 In unit tests.open_directory() as directory,
 In unit tests.run_alignd(directory / "alignd", nameserver.address) as alignd,
    ):
 In unit tests.yield alignd.socket


@pytest.fixture
def relay(back: Return, outbound: str) -> Iterator[ReturnRelay]:
    with open_directory() as directory:
 In unit tests.yield ReturnRelay(directory, outbound, back)


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


def with_policy(domain: str) -> dict[str, str]:
    """A change of the zone that gives *domain* a policy."""
    first = "mx.easysoftware.com. A 192.0.2.25\n"
    return {first: f'{first}_dmarc.{domain}. TXT "v=DMARC1; p=reject"\n'}


def signer(*changes: tuple[str, str], file: str = "opendkim-return.conf") -> ReturnFault:
    return ReturnFault({file: dict(changes)})


# A guard that lets every recipient through, or none: as bad as no guard.
MAP_FAULTS = [
    pytest.param(
 In unit tests."return-map-missing",
 In unit tests.main((", pipemap:{", "\nrelocated_maps = pipemap:{")),
 In unit tests.id="the-map-is-nowhere",
    ),
    pytest.param(
 In unit tests."return-map-missing",
 In unit tests.also("receive_override_options = no_address_mappings"),
 In unit tests.id="addresses-are-not-mapped",
    ),
    pytest.param(
 In unit tests."return-map-unguarded",
 In unit tests.main(
 In unit tests.    ("pipemap:{ regexp:$config_directory/return-domains, ", ""),
 In unit tests.    (":return }", ":return"),
 In unit tests.    layout=INSIDE,
 In unit tests.),
 In unit tests.id="outgoing-mail-hangs-on-the-map",
    ),
    pytest.param(
 In unit tests."return-map-unguarded",
 In unit tests.main(
 In unit tests.    ("pipemap:{ regexp:$config_directory/return-domains, ", ""),
 In unit tests.    (":return }", ":return"),
 In unit tests.),
 In unit tests.id="shared-addresses-hang-on-the-map",
    ),
    pytest.param(
 In unit tests."return-map-unguarded",
 In unit tests.also("recipient_canonical_maps = socketmap:unix:{map}:return", INSIDE),
 In unit tests.id="a-canonical-map-without-a-guard",
    ),
    pytest.param(
 In unit tests."return-map-unguarded",
 In unit tests.ReturnFault({"return-domains": {GUARD: "/^(.*)$/ $1"}}, layout=INSIDE),
 In unit tests.id="a-guard-that-lets-all-through",
    ),
    pytest.param(
 In unit tests."return-guard-wrong",
 In unit tests.ReturnFault({"return-domains": {GUARD: GUARD.replace("$1", "$0")}}),
 In unit tests.id="the-trap-of-dollar-zero",
    ),
    pytest.param(
 In unit tests."return-guard-wrong",
 In unit tests.ReturnFault({"return-domains": {"easysoftware": "easyredmine"}}),
 In unit tests.id="a-guard-for-another-domain",
    ),
    pytest.param(
 In unit tests."return-guard-wrong",
 In unit tests.ReturnFault(
 In unit tests.    {"return-domains": {GUARD: GUARD.replace(".*", "[a-z.=0-9]*").replace("/ ", "/i ")}}
 In unit tests.),
 In unit tests.id="a-guard-that-minds-the-case",
    ),
    pytest.param(
 In unit tests."return-map-outside-chroot socket-outside-chroot",
 In unit tests.ReturnFault(
 In unit tests.    {
 In unit tests.        "main.cf": {"proxy:socketmap": "socketmap"},
 In unit tests.        "master.cf": {"inet  n       -       n": "inet  n       -       y"},
 In unit tests.    },
 In unit tests.    layout=INSIDE,
 In unit tests.),
 In unit tests.id="smtpd-asks-from-its-chroot",
    ),
    pytest.param(
 In unit tests."return-map-fails",
 In unit tests.also("queue_directory = /nowhere"),
 In unit tests.id="nobody-is-at-the-socket",
    ),
    pytest.param(
 In unit tests."return-map-fails",
 In unit tests.main((":return }", ":other }")),
 In unit tests.id="another-name-of-the-map",
    ),
    pytest.param(
 In unit tests."return-domain-foreign",
 In unit tests.main((f"virtual_alias_domains = {DOMAIN}", "virtual_alias_domains =")),
 In unit tests.id="postfix-does-not-know-the-domain",
    ),
    pytest.param(
 In unit tests."return-domain-foreign",
 In unit tests.main(("mydestination = ", f"mydestination = {DOMAIN}, ")),
 In unit tests.id="the-domain-is-local-as-well",
    ),
    pytest.param(
 In unit tests."return-domain-kept",
 In unit tests.ReturnFault(sending={"relayhost =": f"virtual_alias_domains = {DOMAIN}\nrelayhost ="}),
 In unit tests.id="the-postfix-that-sends-keeps-the-domain",
    ),
    pytest.param(
 In unit tests."return-shared-refused",
 In unit tests.ReturnFault({"return-shared": {f"bounces@{DOMAIN} root\n": ""}}),
 In unit tests.id="the-shared-envelope-sender-is-unknown",
    ),
    pytest.param(
 In unit tests."return-shared-refused",
 In unit tests.ReturnFault({"return-shared": {f"abuse@{DOMAIN} root\n": ""}}),
 In unit tests.id="nobody-reads-abuse",
    ),
    pytest.param(
 In unit tests."return-shared-refused",
 In unit tests.ReturnFault({"return-shared": {f"dmarc-reports@{DOMAIN} root\n": ""}}),
 In unit tests.id="nobody-takes-the-reports-that-dmarc-asks-for",
    ),
    pytest.param(
 In unit tests."return-shared-behind-map",
 In unit tests.main(
 In unit tests.    ("hash:$config_directory/return-shared, pipemap", "pipemap"),
 In unit tests.    (":return }", ":return }, hash:$config_directory/return-shared"),
 In unit tests.),
 In unit tests.id="shared-addresses-are-behind-the-map",
    ),
    pytest.param(
 In unit tests."return-address-cut",
 In unit tests.main(("recipient_delimiter =", "recipient_delimiter = =")),
 In unit tests.id="an-equals-sign-cuts-addresses",
    ),
]
MILTER_FAULTS = [
    pytest.param(
 In unit tests."return-not-in-chain return-bounces-unseen",
 In unit tests.main(("\nsmtpd_milters = {", "\nunused = {")),
 In unit tests.id="nobody-judges-what-comes-back",
    ),
    pytest.param(
 In unit tests."return-escapes",
 In unit tests.ReturnFault(
 In unit tests.    {
 In unit tests.        "master.cf": {
 In unit tests.            "": "smtp inet n - n - - smtpd\n"
 In unit tests.            "192.0.2.99:25 inet n - n - - smtpd\n  -o smtpd_milters=\n"
 In unit tests.        }
 In unit tests.    }
 In unit tests.),
 In unit tests.id="one-of-two-listeners-does-not-judge",
    ),
    pytest.param(
 In unit tests."return-judged-as-outbound",
 In unit tests.main((SIGNER, f", {{outbound}}{SIGNER}")),
 In unit tests.id="the-milter-of-the-helpdesk-s-mail-sees-it",
    ),
    pytest.param(
 In unit tests."return-unjudged",
 In unit tests.main((ACTION, "default_action=accept")),
 In unit tests.id="it-is-delivered-unjudged-while-alignd-is-down",
    ),
    pytest.param(
 In unit tests."milters-switched-off",
 In unit tests.also("receive_override_options = no_milters"),
 In unit tests.id="milters-are-switched-off",
    ),
    pytest.param(
 In unit tests."timeout-long", main(("content_timeout=20s", "content_timeout=300s")), id="it-waits"
    ),
    pytest.param(
 In unit tests."return-signer-missing", main((SIGNER, "")), id="nobody-signs-what-alignd-rewrites"
    ),
    pytest.param(
 In unit tests."return-signer-shared",
 In unit tests.main((SIGNER, ", unix:{queue}/opendkim/opendkim.sock")),
 In unit tests.id="the-signer-of-the-relay-signs",
    ),
    pytest.param(
 In unit tests."return-signer-wide",
 In unit tests.signer(
 In unit tests.    (
 In unit tests.        f"helpdesk@{DOMAIN} {DOMAIN}",
 In unit tests.        f"helpdesk@{DOMAIN} {DOMAIN}\n*@customer.com customer",
 In unit tests.    ),
 In unit tests.    file="opendkim-return.signing",
 In unit tests.),
 In unit tests.id="the-signer-signs-for-a-customer",
    ),
    pytest.param(
 In unit tests."return-signer-wide",
 In unit tests.ReturnFault(conf='[dkim]\ninternal_hosts = ["0.0.0.0/0"]\n'),
 In unit tests.id="the-signer-of-the-relay-signs-for-strangers",
    ),
    pytest.param(
 In unit tests."return-signer-narrow",
 In unit tests.signer(("0.0.0.0/0", "127.0.0.1"), file="opendkim-return.hosts"),
 In unit tests.id="the-signer-signs-for-local-clients-alone",
    ),
    pytest.param(
 In unit tests."return-signer-narrow", signer(("Mode s", "Mode v")), id="the-signer-only-verifies"
    ),
    pytest.param(
 In unit tests."return-signer-narrow",
 In unit tests.signer((f"helpdesk@{DOMAIN}", f"info@{DOMAIN}"), file="opendkim-return.signing"),
 In unit tests.id="the-signer-does-not-sign-for-the-notifications-address",
    ),
    pytest.param(
 In unit tests."return-bounces-unseen",
 In unit tests.main(("notify_classes = resource, software, 2bounce", "")),
 In unit tests.id="postfix-tells-nobody-of-refused-bounces",
    ),
    pytest.param(
 In unit tests."return-bounces-unseen",
 In unit tests.main(("non_smtpd_milters = $smtpd_milters", "")),
 In unit tests.id="alignd-does-not-see-them",
    ),
    pytest.param(
 In unit tests."return-signatures-broken",
 In unit tests.main(("output_conversion = yes", "output_conversion = no")),
 In unit tests.id="a-conversion-breaks-signatures",
    ),
]
OTHER_FAULTS = [
    pytest.param(
 In unit tests."return-mx-unresolved",
 In unit tests.ReturnFault(zone={"mx.easysoftware.com. A 192.0.2.25\n": ""}),
 In unit tests.id="the-mx-has-no-address",
    ),
    pytest.param(
 In unit tests."notifications-unroutable",
 In unit tests.ReturnFault(zone={"MX 10 mx.easysoftware.com.": "MX 0 ."}),
 In unit tests.id="the-domain-takes-no-mail",
    ),
    pytest.param(
 In unit tests."notifications-domain-fails notifications-unroutable "
 In unit tests."return-sender-fails return-map-differs return-bounces-fail",
 In unit tests.ReturnFault(
 In unit tests.    options='domain = "reply.easysoftware.com"',
 In unit tests.    zone=with_policy("reply.easysoftware.com"),
 In unit tests.),
 In unit tests.id="a-domain-of-its-own-without-records",
    ),
    pytest.param(
 In unit tests."return-sender-fails",
 In unit tests.ReturnFault(zone={f" ip4:{INSTANCE} -all": " -all"}),
 In unit tests.id="spf-does-not-name-the-address-of-the-instance",
    ),
    pytest.param(
 In unit tests."return-bounces-fail",
 In unit tests.ReturnFault(
 In unit tests.    zone={f'mx.{DOMAIN}. TXT "v=spf1 a -all"\n': "", **with_policy(f"mx.{DOMAIN}")}
 In unit tests.),
 In unit tests.id="bounces-of-the-instance-fail",
    ),
    pytest.param(
 In unit tests."return-bounces-fail",
 In unit tests.ReturnFault(
 In unit tests.    sending={"relayhost =": "myorigin = mycompany.com\nrelayhost ="},
 In unit tests.    zone=with_policy("mycompany.com"),
 In unit tests.),
 In unit tests.id="bounces-are-from-another-domain",
    ),
    pytest.param(
 In unit tests."return-keys-unusable return-map-fails",
 In unit tests.ReturnFault(keys="accept aaaa\n"),
 In unit tests.id="the-keys-are-too-short",
    ),
    pytest.param(
 In unit tests."return-map-fails",
 In unit tests.ReturnFault(keys=f"sign {'7c' * 32}\n"),
 In unit tests.id="the-service-has-other-keys",
    ),
    pytest.param(
 In unit tests."return-map-differs",
 In unit tests.ReturnFault(options='deliver_to = "tickets@mycompany.com"'),
 In unit tests.id="the-service-delivers-elsewhere",
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


def test_a_map_that_hangs_is_found(relay: ReturnRelay) -> None:
    process = relay.back.map_process()
    assert process is not None
    os.kill(process, signal.SIGSTOP)
    try:
 In unit tests.(finding,) = relay.examine(ReturnFault(), "--json").json["findings"]
    finally:
 In unit tests.os.kill(process, signal.SIGCONT)

    assert finding["id"] == "return-map-fails"
    assert "did not answer within 5 s" in finding["what"]


def test_an_unguarded_map_is_worse_where_outgoing_mail_asks_it(relay: ReturnRelay) -> None:
    guard = "pipemap:{ regexp:$config_directory/return-domains, "
    bare = ((guard, ""), (":return }", ":return"))

    severities = [
 In unit tests.relay.examine(main(*bare, layout=layout), "--json").json["findings"][0]["severity"]
 In unit tests.for layout in LAYOUTS
    ]

    assert severities == ["warning", "error"]


def test_the_map_is_asked_by_way_of_the_proxymap_of_a_postfix_that_runs(back: Return) -> None:
    table = f"proxy:socketmap:unix:{back.map_path}:return"
    good = return_address(Kind.AUTHOR, "agent@author.example")

    def asked(allowed: str) -> object:
 In unit tests.with run_relay({"in": ""}, 25, settings=f"proxy_read_maps = {allowed}\n") as running:
 In unit tests.    config, queue = running.directory / "etc", str(running.directory / "queue")
 In unit tests.    return ask_map(table, (good,), config, queue, "postfix")

    assert asked(table) == {good: "agent@author.example"}
    # Nobody but proxymap forbids it.
    assert isinstance(asked("hash:/none"), MapTrouble)


def test_what_the_service_has_in_force_is_compared_with_the_file(nameserver: Nameserver) -> None:
    (port,) = free_ports(1)
    changes = f'[return]\nkeys = "{KEY_FILE}"\n'
    with (
 In unit tests.open_directory() as directory,
 In unit tests.run_return(
 In unit tests.    directory / "return", nameserver.address, changes, metrics=f"127.0.0.1:{port}"
 In unit tests.) as back,
    ):
 In unit tests.path = back.alignd.config_path
 In unit tests.before = _of_service(path)
 In unit tests.path.write_text(f'{path.read_text()}\n[log]\nlevel = "debug"\n')
 In unit tests.after = _of_service(path)

    assert before == set()
    assert after == {"configuration-not-in-force"}


def _of_service(path: Path) -> set[str]:
    done = CliRunner().invoke(command, ("doctor", "--json", "--config", str(path)))
    findings = json.loads(done.stdout)["findings"]
    return {
 In unit tests.each["id"]
 In unit tests.for each in findings
 In unit tests.if each["topic"] == "return" and not each["id"].startswith("return-")
    }


@pytest.mark.parametrize(
    ("group", "mode", "above", "missing"),
    [
 In unit tests.pytest.param("root", 0o600, 0o755, "file", id="for-root-alone"),
 In unit tests.pytest.param("root", 0o640, 0o755, "file", id="for-a-group-that-it-is-not-in"),
 In unit tests.pytest.param("postfix", 0o640, 0o700, "directory", id="in-a-directory-for-root-alone"),
 In unit tests.pytest.param("postfix", 0o640, 0o755, "", id="for-its-group"),
    ],
)
def test_a_key_file_that_a_service_may_not_read_is_told(
    group: str, mode: int, above: int, missing: str
) -> None:
    with open_directory() as directory:
 In unit tests.path = directory / "keys" / "return.keys"
 In unit tests.path.parent.mkdir()
 In unit tests.path.write_text("")
 In unit tests.shutil.chown(path, "root", group)
 In unit tests.path.chmod(mode)
 In unit tests.path.parent.chmod(above)

 In unit tests.barrier = barrier_to_key_file(str(path), "alignd-none.service", "postfix")
 In unit tests.nobody = barrier_to_key_file(str(path), "alignd-none.service", "nobody-of-this-name")

    places = {"file": str(path), "directory": str(path.parent)}
    assert (barrier.path if isinstance(barrier, Barrier) else "") == places.get(missing, "")
    assert isinstance(nobody, Skipped)


def test_each_finding_of_the_way_back_was_planted() -> None:
    planted = {
 In unit tests.name
 In unit tests.for row in MAP_FAULTS + MILTER_FAULTS + OTHER_FAULTS
 In unit tests.for name in str(row.values[0]).split()
    }
    elsewhere = {
 In unit tests.# In unit tests.
 In unit tests.FindingId.RETURN_KEYS_MANY,
 In unit tests.FindingId.RETURN_KEYS_UNREADABLE,
 In unit tests.# In tests/wire/test_status.py.
 In unit tests.FindingId.RETURN_KEYS_NOT_IN_FORCE,
    }

    of_return = {each.value for each in FindingId if each.value.startswith("return-")}
    assert of_return == {each for each in planted if each.startswith("return-")} | {
 In unit tests.each.value for each in elsewhere
    }
