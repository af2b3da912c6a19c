"""Answers of DNS, as the rest of mailauth takes them."""

from alignd.mailauth.dns import Answer, LookupFailed, MailExchange, texts_at
from alignd.resolver.zone import Zone

WORLD = Zone.parse("""\
several.cz. TXT "one" "two"
several.cz. TXT "three"
several.cz. MX 10 mail.several.cz.
other.cz. A 192.0.2.1
; SERVFAIL down.cz
""")


def test_the_texts_of_a_name_are_its_txt_records_each_in_one_piece() -> None:
    texts = texts_at("several.cz", WORLD)

    assert not isinstance(texts, LookupFailed)
    assert sorted(texts) == [b"onetwo", b"three"]


def test_a_name_without_txt_records_has_no_texts() -> None:
    assert texts_at("other.cz", WORLD) == texts_at("nowhere.cz", WORLD) == ()


def test_what_dns_cannot_say_is_not_without_texts() -> None:
    assert texts_at("down.cz", WORLD) == LookupFailed("SERVFAIL")


def test_only_txt_records_are_texts() -> None:
    assert Answer((b"text", MailExchange(10, "mail.x.cz"), "192.0.2.1")).texts == (b"text",)
