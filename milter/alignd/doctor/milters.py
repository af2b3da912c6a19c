"""Checks that Postfix reaches every other milter of its chain, from where it runs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from alignd.config.endpoint import Endpoint, UnixEndpoint
from alignd.doctor.chain import is_signer
from alignd.doctor.facts import Reach
from alignd.doctor.findings import FindingId, Note, Remark, Unknown, error
from alignd.postfix.chain import Chain, is_same, outside_chroot
from alignd.postfix.config import Service
from alignd.postfix.milters import MilterEntry, MilterListError, read_milters


@dataclass(frozen=True, slots=True)
class OtherMilter:
    """A milter besides alignd, as one service of Postfix has it."""

    service: Service
    entry: MilterEntry
    endpoint: Endpoint
    """Where it is outside of the chroot of the service."""


def other_milters(chain: Chain) -> tuple[OtherMilter, ...]:
    """The milters that Postfix calls besides alignd, also for mail of sendmail(1)."""
    return tuple(
        OtherMilter(service, entry, endpoint)
        for service, entry in _entries(chain)
        if entry.endpoint is not None
        for endpoint in [outside_chroot(entry.endpoint, chain.postfix, service)]
        if not any(is_same(each, chain.endpoint) for each in (entry.endpoint, endpoint))
    )


def _entries(chain: Chain) -> Iterator[tuple[Service, MilterEntry]]:
    for smtpd in chain.smtpd:
        yield from ((smtpd.service, entry) for entry in smtpd.milters)
    for cleanup in chain.postfix.running("cleanup"):
        try:
            entries = read_milters(chain.postfix.value("non_smtpd_milters", cleanup))
        except MilterListError:
            continue
        yield from ((cleanup, entry) for entry in entries)


def examine_milters(chain: Chain, reached: Mapping[Endpoint, Reach]) -> Iterator[Remark]:
    """Check that each of them can be reached; *reached* has what came of trying."""
    by_endpoint: dict[Endpoint, list[OtherMilter]] = {}
    for each in other_milters(chain):
        by_endpoint.setdefault(each.endpoint, []).append(each)
    for endpoint, milters in by_endpoint.items():
        found = reached.get(endpoint)
        if isinstance(found, Unknown):
            yield found
        elif found is None:
            yield Note(f"Postfix reaches {milters[0].entry.text}")
        else:
            yield _unreachable(chain, milters, found)


def _unreachable(chain: Chain, milters: list[OtherMilter], reason: str) -> Remark:
    first = milters[0]
    actions = {
        each.entry.settings.get("default_action")
        or chain.postfix.value("milter_default_action", each.service)
        for each in milters
    }
    is_chrooted = any(each.service.is_chrooted for each in milters)
    place = f", which is {first.endpoint} outside of the chroot" if is_chrooted else ""
    return error(
        FindingId.MILTER_UNREACHABLE,
        f"{_names(milters)} cannot connect to {first.entry.text}{place}: {reason}",
        "mail leaves without what it adds, such as a signature"
        if actions == {"accept"}
        else "every message there is put off or refused, whatever alignd says",
        _fix(chain, first),
    )


def _names(milters: list[OtherMilter]) -> str:
    return ", ".join(dict.fromkeys(str(each.service) for each in milters))


def _fix(chain: Chain, milter: OtherMilter) -> str:
    endpoint = milter.endpoint
    if not isinstance(endpoint, UnixEndpoint):
        return f"start the milter at {endpoint}, or correct its address in smtpd_milters"
    if not is_signer(milter.entry):
        return f"have it listen at {endpoint.path}, where Postfix's user may connect"
    owner = chain.postfix.value("mail_owner")
    return (
        f"install -d -o opendkim -g {owner} -m 750 {endpoint.path.rpartition('/')[0]}\n"
        f"Socket local:{endpoint.path} in opendkim.conf\n"
        f"usermod --append --groups opendkim {owner}\n"
        "systemctl restart opendkim postfix"
    )
