"""`alignd explain`: what it says of a message, to people and to scripts."""

from pathlib import Path
from typing import Any

import pytest

from tests.support.commandline import MARKY, CommandLine
from tests.support.settings import configuration

NOTIFICATIONS = "helpdesk@notifications.easysoftware.com"
BOUNCES = "bounces@notifications.easysoftware.com"


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
            edit("change", "From", 1, f'"Marky Mark via Easy Helpdesk" <{NOTIFICATIONS}>'),
            edit("add", "Reply-To", None, '"Marky Mark" <marky.mark@mycompany.com>'),
            edit("add", "X-Original-From", None, "Marky Mark <marky.mark@mycompany.com>"),
            edit("add", "Alignd", None, "action=rewrite; reason=relay-not-authorised"),
        ],
        "envelope_sender": BOUNCES,
        "dry_run": False,
    }


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
            edit("change", "From", 1, f'"a via Easy Helpdesk" <{NOTIFICATIONS}>'),
            edit("add", "Reply-To", None, "a@b.example"),
            edit("add", "X-Original-From", None, "a@b.example, c@d.example"),
            edit("add", "Alignd", None, "action=rewrite; reason=from-several-mailboxes"),
        ],
        "envelope_sender": BOUNCES,
        "dry_run": False,
    }


def test_explain_says_in_words_what_changes_and_what_the_customer_can_do(cli: CommandLine) -> None:
    outcome = cli.explain("marky.eml", mail_from="marky.mark@mycompany.com")

    assert (outcome.status, outcome.stderr) == (0, "")
    lines = outcome.stdout.splitlines()
    assert lines[0].startswith("rewrite: ")
    assert lines[1].startswith("reason: relay-not-authorised: ")
    assert "  v=spf1 ip4:198.51.100.1 include:spf.mailing.easy.cz -all" in lines
    assert "The whole advice: alignd domain mycompany.com" in lines
    assert "  - From: Marky Mark <marky.mark@mycompany.com>" in lines
    assert f'  + From: "Marky Mark via Easy Helpdesk" <{NOTIFICATIONS}>' in lines
    assert "  - MAIL FROM:<marky.mark@mycompany.com>" in lines
    assert f"  + MAIL FROM:<{BOUNCES}>" in lines


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
    cli.write("what-if.zone", 'mycompany.com. TXT "v=spf1 -all"\n')

    arguments = ("marky.eml", "--json", "--rcpt", "<julia@mycompany.com>")
    outcome = cli.explain(*arguments, mail_from="<marky.mark@mycompany.com>")

    assert outcome.json["reason"] == "recipient-domain"
    assert outcome.json["spf"]["192.0.2.25"]["domain"] == "mycompany.com"


def test_a_login_counts_wherever_the_client_is(cli: CommandLine) -> None:
    arguments = ("marky.eml", "--json", "--client", "203.0.113.1", "--login", "marky")
    outcome = cli.explain(*arguments, mail_from="marky.mark@mycompany.com")

    assert outcome.json["action"] == "rewrite"


def test_a_failure_in_the_zone_file_is_unknown_and_not_absent(cli: CommandLine) -> None:
    cli.write("what-if.zone", "; SERVFAIL mycompany.com. TXT\n; TIMEOUT _dmarc.mycompany.com.\n")

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
    cli.write(
        "what-if.zone",
        'mycompany.com. TXT "v=spf1 -all"\nspf.tenant.example. TXT "v=spf1 ip4:192.0.2.26"\n',
    )

    outcome = cli.explain("marky.eml", mail_from="marky.mark@mycompany.com")

    assert "  v=spf1 include:spf.tenant.example -all" in outcome.stdout.splitlines()


def test_of_a_mailbox_provider_it_says_that_nothing_helps(cli: CommandLine) -> None:
    cli.write("gmail.eml", b"From: marky@gmail.com\n\nHello\n")

    outcome = cli.explain("gmail.eml", mail_from="marky@gmail.com")

    assert "will never authorise this relay" in outcome.stdout
