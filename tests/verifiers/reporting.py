"""Delivers mail to a receiver that reports, a Postfix with rspamd, and keeps its reports.

It reads a `Sending` a line, all with one configuration, and steps into namespaces of its own.
Where the next one has another zone, that is served once all before it have arrived. What it leaves
in the directory that is its argument: `zone`, the first one with the keys that it made,
`reports/*.eml`, as they arrive where they were asked for, `alignd.conf`, and whatever that names,
such as a ledger. It writes a line for each message, with what alignd decided.
"""

import json
import os
import re
import shutil
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from itertools import groupby
from pathlib import Path
from typing import Self

from tests.lab import cast, rspamd
from tests.lab.alignd import Alignd, run_alignd
from tests.lab.nameserver import Nameserver, run_nameserver
from tests.lab.namespaces import furnish, run_isolated
from tests.lab.opendkim import SigningKey, Tables, run_signer
from tests.lab.postfix import TAKES_ALL, Listener, Postfix, run_postfix
from tests.lab.readiness import wait_until
from tests.lab.settings import world
from tests.lab.sink import Arrival, Inbox, run_inbox
from tests.lab.stepped_clock import SteppedClock
from tests.lab.submission import SmtpClient, submit
from tests.lab.suffixes import write_suffixes
from tests.lab.syslog import record_syslog
from tests.verifiers.sending import Sending
from tests.verifiers.testbed import Outlet

REPORTS = "dmarc@easysoftware.com"
"""Where reports are asked for."""
FORWARDED = "lists@customer.example"
"""What comes for this address is sent on, as it is, by another server."""
FORWARDER = "203.0.113.99"
UNLISTED = "192.0.2.26"
"""An address of the relay that its alignd may not know of."""

_NAMESERVER, _DNS, _SMTP = "127.0.0.1", 53, 25
_REPORTS_LISTENER = ("127.0.0.1", 2525)
_FIRST_PORT, _AT_ONCE = 10000, 4
_DONE = re.compile(r"(\d+) reports: \1 completed, 0 failed")
_RELAY = f"""\
myhostname = {cast.RELAY}
inet_interfaces = 127.0.0.1
smtp_connection_cache_on_demand = no
"""
_RECEIVER = f"""\
myhostname = {cast.RECEIVER}
inet_interfaces = 127.0.0.1, {cast.RECEIVER_IPV4}, {cast.RECEIVER_IPV6}
"""


@dataclass(frozen=True, slots=True)
class Decided:
    """What alignd made of one message."""

    name: str
    source: str
    action: str
    reason: str

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Read what `main` wrote."""
        return cls(**json.loads(text))


@dataclass(frozen=True, slots=True)
class _Places:
    """Where mail goes in, and where it comes out."""

    alignd: Alignd
    relay: Postfix
    outlets: dict[str, Outlet]
    """By source."""
    inbox: Inbox
    nameserver: Nameserver
    ours: SigningKey
    records: str
    """What is in each zone beside it."""

    def zone(self, zone: str) -> str:
        """*zone* as it is served, with all keys."""
        return f"{self.ours.publish(world(zone))}\n{self.records}"


def main(arguments: Sequence[str]) -> int:
    """Run with a directory for what is found; with a second one, in the namespaces already."""
    if len(arguments) == 1:
        return run_isolated([sys.executable, "-m", "tests.verifiers.reporting", arguments[0]])
    kept, directory = map(Path, arguments)
    sendings = [Sending.from_json(line) for line in sys.stdin]
    # rspamd has the days of its local time, the ledger those of UTC.
    os.environ["TZ"] = "UTC"
    since = time.time()
    with _run(directory, sendings) as places:
        (kept / "zone").write_text(places.zone(sendings[0].zone))
        for zone, some in groupby(sendings, lambda sending: sending.zone):
            places.nameserver.serve(places.zone(zone))
            for decided in _deliver(places, some):
                print(json.dumps(asdict(decided)))
        _forward(places.inbox)
        clock = SteppedClock(directory)
        said = rspamd.send_reports(directory / "daemons/rspamd", since, clock)
        done = _DONE.search(said)
        if done is None:
            raise RuntimeError(f"the reports were not sent:\n{said}")
        _keep(places.inbox, int(done[1]), kept / "reports")
        shutil.copy(places.alignd.config_path, kept / "alignd.conf")
    return 0


@contextmanager
def _run(directory: Path, sendings: Sequence[Sending]) -> Iterator[_Places]:
    (config,) = {sending.config for sending in sendings}
    sources = dict.fromkeys(source for sending in sendings for source in _sources(sending))
    furnish(
        directory,
        {*sources, cast.RECEIVER_IPV4, cast.RECEIVER_IPV6, FORWARDER},
        _NAMESERVER,
    )
    record_syslog(Path("/dev/log"), directory / "syslog.log")
    daemons = directory / "daemons"
    daemons.mkdir()
    # OpenDKIM and rspamd make their files as users of their own.
    daemons.chmod(0o777)
    suffixes = daemons / "suffixes"
    write_suffixes(suffixes, world(sendings[0].zone))
    ours = SigningKey.make(daemons)
    theirs = SigningKey.make(daemons, cast.RECEIVER_DOMAIN, "reports")
    signing = Tables(
        f"*@{cast.RECEIVER_DOMAIN} reports\n",
        f"reports {cast.RECEIVER_DOMAIN}:reports:{theirs.path}\n",
    )
    with ExitStack() as running:
        start = running.enter_context
        nameserver, inbox = start(run_nameserver(port=_DNS)), start(run_inbox())
        start(rspamd.run_redis(daemons))
        reporting = rspamd.Reporting(cast.RECEIVER_DOMAIN, _REPORTS_LISTENER)
        scanner = start(ThreadPoolExecutor()).submit(
            start, rspamd.run_rspamd(daemons / "rspamd", _NAMESERVER, suffixes, reporting)
        )
        alignd = start(run_alignd(directory / "alignd", f"{_NAMESERVER}:{_DNS}", config))
        signer = start(run_signer(daemons, "signer", Tables.of(config, ours.path), _NAMESERVER))
        milters = f"{alignd.socket}, unix:{signer}"
        outlets = {
            source: Outlet("127.0.0.1", port, milters, source)
            for port, source in enumerate(sources, _FIRST_PORT)
        }
        onwards = f"{TAKES_ALL}relayhost = [127.0.0.1]:{inbox.port}\n"
        relay = start(run_postfix(directory / "relay", onwards + _RELAY, [*outlets.values()]))
        of_reports = start(run_signer(daemons, "reports", signing, _NAMESERVER))
        entrances = [
            Listener(*_REPORTS_LISTENER, f"unix:{of_reports}"),
            Listener(cast.RECEIVER_IPV4, _SMTP, rspamd.MILTER),
            Listener(cast.RECEIVER_IPV6, _SMTP, rspamd.MILTER),
        ]
        start(run_postfix(directory / "receiver", onwards + _RECEIVER, entrances))
        scanner.result()
        yield _Places(alignd, relay, outlets, inbox, nameserver, ours, theirs.record)


def _sources(sending: Sending) -> tuple[str, ...]:
    return (UNLISTED,) if sending.name.startswith("unlisted") else sending.sources()


def _deliver(places: _Places, sendings: Iterable[Sending]) -> Iterator[Decided]:
    """Send each from every address of the relay, and wait until the receiver has it."""

    def deliver(sending: Sending, source: str) -> Decided:
        port = places.outlets[source].port
        reply = submit(port, sending.envelope_sender, sending.recipients, sending.message)
        delivery = places.relay.wait_for_delivery(reply.queue_id)
        if delivery.next_queue_id is None:
            raise RuntimeError(f"{sending.name} was not taken: {delivery}")
        queue_id = delivery.next_queue_id
        places.inbox.wait_for(lambda arrival: arrival.came_as(queue_id))
        said = dict(re.findall(r"(\S+)=(\S+)", places.alignd.log_line(reply.queue_id)))
        return Decided(sending.name, source, said["action"], said["reason"])

    with ThreadPoolExecutor(_AT_ONCE) as pool:
        waiting = [
            pool.submit(deliver, sending, source)
            for sending in sendings
            for source in _sources(sending)
        ]
        for each in waiting:
            yield each.result()


def _forward(inbox: Inbox) -> None:
    for arrival in [each for each in inbox.arrivals if FORWARDED in each.recipients]:
        with SmtpClient(_SMTP, server=cast.RECEIVER_IPV4, source=FORWARDER) as session:
            session.send(arrival.envelope_sender, [cast.JULIA], arrival.message)


def _keep(inbox: Inbox, count: int, directory: Path) -> None:
    def reports() -> list[Arrival]:
        sender = f"noreply-dmarc@{cast.RECEIVER_DOMAIN}"
        return [each for each in inbox.arrivals if each.envelope_sender == sender]

    wait_until(lambda: len(reports()) == count, f"{count} reports")
    directory.mkdir()
    for number, arrival in enumerate(reports()):
        if REPORTS in arrival.recipients:
            (directory / f"{number}.eml").write_bytes(arrival.message)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
