"""`alignd reasons`: says what each word of the log means, and how to fix what it names."""

from __future__ import annotations

import json
from collections.abc import Iterator
from difflib import get_close_matches
from typing import Any

import click
from click.shell_completion import CompletionItem

from alignd.cli.text import Line, Style, fold, show
from alignd.judgement.reasons import WORDS, Reason, Word, find


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
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object a line.")
def reasons(reason: Word | None, as_json: bool) -> None:
    """Explain the words of the log and the fix for each; with REASON, only this one.

    They are what stands behind action=, reason=, limit= and error= in the log; `alignd explain`
    and the field Alignd of a rewritten message use the same. An object of --json has word, key,
    meaning, fix, rule (null where none decided) and options.

    \b
    Examples:
      alignd reasons relay-not-authorised
      alignd reasons --json
    """
    words = [reason] if reason else list(WORDS)
    if as_json:
        for word in words:
            click.echo(json.dumps(_as_json(word)))
    else:
        show(line for word in words for line in _story(word))


def _story(word: Word) -> Iterator[Line]:
    text, rule = word.text, _rule(word)
    yield Line(f"{word.key}={word.value}", Style.HEADING)
    yield from fold(text.meaning, "  ", "  ")
    if rule:
        options = f" ({', '.join(text.options)})" if text.options else ""
        yield from fold(f"Rule: {rule}{options}", "  ", "    ")
    yield from fold(f"Fix: {text.fix}", "  ", "    ")


def _as_json(word: Word) -> dict[str, Any]:
    return {
        "word": word.value,
        "key": word.key,
        "meaning": word.text.meaning,
        "fix": word.text.fix,
        "rule": _rule(word),
        "options": list(word.text.options),
    }


def _rule(word: Word) -> str | None:
    return word.rule.value if isinstance(word, Reason) and word.rule else None
