"""`alignd domain`: its text, JSON and CSV, its exit status, and what bad input makes of it."""

import csv
import errno
import io
import json
import os
import pty
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.lab.nameserver import Nameserver
from tests.lab.places import CASES, SNAPSHOTS
from tests.lab.settings import configuration, world
from tests.support.commandline import CommandLine, Outcome

KEY = next(
    line
    for line in (CASES / "signer-delegated-selector.case").read_text().splitlines()
    if line.startswith("easy1.dkim.easy.cz.")
)
DELEGATE = '[dkim]\ndelegate = { selector = "easy1", target = "easy1.dkim.easy.cz" }\n'
ADVICE_SNAPSHOTS = sorted(SNAPSHOTS.glob("advice-*.txt"))
ESCAPE = "\x1b"


@pytest.fixture
def cli(cli: CommandLine) -> CommandLine:
    cli.write("alignd.conf", configuration(DELEGATE))
    return cli


def domain(cli: CommandLine, *arguments: str, zone: str | None = None) -> Outcome:
    if zone is not None:
        cli.write("what-if.zone", world(f"{zone}\n{KEY}\n"))
    return cli.run("domain", "--zone", "what-if.zone", "--config", "alignd.conf", *arguments)


@pytest.mark.parametrize("path", ADVICE_SNAPSHOTS, ids=lambda path: path.stem)
def test_what_people_read(cli: CommandLine, path: Path) -> None:
    """A snapshot is a zone, the command behind "$", and what it prints.

    Run with ALIGND_SNAPSHOTS=write to keep what it prints now; then look at the difference.
    """
    zone, prompt, rest = path.read_text().partition("$ alignd domain ")
    arguments, _, expected = rest.partition("\n")

    outcome = domain(cli, *arguments.split(), zone=zone)

    assert outcome.stderr == ""
    if os.environ.get("ALIGND_SNAPSHOTS") == "write":
        path.write_text(f"{zone}{prompt}{arguments}\n{outcome.stdout}")
        return
    assert outcome.stdout == expected, "see the docstring of this test"


@pytest.mark.parametrize("path", ADVICE_SNAPSHOTS, ids=lambda path: path.stem)
def test_it_fits_80_columns_but_for_the_records(path: Path) -> None:
    printed = path.read_text().partition("$ alignd domain ")[2]

    wide = [line for line in printed.splitlines() if len(line) > 80]
    assert all(re.match(r" {5}(v=spf1 | +\"v=spf1 )", line) for line in wide)
    assert ESCAPE not in printed


def test_there_are_snapshots_of_a_handful_of_kinds() -> None:
    assert len(ADVICE_SNAPSHOTS) >= 8


ZONE = """\
mycompany.com. TXT "v=spf1 ip4:198.51.100.1 -all"
good.example. TXT "v=spf1 include:spf.mailing.easy.cz -all"
; TIMEOUT slow.example
xn--pvlek-4qa.example. TXT "v=spf1 -all"
"""


@pytest.mark.parametrize(
    ("names", "status"),
    [
        pytest.param(["good.example"], 0, id="all-pass"),
        pytest.param(["good.example", "mycompany.com"], 1, id="one-is-rewritten"),
        pytest.param(["gmail.com"], 1, id="one-always-will-be"),
        pytest.param(["slow.example", "mycompany.com"], 2, id="dns-did-not-say"),
        pytest.param(["good.example", "a..b"], 2, id="one-is-no-domain"),
    ],
)
def test_the_exit_status(cli: CommandLine, names: list[str], status: int) -> None:
    assert domain(cli, *names, zone=ZONE).status == status


def test_json_is_an_object_a_line_in_the_order_of_the_names(cli: CommandLine) -> None:
    outcome = domain(cli, "--json", "mycompany.com", "good.example", "gmail.com", zone=ZONE)

    first, second, third = map(json.loads, outcome.stdout.splitlines())
    assert first["domain"] == "mycompany.com"
    assert first["publish"][0] == [
        {
            "name": "mycompany.com",
            "type": "TXT",
            "ttl": 3600,
            "value": "v=spf1 ip4:198.51.100.1 include:spf.mailing.easy.cz -all",
            "replaces": ["v=spf1 ip4:198.51.100.1 -all"],
            "checked": True,
            "lookups": 1,
            "void_lookups": 0,
        }
    ]
    assert first["publish"][1][0]["value"] == "easy1.dkim.easy.cz"
    assert (second["action"], second["publish"], second["cannot"]) == ("pass", [], None)
    assert (third["reason"], third["publish"]) == ("freemail", [])
    assert "never" in third["cannot"]


ASKING_ZONE = """\
mycompany.com. TXT "v=spf1 -all"
_dmarc.mycompany.com. TXT "v=DMARC1; p=reject; rua=mailto:postmaster@mycompany.com"
good.example. TXT "v=spf1 include:spf.mailing.easy.cz -all"
"""


def test_who_is_asked_for_reports_is_told_behind_all_that_is_needed(cli: CommandLine) -> None:
    cli.write("alignd.conf", configuration('reports = { address = "dmarc@easysoftware.com" }'))

    outcome = domain(cli, "mycompany.com", "good.example", "gmail.com", zone=ASKING_ZONE)

    first, second, third = re.split(r"^(?=\S)", outcome.stdout, flags=re.MULTILINE)[1:]
    path = SNAPSHOTS / "domain-reports.txt"
    if os.environ.get("ALIGND_SNAPSHOTS") == "write":
        path.write_text(first)
    assert first == path.read_text()
    assert "Reports about good.example cannot be asked for: good.example has no DMARC" in second
    assert "eports" not in third
    assert outcome.status == 1


def test_json_has_the_records_for_reports_in_a_part_of_their_own(cli: CommandLine) -> None:
    unwanted = json.loads(domain(cli, "--json", "mycompany.com", zone=ASKING_ZONE).stdout)
    cli.write("alignd.conf", configuration('reports = { address = "dmarc@easysoftware.com" }'))

    outcome = domain(cli, "--json", "mycompany.com", "good.example", zone=ASKING_ZONE)

    first, second = map(json.loads, outcome.stdout.splitlines())
    assert unwanted["reports"] is None
    both = "rua=mailto:postmaster@mycompany.com,mailto:dmarc@easysoftware.com"
    assert first["reports"] == {
        "address": "dmarc@easysoftware.com",
        "publish": {
            "name": "_dmarc.mycompany.com",
            "type": "TXT",
            "ttl": 3600,
            "value": f"v=DMARC1; p=reject; {both}",
            "replaces": ["v=DMARC1; p=reject; rua=mailto:postmaster@mycompany.com"],
        },
        "allow": {
            "name": "mycompany.com._report._dmarc.easysoftware.com",
            "type": "TXT",
            "ttl": 3600,
            "value": "v=DMARC1",
            "replaces": [],
            "or": "*._report._dmarc.easysoftware.com",
        },
        "cannot": None,
    }
    assert "no DMARC record" in second["reports"]["cannot"]
    assert (second["action"], second["cannot"]) == ("pass", None)


def test_csv_is_a_row_a_domain(cli: CommandLine) -> None:
    outcome = domain(cli, "--csv", "mycompany.com", "good.example", "gmail.com", zone=ZONE)

    rows = list(csv.DictReader(io.StringIO(outcome.stdout)))
    assert [row["domain"] for row in rows] == ["mycompany.com", "good.example", "gmail.com"]
    assert rows[0]["value"] == "v=spf1 ip4:198.51.100.1 include:spf.mailing.easy.cz -all"
    assert (rows[0]["spf"], rows[0]["action"]) == ("fail fail", "rewrite")
    assert (rows[1]["reason"], rows[1]["value"]) == ("spf-aligned", "")
    assert "never" in rows[2]["cannot"]


def test_names_come_from_a_file_addresses_and_unicode_included(cli: CommandLine) -> None:
    cli.write(
        "names",
        "\ufeff# customers\r\nann@mycompany.com  # Ann\n\npřívlek.example\nMyCompany.com.\n",
    )

    outcome = domain(cli, "--json", "--file", "names", "good.example", zone=ZONE)

    asked = [json.loads(line)["domain"] for line in outcome.stdout.splitlines()]
    idn = "přívlek.example".encode("idna").decode()
    assert asked == ["good.example", "mycompany.com", idn, "mycompany.com"]


def test_names_come_from_standard_input(cli: CommandLine) -> None:
    cli.write("names", "mycompany.com\n")
    cli.write("what-if.zone", world(ZONE))
    piped = ("sh", "-c", 'exec "$@" < names', "sh")

    arguments = ("domain", "--file", "-", "--zone", "what-if.zone", "--config", "alignd.conf")
    outcome = cli.run(*arguments, before=piped)

    assert outcome.stdout.startswith("mycompany.com: rewritten\n")


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        pytest.param(["--file", "none"], "none: No such file or directory", id="no-file"),
        pytest.param(["--file", "."], ".: Is a directory", id="a-directory"),
        pytest.param(["--file", "binary"], "binary: not a list of names", id="a-binary-file"),
        pytest.param(["x.cz", "--zone", "none"], "none: No such file", id="no-zone"),
        pytest.param(["x.cz", "--zone", "binary"], "binary: not a zone file", id="a-bad-zone"),
        pytest.param(["a..b"], "not a domain: 'a..b'", id="an-empty-label"),
        pytest.param([""], "not a domain: ''", id="nothing"),
        pytest.param(["localhost"], "not a domain that mail comes from", id="one-label"),
        pytest.param(["192.0.2.1"], "not a domain that mail comes from", id="an-address"),
        pytest.param(["a@b@c.cz"], "unexpected", id="two-at-signs"),
        pytest.param(["ř@x.cz"], "must be ASCII", id="an-author-that-is-not-ascii"),
        pytest.param([f"x.{'a' * 64}.cz"], "not a domain", id="a-long-label"),
        pytest.param(["\x1b[31mx.cz"], "not a domain", id="an-escape-sequence"),
        pytest.param(["\u202ex.cz"], "not a domain", id="a-bidi-override"),
    ],
)
def test_what_cannot_be_asked_is_one_line_and_status_2(
    cli: CommandLine, arguments: list[str], complaint: str
) -> None:
    cli.write("binary", bytes(range(256)))

    outcome = domain(cli, *arguments)

    assert (outcome.status, outcome.stdout) == (2, "")
    (line,) = outcome.stderr.splitlines()
    assert line.startswith(f"Error: {complaint}")
    assert line.isprintable()


def test_a_wrong_entry_of_a_file_is_named_with_its_line(cli: CommandLine) -> None:
    cli.write("names", "# ours\ngood.example\n\na@b@c.cz # Ann\na..b\nlocalhost\n")

    outcome = domain(cli, "--file", "names", zone=ZONE)

    assert outcome.status == 2
    assert outcome.stdout.startswith("good.example: ")
    assert outcome.stderr.splitlines() == [
        "Error: names:4: 'a@b@c.cz': unexpected '@'",
        "Error: names:5: not a domain: 'a..b': empty label",
        "Error: names:6: not a domain that mail comes from: 'localhost'",
    ]


def test_no_name_at_all(cli: CommandLine) -> None:
    outcome = domain(cli)

    assert (outcome.status, outcome.stdout) == (os.EX_USAGE, "")
    assert "name a domain, or give --file" in outcome.stderr


def test_a_file_that_is_not_for_us_to_read(cli: CommandLine) -> None:
    (cli.directory / "loop").symlink_to("loop")

    outcome = domain(cli, "--file", "loop")

    assert outcome.status == 2
    assert os.strerror(errno.ELOOP) in outcome.stderr


def test_a_bad_name_does_not_keep_the_others_from_being_answered(cli: CommandLine) -> None:
    outcome = domain(cli, "--json", "a..b", "mycompany.com", zone=ZONE)

    assert json.loads(outcome.stdout)["domain"] == "mycompany.com"
    assert outcome.stderr.startswith("Error: not a domain: 'a..b'")


HOSTILE = {
    "controls": b"v=spf1 a:\x1b[31m\x07\x9b31m.cz \x1b]0;title\x07 \xe2\x80\xae \x7f -all",
    "ends": b"v=spf1 a\r\n\r\nHTTP \x00 mx ~all",
    "bytes": b"v=spf1 " + bytes(range(256)),
    "huge": b"v=spf1 " + b"\x1b[31m " * 9000 + b"-all",
    "one-term": b"v=spf1 a:" + b"x" * 60000 + b".cz -all",
    "many-terms": b"v=spf1" + b" a:x.cz" * 8000,
    "many-includes": b"v=spf1" + b" include:mycompany.cz" * 3000,
    "utf-8": "v=spf1 a:\u202e\x9b.cz -all".encode(),
    "digits": b"v=spf1 a:" + b"1" * 60000 + b" a." + b"%" * 3000,
}


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE)
def test_a_hostile_record_cannot_drive_the_terminal(cli: CommandLine, text: bytes) -> None:
    strings = (text[cut : cut + 255] for cut in range(0, len(text), 255))
    escaped = ('"' + "".join(f"\\{octet:03}" for octet in string) + '"' for string in strings)
    zone = f"mycompany.com. TXT {' '.join(escaped)}\n"
    printed = {
        form: domain(cli, *filter(None, [form]), "mycompany.com", zone=zone)
        for form in ("", "--csv", "--json")
    }

    for outcome in printed.values():
        assert outcome.status in {0, 1}
        assert outcome.stderr == ""
        assert all(line.isprintable() for line in outcome.stdout.split("\n"))
    for alternative in printed["--json"].json["publish"]:
        assert alternative[0]["value"].isascii()
    assert len(printed[""].stdout) < 150_000  # a record as it has to be published is shown whole


def test_the_network_is_asked_within_a_budget_of_each_domain(
    cli: CommandLine, nameserver: Nameserver
) -> None:
    changes = f'{DELEGATE}[dns]\ntimeout = "500ms"\n'
    cli.write("alignd.conf", configuration(changes, nameserver=nameserver.address))
    nameserver.serve(world(f"{ZONE}\n{KEY}\n"))

    arguments = ("--json", "slow.example", "mycompany.com", "good.example")
    outcome = cli.run("domain", *arguments, "--config", "alignd.conf")

    slow, *others = map(json.loads, outcome.stdout.splitlines())
    assert (slow["action"], slow["reason"]) == ("rewrite", "dns-unknown")
    assert (outcome.status, outcome.stderr) == (2, "")
    told = domain(cli, *arguments, zone=ZONE).stdout.splitlines()
    assert others == [json.loads(line) for line in told[1:]]


@pytest.mark.parametrize("form", ["--json", ""], ids=["json", "text"])
def test_on_a_terminal_there_are_colours_and_a_bar(cli: CommandLine, form: str) -> None:
    names = [f"customer{number}.example" for number in range(8)]
    command = [sys.executable, "-m", "alignd", "domain", *filter(None, [form]), *names]
    files = ["--zone", "what-if.zone", "--config", "alignd.conf"]
    terminal, inside = pty.openpty()
    paths = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path), "TERM": "xterm"}
    paths.pop("NO_COLOR", None)

    with subprocess.Popen(
        [*command, *files], cwd=cli.directory, env=paths, stdout=inside, stderr=inside
    ) as process:
        os.close(inside)
        shown = b"".join(iter(lambda: _read(terminal), b"")).decode()
    os.close(terminal)

    assert process.returncode == 1
    assert "asking DNS" in shown
    assert (f"{ESCAPE}[33m{ESCAPE}[1mcustomer0.example: rewritten" in shown) is (form == "")
    assert shown.rindex("asking DNS") < shown.index("customer0.example")


def _read(terminal: int) -> bytes:
    try:
        return os.read(terminal, 65536)
    except OSError:  # the other end is closed
        return b""


def test_a_key_can_be_advised_in_the_place_of_an_alias(cli: CommandLine) -> None:
    key = "".join(re.findall(r'"([^"]*)"', KEY))
    changes = f'[dkim]\ndelegate = {{ selector = "easy1", public_key = "{key}" }}\n'
    cli.write("alignd.conf", configuration(changes))

    outcome = domain(cli, "--json", "mycompany.com", zone=ZONE)

    (record,) = outcome.json["publish"][1]
    assert (record["name"], record["type"]) == ("easy1._domainkey.mycompany.com", "TXT")
    assert record["value"] == key
    assert record["checked"]


POLICY = '_dmarc.mycompany.com. TXT "v=DMARC1; p=reject"\n'
SUBDOMAINS = 'signs = [{ domain = "mycompany.com", selector = "easy1", subdomains = true }]\n'


@pytest.mark.parametrize(
    ("signs", "name"),
    [
        pytest.param("", "easy1._domainkey.eu.mycompany.com", id="nobody-signs-yet"),
        pytest.param(
            SUBDOMAINS, "easy1._domainkey.mycompany.com", id="signed-for-the-domain-above"
        ),
    ],
)
def test_the_key_of_a_subdomain_is_advised_where_it_is_looked_up(
    cli: CommandLine, signs: str, name: str
) -> None:
    cli.write("alignd.conf", configuration(f"{DELEGATE}{signs}"))
    zone = f'{ZONE}{POLICY}eu.mycompany.com. TXT "v=spf1 -all"\n{KEY}\n'

    outcome = domain(cli, "--json", "eu.mycompany.com", zone=zone)

    (record,) = outcome.json["publish"][-1]
    assert (record["name"], record["type"], record["checked"]) == (name, "CNAME", True)


def test_a_subdomain_that_is_signed_for_the_domain_above_has_nothing_to_publish(
    cli: CommandLine,
) -> None:
    cli.write("alignd.conf", configuration(f"{DELEGATE}{SUBDOMAINS}"))
    published = "easy1._domainkey.mycompany.com. CNAME easy1.dkim.easy.cz.\n"

    outcome = domain(cli, "--json", "eu.mycompany.com", zone=f"{ZONE}{POLICY}{published}{KEY}\n")

    assert (outcome.json["action"], outcome.json["reason"]) == ("pass", "dkim-aligned")
    assert outcome.json["publish"] == []


@pytest.mark.parametrize(
    ("changes", "zone", "why"),
    [
        pytest.param(
            f"{DELEGATE}[rules]\nalign_envelope = false",
            "",
            "rules.align_envelope",
            id="an-envelope-sender-that-stays-elsewhere",
        ),
        pytest.param(
            '[rules]\nexempt = ["mycompany.com"]', "", "rules.exempt", id="an-exempt-domain"
        ),
        pytest.param(
            DELEGATE,
            "easy1.dkim.easy.cz. TXT v=DKIM1;p=",
            "the key is revoked",
            id="a-target-without-a-key",
        ),
        pytest.param(
            DELEGATE,
            "easy1._domainkey.mycompany.com. CNAME easy1.dkim.easy.cz.",
            "what is missing is here",
            id="a-delegation-that-nobody-uses",
        ),
        pytest.param(
            "",
            "spf.mailing.easy.cz. TXT v=spf1",
            "the operator's own record",
            id="an-empty-include",
        ),
        pytest.param("", "", "dkim.delegate is not set", id="nothing-to-delegate-to"),
    ],
)
def test_why_a_way_is_closed(cli: CommandLine, changes: str, zone: str, why: str) -> None:
    cli.write("alignd.conf", configuration(changes))
    key = "" if zone.startswith("easy1.dkim") else KEY
    cli.write("what-if.zone", world(f"{ZONE}{zone}\n{key}\n"))

    arguments = ("domain", "mycompany.com", "--zone", "what-if.zone", "--config", "alignd.conf")
    outcome = cli.run(*arguments)

    assert why in " ".join(outcome.stdout.split())


@pytest.mark.parametrize(
    ("rule", "status", "said"),
    [
        pytest.param("dry_run = true", 1, "changes nothing", id="dry-run"),
        pytest.param(
            'rewrite_on = "enforced"', 0, "So that it passes, mycompany.com", id="not-covered"
        ),
    ],
)
def test_rules_are_heeded(cli: CommandLine, rule: str, status: int, said: str) -> None:
    cli.write("alignd.conf", configuration(f"[rules]\n{rule}"))

    outcome = domain(cli, "mycompany.com", zone=ZONE)

    assert outcome.status == status
    assert said in outcome.stdout
    assert "checked: mail would pass" in outcome.stdout


def test_of_thousands_of_terms_that_are_not_valid_some_are_shown(cli: CommandLine) -> None:
    strings = " ".join(['"v=spf1 "', *['"foo:x "'] * 2000, '"-all"'])

    outcome = domain(cli, "mycompany.com", zone=f"mycompany.com. TXT {strings}\n")

    assert "and 1990 more" in " ".join(outcome.stdout.split())
    assert len(outcome.stdout) < 5000
