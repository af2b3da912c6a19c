"""What a real receiver, rspamd, reports of mail that alignd decided on is what was predicted."""

import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from alignd.cli.main import main
from alignd.config.domain_lists import SuffixList
from alignd.config.file import parse_configuration
from alignd.doctor.dns.reports import examine_reports
from alignd.resolver.zone import Zone
from tests.lab import cast
from tests.lab.postfix import obstacle
from tests.lab.processes import missing_programs
from tests.lab.settings import configuration, world
from tests.support.program import run_program
from tests.verifiers.reporting import FORWARDED, FORWARDER, REPORTS, UNLISTED, Decided
from tests.verifiers.sending import Sending

NEEDED = (
    *("ip", "opendkim", "opendkim-genkey", "postfix", "redis-server", "rspamd", "rspamadm"),
)
MISSING = missing_programs(NEEDED)
pytestmark = [
    pytest.mark.postfix,
    pytest.mark.skipif(obstacle() is not None, reason=obstacle() or ""),
    pytest.mark.skipif(bool(MISSING), reason=f"needs {MISSING}"),
]

CONFIG = f"""\
[rules]
exempt = ["exempt.example"]
[reports]
address = "{REPORTS}"
[[tenant]]
match = {{ X-Helpdesk = "other" }}
notifications = {{ address = "helpdesk@mail.other.example" }}
"""
# Of the senders: who asks for reports, and whether they may be sent. `good.example` and
# `wild.cz` do not ask before they are advised to.
ZONE = f"""\
{cast.SPF_INCLUDE}. TXT "v=spf1 ip4:192.0.2.25 ip4:{UNLISTED} ip6:2001:db8::25 -all"
good.example. TXT "v=spf1 include:spf.mailing.easy.cz -all"
_dmarc.good.example. TXT "v=DMARC1; p=reject; adkim=s"
wild.cz. TXT "v=spf1 include:spf.mailing.easy.cz -all"
_dmarc.wild.cz. TXT "v=DMARC1; p=quarantine; rua=mailto:postmaster@wild.cz"
forbidden.example. TXT "v=spf1 include:spf.mailing.easy.cz -all"
_dmarc.forbidden.example. TXT "v=DMARC1; p=reject; rua=mailto:{REPORTS}"
exempt.example. TXT "v=spf1 -all"
_dmarc.exempt.example. TXT "v=DMARC1; p=reject; rua=mailto:{REPORTS}"
exempt.example._report._dmarc.easysoftware.com. TXT "v=DMARC1"
*._report._dmarc.easysoftware.com. TXT "v=DMARC1"
mycompany.com. TXT "v=spf1 -all"
_dmarc.mycompany.com. TXT "v=DMARC1; p=reject; rua=mailto:{REPORTS}"
mail.other.example. TXT "v=spf1 include:spf.mailing.easy.cz -all"
_dmarc.mail.other.example. TXT "v=DMARC1; p=reject; rua=mailto:{REPORTS}"
mail.other.example._report._dmarc.easysoftware.com. TXT "v=DMARC1"
other.example._report._dmarc.easysoftware.com. TXT "v=DMARC1"
"""
ADDRESSES = len(cast.RELAY_ADDRESSES)


def sending(
    name: str, author: str, *, sender: str | None = None, to: str = cast.JULIA, more: str = ""
) -> Sending:
    message = f"From: {author}\r\n{more}Subject: {name}\r\n\r\nHello\r\n".encode()
    return Sending(name, "", "", "127.0.0.1", None, author if sender is None else sender, (to,), message)


SENDINGS = [
    *(sending(f"rewritten-{number}", cast.MARKY) for number in range(3)),
    sending("rewritten-auto-reply", cast.MARKY, sender=""),
    sending("rewritten-and-forwarded", cast.MARKY, to=FORWARDED),
    sending("unlisted-rewritten", cast.MARKY),
    *(sending(f"left-alone-{number}", "ann@good.example") for number in range(2)),
    sending("left-alone-and-forwarded", "ann@good.example", to=FORWARDED),
    sending("left-alone-wild", "ann@wild.cz"),
    sending("exempt", "ann@exempt.example"),
    sending("forbidden", "ann@forbidden.example"),
    sending("rewritten-for-another", cast.MARKY, more="X-Helpdesk: other\r\n"),
]


@dataclass(frozen=True, slots=True)
class Reported:
    """What there is when the reports have come."""

    directory: Path
    decided: tuple[Decided, ...]

    def read(self, *arguments: str) -> Result:
        """`alignd reports` on what has come."""
        files = ("--zone", str(self.directory / "zone"))
        config = ("--config", str(self.directory / "alignd.conf"))
        return CliRunner().invoke(main, ["reports", *arguments, *files, *config])

    @property
    def reports(self) -> Path:
        return self.directory / "reports"


def advised(directory: Path) -> str:
    """The zone with all that `alignd domain` and `alignd doctor` say, so that reports come.

    But for one record: that of the organizational domain of a tenant's notifications.
    """
    zone = world(ZONE)
    (directory / "zone").write_text(zone)
    (directory / "advised.conf").write_text(configuration(CONFIG))
    paths = ("--zone", str(directory / "zone"), "--config", str(directory / "advised.conf"))
    said = CliRunner().invoke(main, ["domain", "--json", "good.example", "wild.cz", *paths])
    requests = [json.loads(line)["reports"] for line in said.stdout.splitlines()]
    records = [
        f'{record["name"]}. TXT "{record["value"]}"'
        for request in requests
        for record in (request["publish"], request["allow"])
        if record
    ]
    lookup, settings = Zone.parse(zone), parse_configuration(configuration(CONFIG), "test")
    examined = examine_reports(settings, lambda: lookup, SuffixList())
    records += [each.fix for each in examined.findings if "_dmarc.other.example" not in each.fix]
    return published(zone, records)


def published(zone: str, records: Iterable[str]) -> str:
    """*zone* with *records* in place of what their names had."""
    names = {record.split()[0] for record in records}
    kept = [line for line in zone.splitlines() if line.split()[0] not in names]
    return "\n".join([*kept, *records, ""])


@pytest.fixture(scope="module")
def reported(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Reported]:
    directory = tmp_path_factory.mktemp("reported")
    zone = advised(directory)
    config = f'{CONFIG}[ledger]\nurl = "sqlite:///{directory}/ledger.sqlite"\n'
    worlds = (
        Sending.to_json(
            Sending(
                each.name,
                zone,
                config,
                each.client,
                each.login,
                each.envelope_sender,
                each.recipients,
                each.message,
            )
        )
        for each in SENDINGS
    )
    lines = run_program("tests.verifiers.reporting", str(directory), lines=worlds, timeout=240)
    yield Reported(directory, tuple(map(Decided.from_json, lines)))


def test_it(reported: Reported) -> None:
    for each in reported.decided:
        print(each)
    done = reported.read(str(reported.reports), "--json")
    print(json.dumps(json.loads(done.output), indent=1))
    print(reported.read(str(reported.reports)).output)
    raise AssertionError
