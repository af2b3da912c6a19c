"""Tables for OpenDKIM and authors, drawn at random: what people write, and what goes wrong."""

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass

Draw = random.Random

_DOMAINS = ("mycompany.com", "sub.mycompany.com", "a.sub.mycompany.com", "other.com", "other.org")
_USERS = ("ann", "bob", "Ann", "ann.b", "ann+x", "o'brien", '"ann"', "a=b", "j\u00fcrgen")
_KEYS = ("one", "two", "three", "four", "five")


@dataclass(frozen=True, slots=True)
class Drawn:
    """Both tables, the kinds that opendkim.conf(5) names, and authors to ask about."""

    signing: bytes
    keys: bytes
    signing_kind: str
    key_kind: str
    authors: tuple[str, ...]


def draw_tables(draw: Draw, key_files: Sequence[str]) -> Drawn:
    """Draw tables whose keys are in *key_files*, of which some are no use."""
    signing_kind = draw.choice(("refile", "refile", "file"))
    pattern = _pattern if signing_kind == "refile" else _plain_key
    signing = [_line(draw, pattern(draw), _signing_value(draw)) for _ in range(draw.randint(1, 6))]
    names = [*_KEYS, *(_key_name(draw) for _ in range(4))]
    draw.shuffle(names)
    keys = [_line(draw, name.encode(), _key_value(draw, key_files)) for name in names]
    authors = {f"{draw.choice(_USERS)}@{_cased(draw, draw.choice(_DOMAINS))}" for _ in range(8)}
    return Drawn(
        _file(draw, signing),
        _file(draw, keys),
        signing_kind,
        "refile" if draw.random() < 0.1 else "file",
        tuple(sorted(authors)),
    )


def _pattern(draw: Draw) -> bytes:
    user, domain = draw.choice((*_USERS, "*", "*", "*", "a*", "*b")), draw.choice(_DOMAINS)
    host = draw.choice((domain, domain, f"*.{domain}", f"*{domain}", "*", "*.com", f"{domain}*"))
    text = draw.choice((f"{user}@{host}",) * 8 + ("*", host, f"**@{host}", f".{host}"))
    return _damaged(draw, text.encode(), b"()|[]{}^$?\\+.%&!,;\xe9\xef\xa0")


def _plain_key(draw: Draw) -> bytes:
    user, domain = draw.choice(_USERS), draw.choice(_DOMAINS)
    text = draw.choice(
        (
            f"{user}@{domain}",
            domain,
            domain,
            f".{domain}",
            f"{user}@.{domain}",
            ".com",
            f"{user}@.com",
            f"{user}@*",
            "*",
            f"*@{domain}",
        )
    )
    return _damaged(draw, text.encode(), b"*.\xe9%")


def _signing_value(draw: Draw) -> bytes:
    domain = draw.choice(_DOMAINS)
    identities = ("@%", f"@{domain}", f"ann@{domain}", "%", "ann", "@", "a b@%", f"@{domain}.", "")
    odd = ("nokey", "", "one two", "ONE")
    name = draw.choice(odd if draw.random() < 0.1 else (*_KEYS, "%"))
    identity = f":{draw.choice(identities)}" if draw.random() < 0.3 else ""
    return f"{name}{identity}".encode()


def _key_name(draw: Draw) -> str:
    return draw.choice(_KEYS + _DOMAINS * 2 + ("ONE", "t*"))


def _key_value(draw: Draw, key_files: Sequence[str]) -> bytes:
    odd = draw.random() < 0.1
    domain = draw.choice(("MyCompany.com", "mycompany.com.", "") if odd else ("%", *_DOMAINS))
    selector = draw.choice(("s_4", "%", "") if draw.random() < 0.1 else ("s1", "s2", "S.3"))
    file = draw.choice(key_files if draw.random() < 0.2 else key_files[:3])
    text = f"{domain}:{selector}:{file}"
    if draw.random() < 0.05:
        text = draw.choice((f"{domain}:{selector}", domain, f"{text} ", f"{domain} :s1:{file}"))
    return text.encode()


def _line(draw: Draw, key: bytes, value: bytes) -> bytes:
    gap = draw.choice((b" ", b"  ", b"\t", b" \t ", b" \t ", b"\r", b"\v", b"\f", b" " * 1030))
    gap = b" " if draw.random() < 0.7 else gap
    if draw.random() < 0.02:
        gap = draw.choice((b"\xa0", b"\x1c", b"\0", b"\xc2\x85"))
    front = draw.choice((b" ", b"\t", b"\r")) if draw.random() < 0.08 else b""
    behind = draw.choice((b" ", b"\t", b"\r", b" # why", b"#why", b" \0x")) * (
        draw.random() < 0.15
    )
    return front + key + gap + value + behind


def _file(draw: Draw, lines: list[bytes]) -> bytes:
    extras: tuple[Callable[[], bytes], ...] = (
        lambda: b"",
        lambda: b"# a comment",
        lambda: b"   ",
        lambda: b"#" + b"x" * draw.randint(1015, 1030) + draw.choice(lines),
    )
    lines = [
        each for line in lines for each in (line, draw.choice(extras)())[: draw.choice((1, 1, 2))]
    ]
    text = draw.choice((b"\n", b"\n", b"\r\n")).join(lines)
    bom = b"\xef\xbb\xbf" if draw.random() < 0.03 else b""
    return bom + text + (b"\n" if draw.random() < 0.8 else b"")


def _damaged(draw: Draw, text: bytes, characters: bytes) -> bytes:
    text = text.upper() if draw.random() < 0.05 else text
    if draw.random() > 0.12:
        return text
    place = draw.randrange(len(text) + 1)
    return text[:place] + bytes([draw.choice(characters)]) + text[place:]


def _cased(draw: Draw, text: str) -> str:
    return text.title() if draw.random() < 0.1 else text
