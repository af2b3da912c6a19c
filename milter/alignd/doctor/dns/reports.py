"""Says which reports about rewritten mail receivers are asked for, and which record asks.

Nothing but reports.address wants any: no mail depends on them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from alignd.config.settings import Configuration
from alignd.doctor.findings import (
    Finding,
    FindingId,
    Note,
    Remark,
    Topic,
    TopicReport,
    Unknown,
    topic_report,
    warning,
)
from alignd.mail.domain import Domain
from alignd.mail.mailbox import Mailbox
from alignd.mailauth.dmarc import DmarcRecords, Policy, Tags, policy_texts, record_name
from alignd.mailauth.dns import Answer, Lookup, LookupFailed, RecordType, texts_at
from alignd.mailauth.reporting.destination import (
    ALLOWS,
    Permission,
    permission_for,
    permission_name,
)
from alignd.mailauth.reporting.rua import new_record, report_addresses, with_address
from alignd.mailauth.rfc7489 import PublicSuffixes, Rfc7489
from alignd.mailauth.rfc9989 import Rfc9989
from alignd.mailauth.spf_record import quoted_strings

_WHY = "without reports, only mail that is refused shows that rewritten mail fails"


def examine_reports(
    configuration: Configuration, new_lookup: Callable[[], Lookup], suffixes: PublicSuffixes
) -> TopicReport:
    """Examine what the records of every domain ask for that rewritten mail is from."""
    address = configuration.reports.address
    domains = dict.fromkeys(
        domain for view in configuration.all_settings for domain in sorted(view.own_domains)
    )
    remarks = (
        remark
        for domain in domains
        for remark in _Examination(domain, address, new_lookup(), suffixes).remarks()
    )
    return topic_report(Topic.REPORTS, remarks)


@dataclass(frozen=True, slots=True)
class _Examination:
    domain: Domain
    address: Mailbox | None
    lookup: Lookup
    suffixes: PublicSuffixes

    def remarks(self) -> Iterator[Remark]:
        records = DmarcRecords(self.lookup)
        models = (Rfc7489(records, self.suffixes), Rfc9989(records))
        found = [model.discover(self.domain) for model in models]
        if any(each.policy is Policy.UNKNOWN for each in found):
            yield Unknown(f"which reports about {self.domain} are asked for: DNS did not answer")
            return
        owners = dict.fromkeys(each.record_domain for each in found if each.record_domain)
        if not owners:
            yield Note(f"{self.domain} has no DMARC record: receivers send no reports about it")
        for owner in owners:
            yield from self._at(owner, _WHY)
        organization = self.suffixes.registered_domain(self.domain)
        if self.address and organization not in {*owners, self.domain}:
            # Measured with rspamd 3.4: it takes rua from the organizational domain alone, and
            # drops what it has noted if there is none.
            why = (
                "some receivers, rspamd among them, report by organizational domain: without rua "
                f"there, they send no reports about {self.domain}"
            )
            yield from self._at(organization, why)

    def _at(self, owner: Domain, why: str) -> Iterator[Remark]:
        """Say what the record of *owner* asks for, and what it should, and *why*."""
        name = record_name(owner)
        answer = self.lookup.look_up(name, RecordType.TXT)
        if isinstance(answer, LookupFailed):
            yield Unknown(f"which reports {name} asks for: {answer.reason}")
            return
        texts = [text.decode("latin-1") for text in policy_texts(answer.texts)]
        if len(texts) > 1:
            yield Unknown(f"which reports {name} asks for: it has {len(texts)} records")
            return
        asked = report_addresses(Tags.parse(texts[0])) if texts else ()
        if self.address is None:
            yield Note(_said(name, asked))
            return
        if self.address.address.lower() in asked:
            yield Note(_said(name, asked))
        else:
            yield _not_asked(name, answer, texts, self.address, why)
        yield from self._allowed(owner, self.address.domain)

    def _allowed(self, owner: Domain, destination: Domain) -> Iterator[Remark]:
        if self._will_be_one(destination):
            return
        match permission_for(owner, destination, self.lookup, self.suffixes):
            case LookupFailed(reason):
                yield Unknown(f"whether {destination} allows reports about {owner}: {reason}")
            case Permission.MISSING:
                yield warning(
                    FindingId.REPORTS_NOT_ALLOWED,
                    f"{destination} does not allow that reports about {owner} are sent there",
                    "receivers send none to another organizational domain that does not say so "
                    "(RFC 7489, section 7.1)",
                    f'{permission_name(owner, destination)}. TXT "{ALLOWS}"',
                )

    def _will_be_one(self, destination: Domain) -> bool:
        """Whether the record that the organizational domain lacks makes it one with *destination*.

        By RFC 9989, section 4.10.2, a domain with a record below one without is one of its own.
        """
        organization = self.suffixes.registered_domain(self.domain)
        other = self.suffixes.registered_domain(destination)
        if other != organization or organization == self.domain:
            return False
        found = texts_at(record_name(organization), self.lookup)
        return not isinstance(found, LookupFailed) and not policy_texts(found)


def _said(name: str, asked: tuple[str, ...]) -> str:
    if asked:
        return f"{name} asks receivers for reports to {', '.join(asked)}"
    return (
        f"{name} asks receivers for no reports (rua); with reports.address, this shows the record "
        "that does"
    )


def _not_asked(name: str, answer: Answer, texts: list[str], address: Mailbox, why: str) -> Finding:
    record = with_address(texts[0], address) if texts else new_record(address)
    place = answer.alias_of or name
    return warning(
        FindingId.REPORTS_NOT_REQUESTED,
        f"{name} does not ask receivers for reports to {address.address}",
        why,
        f"{place}. TXT {' '.join(quoted_strings(record))}"
        if record
        else f"mend rua at {place}, which receivers read in different ways, and add the address",
    )
