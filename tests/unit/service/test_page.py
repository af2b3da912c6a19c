"""The page shows what return addresses look like, without the keys that sign them."""

from alignd.config.file import parse_configuration
from alignd.mail.domain import Domain
from alignd.mail.mailbox import Mailbox
from alignd.return_path.address import Invalid, Kind, has_form
from alignd.return_path.directory import make_directory
from alignd.return_path.keyring import Keyring
from alignd.service.page import example_keyrings
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
