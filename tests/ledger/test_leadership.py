"""One relay of many has a role, and another when it is gone."""

import pytest

from alignd.ledger.database import LedgerError, open_database
from alignd.ledger.fleet.leadership import Leadership, Role
from tests.lab.postgresql import PostgreSql
from tests.lab.readiness import wait_until

_HOLDERS = "SELECT pid FROM pg_locks WHERE locktype = 'advisory' AND granted"
_CONNECTED = (
    "SELECT count(*) FROM pg_stat_activity WHERE datname = '{}' AND pid <> pg_backend_pid()"
)


@pytest.fixture
def url(postgresql: PostgreSql) -> str:
    return postgresql.url(postgresql.new_database())


def _claim(url: str, role: Role = Role.LOOKING) -> Leadership:
    return Leadership(open_database(url), role)


def _database(url: str) -> str:
    return url.rpartition("/")[2]


def test_one_of_many_has_a_role_until_it_gives_it_up(url: str, postgresql: PostgreSql) -> None:
    relays = [_claim(url) for _ in range(3)]
    assert [each.is_held() for each in relays] == [True, False, False]
    assert [each.is_held() for each in relays] == [True, False, False]
    relays[0].give_up()
    wait_until(relays[2].is_held, "another relay to get it")
    assert not relays[0].is_held()
    relays[2].give_up()
    # Those who asked in vain have left no connection, either.
    question = _CONNECTED.format(_database(url))
    wait_until(lambda: postgresql.sql(question) == "0", "all connections to end")


def test_each_role_may_be_another_relays_and_one_relay_may_have_all(url: str) -> None:
    roles = [_claim(url, role) for role in Role]
    assert all(each.is_held() for each in roles)
    assert not any(_claim(url, role).is_held() for role in Role)
    for each in roles:
        each.give_up()


def test_who_is_cut_off_hears_of_it_at_once_and_another_gets_the_role(
    url: str, postgresql: PostgreSql
) -> None:
    first, second = _claim(url), _claim(url)
    assert first.is_held()
    holder = postgresql.sql(_HOLDERS, _database(url))
    postgresql.sql(f"SELECT pg_terminate_backend({holder})")
    with pytest.raises(LedgerError):
        first.is_held()
    wait_until(second.is_held, "another relay to get it")
    assert not first.is_held()
    second.give_up()


def test_who_had_the_role_when_the_server_was_killed_asks_for_it_anew(
    url: str, postgresql: PostgreSql
) -> None:
    first = _claim(url)
    assert first.is_held()
    postgresql.kill()
    try:
        with pytest.raises(LedgerError):
            first.is_held()
        with pytest.raises(LedgerError):
            first.is_held()
    finally:
        postgresql.start()
    assert first.is_held()
    assert not _claim(url).is_held()
    first.give_up()


def test_in_a_file_of_its_own_a_relay_has_all_roles() -> None:
    assert _claim("sqlite:///nowhere/ledger.sqlite").is_held()
