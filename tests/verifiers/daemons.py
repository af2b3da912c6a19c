"""Responsible for the programs that sign and judge: OpenDKIM, OpenDMARC and rspamd.

The zone is another one for the next case, so none of them may keep an answer: rspamd's caches are
off, and OpenDKIM's libunbound keeps no answer with a TTL of 0.
"""

import shutil
from pathlib import Path

from demo.daemons import OPENDMARC, PUBLIC_SUFFIX_LIST, VERIFIER
from demo.process import accepts, start_daemon
from tests.verifiers import places
from tests.verifiers.signing import Tables

RSPAMD_ENDPOINT = ("127.0.0.1", 11333)

# RequireSafeKeys: the key lies where every daemon, whoever it runs as, makes its socket.
_OPENDKIM = """\
Background no
Syslog yes
UserID opendkim
UMask 000
Socket local:{socket}
Nameservers {nameserver}
RequireSafeKeys no
MaximumHeaders 0
"""

_SIGNER = """\
Mode s
SigningTable refile:{signing}
KeyTable {keys}
InternalHosts {everybody}
"""

RSPAMD_FILES = """\
  pidfile = "{directory}/pid";
  control_socket = "{directory}/control.sock";
  cache_file = "{directory}/symbols.cache";
  history_file = "{directory}/history";
  stats_file = "{directory}/stats";
  tempdir = "{directory}";
  hs_cache_dir = "{directory}";
"""
"""Of its options: all that it writes is in one directory."""
_RSPAMD = (
    "options {{\n"
    + RSPAMD_FILES
    + """\
  url_tld = "{public_suffix_list}";
  filters = "dkim";
  dns {{ nameserver = ["{nameserver}:53:1"]; timeout = 1s; retransmits = 2; }}
}}
logging {{ type = "console"; level = "info"; }}
worker "normal" {{ bind_socket = "{host}:{port}"; count = 1; mime = true; }}
modules {{ path = "$PLUGINSDIR"; }}
spf {{ spf_cache_size = 0; }}
dkim {{ dkim_cache_size = 0; }}
dmarc {{ }}
"""
)


class Daemons:
    """Starts them, each with files of its own below *directory*, which everybody may write to."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        # Two lists of hosts, for options whose default is the loopback.
        self._nobody = self._write("nobody", "192.0.2.1\n")
        self._everybody = self._write("everybody", "0.0.0.0/0\n::/0\n")
        # Cases have domains below "example", which is in no list of suffixes.
        suffixes = Path(PUBLIC_SUFFIX_LIST).read_text(encoding="utf-8") + "\nexample\n"
        self._suffixes = self._write("suffixes", suffixes)

    def start_signer(self, name: str, tables: Tables) -> Path:
        """Start an OpenDKIM of the relay that signs by *tables*, and return its socket."""
        settings = _SIGNER.format(
            signing=self._write(f"{name}.signing", tables.signing),
            keys=self._write(f"{name}.keys", tables.keys),
            everybody=self._everybody,
        )
        return self._start_opendkim(name, settings)

    def start_verifier(self) -> Path:
        """Start the receiver's OpenDKIM and return its socket."""
        settings = VERIFIER.format(authserv_id=places.RECEIVER, nobody=self._nobody)
        return self._start_opendkim("verifier", settings)

    def start_opendmarc(self) -> Path:
        """Start the receiver's OpenDMARC, which also checks SPF, and return its socket."""
        endpoint = self._directory / "opendmarc.sock"
        settings = OPENDMARC.format(
            socket=endpoint,
            authserv_id=places.RECEIVER,
            public_suffix_list=self._suffixes,
            nobody=self._nobody,
        )
        configuration = self._write("opendmarc.conf", settings)
        self._start(["opendmarc", "-f", "-c", configuration], endpoint)
        return endpoint

    def start_rspamd(self) -> None:
        """Start rspamd with what DMARC needs, and nothing else."""
        directory = self._directory / "rspamd"
        directory.mkdir()
        shutil.chown(directory, "_rspamd", "_rspamd")
        host, port = RSPAMD_ENDPOINT
        settings = _RSPAMD.format(
            directory=directory,
            public_suffix_list=self._suffixes,
            nameserver=places.NAMESERVER,
            host=host,
            port=port,
        )
        configuration = self._write("rspamd.conf", settings)
        user = ("-u", "_rspamd", "-g", "_rspamd")
        self._start(["rspamd", "-f", *user, "-c", configuration], RSPAMD_ENDPOINT)

    def _start_opendkim(self, name: str, settings: str) -> Path:
        endpoint = self._directory / f"{name}.sock"
        common = _OPENDKIM.format(socket=endpoint, nameserver=places.NAMESERVER)
        configuration = self._write(f"{name}.conf", common + settings)
        self._start(["opendkim", "-f", "-x", configuration], endpoint)
        return endpoint

    def _start(self, command: list[str | Path], endpoint: Path | tuple[str, int]) -> None:
        log = self._directory / f"{command[0]}.log"
        start_daemon(command, log, lambda: accepts(endpoint))

    def _write(self, name: str, text: str) -> Path:
        path = self._directory / name
        path.write_text(text, encoding="utf-8")
        return path
