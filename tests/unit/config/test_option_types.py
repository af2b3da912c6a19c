"""Options: every spelling that is accepted, and the error of every other."""

import pytest

from alignd.config.file import parse_configuration
from alignd.config.option_types import ListenAddress, Nameserver
from alignd.mail.message import HeaderField, Message
from tests.support.configtext import BASE, problems


@pytest.mark.parametrize(
    ("written", "libmilter"),
    [
        pytest.param("inet:8899@127.0.0.1", "inet:8899@127.0.0.1", id="libmilter"),
        pytest.param("inet6:8899@::1", "inet6:8899@::1", id="libmilter-ipv6"),
        pytest.param("inet:8899", "inet:8899", id="libmilter-any-address"),
        pytest.param("inet:127.0.0.1:8899", "inet:8899@127.0.0.1", id="postfix"),
        pytest.param("inet:localhost:8899", "inet:8899@localhost", id="postfix-with-a-name"),
        pytest.param("inet:[::1]:8899", "inet6:8899@::1", id="postfix-ipv6"),
        pytest.param("inet:[127.0.0.1]:8899", "inet:8899@127.0.0.1", id="postfix-in-brackets"),
        pytest.param("unix:/run/alignd/s", "unix:/run/alignd/s", id="unix"),
        pytest.param("local:/run/alignd/s", "unix:/run/alignd/s", id="local"),
        pytest.param("fd:3", "fd:3", id="socket-activation"),
    ],
)
def test_sockets(written: str, libmilter: str) -> None:
    parsed = parse_configuration(f'{BASE}[milter]\nsocket = "{written}"\n', "")

    assert str(parsed.milter.socket) == libmilter


@pytest.mark.parametrize(
    "written",
    [
        *("", "8899", "/run/alignd/s", "unix:run/alignd/s", "inet:127.0.0.1", "inet::1:8899"),
        *("tcp:127.0.0.1:8899", "INET:8899@127.0.0.1", "inet:a b:1", "fd:x", "unix:/run/a b"),
        *("inet:65536@127.0.0.1", "inet:127.0.0.1:99999", "inet:0@127.0.0.1"),
    ],
    ids=repr,
)
def test_what_is_no_socket(written: str) -> None:
    assert problems(f'{BASE}[milter]\nsocket = "{written}"\n') == [
        f"8: milter.socket: not a socket: {written!r}; "
        "write 'inet:8899@127.0.0.1', 'unix:/path' or 'fd:3'"
    ]


@pytest.mark.parametrize(
    ("written", "host", "port"),
    [
        ("127.0.0.1:18899", "127.0.0.1", 18899),
        ("[::1]:18899", "::1", 18899),
        ("[0:0:0:0:0:0:0:1]:1", "::1", 1),
        ("0.0.0.0:65535", "0.0.0.0", 65535),
        ("localhost:80", "localhost", 80),
        ("Relay.example:80", "relay.example", 80),
    ],
)
def test_addresses_to_listen_on(written: str, host: str, port: int) -> None:
    listen = parse_configuration(f'{BASE}[metrics]\nlisten = "{written}"\n', "").metrics.listen

    assert listen == ListenAddress(host, port)
    assert str(listen) in {written, written.lower(), f"[{host}]:{port}"}


def test_nowhere_to_listen_on() -> None:
    assert parse_configuration(f'{BASE}[metrics]\nlisten = ""\n', "").metrics.listen is None


@pytest.mark.parametrize(
    "written",
    [
        *("18899", ":18899", "127.0.0.1", "127.0.0.1:", "127.0.0.1:0", "127.0.0.1:65536"),
        *("::1:18899", "[::1]", "[::1]:x", "[127.0.0.1]:80", "[]:80", "[::1:80", "::1]:80"),
        *("300.0.0.1:80", "127.1:80", "a b:80", "a..b:80", "http://a.example:80", "*:80"),
        *("127.0.0.1:80 ", "127.0.0.1:8\u0660", "off"),
    ],
    ids=repr,
)
def test_what_is_no_address_to_listen_on(written: str) -> None:
    assert problems(f'{BASE}[metrics]\nlisten = "{written}"\n') == [
        f"8: metrics.listen: not an address to listen on: {written!r}; "
        "write '127.0.0.1:18899', '[::1]:18899', or '' for none"
    ]


@pytest.mark.parametrize(
    ("written", "address", "port"),
    [
        ("192.0.2.53", "192.0.2.53", 53),
        ("127.0.0.1:5353", "127.0.0.1", 5353),
        ("2001:db8::53", "2001:db8::53", 53),
        ("[::1]:5353", "::1", 5353),
        ("0:0:0:0:0:0:0:1", "::1", 53),
        ("0.0.0.0", "127.0.0.1", 53),
        ("[::]:5353", "::1", 5353),
    ],
)
def test_nameservers(written: str, address: str, port: int) -> None:
    settings = parse_configuration(f'{BASE}[dns]\nnameservers = ["{written}"]\n', "").dns

    assert settings.nameservers == (Nameserver(address, port),)


def test_a_link_local_nameserver_keeps_its_interface() -> None:
    written = '["FE80::53%eth0", "[fe80::53%2]:5353", "2001:db8::53%eth0"]'

    parsed = parse_configuration(f"{BASE}[dns]\nnameservers = {written}\n", "").dns.nameservers

    assert parsed == (
        Nameserver("fe80::53", 53, "eth0"),
        Nameserver("fe80::53", 5353, "2"),
        Nameserver("2001:db8::53"),
    )
    assert list(map(str, parsed)) == ["fe80::53%eth0", "[fe80::53%2]:5353", "2001:db8::53"]


@pytest.mark.parametrize(
    "written",
    [
        *("", "localhost", "localhost:53", "192.0.2", "127.0.0.1:", "[::1]"),
        *("127.0.0.1:0", "127.0.0.1:65536", "[::1]:65536"),
    ],
    ids=repr,
)
def test_what_is_no_nameserver(written: str) -> None:
    (problem,) = problems(f'{BASE}[dns]\nnameservers = ["{written}"]\n')

    assert problem.startswith(f"8: dns.nameservers: not a nameserver: {written!r}; write ")


@pytest.mark.parametrize(
    ("written", "seconds"),
    [("500ms", 0.5), ("2s", 2), ("1.5s", 1.5), ("0.5m", 30), ("0.001h", 3.6), ("0.0001d", 8.64)],
)
def test_durations(written: str, seconds: float) -> None:
    parsed = parse_configuration(f'{BASE}[dns]\ntimeout = "{written}"\n', "")

    assert parsed.dns.timeout == pytest.approx(seconds)


@pytest.mark.parametrize(
    "written", ["", "2", "2 s", "-2s", "2S", "2w", ".5s", "1e3s", "2s2s", "inf"]
)
def test_what_is_no_duration(written: str) -> None:
    assert problems(f'{BASE}[dns]\ntimeout = "{written}"\n') == [
        f"8: dns.timeout: not a timeout: {written!r}; write one between '100ms' and '30s'"
    ]


@pytest.mark.parametrize("written", ["99ms", "30.1s", "1m", "9999999999d"])
def test_a_timeout_is_neither_too_short_nor_too_long(written: str) -> None:
    assert problems(f'{BASE}[dns]\ntimeout = "{written}"\n') == [
        f"8: dns.timeout: not a timeout: {written!r}; write one between '100ms' and '30s'"
    ]


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        pytest.param("", "'' (no address)", id="nothing"),
        pytest.param("helpdesk", "'helpdesk' (", id="no-domain"),
        pytest.param("Ann <a@b.example>", "'Ann <a@b.example>' (", id="a-name-too"),
        pytest.param("<a@b.example>", "'<a@b.example>' (", id="in-brackets"),
        pytest.param("a@b.example, c@d.example", "'a@b.example, c@d.example' (", id="two"),
        pytest.param("a@[192.0.2.1]", "'a@[192.0.2.1]' (", id="an-address-literal"),
    ],
)
@pytest.mark.parametrize("option", ["address", "envelope_sender"])
def test_what_is_no_address(option: str, written: str, expected: str) -> None:
    text = BASE if option == "address" else f'{BASE}envelope_sender = "a@b.example"\n'
    last = text.splitlines()[-1]
    (problem,) = problems(text.replace(last, f'{option} = "{written}"'))

    line = len(text.splitlines())
    assert problem.startswith(f"{line}: notifications.{option}: not an address: {expected}")


@pytest.mark.parametrize("local_part", ["-helpdesk", "'help desk'"])
def test_an_address_that_servers_refuse(local_part: str) -> None:
    text = BASE.replace("helpdesk@", f"{local_part}@")
    (problem,) = problems(text.replace("'", '\\"'))

    assert problem.startswith("6: notifications.address: no server must refuse it: ")


def test_an_address_that_not_every_receiver_takes() -> None:
    assert problems(BASE.replace("helpdesk@", "příjem@")) == [
        "6: notifications.address: must be ASCII before the '@', so that every receiver takes it: "
        "'příjem@notifications.easysoftware.com'"
    ]


@pytest.mark.parametrize(
    "written",
    [
        "{name}",
        "{name} via Easy Helpdesk",
        "Helpdesk: {name}",
        "{name} přes podporu",
        "{name} v1.2",
    ],
)
def test_name_templates(written: str) -> None:
    parsed = parse_configuration(f'{BASE}display_name = "{written}"\n', "")

    assert parsed.notifications.display_name == written


BRACES = "must contain {name} once, and no other braces"
PUNISHED = "filters punish an address, a domain, an encoded word or a control character"


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        pytest.param("", BRACES, id="nothing"),
        pytest.param("Helpdesk", BRACES, id="no-name"),
        pytest.param("{name} {name}", BRACES, id="the-name-twice"),
        pytest.param("{name} {domain}", BRACES, id="another-placeholder"),
        pytest.param("{name}}", BRACES, id="a-brace-too-many"),
        pytest.param("{name} via a@b.example", PUNISHED, id="an-address"),
        pytest.param("{name} via easysoftware.com", PUNISHED, id="a-domain"),
        pytest.param("{name} via \\u202emoc", PUNISHED, id="a-change-of-direction"),
        pytest.param("{name} via\\u0007", PUNISHED, id="a-control-character"),
        pytest.param("{name}\\nvia Helpdesk", PUNISHED, id="a-line-end"),
    ],
)
def test_what_is_no_name_template(written: str, expected: str) -> None:
    (problem,) = problems(f'{BASE}display_name = "{written}"\n')

    assert problem.startswith(f"7: notifications.display_name: {expected}")


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        pytest.param('{ "X Mailer" = "*" }', "not the name of a header field: 'X Mailer'"),
        pytest.param('{ "X-Mailer:" = "*" }', "not the name of a header field: 'X-Mailer:'"),
        pytest.param('{ "" = "*" }', "not the name of a header field: ''"),
        pytest.param('{ "X-Mailer" = 1 }', "must be text in quotes, not 1"),
        pytest.param("'*'", "must be a table such as { 'X-Mailer' = 'Redmine*' }, not '*'"),
    ],
    ids=repr,
)
def test_what_is_no_header_pattern(written: str, expected: str) -> None:
    assert problems(f"{BASE}[helpdesk]\nheaders = {written}\n") == [
        f"8: helpdesk.headers: {expected}"
    ]


@pytest.mark.parametrize(
    ("patterns", "matches"),
    [
        pytest.param('{ "X-Mailer" = "Redmine*" }', True, id="a-glob"),
        pytest.param('{ "x-mailer" = "REDMINE*" }', True, id="in-any-case"),
        pytest.param('{ "X-Mailer" = "Redmine" }', False, id="of-the-whole-value"),
        pytest.param('{ "X-Mailer" = "*", "X-Other" = "*" }', False, id="all-of-them"),
        pytest.param('{ "X-Folded" = "one two" }', True, id="unfolded"),
        pytest.param('{ "X-Twice" = "second" }', True, id="any-field-of-the-name"),
        pytest.param('{ "X-Mailer" = "R[aeiou]dm?ne*" }', True, id="with-sets"),
        pytest.param('{ "X-Mailer" = ".*" }', False, id="which-is-no-regular-expression"),
        pytest.param("{}", True, id="none-asks-nothing"),
    ],
)
def test_header_patterns(patterns: str, matches: bool) -> None:
    header = (
        HeaderField("X-Mailer", b"Redmine 5.1"),
        HeaderField("X-Folded", b"one\n two"),
        HeaderField("X-Twice", b"first"),
        HeaderField("X-Twice", b" second "),
    )
    parsed = parse_configuration(f"{BASE}[helpdesk]\nheaders = {patterns}\n", "")

    assert parsed.helpdesk.headers.match(Message("", (), header)) is matches


KEY = "MIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8AMIIBCgKCAQEAvEP/s0BD8mH1nMShhsxc+w=="


@pytest.mark.parametrize(
    ("written", "target", "record"),
    [
        pytest.param('target = "Easy1.DKIM.example."', "easy1.dkim.example", "", id="an-alias"),
        pytest.param(
            f'public_key = "{KEY}"', None, f"v=DKIM1; k=rsa; p={KEY}", id="the-bare-text-of-a-key"
        ),
        pytest.param(
            f'public_key = "v=DKIM1;k=rsa; p={KEY[:30]} {KEY[30:]}"',
            None,
            f"v=DKIM1; k=rsa; p={KEY}",
            id="a-record-with-blanks",
        ),
    ],
)
def test_a_delegation_is_an_alias_or_a_key(written: str, target: str | None, record: str) -> None:
    text = f'{BASE}[dkim]\ndelegate = {{ selector = "easy1", {written} }}\n'
    delegate = parse_configuration(text, "").dkim.delegate

    assert delegate is not None
    assert (delegate.target and delegate.target.name, delegate.public_key) == (target, record)


def test_an_empty_delegation_is_none() -> None:
    assert parse_configuration(f"{BASE}[dkim]\ndelegate = {{}}\n", "").dkim.delegate is None


@pytest.mark.parametrize(
    ("written", "problem"),
    [
        pytest.param('selector = "easy1"', "must have either 'target'", id="neither"),
        pytest.param(
            f'selector = "a", target = "x.cz", public_key = "{KEY}"',
            "must have either 'target'",
            id="both",
        ),
        pytest.param('target = "x.cz"', "selector is missing", id="no-selector"),
        pytest.param('selector = "a b", target = "x.cz"', "selector", id="a-blank-in-a-selector"),
        pytest.param('selector = "a", target = "x..cz"', "not a domain", id="a-bad-target"),
        pytest.param('selector = "a", public_key = "?"', "not a public key: '?'", id="no-key"),
        pytest.param('selector = "a", public_key = 1', "must be text in quotes", id="a-number"),
        pytest.param(
            'selector = "a", public_key = "v=DKIM1; p="', "not a public key", id="a-revoked-key"
        ),
    ],
)
def test_what_is_no_delegation(written: str, problem: str) -> None:
    (line,) = problems(f"{BASE}[dkim]\ndelegate = {{ {written} }}\n")

    assert line.startswith("8: dkim.delegate")
    assert problem in line


@pytest.mark.parametrize(
    "written",
    ["0.0.0.0/0", "::/0", "127.0.0.0/8", "::1", "2001:db8::/32", "64:ff9b::/96", "2002::/16"],
)
def test_networks_that_clients_are_in(written: str) -> None:
    parse_configuration(f'{BASE}[helpdesk]\nnetworks = ["{written}"]\n', "")


@pytest.mark.parametrize(
    ("written", "instead"),
    [
        pytest.param("::ffff:127.0.0.0/104", "'127.0.0.0/8'", id="mapped"),
        pytest.param("::ffff:192.0.2.7", "'192.0.2.7/32'", id="one-mapped-address"),
        pytest.param("::ffff:c000:200/120", "'192.0.2.0/24'", id="mapped-in-hexadecimal"),
        pytest.param("::ffff:0.0.0.0/96", "'0.0.0.0/0'", id="all-that-is-mapped"),
        pytest.param("::ffc0:0:0/90", "'0.0.0.0/0' if you mean every IPv4 client", id="around"),
        pytest.param("::192.0.2.0/120", "'192.0.2.0/24'", id="compatible"),
        pytest.param("0.0.0.0", "'0.0.0.0/0' if you mean every client", id="no-prefix"),
        pytest.param("::", "'::/0' if you mean every client", id="no-prefix-over-ipv6"),
        pytest.param(
            "224.0.0.0/4", "the address or network that clients connect from", id="multicast"
        ),
    ],
)
def test_a_network_that_no_client_is_in_is_refused(written: str, instead: str) -> None:
    assert problems(f'{BASE}[helpdesk]\nnetworks = ["{written}"]\n') == [
        f"8: helpdesk.networks: no client is ever in this network: {written!r}; write {instead}"
    ]


def test_a_mapped_relay_address_is_its_ipv4_address() -> None:
    text = BASE.replace('"192.0.2.25"', '"::ffff:192.0.2.25"')
    assert text != BASE

    assert parse_configuration(text, "").relay == parse_configuration(BASE, "").relay


def test_a_relay_address_that_nobody_has_is_refused() -> None:
    (problem,) = problems(BASE.replace('"192.0.2.25"', '"::192.0.2.25"'))

    assert "mail cannot leave from this address: '::192.0.2.25'" in problem
