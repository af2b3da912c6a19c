"""OpenDKIM's tables, fact by fact. tests/relay/test_opendkim.py asks OpenDKIM itself."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alignd.config.opendkim import (
    KeyEntry,
    NoSignature,
    TableError,
    TableKind,
    parse_tables,
    split_table_name,
)
from alignd.mail.mailbox import Mailbox

REFILE = b"""
# comment
marky@mycompany.com   one
*@MyCompany.com       two:@%
*@*.mycompany.com     three:@sub.mycompany.com
"""
PLAIN = b"""
marky@mycompany.com   one
mycompany.com         two
.mycompany.com        three
eva@.com              four
jan@*                 five
*                     %
"""
KEYS = b"""
one    mycompany.com:s1:/keys/one
two    %:s2:/keys/%/two
three  mycompany.com:s3:./three
four   com.com:s4:MIIEowIBAAKC
five   five.com:s5:/keys/%/five
x.org  x.org:s6:/keys/x
"""
ANN = "ann@mycompany.com"


def found(
    signing: bytes,
    address: str,
    keys: bytes = KEYS,
    signing_kind: TableKind = TableKind.REFILE,
    key_kind: TableKind = TableKind.FILE,
) -> str:
    """What is found for an author, in one line: the key's entry, or why none counts."""
    tables = parse_tables(signing, keys, signing_kind, key_kind)
    match tables.key_for(Mailbox.from_address(address)):
        case KeyEntry(domain, selector, path, inline):
            return f"{domain}:{selector}:{path or inline.decode()}"
        case NoSignature(reason):
            return reason
        case _:
            return ""


@pytest.mark.parametrize(
    ("table", "address", "expected"),
    [
        pytest.param(REFILE, "marky@mycompany.com", "mycompany.com:s1:/keys/one", id="exact"),
        pytest.param(
            REFILE, "Eva@mycompany.com", "mycompany.com:s2:/keys/mycompany.com/two", id="*"
        ),
        pytest.param(REFILE, "eva@a.b.mycompany.com", "mycompany.com:s3:./three", id="below"),
        pytest.param(REFILE, "eva@other.com", "", id="none"),
        pytest.param(PLAIN, "marky@mycompany.com", "mycompany.com:s1:/keys/one", id="user-host"),
        pytest.param(
            PLAIN, "eva@mycompany.com", "mycompany.com:s2:/keys/mycompany.com/two", id="host"
        ),
        pytest.param(PLAIN, "jan@eu.mycompany.com", "mycompany.com:s3:./three", id="above"),
        pytest.param(
            PLAIN,
            "eva@eu.mycompany.com",
            "mycompany.com:s3:./three",
            id="a-domain-above-before-a-user-of-one-further-above",
        ),
        pytest.param(PLAIN, "eva@other.com", "com.com:s4:MIIEowIBAAKC", id="user-of-one-above"),
        pytest.param(
            PLAIN,
            "jan@x.org",
            "five.com:s5:/keys/five.com/five",
            id="user-anywhere-with-a-percent-in-the-path-for-the-signing-domain",
        ),
        pytest.param(PLAIN, "ann@x.org", "x.org:s6:/keys/x", id="anybody-by-percent"),
        pytest.param(
            PLAIN,
            "ann@y.org",
            "the SigningTable names the key 'y.org', which the KeyTable does not have, so the "
            "signer defers the message",
            id="percent-without-key",
        ),
    ],
)
def test_who_is_signed_with_which_key(table: bytes, address: str, expected: str) -> None:
    kind = TableKind.FILE if table is PLAIN else TableKind.REFILE

    assert found(table, address, signing_kind=kind) == expected


ONE, TWO = "mycompany.com:s1:/keys/one", "mycompany.com:s2:/keys/mycompany.com/two"


@pytest.mark.parametrize(
    ("table", "expected"),
    [
        pytest.param(b"*@mycompany.com one\n*@mycompany.com two\n", ONE, id="first-match"),
        pytest.param(b" *@mycompany.com one\n*@mycompany.com two\n", TWO, id="blank-in-front"),
        pytest.param(b"*@mycompany.com one\r\n", ONE, id="crlf"),
        pytest.param(b"*@mycompany.com\tone \t\n", ONE, id="tabs-and-trailing-blanks"),
        pytest.param(b"*@mycompany.com\rone", ONE, id="carriage-return-is-a-blank"),
        pytest.param(b"*@mycompany.com\x0bone\x0c", ONE, id="vertical-tab-and-form-feed-too"),
        pytest.param(b"*@mycompany.com one#two\n", ONE, id="comment-in-a-value"),
        pytest.param(b"*@mycompany.com one\0two\n", ONE, id="nul-ends-a-line"),
        pytest.param(b"\xef\xbb\xbf*@mycompany.com one\n*@* two", TWO, id="byte-order-mark"),
        pytest.param(b"# \xe9\n*@mycompany.com one", ONE, id="comment-in-latin-1"),
        pytest.param(
            b"#" + b"x" * 1022 + b"*@mycompany.com one\n*@* two", ONE, id="long-comment-goes-on"
        ),
        pytest.param(
            b"#" + b"x" * 1021 + b"*@mycompany.com one\n*@* two", TWO, id="or-is-cut-in-an-entry"
        ),
        pytest.param(b"mycompany.com one\n*@* two", TWO, id="a-plain-key-is-a-pattern-too"),
        pytest.param(b"* one", ONE, id="star-matches-the-at-sign-too"),
        pytest.param(b"*@mycompany.com nokey", "names the key 'nokey'", id="unknown-key"),
        pytest.param(b"*@mycompany.com one two", "names the key 'one two'", id="two-words"),
        pytest.param(b"*@mycompany.com ONE", "names the key 'ONE'", id="case-of-a-key"),
        pytest.param(b"*@mycompany.com", "names no key", id="no-value"),
        pytest.param(b"*@mycompany.com  \n*@* one", "names no key", id="blank-value"),
        pytest.param(b"*@mycompany.com one\x1c", "names the key", id="no-blank-of-unicode"),
        pytest.param(
            b"*@(mail|news).mycompany.com one\n*@* two",
            "line 1 of the SigningTable cannot be predicted",
            id="regular-expression",
        ),
        pytest.param(
            b"*@mycompany.com one\n*@[x]y.com two", ONE, id="regular-expression-further-down"
        ),
        pytest.param(b"a.n@mycompany.com one\n*@* two", TWO, id="a-dot-is-a-dot"),
        pytest.param(b"a+@mycompany.com one\n*@* two", TWO, id="a-plus-is-a-plus"),
    ],
)
def test_the_lines_of_a_refile(table: bytes, expected: str) -> None:
    assert expected in found(table, ANN)


@pytest.mark.parametrize(
    ("table", "expected"),
    [
        pytest.param(b"mycompany.com one\nmycompany.com two", ONE, id="first-of-two"),
        pytest.param(b"mycompany.com two\nMYCOMPANY.com one", TWO, id="whatever-their-case"),
        pytest.param(b"  mycompany.com one\nmycompany.com two", ONE, id="blanks-in-front"),
        pytest.param(b"*@mycompany.com one", "", id="no-patterns"),
        pytest.param(b"mycompany.com (one)", "names the key '(one)'", id="no-expressions"),
    ],
)
def test_the_lines_of_a_plain_file(table: bytes, expected: str) -> None:
    result = found(table, ANN, signing_kind=TableKind.FILE)

    assert expected in result
    assert bool(expected) == bool(result)


@pytest.mark.parametrize(
    ("keys", "kind", "expected"),
    [
        pytest.param(b"k a.com:s1:/a\nk b.com:s2:/b", TableKind.FILE, "a.com:s1:/a", id="first"),
        pytest.param(b"  k a.com:s1:/a\r\n", TableKind.FILE, "a.com:s1:/a", id="blanks-around"),
        pytest.param(
            b"* a.com:s1:/a\nk b.com:s2:/b", TableKind.REFILE, "a.com:s1:/a", id="refile"
        ),
        pytest.param(b"K a.com:s1:/a", TableKind.REFILE, "does not have", id="case-in-a-refile"),
        pytest.param(b"k(b)? a.com:s:/a", TableKind.REFILE, "cannot be predicted", id="regex"),
        pytest.param(b"k mycompany.com:s1", TableKind.FILE, "not domain:selector:key", id="two"),
        pytest.param(b"k :s1:/keys/one", TableKind.FILE, "not domain:selector:key", id="empty"),
        pytest.param(b"k", TableKind.FILE, "not domain:selector:key", id="nothing"),
        pytest.param(b"k %:%:/%/%", TableKind.FILE, "mycompany.com:%:/my", id="percent"),
        pytest.param(
            b"k a.com:s:./%", TableKind.FILE, "a.com:s:./%", id="percent-stays-behind-dot"
        ),
    ],
)
def test_the_lines_of_a_key_table(keys: bytes, kind: TableKind, expected: str) -> None:
    assert expected in found(b"*@mycompany.com k", ANN, keys, key_kind=kind)


def test_a_percent_is_the_author_domain_in_lower_case() -> None:
    assert found(b"* %", "ann@X.org") == "x.org:s6:/keys/x"


def test_entries_that_do_not_do_what_was_meant_are_named_with_their_line() -> None:
    signing = (
        b"mycompany.com k\n*@b.com k\nc.com nokey\nd.com\ne.com k:e.com\nmycompany.com k\n* %"
    )
    keys = b"k mycompany.com:s1:/a\n\nk mycompany.com:s2:/b\nx mycompany.com\n"

    problems = list(parse_tables(signing, keys).problems())

    assert [(each.is_key_table, each.line) for each in problems] == [
        (False, 2),
        (False, 3),
        (False, 4),
        (False, 5),
        (False, 6),
        (True, 3),
        (True, 4),
    ]
    assert "refile:" in problems[0].text
    assert "line 1 has 'k' too" in problems[5].text


def test_usual_tables_have_no_problems() -> None:
    assert not [*parse_tables(REFILE, KEYS, TableKind.REFILE).problems()]
    assert not [*parse_tables(PLAIN, KEYS).problems()]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        pytest.param("/etc/opendkim/t", (TableKind.FILE, "/etc/opendkim/t"), id="path"),
        pytest.param("file:/t", (TableKind.FILE, "/t"), id="file"),
        pytest.param("refile:/t", (TableKind.REFILE, "/t"), id="refile"),
    ],
)
def test_names_of_tables(name: str, expected: tuple[TableKind, str]) -> None:
    assert split_table_name(name) == expected


@pytest.mark.parametrize(
    "name", ["csl:a=b", "lua:/x.lua", "db:/x.db", "ldap://x", "dsn:mysql://x"]
)
def test_names_of_tables_that_are_no_files(name: str) -> None:
    with pytest.raises(TableError, match="write 'refile:/path'"):
        split_table_name(name)


@given(
    st.one_of(st.binary(max_size=60), st.text(alphabet="*@%:.a \t\n#()|", max_size=60)),
    st.sampled_from(TableKind),
    st.sampled_from(TableKind),
)
def test_any_content_is_read(
    text: bytes | str, signing_kind: TableKind, key_kind: TableKind
) -> None:
    content = text if isinstance(text, bytes) else text.encode()
    tables = parse_tables(
        content + b"\n*@* k", content + b"\nk a.com:s:/k", signing_kind, key_kind
    )

    result = tables.key_for(Mailbox.from_address(ANN))

    assert result is None or isinstance(result, KeyEntry | NoSignature)
    assert all(problem.line > 0 for problem in tables.problems())
