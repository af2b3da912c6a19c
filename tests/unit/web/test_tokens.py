"""The file of tokens: what is wrong is told with its line, and nothing of a token is."""

from hashlib import sha256
from pathlib import Path

import pytest

from alignd.return_path.key_file import KeyFileError
from alignd.web.token_file import load_tokens
from alignd.web.tokens import Tokens, TokensError

TOKEN = "0123456789abcdef0123456789abcdef"
DIGEST = f"sha256:{sha256(TOKEN.encode()).hexdigest()}"
NAME = "does not begin with a name of letters, digits and '._@-', of at most 64"


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(f"ann {TOKEN}", id="plain"),
        pytest.param(f"ann {DIGEST}\n", id="its digest"),
        pytest.param(f"ann {DIGEST.replace('a', 'A').replace('shA', 'sha')}\n", id="capitals"),
        pytest.param(f"# staff\r\n\r\n ann\t{TOKEN} \r\n", id="comments and blanks"),
    ],
)
def test_a_token_has_a_name(text: str) -> None:
    tokens = Tokens.parse(text)

    assert tokens.name_of(TOKEN) == "ann"
    assert tokens.name_of(TOKEN.upper()) is None
    assert tokens.name_of(DIGEST) is None
    assert tokens.name_of("") is None
    assert tokens.name_of("\ud800") is None


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("", "line 1: there is no token: `openssl rand -hex 32` makes one", id="none"),
        pytest.param(
            f"\n{TOKEN}",
            "line 2: not a name and a token, with a blank between them",
            id="no name",
        ),
        pytest.param(
            f"ann {TOKEN} x",
            "line 1: not a name and a token, with a blank between them",
            id="more",
        ),
        pytest.param(f"{TOKEN * 3} ann", f"line 1: {NAME}", id="the wrong way round"),
        pytest.param(
            f"ann {TOKEN[:-1]}",
            "line 1: the token is too short: 31 characters, at least 32 are needed; "
            "`openssl rand -hex 32` makes one",
            id="short",
        ),
        pytest.param(
            f"ann sha256:{TOKEN}",
            'line 1: what follows "sha256:" is not 64 hexadecimal digits',
            id="half a digest",
        ),
        pytest.param(
            f"ann {'ž' * 32}",
            "line 1: the token is not ASCII; `openssl rand -hex 32` makes one",
            id="no ASCII",
        ),
        pytest.param(
            f"ann {TOKEN}\nbob {DIGEST}", "line 2: a token that another line has", id="twice"
        ),
    ],
)
def test_what_is_wrong_is_told(text: str, expected: str) -> None:
    with pytest.raises(TokensError) as caught:
        Tokens.parse(text)

    assert str(caught.value) == expected


def test_nothing_of_a_token_is_shown() -> None:
    assert TOKEN[:8] not in repr(Tokens.parse(f"ann {TOKEN}"))
    with pytest.raises(TokensError) as caught:
        Tokens.parse(f"{TOKEN}\n{TOKEN * 3} x\nann {TOKEN}!\nbob {TOKEN}\nbob {TOKEN}")
    assert TOKEN[:8] not in str(caught.value)


def test_a_file_is_read_that_nobody_else_can_read(tmp_path: Path) -> None:
    path = tmp_path / "web.tokens"
    path.write_text(f"ann {TOKEN}\n")
    path.chmod(0o644)
    with pytest.raises(KeyFileError, match="its mode is 0644"):
        load_tokens(str(path))

    path.chmod(0o640)
    assert load_tokens(str(path)).name_of(TOKEN) == "ann"
    path.write_text("ann\n")
    with pytest.raises(KeyFileError, match=r"web\.tokens:1: not a name and a token"):
        load_tokens(str(path))
