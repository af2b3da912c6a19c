"""Checks whether the signer behind alignd signs what alignd counts on."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from ipaddress import IPv4Network, IPv6Network, ip_network

from alignd.config.settings import Configuration, OpenDkim
from alignd.doctor.facts import OpenDkimSettings, RspamdSigning
from alignd.doctor.findings import (
    FindingId,
    Remark,
    Skipped,
    Topic,
    TopicReport,
    Unknown,
    error,
    topic_report,
    warning,
)
from alignd.postfix.milters import MilterEntry

Network = IPv4Network | IPv6Network
SignerSettings = OpenDkimSettings | RspamdSigning

_RSPAMD = re.compile(r"rspamd|:11332\b", re.IGNORECASE)
_DEFAULT_HOSTS = ("127.0.0.1", "::1")
_UNSIGNED = "mail that alignd leaves alone, since it counts on the signature, fails DMARC"
_UNPREDICTED = {
    "peerlist": "it does not sign the mail of these clients",
    "exemptdomains": "it does not sign the mail of these author domains",
    "dontsignmailto": "it does not sign mail to these recipients",
    "senderheaders": "it chooses the signature by other fields than From",
    "sendermacro": "it chooses the signature by a macro, not by From",
    "setuppolicyscript": "a script decides what it signs",
    "maximumsignedbytes": "it signs a part of the body only, which not every receiver accepts",
    "bodylengthdb": "it signs a part of the body only, which not every receiver accepts",
    "signaturealgorithm": "not every receiver accepts the algorithm",
}
"""The settings of OpenDKIM, in lower case, of which alignd knows nothing, and their effect."""
_HARMLESS = {"senderheaders": "from", "signaturealgorithm": "rsa-sha256"}
_QUEUE_LIFETIME = 5 * 86400
"""Seconds that Postfix keeps mail by default (maximal_queue_lifetime)."""
_ON_FAILURE = ("on-default", "on-internalerror", "on-security", "on-signatureerror")
"""What OpenDKIM does with a message that it cannot sign; by default it refuses or defers it."""


def examine_signer(
    configuration: Configuration,
    problems: Iterable[str],
    unreadable: Mapping[str, str],
    settings: SignerSettings | Unknown | None,
) -> TopicReport:
    """Examine the clients, the tables, and *settings*; None where the signer is not known.

    *unreadable*: the tables that alignd's user cannot read, each with the reason.
    """
    remarks = [
        *(_unreadable(path, why) for path, why in unreadable.items()),
        *_remarks(configuration, problems, settings),
    ]
    return topic_report(Topic.SIGNER, remarks)


def _unreadable(path: str, why: str) -> Remark:
    return error(
        FindingId.SIGNER_TABLE_UNREADABLE,
        f"alignd's user cannot read {path}: {why}",
        "alignd does not start, and refuses to reload",
        "usermod --append --groups opendkim alignd\nsystemctl restart alignd",
    )


def is_rspamd(milter: MilterEntry) -> bool:
    """Whether a milter looks like an rspamd."""
    return bool(_RSPAMD.search(milter.text))


def _remarks(
    configuration: Configuration,
    problems: Iterable[str],
    settings: SignerSettings | Unknown | None,
) -> Iterator[Remark]:
    dkim = configuration.dkim
    if not dkim.signs and dkim.opendkim is None:
        yield Skipped("dkim.signs and dkim.opendkim are not set: alignd counts on no signer")
        return
    yield from _clients(configuration)
    for problem in problems:
        yield warning(
            FindingId.SIGNER_TABLE_UNUSABLE,
            problem,
            "mail that looks signed by the tables is not, and is rewritten",
            "mend the line, then reload OpenDKIM and alignd",
        )
    if isinstance(settings, Unknown):
        yield settings
    elif isinstance(settings, RspamdSigning):
        yield from _rspamd(settings)
    elif settings is not None and dkim.opendkim is not None:
        yield from _tables(dkim.opendkim, settings)
        yield from _hosts(dkim.internal_hosts, settings)
        yield from _settings(settings)


def _clients(configuration: Configuration) -> Iterator[Remark]:
    signed = configuration.dkim.internal_hosts
    ignored = [
        network
        for network in configuration.helpdesk.networks
        if not network.is_loopback and not covers(signed, network)
    ]
    if ignored:
        shown = _shown(ignored)
        yield warning(
            FindingId.SIGNER_IGNORES_CLIENTS,
            f"helpdesk.networks has {shown}, which dkim.internal_hosts has not: the signer does "
            "not sign for these clients, unless they log in",
            "agents whose domain only DKIM authenticates lose their address, and rewritten mail "
            "leaves without a signature",
            f"add {shown} to the signer's list (InternalHosts of OpenDKIM), then to "
            "dkim.internal_hosts",
        )


def _tables(ours: OpenDkim, theirs: OpenDkimSettings) -> Iterator[Remark]:
    pairs = (("SigningTable", ours.signing_table), ("KeyTable", ours.key_table))
    for name, table in pairs:
        value = theirs.settings.get(name.lower(), "")
        if value.removeprefix("file:") != table.removeprefix("file:"):
            yield error(
                FindingId.SIGNER_TABLES_DIFFER,
                f"{name} is {value or 'not set'} in {theirs.path}, and {table} in alignd.conf",
                f"alignd reads other tables than OpenDKIM: {_UNSIGNED}",
                f"set both to the same, 'refile:' included, in {theirs.path} and dkim.opendkim",
            )


def _hosts(ours: tuple[Network, ...], theirs: OpenDkimSettings) -> Iterator[Remark]:
    entries = _DEFAULT_HOSTS if theirs.internal_hosts is None else theirs.internal_hosts
    networks = [each for each in map(read_network, entries) if each is not None]
    unsigned = [each for each in ours if not covers(networks, each)]
    has_names = len(networks) < len(entries)
    if any(each.startswith("!") for each in entries) or (unsigned and has_names):
        yield Unknown(
            f"which clients OpenDKIM signs for: InternalHosts of {theirs.path} has names, or "
            "exceptions"
        )
    elif unsigned:
        yield error(
            FindingId.SIGNER_HOSTS_DIFFER,
            f"dkim.internal_hosts has {_shown(unsigned)}, and InternalHosts of {theirs.path} "
            f"{'is not set' if theirs.internal_hosts is None else 'has not'}",
            _UNSIGNED,
            f"InternalHosts {','.join(map(str, dict.fromkeys([*networks, *unsigned])))}",
        )
    more = [each for each in networks if not covers(ours, each)]
    if more:
        yield warning(
            FindingId.SIGNER_HOSTS_DIFFER,
            f"InternalHosts of {theirs.path} has {_shown(more)}, and dkim.internal_hosts has not",
            "mail of these clients is rewritten, though it is signed",
            f"add {_shown(more)} to dkim.internal_hosts",
        )


def _settings(theirs: OpenDkimSettings) -> Iterator[Remark]:
    settings = theirs.settings
    found = {
        name: effect
        for name, effect in _UNPREDICTED.items()
        if settings.get(name, "").lower() not in {"", _HARMLESS.get(name, "")}
    }
    if "s" not in settings.get("mode", "sv"):
        found["mode"] = "it does not sign at all"
    for name in _ON_FAILURE:
        if settings.get(name, "").lower().startswith("a"):
            found[name] = "what it cannot sign leaves unsigned"
    lifetime = settings.get("signaturettl", "0")
    if lifetime.isdigit() and 0 < int(lifetime) < _QUEUE_LIFETIME:
        found["signaturettl"] = "its signatures expire while mail waits in a queue"
    for name, effect in found.items():
        yield error(
            FindingId.SIGNER_SETTING_UNPREDICTED,
            f"{theirs.path} sets {name} to {settings[name]}: {effect}, and alignd does not know",
            _UNSIGNED,
            f"remove {name} from {theirs.path}, or use another OpenDKIM for outgoing mail",
        )


def _rspamd(settings: RspamdSigning) -> Iterator[Remark]:
    unset = []
    if not settings.signs_for_other_senders:
        unset.append(("allow_hdrfrom_mismatch", "envelope sender"))
    if not settings.signs_for_other_logins:
        unset.append(("allow_username_mismatch", "login"))
    if unset:
        yield error(
            FindingId.SIGNER_SETTING_UNPREDICTED,
            f"dkim_signing of rspamd has not {' and '.join(option for option, _ in unset)}: it "
            f"does not sign mail whose {' or '.join(what for _, what in unset)} is of another "
            "domain than From, and alignd does not know",
            _UNSIGNED,
            "in /etc/rspamd/local.d/dkim_signing.conf:\n"
            + "\n".join(f"{option} = true;" for option, _ in unset),
        )


def read_network(text: str) -> Network | None:
    try:
        return ip_network(text)
    except ValueError:
        return None


def covers(networks: Iterable[Network], wanted: Network) -> bool:
    ends = (wanted.network_address, wanted.broadcast_address)
    return any(all(end in each for end in ends) for each in networks)


def _shown(networks: Iterable[Network]) -> str:
    return ", ".join(map(str, networks))
