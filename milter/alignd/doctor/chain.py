"""Whether alignd stands where it should among the milters, and what happens when it fails."""

from __future__ import annotations

import re
from collections.abc import Iterator

from alignd.config.settings import Configuration
from alignd.doctor.findings import (
    CannotSay,
    FindingId,
    Note,
    Remark,
    Topic,
    TopicReport,
    error,
    topic_report,
    warning,
)
from alignd.postfix.chain import Chain, Listener
from alignd.postfix.config import seconds, version_number
from alignd.postfix.milters import MilterEntry

TIMEOUTS = {"connect_timeout": 5.0, "command_timeout": 5.0, "content_timeout": 20.0}
"""Seconds that both layouts give alignd."""
_SIGNER = re.compile(r"dkim|rspamd|:8891\b", re.IGNORECASE)
_SUBMISSION = frozenset({"submission", "submissions", "smtps", "587", "465"})
_ACTIONS = frozenset({"accept", "reject", "tempfail", "quarantine"})
_SHUTDOWN_SINCE = (3, 11)
_PROTOCOL = 6
_MARGIN = 1.0  # seconds between the budget for DNS and the end of Postfix's patience


def examine_chain(configuration: Configuration, chain: Chain) -> tuple[TopicReport, ...]:
    """Examine the order of the milters, and the settings of alignd among them."""
    order = topic_report(Topic.CHAIN, _chain(configuration, chain))
    remarks = [r for each in chain.with_alignd for r in _failure(configuration, chain, each)]
    return (order, topic_report(Topic.FAILURE, remarks)) if chain.with_alignd else (order,)


def _snippet(chain: Chain) -> str:
    """The command that prints the lines for the layout in use."""
    return f"alignd postfix-snippet --layout {'queue-first' if chain.to_alignd else 'inline'}"


def _chain(configuration: Configuration, chain: Chain) -> Iterator[Remark]:
    broken = [listener for listener in chain.listeners if listener.problem]
    for listener in broken:
        yield error(
            FindingId.MILTERS_MALFORMED,
            f"smtpd_milters of {listener.service} is malformed: {listener.problem}",
            "smtpd ends as soon as it reads it, and every client is cut off",
            _snippet(chain),
        )
    if not chain.with_alignd and not broken:
        yield error(
            FindingId.ALIGND_NOT_IN_CHAIN,
            f"no listener has {chain.place} in its smtpd_milters",
            "alignd sees no mail: nothing is rewritten",
            _snippet(chain),
        )
    for listener in chain.with_alignd:
        yield from _switched_off(chain, listener)
        yield from _order(configuration, listener)
    if chain.with_alignd:
        yield from _escapes(chain)


def _switched_off(chain: Chain, listener: Listener) -> Iterator[Remark]:
    if "no_milters" in chain.postfix.value("receive_override_options", listener.service):
        yield error(
            FindingId.MILTERS_SWITCHED_OFF,
            f"receive_override_options of {listener.service} says no_milters",
            "alignd is in its smtpd_milters, and is never asked",
            f"take no_milters out of the options of {listener.service} in master.cf",
        )
    if chain.postfix.value("smtpd_milter_maps", listener.service):
        yield Note("smtpd_milter_maps may send some clients past alignd")


def _order(configuration: Configuration, listener: Listener) -> Iterator[Remark]:
    position = listener.position or 0
    before, behind = listener.milters[:position], listener.milters[position + 1 :]
    signer = next((milter for milter in before if _SIGNER.search(milter.text)), None)
    is_expected = bool(configuration.dkim.signs or configuration.dkim.opendkim)
    if signer is None and before and is_expected and not behind:
        signer = before[-1]
    if signer is not None:
        yield error(
            FindingId.SIGNER_BEFORE_ALIGND,
            f"in smtpd_milters of {listener.service}, {signer.text} stands before alignd",
            "it signs the From that alignd then replaces: alignd removes the broken signature, "
            "and rewritten mail leaves unsigned",
            f"put alignd first: {_in_order(listener)}",
        )
    elif is_expected and not behind:
        yield error(
            FindingId.SIGNER_MISSING,
            f"[dkim] says that mail is signed, and no milter of {listener.service} stands behind "
            "alignd",
            "mail is left alone for a signature that never comes, and is blocked",
            "put the signer behind alignd in smtpd_milters, or take dkim.signs and dkim.opendkim "
            "out of alignd.conf",
        )


def _in_order(listener: Listener) -> str:
    """The milters of *listener* as they should stand, without their settings."""
    alignd = listener.alignd
    others = [milter.text for milter in listener.milters if milter != alignd]
    return ", ".join([alignd.text if alignd else "", *others])


def _escapes(chain: Chain) -> Iterator[Remark]:
    if not chain.covers_sendmail:
        if chain.is_general:
            yield warning(
                FindingId.SENDMAIL_ESCAPES,
                "non_smtpd_milters does not name alignd",
                "mail that this machine makes with sendmail(1) leaves as it is",
                "postconf -e 'non_smtpd_milters = $smtpd_milters'",
            )
        else:
            yield Note(
                "mail of sendmail(1) does not meet alignd, only that of the listeners that do"
            )
    sources = [hop.source for hop in chain.to_alignd]
    for listener in chain.listeners if chain.is_general else ():
        service = listener.service
        is_submission = service.port in _SUBMISSION and service not in sources
        if is_submission and not listener.alignd and not listener.problem:
            yield warning(
                FindingId.SUBMISSION_ESCAPES,
                f"{service} has a smtpd_milters of its own, without alignd",
                "what is submitted there leaves as it is",
                f"take smtpd_milters out of the options of {service} in master.cf",
            )


def _failure(configuration: Configuration, chain: Chain, listener: Listener) -> Iterator[Remark]:
    milter = listener.alignd
    if milter is None:
        return
    yield from _default_action(chain, listener, milter)
    for name, longest in TIMEOUTS.items():
        yield from _timeout(chain, listener, milter, name, longest)
    content = seconds(_setting(chain, listener, milter, "content_timeout"))
    if content is not None and content < configuration.dns.timeout + _MARGIN:
        yield error(
            FindingId.TIMEOUT_SHORT,
            f"content_timeout of alignd in {listener.service} is {content:g} s, and dns.timeout "
            f"{configuration.dns.timeout:g} s",
            "when DNS is slow, Postfix gives up before alignd has an answer",
            f"content_timeout={TIMEOUTS['content_timeout']:g}s in the braces of alignd",
        )
    yield from _protocol(chain, listener, milter)


def _default_action(chain: Chain, listener: Listener, milter: MilterEntry) -> Iterator[Remark]:
    action = _setting(chain, listener, milter, "default_action")
    where = f"default_action of alignd in {listener.service}"
    fix = "default_action=tempfail in the braces of alignd, in smtpd_milters"
    in_braces = "default_action" in milter.settings
    if not in_braces and not chain.postfix.is_written("milter_default_action", listener.service):
        yield warning(
            FindingId.DEFAULT_ACTION_UNSET,
            f"{where} is not written down: Postfix {chain.postfix.version} takes {action}",
            "its default has changed (3.11), and with the next version mail may fare otherwise "
            "while alignd is down",
            fix,
        )
    elif action == "quarantine":
        yield error(
            FindingId.DEFAULT_ACTION_QUARANTINES,
            f"{where} is quarantine",
            "what is held while alignd is down passes no milter when it is released, and leaves "
            "unrewritten",
            fix,
        )
    elif action == "accept":
        finding = error if chain.is_second(listener) else warning
        yield finding(
            FindingId.DEFAULT_ACTION_ACCEPTS,
            f"{where} is accept",
            "while alignd is down mail leaves unrewritten; if it dies between two edits, "
            "half-changed",
            fix,
        )
    elif action == "reject":
        yield error(
            FindingId.DEFAULT_ACTION_REFUSES,
            f"{where} is reject",
            "while alignd is down whoever connects is refused for good (554)",
            fix,
        )
    elif action == "shutdown" and version_number(chain.postfix.version) >= _SHUTDOWN_SINCE:
        yield warning(
            FindingId.DEFAULT_ACTION_REFUSES,
            f"{where} is shutdown",
            "it ends the session, and neither layout is proven with it",
            fix,
        )
    elif action not in _ACTIONS:
        yield error(
            FindingId.MILTERS_MALFORMED,
            f"{where} is {action!r}, which Postfix {chain.postfix.version} does not know",
            "while alignd is down the client hears of a server configuration problem (451)",
            fix,
        )


def _timeout(
    chain: Chain, listener: Listener, milter: MilterEntry, name: str, longest: float
) -> Iterator[Remark]:
    written = _setting(chain, listener, milter, name)
    found = seconds(written)
    where = f"{name} of alignd in {listener.service}"
    if found is None:
        yield error(
            FindingId.MILTERS_MALFORMED,
            f"{where} is no time: {written!r}",
            "smtpd ends as soon as it reads it, and every client is cut off",
            f"{name}={longest:g}s in the braces of alignd",
        )
    elif found > longest:
        yield warning(
            FindingId.TIMEOUT_LONG,
            f"{where} is {found:g} s, longer than the {longest:g} s of both layouts",
            "when alignd hangs, whoever submits waits as long, and many applications give up "
            "sooner",
            f"{name}={longest:g}s in the braces of alignd, in smtpd_milters",
        )


def _protocol(chain: Chain, listener: Listener, milter: MilterEntry) -> Iterator[Remark]:
    protocol = milter.settings.get("protocol") or chain.postfix.value(
        "milter_protocol", listener.service
    )
    number = version_number(protocol)
    if not number:
        yield CannotSay(f"which milter_protocol {listener.service} speaks: {protocol!r}")
    elif number[0] < _PROTOCOL:
        yield warning(
            FindingId.MILTER_PROTOCOL_OLD,
            f"{listener.service} speaks milter_protocol {protocol} with alignd",
            "both layouts are proven with version 6 alone, which is the first that lets alignd "
            "see a header field with its blanks as they are",
            "postconf -e 'milter_protocol = 6'",
        )
    defaults = chain.postfix.value("milter_macro_defaults", listener.service)
    if "auth_authen" in defaults:
        yield error(
            FindingId.LOGIN_MACRO_INVENTED,
            f"milter_macro_defaults gives auth_authen a value: {defaults}",
            "every client then counts as logged in, and all mail as the helpdesk's",
            "postconf -X milter_macro_defaults",
        )


def _setting(chain: Chain, listener: Listener, milter: MilterEntry, name: str) -> str:
    """A setting of alignd: its own, the service's, or the general one."""
    return milter.settings.get(name) or chain.postfix.value(f"milter_{name}", listener.service)
