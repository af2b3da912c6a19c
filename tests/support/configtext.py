"""The smallest configuration file, and what is wrong with a larger one."""

import pytest

from alignd.config import file as configfile
from alignd.config.file import ConfigError

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
        configfile.parse(text, "alignd.conf")
    lines = str(caught.value).splitlines()
    assert all(line.startswith("alignd.conf:") for line in lines)
    return [line.removeprefix("alignd.conf:") for line in lines]
