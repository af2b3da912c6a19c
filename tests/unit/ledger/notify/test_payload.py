"""What is told of an event: a program finds it by its names, a person reads one sentence."""

import json
from dataclasses import replace

import pytest

from alignd.ledger.event import Event, EventKind
from alignd.ledger.notify.payload import payload, sentence, type_of

AT = 1_795_862_000.0
SINCE = 1_795_861_920.5  # 2026-11-28 10:32 UTC
NOT_AUTHORISED = {"action": "rewrite", "reason": "relay-not-authorised", "policy": "reject"}
PASSES = {"action": "pass", "reason": "spf-aligned", "policy": "reject", "since": SINCE}
REJECTED = {
    "kind": "lost",
    "receiver": "google.com",
    "messages": 3,
    "pattern": "google-unauthenticated",
}
MOMENT = "2026-11-28 10:32 UTC"


def event(kind: EventKind, was: object = "", now: object = "", **fields: str) -> Event:
    before, after = (json.dumps(each) if each else "" for each in (was, now))
    made = Event("e1", AT, "outbound", "", "mycompany.com", kind, before, after, "smtp1")
    return replace(made, **fields)  # type: ignore[arg-type]


def test_a_program_finds_everything_by_its_name() -> None:
    stopped = event(EventKind.STOPPED, NOT_AUTHORISED, PASSES, tenant="mycompany")
    assert json.loads(payload(stopped)) == {
        "type": "domain.stopped",
        "timestamp": "2026-11-28T10:33:20Z",
        "data": {
            "id": "e1",
            "kind": "stopped",
            "domain": "mycompany.com",
            "tenant": "mycompany",
            "leg": "outbound",
            "was": NOT_AUTHORISED,
            "now": PASSES | {"since": "2026-11-28T10:32:00Z"},
            "since": "2026-11-28T10:32:00Z",
            "noticed_by": "smtp1",
            "text": "mycompany.com has published the record; its agents keep their names since "
            f"{MOMENT}.",
        },
    }


@pytest.mark.parametrize(
    ("told", "text"),
    [
        pytest.param(
            event(EventKind.STOPPED, NOT_AUTHORISED, PASSES | {"reason": "dkim-aligned"}),
            "Mail of mycompany.com has a DKIM signature of its own; its agents keep their names "
            f"since {MOMENT}.",
            id="stopped by DKIM",
        ),
        pytest.param(
            event(EventKind.STOPPED, NOT_AUTHORISED, PASSES | {"reason": "policy-not-covered"}),
            "Mail of mycompany.com is no longer rewritten (rules.rewrite_on asks to leave it, "
            f"though it would not pass); its agents keep their names since {MOMENT}.",
            id="stopped by its policy",
        ),
        pytest.param(
            event(EventKind.STOPPED, NOT_AUTHORISED, PASSES | {"reason": "of-a-later-version"}),
            "Mail of mycompany.com is no longer rewritten; its agents keep their names since "
            f"{MOMENT}.",
            id="a reason that is not known",
        ),
        pytest.param(
            event(EventKind.BEGAN, PASSES, NOT_AUTHORISED | {"since": SINCE}),
            f"Mail of mycompany.com is rewritten since {MOMENT}: the SPF record of the author "
            "domain does not authorise this relay. `alignd domain` prints the SPF record that the "
            "company has to publish. Its DKIM key for the signer behind alignd would do as well.",
            id="began",
        ),
        pytest.param(
            event(EventKind.PARTLY, PASSES, {"reason": "relay-partly-authorised", "since": SINCE}),
            f"mycompany.com authorises this relay in part since {MOMENT}: the SPF record of the "
            "author domain authorises some addresses of this relay, not all. Often it is the IPv6 "
            "address that is missing. `alignd domain` prints the SPF record that the company has "
            "to publish. Its DKIM key for the signer behind alignd would do as well.",
            id="partly",
        ),
        pytest.param(
            event(EventKind.POLICY, PASSES | {"policy": "absent"}, PASSES),
            "mycompany.com has the DMARC policy reject in place of no DMARC policy since "
            f"{MOMENT}.",
            id="policy",
        ),
        pytest.param(
            event(EventKind.UNKNOWN, PASSES, {"since": SINCE}),
            f"DNS does not answer for mycompany.com since {MOMENT}.",
            id="unknown",
        ),
        pytest.param(
            event(EventKind.KNOWN),
            "DNS answers for mycompany.com again, and says what it said before.",
            id="known",
        ),
        pytest.param(
            event(EventKind.ANOTHER_TENANT, {"tenants": ["", "a"]}, {"tenant": "b"}, tenant="b"),
            "Mail of mycompany.com now comes from tenant b too, which only a helpdesk under the "
            "general options and tenant a did before.",
            id="another tenant",
        ),
        pytest.param(
            event(EventKind.FLAPPING),
            "What DNS says of mycompany.com changes again and again: no more is told of it for a "
            "day. Its nameservers may not agree.",
            id="flapping",
        ),
        pytest.param(
            event(EventKind.REJECTED, "", REJECTED),
            "google.com refuses mail of mycompany.com as not authenticated (3 messages within an "
            "hour; it says google-unauthenticated). It was expected to pass, and was left alone: "
            "it is lost. `alignd feedback` says what helps.",
            id="rejected: lost",
        ),
        pytest.param(
            event(EventKind.REJECTED, "", REJECTED | {"kind": "outage", "messages": 1}),
            "google.com refuses mail that was rewritten (1 message within an hour; it says "
            "google-unauthenticated): the notifications domain does not pass there, and all "
            "rewritten mail to it is lost. Run `alignd doctor`.",
            id="rejected: outage",
        ),
        pytest.param(
            event(EventKind.REJECTED, "", REJECTED | {"kind": "envelope"}),
            "google.com refuses the envelope sender of mail of mycompany.com (3 messages within "
            "an hour; it says google-unauthenticated). `alignd feedback` says what helps.",
            id="rejected: envelope",
        ),
        pytest.param(
            event(EventKind.REJECTED, "", {"kind": "of-a-later-alignd"}),
            "A receiver refuses mail of mycompany.com, against what was predicted (0 messages "
            "within an hour; it says no word that is known). `alignd feedback` says what helps.",
            id="rejected: of a later version",
        ),
        pytest.param(
            event(EventKind.SILENT_RELAY, "", {"relay": "smtp2", "since": SINCE}, domain=""),
            f"Relay smtp2 has written nothing to the ledger since {MOMENT}.",
            id="silent relay",
        ),
        pytest.param(
            event(EventKind.HEARD_RELAY, "", {"relay": "smtp2"}, domain=""),
            "Relay smtp2 writes to the ledger again.",
            id="heard relay",
        ),
    ],
)
def test_a_person_reads_what_has_happened(told: Event, text: str) -> None:
    assert sentence(told) == text


@pytest.mark.parametrize("kind", EventKind)
@pytest.mark.parametrize("said", ["", "null", "[1]", "no JSON", '{"since": "yesterday"}'])
def test_whatever_a_later_version_has_written_can_be_told(kind: EventKind, said: str) -> None:
    data = json.loads(payload(replace(event(kind), was=said, now=said)))["data"]
    assert data["text"].endswith(".")
    assert data["since"] == "2026-11-28T10:33:20Z"


def test_types_are_spelled_as_standard_webhooks_ask() -> None:
    types = {type_of(kind) for kind in EventKind}
    assert len(types) == len(EventKind)
    assert {"domain.another_tenant", "relay.silent", "relay.heard"} < types
    assert all(part.replace("_", "a").isalpha() for each in types for part in each.split("."))
