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


def with_policy(domain: str) -> dict[str, str]:
    """A change of the zone that gives *domain* a policy."""
    first = "mx.easysoftware.com. A 192.0.2.25\n"
    return {first: f'{first}_dmarc.{domain}. TXT "v=DMARC1; p=reject"\n'}


def signer(*changes: tuple[str, str], file: str = "opendkim-return.conf") -> ReturnFault:
    return ReturnFault({file: dict(changes)})


# A guard that lets every recipient through, or none: as bad as no guard.
MAP_FAULTS = [
    pytest.param(
        "return-map-missing",
        main((", pipemap:{", "\nrelocated_maps = pipemap:{")),
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
        ReturnFault(
            {"return-domains": {GUARD: GUARD.replace(".*", "[a-z.=0-9]*").replace("/ ", "/i ")}}
        ),
        id="a-guard-that-minds-the-case",
    ),
    pytest.param(
        "return-map-outside-chroot socket-outside-chroot milter-unreachable",
        ReturnFault(
            {
                "main.cf": {"proxy:socketmap": "socketmap"},
                "master.cf": {"inet  n       -       n": "inet  n       -       y"},
            },
            layout=INSIDE,
        ),
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
        "return-not-in-chain return-bounces-unseen",
        main(("\nsmtpd_milters = {", "\nunused = {")),
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
        "notifications-domain-fails notifications-unroutable "
        "return-sender-fails return-map-differs return-bounces-fail",
        ReturnFault(
            options='domain = "reply.easysoftware.com"',
            zone=with_policy("reply.easysoftware.com"),
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
            zone={f'mx.{DOMAIN}. TXT "v=spf1 a -all"\n': "", **with_policy(f"mx.{DOMAIN}")}
        ),
        id="bounces-of-the-instance-fail",
    ),
    pytest.param(
        "return-bounces-fail",
        ReturnFault(
            sending={"relayhost =": "myorigin = mycompany.com\nrelayhost ="},
            zone=with_policy("mycompany.com"),
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
        ReturnFault(options='deliver_to = "tickets@mycompany.com"'),
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


def test_a_map_that_hangs_is_found(relay: ReturnRelay) -> None:
    process = relay.back.map_process()
    assert process is not None
    os.kill(process, signal.SIGSTOP)
    try:
        (finding,) = relay.examine(ReturnFault(), "--json").json["findings"]
    finally:
        os.kill(process, signal.SIGCONT)

    assert finding["id"] == "return-map-fails"
    assert "did not answer within 5 s" in finding["what"]


def test_an_unguarded_map_is_worse_where_outgoing_mail_asks_it(relay: ReturnRelay) -> None:
    guard = "pipemap:{ regexp:$config_directory/return-domains, "
    bare = ((guard, ""), (":return }", ":return"))

    severities = [
        relay.examine(main(*bare, layout=layout), "--json").json["findings"][0]["severity"]
        for layout in LAYOUTS
    ]

    assert severities == ["warning", "error"]


def test_the_map_is_asked_by_way_of_the_proxymap_of_a_postfix_that_runs(back: Return) -> None:
    table = f"proxy:socketmap:unix:{back.map_path}:return"
    good = return_address(Kind.AUTHOR, "agent@author.example")

    with run_relay({"in": ""}, 25, settings=f"proxy_read_maps = {table}\n") as running:
        config, queue = running.directory / "etc", str(running.directory / "queue")
        found = ask_map(table, (good,), config, queue, "postfix")
        forbidden = ask_map(f"{table}2", (good,), config, queue, "postfix")

    assert found == {good: "agent@author.example"}
    # It is proxymap that refuses to ask; the map itself has more to say.
    assert isinstance(forbidden, MapTrouble)
    assert "there is one map here" not in forbidden.problem


def test_what_the_service_has_in_force_is_compared_with_the_file(nameserver: Nameserver) -> None:
    (port,) = free_ports(1)
    changes = f'[return]\nkeys = "{KEY_FILE}"\n'
    with (
        open_directory() as directory,
        run_return(
            directory / "return", nameserver.address, changes, metrics=f"127.0.0.1:{port}"
        ) as back,
    ):
        path = back.alignd.config_path
        before = _of_service(path)
        path.write_text(f'{path.read_text()}\n[log]\nlevel = "debug"\n')
        after = _of_service(path)

    assert before == set()
    assert after == {"configuration-not-in-force"}


def _of_service(path: Path) -> set[str]:
    done = CliRunner().invoke(command, ("doctor", "--json", "--config", str(path)))
    findings = json.loads(done.stdout)["findings"]
    return {
        each["id"]
        for each in findings
        if each["topic"] == "return" and not each["id"].startswith("return-")
    }


@pytest.mark.parametrize(
    ("group", "mode", "above", "missing"),
    [
        pytest.param("root", 0o600, 0o755, "file", id="for-root-alone"),
        pytest.param("root", 0o640, 0o755, "file", id="for-a-group-that-it-is-not-in"),
        pytest.param("postfix", 0o640, 0o700, "directory", id="in-a-directory-for-root-alone"),
        pytest.param("postfix", 0o640, 0o755, "", id="for-its-group"),
    ],
)
def test_a_key_file_that_a_service_may_not_read_is_told(
    group: str, mode: int, above: int, missing: str
) -> None:
    with open_directory() as directory:
        path = directory / "keys" / "return.keys"
        path.parent.mkdir()
        path.write_text("")
        shutil.chown(path, "root", group)
        path.chmod(mode)
        path.parent.chmod(above)

        barrier = barrier_to_key_file(str(path), "alignd-none.service", "postfix")
        nobody = barrier_to_key_file(str(path), "alignd-none.service", "nobody-of-this-name")

    places = {"file": str(path), "directory": str(path.parent)}
    assert (barrier.path if isinstance(barrier, Barrier) else "") == places.get(missing, "")
    assert isinstance(nobody, Skipped)


def test_each_finding_of_the_way_back_was_planted() -> None:
    planted = {
        name
        for row in MAP_FAULTS + MILTER_FAULTS + OTHER_FAULTS
        for name in str(row.values[0]).split()
    }
    elsewhere = {
        # In tests/unit/doctor/test_return_path.py.
        FindingId.RETURN_KEYS_MANY,
        FindingId.RETURN_KEYS_UNREADABLE,
        # In tests/wire/test_status.py.
        FindingId.RETURN_KEYS_NOT_IN_FORCE,
    }

    of_return = {each.value for each in FindingId if each.value.startswith("return-")}
    assert of_return == {each for each in planted if each.startswith("return-")} | {
        each.value for each in elsewhere
    }
