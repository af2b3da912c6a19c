"""A folder over IMAP is named by a URL, which has no password and is not in the clear."""

import pytest

from alignd.config.imap_folder import ImapFolder


@pytest.mark.parametrize(
    ("url", "folder"),
    [
        pytest.param(
            "imaps://ann@mail.example/DMARC",
            ImapFolder("mail.example", 993, "ann", "DMARC", is_encrypted=True),
            id="folder",
        ),
        pytest.param(
            "imaps://ann%40x.example@mail.example:9993/A/B%20C",
            ImapFolder("mail.example", 9993, "ann@x.example", "A/B C", is_encrypted=True),
            id="quoted",
        ),
        pytest.param(
            "imaps://ann@[2001:db8::1]",
            ImapFolder("2001:db8::1", 993, "ann", "INBOX", is_encrypted=True),
            id="inbox",
        ),
        pytest.param(
            "imap://ann@127.0.0.1",
            ImapFolder("127.0.0.1", 143, "ann", "INBOX", is_encrypted=False),
            id="loopback",
        ),
    ],
)
def test_a_url_names_a_folder(url: str, folder: ImapFolder) -> None:
    assert ImapFolder.parse(url) == folder


@pytest.mark.parametrize(
    ("url", "problem"),
    [
        pytest.param("", "expected imaps", id="empty"),
        pytest.param("https://a@x.example/", "expected imaps", id="scheme"),
        pytest.param("imaps://x.example/", "missing", id="no-user"),
        pytest.param("imaps://a@/x", "missing", id="no-host"),
        pytest.param("imaps://a:b@x.example/", "password", id="password"),
        pytest.param("imap://a@x.example/", "in the clear", id="in-the-clear"),
        pytest.param("imaps://a@x.example/f?x", "follow", id="query"),
        pytest.param("imaps://a@x.example:99999/f", "Port", id="port"),
    ],
)
def test_another_url_is_refused(url: str, problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        ImapFolder.parse(url)
