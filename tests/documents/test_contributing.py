"""The recipes of CONTRIBUTING.md: what they name is asked for, and is enough.

One change of each kind is planted in a copy of the tree, at first in the product alone, and the
tests that this breaks have to be those that ask for the other files of the recipe. Then those
files follow, and nothing is broken.
"""

import configparser
import os
import re
import shutil
import subprocess
import sys
from importlib.metadata import packages_distributions
from keyword import iskeyword
from pathlib import Path

import pytest

from alignd.cli.main import main
from tests.lab.places import ROOT

PAGE = (ROOT / "CONTRIBUTING.md").read_text()
RECIPES = {
    section.partition("\n")[0]: re.findall(r"^\* (.*)$", section, re.MULTILINE)
    for section in PAGE.split("\n### ")[1:]
}
# A path, or a folder that the change adds a file to.
PATH = re.compile(
    r"`((?:milter|conf|docs|tests|man)/[\w./-]+|[\w.-]+\.(?:md|cfg)|\.importlinter)`"
)
ADDED = {
    "A rule": 9,
    "An option": 6,
    "A reason": 5,
    "A command": 6,
    "A DNS record type": 3,
    "A finding of doctor": 4,
    "A library": 4,
}
"""The files of each recipe."""

SETTINGS = "milter/alignd/config/settings.py"
DECISION = "milter/alignd/judgement/decision.py"
REASONS = "milter/alignd/judgement/reasons.py"
REWRITE = "milter/alignd/judgement/rewrite.py"
MAIN = "milter/alignd/cli/main.py"
HELLO = "milter/alignd/cli/commands/hello.py"
DNS = "milter/alignd/mailauth/dns.py"
WIRE = "milter/alignd/resolver/wire.py"
CONF = "conf/alignd.conf"
LAST_OPTION = "    freemail: bool = True\n"
BEFORE_FREEMAIL = "# Whether unaligned mail of mailbox providers"
ALIGNED = "    if as_sent.aligned is Ternary.YES:\n        return _why"

Plant = tuple[str, str, str]
"""A file, the text that is replaced, and what takes its place; no text makes a new file."""


def reason(name: str, rule: str) -> str:
    return f"""\
    {name.upper().replace("-", "_")} = ReasonText(
        "{name}",
        "it was planted",
        "None needed.",
        ("rules.rewrite_on",),
        action=Action.REWRITE,
        rule=Rule.{rule},
    )
"""


def case(claim: str, config: str, expected: str, *, sender: str = "") -> str:
    return f"""\
# {claim}
zone
mycompany.com. TXT "v=spf1 ip4:192.0.2.25 ip6:2001:db8::25 -all"
.
config
[rules]
{config}
.
MAIL <marky.mark@mycompany.com>
RCPT <julia@customer.example>
message
From: Marky Mark <marky.mark@mycompany.com>
Sender: Bob <bob@mycompany.com>

Hello
.
EXPECT rewrite {expected}
MAIL <bounces@notifications.easysoftware.com>
message
From: "Marky Mark via Easy Helpdesk" <helpdesk@notifications.easysoftware.com>
{sender}Reply-To: "Marky Mark" <marky.mark@mycompany.com>
X-Original-From: Marky Mark <marky.mark@mycompany.com>
Alignd: action=rewrite; reason={expected}

Hello
.
"""


def option(name: str) -> str:
    return f"# Whether it was planted,\n# as it was.\n# Default:\n#{name}\n\n{BEFORE_FREEMAIL}"


PRODUCT: dict[str, list[Plant]] = {
    "A rule": [
        (
            SETTINGS,
            LAST_OPTION,
            f"{LAST_OPTION}    dkim_required: Annotated[tuple[DomainName, ...], List] = ()\n",
        ),
        (
            DECISION,
            ALIGNED,
            "    signed = Ternary.YES in as_sent.dkim_aligned\n"
            "    if _is_listed(domain, rules.dkim_required) and not signed:\n"
            f"        return Reason.DKIM_REQUIRED\n{ALIGNED}",
        ),
        (
            REASONS,
            '    ALIGNED = "aligned"\n',
            '    KEY = "key-required"\n    ALIGNED = "aligned"\n',
        ),
        (REASONS, "    SPF_ALIGNED = ", f"{reason('dkim-required', 'KEY')}    SPF_ALIGNED = "),
    ],
    "An option": [
        (SETTINGS, "    exempt: ", "    keep_sender: bool = False\n    exempt: "),
        (
            REWRITE,
            "edit for name in _DOOMED for edit in",
            "edit for name in _DOOMED[settings.rules.keep_sender :] for edit in",
        ),
    ],
    "A reason": [
        (REASONS, "    DNS_UNKNOWN = ", f"{reason('signed-elsewhere', 'KEY')}    DNS_UNKNOWN = "),
        (
            DECISION,
            "        return Reason.DKIM_REQUIRED\n",
            "        is_own = domain in rules.dkim_required\n"
            "        return Reason.DKIM_REQUIRED if is_own else Reason.SIGNED_ELSEWHERE\n",
        ),
    ],
    "A command": [
        (
            HELLO,
            "",
            '"""`alignd hello`: greets."""\n\nfrom pathlib import Path\n\nimport click\n\n'
            "from alignd.cli.options import CONFIG\n\n\n@click.command()\n@CONFIG\n"
            'def hello(config: Path) -> None:\n    """Greet.\n\n    \\b\n    Example:\n'
            '      alignd hello\n    """\n    click.echo(f"hello, {config}")\n',
        ),
        (
            MAIN,
            '    "postfix-snippet": "',
            '    "hello": "alignd.cli.commands.hello:hello",\n    "postfix-snippet": "',
        ),
    ],
    "A DNS record type": [
        (DNS, '    A = "A"\n', '    A = "A"\n    CAA = "CAA"\n'),
        (
            WIRE,
            "import dns.rdtypes.ANY.CNAME\n",
            "import dns.rdtypes.ANY.CAA\nimport dns.rdtypes.ANY.CNAME\n",
        ),
        (
            WIRE,
            "    dns.rdtypes.IN.A.A: ",
            "    dns.rdtypes.ANY.CAA.CAA: lambda data: bytes(data.value),\n"
            "    dns.rdtypes.IN.A.A: ",
        ),
    ],
}
REST: dict[str, list[Plant]] = {
    "A rule": [
        (CONF, BEFORE_FREEMAIL, option("dkim_required = []")),
        (
            "docs/how-it-decides.md",
            "4. **aligned.**",
            "4. **key-required.** By `rules.rewrite_on`.\n5. **aligned.**",
        ),
        (
            "tests/cases/planted-rule.case",
            "",
            case("A key was wanted.", 'dkim_required = ["mycompany.com"]', "dkim-required"),
        ),
    ],
    "An option": [
        (CONF, BEFORE_FREEMAIL, option("keep_sender = false")),
        (
            "tests/cases/planted-option.case",
            "",
            case(
                "Sender stays.",
                'keep_sender = true\ndkim_required = ["mycompany.com"]',
                "dkim-required",
                sender="Sender: Bob <bob@mycompany.com>\n",
            ),
        ),
    ],
    "A reason": [
        (
            "tests/cases/planted-reason.case",
            "",
            case("A key above was wanted.", 'dkim_required = ["com"]', "signed-elsewhere"),
        ),
    ],
    "A command": [
        ("README.md", "| `alignd reasons` |", "| `alignd hello` | greets |\n| `alignd reasons` |"),
        ("tests/cli/test_hello.py", "", 'COMMAND = ("hello",)\n'),
    ],
    "A DNS record type": [
        (
            "tests/unit/resolver/test_wire.py",
            "    RecordType.MX: ",
            '    RecordType.CAA: (\'0 issue "ca.example"\', b"ca.example"),\n    RecordType.MX: ',
        ),
    ],
}
MANUAL = {"man/alignd.conf.5", "man/alignd-reasons.7", "man/alignd.8"}

DOCUMENTS = "tests/documents/test_documents.py"
PAGES = "tests/documents/test_manual.py::test_a_page_is_what_the_program_says_now"
DESCRIBED = "tests/documents/test_manual.py::test_every_option_of_the_configuration_is_described"
HERE = "tests/documents/test_contributing.py"
TYPES = "tests/unit/resolver/test_wire.py"
ASKED = {
    CONF: {
        f"{DOCUMENTS}::test_every_option_is_described[rules-dkim_required]",
        f"{DOCUMENTS}::test_every_option_is_described[rules-keep_sender]",
        f"{DOCUMENTS}::test_every_option_has_a_purpose_and_its_default[rules-dkim_required]",
        f"{DOCUMENTS}::test_every_option_has_a_purpose_and_its_default[rules-keep_sender]",
    },
    "man/alignd.conf.5": {f"{DESCRIBED}[rules-dkim_required]", f"{DESCRIBED}[rules-keep_sender]"},
    "man/alignd-reasons.7": {f"{PAGES}[alignd-reasons.7]"},
    "man/alignd.8": {f"{PAGES}[alignd.8]"},
    "docs/how-it-decides.md": {f"{DOCUMENTS}::test_the_rules_are_told_in_their_order"},
    "tests/cases/": {
        f"{DOCUMENTS}::test_every_reason_has_a_case",
        f"{DOCUMENTS}::test_every_rule_and_scope_option_changes_a_case",
    },
    "README.md": {f"{DOCUMENTS}::test_the_readme_names_every_command[alignd hello]"},
    "tests/cli/": {f"{HERE}::test_a_command_is_run_by_a_test[hello]"},
    TYPES: {
        f"{TYPES}::test_every_record_type_is_read_from_a_zone_file[CAA]",
        f"{TYPES}::test_every_record_type_is_read_from_the_wire[CAA]",
        f"{TYPES}::test_no_message_waits_for_an_import",
    },
}
"""The tests that ask for each file that is no part of the product, when all are planted."""
SELECTED = (
    *(DOCUMENTS, PAGES, DESCRIBED, TYPES, "tests/cases"),
    f"{HERE}::test_a_command_is_run_by_a_test",
    f"{HERE}::test_a_module_of_a_command_is_in_the_table",
)
# Of the cases those that are planted; no recipe names what the other tests are about.
CHOSEN = "planted or not (test_case or systemd or sandbox or help or page_names or log or storms)"


def paths(recipe: str) -> list[str]:
    """The files that a recipe names without a condition: those at the beginning of a line."""
    named = []
    for line in RECIPES[recipe]:
        while_listed = re.match(rf"(?:{PATH.pattern}(?:, | and |[.:]|$| ))*", line)
        assert while_listed
        named += PATH.findall(while_listed[0]) or [f"({line})"]
    return named


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    ignored = shutil.ignore_patterns("*.pyc", "relay", "wire", ".*", "*.egg-info")
    for name in ("milter", "tests", "conf", "docs", "man", "tools", "systemd", "storm", "bench"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=ignored, symlinks=True)
    for path in (
        *ROOT.glob("*.md"),
        *map(ROOT.joinpath, ("setup.cfg", "Makefile", ".importlinter")),
    ):
        shutil.copy(path, tmp_path)
    return tmp_path


def plant(copy: Path, plants: dict[str, list[Plant]]) -> None:
    for file, old, new in (each for recipe in plants.values() for each in recipe):
        path = copy / file
        text = path.read_text() if old else ""
        assert not old or text.count(old) == 1, f"nowhere to plant: {old}"
        path.write_text(text.replace(old, new) if old else new)


def run(copy: Path, *arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", *arguments],
        cwd=copy,
        env=os.environ | {"PYTHONPATH": str(copy / "milter")},
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert done.returncode in {0, 1}, done.stdout + done.stderr
    return done.stdout


def failures(copy: Path) -> set[str]:
    """The tests that fail in the copy, and could at all be asked for by a recipe."""
    said = run(copy, "pytest", "-q", "-p", "no:cacheprovider", "--tb=no", "-k", CHOSEN, *SELECTED)
    assert re.search(r"\d+ passed", said), said
    return set(re.findall(r"^(?:FAILED|ERROR) (.*?)(?: - .*)?$", said, re.MULTILINE))


def test_what_a_recipe_names_beside_the_product_is_asked_for_and_is_enough(copy: Path) -> None:
    plant(copy, PRODUCT)

    assert failures(copy) == set().union(*ASKED.values())

    plant(copy, REST)
    run(copy, "tools.man")
    assert failures(copy) == set()


@pytest.mark.parametrize("recipe", PRODUCT)
def test_a_recipe_names_what_was_planted(recipe: str) -> None:
    planted = {file for file, _, _ in (*PRODUCT[recipe], *REST[recipe])}
    named = set(re.findall(PATH, "\n".join(RECIPES[recipe])))

    for file in planted:
        folders = {each for each in named if each.endswith("/") and file.startswith(each)}
        assert file in named or folders, file
    for file in named & {*ASKED, *MANUAL}:
        assert file in MANUAL or any(each.startswith(file) for each in planted), file


def test_a_recipe_has_no_more_files_than_these() -> None:
    assert {name: len(paths(name)) for name in RECIPES} == ADDED


@pytest.mark.parametrize("recipe", RECIPES)
def test_a_recipe_names_only_what_exists(recipe: str) -> None:
    for file in PATH.findall("\n".join(RECIPES[recipe])):
        assert (ROOT / file).exists(), file


@pytest.mark.parametrize("command", main.commands)
def test_a_command_is_run_by_a_test(command: str) -> None:
    tests = "".join(path.read_text() for path in sorted((ROOT / "tests/cli").glob("*.py")))

    assert f'("{command}"' in tests or f'"{command}", ' in tests


def test_a_module_of_a_command_is_in_the_table() -> None:
    modules = {path.stem for path in (ROOT / "milter/alignd/cli/commands").glob("*.py")}

    # A word of Python can be no name of a module, or none that is imported as others are.
    expected = {
        f"{name}_" if iskeyword(name) else name.replace("-", "_") for name in main.commands
    }
    assert expected == modules - {"__init__"}


def test_every_library_is_kept_to_one_place_by_a_contract() -> None:
    setup, contracts = configparser.ConfigParser(), configparser.ConfigParser()
    setup.read(ROOT / "setup.cfg")
    contracts.read(ROOT / ".importlinter")
    protected = " ".join(
        contracts[title].get("protected_modules", "") for title in contracts.sections()
    ).split()
    modules: dict[str, set[str]] = {}
    for module, distributions in packages_distributions().items():
        for distribution in distributions:
            modules.setdefault(distribution.lower().replace("-", "_"), set()).add(module)

    for requirement in setup["options"]["install_requires"].split():
        library = re.split(r"[<>=]", requirement)[0].lower().replace("-", "_")
        assert modules[library] & set(protected), library
