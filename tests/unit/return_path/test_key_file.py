"""Key files: what is wrong with one is told with its line, and nothing of a key is."""

import os
import socket
import traceback
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alignd.config.file import parse_configuration
from alignd.return_path.directory import KeyTrouble
from alignd.return_path.key_file import KeyFileError, load_keyring, load_keyrings
from alignd.return_path.keyring import (
    ALPHABET,
    Key,
    Keyring,
    KeyringError,
    KeyState,
    id_of,
    ids_in,
)
from tests.support.configtext import BASE


def secret_of(key_id: str, start: bytes = b"") -> bytes:
    """A key with this id; another *start* gives another one."""
    secret = sha256(start).digest()
    while id_of(secret) != key_id:
        secret = sha256(secret).digest()
    return secret


A, B, C = (secret_of(key_id).hex() for key_id in "abc")
OTHER_A = secret_of("a", b"other").hex()
STATES = "one of accept, sign, retired"


def written(directory: Path, content: str | bytes, mode: int = 0o640) -> str:
    path = directory / "return.keys"
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    path.chmod(mode)
    return str(path)


def problems(path: str) -> list[str]:
    """What is wrong with the file, each without its path."""
    with pytest.raises(KeyFileError) as caught:
        load_keyring(path)
    lines = str(caught.value).split("\n")
    assert all(line.startswith(f"{path}:") for line in lines)
    return [line.removeprefix(f"{path}:") for line in lines]


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(f"sign {A}\naccept {B}\nretired {C}\n", id="plain"),
        pytest.param(f"accept {B}\nretired {C}\nsign {A}", id="in-another-order"),
        pytest.param(f"sign {A}\r\naccept {B}\r\nretired {C}\r\n", id="lines-that-end-with-crlf"),
        pytest.param(f"\ufeffsign {A}\naccept {B}\nretired {C}\n", id="a-byte-order-mark"),
        pytest.param(f"sign {A.upper()}\naccept {B}\nretired {C}\n", id="in-capitals"),
        pytest.param(
            f"# Klíče\n\n  sign\t{A}  # of March\n#sign {OTHER_A}\naccept {B}\nretired {C}",
            id="comments-and-blanks",
        ),
    ],
)
def test_keys_are_read_with_their_states(tmp_path: Path, text: str) -> None:
    keyring = load_keyring(written(tmp_path, text))

    states = {key.id: (key.secret.hex(), key.state) for key in keyring.keys.values()}
    assert states == {
        "a": (A, KeyState.SIGN),
        "b": (B, KeyState.ACCEPT),
        "c": (C, KeyState.RETIRED),
    }
    assert keyring.signing is keyring.keys["a"]
    assert all(keyring.keys[key_id].id == key_id for key_id in keyring.keys)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("", ["1: there is no key: `alignd new-key` makes one"], id="empty"),
        pytest.param(
            "# none\n\n", ["1: there is no key: `alignd new-key` makes one"], id="comments"
        ),
        pytest.param(
            f"accept {A}\nretired {B}\n",
            ["1: no key signs: `alignd new-key` makes one"],
            id="none-that-signs",
        ),
        pytest.param(
            f"sign {A}\naccept {B}\nsign {C}\n",
            ["3: a second key that signs; line 1 has one"],
            id="two-that-sign",
        ),
        pytest.param(
            f"sign {A}\n\naccept {A}\n",
            ["3: the key of line 1 once more, in another state"],
            id="one-key-in-two-states",
        ),
        pytest.param(
            f"sign {A}\nretired {A.upper()}\n",
            ["2: the key of line 1 once more, in another state"],
            id="the-same-in-capitals",
        ),
        pytest.param(
            f"sign {A}\nsign {A}\n", ["2: the key of line 1 once more"], id="one-line-twice"
        ),
        pytest.param(
            f"sign {A}\naccept {OTHER_A}\n",
            ["2: a key with the id 'a', as line 1 has; `alignd new-key` makes another"],
            id="two-keys-with-one-id",
        ),
        pytest.param(
            f"sign {A[:62]}\n",
            ["1: the key is too short: 31 octets, at least 32 are needed"],
            id="a-short-key",
        ),
        pytest.param(
            f"sign {A[:-1]}\n",
            ["1: the key is not in hexadecimal digits; `alignd new-key` makes one"],
            id="an-odd-digit",
        ),
        pytest.param(
            f"sign {A[:-1]}g\n",
            ["1: the key is not in hexadecimal digits; `alignd new-key` makes one"],
            id="not-hexadecimal",
        ),
        pytest.param(
            f"sign 0x{A}\n",
            ["1: the key is not in hexadecimal digits; `alignd new-key` makes one"],
            id="with-a-prefix",
        ),
        pytest.param(
            f"{A}\n",
            ["1: not a state and a key; write for example 'sign', a blank, and the key"],
            id="a-key-alone",
        ),
        pytest.param(
            f"sign {A} {B}\n",
            ["1: not a state and a key; write for example 'sign', a blank, and the key"],
            id="two-on-a-line",
        ),
        pytest.param(
            f"sign = {A}\n",
            ["1: not a state and a key; write for example 'sign', a blank, and the key"],
            id="an-equals-sign",
        ),
        pytest.param(f"{A} sign\n", [f"1: does not begin with a state: {STATES}"], id="reversed"),
        pytest.param(f"Sign {A}\n", [f"1: does not begin with a state: {STATES}"], id="a-capital"),
        pytest.param(
            f"sign {A[:8]}\nsigned {B}\naccept {C}\nretired {C}\n",
            [
                "1: the key is too short: 4 octets, at least 32 are needed",
                f"2: does not begin with a state: {STATES}",
                "4: the key of line 3 once more, in another state",
            ],
            id="several-at-once",
        ),
    ],
)
def test_what_is_wrong_is_told_with_its_line(
    tmp_path: Path, text: str, expected: list[str]
) -> None:
    assert problems(written(tmp_path, text)) == expected


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        pytest.param(
            b"# a\n" * 2 + b"sign \xff\xfe\n", "3: not a file of keys: not UTF-8 text", id="binary"
        ),
        pytest.param(
            f"sign {A}\n".encode("utf-16"), "1: not a file of keys: not UTF-8 text", id="utf-16"
        ),
        pytest.param(
            f"sign {A}\n".encode() + b"#" * 65_536,
            "1: not a file of keys: it has more than 65536 octets",
            id="too-large",
        ),
        pytest.param(
            f"sign {A}\0\n",
            "1: the key is not in hexadecimal digits; `alignd new-key` makes one",
            id="a-nul",
        ),
    ],
)
def test_a_file_of_something_else(tmp_path: Path, content: bytes, expected: str) -> None:
    assert problems(written(tmp_path, content)) == [expected]


@pytest.mark.parametrize("mode", [0o600, 0o640, 0o400, 0o440, 0o700])
def test_who_may_read_it(tmp_path: Path, mode: int) -> None:
    assert load_keyring(written(tmp_path, f"sign {A}\n", mode)).signing.id == "a"


@pytest.mark.parametrize("mode", [0o644, 0o641, 0o642, 0o660, 0o620, 0o666, 0o777])
def test_who_must_not(tmp_path: Path, mode: int) -> None:
    path = written(tmp_path, f"sign {A}\n", mode)

    assert problems(path) == [
        f"1: its mode is {mode:04o}: others than the service can use it; "
        f"`chmod 0640 {path}`, or 0600"
    ]


def listened_to(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path))


@pytest.mark.parametrize(
    ("make", "expected"),
    [
        pytest.param(str, "1: cannot be read: No such file or directory", id="none"),
        pytest.param(Path.mkdir, "1: cannot be read: Is a directory", id="a-directory"),
        pytest.param(os.mkfifo, "1: not a file", id="a-fifo-that-nobody-writes-to"),
        pytest.param(listened_to, "1: cannot be read: No such device or address", id="a-socket"),
        pytest.param(lambda path: path.symlink_to("/dev/zero"), "1: not a file", id="a-device"),
        pytest.param(
            lambda path: path.symlink_to(path),
            "1: cannot be read: Too many levels of symbolic links",
            id="a-link-to-itself",
        ),
    ],
)
def test_what_is_no_file(tmp_path: Path, make: Callable[[Path], object], expected: str) -> None:
    make(tmp_path / "return.keys")
    open_before = len(os.listdir("/proc/self/fd"))

    assert problems(str(tmp_path / "return.keys")) == [expected]
    assert len(os.listdir("/proc/self/fd")) == open_before


def test_a_link_to_a_file_is_followed(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(written(tmp_path, f"sign {A}\n"))

    assert load_keyring(str(tmp_path / "link")).signing.id == "a"


def test_a_path_that_no_file_can_have() -> None:
    with pytest.raises(KeyFileError, match="cannot be read: embedded null byte"):
        load_keyring("return\0keys")


def test_all_problems_of_all_files_come_at_once(tmp_path: Path) -> None:
    one, other = str(tmp_path / "one"), written(tmp_path, f"sign {A}\nsign {B}\n")
    tenants = "".join(
        f"[[tenant]]\nmatch = {{ X-Host = '{path}' }}\n"
        f"return = {{ keys = '{path}', domain = 'a.cz' }}\n"
        for path in (other, "")
    )
    configuration = parse_configuration(f"{BASE}[return]\nkeys = '{one}'\n{tenants}", "")
    of_one = f"{one}:1: cannot be read: No such file or directory"
    of_other = f"{other}:2: a second key that signs; line 1 has one"

    with pytest.raises(KeyFileError) as caught:
        load_keyrings(configuration, strict=True)
    assert str(caught.value).split("\n") == [of_one, of_other]
    assert load_keyrings(configuration, strict=False) == {
        one: KeyTrouble(of_one),
        other: KeyTrouble(of_other),
    }


@given(st.lists(st.sampled_from(["sign", "accept", "retired"]), max_size=40), st.data())
def test_a_keyring_has_one_key_for_each_id_and_one_that_signs(
    states: list[str], data: st.DataObject
) -> None:
    secrets = data.draw(
        st.lists(st.binary(min_size=32, max_size=32), min_size=len(states), max_size=len(states))
    )
    text = "\n".join(f"{state} {each.hex()}" for state, each in zip(states, secrets, strict=True))
    ids = [id_of(each) for each in secrets]

    assert ids_in(text) == set(ids)
    if len(set(ids)) == len(ids) and states.count("sign") == 1:
        keyring = Keyring.parse(text)
        assert [key.secret for key in keyring.keys.values()] == secrets
        assert list(keyring.keys) == ids
    else:
        with pytest.raises(KeyringError):
            Keyring.parse(text)


def test_every_letter_can_be_an_id() -> None:
    assert {id_of(number.to_bytes(32)) for number in range(1000)} == set(ALPHABET)


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(f"sign {A}\n", id="good"),
        pytest.param(f"{A}\n", id="a-key-alone"),
        pytest.param(f"{A} sign\n", id="reversed"),
        pytest.param(f"sign {A}x\n", id="not-hexadecimal"),
        pytest.param(f"sign{A} {A}\n", id="no-blank"),
        pytest.param(f"sign {A[:60]}\n", id="short"),
        pytest.param(f"sign {A}\nsign {A}\n", id="twice"),
        pytest.param(f"sign {A}\nsign {OTHER_A}\n", id="with-one-id"),
        pytest.param(f"# {A}\n\xa0\n".encode("latin-1"), id="not-utf-8"),
    ],
)
def test_a_key_shows_nowhere(tmp_path: Path, text: str | bytes) -> None:
    path = written(tmp_path, text)
    configuration = parse_configuration(f"{BASE}[return]\nkeys = '{path}'\n", "")

    said = repr(load_keyrings(configuration, strict=False))
    try:
        keyring = load_keyring(path)
        said += f"{keyring!r} {keyring.signing!s} {list(keyring.keys.values())}"
    except KeyFileError as error:
        said += "".join(traceback.format_exception(error)) + repr(vars(error))
        context = error.__context__
        while context:
            said += f"{context!r} {vars(context)}"
            context = context.__context__

    for secret in (A, OTHER_A):
        parts = {secret[place : place + 6] for place in range(60)}
        assert not [each for each in parts if each in said]
        assert repr(bytes.fromhex(secret))[2:-1] not in said


def test_keys_with_the_same_secret_and_state_are_equal() -> None:
    secret = bytes.fromhex(A)

    assert Key(secret, KeyState.SIGN) == Key(secret, KeyState.SIGN)
    assert Key(secret, KeyState.SIGN) != Key(secret, KeyState.ACCEPT)
