"""The smallest configuration file, and the problems of a larger one."""

import re

import pytest

from alignd.config.file import ConfigError, parse_configuration
from tests.lab.places import ROOT

BASE = """\
[relay]
hostname = "smtp2.easyredmine.com"
addresses = ["192.0.2.25", "2001:db8::25"]

[notifications]
address = "helpdesk@notifications.easysoftware.com"
"""


def problems(text: str) -> list[str]:
    """What is wrong with the text, each without the path."""
    with pytest.raises(ConfigError) as caught:
        parse_configuration(text, "alignd.conf")
    lines = str(caught.value).splitlines()
    assert all(line.startswith("alignd.conf:") for line in lines)
    return [line.removeprefix("alignd.conf:") for line in lines]


REQUIRED = {"relay": {"hostname", "addresses"}, "notifications": {"address"}}
"""The options of the shipped configuration that have no default, by table."""


def filled_in() -> str:
    """The shipped configuration, with its examples of the options that have no default."""
    text = (ROOT / "conf/alignd.conf").read_text()
    for name in (name for names in REQUIRED.values() for name in sorted(names)):
        example = re.compile(rf"^# Example: ({name} = .*)\n#{name} = .*$", re.MULTILINE)
        text, count = example.subn(r"\1", text, count=1)
        assert count == 1, name
    return text
