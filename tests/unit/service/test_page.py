"""The page shows what return addresses look like, without the keys that sign them."""

from dataclasses import dataclass

from alignd.config.file import parse_configuration
from alignd.mail.domain import Domain
from alignd.mail.mailbox import Mailbox
from alignd.return_path.address import Invalid, Kind, has_form
from alignd.return_path.directory import make_directory
from alignd.return_path.keyring import Keyring
from alignd.service.page import Vigil, example_keyrings
from tests.lab.settings import configuration

AUTHOR = Mailbox("agent", Domain("mycompany.com"))
NOW = 1_800_000_000.0
PATH = "/nowhere/return.keys"
WITH_KEYS = parse_configuration(configuration(f'return.keys = "{PATH}"\n'), "alignd.conf")
WITHOUT = parse_configuration(configuration(), "alignd.conf")


def test_an_example_looks_like_a_return_address_and_is_none() -> None:
    directory = make_directory(WITH_KEYS, example_keyrings(WITH_KEYS))
    real = make_directory(WITH_KEYS, {PATH: Keyring.parse("sign " + "5a" * 32)})

    made = directory.make(AUTHOR, Kind.AUTHOR, WITH_KEYS, NOW)

    assert isinstance(made, Mailbox)
    assert made.local_part.startswith("agent=mycompany.com=")
    assert has_form(made.local_part)
    assert isinstance(real.find(made.address, NOW), Invalid)


def test_where_there_are_no_return_addresses_no_key_is_made() -> None:
    assert example_keyrings(WITHOUT) == {}


@dataclass
class Turns:
    """A listener, as far as a vigil looks at it."""

    turns: int = 0
    is_alive: bool = True


def test_a_listener_is_well_while_it_turns() -> None:
    turning = Turns()
    vigil = Vigil(turning, 0.0)
    for second in range(1, 60):
        turning.turns += 1
        assert vigil.is_well(float(second))


def test_a_listener_that_turns_no_more_is_not_well() -> None:
    vigil = Vigil(Turns(), 0.0)
    found = [vigil.is_well(float(second)) for second in range(1, 32)]
    assert found == [True] * 29 + [False] * 2


def test_a_listener_without_its_thread_is_not_well() -> None:
    assert not Vigil(Turns(is_alive=False), 0.0).is_well(1.0)


def test_a_listener_is_well_after_the_whole_process_was_stopped() -> None:
    assert Vigil(Turns(), 0.0).is_well(4000.0)
