"""The page of the way back: every threat has a test and a control, and every such test a row."""

import ast
import re

from tests.lab.places import ROOT

PAGE = (ROOT / "docs/return-path.md").read_text()
TESTS = (ROOT / "tests/relay/test_return.py").read_text()
ROWS = re.findall(r"^\| (.*) \| (.*) \| `(test_\w+)` \| `(test_\w+)` \|$", PAGE, re.MULTILINE)


def functions(text: str) -> set[str]:
    return {each.name for each in ast.parse(text).body if isinstance(each, ast.FunctionDef)}


def test_each_threat_has_its_answer_its_attack_and_its_control() -> None:
    existing = functions(TESTS)

    assert len(ROWS) >= 8
    for threat, answer, attack, control in ROWS:
        assert threat, attack
        assert answer, attack
        assert {attack, control} <= existing
        assert control.startswith("test_control_")


def test_each_attack_and_each_control_is_on_the_page() -> None:
    attacks = {
        each
        for each in functions(TESTS[TESTS.index("# What must not happen") :])
        if each.startswith("test_")
    }

    assert attacks == {name for row in ROWS for name in row[2:]}


def test_every_table_of_threats_row_is_read() -> None:
    (table,) = re.findall(r"^\| threat \| .*\n\|[-|]+\n((?:\|.*\n)+)", PAGE, re.MULTILINE)

    assert len(table.splitlines()) == len(ROWS)
