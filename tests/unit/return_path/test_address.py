"""Return addresses: what is encoded comes back, and nothing else does."""

import hmac
import re
import string
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alignd.mail.domain import Domain
from alignd.mail.mailbox import Mailbox
from alignd.return_path.address import (
    BOUNCE_DAYS,
    DAY,
    MAX_LOCAL_PART,
    Invalid,
    Kind,
    ReturnAddress,
    Unfit,
    claimed,
    claimed_author,
    decode,
    encode,
    fits,
    has_form,
)
from alignd.return_path.keyring import ALPHABET, Key, Keyring, KeyState

OURS = Domain("notifications.easysoftware.com")
KEY = Key(bytes(range(32)), KeyState.SIGN)
RING = Keyring({KEY.id: KEY}, KEY)
MARKY = Mailbox("marky.mark", Domain("mycompany.com"))
TODAY = 20_000
NOW = TODAY * DAY + 5.0
KELVIN = "\u212a"
"""A letter that is an ASCII "k" in lower case."""

atoms = st.text(string.ascii_letters + string.digits + "_+='~-", min_size=1, max_size=12)
local_parts = st.lists(atoms, min_size=1, max_size=3).map(".".join)
authors = st.builds(
    Mailbox,
    local_parts.filter(lambda text: not text.startswith("-")),
    st.sampled_from([Domain("mycompany.com"), Domain("xn--e1afmkfd.example"), Domain("a.b_c.d")]),
)
kinds = st.sampled_from(list(Kind))
days = st.integers(0, 60_000)
secrets = st.binary(min_size=32, max_size=64)


def made(
    author: Mailbox = MARKY, kind: Kind = Kind.AUTHOR, now: float = NOW, key: Key = KEY
) -> str:
    address = encode(author, kind, OURS, key, now)
    assert isinstance(address, Mailbox)
    assert address.domain == OURS
    return address.local_part


def read(local_part: str, kind: Kind = Kind.AUTHOR, now: float = NOW) -> ReturnAddress | Invalid:
    """Read it as one of this kind."""
    return decode(local_part, OURS, RING, now, is_mark=kind is Kind.MARK)


@given(authors, kinds, days)
def test_an_author_that_fits_comes_back(author: Mailbox, kind: Kind, day: int) -> None:
    now = day * DAY + 7.0
    address = encode(author, kind, OURS, KEY, now)

    if isinstance(address, Unfit):
        assert address is Unfit.TOO_LONG
        return
    assert address.suits_envelope
    for spelling in (address.local_part, address.local_part.upper(), address.local_part.title()):
        assert read(spelling, kind, now) == ReturnAddress(
            Mailbox(author.local_part.lower(), author.domain),
            kind,
            KEY.id,
            day if kind is Kind.BOUNCE else None,
        )
    assert claimed_author(address.local_part.upper()) == Mailbox(
        author.local_part.lower(), author.domain
    )


@given(st.text(), st.sampled_from([OURS, Domain("mycompany.com")]), kinds)
def test_no_other_author_comes_back_than_who_was_encoded(
    local_part: str, domain: Domain, kind: Kind
) -> None:
    address = encode(Mailbox(local_part, domain), kind, OURS, KEY, NOW)

    if isinstance(address, Mailbox):
        found = read(address.local_part, kind)
        assert isinstance(found, ReturnAddress)
        assert found.author.local_part == "".join(
            chr(ord(each) + 32) if "A" <= each <= "Z" else each for each in local_part
        )


@given(st.text(alphabet=st.characters(codec="utf-8")) | st.text(f"{ALPHABET}.=89-"), kinds)
def test_no_text_that_was_not_encoded_is_read(text: str, kind: Kind) -> None:
    for each in (text, f"{text}=mycompany.com={made().rpartition('=')[2]}"):
        if each != made():
            assert isinstance(read(each, kind), Invalid)


def changes(whole: str) -> Iterator[str]:
    """Every change, addition and loss of one character, and of the order of two."""
    letters = [chr(code) for code in range(0x180)] + [KELVIN, "\u017f", "\uff4d", "\udc61"]
    for place in range(len(whole) + 1):
        before, here, behind = whole[:place], whole[place : place + 1], whole[place + 1 :]
        for letter in letters:
            yield before + letter + here + behind
            if letter.lower() != here or letter == KELVIN:
                yield before + letter + behind
        if here:
            yield before + behind
            yield before + behind[:1] + here + behind[1:]


@pytest.mark.parametrize("kind", Kind)
@pytest.mark.parametrize(
    "author",
    [
        MARKY,
        Mailbox("k", Domain("k.k")),
        Mailbox("a=b=c.d", Domain("xn--e1afmkfd.example")),
        Mailbox("first.last+redmine", Domain("a-long-name-of-a-company.cz")),
    ],
    ids=lambda author: author.address,
)
def test_no_changed_character_is_read(author: Mailbox, kind: Kind) -> None:
    """All of them, so that none depends on what was drawn."""
    whole = made(author, kind)
    assert isinstance(read(whole, kind), ReturnAddress)

    assert [each for each in changes(whole) if each != whole and _holds(each, kind)] == []


def _holds(local_part: str, kind: Kind) -> bool:
    return isinstance(read(local_part, kind), ReturnAddress)


@pytest.mark.parametrize("other", Kind)
@pytest.mark.parametrize("kind", Kind)
def test_no_kind_serves_for_another(kind: Kind, other: Kind) -> None:
    found = read(made(kind=kind), Kind.MARK if other is Kind.MARK else Kind.AUTHOR)

    is_read_so = (kind is Kind.MARK) == (other is Kind.MARK)
    assert isinstance(found, ReturnAddress) == is_read_so
    if isinstance(found, ReturnAddress):
        assert found.kind is kind


@pytest.mark.parametrize("kind", [Kind.AUTHOR, Kind.MARK])
def test_a_day_does_not_make_another_kind_of_it(kind: Kind) -> None:
    bounce = made(kind=Kind.BOUNCE)

    assert isinstance(read(bounce[:-3], kind), Invalid)
    assert isinstance(read(made(kind=kind) + bounce[-3:], kind), Invalid)


@given(secrets, kinds)
def test_no_other_key_is_any_good(secret: bytes, kind: Kind) -> None:
    key = Key(secret, KeyState.SIGN)
    local_part = made(kind=kind, key=key)

    if key.secret == KEY.secret:
        return
    expected = Invalid.FORGED if key.id == KEY.id else Invalid.UNKNOWN_KEY
    assert read(local_part, kind) is expected


@pytest.mark.parametrize(
    ("state", "expected"),
    [
        pytest.param(KeyState.SIGN, Kind.AUTHOR, id="it-signs"),
        pytest.param(KeyState.ACCEPT, Kind.AUTHOR, id="it-is-accepted"),
        pytest.param(KeyState.RETIRED, Invalid.RETIRED, id="it-is-retired"),
        pytest.param(None, Invalid.UNKNOWN_KEY, id="it-is-not-listed"),
    ],
)
def test_a_key_does_what_its_state_says(state: KeyState | None, expected: Kind | Invalid) -> None:
    keys = {KEY.id: Key(KEY.secret, state)} if state else {}

    found = decode(made(), OURS, Keyring(keys, KEY), NOW)

    assert (found.kind if isinstance(found, ReturnAddress) else found) is expected


def test_who_has_no_key_does_not_learn_that_it_is_retired() -> None:
    ring = Keyring({KEY.id: Key(KEY.secret, KeyState.RETIRED)}, KEY)

    assert decode("x" + made(), OURS, ring, NOW) is Invalid.FORGED


@pytest.mark.parametrize("other", ["easysoftware.com", "notifications.easysoftware.co"])
def test_it_is_good_in_no_other_domain(other: str) -> None:
    assert decode(made(), Domain(other), RING, NOW) is Invalid.FORGED


@given(days, st.integers(-40, 40))
def test_a_bounce_is_taken_for_thirty_days(day: int, age: int) -> None:
    local_part = made(kind=Kind.BOUNCE, now=day * DAY)

    for second in (0, DAY - 1):
        found = read(local_part, now=(day + age) * DAY + second)
        if -1 <= age <= BOUNCE_DAYS:
            assert isinstance(found, ReturnAddress)
            assert found.made_on == day
        else:
            assert found is Invalid.EXPIRED


def test_no_day_comes_again_while_anybody_remembers() -> None:
    seen = {made(kind=Kind.BOUNCE, now=day * DAY)[-3:] for day in range(20_000, 40_480)}

    assert len(seen) == 20_480  # 56 years


@pytest.mark.parametrize("age", [0, BOUNCE_DAYS, BOUNCE_DAYS + 1, 4000, -1])
def test_the_day_is_told_of_one_that_is_too_old(age: int) -> None:
    claim = claimed(made(kind=Kind.BOUNCE))
    assert claim is not None

    assert claim.made_on(NOW + age * DAY) == TODAY


VOWELS_AND_DIGITS = "aeiouy23456789=@"


@given(secrets, authors, kinds, days)
def test_the_tag_looks_to_no_filter_like_noise(
    secret: bytes, author: Mailbox, kind: Kind, day: int
) -> None:
    """For SpamAssassin that is seven consonants in a row, or eleven hexadecimal digits."""
    address = encode(author, kind, OURS, Key(secret, KeyState.SIGN), day * DAY)

    if isinstance(address, Mailbox):
        tag = address.local_part.rpartition("=")[2] + "@"
        assert not re.search(rf"[^{VOWELS_AND_DIGITS}]{{7}}", tag)
        assert not re.search(r"[0-9a-f]{11}", tag)


def test_a_tag_takes_all_of_its_letters() -> None:
    """Each place of the tag has all the values that it is counted for: 41 bits in all."""
    tags = [made(Mailbox(f"a{number}", MARKY.domain))[-10:] for number in range(2000)]

    sizes = [len({tag[place] for tag in tags}) for place in range(10)]
    assert sizes == [1, 32, 32, 8, 32, 32, 32, 8, 32, 32]


@pytest.mark.parametrize(
    ("local_part", "expected"),
    [
        pytest.param("marky%mycompany.com", Unfit.CHARACTERS, id="a-percent-sign"),
        pytest.param("host!marky", Unfit.CHARACTERS, id="an-exclamation-mark"),
        pytest.param("-marky", Unfit.CHARACTERS, id="a-dash-at-the-beginning"),
        pytest.param("marky-", None, id="a-dash-at-the-end"),
        pytest.param("a/b", Unfit.CHARACTERS, id="a-slash"),
        pytest.param("#a", Unfit.CHARACTERS, id="a-hash"),
        pytest.param("a`b", Unfit.CHARACTERS, id="a-backquote"),
        pytest.param("a?b", Unfit.CHARACTERS, id="a-question-mark"),
        pytest.param("a|b", Unfit.CHARACTERS, id="a-bar"),
        pytest.param('"marky mark"', Unfit.CHARACTERS, id="quotes"),
        pytest.param("marky..mark", Unfit.CHARACTERS, id="two-dots"),
        pytest.param(".marky", Unfit.CHARACTERS, id="a-dot-at-the-beginning"),
        pytest.param("marky.", Unfit.CHARACTERS, id="a-dot-at-the-end"),
        pytest.param("", Unfit.CHARACTERS, id="nothing"),
        pytest.param("jiří", Unfit.CHARACTERS, id="a-letter-that-is-not-ascii"),
        pytest.param(f"mar{KELVIN}y", Unfit.CHARACTERS, id="one-that-is-ascii-in-lower-case"),
        pytest.param("a\n", Unfit.CHARACTERS, id="a-line-end"),
        pytest.param("Marky_Mark+a='~-z.9", None, id="all-that-every-server-takes"),
        pytest.param("-", Unfit.CHARACTERS, id="a-dash-alone"),
    ],
)
def test_only_what_every_server_takes_fits(local_part: str, expected: Unfit | None) -> None:
    author = Mailbox(local_part, MARKY.domain)

    assert fits(author, OURS, Kind.AUTHOR) is expected
    address = encode(author, Kind.AUTHOR, OURS, KEY, NOW)
    assert (address if expected else None) is expected


@pytest.mark.parametrize(("kind", "room"), [(Kind.AUTHOR, 39), (Kind.BOUNCE, 36), (Kind.MARK, 39)])
def test_a_local_part_has_sixty_four_octets_at_most(kind: Kind, room: int) -> None:
    assert len(made(Mailbox("a" * room, MARKY.domain), kind)) == MAX_LOCAL_PART

    longer = Mailbox("a" * (room + 1), MARKY.domain)
    assert encode(longer, kind, OURS, KEY, NOW) is Unfit.TOO_LONG


def test_an_address_has_254_octets_at_most() -> None:
    author = Mailbox("a" * 39, MARKY.domain)
    fits_just = Domain(".".join([*["a" * 46] * 4, "b"]))
    assert len(fits_just.name) == 189

    address = encode(author, Kind.AUTHOR, fits_just, KEY, NOW)
    assert isinstance(address, Mailbox)
    assert address.suits_envelope
    assert encode(author, Kind.AUTHOR, Domain(f"a{fits_just}"), KEY, NOW) is Unfit.TOO_LONG


def test_an_author_in_the_domain_itself_gets_none() -> None:
    assert encode(Mailbox("helpdesk", OURS), Kind.AUTHOR, OURS, KEY, NOW) is Unfit.OURS
    again = Mailbox(made(), OURS)
    assert encode(again, Kind.AUTHOR, OURS, KEY, NOW) is Unfit.OURS


@pytest.mark.parametrize(
    "local_part",
    [
        pytest.param("", id="nothing"),
        pytest.param("helpdesk", id="a-name"),
        pytest.param("marky.mark=mycompany.com", id="no-tag"),
        pytest.param("=mycompany.com=aaa2aaa2aa", id="no-local-part"),
        pytest.param("marky==aaa2aaa2aa", id="no-domain"),
        pytest.param("marky=my..com=aaa2aaa2aa", id="no-domain-that-can-be"),
        pytest.param("marky=mycompany.com.=aaa2aaa2aa", id="a-dot-behind-the-domain"),
        pytest.param("marky=mycompany.com=aaaaaaa2aa", id="a-letter-for-a-digit"),
        pytest.param("marky=mycompany.com=aaa2aaa2aaaaa", id="a-day-that-begins-below-g"),
        pytest.param("marky=mycompany.com=aaa2aaa2aa\n", id="a-line-end"),
        pytest.param("marky=mycompany.com=aaa2aaa2aa" + "=" * 40, id="too-long"),
        pytest.param(f"{'a' * 60}=b.c=aaa2aaa2aa", id="a-local-part-that-is-too-long"),
        pytest.param(f"mar{KELVIN}y=mycompany.com=aaa2aaa2aa", id="not-ascii"),
        pytest.param("a." * 500_000, id="a-megabyte"),
    ],
)
def test_what_has_not_the_form_is_told_so_without_a_key(local_part: str) -> None:
    nothing = Keyring({}, KEY)

    assert decode(local_part, OURS, nothing, NOW) is Invalid.FORM
    assert not has_form(local_part)
    assert claimed_author(local_part) is None


def test_what_has_the_form_has_it_in_any_case() -> None:
    assert has_form(made())
    assert has_form(made(kind=Kind.BOUNCE).upper())


def test_tags_are_compared_in_constant_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """A comparison that ends early tells who guesses how near he was."""
    compared, in_constant_time = [], hmac.compare_digest

    def compare(one: str, other: str) -> bool:
        compared.append((one, other))
        return in_constant_time(one, other)

    monkeypatch.setattr(hmac, "compare_digest", compare)
    good = made()
    forged = f"x{good}"

    assert isinstance(decode(good, OURS, RING, NOW), ReturnAddress)
    assert decode(forged, OURS, RING, NOW) is Invalid.FORGED
    assert [one == other for one, other in compared] == [True, False]


def test_it_looks_as_it_is_described() -> None:
    author, bounce = made(), made(kind=Kind.BOUNCE)

    assert author.startswith("marky.mark=mycompany.com=")
    assert len(author.rpartition("=")[2]) == 10
    assert len(bounce.rpartition("=")[2]) == 13
    assert author.rpartition("=")[2] != bounce.rpartition("=")[2][:10]


def test_an_address_never_changes() -> None:
    """It stands in address books: one that is made otherwise would end them all."""
    assert made() == "marky.mark=mycompany.com=wug2lbe9tb"
    assert made(kind=Kind.BOUNCE) == "marky.mark=mycompany.com=wts8v3p2p7zra"
    assert made(kind=Kind.MARK) == "marky.mark=mycompany.com=wz42ifv2gn"
