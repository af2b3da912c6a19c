"""What a stranger may send to the window of a ledger."""

import json
from typing import Any

from alignd.ledger.window.protocol import MAX_QUESTION, MAX_TEXT, VERSION

NOW = 1_782_900_000.0
OVERVIEW: dict[str, Any] = {
    "version": VERSION,
    "ask": "overview",
    "selection": {"leg": "outbound", "actions": [], "tenant": None, "pattern": "", "since": 0},
    "now": NOW,
    "order": "messages",
}
HISTORY = {"version": 1, "ask": "history", "leg": "outbound", "domain": "a.example", "since": 0}
HISTORY |= {"now": NOW}

RECEIVERS = {"version": 1, "ask": "receivers", "leg": "outbound", "tenant": None}
RECEIVERS |= {"since": 0, "until": NOW}


def selecting(**fields: Any) -> str:
    return json.dumps(OVERVIEW | {"selection": OVERVIEW["selection"] | fields})


HOSTILE = {
    "nothing": "",
    "no-json": "GET / HTTP/1.1",
    "binary": "\x00\xff\xfe",
    "not-ascii": '{"version":1,"ask":"history","domain":"ø.example"}',
    "a-list": "[]",
    "a-number": "1",
    "null": "null",
    "half-an-object": '{"version":1,"ask":"overview"',
    "two-objects": '{"version":1} {"version":1}',
    "no-version": '{"ask":"relays"}',
    "a-version-of-text": '{"version":"1","ask":"relays"}',
    "a-version-that-is-true": '{"version":true,"ask":"relays","now":1,"leg":null}',
    "an-unknown-question": '{"version":1,"ask":"forget","domain":"mycompany.com"}',
    "a-method-of-python": '{"version":1,"ask":"__class__"}',
    "a-question-that-is-a-list": '{"version":1,"ask":[]}',
    "no-fields": '{"version":1,"ask":"overview"}',
    "a-field-more": json.dumps(OVERVIEW | {"limit": 1}),
    "a-name-twice": '{"version":1,"ask":"relays","now":1,"now":2,"leg":null}',
    "not-a-number": '{"version":1,"ask":"relays","now":NaN,"leg":null}',
    "infinity": '{"version":1,"ask":"relays","now":1e999,"leg":null}',
    "a-time-of-text": '{"version":1,"ask":"relays","now":"1","leg":null}',
    "a-time-that-is-true": '{"version":1,"ask":"relays","now":true,"leg":null}',
    "a-time-before-all": '{"version":1,"ask":"relays","now":-1,"leg":null}',
    "a-time-beyond-an-integer": '{"version":1,"ask":"relays","now":1' + "0" * 400 + ',"leg":null}',
    "more-digits-than-python-reads": '{"version":1,"ask":"relays","now":' + "9" * 4_050 + "}",
    "a-span-without-an-end": '{"version":1,"ask":"events","leg":"outbound","tenant":"","since":1}',
    "a-span-of-a-tenant-that-is-a-list": json.dumps(
        {"version": 1, "ask": "traffic", "leg": "outbound", "tenant": [], "since": 0, "until": 1}
    ),
    "receivers-without-a-domain": json.dumps(RECEIVERS),
    "receivers-of-a-domain-that-is-a-list": json.dumps(RECEIVERS | {"domain": ["a.example"]}),
    "receivers-of-a-domain-with-a-nul": json.dumps(RECEIVERS | {"domain": "a\x00"}),
    "receivers-of-no-leg": json.dumps(RECEIVERS | {"domain": None, "leg": None}),
    "an-unknown-leg": '{"version":1,"ask":"relays","now":1,"leg":"sideways"}',
    "an-unknown-order": json.dumps(OVERVIEW | {"order": "domain; DROP TABLE states"}),
    "a-selection-of-text": json.dumps(OVERVIEW | {"selection": "all"}),
    "a-selection-that-lacks-a-field": json.dumps(OVERVIEW | {"selection": {"leg": "outbound"}}),
    "actions-of-text": selecting(actions="rewrite"),
    "an-unknown-action": selecting(actions=["delete"]),
    "an-action-that-is-a-list": selecting(actions=[["rewrite"]]),
    "actions-without-end": selecting(actions=["pass"] * 300),
    "a-tenant-that-is-a-number": selecting(tenant=1),
    "a-tenant-with-a-nul": selecting(tenant="easy\x00"),
    "half-a-surrogate": selecting(tenant="\ud800"),
    "a-long-tenant": selecting(tenant="e" * (MAX_TEXT + 1)),
    "a-long-pattern": selecting(pattern="e" * (MAX_TEXT + 1)),
    "a-pattern-of-wildcards": selecting(pattern="*a" * 9),
    "a-pattern-with-a-line-end": selecting(pattern="a\n"),
    "no-domain": json.dumps(HISTORY | {"domain": ""}),
    "a-domain-with-a-wildcard": json.dumps(HISTORY | {"domain": "*"}),
    "a-long-domain": json.dumps(HISTORY | {"domain": "a" * (MAX_TEXT + 1)}),
    "nested-as-deep-as-there-is-room": "[" * (MAX_QUESTION - 1),
    "objects-as-deep-as-there-is-room": '{"a":' * (MAX_QUESTION // 5 - 1),
    "an-old-mac-line-end": '{"version":1,"ask":"relays","now":1,"leg":null}\r\r{',
}
"""Lines without their ends; each is refused as MALFORMED."""
