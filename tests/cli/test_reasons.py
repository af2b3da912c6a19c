"""`alignd reasons`: every word of the log, in words for people and for scripts."""

import json

from alignd.judgement.words import WORDS, find
from tests.support.commandline import CommandLine


def test_every_word_is_shown_with_its_meaning_and_its_fix(cli: CommandLine) -> None:
    outcome = cli.run("reasons")

    assert (outcome.status, outcome.stderr) == (0, "")
    assert max(map(len, outcome.stdout.splitlines())) <= 80
    shown = " ".join(outcome.stdout.split())
    for word in WORDS:
        assert f"{word.key}={word.value} {word.text.meaning} " in shown
        assert f"Fix: {word.text.fix}" in shown


def test_one_word_is_shown_alone(cli: CommandLine) -> None:
    outcome = cli.run("reasons", "dns-unknown")

    assert (outcome.status, outcome.stderr) == (0, "")
    assert outcome.stdout.splitlines()[0] == "reason=dns-unknown"
    assert outcome.stdout.count("Fix: ") == 1


def test_scripts_get_one_object_a_line(cli: CommandLine) -> None:
    outcome = cli.run("reasons", "--json")

    found = [json.loads(line) for line in outcome.stdout.splitlines()]
    assert [each["word"] for each in found] == [word.value for word in WORDS]
    assert {tuple(each) for each in found} == {
        ("word", "key", "meaning", "fix", "rule", "options")
    }
    (exempt,) = [each for each in found if each["word"] == "exempt"]
    assert (exempt["key"], exempt["rule"]) == ("reason", "exempt")
    assert exempt["options"] == ["rules.exempt"]


def test_a_word_is_found_by_its_spelling() -> None:
    assert all(find(word.value) is word for word in WORDS)
    assert find("no-such-reason") is None
