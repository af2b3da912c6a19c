"""Settings: the defaults, and the options of a tenant."""

import pytest

from alignd.config.file import parse_configuration
from alignd.config.settings import MilterOptions, Settings
from alignd.mail.message import HeaderField, Message
from tests.support.configtext import BASE

TENANT = """\
display_name = "{name} via Us"

[[tenant]]
match = { X-Host = "one.example" }
notifications = { address = "a@b.example" }
rules = { dry_run = true }
"""


def test_the_defaults_hold_where_nothing_is_said() -> None:
    parsed = parse_configuration(BASE, "")

    assert str(parsed.milter.socket) == "inet:8899@127.0.0.1"
    assert [str(network) for network in parsed.helpdesk.networks] == ["127.0.0.0/8", "::1/128"]
    assert parsed.notifications.bounces == parsed.notifications.address
    assert str(parsed.metrics.listen) == "127.0.0.1:18899"
    assert (parsed.tenant, parsed.dns.nameservers, parsed.dns.timeout) == ((), (), 2.0)


def test_a_tenant_differs_only_in_what_it_says() -> None:
    parsed = parse_configuration(BASE + TENANT, "")

    def settings_of(host: bytes) -> Settings:
        return parsed.settings_for(Message("", (), (HeaderField("X-Host", host),)))

    tenant, other = settings_of(b"one.example"), settings_of(b"two.example")
    assert tenant.notifications.address.address == "a@b.example"
    assert (tenant.rules.dry_run, other.rules.dry_run) == (True, False)
    assert tenant.relay == other.relay
    assert tenant.notifications.display_name == other.notifications.display_name
    assert tenant.notifications.display_name == "{name} via Us"
    assert other is parsed


@pytest.mark.parametrize(
    ("workers", "cores", "wanted"),
    [
        pytest.param(0, 1, 2, id="one-serves-while-the-other-is-replaced"),
        pytest.param(0, 4, 4, id="one-for-each-core"),
        pytest.param(0, 64, 8, id="no-more-than-a-relay-keeps-busy"),
        pytest.param(1, 4, 1, id="as-the-operator-says"),
    ],
)
def test_workers_are_as_many_as_pay(workers: int, cores: int, wanted: int) -> None:
    assert MilterOptions(workers=workers).workers_on(cores) == wanted
