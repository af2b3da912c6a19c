"""`alignd share`: make and revoke links for the admins of author domains."""

from __future__ import annotations

import os
import secrets
import sys
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

import click

from alignd.cli.options import CONFIG, EXIT_INCOMPLETE, InputError, load_or_exit, print_problems
from alignd.config.domain_lists import FreemailDomains
from alignd.config.settings import LANGUAGES, Configuration, LanguageCode, WebOptions
from alignd.mail.domain import Domain, DomainError
from alignd.return_path.key_file import KeyFileError, load_keyring
from alignd.return_path.keyring import Keyring
from alignd.web.revocation import RevocationError, path_of, read_revoked
from alignd.web.revocation import revoke as revoke_id
from alignd.web.sharing import (
    DAY,
    DEFAULT_DAYS,
    MAX_DAYS,
    RANDOM_OCTETS,
    Bad,
    ShareLink,
    Unshareable,
    expiry_of,
    is_id,
    new_id,
    read_token,
    token_of,
    unshareable,
    url_of,
)

_STATE_DIRECTORY = "/var/lib/alignd-web"
"""What systemd makes for the unit that alignd comes with."""
_SHOWN_TENANTS = 5
_REFUSED = {
    Unshareable.MAILBOX_PROVIDER: "a mailbox provider: its admin is nobody's customer",
    Unshareable.NO_DOMAIN: "not a domain that mail comes from",
}
_NOT_OURS = {
    Bad.MALFORMED: "neither an id nor a link; an id has 16 letters and digits",
    Bad.FORGED: "no link of ours, or not as it was made: a letter is wrong",
    Bad.UNKNOWN_KEY: "signed by no key in web.share_keys: it opens nothing",
}


@click.group()
def share() -> None:
    """Make and revoke links for the admins of author domains.

    A link opens the page of one domain, with the numbers of one tenant, and nothing else, for
    whoever has it, until it ends or is revoked. Links are signed by a key in web.share_keys, and
    are stored nowhere. Each command takes --config.

    \b
    Examples:
      alignd share new mycompany.com --tenant mycompany --language da
      alignd share revoke aafzak5m2qgx7tne
    """


@share.command()
@click.argument("domain", metavar="DOMAIN")
@click.option("--tenant", default="", help="Whose numbers it shows, by its name; else none's.")
@click.option(
    "--days",
    type=click.IntRange(1, MAX_DAYS),
    default=DEFAULT_DAYS,
    show_default=True,
    help="For how many days it is good; it ends at midnight (UTC).",
)
@click.option(
    "--language",
    type=click.Choice(LANGUAGES),
    help="The language of its page, if not web.language.",
)
@CONFIG
def new(domain: str, tenant: str, days: int, language: LanguageCode | None, config: Path) -> None:
    """Make a link to the page of a domain.

    Prints the link on standard output, and on standard error its id and when it ends. There is
    none for the domains of mailbox providers. Exit status 2 if there is none.

    \b
    Example:
      alignd share new mycompany.com --days 7
    """
    configuration, _ = load_or_exit(config, EXIT_INCOMPLETE)
    web = configuration.web
    if web.share_url is None:
        raise InputError(f"{config}: there are no links: set web.share_url and web.share_keys")
    keyring = _keyring(web, config)
    _require_tenant(tenant, configuration)
    if language is not None and language not in web.languages:
        raise InputError(f"--language: {language!r} is none of web.languages")
    link_id = new_id(days, time.time(), secrets.token_bytes(RANDOM_OCTETS))
    link = ShareLink(_domain(domain), tenant, language or web.language, link_id)
    click.echo(f"id {link.id}, good until {_date(link.expires)}", err=True)
    click.echo(url_of(token_of(link, keyring.signing), web.share_url))


@share.command()
@click.argument("link", metavar="ID")
@CONFIG
def revoke(link: str, config: Path) -> None:
    """End a link before its time.

    ID is what `alignd share new` has told, or the link itself. The page knows at once. To revoke
    all links that a key has signed, give the key the state retired in web.share_keys. Exit status
    2 if it is not done.

    \b
    Example:
      alignd share revoke aafzak5m2qgx7tne
    """
    configuration, _ = load_or_exit(config, EXIT_INCOMPLETE)
    now = time.time()
    link_id = link if is_id(link) else _id_in(link, configuration.web, config, now)
    expires = expiry_of(link_id)
    if not now < expires <= now + (MAX_DAYS + 1) * DAY:
        what = "ended" if expires <= now else "would end"
        raise InputError(f"{link_id}: nothing to revoke: such a link {what} on {_date(expires)}")
    path = _revoked(configuration.web)
    try:
        revoke_id(path, link_id, now)
    except RevocationError as error:
        raise InputError(str(error)) from error
    click.echo(f"{link_id} is revoked; it would have been good until {_date(expires)}.")


@share.command("list")
@CONFIG
def list_(config: Path) -> None:
    """List the links that are revoked.

    Each with the day on which it would have ended and is forgotten. Links that are good are
    stored nowhere, and cannot be listed.

    \b
    Example:
      alignd share list
    """
    configuration, _ = load_or_exit(config, EXIT_INCOMPLETE)
    now = time.time()
    try:
        ids = read_revoked(_revoked(configuration.web))
    except RevocationError as error:
        raise InputError(str(error)) from error
    for each in sorted(each for each in ids if expiry_of(each) > now):
        click.echo(f"{each} revoked, would be good until {_date(expiry_of(each))}")


def _keyring(web: WebOptions, config: Path) -> Keyring:
    if not web.share_keys:
        raise InputError(f"{config}: there are no links: set web.share_keys")
    try:
        return load_keyring(web.share_keys)
    except KeyFileError as error:
        print_problems(error)
        sys.exit(EXIT_INCOMPLETE)


def _domain(text: str) -> Domain:
    try:
        domain = Domain.parse(text)
    except DomainError as error:
        raise InputError(str(error)) from error
    refused = unshareable(domain, FreemailDomains())
    if refused:
        raise InputError(f"{domain}: {_REFUSED[refused]}")
    return domain


def _require_tenant(tenant: str, configuration: Configuration) -> None:
    known = configuration.labelled_settings()
    if tenant in known:
        return
    names = sorted(filter(None, known))
    some = ", ".join(names[:_SHOWN_TENANTS]) or "none"
    more = f" and {len(names) - _SHOWN_TENANTS} more" if len(names) > _SHOWN_TENANTS else ""
    raise InputError(f"--tenant: no tenant has the name {tenant!r}; there are {some}{more}")


def _id_in(link: str, web: WebOptions, config: Path, now: float) -> str:
    """The id of a link that is written as it was sent."""
    token = link.rstrip("/").rpartition("/")[2]
    read = read_token(token, _keyring(web, config), (), (), now)
    if isinstance(read, ShareLink):
        return read.id
    raise InputError(_NOT_OURS.get(read, f"nothing to revoke: the link is {read.value}"))


def _revoked(web: WebOptions) -> Path:
    environment: Mapping[str, str] = {"STATE_DIRECTORY": _STATE_DIRECTORY, **os.environ}
    path = path_of(web, environment)
    assert path is not None, "a state directory is named above"
    return path


def _date(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M UTC")
