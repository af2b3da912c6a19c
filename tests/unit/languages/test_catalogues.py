"""The catalogues have every sentence of the code, whole, and say the same in each language."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from string import Formatter

import pytest
from babel.messages.catalog import Message

from alignd.languages.catalogues import load_texts
from alignd.languages.language import Language
from tests.support.languages import TEXTS
from tools.catalogues.catalogues import (
    ROOT,
    TRANSLATED,
    catalogue_path,
    compiled,
    extracted,
    read,
    updated,
)

MODULES = sorted(
    path
    for name in ("digest", "letter", "web/views")
    for path in (ROOT / "milter/alignd" / name).rglob("*.py")
)
"""Those that speak to customers and supporters. What else `web` says, operators read."""
MESSAGES = [message for message in extracted() if message.id]
MARKUP = re.compile(r"<[^>]*(>|$)|^([a-z-]+: [^;]+(; |$))+$")
"""Tags of HTML, and styles."""
SAYS = {"msgid", "text", "plural"}
"""The functions that translate what they are given."""
NOT_SAID = {"letter/dns_host.py", "letter/hosts.py", "letter/letter.py:NoLetter"}
NOT_SAID |= {"digest/sendmail.py"}
"""Where English stands that no letter says: names, habits as values, what the terminal is told."""


def each_language() -> pytest.MarkDecorator:
    return pytest.mark.parametrize("language", TRANSLATED, ids=lambda language: language.value)


def translations(language: Language) -> dict[str | tuple[str, ...], Message]:
    return {
        _key(message): message
        for message in read(catalogue_path(language).read_bytes(), language)
        if message.id
    }


def _key(message: Message) -> str | tuple[str, ...]:
    return message.id if isinstance(message.id, str) else tuple(message.id)


def strings(message: Message) -> tuple[str, ...]:
    """All that a message says in the other language."""
    string = message.string
    assert string is not None
    return (string,) if isinstance(string, str) else tuple(string)


def placeholders(sentence: str) -> set[str]:
    return {name for _, name, _, _ in Formatter().parse(sentence) if name is not None}


def test_there_are_sentences_in_three_languages_beside_english() -> None:
    assert len(MESSAGES) > 50
    assert {language.value for language in TRANSLATED} == {"da", "cs", "de"}


@each_language()
def test_every_sentence_is_in_the_catalogue_and_no_other(language: Language) -> None:
    assert set(translations(language)) == set(map(_key, MESSAGES)), "run `make catalogues`"


@each_language()
def test_nothing_is_untranslated_or_fuzzy(language: Language) -> None:
    for key, message in translations(language).items():
        assert all(each.strip() for each in strings(message)), key
        assert not message.fuzzy, key


@each_language()
def test_the_placeholders_agree(language: Language) -> None:
    for key, message in translations(language).items():
        originals = (key,) if isinstance(key, str) else key
        everything = set().union(*map(placeholders, originals))
        for place, string in enumerate(strings(message)):
            # The form of one need not say the number; all others say all that the original says.
            of_one = isinstance(key, tuple) and place == 0
            assert placeholders(string) == (placeholders(originals[0]) if of_one else everything)


@each_language()
def test_a_translation_begins_and_ends_as_the_sentence_does(language: Language) -> None:
    for key, message in translations(language).items():
        original = key if isinstance(key, str) else key[0]
        for string in strings(message):
            assert string == string.strip()
            assert (string[-1] == ":") == (original[-1] == ":"), key
            assert (string[-1] == ".") == (original[-1] == "."), key


@each_language()
def test_what_is_compiled_is_what_is_written(language: Language) -> None:
    path = catalogue_path(language)
    text = path.read_bytes()

    assert updated(text, language) == text, "run `make catalogues`"
    assert path.with_suffix(".mo").read_bytes() == compiled(text, language), "the same"


def test_a_new_sentence_is_asked_for_and_an_old_one_goes() -> None:
    language = TRANSLATED[0]
    text = catalogue_path(language).read_text()
    known = 'msgid "The record"'
    assert known in text

    made = updated(text.replace(known, 'msgid "The recording"').encode(), language).decode()

    assert re.search(rf'{known}\nmsgstr ""', made)
    assert "The recording" not in made


@each_language()
def test_a_catalogue_is_installed_with_the_package(language: Language) -> None:
    setup = (ROOT / "setup.cfg").read_text()

    assert "alignd.languages = locale/*/LC_MESSAGES/*" in setup
    assert load_texts(language).text("The record") != "The record"


@pytest.mark.parametrize("language", Language, ids=lambda language: language.value)
def test_every_sentence_can_be_said(language: Language) -> None:
    texts = TEXTS[language]

    for message in MESSAGES:
        if isinstance(message.id, str):
            values = {name: f"<{name}>" for name in placeholders(message.id)}
            said = texts.text(message.id, **values)
        else:
            one, many = message.id
            values = {name: f"<{name}>" for name in placeholders(many) - {"n"}}
            said = texts.plural(one, many, 5, **values)
            assert "5" in said
        assert all(value in said for value in values.values())


def untranslated(text: str) -> Iterator[str]:
    """The literals of a module that read like a sentence, and that nothing translates."""
    tree = ast.parse(text)
    allowed: set[int] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and ast.unparse(node.func).rpartition(".")[2] in SAYS:
            allowed |= {id(each) for argument in node.args for each in ast.walk(argument)}
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):  # a docstring
            allowed.add(id(node.value))
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and id(node) not in allowed:
            value = MARKUP.sub("", node.value) if isinstance(node.value, str) else ""
            if re.search(r"[A-Za-z]{2,} [a-z]{2,}", value):
                yield value


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_no_sentence_in_the_code_is_left_untranslated(path: Path) -> None:
    name = path.relative_to(ROOT / "milter/alignd").as_posix()
    text = path.read_text()
    if name in NOT_SAID:
        return
    for excused in (each.partition(":")[2] for each in NOT_SAID if each.startswith(f"{name}:")):
        text = re.sub(rf"^class {excused}\b.*?(?=^\S)", "", text, flags=re.MULTILINE | re.DOTALL)

    assert list(untranslated(text)) == []


def test_a_sentence_that_is_left_untranslated_is_found() -> None:
    assert list(untranslated('def f(texts):\n    yield "Enter it there."')) == ["Enter it there."]
    assert list(untranslated('def f(texts):\n    yield f"Enter {texts} it there."')) != []
    assert list(untranslated('def f(texts):\n    yield texts.text("Enter it there.")')) == []
