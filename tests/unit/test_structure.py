"""The shape of the code: the contracts of `.importlinter` bite, and what they cannot say."""

import ast
import configparser
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import alignd
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
    "pydantic is known to the configuration alone": ("judgement/review", "pydantic"),
    "authres is wrapped": ("judgement/review", "authres"),
    "cachetools is wrapped": ("mta/lookahead", "cachetools"),
    "cryptography is wrapped": ("mailauth/dkim", "cryptography"),
    "dkimpy is wrapped": ("advice/dkim", "dkim"),
    "The lists of domains are wrapped": ("judgement/review", "publicsuffixlist"),
    "idna is wrapped": ("mail/mailbox", "idna"),
    "prometheus_client is wrapped": ("service/monitor", "prometheus_client"),
    "pyspf is wrapped": ("advice/spf", "spf"),
    "sdnotify is wrapped": ("service/worker", "sdnotify"),
    "structlog is wrapped": ("service/worker", "structlog"),
}
# Siblings that know nothing of one another share a contract with those that stand in line.
MORE_PLANTED = [
    ("Packages import downwards only", "advice/dkim", "alignd.replay.summary"),
    ("Packages import downwards only", "doctor/dns", "alignd.advice.spf"),
    ("Packages import downwards only", "replay/summary", "alignd.doctor.findings"),
    ("Packages import downwards only", "judgement/review", "alignd.postfix.endpoint"),
    ("The core does no input or output", "doctor/dns", "alignd.doctor.evidence.machine"),
]


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


@pytest.mark.parametrize(
    ("contract", "module", "imported"),
    [*((name, *planted) for name, planted in PLANTED.items()), *MORE_PLANTED],
)
def test_a_planted_import_breaks_its_contract(
    tmp_path: Path, contract: str, module: str, imported: str
) -> None:
    shutil.copytree(SOURCE, tmp_path / "alignd")
    with (tmp_path / "alignd" / f"{module}.py").open("a") as text:
        text.write(f"\nimport {imported}\n")

    assert f"{contract} BROKEN" in lint_imports(tmp_path)


def test_every_contract_is_kept_and_has_a_planted_import() -> None:
    said = lint_imports(SOURCE.parent)

    names = [section["name"] for title, section in contracts().items() if ":contract:" in title]
    assert sorted(names) == sorted(PLANTED)
    assert all(f"{name} KEPT" in said for name in names), said


def test_no_package_is_a_crowd() -> None:
    for folder in {path.parent for path in MODULES.values()}:
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
