"""Writes alignd.conf(5): conf/alignd.conf as a manual page, option by option."""

import re
from collections.abc import Iterator
from pathlib import Path

from tools.man.mdoc import literal, page, prose, tagged, word

_TABLE = re.compile(r"^\[(\w+)\]\n", re.MULTILINE)
_OPTION = re.compile(r"^#?(?P<name>[a-z_]+) = (?P<value>.*)$", re.MULTILINE)
_STATED = re.compile(r"^(?P<what>Example|Default): ?(?P<value>.*)$")
_LISTED = re.compile(r"^  (?P<value>\S+) {2,}(?P<text>.*)$")
_DESCRIPTION = """\
The configuration of alignd is a file in TOML. `alignd check-config` shows every problem of it at
once, with its line: unknown options are errors. HUP makes `alignd serve` take a changed file for
the next messages. A duration is written as `500ms`, `2s`, `5m`, `1h` or `3d`."""
_TENANT = "#\n#[[tenant]]\n"


def configuration_page(path: Path, *, date: str, release: str) -> str:
    """The manual page of the options that the shipped configuration at *path* describes."""
    general, _, tenant = path.read_text().partition(_TENANT)
    _, *tables = _TABLE.split(general)
    *options, last = tables
    last_option, _, about_tenant = last.rstrip().rpartition("\n\n")
    tables = [*options, last_option]
    lines = page("alignd.conf", 5, "configuration of alignd", date=date, release=release)
    lines += [".Sh DESCRIPTION", *prose(_DESCRIPTION)]
    lines += [".Sh OPTIONS"]
    for table, body in zip(tables[::2], tables[1::2], strict=True):
        lines += [f".Ss {word(f'The table [{table}]')}", *tagged(_options(body))]
    lines += [f".Ss {word('The tables [[tenant]]')}", *prose(_uncommented(about_tenant))]
    lines += literal(["[[tenant]]", *_uncommented(tenant).rstrip().split("\n")])
    lines += [".Sh FILES", *[".Pa /etc/alignd/alignd.conf"]]
    lines += [".Sh SEE ALSO", ".Xr alignd-reasons 7 ,", ".Xr alignd 8"]
    return "\n".join(lines) + "\n"


def _options(body: str) -> Iterator[tuple[str, list[str]]]:
    for block in body.strip().split("\n\n"):
        option = _OPTION.search(block)
        if option is None:
            raise ValueError(f"no option below this comment:\n{block}")
        comment = _uncommented(block[: option.start()])
        yield f"Cm {option['name']}", list(_described(comment.rstrip().split("\n"), option[0]))


def _described(comment: list[str], option: str) -> Iterator[str]:
    """What a comment says of an option, and its default, which the line of the option shows."""
    listed = [match for line in comment if (match := _LISTED.match(line))]
    stated = [match for line in comment if (match := _STATED.match(line))]
    told = [line for line in comment if not _LISTED.match(line) and not _STATED.match(line)]
    yield from prose(" ".join(told))
    yield from tagged((f"Li {word(match['value'])}", prose(match["text"])) for match in listed)
    for match in stated:
        yield ".Pp"
        if match["what"] == "Default" and not match["value"]:
            yield from ("Default:", *literal([option.removeprefix("#")]))
        elif match["what"] == "Example":
            yield from ("Example:", *literal([match["value"]]))
        else:
            yield from prose(match[0])


def _uncommented(text: str) -> str:
    return re.sub(r"^# ?", "", text, flags=re.MULTILINE).strip("\n")
