"""`alignd digest`: a week of a real ledger, printed in four forms, and sent by mail."""

import os
import shutil
import time
from email import message_from_bytes
from email.policy import default
from pathlib import Path
from typing import Any

import pytest

from alignd.ledger.batch import DAY
from alignd.ledger.database import open_database
from alignd.ledger.tables import EVENTS
from tests.lab.ledger_rows import new_ledger
from tests.lab.postgresql import PostgreSql
from tests.lab.settings import configuration
from tests.support.commandline import CommandLine, Outcome
from tests.support.sendmail import Sendmail

TO = 'to = ["ops@easysoftware.com", "support@easysoftware.com"]\n'
TENANT = '[[tenant]]\nname = "easy"\nmatch = { X-Host = "easy.example" }\n'


class Relay(CommandLine):
    """A relay with a ledger, in which a story ends now."""

    @property
    def url(self) -> str:
        return f"sqlite:///{self.directory}/ledger.sqlite"

    def configure(self, options: str = "", more: str = "", url: str = "") -> None:
        ledger = f'[ledger]\nurl = "{url or self.url}"\n'
        self.write("alignd.conf", configuration(f"{ledger}[digest]\n{options}{more}"))

    def digest(self, *arguments: str) -> Outcome:
        return self.run("digest", *arguments, "--config", "alignd.conf")


def tell_story(url: str, now: float) -> None:
    """The story of a ledger, and that mail of mycompany.com began to be rewritten."""
    engine = new_ledger(url, now=now)
    words = {"leg": "outbound", "tenant": "", "domain": "mycompany.com", "kind": "began"}
    with engine.begin() as connection:
        connection.execute(EVENTS.insert().values(id="1", at=now - 3 * DAY, **words))


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("told") / "ledger.sqlite"
    tell_story(f"sqlite:///{path}", time.time())
    return path


@pytest.fixture
def relay(tmp_path: Path, prefork: Any, told: Path) -> Relay:
    relay = Relay(tmp_path, prefork)
    shutil.copy(told, tmp_path / "ledger.sqlite")
    open_database(relay.url).dispose()
    relay.configure()
    return relay


def test_a_week_is_printed_as_text(relay: Relay) -> None:
    outcome = relay.digest()

    assert (outcome.status, outcome.stderr) == (0, "")
    subject, blank, *_ = outcome.stdout.split("\n")
    assert "473 messages, rewritten 15%, began 1, stopped 0" in subject
    assert blank == ""
    assert "mycompany.com: 20 messages of 20 were rewritten. A record" in outcome.stdout
    assert "- good.example: the tenant easy" in outcome.stdout
    assert max(map(len, outcome.stdout.splitlines()[1:])) <= 80


def test_a_week_is_printed_for_programs(relay: Relay) -> None:
    found = relay.digest("--format", "json").json

    assert found["week"] == {"messages": 473, "rewritten": 72, "domains": 2}
    assert found["week_before"] == {"messages": 7, "rewritten": 0, "domains": 1}
    assert {
        kind: [each["domain"] for each in rows] for kind, rows in found["changes"].items()
    } == {
        "began": ["mycompany.com"],
        "another-tenant": ["good.example"],
    }
    assert [each["reason"] for each in found["most_rewritten"]] == ["relay-not-authorised"]
    assert (found["has_all_changes"], found["silent_relays"]) == (True, [])


def test_the_page_and_the_message_say_the_same(relay: Relay) -> None:
    relay.configure(TO, '[web]\nurl = "https://alignd.example"\n')

    html = relay.digest("--format", "html").stdout
    message = message_from_bytes(relay.digest("--format", "eml").stdout.encode(), policy=default)

    assert html.startswith("<!DOCTYPE html>")
    assert 'href="https://alignd.example/domains/mycompany.com"' in html
    assert message["From"] == "alignd <alignd@notifications.easysoftware.com>"
    assert message["To"] == "ops@easysoftware.com, support@easysoftware.com"
    text, page = message.iter_parts()
    assert "20 messages of 20" in text.get_content()
    assert page.get_content().replace("\r\n", "\n") == html


def test_the_language_is_that_of_the_configuration_or_of_the_command(relay: Relay) -> None:
    relay.configure('language = "cs"\n')

    assert "Co se změnilo".upper() in relay.digest().stdout
    assert "WAS SICH GEÄNDERT HAT" in relay.digest("--language", "de").stdout
    assert relay.digest("--language", "xx").status == os.EX_USAGE


def test_a_week_before_has_its_own_numbers(relay: Relay) -> None:
    assert relay.digest("--week", "1", "--format", "json").json["week"]["messages"] == 7
    assert "nothing happened" in relay.digest("--week", "9").stdout
    assert relay.digest("--week", "-1").status == os.EX_USAGE


def test_a_digest_can_be_about_one_tenant(relay: Relay) -> None:
    relay.configure('tenant = "easy"\n', TENANT)

    found = relay.digest("--format", "json").json

    assert (found["tenant"], found["week"]["messages"]) == ("easy", 1)
    assert list(found["changes"]) == ["another-tenant"]


def test_it_is_handed_to_sendmail(relay: Relay) -> None:
    sendmail = Sendmail.make(relay.directory)
    relay.configure(f'{TO}sendmail = "{sendmail.path}"\n')

    outcome = relay.digest("--send")

    assert (outcome.status, outcome.stdout, outcome.stderr) == (0, "", "")
    sender = "alignd@notifications.easysoftware.com"
    recipients = ["ops@easysoftware.com", "support@easysoftware.com"]
    assert sendmail.arguments == ["-i", "-f", sender, "--", *recipients]
    message = message_from_bytes(sendmail.message, policy=default)
    assert (message["Auto-Submitted"], message.defects) == ("auto-generated", [])
    assert b"\r" not in sendmail.message


def test_what_sendmail_does_not_take_is_told(relay: Relay) -> None:
    sendmail = Sendmail.make(relay.directory, 'sys.stderr.write("no room\\n"); sys.exit(75)')
    relay.configure(f'{TO}sendmail = "{sendmail.path}"\nfrom = "ops@a.example"\n')

    outcome = relay.digest("--send")

    assert (outcome.status, outcome.stdout) == (1, "")
    assert outcome.stderr == (f"Error: not sent: {sendmail.path} ended with status 75: no room\n")
    assert sendmail.arguments[:3] == ["-i", "-f", "ops@a.example"]


def test_nothing_is_sent_to_nobody(relay: Relay) -> None:
    sendmail = Sendmail.make(relay.directory)
    relay.configure(f'sendmail = "{sendmail.path}"\n')

    outcome = relay.digest("--send")

    assert outcome.status == 2
    assert "digest.to is empty" in outcome.stderr
    assert not sendmail.was_run


def test_sending_prints_no_form(relay: Relay) -> None:
    outcome = relay.digest("--send", "--format", "eml")

    assert outcome.status == os.EX_USAGE
    assert "exclude each other" in outcome.stderr


@pytest.mark.parametrize(
    ("window", "said"),
    [
        pytest.param("", "there is no such ledger", id="no-file"),
        pytest.param('window = "unix:{}/none.sock"\n', "(unreachable)", id="nobody-at-the-window"),
    ],
)
def test_a_ledger_that_does_not_answer_is_told(relay: Relay, window: str, said: str) -> None:
    (relay.directory / "ledger.sqlite").unlink()
    sendmail = Sendmail.make(relay.directory)
    options = f'[ledger]\nurl = "{relay.url}"\n{window.format(relay.directory)}'
    relay.write(
        "alignd.conf", configuration(f'{options}[digest]\n{TO}sendmail = "{sendmail.path}"\n')
    )

    outcome = relay.digest("--send")

    assert (outcome.status, outcome.stdout) == (2, "")
    assert said in outcome.stderr
    assert not sendmail.was_run


def test_a_file_that_is_no_ledger_is_told(relay: Relay) -> None:
    (relay.directory / "ledger.sqlite").write_bytes(b"x" * 5000)

    outcome = relay.digest()

    assert outcome.status == 2
    assert "(database)" in outcome.stderr


def test_a_ledger_that_relays_share_is_read(relay: Relay, postgresql: PostgreSql) -> None:
    url = postgresql.url(postgresql.new_database())
    tell_story(url, time.time())
    relay.configure(url=url)

    by_configuration = relay.digest("--format", "json").json
    relay.configure()
    by_option = relay.digest("--database", url, "--format", "json").json

    assert by_configuration == by_option
    assert by_option["week"]["messages"] == 473
