"""The shape of the code: the contracts of `.importlinter` bite, and what they do not know."""

import ast
import configparser
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import alignd
from bench.stages import OTHER, stage_of, unknown_names
from tests.lab.places import ROOT

SOURCE = Path(alignd.__file__).parent
CONTRACTS = ROOT / ".importlinter"
MODULES = {str(path.relative_to(SOURCE)): path for path in sorted(SOURCE.rglob("*.py"))}
MAX_MODULES = 15
"""Modules in one package."""

# What breaks which contract: an import, and the module that it is planted in.
PLANTED = {
    "Packages import downwards only": ("mail/domain", "alignd.config.settings"),
    "Modules of a package import one another one way": ("mail/domain", "alignd.mail.mailbox"),
    "The core does no input or output": ("judgement/decision", "time"),
    "pymilter is known to the mail path alone": ("service/worker", "milter"),
    "dnspython is known to the resolver alone": ("advice/spf", "dns.name"),
    "The terminal is known to the command line alone": ("doctor/findings", "click"),
    "pydantic is known to the configuration and the status document": (
        "judgement/review",
        "pydantic",
    ),
    "authres is wrapped": ("judgement/review", "authres"),
    "Catalogues are known to the languages alone": ("letter/entry", "babel"),
    "cryptography is wrapped": ("mailauth/dkim", "cryptography"),
    "dkimpy is wrapped": ("advice/dkim", "dkim"),
    "The lists of domains are wrapped": ("judgement/review", "publicsuffixlist"),
    "idna is wrapped": ("mail/mailbox", "idna"),
    "IMAPClient is wrapped": ("reports/read", "imapclient"),
    "lxml is wrapped": ("reports/read", "lxml"),
    "prometheus_client is wrapped": ("service/monitor", "prometheus_client"),
    "sdnotify is wrapped": ("service/worker", "sdnotify"),
    "structlog is wrapped": ("service/worker", "structlog"),
    "Databases are known to the ledger alone": ("service/worker", "sqlalchemy"),
    "The web framework is known to the web application alone": ("web/access", "flask"),
    "urllib3 is wrapped": ("ledger/spool", "urllib3"),
    "webencodings is wrapped": ("mail/display_name", "webencodings"),
}
# Siblings that know nothing of one another share a contract with those that stand in line.
MORE_PLANTED = [
    ("Packages import downwards only", "advice/dkim", "alignd.replay.summary"),
    ("Packages import downwards only", "doctor/chain", "alignd.advice.spf"),
    ("Packages import downwards only", "replay/summary", "alignd.doctor.findings"),
    ("Packages import downwards only", "feedback/join", "alignd.advice.spf"),
    ("Packages import downwards only", "judgement/review", "alignd.postfix.milters"),
    ("The core does no input or output", "doctor/chain", "alignd.doctor.evidence.machine"),
    ("Catalogues are known to the languages alone", "letter/entry", "gettext"),
    ("Packages import downwards only", "mail/domain", "alignd.languages.texts"),
    ("Packages import downwards only", "digest/digest", "alignd.web.chart"),
    ("The core does no input or output", "feedback/join", "time"),
]


TREES = {
    "milter/alignd": {"alignd"},
    "tests/lab": {"alignd", "tests.lab"},
    "tests/support": {"alignd", "tests.lab", "tests.support"},
    "tests/readers": {"alignd", "tests.lab", "tests.readers"},
    "tests/verifiers": {"alignd", "tests.lab", "tests.verifiers"},
    "demo": {"alignd", "tests.lab", "demo"},
    "storm": {"alignd", "tests.lab", "storm"},
    "bench": {"alignd", "tests.lab", "bench"},
    "tools": {"alignd", "tools"},
}
"""What each tree imports of what stands in this checkout."""
CHECKOUT = ("alignd", "tests", "demo", "storm", "bench", "tools")


def contracts() -> configparser.ConfigParser:
    parser = configparser.ConfigParser()
    parser.read(CONTRACTS)
    return parser


def lint_imports(source: Path) -> str:
    """What import-linter says of the package in *source*."""
    program = Path(sys.executable).with_name("lint-imports")
    command = [str(program), "--no-cache", "--no-logo", str(CONTRACTS)]
    environment = os.environ | {"PYTHONPATH": str(source)}
    done = subprocess.run(
        command, env=environment, capture_output=True, text=True, check=False, timeout=60
    )
    return done.stdout


@pytest.fixture(scope="module")
def complaints(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """What import-linter says of a copy with everything planted in it, by contract."""
    source = tmp_path_factory.mktemp("planted")
    shutil.copytree(SOURCE, source / "alignd")
    for module, imported in [*PLANTED.values(), *(planted[1:] for planted in MORE_PLANTED)]:
        with (source / "alignd" / f"{module}.py").open("a") as text:
            text.write(f"\nimport {imported}\n")
    _kept, *broken = re.split(r"^(.+)\n-{4,}$", lint_imports(source), flags=re.MULTILINE)
    return dict(zip(broken[::2], broken[1::2], strict=True))


@pytest.mark.parametrize(
    ("contract", "module", "imported"),
    [*((name, *planted) for name, planted in PLANTED.items()), *MORE_PLANTED],
)
def test_a_planted_import_breaks_its_contract(
    complaints: dict[str, str], contract: str, module: str, imported: str
) -> None:
    package, _slash, name = module.partition("/")
    # The library as a whole; and where two are in a circle, either may be the one to go.
    known = imported if imported.startswith("alignd.") else imported.partition(".")[0]
    other = imported.rpartition(".")[2]

    assert (
        f"alignd.{package}.{name} -> {known} (" in complaints[contract]
        or f"in alignd.{package}.\nIt could be made acyclic by removing 1 dependency:\n\n"
        f"- .{other} -> .{name} ("
        in complaints[contract]
    )


def test_every_contract_is_kept_and_has_a_planted_import() -> None:
    said = lint_imports(SOURCE.parent)

    names = [section["name"] for title, section in contracts().items() if ":contract:" in title]
    assert sorted(names) == sorted(PLANTED)
    assert all(f"{name} KEPT" in said for name in names), said


def strangers(tree: str, text: str) -> list[str]:
    """What a module of *tree* imports of this checkout and may not."""
    imported = []
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            imported += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            imported += [f"{node.module}.{alias.name}" for alias in node.names]
    return [
        name
        for name in imported
        if name.partition(".")[0] in CHECKOUT
        and not any(f"{name}.".startswith(f"{allowed}.") for allowed in TREES[tree])
    ]


@pytest.mark.parametrize("tree", TREES)
def test_a_tree_imports_the_lab_and_no_other_tree(tree: str) -> None:
    for path in sorted((ROOT / tree).rglob("*.py")):
        assert strangers(tree, path.read_text()) == [], path


@pytest.mark.parametrize(
    ("tree", "planted", "stranger"),
    [
        ("milter/alignd", "import tests.lab.cast", "tests.lab.cast"),
        ("tests/lab", "from tests.support.case import Case", "tests.support.case.Case"),
        ("tests/lab", "from tests import support", "tests.support"),
        ("tests/lab", "def f():\n    import demo", "demo"),
        ("tests/support", "from storm.mail import Post", "storm.mail.Post"),
        ("tests/verifiers", "from tests.support import case", "tests.support.case"),
        ("demo", "from tests.laboratory import x", "tests.laboratory.x"),
        ("storm", "from demo.journey import Mail", "demo.journey.Mail"),
        ("bench", "from tests.support.case import Case", "tests.support.case.Case"),
        ("tools", "import bench", "bench"),
    ],
)
def test_a_planted_import_of_another_tree_is_found(tree: str, planted: str, stranger: str) -> None:
    assert strangers(tree, f"import os\nfrom tests.lab import cast\n{planted}\n")[-1] == stranger


def test_the_stages_of_the_benchmark_are_packages_modules_and_functions_that_exist() -> None:
    assert unknown_names() == []
    gone = ["mta/collected", "collected", "mta/session:_gone", "mta/gone:_apply"]
    assert unknown_names(gone) == gone


@pytest.mark.parametrize(
    ("function", "module", "stage"),
    [
        pytest.param("_apply", "mta/session", "edits", id="function"),
        pytest.param("header", "mta/session", "protocol", id="module"),
        pytest.param("replacement", "judgement/rewrite", "edits", id="module-in-a-named-package"),
        pytest.param("decide", "judgement/decision", "decision", id="package"),
        pytest.param("run", "service/worker", OTHER, id="elsewhere"),
    ],
)
def test_time_counts_for_the_stage_that_names_it_most_exactly(
    function: str, module: str, stage: str
) -> None:
    assert stage_of(function, SOURCE / f"{module}.py") == stage
    assert stage_of(function, Path("/usr/lib/python3/mta/session.py")) == OTHER


def test_no_package_is_a_crowd() -> None:
    # A command has a module of its own, whatever their number.
    for folder in {path.parent for path in MODULES.values()} - {SOURCE / "cli/commands"}:
        modules = [path for path in folder.glob("*.py") if path.name != "__init__.py"]
        assert len(modules) <= MAX_MODULES, folder


@pytest.mark.parametrize("module", MODULES)
def test_the_words_of_the_log_stand_in_one_table(module: str) -> None:
    keys = {"action", "reason", "limit", "error"}
    for node in ast.walk(ast.parse(MODULES[module].read_text())):
        if isinstance(node, ast.Call) and "log." in ast.unparse(node.func):
            spelled = {word.arg for word in node.keywords if isinstance(word.value, ast.Constant)}
            assert not spelled & keys, ast.unparse(node)
        if isinstance(node, ast.Dict):
            for key, value in zip(node.keys, node.values, strict=True):
                is_word = isinstance(key, ast.Constant) and key.value in keys
                assert not (is_word and isinstance(value, ast.Constant)), ast.unparse(node)


def test_the_core_opens_no_file() -> None:
    pure = contracts()["importlinter:contract:pure"]["source_modules"].split()
    for name in pure:
        path = SOURCE.joinpath(*name.split(".")[1:])
        for module in (
            [path.with_suffix(".py")] if path.with_suffix(".py").exists() else path.rglob("*.py")
        ):
            assert "open(" not in module.read_text(), module


@pytest.mark.parametrize("module", MODULES)
def test_nothing_happens_at_import(module: str) -> None:
    allowed = (
        *(ast.Import, ast.ImportFrom, ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef),
        *(ast.Assign, ast.AnnAssign),
    )
    for node in ast.parse(MODULES[module].read_text()).body:
        docstring = isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
        main = isinstance(node, ast.If) and "__name__" in ast.unparse(node.test)
        assert docstring or main or isinstance(node, allowed), ast.unparse(node)


def test_no_package_is_named_like_pymilters() -> None:
    assert not (SOURCE.parent / "__init__.py").exists()
