"""Draws From values: addresses as people, programs and attackers write them.

Each has the author's domain in it, and most a decoy's: whoever reads the decoy reads another
author. A seed makes the values, so that a value that was found can be found again.
"""

import random
from collections.abc import Iterator

AUTHOR, DECOY = "author.example", "decoy.example"
IDN = "bücher.example"
DOMAINS = (AUTHOR, DECOY, "xn--bcher-kva.example")
"""The domains that are drawn, in A-labels."""

_WORDS = (
    *("Ann", "Ann Lee", "Dr. Ann B. Lee", "Ann.Lee", "ann", "O'Neill", "A. & B.", "Ann/Support"),
    *('"Lee, Ann"', '"Ann"', '"Ann <Lee>"', r'"a \"b\" \\ c"', '""', '"Ann (Support)"', '"a:b;c"'),
    *("=?utf-8?Q?M=C3=A4rta?=", "=?utf-8?B?QW5u?= Lee", '"=?utf-8?Q?a=40b?="', "=?x?Q?a_b?="),
    *("Jiří", "山田", "\x80\xff", "J\xf8rn", "=?utf-8?Q?Ann Lee?=", '"J\xf8rn"'),
)
_CARELESS_WORDS = (
    *("Lee, Ann", "Ann [Support]", "[Support]", "Ann: Lee", "Ann; Lee", r"Ann \ Lee", ".Ann"),
    *("Ann \\", "Ann.", "ann@" + AUTHOR, "Ann @ Acme", '"Ann', 'Ann"', "Ann) ", "(Ann", "<Ann>"),
    *("Ann\tLee", "...", "'Ann'", "Ann\x01", "Ann\x7f", "=?utf-8?Q?N,_J?=", "Ann<>", "@", "<>"),
)
_DECOYS = (
    *(f"eve@{DECOY}", f"<eve@{DECOY}>", f'"eve@{DECOY}"', f"(eve@{DECOY})", f"(<eve@{DECOY}>)"),
    *(f'"Eve <eve@{DECOY}>"', f"=?utf-8?Q?eve=40{DECOY}?=", f"=?utf-8?Q?<eve@{DECOY}>?="),
    *(f"=?utf-8?Q?=3Ceve=40{DECOY}=3E?=", f'"\\"eve@{DECOY}\\""', f"({DECOY})", f'"{DECOY}"'),
    *(f"(\\) <eve@{DECOY}>)", f"(a\\(b <eve@{DECOY}>)", f"eve@{DECOY},", f"eve@{DECOY}:", DECOY),
    *(f'\\"eve@{DECOY}\\"', f'\\"<eve@{DECOY}>"', f"\\<eve@{DECOY}>", f"\\(eve@{DECOY})", "\\ "),
    *(f"[eve@{DECOY}]", f"mailto:eve@{DECOY}", f"'eve@{DECOY}'", f"{DECOY}!eve"),
)
_LOCAL_PARTS = (
    *("ann", "ann.lee", "ann+tag", "a", "ann_lee-x", "!#$%&'*+/=?^_`{|}~-", "-ann", "a" * 64),
    *('"ann"', '"ann.lee"', "=3Eann", "_=3Eann", "%ann", "ann=decoy.example", "Ann", "ann..b"),
)
_CARELESS_LOCAL_PARTS = (
    *("ann..b", "ann.", ".ann", '"ann lee"', '"ann@home"', '"a<b>"', '"a\\"b"', '"a,b"', "a" * 80),
    *(f'"eve@{DECOY}"', f'"eve <eve@{DECOY}>"', f'"eve@{DECOY}>"', f"eve%{DECOY}", f"{DECOY}!eve"),
    *(f"eve@{DECOY}", "an n", "ann(x)", "(x)ann", "ann ", "ář", "\xe1nn", "=?utf-8?Q?ann?=", ""),
    *("ann,b", "ann:b", "ann;b", "[ann]", "a\\b", '"', '""', "bounce-" + "0123456789" * 9),
)
_DOMAINS_WRITTEN = (AUTHOR, AUTHOR, AUTHOR, AUTHOR.upper(), "Author.Example")
_CARELESS_DOMAINS = (
    *(f"{AUTHOR}.", f" {AUTHOR}", f"{AUTHOR} ", "author .example", "author. example", IDN),
    *("author..example", "author.example..", f"{AUTHOR}(x)", f"(x){AUTHOR}", "[192.0.2.1]"),
    *("author\\.example", '"author.example"', f"{AUTHOR}\xad", "b\xfccher.example", f"{AUTHOR}>"),
    *(f"{AUTHOR}@{DECOY}", f"{AUTHOR},{DECOY}", f"{AUTHOR}/{DECOY}", f"{AUTHOR}\t", f"{AUTHOR};"),
)
_BLANKS = (
    "",
    " ",
    " ",
    " ",
    "  ",
    "\t",
    "\r\n ",
    " \r\n\t",
    "()",
    " (x) ",
    "(Ann (the) Lee)",
    "(Lee (x) , : ;)",
)
_CARELESS_BLANKS = (
    "(Ann (Lee))",
    "((a)b)",
    "(",
    ")",
    "(a\\)b)",
    '(")',
    "(<)",
    "(>)",
    "(@)",
    "\\",
    ",",
    ";",
    ":",
    "\x0b",
)
_ALPHABET = '<>@,;:()[]"\\. \t=?_%!ax\xe9\x0b\x1f\x7f'


def draw(seed: int, count: int) -> Iterator[bytes]:
    """Draw values: those of the grammar, careless ones, and either kind with odd characters."""
    dice = random.Random(seed)
    seen: set[bytes] = set()
    while len(seen) < count:
        text = _mutated(dice, _mailbox(dice, dice.choice((0.0, 0.05, 0.2, 0.5))))
        charset = dice.choice(("utf-8", "utf-8", "latin-1"))
        value = (dice.choice((" ", " ", " ", "", "\r\n ")) + text).encode(charset, "replace")
        if value not in seen and _is_field(value):
            seen.add(value)
            yield value


def _mailbox(dice: random.Random, careless: float) -> str:
    def pick(usual: tuple[str, ...], odd: tuple[str, ...]) -> str:
        return dice.choice(odd if dice.random() < careless else usual)

    def blank() -> str:
        return pick(_BLANKS, _CARELESS_BLANKS)

    def inside() -> str:
        # Comments and blanks inside the brackets are rare, but grammar.
        return blank() if dice.random() < max(careless, 0.05) else ""

    words = [pick(_WORDS, _CARELESS_WORDS) for _ in range(dice.choice((0, 1, 1, 1, 2)))]
    address = pick(_LOCAL_PARTS, _CARELESS_LOCAL_PARTS) + "@"
    address += pick(_DOMAINS_WRITTEN, _CARELESS_DOMAINS)
    angle = bool(words) or dice.random() < 0.5
    if dice.random() < careless / 4:
        angle = not angle
    address = f"<{inside()}{address}{inside()}>" if angle else address
    parts = [*words, address]
    if dice.random() < 0.5:
        parts.insert(dice.randrange(len(parts) + 1), dice.choice(_DECOYS))
    if dice.random() < careless / 2:
        parts.append(dice.choice((*_WORDS, *_CARELESS_WORDS, *_DECOYS)))
    return "".join(blank() + part for part in parts) + (blank() if dice.random() < 0.3 else "")


def _mutated(dice: random.Random, text: str) -> str:
    for _ in range(dice.choice((0, 0, 0, 1, 1, 2, 3))):
        place = dice.randrange(len(text) + 1)
        match dice.randrange(3):
            case 0:
                text = text[:place] + dice.choice(_ALPHABET) + text[place:]
            case 1:
                text = text[:place] + text[place + 1 :]
            case _:
                text = text[:place] + dice.choice(_ALPHABET) + text[place + 1 :]
    return text


def _is_field(value: bytes) -> bool:
    # A line end is one of a fold.
    unfolded = value.replace(b"\r\n ", b"").replace(b"\r\n\t", b"")
    return not {b"\r", b"\n"} & {unfolded[each : each + 1] for each in range(len(unfolded))}
