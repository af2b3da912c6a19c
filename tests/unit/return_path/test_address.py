"""Return addresses: what is encoded comes back, and nothing else does."""

import string

from hypothesis import given
from hypothesis import strategies as st

from alignd.mail.domain import Domain
from alignd.mail.mailbox import Mailbox
from alignd.return_path.address import DAY, Invalid, Kind, ReturnAddress, Unfit, decode, encode
from alignd.return_path.keyring import ALPHABET, Key, Keyring, KeyState

OURS = Domain("notifications.easysoftware.com")
KEY = Key(bytes(range(32)), KeyState.SIGN)
RING = Keyring({KEY.id: KEY}, KEY)
MARKY = Mailbox("marky.mark", Domain("mycompany.com"))
NOW = 20_000 * DAY + 5.0

atoms = st.text(string.ascii_letters + string.digits + "_+='~-", min_size=1, max_size=12)
local_parts = st.lists(atoms, min_size=1, max_size=3).map(".".join)
authors = st.builds(
    Mailbox,
    local_parts.filter(lambda text: not text.startswith("-")),
    st.sampled_from([Domain("mycompany.com"), Domain("xn--e1afmkfd.example"), Domain("a.b.c.d")]),
)
kinds = st.sampled_from([Kind.AUTHOR, Kind.BOUNCE])


def made(author: Mailbox = MARKY, kind: Kind = Kind.AUTHOR, now: float = NOW) -> str:
    address = encode(author, kind, OURS, KEY, now)
    assert isinstance(address, Mailbox)
    return address.local_part


@given(authors, kinds)
def test_an_author_that_fits_comes_back(author: Mailbox, kind: Kind) -> None:
    address = encode(author, kind, OURS, KEY, NOW)

    if isinstance(address, Unfit):
        assert address is Unfit.TOO_LONG
        return
    assert address.suits_envelope
    for spelling in (address.local_part, address.local_part.upper()):
        read = decode(spelling, OURS, RING, NOW)
        assert isinstance(read, ReturnAddress)
        assert read.author == Mailbox(author.local_part.lower(), author.domain)
        assert (read.kind, read.key_id) == (kind, KEY.id)


@given(kinds, st.data())
def test_no_changed_octet_comes_back(kind: Kind, data: st.DataObject) -> None:
    whole = made(kind=kind)
    place = data.draw(st.integers(0, len(whole) - 1))
    letter = data.draw(st.sampled_from(ALPHABET + "89=.-_+"))
    changed = whole[:place] + letter + whole[place + 1 :]

    read = decode(changed, OURS, RING, NOW)
    assert isinstance(read, Invalid) == (changed != whole)


def test_it_looks_as_it_is_described() -> None:
    author, bounce = made(), made(kind=Kind.BOUNCE)

    assert author.startswith("marky.mark=mycompany.com=")
    assert len(author.rpartition("=")[2]) == 10
    assert len(bounce.rpartition("=")[2]) == 13
    assert author.rpartition("=")[2] != bounce.rpartition("=")[2][:10]
