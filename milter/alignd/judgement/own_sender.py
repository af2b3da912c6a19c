"""Chooses what a rewritten message is from: the author's return addresses, or those of all."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from enum import Enum

from alignd.config.settings import Settings
from alignd.mail.mailbox import Mailbox
from alignd.return_path.address import DAY, Kind, Unfit
from alignd.return_path.directory import Directory


class AddressResult(Enum):
    """What became of the return address for From, where they are on; the words of the metric."""

    RETURN = "return"
    """It is in From."""
    CHARACTERS = Unfit.CHARACTERS.value
    TOO_LONG = Unfit.TOO_LONG.value
    OURS = Unfit.OURS.value
    """From was ours already, and what is left of it cannot be answered to."""
    BLOCKED = Unfit.BLOCKED.value
    """return.blocked names the author, and answers to his address would be refused."""
    NO_AUTHOR = "no-author"
    """From names nobody."""
    NO_KEYS = "no-keys"
    """Nobody has loaded the keys: a command that makes no return addresses."""


@dataclass(frozen=True, slots=True)
class OwnSender:
    """What a message is from once it is rewritten."""

    address: Mailbox
    """In From."""
    bounces: Mailbox
    """In the envelope, unless that is null."""
    result: AddressResult | None
    """None where return addresses are off."""
    good_until: float = math.inf
    """Unix time: a bounce address has the day in it."""

    @property
    def is_return_address(self) -> bool:
        """Whether answers to From reach the author."""
        return self.result is AddressResult.RETURN

    @property
    def bounces_reach_author(self) -> bool:
        return self.good_until < math.inf


def shared_sender(settings: Settings) -> OwnSender:
    """The notifications' addresses, as of an author whom nobody knows."""
    notifications = settings.notifications
    result = AddressResult.NO_AUTHOR if settings.return_path.keys else None
    return OwnSender(notifications.address, notifications.bounces, result)


def own_sender(
    author: Mailbox | None,
    envelope_sender: str,
    settings: Settings,
    directory: Directory,
    now: float,
) -> OwnSender:
    """Choose for a message of *author* with this envelope sender, at the Unix time *now*.

    Each of the two addresses that does not fit is the shared one. A null envelope sender needs no
    address: it stays null.
    """
    shared = shared_sender(settings)
    if shared.result is None or author is None:
        return shared
    if author.domain in settings.own_domains:
        return replace(shared, result=AddressResult.OURS)
    try:
        address = directory.make(author, Kind.AUTHOR, settings, now)
        wants_bounces = envelope_sender and settings.return_path.envelope == "author"
        bounces = directory.make(author, Kind.BOUNCE, settings, now) if wants_bounces else None
    except LookupError:
        return replace(shared, result=AddressResult.NO_KEYS)
    sender = shared
    if isinstance(address, Mailbox):
        sender = replace(sender, address=address, result=AddressResult.RETURN)
    elif address is not None:
        sender = replace(sender, result=AddressResult(address.value))
    if isinstance(bounces, Mailbox):
        sender = replace(sender, bounces=bounces, good_until=(now // DAY + 1) * DAY)
    return sender
