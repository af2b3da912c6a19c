"""Sets up a relay that is right, in each layout, and plants faults in it."""

import os
import socket
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path

from click.testing import CliRunner

from alignd.cli.main import main as main_command
from alignd.config.endpoint import Endpoint
from alignd.postfix.layouts import Layout, LayoutParameters, lines
from tests.lab import postfix
from tests.lab.settings import configuration
from tests.support.commandline import CommandLine, Outcome

ZONE = """\
spf.mailing.easy.cz. TXT "v=spf1 ip4:192.0.2.25 ip6:2001:db8::25 -all"
notifications.easysoftware.com. MX 10 mx.easysoftware.com.
notifications.easysoftware.com. TXT "v=spf1 include:spf.mailing.easy.cz -all"
_dmarc.notifications.easysoftware.com. TXT "v=DMARC1; p=none"
smtp2.easyredmine.com. A 192.0.2.25
smtp2.easyredmine.com. AAAA 2001:db8::25
smtp2.easyredmine.com. TXT "v=spf1 ip4:192.0.2.25 ip6:2001:db8::25 -all"
mx25.easyredmine.com. A 192.0.2.25
mx25.easyredmine.com. AAAA 2001:db8::25
25.2.0.192.in-addr.arpa. PTR mx25.easyredmine.com.
$ORIGIN 0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa.
5.2.0.0.0.0.0.0.0.0.0.0.0.0.0.0 PTR mx25.easyredmine.com.
"""
SETTINGS = """\
smtp_bind_address = 192.0.2.25
smtp_bind_address6 = 2001:db8::25
relayhost =
"""
INLINE_FOR_ALL = "inline-for-all"
INLINE_FOR_SUBMISSION = "inline-for-submission"
QUEUE_FIRST = "queue-first"
SIGNER_SOCKET = "queue/opendkim/opendkim.sock"
LAYOUTS = (INLINE_FOR_ALL, INLINE_FOR_SUBMISSION, QUEUE_FIRST)

_LONG_AGO = 1_000_000_000
# What the lines for all listeners need to be worth anything.
_LISTENER = "smtp inet n - n - - smtpd\n"
_PICKUP = "pickup unix n - n 60 1 pickup\n"


@dataclass(frozen=True, slots=True)
class Fault:
    """What differs from the right relay: in each file, what is replaced by what."""

    main: Mapping[str, str] = field(default_factory=dict)
    master: Mapping[str, str] = field(default_factory=dict)
    zone: Mapping[str, str] = field(default_factory=dict)
    conf: str = ""
    """TOML, laid over alignd.conf."""
    opendkim: str = ""
    """The opendkim.conf of the signer; empty where the signer is no OpenDKIM."""
    options: tuple[str, ...] = ()
    layout: str = INLINE_FOR_ALL
    before: tuple[str, ...] = ()
    """The command by way of which alignd is run."""


@dataclass(frozen=True, slots=True)
class Relay:
    """A configuration of alignd, one of Postfix and a zone, below *directory*."""

    directory: Path
    endpoint: Endpoint
    socket: str
    """The same as *endpoint*, in libmilter's words."""
    has_signer: bool = True
    signer_mode: int = 0o666

    def examine(
        self, fault: Fault, *options: str, zone: bool = True, color: bool = False
    ) -> Outcome:
        """Plant *fault* in a right relay, and run `alignd doctor` on it.

        DNS is that of the *zone*, or else that of the configuration; with *color*, it is told
        that it writes to a terminal.
        """
        cli = CommandLine(self.directory)
        cli.write("alignd.conf", configuration(fault.conf, socket=self.socket))
        cli.write("relay.zone", changed(ZONE, fault.zone))
        main, master = self._postfix(fault.layout)
        postfix.configure_relay(self.directory, master, SETTINGS + main)
        for name, changes in (("main.cf", fault.main), ("master.cf", fault.master)):
            path = self.directory / "etc" / name
            path.write_text(changed(path.read_text(), changes))
            # Postfix waits for a file that is as young as that.
            os.utime(path, (_LONG_AGO, _LONG_AGO))
        cli.write("opendkim.conf", fault.opendkim)
        files = {"opendkim-config": "opendkim.conf"} if fault.opendkim else {}
        files |= {"config": "alignd.conf", "postfix-config": "etc", "zone": "relay.zone"}
        if not zone:
            del files["zone"]
        where = [f"--{name}={self.directory / file}" for name, file in files.items()]
        command = ("doctor", *where, *fault.options, *options)
        with self._signer():
            if fault.before:
                return cli.run(*command, before=fault.before)
            done = CliRunner().invoke(main_command, command, color=color)
        assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
        return Outcome(done.exit_code, done.stdout, done.stderr)

    def _signer(self) -> AbstractContextManager[None]:
        """The socket of the signer of the shipped lines."""
        if not self.has_signer:
            return nullcontext()
        return listening_signer(self.directory / SIGNER_SOCKET, self.signer_mode)

    def _postfix(self, layout: str) -> tuple[str, str]:
        """The lines that are right, for main.cf and master.cf."""
        parameters = LayoutParameters(self.endpoint)
        if layout == INLINE_FOR_ALL:
            return lines(Layout.INLINE, "main.cf", parameters), _LISTENER + _PICKUP
        shipped = Layout.QUEUE_FIRST if layout == QUEUE_FIRST else Layout.INLINE
        main = lines(Layout.QUEUE_FIRST, "main.cf", parameters)
        return main, _PICKUP + lines(shipped, "master.cf", parameters)


@contextmanager
def listening_signer(path: Path, mode: int = 0o666) -> Iterator[None]:
    """A socket that takes connections and no more, in the place of a signer's."""
    path.parent.mkdir(exist_ok=True)
    path.unlink(missing_ok=True)
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(path))
        path.chmod(mode)
        listening.listen()
        yield


def changed(text: str, changes: Mapping[str, str]) -> str:
    """*text* with each of *changes* made in it."""
    for old, new in changes.items():
        assert old in text, f"nothing to replace: {old}"
        text = text.replace(old, new)
    return text
