"""OpenDKIM, which signs for the relay and verifies for the receiver, and the relay's key."""

import re
import shutil
import subprocess
import tomllib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.lab import cast
from tests.lab.processes import run_daemon
from tests.lab.readiness import accepts

# RequireSafeKeys: the key lies where every daemon, whoever it runs as, makes its socket.
# MaximumHeaders: by default it refuses headers above 64 KiB, which some cases have.
_COMMON = """\
Background no
Syslog yes
SyslogSuccess yes
UserID opendkim
UMask 000
Socket local:{socket}
Nameservers {nameserver}
RequireSafeKeys no
MaximumHeaders 0
"""
_SIGNER = """\
Mode s
SigningTable {kind}:{signing}
KeyTable {keys}
"""
_VERIFIER = """\
Mode v
AuthservID {authserv_id}
AlwaysAddARHeader yes
"""

# The key files of the tables that cases have. Relative to OpenDKIM's directory, so that alignd,
# which does not know it, takes them to be there.
_KEY_FILE = re.compile(r"\./keys/\S+")
# A case shows the key of the vendor's selector, wherever a customer publishes it.
_PUBLISHED = re.compile(rf'^({cast.SELECTOR}\..*\bp=)MI.*"$', re.MULTILINE)
_ONE_STRING = 255
_OURS = {"domain": cast.NOTIFICATIONS_DOMAIN, "selector": cast.SELECTOR}


@dataclass(frozen=True, slots=True)
class SigningKey:
    """A private key, such as the only one of the relay, and the record that publishes it."""

    path: Path
    record: str
    public: str
    """The value of p=."""

    @classmethod
    def make(
        cls,
        directory: Path,
        domain: str = cast.NOTIFICATIONS_DOMAIN,
        selector: str = cast.SELECTOR,
    ) -> "SigningKey":
        """Make a new key, with its file in *directory*; if nothing else is said, the relay's."""
        command = ["opendkim-genkey", "--append-domain", "--bits=2048", f"--directory={directory}"]
        owner = (f"--domain={domain}", f"--selector={selector}")
        subprocess.run([*command, *owner], check=True)
        path = directory / f"{selector}.private"
        shutil.chown(path, "opendkim")
        record = path.with_suffix(".txt").read_text()
        strings = "".join(re.findall(r'"([^"]*)"', record))
        return cls(path, record, strings.partition("p=")[2])

    def publish(self, zone: str) -> str:
        """Return *zone* with this key at every name that has a key of the vendor's selector."""
        parts = re.findall(f".{{1,{_ONE_STRING // 2}}}", self.public)
        own = re.sub(_PUBLISHED, lambda found: found[1] + '" "'.join(parts) + '"', zone)
        is_there = f"{cast.SELECTOR}._domainkey.{cast.NOTIFICATIONS_DOMAIN}. " in zone
        return own if is_there else f"{own}\n{self.record}"


@dataclass(frozen=True, slots=True)
class Tables:
    """A SigningTable and a KeyTable of OpenDKIM, and the clients that it signs for."""

    signing: str
    keys: str
    kind: str = "refile"
    """Of the SigningTable; "file" is the other."""
    internal_hosts: Sequence[str] = ()
    """None: those that OpenDKIM signs for by default."""

    @classmethod
    def of(cls, config: str, key: Path) -> "Tables":
        """What an OpenDKIM signs that does as `[dkim]` says, and always the notifications."""
        dkim = tomllib.loads(config).get("dkim", {})
        kind, signing, keys = _from_tables(dkim.get("opendkim"))
        for signed in (*dkim.get("signs", ()), _OURS):
            domain, selector = signed["domain"], signed["selector"]
            authors = [domain, f".{domain}"] if signed.get("subdomains") else [domain]
            if kind == "refile":
                authors = [f"*@{'*' * author.startswith('.')}{author}" for author in authors]
            for author in authors:
                signing += f"{author} {domain}:{signed.get('identity', '')}\n"
            keys += f"{domain} {domain}:{selector}:{key}\n"
        keys = re.sub(_KEY_FILE, str(key), keys)
        return cls(signing, keys, kind, dkim.get("internal_hosts", ()))


@contextmanager
def run_signer(directory: Path, name: str, tables: Tables, nameserver: str) -> Iterator[Path]:
    """Run an OpenDKIM that signs by *tables*, and return its socket."""
    signing = _written(directory / f"{name}.signing", tables.signing)
    keys = _written(directory / f"{name}.keys", tables.keys)
    settings = _SIGNER.format(kind=tables.kind, signing=signing, keys=keys)
    if tables.internal_hosts:
        hosts = "".join(f"{host}\n" for host in tables.internal_hosts)
        settings += f"InternalHosts {_written(directory / f'{name}.hosts', hosts)}\n"
    with run_opendkim(directory, name, settings, nameserver) as endpoint:
        yield endpoint


@contextmanager
def run_verifier(directory: Path, authserv_id: str, nameserver: str) -> Iterator[Path]:
    """Run an OpenDKIM that verifies and never signs, and return its socket."""
    settings = _VERIFIER.format(authserv_id=authserv_id)
    with run_opendkim(directory, "verifier", settings, nameserver) as endpoint:
        yield endpoint


@contextmanager
def run_opendkim(directory: Path, name: str, settings: str, nameserver: str) -> Iterator[Path]:
    """Run it with *settings*; it makes its socket in *directory* as a user of its own."""
    endpoint = directory / f"{name}.sock"
    common = _COMMON.format(socket=endpoint, nameserver=nameserver)
    configuration = _written(directory / f"{name}.conf", common + settings)
    command: list[str | Path] = ["opendkim", "-f", "-x", configuration]
    with run_daemon(command, directory / f"{name}.log", lambda: accepts(endpoint)):
        yield endpoint


def _written(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


def _from_tables(opendkim: dict[str, Any] | None) -> tuple[str, str, str]:
    if opendkim is None:
        return "refile", "", ""
    kind, colon, path = opendkim["signing_table"].rpartition(":")
    signing, keys = Path(path).read_text(), Path(opendkim["key_table"]).read_text()
    return kind if colon else "file", signing, keys
