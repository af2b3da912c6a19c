"""The directory: whose a return address is under a configuration, and where its mail goes."""

import pytest

from alignd.config.file import parse_configuration
from alignd.config.settings import Configuration
from alignd.mail.domain import Domain
from alignd.mail.mailbox import Mailbox
from alignd.return_path.address import DAY, Invalid, Kind, ReturnAddress, Unfit
from alignd.return_path.directory import (
    NO_DIRECTORY,
    Directory,
    Found,
    KeyTrouble,
    Nobody,
    make_directory,
)
from alignd.return_path.keyring import Key, Keyring, KeyState
from tests.support.configtext import BASE

NOW = 20_000 * DAY + 5.0
OURS = Domain("notifications.easysoftware.com")
KEY = Key(bytes(range(32)), KeyState.SIGN)
OTHER = Key(bytes(range(1, 33)), KeyState.SIGN)
KEYRINGS = {"keys": Keyring({KEY.id: KEY}, KEY), "other": Keyring({OTHER.id: OTHER}, OTHER)}
MARKY = Mailbox("marky.mark", Domain("mycompany.com"))
TENANT = """
[[tenant]]
match = { X-Host = "one.example" }
notifications = { address = "helpdesk@one.example" }
"""


def configured(text: str) -> Configuration:
    return parse_configuration(BASE + text, "")


def made(
    directory: Directory,
    settings: Configuration,
    kind: Kind = Kind.AUTHOR,
    author: Mailbox = MARKY,
) -> str:
    address = directory.make(author, kind, settings, NOW)
    assert isinstance(address, Mailbox)
    return address.address


GENERAL = configured("[return]\nkeys = 'keys'\n")
DIRECTORY = make_directory(GENERAL, KEYRINGS)


@pytest.mark.parametrize("kind", [Kind.AUTHOR, Kind.BOUNCE])
def test_what_is_made_is_found(kind: Kind) -> None:
    address = made(DIRECTORY, GENERAL, kind)

    for spelling in (address, address.upper(), f"{address}."):
        found = DIRECTORY.find(spelling, NOW)
        assert isinstance(found, Found)
        assert (found.address.author, found.address.kind) == (MARKY, kind)
        assert (found.deliver_to, found.domain) == (MARKY, OURS)


def test_a_mark_is_no_address() -> None:
    assert DIRECTORY.find(made(DIRECTORY, GENERAL, Kind.MARK), NOW) is Invalid.FORGED


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        pytest.param("helpdesk@notifications.easysoftware.com", Invalid.FORM, id="the-shared-one"),
        pytest.param("@notifications.easysoftware.com", Invalid.FORM, id="no-local-part"),
        pytest.param("a=b.c=aaa2aaa2aa@mycompany.com", Nobody.ELSEWHERE, id="another-domain"),
        pytest.param("a=b.c=aaa2aaa2aa", Nobody.ELSEWHERE, id="no-domain"),
        pytest.param("a@b..c", Nobody.ELSEWHERE, id="no-domain-that-can-be"),
        pytest.param("", Nobody.ELSEWHERE, id="nothing"),
        pytest.param("a" * 100_000 + "@" + "b." * 100_000, Nobody.ELSEWHERE, id="long"),
        pytest.param("\udcff@\udcff", Nobody.ELSEWHERE, id="in-no-charset"),
    ],
)
def test_what_is_none_is_nobodys(address: str, expected: Invalid | Nobody) -> None:
    assert DIRECTORY.find(address, NOW) is expected


def test_where_return_addresses_are_off_none_is_made_and_none_is_found() -> None:
    off = configured("")

    assert make_directory(off, {}) == NO_DIRECTORY
    assert NO_DIRECTORY.make(MARKY, Kind.AUTHOR, off, NOW) is None
    assert NO_DIRECTORY.find(made(DIRECTORY, GENERAL), NOW) is Nobody.ELSEWHERE


def test_a_domain_of_their_own_takes_none_of_the_notifications_domain() -> None:
    settings = configured("[return]\nkeys = 'keys'\ndomain = 'reply.easysoftware.com'\n")
    directory = make_directory(settings, KEYRINGS)

    address = made(directory, settings)
    assert address.endswith("@reply.easysoftware.com")
    assert isinstance(directory.find(address, NOW), Found)
    moved = address.replace("@reply.", "@notifications.")
    assert directory.find(moved, NOW) is Nobody.ELSEWHERE
    assert DIRECTORY.find(moved, NOW) is Invalid.FORGED


def test_an_author_who_is_blocked_gets_no_address_and_his_is_refused() -> None:
    settings = configured("[return]\nkeys = 'keys'\nblocked = ['Marky.Mark@MyCompany.com']\n")
    directory = make_directory(settings, KEYRINGS)

    for kind in (Kind.AUTHOR, Kind.BOUNCE):
        assert directory.find(made(DIRECTORY, GENERAL, kind).upper(), NOW) is Nobody.BLOCKED
        assert directory.make(MARKY, kind, settings, NOW) is Unfit.BLOCKED
    in_capitals = Mailbox("MARKY.mark", MARKY.domain)
    assert directory.make(in_capitals, Kind.AUTHOR, settings, NOW) is Unfit.BLOCKED
    other = Mailbox("marky", MARKY.domain)
    assert isinstance(directory.find(made(directory, settings, author=other), NOW), Found)


def test_answers_may_go_to_one_mailbox_and_bounces_never_do() -> None:
    settings = configured("[return]\nkeys = 'keys'\ndeliver_to = 'tickets@mycompany.com'\n")
    directory = make_directory(settings, KEYRINGS)

    answered = directory.find(made(directory, settings), NOW)
    bounced = directory.find(made(directory, settings, Kind.BOUNCE), NOW)
    assert isinstance(answered, Found)
    assert isinstance(bounced, Found)
    assert answered.deliver_to.address == "tickets@mycompany.com"
    assert bounced.deliver_to == MARKY


def test_a_tenant_has_addresses_in_its_own_domain_and_by_its_own_key() -> None:
    settings = configured(
        f"[return]\nkeys = 'keys'\nblocked = ['a@b.cz']\n{TENANT}return = {{ keys = 'other' }}\n"
    )
    directory = make_directory(settings, KEYRINGS)
    tenant = settings.tenant[0].settings

    address = directory.make(MARKY, Kind.AUTHOR, tenant, NOW)
    assert isinstance(address, Mailbox)
    assert address.domain == Domain("one.example")
    found = directory.find(address.address, NOW)
    assert isinstance(found, Found)
    assert found.address == ReturnAddress(MARKY, Kind.AUTHOR, OTHER.id)
    assert directory.find(f"{address.local_part}@{OURS}", NOW) is Invalid.UNKNOWN_KEY
    assert directory.make(Mailbox("a", Domain("b.cz")), Kind.AUTHOR, tenant, NOW) is Unfit.BLOCKED


def test_a_tenant_without_keys_has_no_addresses() -> None:
    settings = configured(f"[return]\nkeys = 'keys'\n{TENANT}return = {{ keys = '' }}\n")
    directory = make_directory(settings, KEYRINGS)

    assert directory.make(MARKY, Kind.AUTHOR, settings.tenant[0].settings, NOW) is None
    assert set(directory.domains) == {OURS}


def test_whom_any_tenant_of_a_domain_blocks_is_blocked_there() -> None:
    tenants = "".join(
        f"[[tenant]]\nmatch = {{ X-Host = '{name}' }}\nreturn = {{ blocked = ['{name}@b.cz'] }}\n"
        for name in "ac"
    )
    settings = configured(f"[return]\nkeys = 'keys'\n{tenants}")
    directory = make_directory(settings, KEYRINGS)

    for name in "ac":
        author = Mailbox(name, Domain("b.cz"))
        assert directory.find(made(DIRECTORY, GENERAL, author=author), NOW) is Nobody.BLOCKED


def test_keys_that_are_not_there_are_trouble_only_for_what_could_be_an_address() -> None:
    directory = make_directory(GENERAL, {"keys": KeyTrouble("it is gone")})

    for kind in Kind:
        assert directory.find(made(DIRECTORY, GENERAL, kind), NOW) == KeyTrouble("it is gone")
    assert directory.find("helpdesk@notifications.easysoftware.com", NOW) is Invalid.FORM
    assert directory.find("a=b.c=aaa2aaa2aa@mycompany.com", NOW) is Nobody.ELSEWHERE
    with pytest.raises(LookupError, match="it is gone"):
        directory.make(MARKY, Kind.AUTHOR, GENERAL, NOW)
