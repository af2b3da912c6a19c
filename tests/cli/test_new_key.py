"""`alignd new-key`: a key whose id is free, and what to do with it."""

import re
from hashlib import sha256
from pathlib import Path

import pytest

from alignd.return_path.keyring import ALPHABET, Keyring, KeyState, id_of
from tests.lab.return_addresses import KEY_FILE, KEYS, write_keys
from tests.lab.settings import configuration
from tests.support.commandline import CommandLine, Outcome

RETURN = f'[return]\nkeys = "{KEY_FILE}"\n'


@pytest.fixture
def cli(tmp_path: Path) -> CommandLine:
    line = CommandLine(tmp_path)
    line.write("alignd.conf", configuration(RETURN))
    return line


def new_key(cli: CommandLine, *arguments: str) -> Outcome:
    return cli.run("new-key", *arguments, "--config", "alignd.conf")


def with_ids(ids: str) -> str:
    """A key file with an accepted key of each id, after one that signs."""
    secrets: dict[str, str] = {}
    number = 0
    while len(secrets) < len(ids):
        secret = sha256(number.to_bytes(4)).digest()
        if id_of(secret) in ids:
            secrets[id_of(secret)] = secret.hex()
        number += 1
    states = ["sign", *["accept"] * len(ids)]
    return "".join(
        f"{state} {each}\n" for state, each in zip(states, secrets.values(), strict=False)
    )


def test_it_is_a_line_for_the_key_file(cli: CommandLine) -> None:
    write_keys(cli.directory / KEY_FILE)

    outcome = new_key(cli)

    assert outcome.status == 0
    assert re.fullmatch(r"accept [0-9a-f]{64}\n", outcome.stdout)
    keyring = Keyring.parse(KEYS + outcome.stdout)
    assert len(keyring.keys) == 2
    assert new_key(cli).stdout != outcome.stdout


@pytest.mark.parametrize("state", [KeyState.ACCEPT, KeyState.SIGN])
def test_its_state_may_be_chosen(cli: CommandLine, state: KeyState) -> None:
    assert new_key(cli, "--state", state.value).stdout.startswith(f"{state.value} ")


@pytest.mark.parametrize("free", ["a", "7", "m"])
def test_its_id_is_one_that_is_free(cli: CommandLine, free: str) -> None:
    write_keys(cli.directory / KEY_FILE)
    cli.write(KEY_FILE, with_ids(ALPHABET.replace(free, "")))

    outcome = new_key(cli)

    assert id_of(bytes.fromhex(outcome.stdout.split()[1])) == free
    assert f"with the id {free}, for {KEY_FILE}" in " ".join(outcome.stderr.split())


def test_no_key_of_any_tenant_has_its_id(cli: CommandLine) -> None:
    for name, ids in ((KEY_FILE, ALPHABET[:16]), ("other.keys", ALPHABET[16:31])):
        write_keys(cli.directory / name)
        cli.write(name, with_ids(ids))
    tenant = '[[tenant]]\nmatch = { X = "y" }\nreturn = { keys = "other.keys", domain = "a.cz" }\n'
    cli.write("alignd.conf", configuration(RETURN + tenant))

    assert id_of(bytes.fromhex(new_key(cli).stdout.split()[1])) == ALPHABET[31]


def test_when_no_id_is_free_it_says_so(cli: CommandLine) -> None:
    write_keys(cli.directory / KEY_FILE)
    cli.write(KEY_FILE, with_ids(ALPHABET))

    outcome = new_key(cli)

    assert (outcome.status, outcome.stdout) == (2, "")
    assert "the line of a retired one has to go first" in outcome.stderr


def test_rotation_is_explained_in_its_order(cli: CommandLine) -> None:
    write_keys(cli.directory / KEY_FILE)

    told = new_key(cli).stderr

    assert re.findall(r"^ \d\. (\w+):", told, re.MULTILINE) == ["accept", "sign", "retired"]
    assert "Do not rotate by the calendar" in told
    assert max(map(len, told.splitlines())) <= 80


@pytest.mark.parametrize(
    "text", [pytest.param(RETURN, id="no-file-yet"), pytest.param("", id="not-configured-yet")]
)
def test_the_first_key_signs_and_the_way_to_begin_is_explained(
    cli: CommandLine, text: str
) -> None:
    cli.write("alignd.conf", configuration(text))

    outcome = new_key(cli)

    assert outcome.status == 0
    assert len(Keyring.parse(outcome.stdout).keys) == 1
    path = KEY_FILE if text else "/etc/alignd/return.keys"
    assert (
        f"    (umask 027 && alignd new-key > {path}) && chgrp alignd-keys {path}\n"
        in outcome.stderr
    )
    assert f'set keys = "{path}"' in " ".join(outcome.stderr.split())


def test_the_key_file_begins_as_is_explained(cli: CommandLine) -> None:
    command = f'umask 027 && exec "$@" > {KEY_FILE}'

    made = cli.run("new-key", "--config", "alignd.conf", before=("sh", "-c", command, "sh"))
    added = cli.run(
        "new-key", "--config", "alignd.conf", before=("sh", "-c", f'exec "$@" >> {KEY_FILE}', "sh")
    )

    assert (made.status, added.status) == (0, 0)
    checked = cli.run("check-config", "--config", "alignd.conf")
    assert checked.status == 0
    assert "Keys in return.keys: 1 signs, 1 accepted, 0 retired." in checked.stdout


def test_the_key_is_on_standard_output_alone(cli: CommandLine) -> None:
    outcome = new_key(cli)

    assert outcome.stdout.split()[1][:8] not in outcome.stderr


def test_the_ids_of_a_file_with_a_mistake_are_known(cli: CommandLine) -> None:
    write_keys(cli.directory / KEY_FILE)
    cli.write(KEY_FILE, with_ids(ALPHABET[1:]).replace("sign", "accept") + "nonsense\n")

    assert id_of(bytes.fromhex(new_key(cli).stdout.split()[1])) == "a"


def test_a_file_that_everybody_can_read_is_refused(cli: CommandLine) -> None:
    write_keys(cli.directory / KEY_FILE)
    (cli.directory / KEY_FILE).chmod(0o644)

    outcome = new_key(cli)

    assert (outcome.status, outcome.stdout) == (2, "")
    assert outcome.stderr.startswith("return.keys:1: its mode is 0644")


def test_a_key_for_links_is_for_the_file_of_the_page(cli: CommandLine) -> None:
    cli.write("alignd.conf", configuration('[web]\nshare_keys = "share.keys"\n'))

    first = new_key(cli, "--share")
    write_keys(cli.directory / "share.keys")
    second = new_key(cli, "--share")

    assert re.fullmatch(r"sign [0-9a-f]{64}\n", first.stdout)
    assert "    (umask 027 && alignd new-key --share > share.keys) && " in first.stderr
    assert 'share_keys = "share.keys" in [web]' in " ".join(first.stderr.split())
    assert second.stdout.startswith("accept ")
    assert "for share.keys. Give it the state sign" in " ".join(second.stderr.split())
