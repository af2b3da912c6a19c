"""The manual pages are those of this program, and of its options and reasons."""

import configparser
import re
import shutil
import subprocess
import time
from pathlib import Path

import click
import pytest

from alignd.cli.main import main
from alignd.config.file import DEFAULT_PATH, option_names, parse_configuration
from alignd.config.signer import load_signer
from alignd.judgement.review import address_fields, make_reviewer
from alignd.judgement.words import WORDS
from alignd.mail.message import Message, split_message
from alignd.resolver.zone import Zone
from tests.lab.settings import configuration
from tests.support.commandline import MARKY, ZONE
from tools.man.mdoc import escaped, prose
from tools.man.pages import ROOT, pages

PAGES = pages()
SETUP = configparser.ConfigParser()
SETUP.read(ROOT / "setup.cfg")


def section(page: str, title: str) -> str:
    """What stands below the heading *title* of a page."""
    found = re.search(rf'^\.S[hs] "?{re.escape(title)}"?\n(.*?)(?=^\.S[hs]|\Z)', page, re.M | re.S)
    assert found, title
    return found[1]


@pytest.mark.parametrize("name", PAGES)
def test_a_page_is_what_the_program_says_now(name: str) -> None:
    assert (ROOT / "man" / name).read_text() == PAGES[name], "run `make man`"


@pytest.mark.parametrize("name", PAGES)
@pytest.mark.parametrize(
    "checker",
    [
        pytest.param(("mandoc", "-Tlint", "-Wwarning"), id="mandoc"),
        pytest.param(("groff", "-mdoc", "-ww", "-z", "-Tutf8"), id="groff"),
    ],
)
def test_nothing_is_wrong_with_a_page(name: str, checker: tuple[str, ...]) -> None:
    if not shutil.which(checker[0]):
        pytest.skip(f"{checker[0]} is not installed")
    command = [*checker, str(ROOT / "man" / name)]

    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)

    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@pytest.mark.parametrize("name", PAGES)
def test_a_page_is_installed_where_man_looks(name: str) -> None:
    number = name.rpartition(".")[2]

    assert f"man/{name}" in SETUP["options.data_files"][f"share/man/man{number}"].split()


@pytest.mark.parametrize("name", main.commands)
def test_every_command_and_option_is_described(name: str) -> None:
    told = section(PAGES["alignd.8"], f"\\&alignd {escaped(name)}")

    options = [each for each in main.commands[name].params if isinstance(each, click.Option)]
    for option in options:
        for spelling in option.opts:
            assert re.search(rf"^\.It .*Fl {re.escape(escaped(spelling[1:]))}\b", told, re.M)
    assert f".Nm alignd {name}\n" in section(PAGES["alignd.8"], "SYNOPSIS")


@pytest.mark.parametrize(
    ("table", "name"),
    [(table, name) for table, names in option_names().items() for name in names],
)
def test_every_option_of_the_configuration_is_described(table: str, name: str) -> None:
    page = PAGES["alignd.conf.5"]
    if table == "tenant":
        assert f"\n{name} = " in section(page, "\\&The tables [[tenant]]")
        return
    told = section(page, f"\\&The table [{table}]")
    entry = re.search(rf"^\.It Cm {name}\n(.*?)(?=^\.It Cm|\Z)", told, re.M | re.S)
    assert entry
    conf = (ROOT / "conf/alignd.conf").read_text().partition(f"\n[{table}]\n")[2]
    shipped = re.search(rf"^#{name} = .*$", conf, re.M)
    if shipped and "Default:\n" in entry[1]:
        assert f"\n{escaped(shipped[0][1:])}\n" in entry[1]
    assert "Default:" in entry[1] or "There is no default" in entry[1]


def test_every_word_of_the_log_is_described_with_its_fix() -> None:
    page = PAGES["alignd-reasons.7"]
    for word in WORDS:
        found = re.search(rf"^\.It Cm {word.value}\n(.*?)(?=^\.It|^\.El)", page, re.M | re.S)
        assert found, word
        assert "\n".join(prose(f"{word.text.meaning}.")) in found[1]
        assert "\n".join(prose(f"Fix: {word.text.fix}")) in found[1]


def test_every_word_before_an_equals_sign_of_the_log_is_described() -> None:
    changes = '[rules]\ndry_run = true\n[return]\nkeys = "return.keys"\n'
    changes += '[[tenant]]\nname = "mycompany"\nmatch = { Subject = "*" }\n'
    parsed = parse_configuration(configuration(changes), "")
    reviewer = make_reviewer(parsed, load_signer(parsed.dkim), time.time)
    header, _ = split_message(MARKY)
    message = Message("marky.mark@mycompany.com", (), header, login="marky")
    judgement = reviewer.judge(message, Zone.parse(ZONE))
    told = section(PAGES["alignd.8"], "LOG")

    keys = (
        judgement.summary.keys() | address_fields(None, message).keys() | {"limit", "error", "ms"}
    )

    described = re.findall(r"^\.It Li (.*)$", told, re.M)
    assert set(" , ".join(described).split(" , ")) == keys


@pytest.mark.parametrize(
    ("title", "words"),
    [
        pytest.param("EXIT STATUS", ["0", "1", "2", "64", "69", "70", "78"], id="exit-status"),
        pytest.param("SIGNALS", ["TERM , INT", "HUP"], id="signals"),
        pytest.param("FILES", [str(DEFAULT_PATH), "/etc/resolv.conf"], id="files"),
        pytest.param("ENVIRONMENT", ["NO_COLOR", "STATE_DIRECTORY"], id="environment"),
    ],
)
def test_what_else_an_operator_looks_up_is_there(title: str, words: list[str]) -> None:
    tags = re.findall(r"^\.It \w+ (.*)$", section(PAGES["alignd.8"], title), re.M)

    assert set(words) <= set(tags)


def test_the_unit_names_the_manual() -> None:
    unit = (ROOT / "systemd/alignd.service").read_text()
    (named,) = re.findall(r"^Documentation=(.*)$", unit, re.M)

    for each in named.split():
        name, number = re.fullmatch(r"man:(.*)\((\d)\)", each).groups()  # type: ignore[union-attr]
        assert f"{name}.{number}" in PAGES


@pytest.mark.parametrize(
    ("text", "roff"),
    [
        pytest.param("a. B", ["a.", "B"], id="a-sentence-begins-a-line"),
        pytest.param("so ... And", ["so ... And"], id="an-ellipsis-ends-none"),
        pytest.param("`alignd x`", ["\\fBalignd x\\fR"], id="code-is-bold"),
        pytest.param(".in or 'in", ["\\&.in or 'in"], id="no-request-at-the-beginning"),
        pytest.param("a\\b", ["a\\eb"], id="a-backslash-is-itself"),
    ],
)
def test_text_becomes_roff(text: str, roff: list[str]) -> None:
    assert prose(text) == roff


def test_the_pages_fit_eighty_columns(tmp_path: Path) -> None:
    if not shutil.which("mandoc"):
        pytest.skip("mandoc is not installed")
    # Lines to copy are not broken.
    helps = [command.help or "" for command in main.commands.values()]
    sources = [*helps, (ROOT / "conf/alignd.conf").read_text()]
    as_they_stand = {
        re.sub(r"^(# Example: |#)", "", line).strip()
        for source in sources
        for line in source.splitlines()
    }
    for name, text in PAGES.items():
        (tmp_path / name).write_text(text)
        shown = subprocess.run(
            ["mandoc", "-Tascii", "-Owidth=80", str(tmp_path / name)],
            capture_output=True,
            check=True,
        )
        plain = re.sub(rb".\x08", b"", shown.stdout).decode()
        wide = {line.strip() for line in plain.splitlines() if len(line) > 80}
        assert wide <= as_they_stand
