"""Reports are read from a real IMAP server, and nothing there is changed unless told."""

import base64
from collections.abc import Iterator

import pytest

from alignd.config.imap_folder import ImapFolder
from alignd.reports.imap import ImapError, open_mailbox
from alignd.reports.intake import Parcel, ParcelProblem
from alignd.reports.report import Report
from tests.lab.dovecot import PASSWORD, USER, Dovecot, obstacle, run_dovecot
from tests.support.reports import GOOD, gzipped, read

pytestmark = pytest.mark.skipif(obstacle() is not None, reason=obstacle() or "")

MAIL = (
    b"From: d@receiver.example\nSubject: Report Domain: mycompany.com\n"
    b"Content-Type: application/gzip\nContent-Transfer-Encoding: base64\n\n"
) + base64.encodebytes(gzipped(GOOD.encode()))


@pytest.fixture
def server() -> Iterator[Dovecot]:
    with run_dovecot() as dovecot:
        yield dovecot


def place(server: Dovecot, folder: str = "") -> ImapFolder:
    return ImapFolder.parse(f"imaps://{USER}@localhost:{server.encrypted}/{folder}")


def test_reports_are_read_and_left_as_they_are(server: Dovecot) -> None:
    server.deliver("1.a.host", MAIL)
    server.deliver("2.b.host", b"Subject: Hello\n\nJulia\n")

    with open_mailbox(place(server), PASSWORD, context=server.context) as mailbox:
        (_, (parcel,)), (_, (other,)) = mailbox.messages()
        with pytest.raises(ImapError):
            mailbox.move(1, "Trash")

    assert isinstance(parcel, Parcel)
    assert isinstance(read(parcel.pieces)[0], Report)
    assert isinstance(other, ParcelProblem)
    assert not any("S" in name.partition(":2,")[2] for name in server.names())
    assert len(server.names()) == 2


def test_a_report_is_moved_when_told(server: Dovecot) -> None:
    server.deliver("1.a.host", MAIL)
    clear = ImapFolder.parse(f"imap://{USER}@127.0.0.1:{server.plain}")

    (server.maildir / ".Done").mkdir(mode=0o777)
    (server.maildir / ".Done").chmod(0o777)

    with open_mailbox(clear, PASSWORD, may_change=True) as mailbox:
        for number, _ in list(mailbox.messages()):
            with pytest.raises(ImapError, match=r"(?i)exist"):
                mailbox.move(number, "Nowhere")
            mailbox.move(number, "Done")
        assert list(mailbox.messages()) == []

    assert server.names() == []
    assert len(server.names(".Done")) == 1


@pytest.mark.parametrize(
    ("folder", "password", "problem"),
    [
        pytest.param("", "wrong", "(?i)auth", id="password"),
        pytest.param("None", PASSWORD, "(?i)exist", id="folder"),
    ],
)
def test_what_fails_is_said_without_the_password(
    server: Dovecot, folder: str, password: str, problem: str
) -> None:
    with (
        pytest.raises(ImapError, match=problem) as raised,
        open_mailbox(place(server, folder), password, context=server.context),
    ):
        pass
    assert password not in str(raised.value)


def test_a_certificate_that_nobody_vouches_for_is_refused(server: Dovecot) -> None:
    with pytest.raises(ImapError, match="certificate"), open_mailbox(place(server), PASSWORD):
        pass


def test_a_server_that_is_not_there_is_said() -> None:
    nowhere = ImapFolder.parse("imap://ann@127.0.0.1:1")

    with pytest.raises(ImapError, match="refused"), open_mailbox(nowhere, PASSWORD):
        pass
