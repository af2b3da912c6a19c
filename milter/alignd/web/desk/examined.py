"""What was found out about an author domain, what has changed in it, or why nobody knows."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from alignd.advice.alternatives import Advice
from alignd.advice.publication import Kind
from alignd.advice.report_request import ReportRequest
from alignd.judgement.reasons import Reason
from alignd.letter.hosting import UNKNOWN_HOSTING, Hosting
from alignd.mail.domain import Domain
from alignd.mail.ip_address import IpAddress
from alignd.mailauth.dkim_key import DkimResult
from alignd.mailauth.dmarc import Policy
from alignd.mailauth.spf import SpfResult


class WhyNoLink(Enum):
    """Why there is no link with which the DNS host publishes the record."""

    OFF = "off"
    """Domain Connect is not configured."""
    NOTHING_TO_PUBLISH = "nothing-to-publish"
    NOT_OUR_TEMPLATE = "not-our-template"
    """What was proven is another record than the template would make."""
    UNSUPPORTED = "unsupported"
    """The DNS host does not take part, or does not know the template."""
    KEY_NOT_PUBLISHED = "key-not-published"
    """Hosts would refuse the link: they cannot verify it."""
    UNKNOWN = "unknown"
    """DNS or the host did not say."""
    NOT_YET_KNOWN = "not-yet-known"
    """It is being asked: whoever looks again may find the link."""


@dataclass(frozen=True, slots=True)
class NoLink:
    """There is no link to apply the record at the DNS host, or none yet."""

    why: WhyNoLink
    detail: str = ""
    """For operators, in English; printable, perhaps empty."""


@dataclass(frozen=True, slots=True)
class ApplyLink:
    """A signed link, with which the owner of a domain has his DNS host publish the record."""

    url: str
    provider: str
    """The name of the host, for people; whatever it says of itself, printable."""

    @property
    def host(self) -> str:
        """The DNS host, with where the link leads: anybody may call himself by a known name."""
        return f"{self.provider} ({self.url.split('/')[2]})"


@dataclass(frozen=True, slots=True)
class Records:
    """What DNS has at one name that has a say in the mail of a domain."""

    name: str
    texts: tuple[bytes, ...] | None = ()
    """The records of SPF, DKIM or DMARC, sorted; None where DNS did not say."""
    alias_of: str = ""
    """The target of a CNAME at the name; empty where there is none."""


@dataclass(frozen=True, slots=True)
class Examined:
    """What was found out about an author domain."""

    domain: Domain
    advice: Advice
    looked_at: float
    """Unix time."""
    hosting: Hosting = UNKNOWN_HOSTING
    """Of the domain itself."""
    hostings: tuple[Hosting, ...] = ()
    """Where each of the alternatives of *advice* is entered, in their order."""
    records: tuple[Records, ...] = ()
    """What is published now."""
    domain_connect: ApplyLink | NoLink = NoLink(WhyNoLink.OFF)
    reports: ReportRequest | None = None
    """What the letter may offer; None where it offers nothing, or DNS did not say."""
    is_authoritative: bool = False
    """Whether the servers of the zones were asked, and no cache."""

    @property
    def reason(self) -> Reason:
        """Why what happens to mail with the author's own envelope sender happens."""
        return self.advice.judgement.reason

    @property
    def policy(self) -> Policy:
        return self.advice.prediction.policy


class Trouble(Enum):
    """Why a domain could not be examined."""

    DNS = "dns"
    """DNS did not say what would be the answer."""
    BUSY = "busy"
    """Too many domains are being examined: whoever asks again in a moment may be answered."""
    TIMEOUT = "timeout"
    """It took longer than anybody waits."""
    NO_AUTHOR = "no-author"
    """No mail comes from such a name: a single label, or no room for an address."""
    INTERNAL = "internal"
    """A bug; a log line has it."""
    CLOSED = "closed"
    """The service is ending."""


@dataclass(frozen=True, slots=True)
class CheckProblem:
    """A domain could not be examined, which says nothing of its mail."""

    trouble: Trouble
    detail: str = ""
    """For operators, in English; printable, perhaps empty."""
    found: Examined | None = None
    """What is known all the same, where DNS did not say all: evidence, and no verdict."""


@dataclass(frozen=True, slots=True)
class TooSoon:
    """It was asked too often."""

    seconds: float
    """After these, it may be asked again."""


@dataclass(frozen=True, slots=True)
class ReasonChanged:
    """What happens to the mail has changed, or only why."""

    was: Reason
    now: Reason

    @property
    def changes_action(self) -> bool:
        return self.was.action is not self.now.action


@dataclass(frozen=True, slots=True)
class SpfChanged:
    """SPF has another result for mail from one address of the relay."""

    address: IpAddress
    was: SpfResult
    now: SpfResult


@dataclass(frozen=True, slots=True)
class DkimChanged:
    """A signature has another result; None where there was none, or is none any more."""

    domain: Domain | None
    selector: str
    was: DkimResult | None
    now: DkimResult | None


@dataclass(frozen=True, slots=True)
class PolicyChanged:
    """The domain has another DMARC policy."""

    was: Policy
    now: Policy


@dataclass(frozen=True, slots=True)
class RecordPublished:
    """A record of SPF, DKIM or DMARC stands in DNS that did not."""

    name: str
    kind: Kind
    value: bytes
    """Whatever was published; for a CNAME, its target."""


@dataclass(frozen=True, slots=True)
class RecordRemoved:
    """A record of SPF, DKIM or DMARC stands in DNS no longer."""

    name: str
    kind: Kind
    value: bytes


Change = ReasonChanged | SpfChanged | DkimChanged | PolicyChanged | RecordPublished | RecordRemoved


@dataclass(frozen=True, slots=True)
class Checked:
    """What DNS says now, asked anew, beside what was known."""

    before: Examined | None
    """None where nothing was known."""
    now: Examined
    changes: tuple[Change, ...] = ()
    """What differs, the most important first; empty where nothing has changed, or before is
    None."""
    is_seen_by_mail: bool | None = None
    """Whether the nameservers that mail asks say the same already, or have an old answer in their
    caches; None where that is not known."""
    obstacle: str = ""
    """Why the servers of the zones were not believed and *now* is what mail gets, for operators:
    they may not answer, or not all have the new record yet. Printable; mostly empty."""


CheckOutcome = Checked | TooSoon | CheckProblem
"""What came of looking anew."""


@dataclass(frozen=True, slots=True)
class Invitation:
    """A link for a customer's admin, as `alignd share new` makes it."""

    url: str
    id: str
    """By which it is revoked."""
    expires: float
    """Unix time."""
