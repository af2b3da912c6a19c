"""Makes the record with which a domain delegates a DKIM selector to the signer behind alignd.

It is a candidate: `alternatives` has mail judged with a signer that uses the key.
"""

from __future__ import annotations

from dataclasses import dataclass

from alignd.advice.publication import Impossible, Kind, Publication
from alignd.advice.wildcard import wildcard_of
from alignd.config.settings import Delegate
from alignd.mail.domain import Domain, DomainError
from alignd.mail.mailbox import Mailbox
from alignd.mail.message import Message
from alignd.mailauth.dkim import PlannedSignature, Signer
from alignd.mailauth.dkim_key import key_name
from alignd.mailauth.dns import Lookup, LookupFailed, RecordType


@dataclass(frozen=True, slots=True)
class Delegation:
    """A delegated selector; also a `Signer` that uses it, for judging what it would change."""

    publication: Publication
    is_published: bool
    is_configured: bool
    """Whether the signer is already configured to sign with it."""
    signer: Signer
    signature: PlannedSignature

    def signatures_for(
        self, author: Mailbox, message: Message | None = None
    ) -> tuple[PlannedSignature, ...]:
        """Predict the signatures of mail of *author*, the one with this selector among them."""
        signatures = self.signer.signatures_for(author, message)
        return signatures if self.is_configured else (*signatures, self.signature)

    @property
    def entry(self) -> str:
        """The entry that the operator has to add to the configuration, for people."""
        entry = f'{{ domain = "{self.signature.domain}", selector = "{self.signature.selector}" }}'
        return f"the operator adds {entry} to dkim.signs, and the domain to the signer's tables"


def delegation(
    delegate: Delegate, author: Mailbox, signer: Signer, lookup: Lookup
) -> Delegation | Impossible:
    """Make the record with which the domain of *author* delegates the selector.

    Where the signer signs his mail for a domain above, as with `subdomains`, it is that domain's.
    """
    configured = [
        each.domain
        for each in signer.signatures_for(author)
        if each.selector == delegate.selector and author.domain.is_within(each.domain)
    ]
    owner = configured[0] if configured else author.domain
    try:
        name = Domain.parse(key_name(owner, delegate.selector))
    except DomainError as error:
        return Impossible(str(error))
    if name == delegate.target:
        return Impossible(f"{name} is where dkim.delegate has the key itself")
    wildcard = wildcard_of(owner, lookup)
    if isinstance(wildcard, LookupFailed):
        return Impossible(f"DNS did not say what {owner} has: {wildcard.reason}")
    if wildcard:
        return Impossible(f"a key below {owner} would take the records of {wildcard} away from it")
    there = _published(name, lookup)
    if isinstance(there, LookupFailed):
        return Impossible(f"DNS did not say what {name} has: {there.reason}")
    kind = Kind.CNAME if delegate.target else Kind.TXT
    value = delegate.target.name if delegate.target else delegate.public_key
    return Delegation(
        Publication(name.name, name, kind, value, there.own),
        value.encode("ascii") in there.all,
        bool(configured),
        signer,
        PlannedSignature(owner, delegate.selector),
    )


@dataclass(frozen=True, slots=True)
class _Published:
    """What a name has now: the target of a CNAME, or TXT records."""

    all: tuple[bytes, ...]
    own: tuple[bytes, ...]
    """Those that somebody can remove: what a wildcard answers is nobody's record of this name."""


def _published(name: Domain, lookup: Lookup) -> _Published | LookupFailed:
    answer, wildcard = lookup.look_up(name.name, RecordType.TXT), wildcard_of(name, lookup)
    if isinstance(answer, LookupFailed):
        return answer
    if isinstance(wildcard, LookupFailed):
        return wildcard
    alias = answer.alias_of.lower().encode()
    found = (alias,) if alias else tuple(sorted(answer.texts))
    return _Published(found, () if wildcard else found)
