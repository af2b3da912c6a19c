"""Links: what a key of ours has signed, as it was signed, for as long as it says."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alignd.config.domain_lists import FreemailDomains
from alignd.config.option_types import PageUrl
from alignd.config.settings import LANGUAGES
from alignd.mail.domain import Domain
from alignd.return_path.address import Kind
from alignd.return_path.keyring import ALPHABET, Keyring
from alignd.web.access import MAX_PATH
from alignd.web.sharing import (
    DAY,
    MAX_DAYS,
    MAX_TOKEN,
    Bad,
    ShareLink,
    Unshareable,
    expiry_of,
    is_id,
    new_id,
    read_token,
    token_of,
    unshareable,
    url_of,
)
from tests.lab.return_addresses import return_address

NOW = 1_790_000_123.5
A, B = "6b" * 32, "7c" * 32
KEYRING = Keyring.parse(f"sign {A}\naccept {B}\n")
PROVIDERS = FreemailDomains()
MYCOMPANY = Domain("mycompany.com")


def link(days: int = 30, *, domain: Domain = MYCOMPANY, tenant: str = "mycompany") -> ShareLink:
    return ShareLink(domain, tenant, "da", new_id(days, NOW, b"\xa5" * 8))


def read(
    token: str, keyring: Keyring = KEYRING, revoked: tuple[str, ...] = (), now: float = NOW
) -> ShareLink | Bad:
    return read_token(token, keyring, revoked, PROVIDERS, now)


LINK = link()
TOKEN = token_of(LINK, KEYRING.signing)


def test_a_link_reads_back_as_it_was_made() -> None:
    assert read(TOKEN) == LINK
    assert TOKEN.isalnum()


names = st.from_regex(r"[a-z0-9]([a-z0-9-]{0,20}[a-z0-9])?(\.[a-z]{2,8}){1,4}", fullmatch=True)
printable = st.text(st.characters(exclude_categories=["C", "Z"]), max_size=120)


@given(
    names,
    printable,
    st.sampled_from(LANGUAGES),
    st.integers(1, MAX_DAYS),
    st.binary(min_size=8, max_size=8),
    st.floats(0, 2e10),
)
def test_every_link_reads_back(
    name: str, tenant: str, language: str, days: int, random: bytes, now: float
) -> None:
    made = ShareLink(Domain(name), tenant, language, new_id(days, now, random))  # type: ignore[arg-type]

    token = token_of(made, KEYRING.signing)

    assert read_token(token, KEYRING, (), (), now) == made
    assert now + days * DAY <= made.expires < now + (days + 1) * DAY
    assert is_id(made.id)


def test_the_longest_link_has_room() -> None:
    domain = Domain.parse(".".join(["a" * 61] * 4))
    token = token_of(link(domain=domain, tenant="\U0001f600" * 120), KEYRING.signing)

    assert len(token) <= MAX_TOKEN
    assert len(url_of(token, PageUrl("https", "help.example", 443, "/dns"))) < MAX_PATH
    assert isinstance(read(token), ShareLink)


@given(st.data())
def test_any_change_of_a_character_is_refused(data: st.DataObject) -> None:
    place = data.draw(st.integers(0, len(TOKEN) - 1))
    letter = data.draw(
        st.sampled_from(ALPHABET.upper() + ALPHABET + "01.=~ \u0131") | st.characters()
    )
    changed = TOKEN[:place] + letter + TOKEN[place + 1 :]

    assert (read(changed) == LINK) == (changed == TOKEN)


@given(st.data())
def test_what_is_cut_or_longer_is_refused(data: st.DataObject) -> None:
    place = data.draw(st.integers(0, len(TOKEN)))
    inserted = data.draw(st.text(ALPHABET, min_size=1, max_size=40) | st.text(min_size=1))

    assert isinstance(read(TOKEN[:place] + inserted + TOKEN[place:]), Bad)
    assert isinstance(read(TOKEN[:-1][:place]), Bad)
    assert isinstance(read(TOKEN[1:][place:]), Bad)


@given(st.text() | st.text(ALPHABET, max_size=2 * MAX_TOKEN))
def test_no_text_is_a_link_by_chance(text: str) -> None:
    assert isinstance(read(text), Bad)


def test_every_single_letter_is_signed() -> None:
    for place in range(len(TOKEN)):
        for letter in ALPHABET.replace(TOKEN[place], ""):
            assert read(TOKEN[:place] + letter + TOKEN[place + 1 :]) in {
                Bad.FORGED,
                Bad.UNKNOWN_KEY,
            }


@pytest.mark.parametrize(
    ("token", "expected"),
    [
        pytest.param("", Bad.MALFORMED, id="empty"),
        pytest.param(f"{TOKEN}\n", Bad.MALFORMED, id="a line end behind it"),
        pytest.param(f"{TOKEN}.", Bad.MALFORMED, id="a full stop behind it"),
        pytest.param(TOKEN.upper(), Bad.MALFORMED, id="capitals"),
        pytest.param(TOKEN[:33], Bad.MALFORMED, id="nothing is said"),
        pytest.param("a" * (MAX_TOKEN + 1), Bad.MALFORMED, id="too long"),
        pytest.param("a" * 65_536, Bad.MALFORMED, id="64 kB"),
        pytest.param(f"{TOKEN}a", Bad.FORGED, id="a letter more"),
        pytest.param(
            token_of(link(31), KEYRING.signing)[:33] + TOKEN[33:], Bad.FORGED, id="another's tag"
        ),
        pytest.param(
            TOKEN[:33] + token_of(link(365), KEYRING.signing)[33:], Bad.FORGED, id="longer"
        ),
        pytest.param(
            return_address(Kind.AUTHOR, "ann@mycompany.com"), Bad.MALFORMED, id="an address"
        ),
    ],
)
def test_what_is_no_link_has_a_reason(token: str, expected: Bad) -> None:
    assert read(token) is expected


def test_a_link_ends_with_its_last_day() -> None:
    assert LINK.expires % DAY == 0
    assert read(TOKEN, now=LINK.expires - 0.001) == LINK
    assert read(TOKEN, now=LINK.expires) is Bad.EXPIRED


def test_a_link_is_good_under_a_key_that_is_only_accepted() -> None:
    assert read(token_of(LINK, KEYRING.keys[Keyring.parse(f"sign {B}").signing.id])) == LINK


def test_a_retired_key_ends_all_that_it_has_signed() -> None:
    assert read(TOKEN, Keyring.parse(f"retired {A}\nsign {B}\n")) is Bad.RETIRED


def test_a_key_that_is_gone_is_unknown_and_another_with_its_id_forges() -> None:
    assert read(TOKEN, Keyring.parse(f"sign {B}\n")) is Bad.UNKNOWN_KEY
    other = next(
        keyring
        for number in range(256)
        if (keyring := Keyring.parse(f"sign {number:02x}{'00' * 31}\n")).signing.id == TOKEN[0]
    )
    assert read(TOKEN, other) is Bad.FORGED


def test_a_link_that_is_revoked_is_not_good_and_another_is() -> None:
    assert read(TOKEN, revoked=(LINK.id,)) is Bad.REVOKED
    assert read(TOKEN, revoked=(new_id(30, NOW, b"\x5a" * 8),)) == LINK


def test_a_domain_that_has_become_a_provider_s_has_no_page() -> None:
    token = token_of(link(domain=Domain("gmail.com")), KEYRING.signing)

    assert read(token) is Bad.MAILBOX_PROVIDER


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("mycompany.com", None),
        ("mail.mycompany.com", None),
        ("gmail.com", Unshareable.MAILBOX_PROVIDER),
        ("seznam.cz", Unshareable.MAILBOX_PROVIDER),
        ("centrum.sk", Unshareable.MAILBOX_PROVIDER),
        ("com", Unshareable.NO_DOMAIN),
        ("localhost", Unshareable.NO_DOMAIN),
        ("192.0.2.1", Unshareable.NO_DOMAIN),
    ],
)
def test_there_are_links_to_customers_domains_alone(
    name: str, expected: Unshareable | None
) -> None:
    assert unshareable(Domain.parse(name), PROVIDERS) is expected


def test_what_a_later_version_has_signed_is_not_guessed_at() -> None:
    odd = ShareLink(MYCOMPANY, "a\0b", "da", LINK.id)

    assert read(token_of(odd, KEYRING.signing)) is Bad.MALFORMED
    for wrong in (
        ShareLink(Domain("a..b"), "", "da", LINK.id),
        ShareLink(MYCOMPANY, "", "xx", LINK.id),  # type: ignore[arg-type]
        ShareLink(MYCOMPANY, "", "da", "../../etc/passwd"),
    ):
        assert read(token_of(wrong, KEYRING.signing)) is Bad.MALFORMED


def test_two_links_differ_though_all_else_is_the_same() -> None:
    ids = {new_id(30, NOW, number.to_bytes(8)) for number in range(0, 2**62, 2**56)}

    assert len(ids) == 64
    assert {expiry_of(each) for each in ids} == {LINK.expires}


@pytest.mark.parametrize("days", [0, -1, MAX_DAYS + 1])
def test_no_link_is_for_ever(days: int) -> None:
    with pytest.raises(ValueError, match="not so many days"):
        new_id(days, NOW, bytes(8))
