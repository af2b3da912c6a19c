"""Findings about a relay, each with a stable name, the reason why it matters, and a fix."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum

from alignd.mail.printable import printable
from alignd.postfix.layouts import Layout


class Severity(Enum):
    """How bad a finding is."""

    ERROR = "error"
    """Mail is lost, refused, or leaves in a form that receivers block."""
    WARNING = "warning"
    """Some mail is at risk, or delivery is slower or less reliable than it could be."""


class Topic(Enum):
    """A part of the setup that is checked."""

    NOTIFICATIONS = "notifications"
    REPORTS = "reports"
    HELO = "helo"
    APPLICATION = "application"
    OUTBOUND = "outbound"
    CHAIN = "chain"
    BEHIND = "behind"
    FAILURE = "failure"
    QUEUE_FIRST = "queue-first"
    RETURN = "return"
    SIGNER = "signer"
    SOCKET = "socket"
    SERVICE = "service"
    RESOLVER = "resolver"
    LIMITS = "limits"
    VERSIONS = "versions"


TITLES = {
    Topic.NOTIFICATIONS: "DMARC of rewritten mail, from every relay address",
    Topic.REPORTS: "the reports about rewritten mail that receivers are asked for",
    Topic.HELO: "the HELO name and the names of the relay addresses",
    Topic.APPLICATION: "the application's own address",
    Topic.OUTBOUND: "the addresses and the HELO name that Postfix uses",
    Topic.CHAIN: "alignd's position among the milters",
    Topic.BEHIND: "what Postfix changes behind alignd",
    Topic.FAILURE: "what Postfix does when alignd fails",
    Topic.QUEUE_FIRST: "the hop from Postfix's queue to its second listener",
    Topic.RETURN: "the way back: what is sent to return addresses",
    Topic.SIGNER: "what the DKIM signer signs, and for which clients",
    Topic.SOCKET: "the connections from Postfix to alignd and the other milters",
    Topic.SERVICE: "what the running service has in force, and what it sees",
    Topic.RESOLVER: "the nameservers: whether they answer, how fast, from where",
    Topic.LIMITS: "enough connections and descriptors for Postfix",
    Topic.VERSIONS: "versions with known bugs, and the age of the public suffix list",
}
"""What is checked of each topic, as the headline of what was found."""


class FindingId(Enum):
    """The public name of each finding; it stays the same between versions."""

    NOTIFICATIONS_DOMAIN_FAILS = "notifications-domain-fails"
    NOTIFICATIONS_SPF_FAILS = "notifications-spf-fails"
    NOTIFICATIONS_KEY_UNUSABLE = "notifications-key-unusable"
    NULL_SENDER_REWRITE_FAILS = "null-sender-rewrite-fails"
    NOTIFICATIONS_WITHOUT_DMARC = "notifications-without-dmarc"
    NOTIFICATIONS_UNROUTABLE = "notifications-unroutable"
    NOTIFICATIONS_ARE_APPLICATIONS = "notifications-are-applications"

    REPORTS_NOT_REQUESTED = "reports-not-requested"
    REPORTS_NOT_ALLOWED = "reports-not-allowed"

    HELO_UNRESOLVED = "helo-unresolved"
    HELO_WITHOUT_SPF = "helo-without-spf"
    ADDRESS_WITHOUT_NAME = "address-without-name"

    BIND_ADDRESS_UNLISTED = "bind-address-unlisted"
    INTERFACE_ADDRESS_UNLISTED = "interface-address-unlisted"
    PROTOCOL_OFF = "protocol-off"
    PROTOCOLS_NONE = "protocols-none"
    ADDRESS_OF_EXAMPLES = "address-of-examples"
    HELO_NAME_DIFFERS = "helo-name-differs"

    RELAYHOST_UNLISTED = "relayhost-unlisted"

    ALIGND_NOT_IN_CHAIN = "alignd-not-in-chain"
    MILTERS_MALFORMED = "milters-malformed"
    MILTERS_SWITCHED_OFF = "milters-switched-off"
    SIGNER_BEFORE_ALIGND = "signer-before-alignd"
    SIGNER_MISSING = "signer-missing"
    VERIFIER_MISSING = "verifier-missing"
    SENDMAIL_ESCAPES = "sendmail-escapes"
    SUBMISSION_ESCAPES = "submission-escapes"

    EDITS_DISCARDED = "edits-discarded"
    SENDER_REWRITTEN = "sender-rewritten"
    ADDRESSES_REWRITTEN = "addresses-rewritten"
    CHECKS_CHANGE_HEADER = "checks-change-header"
    CHECKS_CHANGE_BODY = "checks-change-body"
    LINES_BROKEN_EARLY = "lines-broken-early"

    DEFAULT_ACTION_ACCEPTS = "default-action-accepts"
    DEFAULT_ACTION_QUARANTINES = "default-action-quarantines"
    DEFAULT_ACTION_REFUSES = "default-action-refuses"
    DEFAULT_ACTION_UNSET = "default-action-unset"
    TIMEOUT_LONG = "timeout-long"
    TIMEOUT_SHORT = "timeout-short"
    MILTER_PROTOCOL_OLD = "milter-protocol-old"
    LOGIN_MACRO_INVENTED = "login-macro-invented"

    MILTERS_BEFORE_QUEUE = "milters-before-queue"
    SECOND_LISTENER_MISSING = "second-listener-missing"
    SECOND_LISTENER_LOOPS = "second-listener-loops"
    REQUEUE_TRANSPORT_MISSING = "requeue-transport-missing"
    REQUEUE_SESSIONS_SHARED = "requeue-sessions-shared"
    XFORWARD_MISSING = "xforward-missing"

    RETURN_MX_UNRESOLVED = "return-mx-unresolved"
    RETURN_SENDER_FAILS = "return-sender-fails"
    RETURN_BOUNCES_FAIL = "return-bounces-fail"
    RETURN_KEYS_UNUSABLE = "return-keys-unusable"
    RETURN_KEYS_UNREADABLE = "return-keys-unreadable"
    RETURN_KEYS_MANY = "return-keys-many"
    RETURN_KEYS_NOT_IN_FORCE = "return-keys-not-in-force"
    RETURN_MAP_MISSING = "return-map-missing"
    RETURN_MAP_UNGUARDED = "return-map-unguarded"
    RETURN_MAP_FAILS = "return-map-fails"
    RETURN_MAP_DIFFERS = "return-map-differs"
    RETURN_MAP_OUTSIDE_CHROOT = "return-map-outside-chroot"
    RETURN_GUARD_WRONG = "return-guard-wrong"
    RETURN_DOMAIN_FOREIGN = "return-domain-foreign"
    RETURN_DOMAIN_KEPT = "return-domain-kept"
    RETURN_SHARED_REFUSED = "return-shared-refused"
    RETURN_SHARED_BEHIND_MAP = "return-shared-behind-map"
    RETURN_ADDRESS_CUT = "return-address-cut"
    RETURN_NOT_IN_CHAIN = "return-not-in-chain"
    RETURN_ESCAPES = "return-escapes"
    RETURN_JUDGED_AS_OUTBOUND = "return-judged-as-outbound"
    RETURN_UNJUDGED = "return-unjudged"
    RETURN_BOUNCES_UNSEEN = "return-bounces-unseen"
    RETURN_SIGNATURES_BROKEN = "return-signatures-broken"
    RETURN_SIGNER_MISSING = "return-signer-missing"
    RETURN_SIGNER_SHARED = "return-signer-shared"
    RETURN_SIGNER_WIDE = "return-signer-wide"
    RETURN_SIGNER_NARROW = "return-signer-narrow"

    SIGNER_IGNORES_CLIENTS = "signer-ignores-clients"
    SIGNER_TABLE_UNUSABLE = "signer-table-unusable"
    SIGNER_TABLE_UNREADABLE = "signer-table-unreadable"
    SIGNER_TABLES_DIFFER = "signer-tables-differ"
    SIGNER_HOSTS_DIFFER = "signer-hosts-differ"
    SIGNER_SETTING_UNPREDICTED = "signer-setting-unpredicted"

    ALIGND_DOES_NOT_ANSWER = "alignd-does-not-answer"
    SOCKET_OUTSIDE_CHROOT = "socket-outside-chroot"
    SOCKET_FORBIDDEN = "socket-forbidden"
    MILTER_UNREACHABLE = "milter-unreachable"

    CONFIGURATION_NOT_IN_FORCE = "configuration-not-in-force"
    RELOAD_REFUSED = "reload-refused"
    NAMESERVERS_NOT_IN_FORCE = "nameservers-not-in-force"
    SIGNING_TABLES_NOT_IN_FORCE = "signing-tables-not-in-force"
    VERSION_NOT_IN_FORCE = "version-not-in-force"
    WORKERS_MISSING = "workers-missing"
    NAMESERVER_FAILS = "nameserver-fails"
    DNS_IS_DOWN = "dns-is-down"
    ARCHIVE_FAILS = "archive-fails"
    LOG_LINES_DROPPED = "log-lines-dropped"

    RESOLVER_REMOTE = "resolver-remote"
    RESOLVER_SILENT = "resolver-silent"
    RESOLVER_SLOW = "resolver-slow"

    DESCRIPTORS_FEW = "descriptors-few"
    CONNECTIONS_FEW = "connections-few"

    SUFFIX_LIST_OLD = "suffix-list-old"
    POSTFIX_MISPLACES_EDITS = "postfix-misplaces-edits"


@dataclass(frozen=True, slots=True)
class Finding:
    """A problem with the setup."""

    id: FindingId
    severity: Severity
    what: str
    why: str
    """The consequence: why the problem matters."""
    fix: str
    """The command, lines or record to copy; a line of text where there is nothing to copy."""


@dataclass(frozen=True, slots=True)
class Unknown:
    """A question that could not be answered, and the reason."""

    text: str


@dataclass(frozen=True, slots=True)
class Note:
    """Something worth knowing that is not a problem."""

    text: str


@dataclass(frozen=True, slots=True)
class Skipped:
    """A check that was skipped, and why, or how to request it."""

    text: str


Remark = Finding | Unknown | Skipped | Note


@dataclass(frozen=True, slots=True)
class TopicReport:
    """The findings, open questions, skipped checks and notes of one topic."""

    topic: Topic
    findings: tuple[Finding, ...]
    unknown: tuple[Unknown, ...]
    skipped: tuple[Skipped, ...]
    notes: tuple[Note, ...]


def topic_report(topic: Topic, remarks: Iterable[Remark]) -> TopicReport:
    """Sort the *remarks* on *topic* by kind, without duplicates."""
    all_remarks = tuple(dict.fromkeys(remarks))
    return TopicReport(
        topic,
        tuple(remark for remark in all_remarks if isinstance(remark, Finding)),
        tuple(remark for remark in all_remarks if isinstance(remark, Unknown)),
        tuple(remark for remark in all_remarks if isinstance(remark, Skipped)),
        tuple(remark for remark in all_remarks if isinstance(remark, Note)),
    )


def error(identifier: FindingId, what: str, why: str, fix: str) -> Finding:
    return Finding(identifier, Severity.ERROR, what, why, fix)


def warning(identifier: FindingId, what: str, why: str, fix: str) -> Finding:
    return Finding(identifier, Severity.WARNING, what, why, fix)


def snippet_command(layout: Layout, file: str = "") -> str:
    """The command that prints the lines of *layout*, for *file* alone if it is given."""
    command = f"alignd postfix-snippet --layout {layout.value}"
    return f"{command} --file {file}" if file else command


def one_line(finding: Finding) -> str:
    """Render a finding for the log: its name, the problem and the fix."""
    fix = "; ".join(line.strip() for line in finding.fix.splitlines())
    return printable(f"{finding.id.value}: {finding.what}; fix: {fix}")
