"""The page, over a made-up ledger: whose mail is rewritten, since when, and what DNS says."""

import json
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import Engine, insert, update

from alignd.ledger.answer import Finding
from alignd.ledger.batch import DAY
from alignd.ledger.event import EventKind
from alignd.ledger.tables import EVENTS, STATES
from tests.lab import cast
from tests.lab.alignd import Alignd, run_alignd, run_web
from tests.lab.ledger_rows import PASSED, REWRITTEN, WRITER, Mail, hear, new_ledger
from tests.lab.milter_client import MilterConnection
from tests.lab.nameserver import Nameserver
from tests.lab.readiness import free_ports, wait_until
from tests.lab.return_addresses import write_keys
from tests.lab.settings import world

COMPANY = cast.COMPANY_DOMAIN
PASSING = "happycustomer.com"
OLD_SPF = f"v=spf1 ip4:{cast.COMPANY_IPV4} -all"
NEW_SPF = f"v=spf1 ip4:{cast.COMPANY_IPV4} include:{cast.SPF_INCLUDE} -all"
"""What the page has mycompany.com publish."""
UNKNOWN = Finding("rewrite", "dns-unavailable", "", "temperror", "none")
ENVELOPE = Finding("envelope", "spf-aligned", "none", "pass", "none")
_DAYS = 60
_OTHERS = (
    ("garden.example", PASSED, 210),
    ("bakery.example", REWRITTEN, 64),
    ("museum.example", PASSED, 41),
    ("b\N{LATIN SMALL LETTER U WITH DIAERESIS}cher.example", PASSED, 18),
    ("school.example", UNKNOWN, 12),
    ("sailing-club-of-the-northern-harbour.example", REWRITTEN, 7),
    ("workshop.example", ENVELOPE, 3),
)


def zone(spf: str = OLD_SPF) -> str:
    """What DNS says, with this SPF record of mycompany.com."""
    good = f'TXT "v=spf1 include:{cast.SPF_INCLUDE} -all"'
    records = [
        f'{COMPANY}. TXT "{spf}"',
        f'_dmarc.{COMPANY}. TXT "v=DMARC1; p=reject; rua=mailto:dmarc@{COMPANY}"',
        f"{PASSING}. {good}",
        f'_dmarc.{PASSING}. TXT "v=DMARC1; p=quarantine"',
        f"garden.example. {good}",
        '_dmarc.garden.example. TXT "v=DMARC1; p=reject"',
        'bakery.example. TXT "v=spf1 -all"',
        '_dmarc.bakery.example. TXT "v=DMARC1; p=reject"',
    ]
    return world("\n".join(records) + "\n")


@dataclass(frozen=True)
class Pages:
    """The page, the relay that it tells of, and the DNS that both ask."""

    url: str
    """Of the list."""
    web: Alignd
    relay: Alignd
    nameserver: Nameserver

    def domain(self, name: str = COMPANY) -> str:
        """The URL of a domain's page."""
        return f"{self.url}domains/{name}"

    def share(self, name: str = COMPANY, *arguments: str) -> str:
        """A new link for a domain's admin."""
        words = ["share", "new", name, *arguments, "--config", str(self.web.config_path)]
        command = [sys.executable, "-m", "alignd", *words]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()

    def send(self, times: int, queue_ids: Iterator[str]) -> None:
        """Have an agent of mycompany.com reply so many times."""
        message = f"From: Marky Mark <{cast.MARKY}>\r\nSubject: Re: printer\r\n\r\nHello\r\n"
        with MilterConnection(self.relay.socket) as mta:
            for _ in range(times):
                sent = mta.send(
                    cast.MARKY, (cast.JULIA,), message.encode(), queue_id=next(queue_ids)
                )
                assert sent.accepted


@contextmanager
def run_pages(directory: Path, nameserver: Nameserver, language: str = "en") -> Iterator[Pages]:
    """Run the relay with a made-up ledger, and the page that shows it."""
    nameserver.serve(zone())
    directory.mkdir(parents=True, exist_ok=True)
    url = f"sqlite:///{directory}/ledger.sqlite"
    make_ledger(url, time.time())
    write_keys(directory / "share.keys")
    window = directory / "window.sock"
    own, share = free_ports(2)
    changes = f"""
[ledger]
watch = "0s"
url = "{url}"
window = "unix:{window}"
[web]
listen = "127.0.0.1:{own}"
share_listen = "127.0.0.1:{share}"
share_url = "http://127.0.0.1:{share}/"
share_keys = "{directory}/share.keys"
revoked = "{directory}/revoked"
language = "{language}"
"""
    with run_alignd(directory / "relay", nameserver.address, changes) as relay:
        wait_until(window.exists, "the window of the ledger")
        with run_web(directory / "web", nameserver.address, changes) as web:
            yield Pages(f"http://127.0.0.1:{own}/", web, relay, nameserver)


def make_ledger(url: str, now: float) -> None:
    """Make a ledger of two months until *now*."""
    engine = new_ledger(url, list(_mails()), now)
    _change_states(engine, now)
    hear(engine, PASSING, (4, 5, 11, 12), now)
    engine.dispose()


def _mails() -> Iterator[Mail]:
    """Each working day some messages; mycompany.com has lost our include three weeks ago."""
    for days_ago in range(_DAYS, 0, -1):
        if days_ago % 7 in (1, 2):
            continue
        wave = (days_ago * 37) % 11
        yield Mail(COMPANY, REWRITTEN if days_ago < 21 else PASSED, 20 + wave, days_ago)
        if days_ago > 45:
            yield Mail(PASSING, REWRITTEN, 9 + wave, days_ago)
        else:
            yield Mail(PASSING, PASSED, 30 + 2 * wave, days_ago)
    for name, finding, messages in _OTHERS:
        ages: tuple[float, ...] = (26, 19, 12, 5, 0.5)
        domain = name.encode("idna").decode()
        for age in ages:
            yield Mail(domain, finding, messages // (1 + int(age) % 3) + 1, age)


def _change_states(engine: Engine, now: float) -> None:
    """What looks at DNS would have noted: when the state began, and the events."""
    changes = (
        (COMPANY, EventKind.BEGAN, PASSED, REWRITTEN, 21),
        (PASSING, EventKind.STOPPED, REWRITTEN, PASSED, 45),
    )
    with engine.begin() as connection:
        for domain, kind, was, is_now, days_ago in changes:
            at = now - days_ago * DAY
            state = update(STATES).where(STATES.c.domain == domain)
            connection.execute(state.values(**_words(is_now), since=at, looked=now))
            event = {
                "id": str(uuid.uuid4()),
                "at": at,
                "leg": WRITER.leg,
                "tenant": "",
                "domain": domain,
                "kind": kind.value,
                "was": json.dumps({**_words(was), "since": at - 30 * DAY}),
                "now": json.dumps({**_words(is_now), "since": at}),
                "relay": WRITER.relay,
            }
            connection.execute(insert(EVENTS).values(event))
        school = update(STATES).where(STATES.c.domain == "school.example")
        connection.execute(school.values(unknown_since=now - DAY))


def _words(finding: Finding) -> dict[str, str]:
    names = ("action", "reason", "policy", "spf", "dkim")
    return {name: getattr(finding, name) for name in names}
