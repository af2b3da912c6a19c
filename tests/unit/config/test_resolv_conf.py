"""resolv.conf(5): every spelling that the C library takes, and nothing else."""

import random
import subprocess
from ipaddress import ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alignd.config.option_types import Nameserver
from alignd.config.resolv_conf import parse_resolv_conf
from tests.support.glibc import Reading, readings_of

CASES = {
    "an-address": b"nameserver 192.0.2.53\n",
    "the-last-line-without-an-end": b"nameserver 192.0.2.53",
    "blanks": b"nameserver \t  192.0.2.53 \t\n",
    "more-behind-it": b"nameserver 192.0.2.53 # ours\n",
    "a-comment-at-its-heel": b"nameserver 192.0.2.53#ours\nnameserver 192.0.2.54;ours\n",
    "comments": b"# nameserver 192.0.2.1\n;nameserver 192.0.2.2\nnameserver 192.0.2.3\n",
    "a-comment-that-is-not-text": b"# \xff\xfe\nnameserver 192.0.2.53 \xff\n",
    "an-address-that-is-not-text": b"nameserver \xff\nnameserver 192.0.2.53\n",
    "an-indented-line": b" nameserver 192.0.2.1\nnameserver 192.0.2.53\n",
    "upper-case": b"NAMESERVER 192.0.2.1\nnameserver 192.0.2.53\n",
    "a-byte-order-mark": b"\xef\xbb\xbfnameserver 192.0.2.1\nnameserver 192.0.2.53\n",
    "lines-of-windows": b"nameserver 192.0.2.1\r\nnameserver 192.0.2.53\n",
    "a-string-of-c": b"nameserver 192.0.2.1\0junk\n\0nameserver 192.0.2.2\n",
    "three-of-five": b"".join(b"nameserver 192.0.2.%d\n" % each for each in range(5)),
    "the-same-twice": b"nameserver 192.0.2.1\nnameserver 192.0.2.1\n",
    "short-forms": b"nameserver 127.1\nnameserver 127.258\nnameserver 2130706433\n",
    "octal-and-hexadecimal": b"nameserver 0177.0x0.00.01\nnameserver 0X7F000001\n",
    "leading-zeros": b"nameserver 0000000000000000000000177.1\nnameserver 0x0000000001.2\n",
    "numbers-that-are-none": b"nameserver 08.1\nnameserver 0x.1\nnameserver 0b1.1",
    "numbers-too-large": b"nameserver 4294967296\nnameserver 256.1\nnameserver 1.16777216\n",
    "numbers-just-so": b"nameserver 4294967295\nnameserver 255.16777215\nnameserver 1.2.65535",
    "five-numbers": b"nameserver 1.2.3.4.5\nnameserver 1.2.3.\nnameserver .1\n",
    "ipv6": b"nameserver 2001:DB8::53\nnameserver 0:0:0:0:0:0:0:1\nnameserver ::0001\n",
    "ipv6-with-ipv4": b"nameserver ::ffff:192.0.2.53\nnameserver 64:ff9b::192.0.2.53\n",
    "ipv6-too-long": b"nameserver 00001::\nnameserver 1:2:3:4:5:6:7:8:9\nnameserver 1::2::3\n",
    "unspecified": b"nameserver 0.0.0.0\nnameserver ::\nnameserver 0\n",
    "scopes": b"nameserver fe80::53%lo\nnameserver fe80::54%7\nnameserver ff02::1%lo\n",
    "scopes-of-nothing": b"nameserver fe80::53%\nnameserver fe80::53%none\nnameserver fe80::53\n",
    "a-scope-that-says-nothing": b"nameserver 2001:db8::53%lo\nnameserver 2001:db8::54%1\n",
    "a-scope-of-ipv4": b"nameserver 192.0.2.53%lo\n",
    "a-port": b"nameserver 192.0.2.53:53\nnameserver [::1]:53\nnameserver ::1#53\n",
    "options": b"nameserver 127.0.0.1\noptions rotate\toptions use-vc\n",
    "options-by-their-beginning": b"options rotates timeout:1 use-vc-x\n",
    "options-elsewhere": b" options rotate\noptionsrotate\nOPTIONS use-vc\n",
    "options-with-others": b"options debug,rotate\noptions edns0 trust-ad attempts:3\n",
    "empty": b"",
    "other-words": b"domain example\nsearch example\nlookup file bind\nsortlist 192.0.2.0\n",
}
GENERATED = 600
_ADDRESSES = (
    b"192.0.2.%d",
    b"0%o.1",
    b"0x%x.1",
    b"2001:db8::%x",
    b"fe80::%x%%lo",
    b"::%x",
    b"%d.1",
)
_ODD = (b" ", b"\t", b"\n", b"\r", b"\0", b"%", b":", b".", b"0", b"x", b"#", b"\xff", b"f", b"8")


def generated(seed: int) -> list[bytes]:
    """Files like those of CASES, each with a few octets that are changed."""
    draw = random.Random(seed)
    files = []
    for _ in range(GENERATED):
        lines = [
            b"nameserver " + draw.choice(_ADDRESSES) % draw.randrange(300)
            for _ in range(draw.randrange(1, 4))
        ]
        content = bytearray(b"\n".join([*lines, b"options rotate use-vc"]))
        for _ in range(draw.randrange(4)):
            place = draw.randrange(len(content))
            content[place : place + draw.randrange(2)] = draw.choice(_ODD)
        files.append(bytes(content))
    return files


def scope_id(server: Nameserver) -> int:
    """The number of the interface, where there is but the interface lo."""
    if server.scope.partition(":")[0] == "lo":  # what the kernel knows as an alias of it
        return 1
    return int(server.scope) if server.scope.isascii() and server.scope.isdigit() else 0


def as_glibc_reads(content: bytes) -> Reading:
    found = parse_resolv_conf(content)
    servers = found.nameservers or (Nameserver("127.0.0.1"),)  # its default, not ours
    return Reading(
        tuple((each.address, scope_id(each)) for each in servers), found.rotate, found.over_tcp
    )


def normal(reading: Reading) -> Reading:
    """The same, with addresses as they answer."""
    servers = [Nameserver.at(ip_address(a), scope=str(s)) for a, s in reading.nameservers]
    return Reading(
        tuple((each.address, scope_id(each)) for each in servers), reading.rotate, reading.over_tcp
    )


def test_the_c_library_reads_the_same() -> None:
    if subprocess.run(["unshare", "--net", "--mount", "true"], check=False).returncode:
        pytest.skip("needs the right to mount")
    files = [*CASES.values(), *generated(seed=14)]

    theirs = readings_of(files)

    for content, reading in zip(files, theirs, strict=True):
        assert as_glibc_reads(content) == normal(reading), content


@pytest.mark.parametrize(
    ("written", "asked"),
    [
        pytest.param("192.0.2.53", "192.0.2.53", id="ipv4"),
        pytest.param("127.1", "127.0.0.1", id="a-short-form"),
        pytest.param("0:0:0:0:0:0:0:1", "::1", id="ipv6-in-full"),
        pytest.param("::0001", "::1", id="leading-zeros"),
        pytest.param("2001:DB8::53", "2001:db8::53", id="upper-case"),
        pytest.param("::ffff:192.0.2.53", "192.0.2.53", id="ipv4-in-ipv6"),
        pytest.param("0.0.0.0", "127.0.0.1", id="any-ipv4-answers-from-loopback"),
        pytest.param("::", "::1", id="any-ipv6-answers-from-loopback"),
        pytest.param("::ffff:0.0.0.0", "127.0.0.1", id="any-ipv4-in-ipv6"),
        pytest.param("fe80::53%eth0", "fe80::53%eth0", id="an-interface-by-name"),
        pytest.param("FE80:0::53%2", "fe80::53%2", id="an-interface-by-number"),
        pytest.param("2001:db8::53%eth0", "2001:db8::53", id="an-interface-that-says-nothing"),
    ],
)
def test_what_is_asked(written: str, asked: str) -> None:
    (found,) = parse_resolv_conf(f"nameserver {written}\n".encode()).nameservers

    assert str(found) == asked


@pytest.mark.parametrize(
    ("content", "line", "problem"),
    [
        pytest.param(b"\nnameserver 300.1.1.1\n", 2, "not an IP address: '300.1.1.1'", id="ipv4"),
        pytest.param(
            b"nameserver \xff\n", 1, "not an IP address: '\N{REPLACEMENT CHARACTER}'", id="octet"
        ),
        pytest.param(
            b"nameserver \x1b[2J\n", 1, "not an IP address: '?[2J'", id="a-control-character"
        ),
        pytest.param(b"nameserver \n", 1, "not an IP address: ''", id="nothing"),
        pytest.param(b"nameserver ::1\r\n", 1, "not an IP address: '::1?'", id="windows"),
        pytest.param(
            b"\xef\xbb\xbfnameserver ::1\n",
            1,
            "a line must begin with 'nameserver' and a blank, to be read: '?nameserver ::1'",
            id="a-byte-order-mark",
        ),
        pytest.param(
            b"search example\n  Nameserver ::1\n",
            2,
            "a line must begin with 'nameserver' and a blank, to be read: 'Nameserver ::1'",
            id="an-indented-line",
        ),
    ],
)
def test_a_line_that_is_not_read_is_named(content: bytes, line: int, problem: str) -> None:
    found = parse_resolv_conf(content)

    assert found.nameservers == ()
    assert [(each.line, each.text) for each in found.problems] == [(line, problem)]


def test_a_bad_line_costs_only_itself() -> None:
    found = parse_resolv_conf(b"nameserver x\nnameserver 127.0.0.1\nnameserver \xff\n")

    assert [str(each) for each in found.nameservers] == ["127.0.0.1"]
    assert [each.line for each in found.problems] == [1, 3]


def test_a_fourth_nameserver_is_not_asked_and_named() -> None:
    found = parse_resolv_conf(CASES["three-of-five"])

    assert [str(each) for each in found.nameservers] == ["192.0.2.0", "192.0.2.1", "192.0.2.2"]
    assert [(each.line, each.text) for each in found.problems] == [
        (line, "not asked: only the first 3 nameservers are") for line in (4, 5)
    ]


@given(st.lists(st.sampled_from([b"nameserver ", b"options ", *_ODD]) | st.binary()))
def test_no_octets_make_it_fail(parts: list[bytes]) -> None:
    parse_resolv_conf(b"".join(parts))
