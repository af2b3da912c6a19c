"""`alignd address`: the return addresses of authors, and whose a return address is."""

import json
import re
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from alignd.cli.main import main
from alignd.return_path.address import DAY, Kind
from tests.lab import cast
from tests.lab.return_addresses import KEY_FILE, KEYS, return_address, write_keys
from tests.lab.settings import configuration
from tests.support.commandline import CommandLine, Outcome, without_privileges

RETURN = f'[return]\nkeys = "{KEY_FILE}"\n'
MARKY = "marky.mark@mycompany.com"
AUTHOR = return_address(Kind.AUTHOR, MARKY)
OTHER_DOMAIN = return_address(Kind.AUTHOR, MARKY, "one.example")
TENANTS = """
[[tenant]]
match = { X-Host = "one.example" }
return = { domain = "one.example", envelope = "shared", deliver_to = "tickets@one.example" }

[[tenant]]
match = { X-Host = "two.example" }
return = { domain = "two.example" }
"""


@pytest.fixture(autouse=True)
def cli(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> CommandLine:
    monkeypatch.chdir(tmp_path)
    line = CommandLine(tmp_path)
    line.write("alignd.conf", configuration(RETURN))
    write_keys(tmp_path / KEY_FILE)
    return line


def address(*arguments: str) -> Outcome:
    """Run it in this process, which is sooner done."""
    done = CliRunner().invoke(main, ["address", *arguments, "--config", "alignd.conf"])
    return Outcome(done.exit_code, done.stdout, done.stderr)


def told(*arguments: str) -> dict[str, Any]:
    """What a script gets that is not null."""
    outcome = address("--json", *arguments)
    assert outcome.stderr == ""
    holds = outcome.json["holds"]
    assert outcome.status == {True: 0, False: 1, None: 2}[holds]
    found = {name: value for name, value in outcome.json.items() if value is not None}
    return found | {"holds": holds}


def today() -> date:
    return datetime.now(UTC).date()


def test_an_author_is_told_his_addresses(cli: CommandLine) -> None:
    day = today()

    outcome = cli.run("address", f"Marky Mark <{MARKY.title()}>", "--config", "alignd.conf")

    assert (outcome.status, outcome.stderr) == (0, "")
    bounce = return_address(Kind.BOUNCE, MARKY)
    assert (
        outcome.stdout
        == f"""\
{MARKY}
  return address  {AUTHOR}
  bounce address  {bounce}
  made on         {day}, good until {day + timedelta(days=30)} (UTC)
  key             {AUTHOR.rpartition("=")[2][0]} (sign)
  delivered to    {MARKY}
"""
    )


def test_a_script_is_told_the_same() -> None:
    day = today()

    assert told(MARKY) == {
        "address": MARKY,
        "holds": True,
        "author": MARKY,
        "return_address": AUTHOR,
        "bounce_address": return_address(Kind.BOUNCE, MARKY),
        "key": AUTHOR.rpartition("=")[2][0],
        "key_state": "sign",
        "made_on": day.isoformat(),
        "good_until": (day + timedelta(days=30)).isoformat(),
        "deliver_to": MARKY,
    }


def test_what_is_told_holds() -> None:
    both = told(MARKY)

    outcome = address(both["return_address"], both["bounce_address"].upper())

    assert (outcome.status, outcome.stderr) == (0, "")
    assert outcome.stdout.count("  It holds.\n") == 2
    assert outcome.stdout.count(f"  author          {MARKY}\n") == 2
    assert re.findall("kind +([a-z]+)", outcome.stdout) == ["author", "bounce"]


@pytest.mark.parametrize(
    ("asked", "reason"),
    [
        pytest.param("a%b@mycompany.com", "characters", id="a-character"),
        pytest.param(f"{'a' * 50}@mycompany.com", "too-long", id="too-long"),
        pytest.param("harriet@mycompany.com", "blocked", id="blocked"),
    ],
)
def test_an_author_without_one_is_told_why(cli: CommandLine, asked: str, reason: str) -> None:
    cli.write("alignd.conf", configuration(f'{RETURN}blocked = ["harriet@mycompany.com"]'))

    found = told(asked)

    assert found.pop("why")
    assert found == {"address": asked, "holds": False, "reason": reason, "author": asked}
    assert "\n  No return address: " in address(asked).stdout


def test_a_bounce_address_that_does_not_fit_is_the_shared_one() -> None:
    found = told(f"{'a' * 39}@mycompany.com")

    assert found["bounce_address"] == cast.BOUNCES
    assert "made_on" not in found


LONG_AGO = return_address(Kind.BOUNCE, MARKY, now=20_000 * DAY)


@pytest.mark.parametrize(
    ("asked", "reason", "more"),
    [
        pytest.param(cast.NOTIFICATIONS, "form", set(), id="the-shared-one"),
        pytest.param(f"x{AUTHOR}", "forged", {"author", "kind", "key", "key_state"}, id="forged"),
        pytest.param(
            return_address(Kind.MARK, MARKY),
            "forged",
            {"author", "kind", "key", "key_state"},
            id="a-mark",
        ),
        pytest.param(
            LONG_AGO,
            "expired",
            {"author", "kind", "key", "key_state", "made_on", "good_until"},
            id="old",
        ),
        pytest.param(OTHER_DOMAIN, "elsewhere", {"author", "kind", "key"}, id="elsewhere"),
        pytest.param(
            return_address(Kind.AUTHOR, "harriet@mycompany.com"),
            "blocked",
            {"author", "kind", "key", "key_state"},
            id="blocked",
        ),
    ],
)
def test_what_does_not_hold_is_told_why(
    cli: CommandLine, asked: str, reason: str, more: set[str]
) -> None:
    cli.write("alignd.conf", configuration(f'{RETURN}blocked = ["harriet@mycompany.com"]'))

    found = told(asked)

    assert (found["holds"], found["reason"]) == (False, reason)
    assert found.keys() == {"address", "holds", "reason", "why"} | more
    assert found["why"] in " ".join(address(asked).stdout.split())


def test_one_that_nobody_signed_only_says_whose_it_is() -> None:
    assert f"\n  says it is of   x{MARKY}\n" in address(f"x{AUTHOR}").stdout
    assert f"\n  author          {MARKY}\n" in address(LONG_AGO).stdout
    assert "\n  made on         2024-10-04, good until 2024-11-03 (UTC)\n" in (
        address(LONG_AGO).stdout
    )


@pytest.mark.parametrize(
    ("keys", "holds", "reason"),
    [
        pytest.param(KEYS.replace("sign", "accept"), True, None, id="accepted"),
        pytest.param(KEYS.replace("sign", "retired"), False, "retired", id="retired"),
        pytest.param("", None, "unknown-key", id="not-listed"),
    ],
)
def test_the_state_of_its_key_decides(
    cli: CommandLine, keys: str, holds: bool | None, reason: str | None
) -> None:
    cli.write(KEY_FILE, f"{keys}sign {'5a' * 32}\n")

    found = told(AUTHOR)

    assert (found["holds"], found.get("reason")) == (holds, reason)
    assert found["key"] == AUTHOR.rpartition("=")[2][0]
    assert found.get("key_state") == (keys.split(maxsplit=1)[0] if keys else None)


@pytest.mark.parametrize("asked", [MARKY, AUTHOR])
def test_keys_that_cannot_be_used_leave_it_open(cli: CommandLine, asked: str) -> None:
    (cli.directory / KEY_FILE).chmod(0o644)

    found = told(asked)

    assert (found["holds"], found["reason"]) == (None, "keys")
    assert found["why"].startswith(f"{KEY_FILE}:1: its mode is 0644")
    assert "Cannot be told: return.keys:1: its mode is 0644" in address(asked).stdout


def test_what_is_none_with_any_key_is_told_without_them(cli: CommandLine) -> None:
    (cli.directory / KEY_FILE).chmod(0)

    outcome = cli.run(
        *("address", cast.NOTIFICATIONS, "--json", "--config", "alignd.conf"),
        before=without_privileges(),
    )

    assert (outcome.status, outcome.json["reason"]) == (1, "form")


@pytest.mark.parametrize(
    ("asked", "status"),
    [
        pytest.param((MARKY, AUTHOR), 0, id="all-hold"),
        pytest.param((AUTHOR, f"x{AUTHOR}", MARKY), 1, id="one-does-not"),
        pytest.param(
            (f"x{AUTHOR}", "a=b.cz=zzz2aaa2aa@" + cast.NOTIFICATIONS_DOMAIN), 2, id="open"
        ),
    ],
)
def test_the_exit_status_is_that_of_the_worst(asked: tuple[str, ...], status: int) -> None:
    outcome = address("--json", *asked)

    assert (outcome.status, outcome.stderr) == (status, "")
    assert [json.loads(line)["address"] for line in outcome.stdout.splitlines()] == list(asked)


def test_the_domain_chooses_the_tenant_of_an_author(cli: CommandLine) -> None:
    cli.write("alignd.conf", configuration(RETURN + TENANTS))

    assert told(MARKY)["return_address"] == AUTHOR
    found = told(MARKY, "--domain", "One.Example.")
    assert found["return_address"] == OTHER_DOMAIN
    assert found["bounce_address"] == cast.BOUNCES
    assert found["deliver_to"] == "tickets@one.example"
    assert told(OTHER_DOMAIN)["deliver_to"] == "tickets@one.example"


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        pytest.param(
            ("--domain", "three.example"),
            "--domain: no return addresses in 'three.example': one.example, two.example",
            id="no-such-domain",
        ),
        pytest.param(
            ("--domain", "a..b\x1b"),
            "--domain: no return addresses in 'a..b\\x1b': one.example, two.example",
            id="no-domain",
        ),
        pytest.param(
            (),
            "tenants have return addresses in several domains; choose one by --domain: "
            "one.example, two.example",
            id="none-chosen",
        ),
    ],
)
def test_a_domain_that_is_not_clear_is_asked_for(
    cli: CommandLine, arguments: tuple[str, ...], complaint: str
) -> None:
    keys = f'keys = "{KEY_FILE}", domain'
    cli.write("alignd.conf", configuration(TENANTS.replace("domain", keys)))

    outcome = address(MARKY, *arguments)

    assert outcome == Outcome(2, "", f"Error: {complaint}\n")
    assert told(OTHER_DOMAIN)["holds"]


@pytest.mark.parametrize(
    "asked", ["marky", "", "@", "a@b@c.cz", "\x1b[31m@mycompany.com", "\udcff@\udcff", "a@b..c"]
)
def test_what_is_no_address_is_named(asked: str) -> None:
    outcome = address(asked)

    assert (outcome.status, outcome.stdout) == (2, "")
    (line,) = outcome.stderr.splitlines()
    assert line.startswith("Error: not an address: '")
    assert line.isprintable()


def test_where_return_addresses_are_off_it_says_so(cli: CommandLine) -> None:
    cli.write("alignd.conf", configuration())

    complaint = "alignd.conf: return addresses are off; return.keys switches them on"
    assert address(MARKY) == Outcome(2, "", f"Error: {complaint}\n")


def test_no_key_is_in_what_it_says(cli: CommandLine) -> None:
    for file in (KEYS, f"{KEYS.split()[1]} sign\n", f"{KEYS}{KEYS}"):
        cli.write(KEY_FILE, file)

        outcome = address(MARKY, AUTHOR)

        assert "6b6b" not in outcome.stdout + outcome.stderr
