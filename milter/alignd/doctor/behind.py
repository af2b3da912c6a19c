"""Checks what Postfix changes behind alignd: addresses, header fields, lines, whole edits.

alignd sees what cleanup(8) does before it calls milters, such as header_checks; docs/operation.md
has a table of what was measured.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from alignd.config.settings import Configuration, Settings
from alignd.doctor.facts import TableLookup
from alignd.doctor.findings import (
    Finding,
    FindingId,
    Note,
    Remark,
    Severity,
    Topic,
    TopicReport,
    Unknown,
    error,
    topic_report,
    warning,
)
from alignd.mail.line_length import MAX_LINE
from alignd.mailauth.ternary import Ternary
from alignd.postfix.chain import Chain
from alignd.postfix.config import PostfixConfig, Service, version_number
from alignd.postfix.tables import (
    is_asked_for_parts,
    mapped,
    masqueraded,
    split_tables,
    split_words,
)

_AUTHOR = "agent@author.example"
"""An author of nobody's, of a name that no table can have on purpose (RFC 2606)."""
_SRS = re.compile(r"srs", re.IGNORECASE)
_ENVELOPE = "envelope_sender"
_CANONICAL = {
    "sender_canonical_maps": "sender_canonical_classes",
    "canonical_maps": "canonical_classes",
}
"""The parameters that map envelope senders, in Postfix's order, with what says whether they do."""
_FORCED_SINCE = (3, 9)
"""The first version of Postfix with force_mime_input_conversion."""
_CHANGES = frozenset({"IGNORE", "REPLACE", "STRIP"})
_STOPS = frozenset({"DISCARD", "FILTER", "HOLD", "REDIRECT", "REJECT"})
_LINES = (
    "From: {ours}",
    "Reply-To: Marky Mark <marky@author.example>",
    "X-Original-From: Marky Mark <marky@author.example>",
    "To: Julia <julia@client.example>",
    "Cc: Julia <julia@client.example>",
    "Subject: Re: your ticket",
    "Date: Fri, 27 Nov 2026 10:00:00 +0100",
    "Message-ID: <redmine.journal-1.20261127100000@author.example>",
    "MIME-Version: 1.0",
    "Content-Type: text/plain; charset=UTF-8",
    "Content-Transfer-Encoding: 8bit",
    "DKIM-Signature: v=1; a=rsa-sha256; d=author.example; s=1; h=from; bh=MQ==; b=MQ==",
)
"""Fields that alignd writes, or that signers sign, as they are shown to header checks."""
_OF_BODY = ("smtp_body_checks", "smtp_mime_header_checks", "smtp_nested_header_checks")


@dataclass(frozen=True, slots=True)
class _Cleanup:
    """A cleanup service that takes mail after alignd."""

    service: Service | None
    """None where master.cf lacks it."""
    mapped: tuple[Service, ...]
    """What feeds it and has addresses mapped: postconf(5), receive_override_options."""

    def __str__(self) -> str:
        return str(self.service or "cleanup")


@dataclass(frozen=True, slots=True)
class _AddressMap:
    """A parameter that maps addresses by tables."""

    finding: FindingId
    where: str
    """The parameter, and the service that has it."""
    value: str
    ours: tuple[str, ...]
    """The addresses of rewritten mail that it sees."""
    fix: str


@dataclass(frozen=True, slots=True)
class _Behind:
    """What the checks look at."""

    postfix: PostfixConfig
    tables: TableLookup
    bounces: tuple[str, ...]
    """The envelope senders of rewritten mail."""
    authors: tuple[str, ...]
    """From of rewritten mail."""
    is_signed: bool
    """Whether mail may pass DMARC by a signature."""
    passes: Callable[[str, str], bool]
    """Whether rewritten mail passes by SPF alone if its envelope sender changes so."""


def examine_behind(
    configuration: Configuration,
    chain: Chain,
    senders: tuple[Service, ...],
    tables: TableLookup,
    predict_from: Callable[[Settings, str], Ternary],
) -> TopicReport:
    """Examine what happens to mail between alignd and the wire; *senders* are smtp services.

    *predict_from* says whether rewritten mail of some settings passes DMARC by SPF alone with an
    envelope sender.
    """
    views = configuration.all_settings
    dkim = configuration.dkim
    by_bounces: dict[str, list[Settings]] = {}
    for view in views:
        by_bounces.setdefault(view.notifications.bounces.address, []).append(view)

    def passes(before: str, after: str) -> bool:
        return all(predict_from(view, after) is Ternary.YES for view in by_bounces[before])

    behind = _Behind(
        postfix=chain.postfix,
        tables=tables,
        bounces=tuple(by_bounces),
        authors=tuple(dict.fromkeys(view.notifications.address.address for view in views)),
        is_signed=bool(dkim.signs or dkim.opendkim or dkim.verify or dkim.trusted_authserv_ids),
        passes=passes,
    )
    cleanups = _cleanups(chain)
    remarks = [
        *_filters(chain),
        *(remark for each in cleanups for remark in _envelope(behind, each)),
        *(remark for each in cleanups for remark in _checks_of_edits(behind, each)),
        *_sending(behind, senders),
    ]
    return topic_report(Topic.BEHIND, remarks)


def _cleanups(chain: Chain) -> tuple[_Cleanup, ...]:
    postfix = chain.postfix
    sources = [smtpd.service for smtpd in chain.with_alignd]
    if chain.is_milter_of_sendmail:
        sources += postfix.running("pickup")
    by_name: dict[str, list[Service]] = {}
    for source in sources:
        feeding = by_name.setdefault(postfix.value("cleanup_service_name", source), [])
        if "no_address_mappings" not in postfix.value("receive_override_options", source):
            feeding.append(source)
    services = {service.name: service for service in postfix.running("cleanup")}
    return tuple(_Cleanup(services.get(name), tuple(each)) for name, each in by_name.items())


def _filters(chain: Chain) -> Iterator[Remark]:
    for smtpd in chain.with_alignd:
        service = smtpd.service
        if proxy := chain.postfix.value("smtpd_proxy_filter", service):
            yield error(
                FindingId.EDITS_DISCARDED,
                f"smtpd_proxy_filter of {service} is {proxy}",
                "Postfix hands the message on as it came, and drops what milters change: nothing "
                "is rewritten",
                f"remove smtpd_proxy_filter from {service}, or move alignd to the listener behind "
                "the proxy",
            )
        if onward := chain.postfix.value("content_filter", service):
            yield Note(
                f"content_filter of {service} hands mail to {onward} behind alignd: whatever it "
                "changes in From or in what is signed makes mail fail that alignd left alone"
            )


def _envelope(behind: _Behind, cleanup: _Cleanup) -> Iterator[Remark]:
    """What it makes of the envelope sender, that of alignd included, after the milters."""
    if not cleanup.mapped:
        return
    postfix, service = behind.postfix, cleanup.service
    listeners = " and ".join(map(str, cleanup.mapped))
    for parameter, classes in _CANONICAL.items():
        value = postfix.value(parameter, service)
        if value and _ENVELOPE in split_words(postfix.value(classes, service)):
            fix = (
                f"in master.cf:\n-o cleanup_service_name=unmapped for {listeners}\n"
                f"unmapped unix n - - - 0 cleanup -o {parameter}="
            )
            where = f"{parameter} of {cleanup}"
            seen = _AddressMap(FindingId.SENDER_REWRITTEN, where, value, behind.bounces, fix)
            yield from _by_table(behind, seen)
    domains = split_words(postfix.value("masquerade_domains", service))
    if domains and _ENVELOPE in split_words(postfix.value("masquerade_classes", service)):
        yield from _masquerade(behind, cleanup, domains)


def _masquerade(behind: _Behind, cleanup: _Cleanup, domains: tuple[str, ...]) -> Iterator[Remark]:
    exceptions = split_words(behind.postfix.value("masquerade_exceptions", cleanup.service))
    changed = {each: masqueraded(each, domains, exceptions) for each in behind.bounces}
    told = _told(behind, FindingId.SENDER_REWRITTEN, changed)
    where = f"masquerade_domains of {cleanup}"
    if told:
        yield _rewritten(
            FindingId.SENDER_REWRITTEN,
            where,
            told,
            "postconf -e 'masquerade_classes = header_sender, header_recipient'",
        )
    else:
        yield Note(
            f"{where} strips envelope senders below {', '.join(domains)} behind alignd, which "
            "evaluates SPF for the longer name"
        )


def _by_table(behind: _Behind, found: _AddressMap) -> Iterator[Remark]:
    """What the tables make of our addresses, and of an author that nobody knows."""
    changed: dict[str, str] = {}
    for address in (*found.ours, _AUTHOR):
        answer = _answer(behind, split_tables(found.value), address)
        if isinstance(answer, Unknown):
            yield _unanswered(found, answer)
            return
        changed[address] = answer
    if told := _told(behind, found.finding, changed):
        yield _rewritten(found.finding, found.where, told, found.fix)
    else:
        yield Note(
            f"{found.where} may change addresses behind alignd; rewritten mail, from "
            f"{' and '.join(found.ours)}, passes with it; mail of authors must, too"
        )


def _unanswered(found: _AddressMap, answer: Unknown) -> Finding | Unknown:
    if not _SRS.search(found.value):
        return Unknown(
            f"whether {found.where} changes addresses behind alignd ({found.value}): {answer.text}"
        )
    return error(
        found.finding,
        f"{found.where} is {found.value}, which by its name rewrites senders (SRS) behind all "
        f"milters; asked for an address: {answer.text}",
        "the domain of SRS does not align with From: mail fails that alignd left alone because "
        "SPF passes, and so does rewritten mail, unless a signature aligns",
        found.fix,
    )


def _answer(behind: _Behind, tables: tuple[str, ...], address: str) -> str | Unknown:
    """What *tables* make of *address*, which Postfix looks up in several forms, canonical(5)."""
    whole = address.lower()  # Postfix folds the case of keys
    local_part, _, domain = whole.rpartition("@")
    # What stands behind the delimiter is an extension.
    delimiters = behind.postfix.value("recipient_delimiter")
    plain = re.split(f"[{re.escape(delimiters)}]", local_part)[0] if delimiters else local_part
    keys = [whole, f"{plain}@{domain}"]
    local = split_words(
        f"{behind.postfix.value('mydestination')} {behind.postfix.value('myorigin')}"
    )
    keys += [local_part, plain] if domain in local else []
    of_parts = tuple(filter(is_asked_for_parts, tables))
    for key in dict.fromkeys((*keys, f"@{domain}")):
        asked = tables if key == whole else of_parts
        found = behind.tables(asked, (key,)) if asked else {}
        if isinstance(found, Unknown):
            return found
        if key in found:
            return mapped(address, found[key], behind.postfix.value("myorigin"))
    return address


def _told(behind: _Behind, identifier: FindingId, changed: dict[str, str]) -> str:
    """The changes that make mail fail, in words; SPF and DMARC look at no local part."""

    def is_harmless(before: str, after: str) -> bool:
        if after.rpartition("@")[2].lower() == before.rpartition("@")[2].lower():
            return True
        is_bounces = identifier is FindingId.SENDER_REWRITTEN and before in behind.bounces
        return is_bounces and behind.passes(before, after)

    return ", ".join(
        f"{before} into {after}"
        for before, after in changed.items()
        if not is_harmless(before, after)
    )


def _rewritten(identifier: FindingId, where: str, told: str, fix: str) -> Finding:
    return error(
        identifier,
        f"{where} turns {told}, behind all milters",
        "receivers judge addresses that alignd never sees: mail that it left alone because SPF "
        "passes, or rewritten mail, fails unless a signature aligns",
        fix,
    )


def _checks_of_edits(behind: _Behind, cleanup: _Cleanup) -> Iterator[Remark]:
    """What it makes of fields that milters add or change."""
    where, actions = str(cleanup), _CHANGES | _STOPS
    yield from _header_checks(behind, "milter_header_checks", where, cleanup.service, actions)


def _sending(behind: _Behind, senders: tuple[Service, ...]) -> Iterator[Remark]:
    """What smtp(8) does to mail that it sends."""
    for value, service in _by_value(behind.postfix, senders, "smtp_generic_maps"):
        where = f"smtp_generic_maps of {service}"
        ours = tuple(dict.fromkeys((*behind.bounces, *behind.authors)))
        fix = f"leave these addresses out of {value}\nor -o smtp_generic_maps= for {service}"
        seen = _AddressMap(FindingId.ADDRESSES_REWRITTEN, where, value, ours, fix)
        yield from _by_table(behind, seen)
    for _, service in _by_value(behind.postfix, senders, "smtp_header_checks"):
        yield from _header_checks(behind, "smtp_header_checks", str(service), service, _CHANGES)
    for parameter in _OF_BODY:
        for value, service in _by_value(behind.postfix, senders, parameter):
            yield from _body_checks(behind, parameter, value, service)
    for value, service in _by_value(behind.postfix, senders, "smtp_line_length_limit"):
        yield from _line_limit(value, service)
    for value, service in _by_value(behind.postfix, senders, "disable_mime_output_conversion"):
        if value == "no" and behind.is_signed:
            yield from _conversion(behind.postfix, service)


def _by_value(
    postfix: PostfixConfig, services: tuple[Service, ...], parameter: str
) -> Iterator[tuple[str, Service]]:
    """Each value of *parameter* that is not empty, with the first service that has it."""
    found: dict[str, Service] = {}
    for service in services:
        found.setdefault(postfix.value(parameter, service), service)
    return ((value, service) for value, service in found.items() if value)


def _header_checks(
    behind: _Behind,
    parameter: str,
    where: str,
    service: Service | None,
    actions: frozenset[str],
) -> Iterator[Remark]:
    value = behind.postfix.value(parameter, service)
    if not value:
        return
    ours = f"Marky Mark via Helpdesk <{behind.authors[0]}>"
    lines = tuple(line.format(ours=ours) for line in _LINES)
    found = behind.tables(split_tables(value), lines)
    if isinstance(found, Unknown):
        yield Unknown(f"whether {parameter} of {where} changes mail behind alignd: {found.text}")
        return
    acted = {
        line.partition(":")[0]: action
        for line, action in found.items()
        if (action.split() or [""])[0].upper() in actions
    }
    if not acted:
        yield Note(f"{parameter} of {where} sees mail behind alignd, and changes no usual field")
        return
    is_ours = bool(acted.keys() & {"From", "Reply-To", "X-Original-From"})
    yield Finding(
        FindingId.CHECKS_CHANGE_HEADER,
        Severity.ERROR if "From" in acted else Severity.WARNING,
        f"{parameter} of {where} acts behind alignd on "
        + ", ".join(f"{name} ({action})" for name, action in acted.items()),
        "what alignd wrote does not arrive as it is" if is_ours else "signatures no longer verify",
        f"leave these fields out of {value}",
    )


def _body_checks(
    behind: _Behind, parameter: str, value: str, service: Service
) -> Iterator[Remark]:
    text = f"{parameter} of {service} ({value}) may change the body behind the signer"
    if not behind.is_signed:
        yield Note(f"{text}: signatures of whoever signs then no longer verify")
        return
    yield warning(
        FindingId.CHECKS_CHANGE_BODY,
        text,
        "mail that alignd leaves alone because of a signature fails where a check changes a line",
        f"{parameter.removeprefix('smtp_')} of cleanup, before the milters, in the place of "
        f"{parameter}",
    )


def _line_limit(value: str, service: Service) -> Iterator[Remark]:
    limit = int(value) if value.isascii() and value.isdigit() else 0
    if 0 < limit < MAX_LINE:
        yield warning(
            FindingId.LINES_BROKEN_EARLY,
            f"smtp_line_length_limit of {service} is {limit}",
            f"smtp(8) breaks lines of {limit + 1} to {MAX_LINE} octets behind the signer, and "
            "alignd counts on their signatures",
            f"postconf -e 'smtp_line_length_limit = {MAX_LINE}'",
        )


def _conversion(postfix: PostfixConfig, service: Service) -> Iterator[Remark]:
    if postfix.value("force_mime_input_conversion") == "yes":
        return
    setting = (
        "force_mime_input_conversion = yes"
        if version_number(postfix.version) >= _FORCED_SINCE
        else "disable_mime_output_conversion = yes"
    )
    yield Note(
        f"{service} turns 8-bit text into quoted-printable for a receiver without 8BITMIME, "
        f"behind the signer, whose signature then fails; postconf -e '{setting}' prevents it"
    )
