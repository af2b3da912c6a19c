"""Checks alignd's position among the milters, and what Postfix does when alignd fails."""

from __future__ import annotations

import re
from collections.abc import Iterator

from alignd.config.settings import Configuration
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
    snippet_command,
    topic_report,
    warning,
)
from alignd.postfix.chain import Chain, SmtpdService
from alignd.postfix.config import seconds, version_number
from alignd.postfix.milters import MilterEntry

TIMEOUTS = {"connect_timeout": 5.0, "command_timeout": 5.0, "content_timeout": 20.0}
"""Seconds, by setting of alignd's entry in both layouts."""
_SIGNER = re.compile(r"dkim|rspamd|:8891\b", re.IGNORECASE)
_SUBMISSION = frozenset({"submission", "submissions", "smtps", "587", "465"})
_ACTIONS = frozenset({"accept", "reject", "tempfail", "quarantine"})
_SHUTDOWN_SINCE = (3, 11)
_PROTOCOL = 6
_MARGIN = 1.0  # seconds between the budget for DNS and the end of Postfix's patience


def examine_chain(configuration: Configuration, chain: Chain) -> tuple[TopicReport, ...]:
    """Examine the order of the milters, and the settings of alignd's entry."""
    order = topic_report(Topic.CHAIN, _chain(configuration, chain))
    remarks = [r for each in chain.with_alignd for r in _failure(configuration, chain, each)]
    return (order, topic_report(Topic.FAILURE, remarks)) if chain.with_alignd else (order,)


def _chain(configuration: Configuration, chain: Chain) -> Iterator[Remark]:
    broken = [smtpd for smtpd in chain.smtpd if smtpd.problem]
    for smtpd in broken:
        yield error(
            FindingId.MILTERS_MALFORMED,
            f"smtpd_milters of {smtpd.service} is malformed: {smtpd.problem}",
            "smtpd exits when it reads the value, and every client is disconnected",
            snippet_command(chain.layout),
        )
    if not chain.with_alignd and not broken:
        yield error(
            FindingId.ALIGND_NOT_IN_CHAIN,
            f"no smtpd service has {chain.endpoint} in its smtpd_milters",
            "alignd sees no mail, so nothing is rewritten",
            snippet_command(chain.layout),
        )
    for smtpd in chain.with_alignd:
        yield from examine_switch(chain, smtpd)
        yield from _order(configuration, smtpd)
    if chain.with_alignd:
        yield from _escapes(chain)


def examine_switch(chain: Chain, smtpd: SmtpdService) -> Iterator[Remark]:
    """Examine whether *smtpd* calls the milters that it has."""
    if "no_milters" in chain.postfix.value("receive_override_options", smtpd.service):
        yield error(
            FindingId.MILTERS_SWITCHED_OFF,
            f"receive_override_options of {smtpd.service} contains no_milters",
            "alignd is in its smtpd_milters, but Postfix never calls it",
            f"remove no_milters from the options of {smtpd.service} in master.cf",
        )
    if chain.postfix.value("smtpd_milter_maps", smtpd.service):
        yield Note("smtpd_milter_maps may exempt some clients from alignd")


def is_signer(milter: MilterEntry) -> bool:
    """Whether *milter* looks like one that signs."""
    return bool(_SIGNER.search(milter.text))


def _order(configuration: Configuration, smtpd: SmtpdService) -> Iterator[Remark]:
    position = smtpd.position or 0
    before, behind = smtpd.milters[:position], smtpd.milters[position + 1 :]
    signer = next(filter(is_signer, before), None)
    is_expected = bool(configuration.dkim.signs or configuration.dkim.opendkim)
    if signer is None and before and is_expected and not behind:
        signer = before[-1]
    if configuration.dkim.trusted_authserv_ids:
        yield from _verifier(configuration.dkim.trusted_authserv_ids, smtpd)
        signer = None if behind or not is_expected else signer  # it is the verifier
    if signer is not None:
        yield error(
            FindingId.SIGNER_BEFORE_ALIGND,
            f"in smtpd_milters of {smtpd.service}, {signer.text} comes before alignd",
            "it signs the From that alignd then replaces; alignd removes the broken signature, "
            "and rewritten mail leaves unsigned",
            f"put alignd first: {_in_order(smtpd)}",
        )
    elif is_expected and not behind:
        yield error(
            FindingId.SIGNER_MISSING,
            f"[dkim] in alignd.conf says that mail is signed, but {smtpd.service} has no milter "
            "after alignd",
            "alignd leaves mail alone because of a signature that is never added, and receivers "
            "block it",
            "put the signer after alignd in smtpd_milters, or remove dkim.signs and dkim.opendkim "
            "from alignd.conf",
        )


def _verifier(trusted: tuple[str, ...], smtpd: SmtpdService) -> Iterator[Remark]:
    name = re.escape(trusted[0]).replace("\\-", "-")
    strip = f"header_checks = regexp:{{ {{ /^Authentication-Results:[^;]*{name}/ IGNORE }} }}"
    if smtpd.position:
        yield Note(
            f"the milter before alignd in {smtpd.service} has to be {', '.join(trusted)}, and to "
            "remove what clients write in that name; OpenDKIM leaves in what it cannot parse, "
            f"which alignd does not count. In main.cf, this removes it all: {strip}"
        )
    else:
        yield warning(
            FindingId.VERIFIER_MISSING,
            f"dkim.trusted_authserv_ids trusts {', '.join(trusted)}, but {smtpd.service} has no "
            "milter before alignd",
            "where no verifier removes it, any client can write that its message has passed",
            "put the verifier before alignd in smtpd_milters, or remove "
            "dkim.trusted_authserv_ids from alignd.conf",
        )


def _in_order(smtpd: SmtpdService) -> str:
    """The milters of *smtpd* in the right order, without their settings."""
    alignd = smtpd.alignd
    others = [milter.text for milter in smtpd.milters if milter != alignd]
    return ", ".join([alignd.text if alignd else "", *others])


def _escapes(chain: Chain) -> Iterator[Remark]:
    if not chain.covers_sendmail:
        if chain.is_in_main_cf:
            yield warning(
                FindingId.SENDMAIL_ESCAPES,
                "non_smtpd_milters does not name alignd",
                "mail that this machine sends with sendmail(1) is not rewritten",
                "postconf -e 'non_smtpd_milters = $smtpd_milters'",
            )
        else:
            yield Note("alignd does not see mail of sendmail(1)")
    sources = [hop.source for hop in chain.to_alignd]
    for smtpd in chain.smtpd if chain.is_in_main_cf else ():
        service = smtpd.service
        is_submission = service.port in _SUBMISSION and service not in sources
        if is_submission and not smtpd.alignd and not smtpd.problem:
            yield warning(
                FindingId.SUBMISSION_ESCAPES,
                f"{service} has its own smtpd_milters, without alignd",
                "mail submitted there is not rewritten",
                f"remove smtpd_milters from the options of {service} in master.cf",
            )


def _failure(configuration: Configuration, chain: Chain, smtpd: SmtpdService) -> Iterator[Remark]:
    milter = smtpd.alignd
    if milter is None:
        return
    yield from _default_action(chain, smtpd, milter)
    yield from examine_patience(configuration, chain, smtpd, milter)


def examine_patience(
    configuration: Configuration, chain: Chain, smtpd: SmtpdService, milter: MilterEntry
) -> Iterator[Remark]:
    """Examine how long *smtpd* waits for alignd, and how both speak."""
    for name, longest in TIMEOUTS.items():
        yield from _timeout(chain, smtpd, milter, name, longest)
    content = seconds(setting(chain, smtpd, milter, "content_timeout"))
    if content is not None and content < configuration.dns.timeout + _MARGIN:
        yield error(
            FindingId.TIMEOUT_SHORT,
            f"content_timeout of alignd in {smtpd.service} is {content:g} s, and dns.timeout "
            f"{configuration.dns.timeout:g} s",
            "when DNS is slow, Postfix gives up before alignd can answer",
            f"content_timeout={TIMEOUTS['content_timeout']:g}s in the braces of alignd, in "
            "smtpd_milters",
        )
    yield from _protocol(chain, smtpd, milter)


def _default_action(chain: Chain, smtpd: SmtpdService, milter: MilterEntry) -> Iterator[Remark]:
    action = setting(chain, smtpd, milter, "default_action")
    where = f"default_action of alignd in {smtpd.service}"
    fix = "default_action=tempfail in the braces of alignd, in smtpd_milters"
    in_braces = "default_action" in milter.settings
    if not in_braces and not chain.postfix.is_written("milter_default_action", smtpd.service):
        yield warning(
            FindingId.DEFAULT_ACTION_UNSET,
            f"{where} is not set; the default of Postfix {chain.postfix.version} is {action}",
            "the default changed in Postfix 3.11, so an upgrade may change what happens to mail "
            "while alignd is down",
            fix,
        )
    elif action == "quarantine":
        yield error(
            FindingId.DEFAULT_ACTION_QUARANTINES,
            f"{where} is quarantine",
            "mail held while alignd is down passes no milter when it is released, and leaves "
            "unrewritten",
            fix,
        )
    elif action == "accept":
        # Queue-first loses nothing with tempfail; inline leaves the operator a choice.
        yield Finding(
            FindingId.DEFAULT_ACTION_ACCEPTS,
            Severity.ERROR if chain.is_second_listener(smtpd) else Severity.WARNING,
            f"{where} is accept",
            "while alignd is down, mail leaves unrewritten; if alignd dies between two edits, "
            "half-changed",
            fix,
        )
    elif action == "reject":
        yield error(
            FindingId.DEFAULT_ACTION_REFUSES,
            f"{where} is reject",
            "while alignd is down, every client is refused permanently (554)",
            fix,
        )
    elif action == "shutdown" and version_number(chain.postfix.version) >= _SHUTDOWN_SINCE:
        yield warning(
            FindingId.DEFAULT_ACTION_REFUSES,
            f"{where} is shutdown",
            "it disconnects the client, and neither layout has been tested with it",
            fix,
        )
    elif action not in _ACTIONS:
        yield error(
            FindingId.MILTERS_MALFORMED,
            f"{where} is {action!r}, which Postfix {chain.postfix.version} does not know",
            "while alignd is down, clients get a server configuration error (451)",
            fix,
        )


def _timeout(
    chain: Chain, smtpd: SmtpdService, milter: MilterEntry, name: str, longest: float
) -> Iterator[Remark]:
    written = setting(chain, smtpd, milter, name)
    found = seconds(written)
    where = f"{name} of alignd in {smtpd.service}"
    fix = f"{name}={longest:g}s in the braces of alignd, in smtpd_milters"
    if found is None:
        yield error(
            FindingId.MILTERS_MALFORMED,
            f"{where} is not a time: {written!r}",
            "smtpd exits when it reads the value, and every client is disconnected",
            fix,
        )
    elif found > longest:
        yield warning(
            FindingId.TIMEOUT_LONG,
            f"{where} is {found:g} s, longer than the {longest:g} s of both layouts",
            "when alignd hangs, the client waits that long, and many applications give up sooner",
            fix,
        )


def _protocol(chain: Chain, smtpd: SmtpdService, milter: MilterEntry) -> Iterator[Remark]:
    protocol = milter.settings.get("protocol") or chain.postfix.value(
        "milter_protocol", smtpd.service
    )
    number = version_number(protocol)
    if not number:
        yield Unknown(f"which milter_protocol {smtpd.service} uses: {protocol!r}")
    elif number[0] < _PROTOCOL:
        yield warning(
            FindingId.MILTER_PROTOCOL_OLD,
            f"{smtpd.service} uses milter_protocol {protocol} with alignd",
            "both layouts have been tested with version 6 only, the first that shows alignd the "
            "white space of a header field unchanged",
            "protocol=6 in the braces of alignd, in smtpd_milters"
            if "protocol" in milter.settings
            else "postconf -e 'milter_protocol = 6'",
        )
    defaults = chain.postfix.value("milter_macro_defaults", smtpd.service)
    if "auth_authen" in defaults:
        yield error(
            FindingId.LOGIN_MACRO_INVENTED,
            f"milter_macro_defaults sets auth_authen: {defaults}",
            "every client then counts as logged in, and all mail as the helpdesk's",
            "postconf -X milter_macro_defaults",
        )


def setting(chain: Chain, smtpd: SmtpdService, milter: MilterEntry, name: str) -> str:
    """The effective value: from alignd's entry, the service, or main.cf, in that order."""
    return milter.settings.get(name) or chain.postfix.value(f"milter_{name}", smtpd.service)
