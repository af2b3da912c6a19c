"""DNS that fails: the last known good answer, the archive, the breaker, refreshing ahead."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from alignd.config.nameservers import nameservers_of
from alignd.config.settings import DnsOptions
from alignd.mailauth.dns import Answer, LookupFailed, RecordType
from alignd.resolver.archive.client import ArchiveClient
from alignd.resolver.resolver import QueryResult, Resolver
from tests.lab.nameserver import Nameserver, run_nameserver
from tests.lab.readiness import wait_until
from tests.support.archive import run_archive

A, TXT = RecordType.A, RecordType.TXT
KNOWN = 'known.example. 0 TXT "known"\n'
SILENT = "; TIMEOUT known.example\n; TIMEOUT other.example\n; TIMEOUT third.example\n; TIMEOUT .\n"


@pytest.fixture
def nameserver() -> Iterator[Nameserver]:
    with run_nameserver() as nameserver:
        nameserver.serve(KNOWN)
        yield nameserver


def resolver_of(
    nameserver: Nameserver,
    *,
    report: Callable[[str], None] = print,
    archive: ArchiveClient | None = None,
    **options: str,
) -> Resolver:
    settings = {"nameservers": [nameserver.address], "timeout": "300ms", "min_ttl": "0s"} | options
    dns = DnsOptions.model_validate(settings)
    return Resolver(dns, nameservers_of(dns), report, archive)


@pytest.mark.parametrize("failure", ["TIMEOUT", "SERVFAIL"])
def test_the_last_known_answer_is_used_when_dns_fails(
    nameserver: Nameserver, failure: str
) -> None:
    resolver = resolver_of(nameserver)
    assert resolver.for_message().look_up("known.example", TXT) == Answer((b"known",))

    nameserver.serve(f"; {failure} known.example\n")

    assert resolver.for_message().look_up("known.example", TXT) == Answer((b"known",))


def test_an_answer_that_is_too_old_is_not_used(nameserver: Nameserver) -> None:
    resolver = resolver_of(nameserver, stale="0s")
    resolver.for_message().look_up("known.example", TXT)

    nameserver.serve("; SERVFAIL known.example\n")

    assert resolver.for_message().look_up("known.example", TXT) == LookupFailed("SERVFAIL")


def test_an_absence_is_known_as_well(nameserver: Nameserver) -> None:
    resolver = resolver_of(nameserver)
    assert resolver.for_message().look_up("nowhere.example", TXT) == Answer((), exists=False)

    nameserver.serve("; SERVFAIL nowhere.example\n")

    assert resolver.for_message().look_up("nowhere.example", TXT) == Answer((), exists=False)


def test_a_changed_answer_is_believed_at_once(nameserver: Nameserver) -> None:
    resolver = resolver_of(nameserver)
    resolver.for_message().look_up("known.example", TXT)

    nameserver.serve('known.example. 0 TXT "changed"')

    assert resolver.for_message().look_up("known.example", TXT) == Answer((b"changed",))


def test_the_archive_knows_over_a_restart(nameserver: Nameserver, tmp_path: Path) -> None:
    path = tmp_path / "dns.sqlite"
    with run_archive(path) as archive:
        resolver_of(nameserver, archive=archive.client).for_message().look_up("known.example", TXT)
        archive.wait_until_in_file()
    nameserver.serve(SILENT)

    with run_archive(path) as archive:
        wait_until(lambda: len(archive.server._memory), "the file to be read")
        restarted = resolver_of(nameserver, archive=archive.client)
        assert restarted.for_message().look_up("known.example", TXT) == Answer((b"known",))
        wait_until(lambda: restarted.is_down, "the outage to be seen")
        assert restarted.for_message().look_up("known.example", TXT) == Answer((b"known",))
        assert restarted.for_message().look_up("other.example", TXT) == LookupFailed("DNS is down")


def test_what_is_private_is_in_memory_and_not_in_the_archive(
    nameserver: Nameserver, tmp_path: Path
) -> None:
    nameserver.serve(KNOWN + 'marky.known.example. 0 TXT "private"\n')
    with run_archive(tmp_path / "dns.sqlite") as archive:
        resolver = resolver_of(nameserver, archive=archive.client)
        resolver.for_message().look_up("marky.known.example", TXT, is_private=True)
        resolver.for_message().look_up("known.example", TXT)
        # The private one was put first, if it was put at all, and would be there by then.
        wait_until(lambda: len(archive.server._memory), "the answer to be archived")
        archive.wait_until_in_file()

        assert len(archive.server._memory) == 1
        assert archive.client.get(("known.example", TXT))
        nameserver.serve("; SERVFAIL marky.known.example\n")
        message = resolver.for_message()
        assert message.look_up("marky.known.example", TXT, is_private=True) == Answer(
            (b"private",)
        )


def test_an_outage_costs_one_timeout(nameserver: Nameserver) -> None:
    reports: list[str] = []
    resolver = resolver_of(nameserver, report=reports.append, timeout="1s")
    resolver.for_message().look_up("known.example", TXT)
    nameserver.serve(SILENT)

    assert resolver.for_message().look_up("other.example", TXT) == LookupFailed("timeout")
    wait_until(lambda: resolver.is_down, "the probe to fail as well")
    started = time.monotonic()
    for _ in range(50):
        message = resolver.for_message()
        assert message.look_up("third.example", TXT) == LookupFailed("DNS is down")
        assert message.look_up("known.example", TXT) == Answer((b"known",))

    assert time.monotonic() - started < 10  # fifty seconds if each message waited
    wait_until(lambda: reports, "the outage to be reported")
    nameserver.serve(KNOWN + 'third.example. TXT "third"')
    wait_until(lambda: len(reports) == 2, "the end of the outage to be reported")
    assert resolver.for_message().look_up("third.example", TXT) == Answer((b"third",))
    assert ["down" in reports[0], "back" in reports[1]] == [True, True]


def test_messages_of_other_domains_are_asked_while_the_probe_is_under_way(
    nameserver: Nameserver,
) -> None:
    resolver = resolver_of(nameserver, timeout="1s")
    nameserver.serve(KNOWN + "; TIMEOUT silent.example\n; TIMEOUT .\n")

    assert resolver.for_message().look_up("silent.example", TXT) == LookupFailed("timeout")

    assert resolver.for_message().look_up("known.example", TXT) == Answer((b"known",))


def test_one_silent_domain_is_no_outage(nameserver: Nameserver) -> None:
    reports: list[str] = []
    resolver = resolver_of(nameserver, report=reports.append)
    nameserver.serve(KNOWN + "; TIMEOUT silent.example\n")

    assert resolver.for_message().look_up("silent.example", TXT) == LookupFailed("timeout")

    assert resolver.for_message().look_up("known.example", TXT) == Answer((b"known",))
    assert reports == []


def test_a_failure_is_not_asked_again_at_once(nameserver: Nameserver) -> None:
    nameserver.serve("; SERVFAIL broken.example\n")
    resolver = resolver_of(nameserver, min_ttl="1m")

    for _ in range(5):
        assert resolver.for_message().look_up("broken.example", A) == LookupFailed("SERVFAIL")

    assert nameserver.questions == [("broken.example.", "A")]


def test_an_answer_in_use_is_refreshed_before_it_expires(nameserver: Nameserver) -> None:
    nameserver.serve('hot.example. 2 TXT "old"')
    resolver = resolver_of(nameserver)
    resolver.for_message().look_up("hot.example", TXT)
    nameserver.serve('hot.example. 300 TXT "new"')

    def refreshed() -> bool:
        # No message waits for the refresh: until it is done, the old answer is used.
        answer = resolver.for_message().look_up("hot.example", TXT)
        assert answer in (Answer((b"old",)), Answer((b"new",)))
        return bool(nameserver.questions)

    wait_until(refreshed, "the answer to be asked again", 10)
    wait_until(
        lambda: resolver.for_message().look_up("hot.example", TXT) == Answer((b"new",)),
        "the new answer",
    )
    assert nameserver.questions == [("hot.example.", "TXT")]


class BrokenMeter:
    """Counts queries, and has a bug when it is broken."""

    def __init__(self) -> None:
        self.is_broken = False
        self.refresh_failures = 0

    def queried(self, record_type: RecordType, result: QueryResult) -> None:
        if self.is_broken:
            raise KeyError(record_type, result)

    def hit_cache(self) -> None:
        pass

    def used_last_known(self) -> None:
        pass

    def refresh_failed(self) -> None:
        self.refresh_failures += 1

    def probe_failed(self) -> None:
        pass


def test_the_refresher_outlives_a_bug(nameserver: Nameserver) -> None:
    nameserver.serve('hot.example. 1 TXT "old"\nwarm.example. 1 TXT "old"')
    reports: list[str] = []
    meter, settings = BrokenMeter(), {"nameservers": [nameserver.address], "min_ttl": "0s"}
    options = DnsOptions.model_validate(settings)
    resolver = Resolver(options, nameservers_of(options), reports.append, meter=meter)
    for name in ("hot.example", "warm.example"):
        resolver.for_message().look_up(name, TXT)
    meter.is_broken = True
    resolver._refresher.put(("hot.example", TXT))
    wait_until(lambda: reports == ["DNS answer was not refreshed: KeyError"], "the bug")

    meter.is_broken = False
    nameserver.serve('warm.example. 300 TXT "new"')
    resolver._refresher.put(("warm.example", TXT))

    def refreshed() -> bool:
        known = resolver._cache.get(("warm.example", TXT))
        return known is not None and known.answer == Answer((b"new",))

    wait_until(refreshed, "the next one")
    assert meter.refresh_failures == 1
    resolver.end()
