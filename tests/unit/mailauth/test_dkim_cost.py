"""No message costs more processor time than it may, whatever is in its header and body."""

import time
from collections.abc import Callable

import pytest

from alignd.config.settings import MilterOptions
from alignd.mail.message import HeaderField, Message
from alignd.mailauth.authentication_results import read_upstream, reduced_upstream
from alignd.mailauth.dkim import verify_signatures
from alignd.mailauth.dkim_key import DkimResult
from alignd.mailauth.dns import Answer, RecordType
from tests.support.signing import HEADER, RELAXED, SIMPLE, Draft, new_key, public_key

KEY = new_key(4096)
RECORD = f"v=DKIM1; p={public_key(KEY)}".encode()
MAX_SECONDS = 0.3
"""Three times what a message may cost: on a machine that others use as well, processor time grows
with what they do to its caches (measured: 0.06 to 0.12 s). What has no bound takes seconds."""
LARGEST = MilterOptions.model_validate({"socket": "inet:1@127.0.0.1"}).max_body_bytes
NOW = time.time()


class Published:
    """A Lookup with one key for every name."""

    def look_up(self, name: str, record_type: RecordType, **_: bool) -> Answer:  # noqa: ARG002
        return Answer((RECORD,))


def least_seconds(work: Callable[[], object]) -> float:
    """Processor time of the fastest of three runs: the machine may be busy."""
    seconds = []
    for _ in range(3):
        begin = time.thread_time()
        work()
        seconds.append(time.thread_time() - begin)
    return min(seconds)


def signed(body: bytes) -> Message:
    """A body with as many signatures as are looked at, each in another canonicalization."""
    fields = [
        (
            "DKIM-Signature",
            Draft(body=body, canonicalization=each).with_tags(c=each).signed(KEY),
        )
        for each in (RELAXED, SIMPLE)
    ]
    header = (HeaderField(name, value[1:].replace(b"\r\n", b"\n")) for name, value in fields)
    rest = (HeaderField(name, value[1:]) for name, value in HEADER)
    return Message("", (), (*header, *rest), body=body)


def unfilled(unit: bytes) -> bytes:
    return unit * (LARGEST // len(unit))


@pytest.mark.parametrize(
    ("body", "result"),
    [
        pytest.param(unfilled(b"a   " * 220 + b"\r\n"), DkimResult.PASS, id="runs-of-blanks"),
        pytest.param(unfilled(b"a \t" * 300 + b"\r\n"), DkimResult.PASS, id="blanks-and-tabs"),
        pytest.param(unfilled(b"\r\n"), DkimResult.PASS, id="empty-lines"),
        pytest.param(unfilled(b"a\r\n"), DkimResult.PASS, id="short-lines"),
        pytest.param(unfilled(b" " * 998 + b"\r\n"), DkimResult.POLICY, id="lines-of-blanks"),
        pytest.param(unfilled(b"a"), DkimResult.POLICY, id="one-line"),
        pytest.param(unfilled(b"\r"), DkimResult.POLICY, id="bare-ends"),
    ],
)
def test_the_largest_body(body: bytes, result: DkimResult) -> None:
    message = signed(body)

    assert least_seconds(lambda: verify_signatures(message, Published(), NOW)) < MAX_SECONDS
    assert verify_signatures(message, Published(), NOW)[0].result is result


SIGNATURE = b"v=1; a=rsa-sha256; d=x.example; s=s1; h=from; bh=AAAA; b=AAAA"
FOLDS = SIGNATURE[:-4] + b"A%s!"
RELAY = b"relay; "


def header_of(name: str, value: bytes, times: int = 1) -> Message:
    fields = [HeaderField(name, value)] * times
    return Message("", (), (*fields, HeaderField("From", b"<ann@x.example>")), body=b"x\r\n")


@pytest.mark.parametrize(
    "message",
    [
        pytest.param(header_of("DKIM-Signature", FOLDS % (b"\n " * 19_000)), id="57-kb-of-folds"),
        pytest.param(header_of("DKIM-Signature", FOLDS % (b"\n " * 3_900), 2), id="8-kb-of-folds"),
        pytest.param(
            header_of("DKIM-Signature", FOLDS % ((b" " * 64 + b"A") * 120), 2), id="runs-of-blanks"
        ),
        pytest.param(
            header_of("DKIM-Signature", SIGNATURE + b";y=" + b" b=" * 2_600, 2), id="many-b"
        ),
        pytest.param(header_of("DKIM-Signature", b"a=b;" * 250_000), id="one-megabyte"),
        pytest.param(header_of("DKIM-Signature", SIGNATURE, 15_000), id="15000-signatures"),
        pytest.param(
            header_of("DKIM-Signature", SIGNATURE + b";y=" + b"a" * 8_000, 64), id="64-large-ones"
        ),
        pytest.param(
            header_of(
                "DKIM-Signature", SIGNATURE.replace(b"from", b"from:" + b"a:" * 3_900 + b"b")
            ),
            id="many-names",
        ),
        pytest.param(header_of("X", b"", 100_000), id="100000-fields"),
        pytest.param(
            header_of("Authentication-Results", b"other; " + b"dkim=pass (a);" * 580, 120),
            id="120-results-of-others",
        ),
        pytest.param(
            header_of("Authentication-Results", RELAY + b"dkim=pass (a);" * 580, 120),
            id="120-results-of-ours",
        ),
        pytest.param(
            header_of(
                "Authentication-Results", RELAY + b"dkim=pass header.d=x.example;" * 16, 120
            ),
            id="sixteen-passes",
        ),
        pytest.param(
            header_of("Authentication-Results", RELAY + b"spf=pass" + b" (a)" * 500 + b" x", 120),
            id="comments",
        ),
        pytest.param(
            header_of("Authentication-Results", RELAY + b"spf=pass" + b" \t()" * 480 + b'"', 120),
            id="blanks-and-comments",
        ),
        pytest.param(
            header_of("Authentication-Results", RELAY + b"spf=pass " + b"(" * 1_900, 120),
            id="open-comments",
        ),
        pytest.param(header_of("Authentication-Results", b" " * 60_000, 120), id="no-name"),
    ],
)
def test_a_hostile_header(message: Message) -> None:
    def work() -> None:
        verify_signatures(message, Published(), NOW)
        read_upstream(message, ("relay",), Published(), NOW)
        reduced_upstream(message, ("relay",), NOW)

    assert least_seconds(work) < MAX_SECONDS
