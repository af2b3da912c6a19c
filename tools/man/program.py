"""Writes alignd(8): the commands and options, as the program itself has them."""

from collections.abc import Iterator
from inspect import cleandoc

import click

from tools.man.mdoc import escaped, literal, page, prose, tagged, word

_DESCRIPTION = """\
alignd is a milter for Postfix. It predicts what the DMARC checks of receivers will say of a
message of a helpdesk that this relay sends. What will pass, it leaves alone, byte for byte; what
will not, it sends from the notifications domain, with Reply-To set to the author."""
_LOG = """\
`alignd serve` writes one line a message to standard error, behind the queue id, and lines about
itself. The words of a message's line:"""
_LOG_FIELDS = {
    "action , reason": "What was decided, and why. See alignd-reasons(7), also of the next.",
    "limit , error": "What was not kept whole, and what failed.",
    "domain": "The author domain.",
    "tenant": "The name of the tenant whose options hold for the message, as the ledger has it; "
    "none where it is the general ones.",
    "policy": "The stricter of the DMARC policies that RFC 7489 and RFC 9989 find.",
    "spf": "The result of SPF for each relay address.",
    "dkim": "The result of each DKIM signature, or `none`.",
    "address": "What From of a rewritten message is, where `return.keys` is set: the author's "
    "`return` address, or the `shared` one.",
    "dry_run": "`yes` when nothing changed because of `rules.dry_run`: the line says what would "
    "have been.",
    "sender , author , recipients": 'Their addresses, with `log.level = "debug"` only.',
    "ms": "How long it took, in milliseconds.",
}
_SIGNALS = {
    "TERM , INT": "`alignd serve` lets open sessions end, for at most 45 s, and ends.",
    "HUP": "`alignd serve` reads the configuration again and takes it for the next messages. "
    "A bad one changes nothing, and is named in the log.",
}
_ENVIRONMENT = {
    "NO_COLOR": "When it is set and not empty, nothing is in colour. On what is no terminal "
    "nothing ever is.",
    "STATE_DIRECTORY": "Where answers of DNS are kept when `dns.archive` names no file; systemd "
    "sets it.",
    "NOTIFY_SOCKET , WATCHDOG_USEC": "Where and how often `alignd serve` tells systemd that it "
    "lives.",
    "_ALIGND_COMPLETE": "Completion in a shell, see COMPLETION.",
}
_FILES = {
    "/etc/alignd/alignd.conf": "The configuration, see alignd.conf(5).",
    "/var/lib/alignd/dns.sqlite": "The answers of DNS that are kept for an outage.",
    "/var/lib/alignd/feedback.json": "The place in the log, and what waits for the ledger, of "
    "alignd-feedback.service.",
    "/var/lib/alignd-web/revoked": "The links that `alignd share revoke` has ended.",
    "/var/lib/alignd-doctor/report.json": "What `alignd doctor` said last, for the page.",
    "/etc/resolv.conf": "The nameservers, when `dns.nameservers` names none.",
}
_STATUSES = {
    "0": "Done. Of commands that judge many: nothing would be rewritten.",
    "1": "Of commands that judge many: some would be rewritten. Of `alignd address`: one does not "
    "hold. Of `alignd digest`: it was not sent.",
    "2": "Could not say: something that was asked for could not be read or judged.",
    "64": "The command line is wrong (EX_USAGE).",
    "69": "`alignd serve` cannot use its socket or nameservers (EX_UNAVAILABLE).",
    "70": "A bug, which standard error describes (EX_SOFTWARE).",
    "74": "Standard output cannot be written (EX_IOERR).",
    "78": "`alignd serve` or `alignd check-config` found the configuration wrong (EX_CONFIG). "
    "The other commands end with 2 then.",
}
_COMPLETION = """\
Names of commands, options, files and reasons are completed after this line in `.bashrc`; zsh and
fish have `zsh_source` and `fish_source`."""
_STANDARDS = ("6376", "7208", "7489", "8601", "9989")


def program_page(program: click.Group, *, date: str, release: str) -> str:
    """The manual page of the commands of *program*."""
    purpose = "keep helpdesk mail out of the DMARC trap"
    lines = page("alignd", 8, purpose, date=date, release=release)
    with _context(program, None) as context:
        lines += [".Sh SYNOPSIS", *_synopsis(program, context)]
        lines += [".Sh DESCRIPTION", *prose(_DESCRIPTION), *tagged(_options(program, None))]
        lines += [".Sh COMMANDS"]
        for name, command in _commands(program):
            lines += [f".Ss {word(f'alignd {name}')}", *_help(command.help or "")]
            lines += tagged(_options(command, context))
    lines += [".Sh LOG", *prose(_LOG), *_table("Li", _LOG_FIELDS)]
    lines += [".Sh COMPLETION", *prose(_COMPLETION)]
    lines += literal(['eval "$(_ALIGND_COMPLETE=bash_source alignd)"'])
    lines += [".Sh SIGNALS", *_table("Dv", _SIGNALS), ".Sh ENVIRONMENT"]
    lines += [*_table("Ev", _ENVIRONMENT), ".Sh FILES", *_table("Pa", _FILES)]
    lines += [".Sh EXIT STATUS", *_table("Li", _STATUSES)]
    lines += [".Sh SEE ALSO", ".Xr postfix 1 ,", ".Xr alignd.conf 5 ,", ".Xr alignd-reasons 7"]
    standards = (line for rfc in _STANDARDS for line in (".Rs", f".%R RFC {rfc}", ".Re"))
    return "\n".join([*lines, ".Sh STANDARDS", *standards]) + "\n"


def _table(macro: str, entries: dict[str, str]) -> list[str]:
    return tagged((f"{macro} {name}", prose(text)) for name, text in entries.items())


def _synopsis(program: click.Group, parent: click.Context) -> Iterator[str]:
    for name, command in _commands(program):
        yield f".Nm alignd {name}"
        for piece in command.collect_usage_pieces(_context(command, parent)):
            yield ".Op Ar option ..." if piece == "[OPTIONS]" else f".Ar {escaped(piece)}"


def _commands(group: click.Group) -> Iterator[tuple[str, click.Command]]:
    """All commands of *group*, each by its name, before those that it has itself."""
    for name, command in group.commands.items():
        yield name, command
        if isinstance(command, click.Group):
            yield from ((f"{name} {below}", each) for below, each in _commands(command))


def _context(command: click.Command, parent: click.Context | None) -> click.Context:
    own = command.context_settings
    return click.Context(command, info_name=command.name, parent=parent, **own)


def _help(text: str) -> Iterator[str]:
    """The help of a command: paragraphs, of which those that begin with \\b stand as they are."""
    for number, paragraph in enumerate(cleandoc(text).split("\n\n")):
        if number:
            yield ".Pp"
        if paragraph.startswith("\b"):
            title, *lines = paragraph.removeprefix("\b").strip("\n").split("\n")
            yield from (*prose(title), *literal(line.strip() for line in lines))
        else:
            yield from prose(paragraph)


def _options(
    command: click.Command, parent: click.Context | None
) -> Iterator[tuple[str, list[str]]]:
    context = _context(command, parent)
    for option in command.get_params(context):
        if not isinstance(option, click.Option):
            continue
        names = " , ".join(f"Fl {escaped(name[1:])}" for name in option.opts)
        value = "" if option.is_flag or option.count else f" Ar {option.make_metavar(context)}"
        told = [option.help or ""]
        if option.required:
            told.append("It has to be given.")
        if option.show_default and option.default is not None:
            told.append(f"The default is `{option.default}`.")
        yield f"{names}{value}", prose(" ".join(told))
