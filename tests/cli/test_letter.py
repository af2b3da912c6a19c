"""`alignd letter`: its four forms have the record of `alignd domain`; its exit status."""

import os

import pytest

from alignd.languages.catalogues import load_texts
from alignd.languages.language import Language
from tests.lab.places import CASES
from tests.lab.settings import configuration, world
from tests.support.commandline import CommandLine, Outcome
from tests.support.letters import Entered, in_html, in_mailto, in_message, in_text

KEY = next(
    line
    for line in (CASES / "signer-delegated-selector.case").read_text().splitlines()
    if line.startswith("easy1.dkim.easy.cz.")
)
DELEGATE = '[dkim]\ndelegate = { selector = "easy1", target = "easy1.dkim.easy.cz" }\n'
ZONE = """\
mycompany.com. TXT "v=spf1 ip4:198.51.100.1 -all"
mycompany.com. NS ns.wedos.eu.
good.example. TXT "v=spf1 include:spf.mailing.easy.cz -all"
<script>.hostile.example. TXT "v=spf1 -all"
hostile.example. TXT "v=spf1 a:</pre><script>alert(1)</script> -all"
; TIMEOUT slow.example
; TIMEOUT _dmarc.slow.example
"""


@pytest.fixture
def cli(cli: CommandLine) -> CommandLine:
    cli.write("alignd.conf", configuration(DELEGATE))
    cli.write("what-if.zone", world(f"{ZONE}{KEY}\n"))
    return cli


def letter(cli: CommandLine, *arguments: str) -> Outcome:
    return cli.run("letter", *arguments, "--zone", "what-if.zone", "--config", "alignd.conf")


def advised(cli: CommandLine, number: int) -> tuple[str, str, str]:
    files = ("--zone", "what-if.zone", "--config", "alignd.conf")
    outcome = cli.run("domain", "--json", "mycompany.com", *files)
    record = outcome.json["publish"][number - 1][0]
    return record["type"], record["name"], record["value"]


@pytest.mark.parametrize("number", [1, 2])
@pytest.mark.parametrize("language", Language, ids=lambda language: language.value)
@pytest.mark.parametrize("form", ["text", "html", "eml", "mailto"])
def test_each_form_has_the_record_of_alignd_domain(
    cli: CommandLine, form: str, language: Language, number: int
) -> None:
    texts = load_texts(language)

    outcome = letter(
        cli,
        *("mycompany.com", "--language", language.value, "--format", form),
        *("--record", str(number), "--link", "https://alignd.example/s/1"),
    )

    assert (outcome.status, outcome.stderr) == (0, "")
    entered: list[Entered] = {
        "text": lambda: [in_text(outcome.stdout, texts)],
        "html": lambda: [in_html(outcome.stdout, texts)],
        "eml": lambda: list(in_message(outcome.stdout.encode(), texts)),
        "mailto": lambda: [in_mailto(outcome.stdout.strip(), texts)],
    }[form]()
    for each in entered:
        assert each.published("mycompany.com") == advised(cli, number)
    assert len(entered) == (2 if form == "eml" else 1)


def test_a_letter_begins_with_its_subject_and_is_english_unless_told(cli: CommandLine) -> None:
    outcome = letter(cli, "mycompany.com")

    subject, blank, hello, *_ = outcome.stdout.split("\n")
    assert subject.startswith("A DNS record for mycompany.com")
    assert (blank, hello) == ("", "Hello,")
    assert "is at WEDOS: its nameservers are ns.wedos.eu" in " ".join(outcome.stdout.split())
    assert letter(cli, "ann@mycompany.com").stdout == outcome.stdout


@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        pytest.param(("good.example",), 1, "no letter: the mail passes as it is", id="passes"),
        pytest.param(("gmail.com",), 1, "mailbox provider", id="mailbox-provider"),
        pytest.param(("slow.example",), 2, "no letter: DNS did not answer", id="dns"),
        pytest.param(("a..b",), 2, "empty label", id="no-domain"),
        pytest.param(("mycompany.com", "--record", "3"), 2, "has 2 for it", id="no-such-record"),
        pytest.param(("mycompany.com", "--language", "xx"), os.EX_USAGE, "'xx'", id="no-language"),
        pytest.param((), os.EX_USAGE, "NAME", id="no-name"),
    ],
)
def test_the_exit_status_where_there_is_no_letter(
    cli: CommandLine, arguments: tuple[str, ...], status: int, said: str
) -> None:
    outcome = letter(cli, *arguments)

    assert (outcome.status, outcome.stdout) == (status, "")
    assert said in outcome.stderr


def test_what_a_stranger_has_in_his_dns_is_shown_and_not_executed(cli: CommandLine) -> None:
    outcome = letter(cli, "hostile.example", "--format", "html")

    assert outcome.status == 0
    assert "<script>" not in outcome.stdout
    assert "&lt;script&gt;alert(1)" in outcome.stdout
