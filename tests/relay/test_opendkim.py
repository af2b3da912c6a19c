"""What alignd says that OpenDKIM will sign, OpenDKIM signs.

A real OpenDKIM is asked over the milter protocol. To ask it thousands of times:

    ALIGND_TABLES=5000 ALIGND_SEED=1 .venv/bin/pytest tests/relay/test_opendkim.py -k drawn -s
"""

import os
import random
import re
import subprocess
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path

import pytest

from alignd.config.settings import DkimOptions
from alignd.config.signer import TableSigner, load_signer
from alignd.mail.mailbox import Mailbox
from alignd.mail.message import HeaderField, Message
from tests.lab.message import InsertHeader
from tests.lab.milter_client import MilterConnection
from tests.lab.opendkim import run_opendkim
from tests.lab.processes import StartError, missing_programs
from tests.lab.readiness import open_directory
from tests.support.signing_tables import Drawn, draw_tables

TABLES = int(os.environ.get("ALIGND_TABLES", "60"))
SEED = int(os.environ.get("ALIGND_SEED", "2"))
MISSING = missing_programs(("opendkim", "openssl"))

pytestmark = [
    pytest.mark.postfix,
    pytest.mark.skipif(
        bool(MISSING) or os.geteuid() != 0, reason="needs OpenDKIM, openssl and root"
    ),
]

ANN = "ann@mycompany.com"
TABLE = b"*@mycompany.com one\n"
TAG = re.compile(rb"\b(d|s|i)=([^;]*)")


@dataclass(frozen=True, slots=True)
class Signature:
    domain: str
    selector: str
    identity_domain: str
    """Empty without i=."""


@dataclass(frozen=True, slots=True)
class Workshop:
    """A directory with keys, of which some are no use."""

    directory: Path

    @property
    def key_files(self) -> list[str]:
        good = ["good.pem", "%.pem", "good.pem", "second.pem", "base64"]
        return [
            f"{self.directory}/{name}" for name in (*good, "garbage", "none.pem", "ed25519.pem")
        ]

    def signer(self, drawn: Drawn, **options: object) -> TableSigner:
        """Alignd's, with the tables in this directory."""
        (self.directory / "signing").write_bytes(drawn.signing)
        (self.directory / "keys").write_bytes(drawn.keys)
        tables = {
            "signing_table": f"{drawn.signing_kind}:{self.directory}/signing",
            "key_table": f"{drawn.key_kind}:{self.directory}/keys",
        }
        return load_signer(DkimOptions.model_validate({"opendkim": tables} | options))

    @contextmanager
    def opendkim(self, drawn: Drawn, settings: str = "", name: str = "signer") -> Iterator[Path]:
        tables = (
            f"SigningTable {drawn.signing_kind}:{self.directory}/signing\n"
            f"KeyTable {drawn.key_kind}:{self.directory}/keys\n"
        )
        mode = "" if "Mode" in settings else "Mode s\n"
        with run_opendkim(self.directory, name, f"{mode}{tables}{settings}", "127.0.0.1") as at:
            yield at


@pytest.fixture(scope="module")
def workshop() -> Iterator[Workshop]:
    with open_directory() as directory:
        directory.chmod(0o777)
        for name in ("good", "second"):
            run("openssl", "genrsa", "-out", directory / f"{name}.pem", "2048")
        good = (directory / "good.pem").read_bytes()
        for domain in ("mycompany.com", "other.com", "MyCompany.com"):
            (directory / f"{domain}.pem").write_bytes(good)
        lines = good.splitlines()[1:-1]
        (directory / "base64").write_bytes(b"\n".join(lines))
        (directory / "garbage").write_bytes(b"no key\n")
        run("openssl", "genpkey", "-algorithm", "ed25519", "-out", directory / "ed25519.pem")
        for path in directory.iterdir():
            path.chmod(0o644)
        yield Workshop(directory)


def run(*command: str | Path) -> None:
    subprocess.run(command, check=True, capture_output=True)


def author_of(address: str) -> Mailbox:
    return Mailbox.from_address(address)


def made_by(
    endpoint: Path, address: str, client: str = "127.0.0.1", login: str | None = None
) -> Signature | None:
    """The signature that OpenDKIM adds to mail from *address*."""
    message = f"From: Ann <{address}>\r\nTo: x@y.example\r\nSubject: hi\r\n\r\nHello\r\n"
    with MilterConnection(f"unix:{endpoint}", client=client) as connection:
        sent = connection.send("a@b.example", ["x@y.example"], message.encode(), login=login)
    values = [
        each.value
        for each in sent.answer.modifications
        if isinstance(each, InsertHeader) and each.name == b"DKIM-Signature"
    ]
    if not values:
        return None
    assert len(values) == 1
    tags = {name.decode(): value.strip().decode() for name, value in TAG.findall(values[0])}
    identity = tags.get("i", "").rpartition("@")[2]
    return Signature(tags["d"].lower(), tags["s"], identity.lower())


def predicted_by(
    signer: TableSigner, address: str, client: str = "127.0.0.1", login: str | None = None
) -> Signature | None:
    """The signature that alignd counts on."""
    message = Message(
        "a@b.example",
        (),
        (HeaderField("From", f"Ann <{address}>".encode()),),
        ip_address(client),
        login or "",
    )
    planned = signer.signatures_for(author_of(address), message)
    if not planned or planned[0].obstacle:
        return None
    assert len(planned) == 1
    identity = planned[0].identity_domain
    return Signature(
        planned[0].domain.name, planned[0].selector, identity.name if identity else ""
    )


@pytest.fixture(scope="module")
def usual(workshop: Workshop) -> Iterator[tuple[TableSigner, Path]]:
    """Alignd's signer and an OpenDKIM, with defaults and a usual table."""
    drawn = usual_tables(workshop)
    signer = workshop.signer(drawn)
    with workshop.opendkim(drawn, name="usual") as endpoint:
        yield signer, endpoint


def usual_tables(workshop: Workshop) -> Drawn:
    keys = f"one mycompany.com:s1:{workshop.directory}/good.pem\n".encode()
    return Drawn(TABLE, keys, "refile", "file", (ANN,))


@pytest.mark.parametrize(
    ("client", "login", "signed"),
    [
        pytest.param("127.0.0.1", None, True, id="loopback"),
        pytest.param("::1", None, True, id="loopback-over-ipv6"),
        pytest.param("127.0.0.2", None, False, id="another-address-of-the-loopback"),
        pytest.param("203.0.113.9", None, False, id="elsewhere"),
        pytest.param("2001:db8::9", None, False, id="elsewhere-over-ipv6"),
        pytest.param("203.0.113.9", "ann", True, id="elsewhere-with-login"),
    ],
)
def test_the_clients_that_opendkim_signs_for_by_default(
    usual: tuple[TableSigner, Path], client: str, login: str | None, signed: bool
) -> None:
    signer, endpoint = usual

    made = made_by(endpoint, ANN, client, login)

    assert made == predicted_by(signer, ANN, client, login)
    assert bool(made) == signed


@pytest.mark.parametrize(
    ("settings", "what"),
    [
        pytest.param("", "signed", id="defaults"),
        pytest.param("Mode v", "unsigned", id="it-only-verifies"),
        pytest.param("PeerList 127.0.0.1", "unsigned", id="the-client-is-a-peer"),
        pytest.param("InternalHosts 203.0.113.0/24", "unsigned", id="without-the-loopback"),
        pytest.param("DontSignMailTo x@y.example", "unsigned", id="not-for-this-recipient"),
        pytest.param("ExemptDomains mycompany.com", "unsigned", id="not-for-this-author"),
        pytest.param("SenderHeaders Sender,From", "unsigned", id="by-another-field"),
        pytest.param("RequireSafeKeys yes", "refused", id="a-key-that-others-may-read"),
        pytest.param("MaximumHeaders 50", "refused", id="a-longer-header"),
        pytest.param("MultipleSignatures yes", "signed", id="with-every-match"),
        pytest.param("SubDomains yes", "signed", id="of-no-use-with-tables"),
    ],
)
def test_the_settings_that_keep_opendkim_from_signing(
    workshop: Workshop, settings: str, what: str
) -> None:
    drawn = usual_tables(workshop)
    workshop.signer(drawn)
    header = f"From: Ann <{ANN}>\r\nSender: bob@other.com\r\nSubject: a long one, really\r\n"

    with (
        workshop.opendkim(drawn, f"{settings}\n") as endpoint,
        MilterConnection(f"unix:{endpoint}") as connection,
    ):
        sent = connection.send("a@b.example", ["x@y.example"], f"{header}\r\nHi\r\n".encode())

    added = b"DKIM-Signature:" in sent.message
    assert ("signed" if added else "unsigned" if sent.accepted else "refused") == what


def test_tables_that_are_drawn_at_random(workshop: Workshop) -> None:
    draw, seen = random.Random(SEED), Counter[str]()
    for number in range(TABLES):
        drawn = draw_tables(draw, workshop.key_files)
        signer = workshop.signer(drawn)
        try:
            with workshop.opendkim(drawn) as endpoint:
                for address in drawn.authors:
                    expected = predicted_by(signer, address)
                    try:
                        made = made_by(endpoint, address)
                    except ConnectionError:  # it falls over an entry without a value
                        assert expected is None, (number, address, drawn)
                        seen["messages that OpenDKIM does not survive"] += 1
                        break
                    assert expected in {None, made}, (number, address, drawn)
                    seen[f"signed {made is not None}, predicted {expected is not None}"] += 1
        except StartError:
            seen["tables with which OpenDKIM does not start"] += 1
    print(dict(seen))

    right, needless = seen["signed True, predicted True"], seen["signed True, predicted False"]
    assert right > 2 * needless, seen
    assert seen["signed False, predicted False"], seen
