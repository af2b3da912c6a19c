"""The configuration file: every problem at once, each with its line."""

from pathlib import Path

import pytest

from alignd.config.file import ConfigError, load_configuration
from tests.support.configtext import BASE, problems


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param(
            "",
            [
                "1: notifications is missing; it has no default",
                "1: relay is missing; it has no default",
            ],
            id="nothing-at-all",
        ),
        pytest.param(
            '[notifications]\naddress = "a@b.example"\n\n[relay]\n',
            [
                "4: relay.addresses is missing; it has no default",
                "4: relay.hostname is missing; it has no default",
            ],
            id="what-is-missing-is-reported-at-its-table",
        ),
        pytest.param(
            """\
[rules]
rewrite_on = "always"
dry_run = "yes"

[notifications]
adress = "helpdesk@notifications.easysoftware.com"
display_name = "Helpdesk"

[relay]
hostname = "-bad.example"
addresses = [
    "192.0.2.25",
    "192.0.2.256",
]
""",
            [
                "2: rules.rewrite_on = 'always': "
                "input should be 'unaligned', 'any-record' or 'enforced'",
                "3: rules.dry_run = 'yes': input should be a valid boolean",
                "5: notifications.address is missing; it has no default",
                "6: unknown option 'adress' in [notifications]; did you mean 'address'?",
                "7: notifications.display_name: must contain {name} once, and no other braces: "
                "'Helpdesk'",
                "10: relay.hostname: not a domain: '-bad.example': bad label '-bad'",
                "11: relay.addresses: not an IP address: '192.0.2.256'",
            ],
            id="several-at-once-in-the-order-of-the-file",
        ),
        pytest.param(
            BASE.replace('["192.0.2.25", "2001:db8::25"]', "[]"),
            ["3: relay.addresses = []: value should have at least 1 item after validation, not 0"],
            id="no-relay-address",
        ),
        pytest.param(
            BASE.replace("\n", "\r\n") + "[dns]\r\ntimeot = '2s'\r\n",
            ["8: unknown option 'timeot' in [dns]; did you mean 'timeout'?"],
            id="lines-may-end-with-crlf",
        ),
        pytest.param(
            "# a\u2028b\n" + BASE + "timeot = 1\n",
            ["8: unknown option 'timeot' in [notifications]"],
            id="only-a-line-end-ends-a-line",
        ),
    ],
)
def test_problems_of_a_whole_file(text: str, expected: list[str]) -> None:
    assert problems(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param(
            "[dns]\ntimeot = '2s'",
            "8: unknown option 'timeot' in [dns]; did you mean 'timeout'?",
            id="a-misspelt-key",
        ),
        pytest.param(
            "[rule]\ndry_run = true",
            "7: unknown table or option 'rule'; did you mean 'rules'?",
            id="a-misspelt-table",
        ),
        pytest.param(
            "[milter]\ntimeout = '2s'",
            "8: unknown option 'timeout' in [milter]; it belongs in [dns]",
            id="a-key-in-the-wrong-table",
        ),
        pytest.param("[dns]\nzebra = 1", "8: unknown option 'zebra' in [dns]", id="a-strange-key"),
        pytest.param("[zebra]\nx = 1", "7: unknown table or option 'zebra'", id="a-strange-table"),
        pytest.param(
            "[dns]\n'\\u001b[31m' = 1".replace("'", '"'),
            "7: unknown option '\\x1b[31m' in [dns]",
            id="a-key-that-would-drive-the-terminal",
        ),
        pytest.param(
            "[dns]\n# timeout = 1\n\ntimeout = 1",
            "10: dns.timeout: must be text in quotes, not 1",
            id="a-comment-is-not-the-key",
        ),
        pytest.param(
            "[ 'dns' ]  # DNS\n  timeout = 1",
            "8: dns.timeout: must be text in quotes, not 1",
            id="a-table-in-quotes",
        ),
    ],
)
def test_names_that_are_wrong(text: str, expected: str) -> None:
    assert problems(f"{BASE}{text}\n") == [expected]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param(
            "dry_run = true\n",
            "1: unknown table or option 'dry_run'; it belongs in [rules]",
            id="a-key-above-the-tables",
        ),
        pytest.param("rules = 5\n", "1: rules must be a table: [rules]", id="a-table-as-a-value"),
        pytest.param(
            "rules = { dry_run = 1 }\n",
            "1: rules.dry_run = 1: input should be a valid boolean",
            id="an-inline-table",
        ),
        pytest.param(
            "\nrules.dry_run = 1\n",
            "2: rules.dry_run = 1: input should be a valid boolean",
            id="a-dotted-key",
        ),
    ],
)
def test_problems_above_the_tables(text: str, expected: str) -> None:
    assert problems(text + BASE) == [expected]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("[dns", "7: not TOML: Expected ']' at the end of a table declaration"),
        pytest.param("[dns]\ntimeout =\n", "8: not TOML: Invalid value"),
        pytest.param("[dns]\ntimeout = 2s\n", "8: not TOML: Expected newline or end of document"),
        pytest.param('[dns]\ntimeout = """2s\n', "8: not TOML: Unterminated string"),
        pytest.param("[relay]\n", "7: not TOML: Cannot declare ('relay',) twice"),
        pytest.param("address = 'a@b.example'\n", "7: not TOML: Cannot overwrite a value"),
        pytest.param("\0", "7: not TOML: Invalid statement"),
    ],
    ids=repr,
)
def test_syntax_errors_name_the_line(text: str, expected: str) -> None:
    (problem,) = problems(BASE + text)

    assert problem.startswith(expected)


@pytest.mark.parametrize(
    ("option", "expected"),
    [
        ("[milter]\nsocket = 8899", "milter.socket: must be text in quotes, not 8899"),
        (
            "[helpdesk]\nauthenticated = 1",
            "helpdesk.authenticated = 1: input should be a valid boolean",
        ),
        (
            "[helpdesk]\nnetworks = ['192.0.2.1/24']",
            "helpdesk.networks: not a network: 192.0.2.1/24 has host bits set; "
            "an example: '192.0.2.0/24'",
        ),
        (
            "[helpdesk]\nnetworks = '192.0.2.0/24'",
            "helpdesk.networks: must be a list in square brackets, not '192.0.2.0/24'",
        ),
        ("[rules]\nexempt = [1]", "rules.exempt: must be text in quotes, not 1"),
        ("[rules]\nalways = ['b..c']", "rules.always: not a domain: 'b..c': empty label"),
        (
            "[rules]\nreply_to = 'Agent'",
            "rules.reply_to = 'Agent': input should be 'keep' or 'agent'",
        ),
        (
            "[rules]\nrewrite_on = true",
            "rules.rewrite_on = True: input should be 'unaligned', 'any-record' or 'enforced'",
        ),
        (
            "[dns]\nnameservers = ['localhost']",
            "dns.nameservers: not a nameserver: 'localhost'; "
            "write an IP address, '127.0.0.1:5353' or '[::1]:5353'",
        ),
    ],
    ids=lambda text: text.replace("\n", " "),
)
def test_values_that_are_wrong(option: str, expected: str) -> None:
    assert problems(f"{BASE}{option}\n") == [f"8: {expected}"]


TENANT = BASE + "\n[[tenant]]\nmatch = { X-Host = 'one.example' }\n"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param(
            f"{BASE}[[tenant]]\n", ["7: tenant.match is missing; it has no default"], id="no-match"
        ),
        pytest.param(
            BASE + "[[tenant]]\nmatch = {}\n",
            ["8: tenant.match: must name at least one header field, or every message matches"],
            id="a-match-of-nothing",
        ),
        pytest.param(
            TENANT + "notification = { address = 'a@b.example' }\n",
            ["10: unknown option 'notification' in [tenant]; did you mean 'notifications'?"],
            id="a-misspelt-table",
        ),
        pytest.param(
            TENANT + "notifications = { adress = 'a@b.example' }\n",
            ["10: unknown option 'adress' in [tenant.notifications]; did you mean 'address'?"],
            id="a-misspelt-key",
        ),
        pytest.param(
            TENANT + "milter = { socket = 'fd:3' }\n",
            ["10: unknown option 'milter' in [tenant]"],
            id="what-a-tenant-cannot-have",
        ),
        pytest.param(
            TENANT + "settings = {}\n",
            ["10: unknown option 'settings' in [tenant]"],
            id="the-name-of-our-own-field",
        ),
        pytest.param(
            TENANT + "rules = 3\n",
            ["10: tenant.rules must be a table: [tenant.rules]"],
            id="a-table-as-a-value",
        ),
        pytest.param(
            f"""{TENANT}
[tenant.notifications]
address = "nobody"

[[tenant]]
match = {{ X-Host = "two.example" }}

[tenant.rules]
dry_run = 1
zebra = 1
""",
            [
                "12: tenant.notifications.address: not an address: 'nobody' "
                "(expected '@' before '')",
                "18: tenant.rules.dry_run = 1: input should be a valid boolean",
                "19: unknown option 'zebra' in [tenant.rules]",
            ],
            id="each-at-its-own-line",
        ),
        pytest.param(
            TENANT.replace("2001:db8::25", "x").replace("address =", "adress ="),
            [
                "3: relay.addresses: not an IP address: 'x'",
                "5: notifications.address is missing; it has no default",
                "6: unknown option 'adress' in [notifications]; did you mean 'address'?",
            ],
            id="what-it-takes-over-is-reported-once",
        ),
        pytest.param(
            BASE + "[tenant]\nmatch = { X-Host = 'one.example' }\n",
            [
                "7: tenant must be a list of tables: write [[tenant]]",
            ],
            id="in-single-brackets",
        ),
    ],
)
def test_problems_of_tenants(text: str, expected: list[str]) -> None:
    assert problems(text) == expected


def test_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    latin = tmp_path / "latin.conf"
    latin.write_bytes(b'[relay]\nhostname = "\xe9.example"\n')

    for path, problem in (
        (tmp_path / "none.conf", "No such file or directory"),
        (tmp_path, "Is a directory"),
        (latin, "not UTF-8 text"),
    ):
        with pytest.raises(ConfigError) as caught:
            load_configuration(path)
        assert str(caught.value) == f"{path}:1: cannot be read: {problem}"
