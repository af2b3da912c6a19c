"""The machine that a figure was measured on, and the versions of what ran."""

import os
import platform
import subprocess
from configparser import ConfigParser
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

from tests.lab.places import ROOT


def described() -> str:
    """Return lines of a Markdown list: date, machine, system, versions."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    setup = ConfigParser()
    setup.read(ROOT / "setup.cfg")
    postfix = subprocess.run(
        ["postconf", "-dh", "mail_version"], capture_output=True, text=True, check=True
    )
    system = platform.freedesktop_os_release()["PRETTY_NAME"]
    facts = {
        "Date": f"{datetime.now(UTC):%Y-%m-%d}",
        "Machine": f"{len(os.sched_getaffinity(0))} cores of {_processor()}, {memory:.0f} GiB",
        "System": f"{system}, Linux {platform.release()}",
        "Versions": f"alignd {setup['metadata']['version']}, Python {platform.python_version()}, "
        f"Postfix {postfix.stdout.strip()}, pymilter {version('pymilter')}",
    }
    return "".join(f"* {name}: {text}\n" for name, text in facts.items())


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(": ")[2]
    return platform.machine()
