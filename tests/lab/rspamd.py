"""rspamd with what DMARC needs, and what it thinks of a message."""

import json
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

from tests.lab import cast
from tests.lab.processes import run_daemon
from tests.lab.readiness import accepts

FILES = """\
  pidfile = "{directory}/pid";
  control_socket = "{directory}/control.sock";
  cache_file = "{directory}/symbols.cache";
  history_file = "{directory}/history";
  stats_file = "{directory}/stats";
  tempdir = "{directory}";
  hs_cache_dir = "{directory}";
"""
"""Of its options: all that it writes is in one directory."""

_ENDPOINT = ("127.0.0.1", 11333)
_START = 120  # seconds: it compiles thousands of suffixes first
_PATIENCE = 60  # seconds
# No caches: the zone is another one for the next message.
_CONFIGURATION = (
    "options {{\n"
    + FILES
    + """\
  url_tld = "{suffixes}";
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


@dataclass(frozen=True, slots=True)
class Opinion:
    """The symbols that rspamd gives a message, with their options."""

    symbols: dict[str, list[str]]

    def dmarc(self) -> str:
        """Its symbol for DMARC and the domain that it judged."""
        for name, options in self.symbols.items():
            if name.startswith("DMARC_"):
                return " ".join([name, *options[:1]])
        return ""


@contextmanager
def run_rspamd(directory: Path, nameserver: str, suffixes: Path) -> Iterator[None]:
    """Run it in *directory*, which it makes."""
    directory.mkdir()
    shutil.chown(directory, "_rspamd", "_rspamd")
    host, port = _ENDPOINT
    configuration = directory / "rspamd.conf"
    configuration.write_text(
        _CONFIGURATION.format(
            directory=directory, suffixes=suffixes, nameserver=nameserver, host=host, port=port
        )
    )
    user = ("-u", "_rspamd", "-g", "_rspamd")
    command: list[str | Path] = ["rspamd", "-f", *user, "-c", configuration]
    with run_daemon(command, directory / "rspamd.log", lambda: accepts(_ENDPOINT), _START):
        yield


def ask(message: bytes, source: str, envelope_sender: str, recipients: Sequence[str]) -> Opinion:
    """Have *message* judged as if the receiver got it from *source* in this envelope."""
    connection = HTTPConnection(*_ENDPOINT, timeout=_PATIENCE)
    connection.putrequest("POST", "/checkv2")
    headers = [
        ("Content-Length", str(len(message))),
        ("IP", source),
        ("Helo", cast.RELAY),
        ("From", f"<{envelope_sender}>"),
        ("MTA-Name", cast.RECEIVER),
        *(("Rcpt", f"<{recipient}>") for recipient in recipients),
    ]
    for name, value in headers:
        connection.putheader(name, value.encode())
    connection.endheaders(message)
    answer: dict[str, Any] = json.load(connection.getresponse())
    connection.close()
    symbols = {name: symbol.get("options", []) for name, symbol in answer["symbols"].items()}
    return Opinion(symbols)
