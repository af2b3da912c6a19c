"""All manual pages."""

import configparser
from pathlib import Path

from alignd.cli.main import main
from tools.man.configuration import configuration_page
from tools.man.program import program_page
from tools.man.words import reasons_page

ROOT = Path(__file__).parents[2]
_DATE = "November 24, 2026"


def pages() -> dict[str, str]:
    """Every manual page, by the name of its file."""
    setup = configparser.ConfigParser()
    setup.read(ROOT / "setup.cfg")
    release = f"alignd {setup['metadata']['version']}"
    conf = ROOT / "conf/alignd.conf"
    return {
        "alignd.8": program_page(main, date=_DATE, release=release),
        "alignd.conf.5": configuration_page(conf, date=_DATE, release=release),
        "alignd-reasons.7": reasons_page(date=_DATE, release=release),
    }
