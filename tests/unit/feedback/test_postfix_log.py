"""Lines of logs: what Postfix says of a delivery, and what alignd has decided."""

import json
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alignd.config.domain_lists import SuffixList
from alignd.feedback.decision import Decision, read_decision
from alignd.feedback.entry import Entry, read_journal, read_line
from alignd.feedback.postfix_log import Delivery, Status, organization_of, read_delivery
from alignd.telemetry.log import MessageLog

SUFFIXES = SuffixList()
HEAD = "Nov 28 11:44:57 relay "
NOW = datetime(2026, 11, 28, 12, 0, tzinfo=UTC)
SAID = "550 5.7.1 rejected by DMARC policy for mycompany.com (in reply to end of DATA command)"
FIELDS = (
    "to=<julia@customer.com>, relay=mx.customer.co.uk[203.0.113.25]:25, delay=0.5, "
    "delays=0.1/0/0.2/0.2, dsn=5.7.1, status=bounced (host mx.customer.co.uk[203.0.113.25] said: "
    f"{SAID})"
)
TEXT = f"4bQx2K1: {FIELDS}"


def organization(host: str) -> str:
    return organization_of(host, SUFFIXES)


def delivery_of(line: str) -> Delivery | None:
    entry = read_line(line, NOW)
    return None if entry is None else read_delivery(entry, organization)


@pytest.mark.parametrize(
    ("head", "when"),
    [
        pytest.param(
            "Nov 28 11:44:57 relay postfix/smtp[123]: ", "2026-11-28T11:44:57", id="classic"
        ),
        pytest.param(
            "Nov  8 01:02:03 relay postfix/smtp[1]: ",
            "2026-11-08T01:02:03",
            id="a-day-of-one-digit",
        ),
        pytest.param(
            "Dec 31 23:59:59 relay postfix/smtp[1]: ", "2025-12-31T23:59:59", id="last-year"
        ),
        pytest.param(
            "Nov 28 12:10:00 relay postfix/smtp[1]: ",
            "2026-11-28T12:10:00",
            id="a-clock-that-is-fast",
        ),
        pytest.param(
            "2026-11-28T11:44:57.123456+00:00 relay postfix/smtp[123]: ",
            "2026-11-28T11:44:57.123456",
            id="rfc-3339",
        ),
        pytest.param(
            "2026-11-28T13:44:57+02:00 relay postfix/smtp[123]: ",
            "2026-11-28T11:44:57",
            id="rfc-3339-with-a-zone",
        ),
        pytest.param(
            "2026-11-28T11:44:57.123456789Z relay postfix/smtp[123]: ",
            "2026-11-28T11:44:57.123456",
            id="nanoseconds",
        ),
        pytest.param(
            "Nov 28 11:44:57 relay postfix-out/smtp[123]: ",
            "2026-11-28T11:44:57",
            id="an-instance",
        ),
        pytest.param(
            "Nov 28 11:44:57 relay postfix/from10025/smtp[123]: ",
            "2026-11-28T11:44:57",
            id="a-service-with-a-name",
        ),
        pytest.param(
            "Nov 28 11:44:57 relay postfix/lmtp[123]: ", "2026-11-28T11:44:57", id="lmtp"
        ),
    ],
)
def test_a_line_of_any_form_is_read(head: str, when: str) -> None:
    found = delivery_of(head + TEXT)

    moment = datetime.fromisoformat(when).replace(tzinfo=UTC).timestamp()
    assert found == Delivery("4bQx2K1", moment, Status.BOUNCED, "5.7.1", "customer.co.uk", SAID)


def test_29_february_is_in_a_leap_year() -> None:
    found = delivery_of(f"Feb 29 10:00:00 relay postfix/smtp[1]: {TEXT}")

    assert found is not None
    assert found.when is None  # neither this year nor the last one has it


@pytest.mark.parametrize("text", [TEXT, TEXT.replace("julia", "jůlia")])
def test_an_entry_of_the_journal_is_read(text: str) -> None:
    for message in (text, list(text.encode())):
        entry, cursor = read_journal(
            json.dumps(
                {
                    "__CURSOR": "s=1;i=2",
                    "__REALTIME_TIMESTAMP": "1795866297123456",
                    "SYSLOG_IDENTIFIER": "postfix/smtp",
                    "MESSAGE": message,
                }
            )
        )

        assert cursor == "s=1;i=2"
        assert entry is not None
        found = read_delivery(entry, organization)
        assert found is not None
        assert (found.when, found.dsn) == (1795866297.123456, "5.7.1")


@pytest.mark.parametrize(
    "line",
    [
        "",
        "{}",
        "[]",
        "null",
        '"status="',
        "{",
        '{"MESSAGE": null}',
        '{"MESSAGE": {"a": 1}}',
        '{"MESSAGE": [1, -1, 999, "a"]}',
        "[" * 100_000,
    ],
)
def test_what_is_no_entry_of_the_journal_is_passed_over(line: str) -> None:
    assert read_journal(line)[0] is None


@pytest.mark.parametrize(
    ("old", "new", "found"),
    [
        pytest.param(
            "4bQx2K1", "3Zt8Yb1QwZzJ9sK", {"queue_id": "3Zt8Yb1QwZzJ9sK"}, id="a-long-queue-id"
        ),
        pytest.param(
            "to=<julia@customer.com>", "to=<a@b.example>, orig_to=<c@d.example>", {}, id="an-alias"
        ),
        pytest.param(
            "to=<julia@customer.com>",
            'to=<"a b>, relay=x[1.2.3.4]:25"@b.example>',
            {},
            id="an-address-like-fields",
        ),
        pytest.param("[203.0.113.25]:25,", "[2001:db8::25]:25,", {}, id="ipv6"),
        pytest.param(
            "relay=mx.customer.co.uk",
            "relay=192.0.2.9",
            {"receiver": "203.0.113.25"},
            id="no-name-of-the-host",
        ),
        pytest.param(
            "status=bounced", "status=deferred", {"status": Status.DEFERRED}, id="deferred"
        ),
        pytest.param("delay=0.5, ", "conn_use=2, delay=0.5, ", {}, id="a-connection-used-again"),
        pytest.param(
            "said: 550 5.7.1",
            "said: 550 <julia@customer.com> 5.7.1",
            {"reply": f"550 <ADDRESS> {SAID[4:]}"},
            id="an-address-in-the-reply",
        ),
        pytest.param("said:", "refused to talk to me:", {}, id="refused-at-once"),
    ],
)
def test_the_fields_are(old: str, new: str, found: dict[str, object]) -> None:
    line = f"Nov 28 11:44:57 relay postfix/smtp[123]: {TEXT}".replace(old, new)

    delivery = delivery_of(line)
    assert delivery is not None
    for name, value in found.items():
        assert getattr(delivery, name) == value
    assert "@" not in str(delivery)
    assert not found.keys() - {"receiver"} or delivery.receiver == "customer.co.uk"


@pytest.mark.parametrize(
    "line",
    [
        pytest.param(
            f"Nov 28 11:44:57 relay sshd[1]: Invalid user postfix/smtp[1]: {TEXT}",
            id="another-program-quotes-it",
        ),
        pytest.param(
            f"Nov 28 11:44:57 relay postfix/smtpd[1]: {TEXT}", id="the-daemon-that-receives"
        ),
        pytest.param(
            f"Nov 28 11:44:57 relay postfix/error[1]: {TEXT}", id="the-daemon-that-repeats"
        ),
        pytest.param(
            f"{HEAD}postfix/smtp[1]: 4bQx2K1: to=<a@b>, relay=none, delay=1, dsn=4.4.1, "
            "status=deferred (connect to b[192.0.2.1]:25: Connection refused)",
            id="nobody-answered",
        ),
        pytest.param(TEXT, id="no-head"),
        pytest.param(
            f"Nov 28 11:44:57 relay postfix/smtp[1]: NOQUEUE: x {FIELDS}", id="another-form"
        ),
    ],
)
def test_a_line_is_none_of_a_delivery(line: str) -> None:
    assert delivery_of(line) is None


def test_what_postfix_itself_says_is_no_reply() -> None:
    line = (
        "Nov 28 11:44:57 relay postfix/smtp[1]: 4bQx2K1: to=<a@b.example>, relay=b.example"
        "[192.0.2.1]:25, delay=1, dsn=4.7.5, status=deferred (Server certificate not trusted)"
    )
    found = delivery_of(line)

    assert found is not None
    assert found.reply == ""


@pytest.mark.parametrize(
    ("address", "queue_id"),
    [
        pytest.param("127.0.0.1", "9ABCDEF", id="from-this-machine"),
        pytest.param("192.0.2.9", "", id="not-from-another"),
    ],
)
def test_the_next_queue_id_is_known(address: str, queue_id: str) -> None:
    line = (
        f"Nov 28 11:44:57 relay postfix/smtp[1]: 4bQx2K1: to=<a@b.example>, relay={address}"
        f"[{address}]:10025, delay=1, dsn=2.0.0, status=sent (250 2.0.0 Ok: queued as 9ABCDEF)"
    )
    found = delivery_of(line)

    assert found is not None
    assert found.next_queue_id == queue_id


@pytest.mark.parametrize(
    ("text", "decision"),
    [
        pytest.param(
            "action=rewrite domain=mycompany.com policy=reject spf=fail,fail dkim=none "
            "reason=relay-not-authorised ms=1.2",
            Decision("rewrite", "relay-not-authorised", "mycompany.com"),
            id="rewritten",
        ),
        pytest.param(
            "action=pass domain=good.example reason=spf-aligned dry_run=yes ms=1.2",
            Decision("pass", "spf-aligned", "good.example", is_dry=True),
            id="dry-run",
        ),
        pytest.param(
            'action=pass domain=a.example tenant="Easy One" reason=exempt ms=1.2',
            Decision("pass", "exempt", "a.example", "Easy One"),
            id="a-tenant",
        ),
        pytest.param(
            'action=rewrite reason=from-missing ms=1 sender="x domain=evil.example" author=""',
            Decision("rewrite", "from-missing"),
            id="an-address-like-a-field",
        ),
        pytest.param("action=fallback error=KeyError at", None, id="no-outcome-yet"),
    ],
)
def test_what_was_decided_is_read(text: str, decision: Decision | None) -> None:
    for head in ("Nov 28 11:44:57 relay alignd[9]: ", "2026-11-28T11:44:57Z relay alignd: ", ""):
        entry = read_line(f"{head}4bQx2K1: {text}", NOW)

        assert entry is not None
        assert read_decision(entry) == (decision and ("4bQx2K1", decision))


@pytest.mark.parametrize(
    "tenant",
    ["mycompany", "Easy One", "X-Host=a.example", 'X-Host="a", X=b', "a\\b", 'a\\"b', "a,b"],
)
def test_the_tenant_is_the_one_that_the_log_was_given(tenant: str) -> None:
    words = {"action": "pass", "domain": "a.example", "tenant": tenant, "reason": "exempt"}
    line = f"4bQx2K1: {MessageLog(None).rendered(**words)}"

    found = read_decision(Entry(None, "alignd", line))
    assert found == ("4bQx2K1", Decision("pass", "exempt", "a.example", tenant))


def test_no_other_program_decides() -> None:
    entry = read_line("Nov 28 11:44:57 relay evil[9]: 4bQx2K1: action=pass reason=exempt", NOW)

    assert entry is not None
    assert read_decision(entry) is None


LINES = st.one_of(
    st.text(),
    st.builds(
        "".join,
        st.lists(
            st.sampled_from(
                [
                    "Nov 28 11:44:57 relay ",
                    "postfix/smtp[1]: ",
                    "4bQx2K1: ",
                    "to=<",
                    '"',
                    "\\",
                    ">, ",
                    "relay=a.b[192.0.2.1]:25, ",
                    "dsn=5.7.1, ",
                    "status=bounced (",
                    "host x ",
                    "said: 550 ",
                    "action=pass ",
                    "reason=exempt ",
                    "@",
                    "\x00",
                    "\u2028",
                    "alignd: ",
                    "2026-99-99T99:99:99Z ",
                    "Feb 30 99:99:99 a ",
                ]
            )
        ),
    ),
)


@given(LINES)
def test_no_line_is_an_error(line: str) -> None:
    for entry in (
        read_line(line, NOW),
        read_line(line, NOW.replace(tzinfo=None)),
        read_journal(line)[0],
        Entry(None, "postfix/smtp", line),
        Entry(None, "alignd", line),
    ):
        if entry is not None:
            read_decision(entry)
            found = read_delivery(entry, organization)
            assert found is None or "@" not in str(found)
