"""`alignd share`: a link for one domain's admin, which can be ended before its time."""

import re
import time
from pathlib import Path

import pytest

from alignd.config.domain_lists import FreemailDomains
from alignd.return_path.keyring import Keyring
from alignd.web.sharing import DAY, ShareLink, is_id, new_id, read_token
from tests.lab.return_addresses import KEYS, write_keys
from tests.lab.settings import configuration
from tests.support.commandline import CommandLine, Outcome

BASE = "https://help.example/dns"
WEB = f"""\
[web]
share_url = "{BASE}"
share_keys = "share.keys"
revoked = "revoked"
[[tenant]]
name = "mycompany"
match = {{ X-Host = "a.example" }}
"""


@pytest.fixture
def sharing(cli: CommandLine) -> CommandLine:
    cli.write("alignd.conf", configuration(WEB))
    write_keys(cli.directory / "share.keys")
    return cli


def share(cli: CommandLine, *arguments: str) -> Outcome:
    return cli.run("share", *arguments, "--config", "alignd.conf")


def link_of(outcome: Outcome) -> ShareLink:
    assert outcome.status == 0, outcome.stderr
    token = outcome.stdout.strip().removeprefix(f"{BASE}/")
    read = read_token(token, Keyring.parse(KEYS), (), FreemailDomains(), time.time())
    assert isinstance(read, ShareLink)
    return read


def test_a_link_says_what_was_asked_for(sharing: CommandLine) -> None:
    before = time.time()
    asked = ("--tenant", "mycompany", "--days", "7", "--language", "da")

    outcome = share(sharing, "new", "MyCompany.com", *asked)

    link = link_of(outcome)
    assert (link.domain.name, link.tenant, link.language) == ("mycompany.com", "mycompany", "da")
    assert before + 7 * DAY <= link.expires <= time.time() + 8 * DAY
    assert re.fullmatch(rf"id {link.id}, good until \S+ 00:00 UTC\n", outcome.stderr)


def test_a_link_is_good_for_thirty_days_and_no_tenant_s(sharing: CommandLine) -> None:
    link = link_of(share(sharing, "new", "mycompany.com"))

    assert 30 * DAY <= link.expires - time.time() <= 31 * DAY
    assert (link.tenant, link.language) == ("", "en")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        pytest.param(("gmail.com",), "gmail.com: a mailbox provider", id="mailbox-provider"),
        pytest.param(("com",), "com: not a domain that mail comes from", id="top-level"),
        pytest.param(("192.0.2.1",), "192.0.2.1: not a domain", id="address"),
        pytest.param(("a..b",), "a..b", id="no-name"),
        pytest.param(
            ("a.example", "--tenant", "mycompamy"),
            "--tenant: no tenant has the name 'mycompamy'; there are mycompany",
            id="tenant",
        ),
    ],
)
def test_what_gets_no_link_is_told_why(
    sharing: CommandLine, arguments: tuple[str, ...], said: str
) -> None:
    outcome = share(sharing, "new", *arguments)

    assert (outcome.status, outcome.stdout) == (2, "")
    assert said in outcome.stderr


def test_without_the_options_there_are_no_links(cli: CommandLine) -> None:
    outcome = share(cli, "new", "mycompany.com")

    assert outcome.status == 2
    assert "set web.share_url and web.share_keys" in outcome.stderr


def test_keys_that_everybody_can_read_sign_nothing(sharing: CommandLine) -> None:
    (sharing.directory / "share.keys").chmod(0o644)

    outcome = share(sharing, "new", "mycompany.com")

    assert (outcome.status, outcome.stdout) == (2, "")
    assert "share.keys:1: its mode is 0644" in outcome.stderr


@pytest.mark.parametrize("way", ["id", "link"])
def test_a_link_is_revoked_by_its_id_or_as_it_was_sent(sharing: CommandLine, way: str) -> None:
    made = share(sharing, "new", "mycompany.com")
    link = link_of(made)

    outcome = share(sharing, "revoke", link.id if way == "id" else made.stdout.strip())

    assert outcome.status == 0
    assert outcome.stdout.startswith(f"{link.id} is revoked")
    assert share(sharing, "list").stdout.startswith(f"{link.id} revoked, would be good until ")
    assert (sharing.directory / "revoked").read_text().split("\n")[1] == link.id


def test_what_is_no_link_is_not_revoked(sharing: CommandLine) -> None:
    made = share(sharing, "new", "mycompany.com").stdout.strip()
    ended = new_id(1, time.time() - 3 * DAY, bytes(8))
    assert is_id(ended)

    for given, said in (
        (made[:-1], "no link of ours, or not as it was made"),
        ("nonsense", "neither an id nor a link"),
        (ended, f"{ended}: nothing to revoke: such a link ended on "),
    ):
        outcome = share(sharing, "revoke", given)
        assert outcome.status == 2
        assert said in outcome.stderr
    assert share(sharing, "list") == Outcome(0, "", "")


def test_a_file_of_something_else_is_not_written_to(sharing: CommandLine) -> None:
    link = link_of(share(sharing, "new", "mycompany.com"))
    sharing.write("revoked", "a diary\n")

    outcome = share(sharing, "revoke", link.id)

    assert outcome.status == 2
    assert "revoked:1: not the id of a link" in outcome.stderr
    assert (sharing.directory / "revoked").read_text() == "a diary\n"


def test_a_directory_that_is_not_there_is_told(sharing: CommandLine, tmp_path: Path) -> None:
    place = tmp_path / "none" / "revoked"
    sharing.write("alignd.conf", configuration(WEB.replace('"revoked"', f'"{place}"')))

    outcome = share(sharing, "revoke", new_id(3, time.time(), bytes(8)))

    assert outcome.status == 2
    assert f"{place}: cannot be written: No such file or directory" in outcome.stderr


def test_the_files_of_the_page_are_checked_with_the_configuration(sharing: CommandLine) -> None:
    sharing.write("alignd.conf", configuration(WEB.replace("[web]", '[web]\ntokens = "tokens"')))
    write_keys(sharing.directory / "tokens")
    checked = sharing.run("check-config", "--config", "alignd.conf")
    assert checked.status == 0
    assert "Tokens in tokens: 1.\n" in checked.stdout
    keys = "Keys in share.keys: 1 signs, 0 accepted, 0 retired."
    assert f"Links are signed. {keys}\n" in checked.stdout

    for name in ("tokens", "share.keys"):
        (sharing.directory / name).chmod(0o666)
    checked = sharing.run("check-config", "--config", "alignd.conf")
    assert checked.status == 78
    assert re.findall(r"^(\S+):1: its mode is 0666", checked.stderr, re.MULTILINE) == [
        "tokens",
        "share.keys",
    ]
