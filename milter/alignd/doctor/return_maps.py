"""Checks how Postfix finds whose a return address is: its maps, their guard, and what they answer.

Postfix asks its maps for every recipient of the machine. A map that is behind a socket and has no
guard in front of it stops all mail when it stops: outgoing RCPTs are answered 451, or wait.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from alignd.config.endpoint import UnixEndpoint
from alignd.config.settings import Configuration, Settings
from alignd.doctor.facts import MapTrouble, ReturnLeg, TableLookup
from alignd.doctor.findings import (
    Finding,
    FindingId,
    Note,
    Remark,
    Severity,
    Unknown,
    error,
    warning,
)
from alignd.mail.domain import Domain
from alignd.mail.mailbox import Mailbox
from alignd.postfix.chain import is_same, outside_chroot
from alignd.postfix.config import PostfixConfig, Service
from alignd.postfix.tables import split_tables, split_words
from alignd.return_path.address import DAY, Kind, encode
from alignd.return_path.keyring import Keyring

_AUTHOR = Mailbox.from_address("agent@author.example")
"""An author of nobody's, of a name that no mail can come from (RFC 2606)."""
_STRANGER = "julia@client.example"
_MAPS = ("virtual_alias_maps", "recipient_canonical_maps", "canonical_maps")
"""The parameters that map recipients; return addresses are for the first of them."""
_SOCKETMAP = re.compile(r"(?:proxy:)?socketmap:unix:(?P<path>.+):[^:]+")
_COMPOSED = re.compile(r"(?:proxy:)?(?P<type>pipemap|unionmap):\{(?P<tables>.*)\}", re.DOTALL)
_GUARDS = frozenset({"regexp", "pcre"})
_ALIASES = "virtual_alias_domains"
_CLASSES = ("mydestination", "virtual_mailbox_domains", "relay_domains")
"""Where Postfix looks for other domains that it takes mail for."""
_WAITS = "mail to return addresses waits at its senders (451), and is lost after some days"


@dataclass(frozen=True, slots=True)
class _Use:
    """A table list that asks alignd's map."""

    parameter: str
    value: str
    services: tuple[Service, ...]
    """The smtpd and cleanup services that have it; none for all."""
    place: int
    """The index of the word with the map in it."""
    table: str
    """The map as it is written there."""
    guards: tuple[str, ...]
    """The tables in front of it in a pipemap; empty where it is asked for everything."""

    def __str__(self) -> str:
        of = f" of {', '.join(map(str, self.services))}" if self.services else ""
        return f"{self.parameter}{of}"


@dataclass(frozen=True, slots=True)
class _Maps:
    """What the checks look at."""

    postfix: PostfixConfig
    leg: ReturnLeg
    domains: Mapping[Domain, Settings]
    """Those of return addresses."""
    today: int
    """The day, counted from 1970-01-01."""

    def samples(self, domain: Domain) -> tuple[str, ...]:
        """Addresses of both kinds that hold; of that form alone where the keys are not there."""
        keyring = self.leg.keys[self.domains[domain].return_path.keys].keyring
        if isinstance(keyring, Keyring):
            now = self.today * DAY
            made = [encode(_AUTHOR, each, domain, keyring.signing, now) for each in _KINDS]
            return tuple(each.address for each in made if isinstance(each, Mailbox))
        return tuple(f"agent=author.example={tag}@{domain}" for tag in _TAGS)


_KINDS = (Kind.AUTHOR, Kind.BOUNCE)
_TAGS = ("aaa2aaa2aa", "aaa2aaa2aaaaa")


def examine_maps(
    configuration: Configuration,
    postfix: PostfixConfig,
    leg: ReturnLeg,
    listeners: tuple[Service, ...],
    today: int,
    reports: Mapping[Domain, Iterable[str]],
) -> Iterator[Remark]:
    """Examine the maps of *postfix*, which takes mail for return addresses at *listeners*.

    *reports* has the addresses that the DMARC record of each return domain sends reports to.
    """
    domains = {
        view.return_domain: view
        for view in reversed(configuration.all_settings)
        if view.return_path.keys
    }
    maps = _Maps(postfix, leg, domains, today)
    socket = configuration.return_path.socket.endpoint
    uses = tuple(_uses(postfix, socket))
    yield from _missing(maps, uses, listeners, socket)
    for use in uses:
        yield from _guard(maps, use)
    yield from _outside_chroots(postfix, uses, socket)
    main = next((use for use in uses if use.parameter == _MAPS[0]), None)
    if main is not None:
        yield from _answers(maps, main)
    for domain in domains:
        is_ours = _contains(postfix, _ALIASES, domain, leg.tables, main)
        yield from _class_of(postfix, leg.tables, domain, is_ours)
        if is_ours is True:
            yield from _shared(maps, configuration, domain, main, reports.get(domain, ()))
    if "=" in postfix.value("recipient_delimiter"):
        yield error(
            FindingId.RETURN_ADDRESS_CUT,
            f"recipient_delimiter is {postfix.value('recipient_delimiter')}, and return addresses "
            "have '=' in them",
            "Postfix cuts an address that is not good and delivers it to what is left of it, "
            "instead of refusing it",
            "postconf -e 'recipient_delimiter ='",
        )


def asks_map(postfix: PostfixConfig, socket: UnixEndpoint) -> bool:
    """Whether *postfix* asks the map of return addresses, which is at *socket*."""
    return any(_uses(postfix, socket))


def examine_kept(
    configuration: Configuration, postfix: PostfixConfig, tables: TableLookup
) -> Iterator[Remark]:
    """Check that *postfix*, which sends and is not that of the way back, sends bounces there."""
    for domain in {view.return_domain for view in configuration.all_settings}:
        for parameter in (_ALIASES, *_CLASSES):
            if _contains(postfix, parameter, domain, tables, None) is True:
                yield error(
                    FindingId.RETURN_DOMAIN_KEPT,
                    f"{domain} is in {parameter} of the Postfix that sends, and another one takes "
                    "mail for return addresses",
                    "it keeps bounces that it writes itself, and refuses them, instead of sending "
                    "them there",
                    f"remove {domain} from {parameter}",
                )


def _uses(postfix: PostfixConfig, socket: UnixEndpoint) -> Iterator[_Use]:
    asking = (*postfix.running("smtpd"), *postfix.running("cleanup"))
    for parameter in _MAPS:
        by_value: dict[str, list[Service]] = {}
        for service in asking:
            by_value.setdefault(postfix.value(parameter, service), []).append(service)
        for value, services in by_value.items():
            named = () if len(services) == len(asking) else tuple(services)
            for place, word in enumerate(split_words(value)):
                if found := _map_in(word, postfix, socket):
                    yield _Use(parameter, value, named, place, *found)


def _map_in(
    word: str, postfix: PostfixConfig, socket: UnixEndpoint
) -> tuple[str, tuple[str, ...]] | None:
    """Alignd's map in one word of a list of tables, and its guards."""
    several = _COMPOSED.fullmatch(word)
    tables = split_words(several["tables"]) if several else (word,)
    # A unionmap asks each of its tables, whatever the others say.
    is_pipe = several is not None and several["type"] == "pipemap"
    for place, table in enumerate(tables):
        match = _SOCKETMAP.fullmatch(table)
        if match and is_same(outside_chroot(UnixEndpoint(match["path"]), postfix, None), socket):
            guards = tables[:place] if is_pipe else ()
            return table, tuple(each.removeprefix("proxy:") for each in guards)
    return None


def _missing(
    maps: _Maps, uses: tuple[_Use, ...], listeners: tuple[Service, ...], socket: UnixEndpoint
) -> Iterator[Remark]:
    postfix = maps.postfix
    values = {use.value for use in uses if use.parameter == _MAPS[0]}
    cleanups = {service.name: service for service in postfix.running("cleanup")}
    for listener in listeners or (None,):
        name = postfix.value("cleanup_service_name", listener) or "cleanup"
        place = f"of {listener}" if listener else "of main.cf"
        own = (postfix.value(_MAPS[0], each) for each in (listener, cleanups.get(name)))
        if not all(value in values for value in own):
            yield error(
                FindingId.RETURN_MAP_MISSING,
                f"virtual_alias_maps {place} does not ask {socket}",
                "Postfix does not know whose a return address is, and refuses all mail to them",
                _right_line(maps, (), socket),
            )
        elif "no_address_mappings" in postfix.value("receive_override_options", listener):
            yield error(
                FindingId.RETURN_MAP_MISSING,
                f"receive_override_options {place} contains no_address_mappings",
                "Postfix takes mail to return addresses and does not map them to their authors",
                f"remove no_address_mappings from the options {place} in master.cf",
            )


def _guard(maps: _Maps, use: _Use) -> Iterator[Remark]:
    others = split_words(use.value)
    others = (*others[: use.place], *others[use.place + 1 :])
    fix = _right_line(maps, others, UnixEndpoint(use.table), use.parameter)
    if not use.guards or use.guards[0].partition(":")[0] not in _GUARDS:
        yield _unguarded(maps, f"{use} asks alignd for every recipient", fix)
        return
    samples = [sample for domain in maps.domains for sample in maps.samples(domain)]
    asked = (*samples, *(sample.upper() for sample in samples), _STRANGER)
    found: Mapping[str, str] = {key: key for key in asked}
    for guard in use.guards:
        passed = maps.leg.tables((guard,), tuple(found.values()))
        if isinstance(passed, Unknown):
            yield Unknown(f"what {guard} lets through to alignd: {passed.text}")
            return
        found = {key: passed[value] for key, value in found.items() if value in passed}
    if _STRANGER in found:
        guards = ", ".join(use.guards)
        yield _unguarded(maps, f"{guards} in {use} lets every recipient through", fix)
        return
    wrong = [key for key in asked if key != _STRANGER and found.get(key, "") != key]
    if wrong:
        yield error(
            FindingId.RETURN_GUARD_WRONG,
            f"{', '.join(use.guards)} in {use} makes {found.get(wrong[0], 'nothing')} of "
            f"{wrong[0]}",
            "return addresses do not reach alignd as they are, and Postfix refuses mail to them",
            "the lines have to be (with $1: Postfix skips a line with $0)\n"
            + "\n".join(map(_right_pattern, maps.domains)),
        )


def _unguarded(maps: _Maps, what: str, fix: str) -> Finding:
    apart = maps.leg.is_apart
    return Finding(
        FindingId.RETURN_MAP_UNGUARDED,
        Severity.WARNING if apart else Severity.ERROR,
        what,
        "while `alignd return` is down, this Postfix refuses "
        + ("mail to shared addresses, too" if apart else "the mail of the helpdesk, too")
        + " (451 at each RCPT), and while it hangs each waits a minute",
        fix,
    )


def _right_line(
    maps: _Maps,
    others: tuple[str, ...],
    socket: UnixEndpoint,
    parameter: str = _MAPS[0],
) -> str:
    """The line for main.cf, with *others* in front, and what the file that it names holds."""
    table = str(socket)
    if table.startswith("unix:/"):
        table = f"proxy:socketmap:{table}:return"
    table = table.removeprefix("unix:")
    first = ", ".join(others) or "hash:$config_directory/return-shared"
    patterns = "\n".join(map(_right_pattern, maps.domains))
    return (
        f"{parameter} = {first}, pipemap:{{ regexp:$config_directory/return-domains, {table} }}\n"
        f"and in return-domains, beside main.cf:\n{patterns}"
    )


def _right_pattern(domain: Domain) -> str:
    return rf"/^(.*@{re.escape(domain.name)})$/ $1".replace("\\-", "-")


def _outside_chroots(
    postfix: PostfixConfig, uses: tuple[_Use, ...], socket: UnixEndpoint
) -> Iterator[Remark]:
    for use in uses:
        match = _SOCKETMAP.fullmatch(use.table)
        is_proxied = use.table.startswith("proxy:")
        asking = (
            postfix.running("proxymap")
            if is_proxied
            else use.services or (*postfix.running("smtpd"), *postfix.running("cleanup"))
        )
        for service in asking if match else ():
            seen = outside_chroot(UnixEndpoint(match["path"]), postfix, service) if match else None
            if seen is not None and not is_same(seen, socket):
                yield error(
                    FindingId.RETURN_MAP_OUTSIDE_CHROOT,
                    f"{service} asks {use.table} in a chroot, and {socket} is outside",
                    f"it does not find the socket: {_WAITS}",
                    f'"n" in the fifth column of {service} in master.cf'
                    if is_proxied
                    else f"proxy:{use.table} in {use.parameter}: proxymap is outside the chroot",
                )


def _answers(maps: _Maps, use: _Use) -> Iterator[Remark]:
    """Ask the map as Postfix does: for an address that is good, and for a forged one."""
    for domain, view in maps.domains.items():
        keyring = maps.leg.keys[view.return_path.keys].keyring
        good = maps.samples(domain)[0]
        forged = good.replace("agent=", "other=")
        found = maps.leg.ask_map(use.table, (good, forged))
        if isinstance(found, Unknown):
            yield Unknown(f"whether the map of return addresses answers: {found.text}")
        elif isinstance(found, MapTrouble):
            yield error(
                FindingId.RETURN_MAP_FAILS,
                f"{use.table} does not answer for {domain}: {found.problem}",
                _WAITS,
                "systemctl status alignd-return, and journalctl -u alignd-return -n 50\n"
                "where it does not know a key yet: systemctl reload alignd-return",
            )
        elif isinstance(keyring, Keyring):
            to = view.return_path.mailbox or _AUTHOR
            answer = found.get(good, "that there is no such address")
            if answer.lower() != to.address.lower() or forged in found:
                odd = forged if answer.lower() == to.address.lower() else good
                yield error(
                    FindingId.RETURN_MAP_DIFFERS,
                    f"{use.table} answers {found.get(odd, 'that there is no such address')} for "
                    f"{odd}",
                    "it is not alignd that answers, or it has other keys or other options than "
                    "the files: answers of customers go astray, or are refused for good (550)",
                    "systemctl restart alignd-return, and look at the socket in "
                    "virtual_alias_maps",
                )


def _class_of(
    postfix: PostfixConfig, tables: TableLookup, domain: Domain, is_ours: bool | Unknown
) -> Iterator[Remark]:
    """What is wrong with how Postfix knows *domain*, which should be a virtual alias domain."""
    others = [each for each in _CLASSES if _contains(postfix, each, domain, tables, None) is True]
    if others:
        yield warning(
            FindingId.RETURN_DOMAIN_FOREIGN,
            f"{domain} is in {', '.join(others)}",
            "Postfix asks other tables than alignd's map whether an address exists: forged ones "
            "may be taken, and bounce",
            f"virtual_alias_domains = {domain}\nand remove it from {', '.join(others)}",
        )
    elif isinstance(is_ours, Unknown):
        yield is_ours
    elif not is_ours:
        yield error(
            FindingId.RETURN_DOMAIN_FOREIGN,
            f"{domain} is in none of {_ALIASES}, {', '.join(_CLASSES)}",
            "Postfix refuses mail to return addresses from outside (relay access denied)",
            f"virtual_alias_domains = {domain}",
        )


def _contains(
    postfix: PostfixConfig, parameter: str, domain: Domain, tables: TableLookup, use: _Use | None
) -> bool | Unknown:
    own = split_words(use.value)[use.place] if use else ""
    words = [word for word in split_words(postfix.value(parameter)) if word != own]
    if domain.name in {word.lower() for word in words}:
        return True
    maps = tuple(word for word in words if ":" in word and not word.startswith("["))
    found = tables(split_tables(" ".join(maps)), (domain.name,)) if maps else {}
    if isinstance(found, Unknown):
        return Unknown(f"whether {domain} is in {parameter}: {found.text}")
    return domain.name in found


def _shared(
    maps: _Maps,
    configuration: Configuration,
    domain: Domain,
    use: _Use | None,
    reports: Iterable[str],
) -> Iterator[Remark]:
    """Check that the addresses of *domain* that are no return addresses lead somewhere."""
    needed = {
        mailbox.address
        for view in configuration.all_settings
        for mailbox in (view.notifications.address, view.notifications.bounces)
        if mailbox.domain == domain
    }
    usual = {f"postmaster@{domain}", f"abuse@{domain}", *reports} - needed
    every = split_words(use.value if use else maps.postfix.value(_MAPS[0]))
    place = use.place if use else len(every)
    catch_all = f"@{domain}"
    keys = (*sorted(needed), *sorted(usual), catch_all)
    before, behind = (
        maps.leg.tables(split_tables(" ".join(words)), keys) if words else {}
        for words in (every[:place], every[place + 1 :])
    )
    for found in (before, behind):
        if isinstance(found, Unknown):
            yield Unknown(f"whether {', '.join(sorted(needed))} is delivered: {found.text}")
            return
    assert not isinstance(before, Unknown)
    assert not isinstance(behind, Unknown)
    if catch_all in {**before, **behind}:
        yield Note(f"virtual_alias_maps takes every address in {domain} that is in no table")
        return
    for address in keys[:-1]:
        if address in before:
            continue
        if address in behind:
            yield warning(
                FindingId.RETURN_SHARED_BEHIND_MAP,
                f"virtual_alias_maps has {address} in a table behind alignd's map",
                "while `alignd return` is down, mail to it waits as well (451)",
                "put its table in front of alignd's map",
            )
            continue
        yield Finding(
            FindingId.RETURN_SHARED_REFUSED,
            Severity.ERROR if address in needed else Severity.WARNING,
            f"virtual_alias_maps has nothing for {address}",
            "Postfix refuses mail to it as unknown (550)"
            + ("" if address in needed else ": RFC 5321, 4.5.1, and RFC 2142 ask for it"),
            f"{address} root   (or who reads it) in a table in front of alignd's map, such as "
            "hash:$config_directory/return-shared; then postmap that file",
        )
