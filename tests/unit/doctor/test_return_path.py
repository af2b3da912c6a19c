"""Findings about the way back that need no real Postfix: keys, and shapes of maps."""

import hashlib
from collections.abc import Mapping
from dataclasses import replace
from datetime import date

import pytest

from alignd.config.endpoint import UnixEndpoint
from alignd.config.file import parse_configuration
from alignd.config.settings import Configuration
from alignd.doctor.facts import (
    Barrier,
    KeyFile,
    MapTrouble,
    MissingPermission,
    ReturnLeg,
    SocketState,
)
from alignd.doctor.findings import Finding, Remark, Skipped, Unknown
from alignd.doctor.return_maps import asks_map, examine_maps
from alignd.doctor.return_path import examine_keys
from alignd.postfix.config import PostfixConfig, Service
from alignd.return_path.directory import Found, KeyTrouble, make_directory
from alignd.return_path.keyring import ALPHABET, Keyring, id_of
from tests.lab.settings import configuration
from tests.unit.doctor.test_service import FILES

PATH = "/etc/alignd/return.keys"
MAP = "proxy:socketmap:unix:/run/alignd-return/map.sock:return"
GUARDED = f"hash:shared, pipemap:{{ regexp:domains, {MAP} }}"
DOMAIN = "notifications.easysoftware.com"
TODAY = date(2026, 11, 27)
DAYS = (TODAY - date(1970, 1, 1)).days
KEYRING = Keyring.parse(f"sign {'6b' * 32}\n")
SHARED = ("helpdesk", "bounces", "postmaster", "abuse")


def settings() -> Configuration:
    return parse_configuration(configuration('[return]\nkeys = "/etc/alignd/return.keys"\n'), "f")


def names(remarks: list[Remark]) -> list[str]:
    return [each.id.value for each in remarks if isinstance(each, Finding)]


def tables(asked: tuple[str, ...], keys: tuple[str, ...]) -> Mapping[str, str] | Unknown:
    """What Postfix answers for tables that are as they should be."""
    if "hash:shared" in asked:
        known = {f"{name}@{DOMAIN}" for name in SHARED}
        return {key: "root" for key in keys if key in known}
    if asked[0].startswith("regexp:"):
        return {key: key for key in keys if key.lower().endswith(f"@{DOMAIN}")}
    return {}


def ask_map(_table: str, keys: tuple[str, ...]) -> Mapping[str, str] | MapTrouble | Unknown:
    """What the map of KEYRING answers."""
    directory = make_directory(settings(), {PATH: KEYRING})
    found = {key: directory.find(key, DAYS * 86_400.0) for key in keys}
    return {key: each.deliver_to.address for key, each in found.items() if isinstance(each, Found)}


LEG = ReturnLeg(
    postfix=Unknown("not looked at"),
    directory="",
    is_apart=False,
    endpoint=UnixEndpoint("/run/alignd-return/milter.sock"),
    is_handed_over=False,
    socket=SocketState(True, None),
    tables=tables,
    ask_map=ask_map,
    signer=Skipped("not looked at"),
    keys={PATH: KeyFile(PATH, KEYRING, ())},
    service=Skipped("not looked at"),
    files=FILES,
)


SERVICES = (
    Service("smtp", "inet", "smtpd", is_chrooted=False, process_limit=None, options={}),
    Service("cleanup", "unix", "cleanup", is_chrooted=False, process_limit=None, options={}),
)


def postfix(value: str, **more: str) -> PostfixConfig:
    parameters = {
        "queue_directory": "/var/spool/postfix",
        "virtual_alias_domains": DOMAIN,
        "virtual_alias_maps": value,
        **more,
    }
    return PostfixConfig("3.7.11", parameters, frozenset(), SERVICES)


def examine(value: str, leg: ReturnLeg = LEG, **more: str) -> list[Remark]:
    return list(examine_maps(settings(), postfix(value, **more), leg, (), DAYS, {}))


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        pytest.param(GUARDED, [], id="as-the-layout-has-it"),
        pytest.param(GUARDED.replace("proxy:", ""), [], id="without-proxymap"),
        pytest.param(GUARDED.replace("pipemap", "proxy:pipemap"), [], id="a-pipemap-of-proxymap"),
        pytest.param(
            GUARDED.replace("regexp:domains", "regexp:{{/^(.*@notif\\.example)$/ $1}}"),
            [],
            id="a-guard-in-main-cf",
        ),
        pytest.param(GUARDED.replace("domains, ", "domains,"), [], id="without-a-blank"),
        pytest.param(f"hash:shared, {MAP}", ["return-map-unguarded"], id="bare"),
        pytest.param(
            f"hash:shared, unionmap:{{ {MAP} }}", ["return-map-unguarded"], id="in-a-unionmap"
        ),
        pytest.param(
            GUARDED.replace("regexp:domains", "hash:domains"),
            ["return-map-unguarded"],
            id="a-guard-that-cannot-guard",
        ),
        pytest.param(
            GUARDED.replace("alignd-return", "other"), ["return-map-missing"], id="another-socket"
        ),
        pytest.param(
            "hash:shared, hash:more", ["return-map-missing"], id="no-map-among-other-tables"
        ),
    ],
)
def test_the_shapes_of_maps(value: str, expected: list[str]) -> None:
    assert names(examine(value)) == expected
    assert asks_map(postfix(value), UnixEndpoint("/run/alignd-return/map.sock")) is (
        "return-map-missing" not in expected
    )


def test_a_relative_path_begins_in_the_queue_directory() -> None:
    value = GUARDED.replace("/run/", "")

    assert asks_map(postfix(value), UnixEndpoint("/var/spool/postfix/alignd-return/map.sock"))


def test_an_unguarded_canonical_map_is_found_beside_a_guarded_one() -> None:
    remarks = examine(GUARDED, recipient_canonical_maps=MAP)

    assert names(remarks) == ["return-map-unguarded"]


def test_what_does_not_answer_as_anybody_else_is_unknown_and_no_fault() -> None:
    leg = replace(LEG, ask_map=lambda _table, _keys: Unknown("run it as root"))

    (remark,) = examine(GUARDED, leg)

    assert remark == Unknown("whether the map of return addresses answers: run it as root")


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        pytest.param({}, "return-map-differs", id="it-knows-nobody"),
        pytest.param(
            MapTrouble("the key is not known"), "return-map-fails", id="it-is-in-trouble"
        ),
    ],
)
def test_what_the_map_answers(answer: Mapping[str, str] | MapTrouble, expected: str) -> None:
    leg = replace(LEG, ask_map=lambda _table, _keys: answer)

    assert names(examine(GUARDED, leg)) == [expected]


def test_a_map_that_takes_a_forged_address_is_not_ours() -> None:
    leg = replace(LEG, ask_map=lambda _table, keys: dict.fromkeys(keys, "agent@author.example"))

    assert names(examine(GUARDED, leg)) == ["return-map-differs"]


def test_tables_that_do_not_answer_are_unknown() -> None:
    leg = replace(LEG, tables=lambda _tables, _keys: Unknown("no such file"))

    remarks = examine(GUARDED, leg)

    assert names(remarks) == []
    assert [each.text for each in remarks if isinstance(each, Unknown)]


def keyring(count: int) -> Keyring:
    """One with as many keys, of different ids."""
    secrets: dict[str, bytes] = {}
    number = 0
    while len(secrets) < len(ALPHABET):
        secret = hashlib.sha256(str(number).encode()).digest()
        secrets.setdefault(id_of(secret), secret)
        number += 1
    chosen = list(secrets.values())[:count]
    states = ["sign", *("retired" for _ in chosen[1:])]
    return Keyring.parse("\n".join(f"{s} {k.hex()}" for s, k in zip(states, chosen, strict=True)))


@pytest.mark.parametrize(
    ("file", "expected"),
    [
        pytest.param(KeyFile(PATH, KEYRING, ()), [], id="one-key"),
        pytest.param(KeyFile(PATH, keyring(28), ()), [], id="room-for-four"),
        pytest.param(KeyFile(PATH, keyring(29), ()), ["return-keys-many"], id="no-room-left"),
        pytest.param(
            KeyFile(PATH, KeyTrouble("f:1: no key signs"), ()),
            ["return-keys-unusable"],
            id="no-key-signs",
        ),
        pytest.param(
            KeyFile(PATH, KEYRING, (Barrier(PATH, MissingPermission.READ, "alignd-return"),)),
            ["return-keys-unreadable"],
            id="for-another-user",
        ),
        pytest.param(KeyFile(PATH, KEYRING, (Skipped("no such user"),)), [], id="no-such-user"),
    ],
)
def test_the_keys(file: KeyFile, expected: list[str]) -> None:
    remarks = list(examine_keys(file))

    assert names(remarks) == expected
    said = " ".join(str(each) for each in remarks)
    for key in file.keyring.keys.values() if isinstance(file.keyring, Keyring) else ():
        assert key.secret.hex() not in said
