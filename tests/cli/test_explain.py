"""`alignd explain`: what it says of a message, to people and to scripts."""

import os
import pty
import re
import subprocess
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from rich.cells import cell_len

from alignd.return_path.address import Kind
from tests.lab import cast
from tests.lab.nameserver import Nameserver
from tests.lab.places import CASES, SNAPSHOTS
from tests.lab.return_addresses import KEY_FILE, return_address, write_keys
from tests.lab.settings import configuration, world
from tests.support.case import load_case
from tests.support.commandline import MARKY, PROGRAM, CommandLine


@pytest.fixture
def cli(tmp_path: Path) -> CommandLine:
    return CommandLine(tmp_path)


NOT_ASKED = {
    "passes": False,
    "policy": "unknown",
    "record_domain": None,
    "organizational_domain": None,
    "rfc7489": "unknown",
    "rfc9989": "unknown",
    "aligned": None,
}


def dmarc(domain: str, policy: str, *, passes: bool) -> dict[str, Any]:
    verdict = "pass" if passes else "fail"
    return {
        "passes": passes,
        "policy": policy,
        "record_domain": domain,
        "organizational_domain": domain,
        "rfc7489": verdict,
        "rfc9989": verdict,
        "aligned": passes,
    }


def spf(domain: str, result: str, *explanations: str, aligned: bool = True) -> dict[str, Any]:
    return {
        address: {
            "result": result,
            "domain": domain,
            "aligned": aligned,
            "explanation": explanation,
            "doubt": "",
        }
        for address, explanation in zip(("192.0.2.25", "2001:db8::25"), explanations, strict=True)
    }


def edit(operation: str, name: str, index: int | None, value: str | None) -> dict[str, Any]:
    return {"op": operation, "name": name, "index": index, "value": value}


def test_explain_json_of_a_message_that_is_rewritten(cli: CommandLine) -> None:
    outcome = cli.explain("marky.eml", "--json", mail_from="marky.mark@mycompany.com")

    assert (outcome.status, outcome.stderr) == (0, "")
    assert outcome.json == {
        "action": "rewrite",
        "reason": "relay-not-authorised",
        "author_domain": "mycompany.com",
        "dmarc": dmarc("mycompany.com", "reject", passes=False),
        "spf": spf("mycompany.com", "fail", "-all", "-all"),
        "dkim": [],
        "edits": [
            edit("change", "From", 1, f'"Marky Mark via Easy Helpdesk" <{cast.NOTIFICATIONS}>'),
            edit("add", "Reply-To", None, '"Marky Mark" <marky.mark@mycompany.com>'),
            edit("add", "X-Original-From", None, "Marky Mark <marky.mark@mycompany.com>"),
            edit("add", "Alignd", None, "action=rewrite; reason=relay-not-authorised"),
        ],
        "envelope_sender": cast.BOUNCES,
        "dry_run": False,
    }


def test_explain_json_of_a_message_that_leaves_from_a_return_address(cli: CommandLine) -> None:
    cli.write("alignd.conf", configuration(f'[return]\nkeys = "{KEY_FILE}"'))
    write_keys(cli.directory / KEY_FILE)

    outcome = cli.explain("marky.eml", "--json", mail_from="marky.mark@mycompany.com")

    assert (outcome.status, outcome.stderr) == (0, "")
    author, bounce = (
        return_address(kind, "marky.mark@mycompany.com") for kind in (Kind.AUTHOR, Kind.BOUNCE)
    )
    assert outcome.json["envelope_sender"] == bounce
    assert author in outcome.json["edits"][0]["value"]


def test_keys_that_cannot_be_used_are_named(cli: CommandLine) -> None:
    cli.write("alignd.conf", configuration(f'[return]\nkeys = "{KEY_FILE}"'))

    outcome = cli.explain("marky.eml", mail_from="marky.mark@mycompany.com")

    complaint = "return.keys:1: cannot be read: No such file or directory\n"
    assert (outcome.status, outcome.stdout, outcome.stderr) == (2, "", complaint)


def test_explain_json_of_a_message_that_passes(cli: CommandLine) -> None:
    outcome = cli.explain("good.eml", "--json", mail_from="ann@good.example")

    assert (outcome.status, outcome.stderr) == (0, "")
    include = "include:spf.mailing.easy.cz"
    assert outcome.json == {
        "action": "pass",
        "reason": "spf-aligned",
        "author_domain": "good.example",
        "dmarc": dmarc("good.example", "quarantine", passes=True),
        "spf": spf("good.example", "pass", include, include),
        "dkim": [],
        "edits": [],
        "envelope_sender": "ann@good.example",
        "dry_run": False,
    }


def test_explain_json_of_a_message_whose_envelope_moves(cli: CommandLine) -> None:
    outcome = cli.explain("good.eml", "--json", mail_from="app@elsewhere.example")

    assert (outcome.status, outcome.stderr) == (0, "")
    assert outcome.json == {
        "action": "envelope",
        "reason": "envelope-aligned",
        "author_domain": "good.example",
        "dmarc": dmarc("good.example", "quarantine", passes=False),
        "spf": spf("elsewhere.example", "none", *["no SPF record"] * 2, aligned=False),
        "dkim": [],
        "edits": [],
        "envelope_sender": "ann@good.example",
        "dry_run": False,
    }


def test_explain_json_of_a_message_that_is_no_helpdesk_message(cli: CommandLine) -> None:
    arguments = ("marky.eml", "--json", "--client", "203.0.113.1")
    outcome = cli.explain(*arguments, mail_from="marky.mark@mycompany.com")

    assert (outcome.status, outcome.stderr) == (0, "")
    assert outcome.json == {
        "action": "skip",
        "reason": "client-not-in-scope",
        "author_domain": "mycompany.com",
        "dmarc": NOT_ASKED,
        "spf": {},
        "dkim": [],
        "edits": [],
        "envelope_sender": "marky.mark@mycompany.com",
        "dry_run": False,
    }


def test_explain_json_of_a_message_whose_from_is_unreadable(cli: CommandLine) -> None:
    cli.write("two.eml", b"Sender: x@y.example\nFrom: a@b.example, c@d.example\n\nHello\n")

    outcome = cli.explain("two.eml", "--json", mail_from="app@elsewhere.example")

    assert (outcome.status, outcome.stderr) == (0, "")
    assert outcome.json == {
        "action": "rewrite",
        "reason": "from-several-mailboxes",
        "author_domain": None,
        "dmarc": NOT_ASKED,
        "spf": {},
        "dkim": [],
        "edits": [
            edit("delete", "Sender", 1, None),
            edit("change", "From", 1, f'"a via Easy Helpdesk" <{cast.NOTIFICATIONS}>'),
            edit("add", "Reply-To", None, "a@b.example"),
            edit("add", "X-Original-From", None, "a@b.example, c@d.example"),
            edit("add", "Alignd", None, "action=rewrite; reason=from-several-mailboxes"),
        ],
        "envelope_sender": cast.BOUNCES,
        "dry_run": False,
    }


CASES_SHOWN = [
    "dead-signatures",
    "dns-spf-servfail",
    "dry-run",
    "envelope-elsewhere",
    "freemail",
    "from-two-mailboxes",
    "marky-authorised",
    "marky-not-authorised",
    "name-japanese",
    "null-sender",
    "organizations-differ-at-subdomain-record",
    "own-domain",
    "recipient-domain",
    "return-address",
    "return-address-blocked",
    "return-address-null-sender",
    "return-address-of-a-tenant",
    "return-address-shared-envelope",
    "signer-long-body-line",
    "signer-with-published-key",
    "skip-client-elsewhere",
    "spf-plus-all",
    "strict-author-with-subdomain-sender",
    "tenant-relay-addresses",
]


@pytest.mark.parametrize("name", CASES_SHOWN)
def test_the_story_of_a_case_is_that_of_its_snapshot(cli: CommandLine, name: str) -> None:
    """Run with ALIGND_SNAPSHOTS=write to keep what it says now; then look at the difference."""
    case = load_case(CASES / f"{name}.case")
    cli.write("alignd.conf", configuration(case.config))
    write_keys(cli.directory / KEY_FILE)
    cli.write("case.zone", world(case.zone))
    cli.write("case.eml", case.message)
    recipients = [word for recipient in case.recipients for word in ("--rcpt", recipient)]
    client = ("--client", case.client, "--login", case.login or "")

    outcome = cli.explain(
        "case.eml", *recipients, *client, mail_from=case.envelope_sender, zone="case.zone"
    )

    assert (outcome.status, outcome.stderr) == (0, "")
    assert all(line.isprintable() and cell_len(line) <= 80 for line in outcome.stdout.split("\n"))
    snapshot = SNAPSHOTS / f"explain-{name}.txt"
    told = without_days(outcome.stdout)
    if os.environ.get("ALIGND_SNAPSHOTS") == "write":
        snapshot.write_text(told)
    assert told == snapshot.read_text(), "see the docstring of this test"


def without_days(told: str) -> str:
    """What is told, with the day of a bounce address and what depends on it left out."""
    return re.sub(r"(?<==mycompany\.com=)[a-z2-9]{13}(?=@)", "(tag and day)", told)


def test_there_is_no_snapshot_without_its_test() -> None:
    assert {path.name for path in SNAPSHOTS.glob("explain-*")} == {
        f"explain-{name}.txt" for name in CASES_SHOWN
    }


def test_the_message_may_come_from_standard_input(cli: CommandLine) -> None:
    arguments = ("--mail-from", "marky.mark@mycompany.com", "--zone", "what-if.zone")

    outcome = cli.run("explain", "-", *arguments, "--config", "alignd.conf", stdin=MARKY)

    named = cli.explain("marky.eml", mail_from="marky.mark@mycompany.com")
    assert outcome == named


def on_a_terminal(cli: CommandLine, **env: str) -> str:
    """What `alignd explain` writes to a terminal of 80 columns."""
    ours, theirs = pty.openpty()
    environment = cli.environment | {"TERM": "xterm", "COLUMNS": "80"}
    environment.pop("NO_COLOR", None)
    arguments = ("marky.eml", "--mail-from", "x@y.example", "--zone", "what-if.zone")
    command = [*PROGRAM, "explain", *arguments, "--config", "alignd.conf"]
    with os.fdopen(ours, "rb", buffering=0) as terminal:
        process = subprocess.Popen(
            command, cwd=cli.directory, env=environment | env, stdout=theirs, stderr=theirs
        )
        os.close(theirs)
        written = b""
        # The end of a terminal that nobody holds any more is an error on Linux.
        with suppress(OSError):
            while chunk := terminal.read(65536):
                written += chunk
        assert process.wait(timeout=60) == 0
    return written.decode().replace("\r\n", "\n")


def test_a_terminal_gets_red_and_green_and_the_same_words(cli: CommandLine) -> None:
    shown = on_a_terminal(cli)

    assert "\x1b[31m-From: Marky Mark <marky.mark@mycompany.com>\x1b[0m\n" in shown
    assert "\x1b[32m+From: " in shown
    plain = cli.explain("marky.eml", mail_from="x@y.example").stdout
    assert re.sub(r"\x1b\[\d+m", "", shown) == plain


@pytest.mark.parametrize("env", [{"NO_COLOR": "1"}, {"TERM": "dumb"}], ids=["asked", "dumb"])
def test_a_terminal_that_wants_no_colour_gets_none(cli: CommandLine, env: dict[str, str]) -> None:
    assert on_a_terminal(cli, **env) == cli.explain("marky.eml", mail_from="x@y.example").stdout


def test_colour_cannot_be_forced_into_a_file(cli: CommandLine) -> None:
    arguments = ("marky.eml", "--mail-from", "", "--zone", "what-if.zone")

    outcome = cli.run("explain", *arguments, "--config", "alignd.conf", FORCE_COLOR="1")

    assert "\x1b" not in outcome.stdout


def test_a_stream_that_says_ascii_gets_utf_8(cli: CommandLine) -> None:
    cli.write("name.eml", "From: Jiří <jiri@mycompany.com>\n\nHello\n")
    arguments = ("name.eml", "--mail-from", "", "--zone", "what-if.zone")

    outcome = cli.run("explain", *arguments, "--config", "alignd.conf", PYTHONIOENCODING="ascii")

    assert (outcome.status, outcome.stderr) == (0, "")
    assert "Jiří <jiri@mycompany.com>" in outcome.stdout


HOSTILE = "\\027[31m\\155\\226\\128\\174\\013\\010\\000"  # of every kind, in a master file
HOSTILE_RECORDS = {
    "escapes": f'"v=spf1 {HOSTILE}:a -all"',
    "escapes-in-a-macro": f'"v=spf1 exists:%{{{HOSTILE}}}.a.example -all"',
    "escapes-in-an-address": f'"v=spf1 ip4:{HOSTILE} -all"',
    "escapes-in-an-include": f'"v=spf1 include:{HOSTILE} -all"',
    "escapes-alone": f'"{HOSTILE}"',
    "64-kilobytes": f'"v=spf1 " {" ".join([chr(34) + "x" * 255 + chr(34)] * 255)}',
    "64-kilobytes-of-terms": f'"v=spf1 " {" ".join([chr(34) + "a:b " * 63 + chr(34)] * 255)}',
}


@pytest.mark.parametrize("over", ["zone", "network"])
@pytest.mark.parametrize("record", HOSTILE_RECORDS.values(), ids=HOSTILE_RECORDS)
def test_hostile_records_cannot_drive_the_terminal(
    cli: CommandLine, nameserver: Nameserver, record: str, over: str
) -> None:
    zone = f"mycompany.com. TXT {record}\n_dmarc.mycompany.com. TXT {record}\n"
    dmarc = (
        f'sub.mycompany.com. TXT {record}\n_dmarc.sub.mycompany.com. TXT "v=DMARC1; p={HOSTILE}"\n'
    )
    cli.write("what-if.zone", world(zone + dmarc))
    cli.write("alignd.conf", configuration(nameserver=nameserver.address))
    nameserver.serve(world(zone + dmarc))
    source = ("--zone", "what-if.zone") if over == "zone" else ()
    for domain in ("mycompany.com", "sub.mycompany.com"):
        cli.write("sub.eml", f"From: a@{domain}\n\nHello\n")
        arguments = ("sub.eml", "--mail-from", f"a@{domain}", *source, "--config", "alignd.conf")

        outcome = cli.run("explain", *arguments)

        assert (outcome.status, outcome.stderr) == (0, "")
        assert outcome.stdout.startswith("rewrite: ")
        lines = outcome.stdout.split("\n")
        assert all(line.isprintable() and len(line) <= 80 for line in lines)
        assert len(lines) < 100


def test_an_envelope_sender_in_no_charset_cannot_break_it(cli: CommandLine) -> None:
    outcome = cli.explain("marky.eml", "--rcpt", "\udcff", mail_from="\udcff@\udcff")

    assert (outcome.status, outcome.stderr) == (0, "")
    assert "  envelope sender  ?@?\n" in outcome.stdout


def test_without_dns_it_says_so(cli: CommandLine) -> None:
    cli.write("alignd.conf", configuration('[dns]\ntimeout = "200ms"', nameserver="127.0.0.1:9"))

    arguments = ("marky.eml", "--mail-from", "marky.mark@mycompany.com")
    outcome = cli.run("explain", *arguments, "--config", "alignd.conf")

    assert (outcome.status, outcome.stderr) == (0, "")
    assert outcome.stdout.startswith("rewrite: ")
    assert "DNS did not answer" in outcome.stdout


@pytest.mark.parametrize("mail_from", ["", "<>", " <> "])
def test_a_null_sender_is_judged_by_the_relays_name_and_stays_null(
    cli: CommandLine, mail_from: str
) -> None:
    outcome = cli.explain("marky.eml", "--json", mail_from=mail_from)

    assert outcome.json["action"] == "rewrite"
    assert outcome.json["envelope_sender"] == ""
    domains = {judged["domain"] for judged in outcome.json["spf"].values()}
    assert domains == {"smtp2.easyredmine.com"}


def test_angle_brackets_around_addresses_are_understood(cli: CommandLine) -> None:
    cli.write("alignd.conf", configuration('[rules]\nrewrite_on = "enforced"'))
    cli.write("what-if.zone", world('mycompany.com. TXT "v=spf1 -all"\n'))

    arguments = ("marky.eml", "--json", "--rcpt", "<julia@mycompany.com>")
    outcome = cli.explain(*arguments, mail_from="<marky.mark@mycompany.com>")

    assert outcome.json["reason"] == "recipient-domain"
    assert outcome.json["spf"]["192.0.2.25"]["domain"] == "mycompany.com"


def test_it_says_that_the_signer_ignores_the_client(cli: CommandLine) -> None:
    signs = '[dkim]\nsigns = [{ domain = "mycompany.com", selector = "easy1" }]\n'
    networks = '[helpdesk]\nnetworks = ["203.0.113.0/24"]\n'
    cli.write("alignd.conf", configuration(signs + networks))

    arguments = ("marky.eml", "--client", "203.0.113.9")
    outcome = cli.explain(*arguments, mail_from="marky.mark@mycompany.com")

    said = "none, the signer does not sign for the client 203.0.113.9 (dkim.internal_hosts)"
    assert said in " ".join(outcome.stdout.split())


def test_a_login_counts_wherever_the_client_is(cli: CommandLine) -> None:
    arguments = ("marky.eml", "--json", "--client", "203.0.113.1", "--login", "marky")
    outcome = cli.explain(*arguments, mail_from="marky.mark@mycompany.com")

    assert outcome.json["action"] == "rewrite"


def test_a_failure_in_the_zone_file_is_unknown_and_not_absent(cli: CommandLine) -> None:
    failures = "; SERVFAIL mycompany.com. TXT\n; TIMEOUT _dmarc.mycompany.com.\n"
    cli.write("what-if.zone", world(failures))

    outcome = cli.explain("marky.eml", "--json", mail_from="marky.mark@mycompany.com")

    assert outcome.status == 0
    assert (outcome.json["action"], outcome.json["reason"]) == ("rewrite", "dns-unknown")
    assert outcome.json["dmarc"]["aligned"] is None


ODD = bytes(range(256)).replace(b"\r", b"").replace(b"\n", b"")
ODD_TEXT = "\x1b[31m\x7f\x9b31m\u202e\u2028\ufeff".encode()


@pytest.mark.parametrize("odd", [ODD, ODD_TEXT], ids=["every-byte", "in-utf-8"])
@pytest.mark.parametrize("field", ["From", "Sender", "Reply-To", "X-Original-From"])
def test_a_hostile_message_cannot_drive_the_terminal(
    cli: CommandLine, field: str, odd: bytes
) -> None:
    cli.write("odd.eml", b"%s: %s <a@mycompany.com>\nX: y\n" % (field.encode(), odd) + MARKY)

    outcome = cli.explain("odd.eml", mail_from="marky\x1b[31m\x9b\u202e@mycompany.com")

    assert (outcome.status, outcome.stderr) == (0, "")
    assert all(line.isprintable() for line in outcome.stdout.split("\n"))


@pytest.mark.parametrize("client", ["127.0.0.1", "203.0.113.9"], ids=["rewritten", "skipped"])
@pytest.mark.parametrize("odd", [ODD, ODD_TEXT], ids=["every-byte", "in-utf-8"])
def test_nor_can_it_through_json(cli: CommandLine, odd: bytes, client: str) -> None:
    cli.write("odd.eml", b"From: " + odd + b" <a@mycompany.com>\n" + MARKY)

    arguments = ("odd.eml", "--json", "--client", client)
    outcome = cli.explain(*arguments, mail_from="marky\x1b[31m\x9b\u202e@mycompany.com")

    assert (outcome.status, outcome.stderr) == (0, "")
    assert outcome.stdout.removesuffix("\n").isprintable()


def test_the_advice_is_that_for_the_tenant(cli: CommandLine) -> None:
    tenant = """
        [[tenant]]
        match = { Subject = "Re: *" }
        relay = { addresses = ["192.0.2.26"], spf_include = "spf.tenant.example" }
    """
    cli.write("alignd.conf", configuration(tenant))
    spf = 'TXT "v=spf1 ip4:192.0.2.26"\n'
    ours = f"spf.tenant.example. {spf}{cast.NOTIFICATIONS_DOMAIN}. {spf}"
    cli.write("what-if.zone", world(f'mycompany.com. TXT "v=spf1 -all"\n{ours}'))

    outcome = cli.explain("marky.eml", mail_from="marky.mark@mycompany.com")

    assert "    v=spf1 include:spf.tenant.example -all" in outcome.stdout.splitlines()


def test_a_record_to_publish_stands_unbroken_on_a_line_of_its_own(cli: CommandLine) -> None:
    networks = " ".join(f"ip4:198.51.100.{number}" for number in range(60))
    strings = " ".join(f'"{term} "' for term in ("v=spf1", *networks.split(), "-all"))
    cli.write("what-if.zone", world(f"mycompany.com. TXT {strings}\n"))

    outcome = cli.explain("marky.eml", mail_from="marky.mark@mycompany.com")

    record = f"v=spf1 {networks} include:spf.mailing.easy.cz -all"
    assert f"    {record}" in outcome.stdout.splitlines()
    assert "    alignd domain mycompany.com" in outcome.stdout.splitlines()


def test_of_a_mailbox_provider_it_says_that_nothing_helps(cli: CommandLine) -> None:
    cli.write("gmail.eml", b"From: marky@gmail.com\n\nHello\n")

    outcome = cli.explain("gmail.eml", mail_from="marky@gmail.com")

    assert "will never authorise this relay" in " ".join(outcome.stdout.split())


def test_a_byte_order_mark_of_an_editor_is_left_out(cli: CommandLine) -> None:
    cli.write("marky.eml", MARKY)
    cli.write("edited.eml", b"\xef\xbb\xbf" + MARKY)

    plain = cli.explain("marky.eml", "--json", mail_from="marky.mark@mycompany.com")
    edited = cli.explain("edited.eml", "--json", mail_from="marky.mark@mycompany.com")

    assert edited.json == plain.json
    assert edited.stderr.startswith("a byte order mark on top")


@pytest.mark.parametrize(
    ("case", "line"),
    [
        pytest.param(
            "dkim-strict-alignment",
            "mycompany.com, which signs, does not align, strictly (adkim=s)",
            id="a-signature",
        ),
        pytest.param(
            "strict-author-with-subdomain-sender",
            "only a signature of mycompany.com itself aligns, strictly (adkim=s)",
            id="no-signature",
        ),
    ],
)
def test_strict_alignment_of_signatures_is_shown(cli: CommandLine, case: str, line: str) -> None:
    told = load_case(CASES / f"{case}.case")
    cli.write("alignd.conf", configuration(told.config))
    cli.write("strict.zone", world(told.zone.replace("aspf=s", "adkim=s")))
    cli.write("message.eml", told.message)

    outcome = cli.explain("message.eml", "--zone", "strict.zone", mail_from=told.envelope_sender)

    assert " ".join(line.split()) in " ".join(outcome.stdout.split())
