"""Which signatures are counted on, for which authors and clients, with which keys."""

import base64
import os
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ed25519, rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
)

from alignd.config.file import ConfigError
from alignd.config.settings import DkimOptions
from alignd.config.signer import KeyFiles, TableSigner, load_signer, table_problems
from alignd.mail.domain import Domain
from alignd.mail.mailbox import Mailbox
from alignd.mail.message import HeaderField, Message
from alignd.mailauth.dkim import PlannedSignature

PRIVATE = rsa.generate_private_key(65537, 2048)
MODULUS = PRIVATE.private_numbers().public_numbers.n
PEM = PRIVATE.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
OLD_PEM = PRIVATE.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption())
DER = PRIVATE.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
LOCKED = PRIVATE.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"x"))
ED25519 = ed25519.Ed25519PrivateKey.generate().private_bytes(
    Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()
)
ANN = Mailbox("ann", Domain("mycompany.com"))
SIGNS = {"signs": [{"domain": "mycompany.com", "selector": "s1"}]}


def signer(**options: Any) -> TableSigner:
    return load_signer(DkimOptions.model_validate(options))


def by_tables(directory: Path, signing: str, keys: str) -> TableSigner:
    (directory / "signing").write_text(signing)
    (directory / "keys").write_text(keys)
    tables = {
        "signing_table": f"refile:{directory}/signing",
        "key_table": f"file:{directory}/keys",
    }
    return signer(opendkim=tables)


def test_the_key_files_that_are_named(tmp_path: Path) -> None:
    paths = [tmp_path / name for name in ("good", "gone", "named-twice")]
    for path in (paths[0], paths[2]):
        path.write_bytes(PEM)
    lines = [
        *(f"k{number} a.example:s:{path}" for number, path in enumerate(paths)),
        f"k3 b.example:s:{paths[2]}",
        f"by-domain %:s:{tmp_path}/%.private",
        "relative c.example:s:./key",
        "inline d.example:s:MIIB",
    ]
    found = by_tables(tmp_path, "*@a.example k0\n", "\n".join(lines)).look_at_key_files()

    assert found == KeyFiles(3, 0, (f"{paths[1]}: No such file or directory",))


def test_the_key_file_of_a_signature_is_looked_at() -> None:
    signs = [{"domain": "a.example", "selector": "s", "key_file": "/nowhere/key"}]

    assert signer(signs=signs).look_at_key_files().missing == (
        "/nowhere/key: No such file or directory",
    )


def message(client: str | None, login: str = "", sender: str = "ann@mycompany.com") -> Message:
    header = (HeaderField("From", sender.encode()),)
    return Message("", (), header, ip_address(client) if client else None, login)


def only(planned: tuple[PlannedSignature, ...]) -> PlannedSignature:
    (signature,) = planned
    return signature


def test_the_signer_reads_tables_and_keys(tmp_path: Path) -> None:
    (tmp_path / "key.pem").write_bytes(PEM)
    both = by_tables(
        tmp_path,
        "*@mycompany.com k:ann@elsewhere.com\n",
        f"k mycompany.com:s1:{tmp_path}/key.pem\n",
    )
    options = {"domain": "mycompany.com", "selector": "s2", "identity": "@eu.mycompany.com"}
    named = signer(signs=[options, {"domain": "other.com", "selector": "s3"}])

    tabled = only(both.signatures_for(ANN))
    assert (tabled.selector, tabled.identity_domain, tabled.modulus) == ("s1", None, MODULUS)
    planned = only(named.signatures_for(ANN))
    assert (planned.selector, planned.identity_domain) == ("s2", Domain("eu.mycompany.com"))


def test_a_table_that_is_not_there_is_a_problem_of_the_configuration(tmp_path: Path) -> None:
    tables = {"signing_table": f"refile:{tmp_path}/none", "key_table": f"{tmp_path}/none"}

    with pytest.raises(ConfigError, match=f"{tmp_path}/none:1: cannot be read"):
        signer(opendkim=tables)


@pytest.mark.parametrize(
    ("client", "login", "networks", "counts"),
    [
        pytest.param("127.0.0.1", "", None, True, id="loopback"),
        pytest.param("::1", "", None, True, id="loopback-over-ipv6"),
        pytest.param(None, "", None, True, id="sendmail-has-no-address"),
        pytest.param("127.0.0.2", "", None, False, id="another-address-of-the-loopback"),
        pytest.param("203.0.113.9", "", None, False, id="elsewhere"),
        pytest.param("203.0.113.9", "ann", None, True, id="elsewhere-with-login"),
        pytest.param("203.0.113.9", "", ["203.0.113.0/24"], True, id="in-a-network-of-the-signer"),
        pytest.param("127.0.0.1", "", ["203.0.113.0/24"], False, id="which-replace-the-loopback"),
        pytest.param("2001:db8::9", "", ["0.0.0.0/0"], False, id="everybody-over-ipv4-only"),
        pytest.param("2001:db8::9", "", ["0.0.0.0/0", "::/0"], True, id="everybody"),
    ],
)
def test_the_clients_that_are_signed_for(
    client: str | None, login: str, networks: list[str] | None, counts: bool
) -> None:
    options = SIGNS if networks is None else SIGNS | {"internal_hosts": networks}

    planned = only(signer(**options).signatures_for(ANN, message(client, login)))

    why = f"the signer does not sign for the client {client or '127.0.0.1'} (dkim.internal_hosts)"
    assert planned.obstacle == ("" if counts else why)


def test_without_a_message_it_is_a_client_that_is_signed_for() -> None:
    assert only(signer(**SIGNS, internal_hosts=[]).signatures_for(ANN)).obstacle == ""


def test_a_domain_in_u_labels_is_not_what_the_signer_looks_up() -> None:
    ann = Mailbox("ann", Domain.parse("b\u00f6b.example"))
    signs = signer(signs=[{"domain": "xn--bb-fka.example", "selector": "s1"}])

    raw = only(signs.signatures_for(ann, message("::1", sender="ann@b\u00f6b.example")))
    encoded = only(
        signs.signatures_for(ann, message("::1", sender="J\u00f6 <Ann@XN--bb-fka.example>"))
    )

    assert "as it is written" in raw.obstacle
    assert not encoded.obstacle


@pytest.mark.parametrize(
    ("domain", "subdomains", "counts"),
    [
        pytest.param("mycompany.com", False, True, id="itself"),
        pytest.param("sub.mycompany.com", False, False, id="below"),
        pytest.param("sub.mycompany.com", True, True, id="below-where-asked"),
        pytest.param("a.sub.mycompany.com", True, True, id="further-below"),
        pytest.param("mycompany.com", True, True, id="itself-too"),
        pytest.param("xmycompany.com", True, False, id="not-a-name-that-ends-alike"),
    ],
)
def test_the_authors_of_a_signed_domain(domain: str, subdomains: bool, counts: bool) -> None:
    signs = {"domain": "mycompany.com", "selector": "s1", "subdomains": subdomains}

    planned = signer(signs=[signs]).signatures_for(Mailbox("ann", Domain(domain)))

    assert [each.domain.name for each in planned] == ["mycompany.com"] * counts


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        pytest.param(PEM, "", id="pem"),
        pytest.param(OLD_PEM, "", id="old-pem"),
        pytest.param(base64.encodebytes(DER), "", id="base64"),
        pytest.param(PEM.replace(b"\n", b"\r\n"), "", id="pem-with-crlf"),
        pytest.param(b"\n" + PEM, "no private RSA key in", id="a-line-before-the-pem"),
        pytest.param(b"\xef\xbb\xbf" + PEM, "no private RSA key in", id="byte-order-mark"),
        pytest.param(DER, "no private RSA key in", id="der"),
        pytest.param(b"", "no private RSA key in", id="empty"),
        pytest.param(b"hello", "no private RSA key in", id="no-key"),
        pytest.param(ED25519, "no private RSA key in", id="ed25519"),
        pytest.param(LOCKED, "no private RSA key in", id="encrypted"),
        pytest.param(None, "there is no key file", id="not-there"),
    ],
)
def test_the_files_of_private_keys(tmp_path: Path, content: bytes | None, problem: str) -> None:
    path = tmp_path / "key"
    if content is not None:
        path.write_bytes(content)
    options = {"domain": "mycompany.com", "selector": "s1", "key_file": str(path)}

    for each in (
        signer(signs=[options]),
        by_tables(tmp_path, "*@mycompany.com k", f"k mycompany.com:s1:{path}"),
    ):
        planned = only(each.signatures_for(ANN))
        assert problem in planned.obstacle
        assert (planned.obstacle == "") == (planned.modulus == MODULUS)


def test_a_key_that_stands_in_the_table(tmp_path: Path) -> None:
    small = rsa.generate_private_key(65537, 1024)  # a line has room for no more
    der = small.private_bytes(Encoding.DER, PrivateFormat.TraditionalOpenSSL, NoEncryption())
    line = f"k mycompany.com:s1:{base64.b64encode(der).decode()}"

    right = only(by_tables(tmp_path, "* k", line).signatures_for(ANN))
    wrong = only(by_tables(tmp_path, "* k", "k mycompany.com:s1:MIIB").signatures_for(ANN))

    assert right.modulus == small.private_numbers().public_numbers.n
    assert "no private RSA key in the KeyTable" in wrong.obstacle


def test_a_key_in_a_directory_of_opendkims_own_is_taken_to_be_there(tmp_path: Path) -> None:
    planned = only(by_tables(tmp_path, "* k", "k mycompany.com:s1:./none").signatures_for(ANN))

    assert (planned.obstacle, planned.modulus) == ("", None)


def test_a_key_that_was_replaced_is_read_again(tmp_path: Path) -> None:
    path, other = tmp_path / "key.pem", rsa.generate_private_key(65537, 2048)
    path.write_bytes(PEM)
    signs = by_tables(tmp_path, "* k", f"k mycompany.com:s1:{path}")
    assert only(signs.signatures_for(ANN)).modulus == MODULUS

    new = tmp_path / "new.pem"
    new.write_bytes(other.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    os.replace(new, path)
    assert only(signs.signatures_for(ANN)).modulus == other.private_numbers().public_numbers.n

    path.unlink()
    assert "there is no key file" in only(signs.signatures_for(ANN)).obstacle


@pytest.mark.parametrize(
    ("value", "key", "problem"),
    [
        pytest.param("k", "mycompany.com:s1:./k", "", id="usual"),
        pytest.param("k:@%", "%:s1:./k", "", id="percent"),
        pytest.param("k:ann.b+c@eu.%", "%:s1:./k", "", id="an-address-below"),
        pytest.param("k:%", "%:s1:./k", "does not sign with an i= without '@'", id="no-at-sign"),
        pytest.param("k:a b@%", "%:s1:./k", "receivers may not take the i=", id="blank-in-i"),
        pytest.param("k:a=b@%", "%:s1:./k", "receivers may not take the i=", id="equals-in-i"),
        pytest.param("k:@%.", "%:s1:./k", "receivers may not take the i=", id="dot-behind-i"),
        pytest.param("k", "mycompany.com.:s1:./k", "may not take the d=", id="dot-behind-d"),
        pytest.param("k", "b\u00f6b.example:s1:./k", "may not take the d=", id="u-label-in-d"),
        pytest.param("k", "my company:s1:./k", "may not take the d=", id="blank-in-d"),
        pytest.param("k", "%:s 1:./k", "may not take the s=", id="blank-in-s"),
        pytest.param("k", "%:%:./k", "may not take the s=", id="percent-in-s"),
    ],
)
def test_signatures_that_no_receiver_or_not_every_one_takes(
    tmp_path: Path, value: str, key: str, problem: str
) -> None:
    planned = only(by_tables(tmp_path, f"* {value}", f"k {key}").signatures_for(ANN))

    assert problem in planned.obstacle
    assert bool(problem) == bool(planned.obstacle)


def test_problems_of_the_tables_are_named_by_file_and_line(tmp_path: Path) -> None:
    problems = table_problems(
        by_tables(tmp_path, "\n*@(a|b).com k\n", "k a.com:s1:./k\nk a.com:s2:./k\n")
    )

    assert [f"{each.path}:{each.line}" for each in problems] == [
        f"{tmp_path}/signing:2",
        f"{tmp_path}/keys:2",
    ]
    assert table_problems(signer(**SIGNS)) == ()
