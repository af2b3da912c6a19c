"""Sets up a relay with a way back that is right, in both layouts, and plants faults in it."""

import os
import subprocess
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from click.testing import CliRunner

from alignd.cli.main import main as main_command
from alignd.config.endpoint import parse_endpoint
from alignd.config.file import parse_configuration
from alignd.postfix.layouts import Layout, LayoutParameters, lines
from alignd.postfix.return_layouts import (
    RETURN_FILES,
    SIGNER_FILES,
    TABLES,
    return_lines,
    way_back_of,
)
from tests.lab import postfix
from tests.lab.alignd import Return
from tests.lab.return_addresses import KEY_FILE, write_keys
from tests.lab.settings import configuration
from tests.support.commandline import CommandLine, Outcome
from tests.support.relay import SETTINGS, ZONE, changed, listening_signer

INSTANCE = "192.0.2.26"
"""The address of an instance of its own for what comes back."""
_NAME = "mx.notifications.easysoftware.com"
_RECORDS = f"""\
mx.easysoftware.com. A 192.0.2.25
{_NAME}. A {INSTANCE}
{_NAME}. TXT "v=spf1 a -all"
"""
_SPF = "include:spf.mailing.easy.cz"
ZONE_OF_RETURN = _RECORDS + ZONE.replace(
    f'"v=spf1 {_SPF} -all"', f'"v=spf1 {_SPF} ip4:{INSTANCE} -all"'
).replace(
    "v=DMARC1; p=none", "v=DMARC1; p=none; rua=mailto:dmarc-reports@notifications.easysoftware.com"
)
_LONG_AGO = 1_000_000_000
_PICKUP = "pickup unix n - n 60 1 pickup\n"
_FILES = ("main.cf", "master.cf", *TABLES, *SIGNER_FILES)


@dataclass(frozen=True, slots=True)
class ReturnFault:
    """What differs from a way back that is right: in each file, what is replaced by what."""

    files: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    """Those of the way back: of its Postfix and its signer."""
    sending: Mapping[str, str] = field(default_factory=dict)
    """In main.cf of the Postfix that sends, where it is another one."""
    zone: Mapping[str, str] = field(default_factory=dict)
    conf: str = ""
    """TOML, laid over alignd.conf."""
    options: str = ""
    """The same for [return]."""
    keys: str | None = None
    """The file of keys, if it is another one."""
    layout: Layout = Layout.RETURN


@dataclass(frozen=True, slots=True)
class ReturnRelay:
    """A relay below *directory*, with a real `alignd return`."""

    directory: Path
    outbound: str
    """The socket of `alignd serve`, in the words of Postfix."""
    back: Return

    def configuration(self, fault: ReturnFault) -> str:
        """The text of alignd.conf."""
        own = (
            "[return]\n"
            f'keys = "{KEY_FILE}"\n'
            f'socket = "unix:{self.back.map_path}"\n'
            f'milter = "{self.back.alignd.socket}"\n'
            f'metrics = ""\n{fault.options}\n'
        )
        host, _, port = self.outbound.removeprefix("inet:").rpartition(":")
        socket = self.outbound if self.outbound.startswith("unix:") else f"inet:{port}@{host}"
        keys = str(self.directory / KEY_FILE)
        return configuration(own + fault.conf, socket=socket, keys=keys)

    def examine(self, fault: ReturnFault, *options: str) -> Outcome:
        """Plant *fault* in a right relay, and run `alignd doctor` on it."""
        cli = self.write(fault)
        files = {
            "config": "alignd.conf",
            "zone": "relay.zone",
            "postfix-config": "sending/etc",
            "return-opendkim-config": "opendkim-return.conf",
        }
        where = [f"--{name}={self.directory / file}" for name, file in files.items()]
        back = "back" if fault.layout is Layout.RETURN else "sending"
        sockets = ("sending/queue/opendkim", f"{back}/queue/opendkim-return")
        with ExitStack() as signers:
            for each in sockets:
                path = self.directory / each / "opendkim.sock"
                signers.enter_context(listening_signer(path))
            done = CliRunner().invoke(main_command, ("doctor", *where, *options))
        assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
        assert cli.directory == self.directory
        return Outcome(done.exit_code, done.stdout, done.stderr)

    def write(self, fault: ReturnFault) -> CommandLine:
        """Write all files."""
        cli = CommandLine(self.directory)
        text = self.configuration(fault)
        cli.write("alignd.conf", text)
        cli.write("relay.zone", changed(ZONE_OF_RETURN, fault.zone))
        write_keys(self.directory / KEY_FILE)
        if fault.keys is not None:
            cli.write(KEY_FILE, fault.keys)
        texts = {
            name: changed(each, self._filled(fault.files.get(name, {})))
            for name, each in self._texts(text, fault.layout).items()
        }
        for name in SIGNER_FILES:
            cli.write(name, texts[name])
        apart = fault.layout is Layout.RETURN
        sending = lines(Layout.QUEUE_FIRST, "main.cf", self._parameters(self.outbound))
        own = lines(Layout.INLINE, "master.cf", self._parameters(self.outbound))
        settings = SETTINGS + sending
        if apart:
            settings += f"multi_instance_directories = {self.directory}/back/etc\n"
            self._configure("sending", _PICKUP + own, changed(settings, fault.sending), {})
            listener = "smtp inet n - n - - smtpd\n"
            services = fault.files.get("master.cf", {}).get("", listener)
            self._configure("back", services, texts["main.cf"], texts)
        else:
            services = _PICKUP + own + texts["master.cf"]
            self._configure("sending", services, settings + texts["main.cf"], texts)
        return cli

    def _filled(self, changes: Mapping[str, str]) -> dict[str, str]:
        """*changes* with the places of this relay filled in."""
        places = {
            "{map}": str(self.back.map_path),
            "{outbound}": self.outbound,
            "{queue}": f"{self.directory}/sending/queue",
        }
        for place, text in places.items():
            changes = {old: new.replace(place, text) for old, new in changes.items()}
        return dict(changes)

    def _texts(self, conf: str, layout: Layout) -> dict[str, str]:
        way_back = way_back_of(parse_configuration(conf, "alignd.conf"))
        parameters = self._parameters(self.back.alignd.socket)
        texts = {
            name: return_lines(layout, name, way_back, parameters) for name in RETURN_FILES[layout]
        }
        # Where the tables of the signer are, and what does not run in a chroot here.
        settings = texts["opendkim-return.conf"].replace("/etc/", f"{self.directory}/")
        # This machine does not have the address.
        main = texts["main.cf"].replace(f"inet_interfaces = {INSTANCE}\n", "")
        return texts | {"opendkim-return.conf": settings, "main.cf": main}

    def _parameters(self, socket: str) -> LayoutParameters:
        return LayoutParameters(parse_endpoint(socket))

    def _configure(
        self, name: str, services: str, settings: str, texts: Mapping[str, str]
    ) -> None:
        directory = self.directory / name
        directory.mkdir(exist_ok=True)
        postfix.configure_relay(directory, services, settings)
        for file in TABLES if texts else ():
            path = directory / "etc" / file
            path.write_text(texts[file])
            os.utime(path, (_LONG_AGO, _LONG_AGO))
        if texts:
            table = f"hash:{directory}/etc/return-shared"
            subprocess.run(["postmap", "-c", directory / "etc", table], check=True)
        for file in ("main.cf", "master.cf"):
            # Postfix waits for a file that is as young as that.
            os.utime(directory / "etc" / file, (_LONG_AGO, _LONG_AGO))
