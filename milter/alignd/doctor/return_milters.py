"""Checks who judges and signs what comes back: the milter of `alignd return`, then its signer.

Strangers write this mail. Where the milter of the helpdesk's mail or the relay's signer sees it, a
forgery of a customer leaves this machine signed, and passes DMARC.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from fnmatch import fnmatchcase
from ipaddress import ip_network

from alignd.config.endpoint import Endpoint
from alignd.config.settings import Configuration
from alignd.doctor.chain import examine_patience, examine_switch, setting
from alignd.doctor.facts import OpenDkimSettings, ReturnLeg, ReturnSigner
from alignd.doctor.findings import (
    FindingId,
    Note,
    Remark,
    Skipped,
    Unknown,
    error,
    snippet_command,
    warning,
)
from alignd.doctor.outbound import outgoing
from alignd.doctor.signer import covers, read_network
from alignd.postfix.chain import Chain, SmtpdService, is_same, outside_chroot
from alignd.postfix.config import PostfixConfig
from alignd.postfix.layouts import Layout
from alignd.postfix.milters import MilterEntry, MilterListError, read_milters

_SMTP = frozenset({"smtp", "25"})
_EVERYBODY = (ip_network("0.0.0.0/0"), ip_network("::/0"))
_FORGED = "a forged From of a customer goes on to the agent with a signature that passes"


def examine_listeners(
    configuration: Configuration, leg: ReturnLeg, chain: Chain, outbound: Chain | None
) -> Iterator[Remark]:
    """Examine the listeners of *chain*, whose alignd is that of the way back.

    *outbound*: the Postfix that sends, with the alignd of the helpdesk's mail.
    """
    if not chain.with_alignd:
        apart = "; if another Postfix takes it, give its directory (--return-postfix-config)"
        yield error(
            FindingId.RETURN_NOT_IN_CHAIN,
            f"no smtpd service has {chain.endpoint} in its smtpd_milters",
            "nobody judges what comes to return addresses, so that anybody can write to agents in "
            f"the name of others{apart if not leg.is_apart else ''}",
            snippet_command(Layout.RETURN),
        )
    for smtpd in chain.smtpd:
        if not smtpd.alignd:
            yield from _escape(chain, smtpd)
            continue
        yield from examine_switch(chain, smtpd)
        yield from examine_patience(configuration, chain, smtpd, smtpd.alignd)
        yield from _default_action(chain, smtpd, smtpd.alignd)
        yield from _others(chain, smtpd, outbound)
    yield from _notices(leg, chain)
    yield from _conversions(chain.postfix)


def examine_return_signer(
    configuration: Configuration,
    signer: ReturnSigner | Unknown | Skipped,
    outbound: OpenDkimSettings | Unknown | None,
) -> Iterator[Remark]:
    """Examine what the signer of the way back signs, and for whom the *outbound* one does."""
    views = [view for view in configuration.all_settings if view.return_path.keys]
    if isinstance(signer, Unknown | Skipped):
        yield signer
    else:
        own = {domain.name for view in views for domain in view.own_domains}
        addresses = {view.notifications.address.address.lower() for view in views}
        yield from _scope(signer, own, addresses)
    entries = outbound.internal_hosts or () if isinstance(outbound, OpenDkimSettings) else ()
    hosts = [each for each in map(read_network, entries) if each is not None]
    hosts += configuration.dkim.internal_hosts
    if any(covers(hosts, each) for each in _EVERYBODY):
        yield error(
            FindingId.RETURN_SIGNER_WIDE,
            "InternalHosts of the relay's signer (dkim.internal_hosts) is everybody",
            f"it signs for customers what strangers write: {_FORGED}",
            "InternalHosts and dkim.internal_hosts: the hosts of the helpdesk alone",
        )


def _escape(chain: Chain, smtpd: SmtpdService) -> Iterator[Remark]:
    service = smtpd.service
    is_for_strangers = service.kind == "inet" and service.port in _SMTP
    if is_for_strangers and chain.with_alignd and not smtpd.problem:
        yield error(
            FindingId.RETURN_ESCAPES,
            f"{service} does not have {chain.endpoint} in its smtpd_milters",
            "nobody judges what comes to return addresses there, so that anybody can write to "
            "agents in the name of others",
            f"give {service} the smtpd_milters of {chain.with_alignd[0].service}",
        )


def _default_action(chain: Chain, smtpd: SmtpdService, milter: MilterEntry) -> Iterator[Remark]:
    action = setting(chain, smtpd, milter, "default_action")
    if action != "tempfail":
        yield error(
            FindingId.RETURN_UNJUDGED,
            f"default_action of {milter.text} in {smtpd.service} is {action}",
            "while `alignd return` is down, what comes back is "
            + (
                "refused for good, or its client is disconnected"
                if action in {"reject", "shutdown"}
                else "delivered unjudged, forgeries as well"
            ),
            f"default_action=tempfail in the braces of {milter.text}, in smtpd_milters",
        )


def _others(chain: Chain, smtpd: SmtpdService, outbound: Chain | None) -> Iterator[Remark]:
    """The other milters of a listener: never those of the helpdesk's mail."""
    position = smtpd.position or 0
    behind = smtpd.milters[position + 1 :]
    if not behind:
        yield error(
            FindingId.RETURN_SIGNER_MISSING,
            f"{smtpd.service} has no milter after {chain.endpoint}",
            "what alignd rewrites on the way back leaves unsigned, and a bounce, whose envelope "
            "sender is null, fails DMARC at the agent's server",
            "the signer of the way back, such as unix:opendkim-return/opendkim.sock, in "
            "smtpd_milters after alignd",
        )
    if outbound is None:
        return
    ours = [_reached(milter, chain, smtpd) for milter in smtpd.milters]
    if any(each is not None and is_same(each, outbound.endpoint) for each in ours):
        yield error(
            FindingId.RETURN_JUDGED_AS_OUTBOUND,
            f"{smtpd.service} has {outbound.endpoint} in its smtpd_milters, the milter of the "
            "helpdesk's mail",
            "what comes back counts as the relay's own mail: a forgery in the name of a customer "
            "who authorises this relay passes",
            f"remove {outbound.endpoint} from smtpd_milters of {smtpd.service}",
        )
    signers = [
        _reached(milter, outbound, sending)
        for sending in outbound.with_alignd
        for milter in sending.milters[(sending.position or 0) + 1 :]
    ]
    for each in ours[position + 1 :]:
        if any(each and other and is_same(each, other) for other in signers):
            yield error(
                FindingId.RETURN_SIGNER_SHARED,
                f"{each} signs at {smtpd.service}, and the helpdesk's mail as well",
                f"it signs for customers: where it signs what strangers write, {_FORGED}; where "
                "it does not, what alignd rewrites on the way back leaves unsigned",
                "an OpenDKIM of its own for this listener: "
                + snippet_command(Layout.RETURN, "opendkim-return.conf"),
            )


def _reached(milter: MilterEntry, chain: Chain, smtpd: SmtpdService) -> Endpoint | None:
    if milter.endpoint is None:
        return None
    return outside_chroot(milter.endpoint, chain.postfix, smtpd.service)


def _notices(leg: ReturnLeg, chain: Chain) -> Iterator[Remark]:
    """Check that alignd hears of bounces that the agent's server refuses."""
    postfix = chain.postfix
    missing = []
    if "2bounce" not in postfix.value("notify_classes").replace(",", " ").split():
        missing.append("notify_classes = resource, software, 2bounce")
    if leg.is_apart:
        if "bounce" not in postfix.value("internal_mail_filter_classes").replace(",", " ").split():
            missing.append("internal_mail_filter_classes = bounce")
        if not _has_milter(postfix, "non_smtpd_milters", chain.endpoint):
            missing.append(f"non_smtpd_milters = {chain.endpoint}")
    elif not missing:
        yield Note(
            "the postmaster hears of bounces that an agent's server refuses; alignd does not "
            "count them where one Postfix does both"
        )
    if missing:
        yield warning(
            FindingId.RETURN_BOUNCES_UNSEEN,
            "nobody hears of bounces that an agent's server refuses",
            "Postfix drops them without a word, and the agent never knows that his mail did not "
            "arrive",
            "\n".join(missing),
        )


def _has_milter(postfix: PostfixConfig, parameter: str, endpoint: Endpoint) -> bool:
    try:
        milters = read_milters(postfix.value(parameter))
    except MilterListError:
        return False
    return any(
        each.endpoint and is_same(outside_chroot(each.endpoint, postfix, None), endpoint)
        for each in milters
    )


def _conversions(postfix: PostfixConfig) -> Iterator[Remark]:
    """Check that mail that is forwarded as it came stays so, for the sake of its signature."""
    broken = {
        f"{parameter} of {service}"
        for service in outgoing(postfix)
        for parameter, wanted in (("disable_mime_output_conversion", "yes"),)
        if postfix.value(parameter, service) != wanted
    }
    if broken:
        yield warning(
            FindingId.RETURN_SIGNATURES_BROKEN,
            f"{', '.join(sorted(broken))} is no",
            "8-bit mail for a server without 8BITMIME is converted behind alignd, its sender's "
            "signature fails, and the agent's server may refuse it",
            "postconf -e 'disable_mime_output_conversion = yes'",
        )
    if postfix.value("force_mime_input_conversion") == "yes":
        yield warning(
            FindingId.RETURN_SIGNATURES_BROKEN,
            "force_mime_input_conversion is yes",
            "8-bit mail is converted before anybody looks at its signature, which then fails",
            "force_mime_input_conversion = no for the Postfix that takes mail for return "
            "addresses, and disable_mime_output_conversion = yes",
        )


def _scope(signer: ReturnSigner, own: set[str], addresses: set[str]) -> Iterator[Remark]:
    settings = signer.settings
    foreign = [each for each in signer.authors if _domain_of(each) not in own]
    if foreign:
        yield error(
            FindingId.RETURN_SIGNER_WIDE,
            f"{settings.path} signs for {', '.join(foreign[:5])}",
            f"it is behind the listener where strangers write: {_FORGED}",
            "in its SigningTable, the notifications addresses alone:\n"
            + "\n".join(sorted(addresses)),
        )
    hosts = [each for each in map(read_network, settings.internal_hosts or ()) if each]
    lacking = []
    if not all(covers(hosts, each) for each in _EVERYBODY):
        lacking.append(f"InternalHosts {', '.join(map(str, _EVERYBODY))}")
    if "s" not in settings.settings.get("mode", "sv"):
        lacking.append("Mode s")
    if lacking:
        yield error(
            FindingId.RETURN_SIGNER_NARROW,
            f"{settings.path} does not sign for every client",
            "what alignd rewrites on the way back comes from strangers' hosts, and leaves "
            "unsigned: the agent's server may refuse it",
            "\n".join(lacking),
        )
    unsigned = sorted(each for each in addresses if not _is_signed(each, signer.authors))
    if unsigned:
        yield error(
            FindingId.RETURN_SIGNER_NARROW,
            f"{settings.path} does not sign for {', '.join(unsigned)}",
            "what alignd rewrites on the way back is from there, and leaves unsigned",
            "in its SigningTable:\n" + "\n".join(f"{each} KEY" for each in unsigned),
        )


def _domain_of(author: str) -> str:
    return author.rpartition("@")[2].lower()


def _is_signed(address: str, authors: Iterable[str]) -> bool:
    domain = _domain_of(address)
    return any(each.lower() == domain or fnmatchcase(address, each.lower()) for each in authors)
