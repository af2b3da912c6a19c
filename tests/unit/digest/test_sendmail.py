"""A message is handed to a program that stands for sendmail; what goes wrong is said."""

from pathlib import Path

import pytest

from alignd.digest.sendmail import hand_over
from tests.support.sendmail import Sendmail

RECIPIENTS = ["ops@a.example", "$(touch pwned)@b.example"]
MESSAGE = b"Subject: x\r\n\r\n.\r\nlast\r\n"


def test_it_gets_the_message_and_the_addresses_as_they_are(tmp_path: Path) -> None:
    sendmail = Sendmail.make(tmp_path)

    assert hand_over(str(sendmail.path), "alignd@c.example", RECIPIENTS, MESSAGE) == ""

    assert sendmail.arguments == ["-i", "-f", "alignd@c.example", "--", *RECIPIENTS]
    assert sendmail.message == MESSAGE.replace(b"\r\n", b"\n")


def test_what_it_says_is_told_with_its_status(tmp_path: Path) -> None:
    sendmail = Sendmail.make(tmp_path, 'sys.stderr.write("fatal: no\\x1b[2J\\n"); sys.exit(75)')

    problem = hand_over(str(sendmail.path), "a@c.example", RECIPIENTS, MESSAGE)

    assert problem == f"{sendmail.path} ended with status 75: fatal: no?[2J"


@pytest.mark.parametrize(
    ("code", "said"),
    [
        pytest.param("time.sleep(600)", "took longer than 0.5 s, and was killed", id="hangs"),
        pytest.param("os.kill(os.getpid(), 9)", "was ended by signal 9", id="killed"),
        pytest.param("sys.exit(1)", "ended with status 1", id="says-nothing"),
    ],
)
def test_what_does_not_end_well_is_told(tmp_path: Path, code: str, said: str) -> None:
    sendmail = Sendmail.make(tmp_path, code)
    patience = 0.5 if "sleep" in code else 30.0

    assert said in hand_over(str(sendmail.path), "a@c.example", RECIPIENTS, MESSAGE, patience)


def test_what_it_leaves_behind_is_not_waited_for(tmp_path: Path) -> None:
    code = "subprocess.Popen(['sleep', '20'])"
    sendmail = Sendmail.make(tmp_path, code)

    assert hand_over(str(sendmail.path), "a@c.example", RECIPIENTS, MESSAGE, 15.0) == ""


def test_a_program_that_is_not_there_is_told(tmp_path: Path) -> None:
    problem = hand_over(f"{tmp_path}/none", "a@c.example", RECIPIENTS, MESSAGE)

    assert problem == f"{tmp_path}/none cannot be run: No such file or directory"
