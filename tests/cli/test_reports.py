"""`alignd reports`: what receivers report of this relay's mail, and who says so."""

import os
import pty
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa

from tests.lab.cast import NOTIFICATIONS_DOMAIN, RELAY_IPV4
from tests.lab.dovecot import (
    PASSWORD,
    USER,
    Dovecot,
    obstacle,
    run_dovecot,
    wire_that_breaks,
)
from tests.lab.settings import configuration, world
from tests.support.commandline import PROGRAM, CommandLine, Outcome
from tests.support.mailed_reports import (
    GOOD,
    LOST,
    REPORTER,
    SIGNS,
    published,
    record,
    report,
    report_mail,
)
from tests.support.reports import gzipped
from tests.support.signing import new_key


@pytest.fixture(scope="module")
def key() -> rsa.RSAPrivateKey:
    return new_key()


Deliver = Callable[..., bytes]


@pytest.fixture
def mailed(cli: CommandLine, key: rsa.RSAPrivateKey) -> Deliver:
    """Mail with a report in it, which its sender has signed."""
    cli.write("what-if.zone", world(published(key)))
    cli.write("alignd.conf", configuration(SIGNS))

    def mail(*records: str, number: int = 1, domain: str = REPORTER, name: str = "x") -> bytes:
        return report_mail(key, report(*records, number=number, name=name), domain)

    return mail


def run(cli: CommandLine, *arguments: str, stdin: bytes = b"") -> Outcome:
    common = ("--zone", "what-if.zone", "--config", "alignd.conf")
    return cli.run("reports", *common, *arguments, stdin=stdin)


def summary(cli: CommandLine, *arguments: str, stdin: bytes = b"") -> Any:
    return run(cli, "--json", *arguments, stdin=stdin).json


def test_rewritten_mail_that_fails_is_told_first(cli: CommandLine, mailed: Deliver) -> None:
    cli.write("mail", mailed(GOOD, LOST))

    outcome = run(cli, "mail")

    assert outcome.status == 1
    first, *lines = outcome.stdout.splitlines()
    assert first == "OUTAGE: 3 of 6 rewritten messages fail DMARC."
    assert f"{NOTIFICATIONS_DOMAIN} from {RELAY_IPV4}: the published DKIM key" in (
        " ".join(outcome.stdout.split())
    )
    assert re.search(r"^ +6 +50\.0 % +3 +0 +3  receiver\.example$", outcome.stdout, re.MULTILINE)
    assert "compare the published key with the signer's" in outcome.stdout
    assert max(map(len, lines)) <= 80


def test_nothing_is_wrong_where_all_passes(cli: CommandLine, mailed: Deliver) -> None:
    cli.write("mail", mailed(GOOD, record("mycompany.com", selector="helpdesk")))

    outcome = run(cli, "mail")

    assert outcome.status == 0
    assert outcome.stdout.startswith("No fault in 6 messages of this relay.\n")
    assert "1 report counted, of 6 messages, 2025-11-25 16:00 to 2025-11-26 15:59 (UTC)." in (
        outcome.stdout
    )
    assert outcome.stderr == ""


@pytest.mark.parametrize(
    ("entry", "status", "table", "row"),
    [
        pytest.param(
            record("mycompany.com", dkim="fail", spf="fail", disposition="quarantine"),
            1,
            "domains",
            {"author_domain": "mycompany.com", "failed": 3, "quarantined": 3},
            id="mail-that-kept-its-from-fails",
        ),
        pytest.param(
            record(source="203.0.113.77"),
            0,
            "unlisted",
            {"address": "203.0.113.77", "messages": 3},
            id="an-address-of-ours-that-the-configuration-lacks",
        ),
        pytest.param(
            record("mycompany.com", source="203.0.113.8", spf="fail", selector="helpdesk"),
            0,
            "forwarded",
            {"address": "203.0.113.8", "passed": 3},
            id="forwarding",
        ),
        pytest.param(
            LOST,
            1,
            "failures",
            {"origin": "rewritten", "address": RELAY_IPV4, "dkim": "fail", "spf": "fail"},
            id="why-it-fails",
        ),
    ],
)
def test_each_finding_has_a_table(
    cli: CommandLine, mailed: Deliver, entry: str, status: int, table: str, row: dict[str, Any]
) -> None:
    cli.write("mail", mailed(entry))

    outcome = run(cli, "mail", "--json")

    assert outcome.status == status
    (found,) = outcome.json[table]["rows"]
    assert found | row == found
    assert run(cli, "mail").status == status


def test_others_who_send_in_our_name_are_no_fault(cli: CommandLine, mailed: Deliver) -> None:
    cli.write("mail", mailed(record(source="203.0.113.66", dkim="fail", spf="fail")))

    outcome = run(cli, "mail")

    assert outcome.status == 0
    assert "3 messages came from elsewhere without a signature of ours." in outcome.stdout


@pytest.mark.parametrize(
    ("change", "why", "status"),
    [
        pytest.param((b"Report Domain", b"Another"), "forgeable", 0, id="a-header-changed"),
        pytest.param((b"DKIM-Signature", b"X-Signature"), "forgeable", 0, id="no-signature"),
        pytest.param((b"d=receiver", b"d=stranger"), "forgeable", 0, id="of-a-stranger"),
    ],
)
def test_what_anybody_could_have_written_decides_nothing(
    cli: CommandLine, mailed: Deliver, change: tuple[bytes, bytes], why: str, status: int
) -> None:
    cli.write("mail", mailed(LOST).replace(*change))

    outcome = run(cli, "mail", "--json")

    assert outcome.status == status
    (nobody,) = outcome.json["unverified"]["rows"]
    assert (nobody["why"], nobody["messages"], nobody["failed"]) == (why, 3, 3)
    assert outcome.json["rewritten"]["rows"] == []
    assert "3 of ours said to fail" in " ".join(run(cli, "mail").stdout.split())


@pytest.mark.usefixtures("mailed")
def test_a_file_alone_is_named_and_decides_nothing(cli: CommandLine) -> None:
    cli.write("r.xml.gz", gzipped(report(LOST)))

    outcome = run(cli, "r.xml.gz")

    assert outcome.status == 0
    assert "No report that somebody answers for was read." in outcome.stdout
    assert "a file without the mail that brought it" in " ".join(outcome.stdout.split())


def test_without_dns_nobody_knows(cli: CommandLine, mailed: Deliver) -> None:
    cli.write("mail", mailed(LOST, domain="silent.example"))

    assert run(cli, "mail").status == 2


def test_a_report_counts_once_wherever_it_lies(cli: CommandLine, mailed: Deliver) -> None:
    mail = mailed(GOOD)
    cli.write("1.eml", mail)
    (cli.directory / "box/cur").mkdir(parents=True)
    (cli.directory / "box/new").mkdir()
    cli.write("box/new/1", mail)
    cli.write("box/new/2", mailed(GOOD, number=2))
    cli.write("mbox", b"From x Fri Nov 27 10:01:00 2026\n" + mail + b"\n")

    found = summary(cli, "1.eml", "box", "mbox", "-", stdin=mail)

    assert found["reports"] | {"counted": 2, "duplicates": 3} == found["reports"]
    assert found["receivers"]["rows"] == [{"receiver": REPORTER, "reports": 2, "messages": 6}]


def test_what_cannot_be_read_is_named_up_to_a_bound(cli: CommandLine, mailed: Deliver) -> None:
    (cli.directory / "dir").mkdir()
    for number in range(30):
        cli.write(f"dir/{number:02}.gz", gzipped(report(GOOD))[:-20])
    cli.write("dir/mail", mailed(GOOD))

    outcome = run(cli, "dir", "none")

    assert outcome.status == 2
    assert "dir/00.gz: " in outcome.stdout
    assert "dir/20.gz" not in outcome.stdout
    assert outcome.stdout.endswith("  and 11 more\n")
    assert len(summary(cli, "dir", "none")["problems"]) == 31


def test_mail_that_is_no_report_is_no_trouble(cli: CommandLine, mailed: Deliver) -> None:
    cli.write("mail", mailed(GOOD))

    outcome = run(cli, "mail", "marky.eml")

    assert outcome.status == 0
    assert "marky.eml: no report is in the message" in outcome.stdout


def test_mail_of_ours_that_fails_outweighs_a_broken_file(
    cli: CommandLine, mailed: Deliver
) -> None:
    cli.write("mail", mailed(LOST))

    assert run(cli, "mail", "none").status == 1


@pytest.mark.usefixtures("mailed")
def test_hostile_names_do_not_control_the_terminal(cli: CommandLine) -> None:
    hostile = "Evil&#x9b;2J&#x202e;\x7f"
    name = "\x1b[31mred\n.xml"
    cli.write(name, report(GOOD, name=hostile))
    cli.write("\x1b]0;title\x07.gz", b"\x1f\x8bx")

    outcome = run(cli, ".")

    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u202e]", outcome.stdout)
    assert "Evil" in outcome.stdout
    shown = run(cli, ".", "--json").stdout
    assert shown.isascii()
    assert "\x1b" not in shown


# The kernel counts what a process had before it became alignd: so no large one may start it.
MEASURED = """\
import resource, subprocess, sys
status = subprocess.call(sys.argv[1:])
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss, file=sys.stderr)
sys.exit(status)
"""


def test_a_thousand_reports_take_bounded_memory(cli: CommandLine, mailed: Deliver) -> None:
    (cli.directory / "many").mkdir()
    for number in range(1_000):
        rows = (record(f"d{number}-{place}.example", count=1) for place in range(10))
        cli.write(f"many/{number}.xml", report(*rows, number=number, name=f"{number}" * 50))
    for number in range(20):
        rows = (record(f"d{number}-{place}.example", count=1) for place in range(200))
        cli.write(f"many/mail{number}", mailed(*rows, number=number))

    common = ("--zone", "what-if.zone", "--config", "alignd.conf")
    measured = (sys.executable, "-c", MEASURED)
    outcome = cli.run("reports", "many", "--json", *common, before=measured)

    found = outcome.json
    assert outcome.status == 0
    assert found["reports"]["unverified"] == 1_000
    assert found["reports"]["counted"] == 20
    assert len(found["domains"]["rows"]) == 1_000
    assert found["domains"]["rest"]["messages"] == 20 * 200 - 1_000
    assert int(outcome.stderr) < 120_000, "kB"


def test_progress_is_shown_on_a_terminal_only(cli: CommandLine, mailed: Deliver) -> None:
    cli.write("mail", mailed(GOOD))
    arguments = [*PROGRAM, "reports", "mail", "--zone", "what-if.zone", "--config", "alignd.conf"]
    ours, theirs = pty.openpty()
    with subprocess.Popen(
        arguments, cwd=cli.directory, env=cli.environment | {"TERM": "xterm"}, stderr=theirs,
        stdout=subprocess.PIPE,
    ) as process:  # fmt: skip
        stdout = process.communicate(timeout=60)[0]
    os.close(theirs)
    shown = os.read(ours, 65_536).decode()
    os.close(ours)

    assert "messages" in shown
    assert stdout.startswith(b"No fault")


@pytest.mark.parametrize(
    ("arguments", "changes", "status", "text"),
    [
        pytest.param((), "", 64, "Missing argument 'PATH' or option '--imap'.", id="nothing"),
        pytest.param(("--imap",), "", 2, "reports.imap is not set", id="no-mailbox"),
        pytest.param(
            ("--imap",),
            '[reports]\nimap = "imaps://a@127.0.0.1:1/"\npassword_file = "none"\n',
            2,
            "none:1: cannot be read: No such file or directory",
            id="no-password",
        ),
        pytest.param(
            ("--imap",),
            '[reports]\nimap = "imaps://a@127.0.0.1:1/"\npassword_file = "open"\n',
            2,
            "its mode is 0644: others than the service can use it",
            id="a-password-that-others-read",
        ),
        pytest.param(
            ("--imap",),
            '[reports]\nimap = "imaps://a@127.0.0.1:1/"\npassword_file = "secret"\n',
            2,
            "127.0.0.1/INBOX: ",
            id="no-server",
        ),
    ],
)
def test_what_cannot_be_asked_is_said(
    cli: CommandLine, arguments: tuple[str, ...], changes: str, status: int, text: str
) -> None:
    cli.write("alignd.conf", configuration(changes))
    for name, mode in (("open", 0o644), ("secret", 0o600)):
        cli.write(name, "correct-horse\n")
        (cli.directory / name).chmod(mode)

    outcome = run(cli, *arguments)

    assert outcome.status == status
    assert text in outcome.stderr
    assert "correct-horse" not in outcome.stderr


needs_dovecot = pytest.mark.skipif(obstacle() is not None, reason=obstacle() or "")


@pytest.fixture
def server() -> Iterator[Dovecot]:
    with run_dovecot() as dovecot:
        yield dovecot


def use(cli: CommandLine, server: Dovecot, move_to: str = "") -> None:
    cli.write("password", f"{PASSWORD}\n")
    (cli.directory / "password").chmod(0o600)
    cli.write(
        "alignd.conf",
        configuration(
            f'{SIGNS}[reports]\nimap = "imap://{USER}@127.0.0.1:{server.plain}"\n'
            f'password_file = "{cli.directory}/password"\nmove_to = "{move_to}"\n'
        ),
    )


@needs_dovecot
def test_a_mailbox_is_read_and_left_as_it_is(
    cli: CommandLine, mailed: Deliver, server: Dovecot
) -> None:
    use(cli, server)
    server.deliver("1.a.host", mailed(LOST))

    for _ in range(2):
        assert run(cli, "--imap").status == 1
    assert len(server.names()) == 1


@needs_dovecot
def test_an_empty_mailbox_is_no_trouble(
    cli: CommandLine, mailed: Deliver, server: Dovecot
) -> None:
    use(cli, server)
    del mailed
    cli.write("mail", b"Subject: Hello\n\nJulia\n")
    assert run(cli, "--imap").status == 0

    server.deliver("1.a.host", b"Subject: Hello\n\nJulia\n")

    assert run(cli, "--imap").status == 0
    assert run(cli, "mail").status == 2


@needs_dovecot
def test_a_mailbox_is_emptied_of_reports_alone(
    cli: CommandLine, mailed: Deliver, server: Dovecot
) -> None:
    use(cli, server, move_to="Done")
    (server.maildir / ".Done").mkdir(mode=0o777)
    (server.maildir / ".Done").chmod(0o777)
    server.deliver("1.a.host", mailed(GOOD))
    server.deliver("2.a.host", b"Subject: Hello\n\nJulia\n")
    server.deliver("3.a.host", mailed(GOOD, domain="silent.example", number=3))

    assert run(cli, "--imap").status == 2

    assert len(server.names()) == 2
    assert len(server.names(".Done")) == 1


@needs_dovecot
def test_a_mailbox_that_breaks_in_the_middle_is_told_as_far_as_it_was_read(
    cli: CommandLine, mailed: Deliver, server: Dovecot
) -> None:
    server.deliver("1.a.host", mailed(GOOD))
    server.deliver("2.a.host", mailed(LOST, number=2))
    with wire_that_breaks(server.plain, b"UID FETCH 2") as port:
        use(cli, replace(server, plain=port), move_to="Done")

        outcome = run(cli, "--imap", "--json")

    assert outcome.status == 2
    assert outcome.json["reports"]["counted"] == 1
    assert "127.0.0.1/INBOX: " in outcome.stderr
    assert len(server.names()) == 2
