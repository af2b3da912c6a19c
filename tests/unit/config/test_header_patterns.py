"""Tenants are found by an index, and it is always the one that a search one by one finds."""

import re
import sys
import time
import tomllib
from collections.abc import Callable
from fnmatch import translate
from functools import cache

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alignd.config.file import parse_configuration
from alignd.config.header_patterns import HeaderPattern, HeaderPatterns, PatternIndex
from alignd.config.settings import Configuration
from alignd.judgement.evidence import wanted_by
from alignd.mail.message import HeaderField, Message
from tests.support.configtext import BASE, problems

MANY = 20_000
NAMES = ("X-A", "x-a", "X-B", "X-C")
# Letters that are more alike than lower() says, and what a glob, a fold or a strip makes of them.
TEXTS = st.text(
    "ab*?[]! \n\tAIi\u0130\u0131sS\u017f\u00df\u1e9ekK\u212a\u01c4\u01c5\u03c2\u03c3", max_size=4
)
TENANTS = st.lists(st.dictionaries(st.sampled_from(NAMES), TEXTS, min_size=1), max_size=12)
HEADERS = st.lists(st.tuples(st.sampled_from(NAMES), TEXTS | st.binary(max_size=3)), max_size=6)


def message(header: list[tuple[str, str | bytes]]) -> Message:
    fields = (
        HeaderField(name, value.encode() if isinstance(value, str) else value)
        for name, value in header
    )
    return Message("", (), tuple(fields))


def found_one_by_one(tenants: list[dict[str, str]], message: Message) -> int | None:
    def matches(name: str, pattern: str) -> bool:
        values = (f.unfolded.decode(errors="replace").strip() for f in message.fields(name))
        return any(re.fullmatch(translate(pattern), each, re.IGNORECASE) for each in values)

    for position, tenant in enumerate(tenants):
        if all(matches(*pattern) for pattern in tenant.items()):
            return position
    return None


def index_of(tenants: list[dict[str, str]]) -> PatternIndex:
    return PatternIndex(
        HeaderPatterns(tuple(HeaderPattern.parse(*pattern) for pattern in tenant.items()))
        for tenant in tenants
    )


@given(tenants=TENANTS, header=HEADERS)
def test_the_index_finds_what_a_search_finds(
    tenants: list[dict[str, str]], header: list[tuple[str, str | bytes]]
) -> None:
    seen = message(header)

    assert index_of(tenants).first(seen) == found_one_by_one(tenants, seen)


@given(tenants=TENANTS, data=st.data())
def test_the_index_finds_a_tenant_by_its_own_values_in_another_case(
    tenants: list[dict[str, str]], data: st.DataObject
) -> None:
    values = [(name, text) for tenant in tenants for name, text in tenant.items()]
    drawn = data.draw(st.lists(st.sampled_from(values), max_size=4)) if values else []
    seen = message([(name.upper(), text.swapcase()) for name, text in drawn])

    assert index_of(tenants).first(seen) == found_one_by_one(tenants, seen)


def test_no_letter_that_a_pattern_takes_for_another_is_missed_by_the_index() -> None:
    """Every letter that has a case, or is folded, with every other."""
    letters = [
        letter
        for letter in map(chr, range(sys.maxunicode + 1))
        if letter.isascii() or len({letter, letter.lower(), letter.upper(), letter.casefold()}) > 1
    ]
    letters.remove("*")
    letters.remove("?")
    letters.remove("[")
    everything = "".join(letters)
    for letter in letters:
        for alike in re.findall(re.escape(letter), everything, re.IGNORECASE):
            assert HeaderPattern.parse("X", letter).key == HeaderPattern.parse("X", alike).key


def tenants(count: int, rest: Callable[[int], str] = lambda _: "") -> str:
    return BASE + "".join(
        f'[[tenant]]\nmatch = {{ "X-Host" = "tenant{number}.example" }}\n{rest(number)}'
        for number in range(count)
    )


def own_address(number: int) -> str:
    return f'[tenant.notifications]\naddress = "a@tenant{number}.example"\n'


@cache
def many() -> Configuration:
    return parse_configuration(tenants(MANY), "")


@pytest.mark.parametrize(
    ("host", "is_there"),
    [
        pytest.param(f"Tenant{MANY - 1}.example", True, id="that-of-the-last-tenant"),
        pytest.param("other.example", False, id="that-of-no-tenant"),
    ],
)
def test_settings_of_a_message_are_found_in_no_time(host: str, *, is_there: bool) -> None:
    configuration, seen = many(), message([("X-Host", host)])

    def seconds() -> float:
        before = time.thread_time()
        settings = configuration.settings_for(seen)
        wanted_by(configuration)
        after = time.thread_time()
        assert (settings is not configuration) == is_there
        return after - before

    assert min(seconds() for _ in range(5)) < 0.002


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(tenants(5_000), id="that-differ-in-nothing"),
        pytest.param(tenants(5_000, own_address), id="with-an-address-each"),
    ],
)
def test_thousands_of_tenants_load_in_little_more_than_their_text_takes(text: str) -> None:
    def seconds(read: Callable[[], object]) -> float:
        before = time.thread_time()
        read()
        return time.thread_time() - before

    of_text = min(seconds(lambda: tomllib.loads(text)) for _ in range(2))

    assert min(seconds(lambda: parse_configuration(text, "")) for _ in range(2)) < 6 * of_text


def test_tenants_that_differ_in_nothing_share_their_settings() -> None:
    assert len(many().all_settings) == 2  # the general ones, and those of all tenants


def test_a_wrong_general_option_is_told_of_once_and_beside_those_of_tenants() -> None:
    text = tenants(2, own_address).replace("helpdesk@", "", 1).replace("a@tenant1", "a", 1)

    wrong_general, wrong_own = problems(text)

    assert wrong_general.startswith("6: notifications.address: not an address")
    assert wrong_own.startswith("14: tenant.notifications.address: not an address")
