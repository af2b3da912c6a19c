"""[return]: its options, what a tenant may say of them, and what contradicts."""

import pytest

from alignd.config.file import option_names, parse_configuration
from alignd.config.settings import (
    MAX_BODY_OF_ANSWERS,
    Configuration,
    ReturnOptions,
    ReturnService,
)
from alignd.mail.domain import Domain
from tests.support.configtext import BASE, problems

OURS = Domain("notifications.easysoftware.com")
RETURN = '[return]\nkeys = "/etc/alignd/return.keys"\n'
TENANT = '[[tenant]]\nmatch = { X-Host = "one.example" }\n'


def parsed(text: str) -> Configuration:
    return parse_configuration(BASE + text, "alignd.conf")


def test_return_addresses_are_off_where_nothing_is_said() -> None:
    configuration = parsed(TENANT)

    assert configuration.return_path == ReturnService()
    assert configuration.tenant[0].settings.return_path == ReturnOptions()
    assert configuration.return_path.keys == ""
    assert configuration.own_domains == {OURS}
    assert parsed("[return]\n") == parsed("")


def test_the_options_are_read() -> None:
    options = parsed(
        f"""{RETURN}\
domain = "Reply.EasySoftware.com"
envelope = "shared"
blocked = ["harriet@mycompany.com"]
deliver_to = "tickets@mycompany.com"
socket = "unix:/run/x/map.sock"
milter = "unix:/run/x/milter.sock"
metrics = "[::1]:18898"
"""
    ).return_path

    assert options.keys == "/etc/alignd/return.keys"
    assert options.domain == Domain("reply.easysoftware.com")
    assert options.envelope == "shared"
    assert [each.address for each in options.blocked] == ["harriet@mycompany.com"]
    assert options.mailbox
    assert options.mailbox.address == "tickets@mycompany.com"
    assert str(options.socket) == "unix:/run/x/map.sock"
    assert str(options.milter) == "unix:/run/x/milter.sock"
    assert str(options.metrics) == "[::1]:18898"


def test_the_domain_is_that_of_the_notifications_unless_one_is_set() -> None:
    tenants = parsed(
        f"""{RETURN}
{TENANT}notifications = {{ address = "helpdesk@one.example" }}
{TENANT}return = {{ domain = "reply.example" }}
{TENANT}
"""
    )

    domains = [each.settings.return_domain.name for each in tenants.tenant]
    assert domains == ["one.example", "reply.example", OURS.name]
    assert tenants.tenant[1].settings.own_domains == {OURS, Domain("reply.example")}


@pytest.mark.parametrize(
    "own",
    [
        pytest.param('return = { domain = "one.example", envelope = "shared" }', id="inline"),
        pytest.param('return.domain = "one.example"\nreturn.envelope = "shared"', id="dotted"),
        pytest.param(
            '[tenant.return]\ndomain = "one.example"\nenvelope = "shared"', id="a-table-of-its-own"
        ),
    ],
)
def test_a_tenant_differs_only_in_what_it_says(own: str) -> None:
    general = f'{RETURN}blocked = ["harriet@mycompany.com"]\nsocket = "unix:/x"\nmetrics = ""\n'
    configuration = parsed(f"{general}{TENANT}{own}\n")

    options = configuration.tenant[0].settings.return_path
    assert (options.keys, options.envelope) == ("/etc/alignd/return.keys", "shared")
    assert options.domain == Domain("one.example")
    assert [each.address for each in options.blocked] == ["harriet@mycompany.com"]
    assert configuration.return_path.envelope == "author"


def test_a_message_of_a_tenant_keeps_the_service_options() -> None:
    configuration = parsed(
        f'{RETURN}socket = "unix:/x"\n{TENANT}return = {{ domain = "one.example" }}\n'
    )

    narrowed = configuration.narrowed_to(configuration.tenant[0].settings)
    assert narrowed.return_domain == Domain("one.example")
    assert str(narrowed.return_path.socket) == "unix:/x"


def test_the_service_of_the_way_back_has_its_own_sockets_and_the_limits_of_the_other() -> None:
    configuration = parsed(
        f"""{RETURN}
[milter]
socket = "unix:/run/alignd/alignd.sock"
workers = 3
[dns]
archive = "/var/lib/alignd/dns.sqlite"
"""
    )

    own = configuration.of_return_leg()
    assert str(own.milter.socket) == "inet:8898@127.0.0.1"
    assert own.milter.workers == 3
    assert str(own.metrics.listen) == "127.0.0.1:18898"
    assert own.dns.archive == ""
    assert str(configuration.milter.socket) == "unix:/run/alignd/alignd.sock"


@pytest.mark.parametrize(
    ("option", "expected"),
    [
        ("keys = 1", "return.keys = 1: input should be a valid string"),
        ("keys = []", "return.keys = []: input should be a valid string"),
        ("domain = ''", "return.domain: not a domain: '': empty label"),
        ("domain = 1", "return.domain: must be text in quotes, not 1"),
        (
            "envelope = 'agent'",
            "return.envelope = 'agent': input should be 'author' or 'shared'",
        ),
        ("envelope = true", "return.envelope = True: input should be 'author' or 'shared'"),
        (
            "blocked = 'harriet@mycompany.com'",
            "return.blocked: must be a list in square brackets, not 'harriet@mycompany.com'",
        ),
        (
            "blocked = ['mycompany.com']",
            "return.blocked: not an address: 'mycompany.com' (expected '@' before '')",
        ),
        ("deliver_to = 1", "return.deliver_to: must be text in quotes, not 1; or write 'agent'"),
        (
            "deliver_to = 'author'",
            "return.deliver_to: not an address: 'author' (expected '@' before ''); "
            "or write 'agent'",
        ),
        (
            "deliver_to = '-a@mycompany.com'",
            "return.deliver_to: no server must refuse it: "
            "no quotes, and no '-' at its beginning: '-a@mycompany.com'; or write 'agent'",
        ),
        (
            "socket = 'inet:8898@127.0.0.1'",
            "return.socket: must be a unix socket, such as 'unix:/run/map.sock', "
            "not 'inet:8898@127.0.0.1'",
        ),
        (
            "socket = 'fd:3'",
            "return.socket: must be a unix socket, such as 'unix:/run/map.sock', not 'fd:3'",
        ),
        (
            "socket = '/run/map.sock'",
            "return.socket: must be a unix socket, such as 'unix:/run/map.sock', "
            "not '/run/map.sock'",
        ),
        (
            "socket = 8898",
            "return.socket: must be a unix socket, such as 'unix:/run/map.sock', not 8898",
        ),
        (
            "milter = '127.0.0.1:8898'",
            "return.milter: not a socket: '127.0.0.1:8898'; "
            "write 'inet:8899@127.0.0.1', 'unix:/path' or 'fd:3'",
        ),
        (
            "metrics = '18898'",
            "return.metrics: not an address to listen on: '18898'; "
            "write '127.0.0.1:18899', '[::1]:18899', or '' for none",
        ),
        ("key = 'x'", "unknown option 'key' in [return]; did you mean 'keys'?"),
        ("listen = ''", "unknown option 'listen' in [return]; it belongs in [metrics]"),
    ],
    ids=lambda text: text,
)
def test_a_value_that_is_wrong_is_told_once_at_its_line(option: str, expected: str) -> None:
    assert problems(f"{BASE}[return]\n{option}\n{TENANT}") == [f"8: {expected}"]


@pytest.mark.parametrize(
    ("own", "expected"),
    [
        pytest.param(
            'return = { socket = "unix:/x" }',
            "9: unknown option 'socket' in [tenant.return]; it is not for tenants",
            id="inline",
        ),
        pytest.param(
            'return.metrics = ""',
            "9: unknown option 'metrics' in [tenant.return]; it is not for tenants",
            id="dotted",
        ),
        pytest.param(
            '[tenant.return]\nmilter = ""',
            "10: unknown option 'milter' in [tenant.return]; it is not for tenants",
            id="a-table-of-its-own",
        ),
        pytest.param(
            '[tenant.return]\nenvelope = "no"',
            "10: tenant.return.envelope = 'no': input should be 'author' or 'shared'",
            id="a-wrong-value",
        ),
        pytest.param(
            "return = 1", "9: tenant.return must be a table: [tenant.return]", id="no-table"
        ),
    ],
)
def test_what_is_wrong_with_a_tenant_is_told_at_its_line(own: str, expected: str) -> None:
    assert problems(f"{BASE}{TENANT}{own}\n") == [expected]


def test_a_table_that_is_none_is_told_once() -> None:
    assert problems(f"return = 5\n{BASE}{TENANT}") == ["1: return must be a table: [return]"]


DIFFERS = "differs from that of another tenant for"
SET_ONE = "set a return.domain here"


@pytest.mark.parametrize(
    ("own", "expected"),
    [
        pytest.param(
            'return = { keys = "/other" }',
            [f"13: return.keys {DIFFERS} {OURS}: {SET_ONE}"],
            id="other-keys",
        ),
        pytest.param(
            'return = { deliver_to = "tickets@mycompany.com" }',
            [f"13: return.deliver_to {DIFFERS} {OURS}: {SET_ONE}"],
            id="another-mailbox",
        ),
        pytest.param(
            'rules = { dry_run = true }\n\n[tenant.return]\nkeys = "/other"\n'
            'deliver_to = "tickets@mycompany.com"',
            [
                f"16: return.keys {DIFFERS} {OURS}: {SET_ONE}",
                f"17: return.deliver_to {DIFFERS} {OURS}: {SET_ONE}",
            ],
            id="both-in-a-table-of-its-own",
        ),
        pytest.param(
            'rules = { dry_run = true }\nreturn.keys = "/other"',
            [f"14: return.keys {DIFFERS} {OURS}: {SET_ONE}"],
            id="dotted",
        ),
        pytest.param('return = { keys = "" }', [], id="none-is-no-conflict"),
        pytest.param('return = { keys = "/other", domain = "one.example" }', [], id="elsewhere"),
        pytest.param(
            'return = { keys = "/other" }\nnotifications = { address = "a@one.example" }',
            [],
            id="elsewhere-by-its-notifications",
        ),
        pytest.param('return = { envelope = "shared" }', [], id="what-may-differ"),
    ],
)
def test_two_tenants_of_one_domain_must_not_say_two_things(own: str, expected: list[str]) -> None:
    text = f"{BASE}{RETURN}\n{TENANT.replace('one', 'two')}{TENANT}{own}\n".replace(
        "\n\n[[", "\n[["
    )

    if expected:
        assert problems(text) == expected
    else:
        assert parse_configuration(text, "alignd.conf").conflicts() == ()


def test_a_tenant_that_inherits_what_contradicts_is_told_at_its_line() -> None:
    text = f"""{BASE}{RETURN}\
{TENANT}return = {{ keys = "/other", domain = "one.example" }}
{TENANT}notifications = {{ address = "a@one.example" }}
"""

    assert problems(text) == [f"12: return.keys {DIFFERS} one.example: {SET_ONE}"]


def test_the_options_of_a_tenant_are_those_of_everybody() -> None:
    assert set(option_names()["return"]) == set(ReturnService.model_fields)
    assert set(ReturnService.model_fields) - set(ReturnOptions.model_fields) == {
        "socket",
        "milter",
        "metrics",
    }


@pytest.mark.parametrize(
    ("milter", "expected"),
    [
        pytest.param("", MAX_BODY_OF_ANSWERS, id="answers-have-attachments"),
        pytest.param("[milter]\nmax_body_bytes = 7000\n", 7000, id="what-is-set-holds"),
    ],
)
def test_the_body_of_an_answer_is_kept(milter: str, expected: int) -> None:
    assert parsed(milter).of_return_leg().milter.max_body_bytes == expected
