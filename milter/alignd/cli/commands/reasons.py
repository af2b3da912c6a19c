"""`alignd reasons`: explain the words of the log and the fix for each."""

from __future__ import annotations

from collections.abc import Iterator
from difflib import get_close_matches
from typing import Any

import click
from click.shell_completion import CompletionItem

from alignd.cli.render.evidence import rule_and_fix
from alignd.cli.render.json import json_line, word_json
from alignd.cli.text import HEADING, Line, Span, fold, print_lines
from alignd.judgement.reasons import Word
from alignd.judgement.words import WORDS, find


class _WordType(click.ParamType[Word]):
    """A word of the log."""

    name = "reason"

    def convert(self, value: Any, param: Any, ctx: Any) -> Word:
        word = find(value)
        if word is None:
            close = get_close_matches(value, [word.value for word in WORDS], n=1)
            hint = f"; did you mean {close[0]!r}?" if close else ""
            self.fail(f"no such reason: {value!r}{hint}", param, ctx)
        return word

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        del ctx, param
        words = [word.value for word in WORDS]
        return [CompletionItem(word) for word in words if word.startswith(incomplete)]


@click.command()
@click.argument("reason", required=False, type=_WordType())
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object on each line.")
def reasons(reason: Word | None, as_json: bool) -> None:
    """Explain the words of the log and the fix for each; with REASON, only this one.

    The words are the values of action=, reason=, limit= and error= in the log; `alignd explain`
    and the field Alignd of a rewritten message use them too. An object of --json has word, key,
    meaning, fix, rule (null if no rule decided) and options.

    \b
    Examples:
      alignd reasons relay-not-authorised
      alignd reasons --json
    """
    words = [reason] if reason else list(WORDS)
    if as_json:
        for word in words:
            click.echo(json_line(word_json(word)))
    else:
        print_lines(line for word in words for line in _lines(word))


def _lines(word: Word) -> Iterator[Line]:
    yield Line.of(Span(f"{word.key}={word.value}", HEADING))
    yield from fold(word.text.meaning, "  ", "  ")
    yield from rule_and_fix(word)
