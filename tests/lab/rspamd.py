"""rspamd with what DMARC needs, what it thinks of a message, and the reports that it sends."""

import json
import os
import shutil
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

from tests.lab import cast
from tests.lab.processes import run_daemon
from tests.lab.readiness import accepts
from tests.lab.stepped_clock import SteppedClock

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
_DAY = 86_400
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
dmarc {{ {reporting} }}
{milter}
"""
)
# The milter scans by itself: what is asked of the other worker is in no report.
_MILTER = """worker "rspamd_proxy" {{
  bind_socket = "{host}:{port}";
  milter = true; timeout = 30s; count = 1;
  upstream "local" {{ default = true; self_scan = true; }}
}}
redis {{ servers = "{redis}"; }}
"""
_REPORTING = """reporting {{
  enabled = true;
  email = "noreply-dmarc@{domain}"; domain = "{domain}"; org_name = "{domain}";
  smtp = "{smtp_host}"; smtp_port = {smtp_port};
}}
"""
_MILTER_ENDPOINT, _REDIS = ("127.0.0.1", 11332), ("127.0.0.1", 6379)
MILTER = "inet:{}:{}".format(*_MILTER_ENDPOINT)
"""Where Postfix finds the milter of one that reports."""


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


@dataclass(frozen=True, slots=True)
class Reporting:
    """Who reports, and the SMTP server that reports go to."""

    domain: str
    smtp: tuple[str, int]

    def sections(self) -> dict[str, str]:
        """Parts of the configuration."""
        host, port = self.smtp
        redis = "{}:{}".format(*_REDIS)
        milter_host, milter_port = _MILTER_ENDPOINT
        return {
            "reporting": _REPORTING.format(domain=self.domain, smtp_host=host, smtp_port=port),
            "milter": _MILTER.format(host=milter_host, port=milter_port, redis=redis),
        }


@contextmanager
def run_rspamd(
    directory: Path, nameserver: str, suffixes: Path, reporting: Reporting | None = None
) -> Iterator[None]:
    """Run it in *directory*, which it makes; with *reporting*, its Redis has to run."""
    directory.mkdir()
    shutil.chown(directory, "_rspamd", "_rspamd")
    host, port = _ENDPOINT
    sections = reporting.sections() if reporting else {"reporting": "", "milter": ""}
    _configuration(directory).write_text(
        _CONFIGURATION.format(
            directory=directory,
            suffixes=suffixes,
            nameserver=nameserver,
            host=host,
            port=port,
            **sections,
        )
    )
    user = ("-u", "_rspamd", "-g", "_rspamd")
    command: list[str | Path] = ["rspamd", "-f", *user, "-c", _configuration(directory)]
    endpoints = [_ENDPOINT, *([_MILTER_ENDPOINT] if reporting else [])]
    log = directory / "rspamd.log"
    with run_daemon(command, log, lambda: all(map(accepts, endpoints)), _START):
        yield


@contextmanager
def run_redis(directory: Path) -> Iterator[None]:
    """Run the Redis in which rspamd keeps what it reports, in memory alone."""
    host, port = _REDIS
    command: list[str | Path] = ["redis-server", "--bind", host, "--port", str(port)]
    options = ("--save", "", "--appendonly", "no", "--dir", str(directory))
    log = directory / "redis.log"
    with run_daemon([*command, *options], log, lambda: accepts(_REDIS)):
        yield


def send_reports(directory: Path, since: float, clock: SteppedClock) -> str:
    """Have all reports sent of what has come *since*, as it is done the day after.

    It returns what is said of it. Days are those of the local time; *clock* is left a day ahead.
    """
    clock.step(_DAY)
    days = {time.strftime("%Y%m%d", time.localtime(each)) for each in (since, time.time())}
    command = ["rspamadm", "dmarc_report", "-c", str(_configuration(directory)), *sorted(days)]
    done = subprocess.run(
        command,
        env={**os.environ, **clock.environment},
        capture_output=True,
        text=True,
        timeout=_PATIENCE,
        check=True,
    )
    return done.stdout + done.stderr


def _configuration(directory: Path) -> Path:
    return directory / "rspamd.conf"


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
