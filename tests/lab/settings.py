"""Responsible for the configuration and the zone that all cases share, and what a case changes."""

import tomllib
from collections.abc import Mapping
from string import Template

import tomli_w

_CONFIG = Template("""\
[milter]
socket = "$socket"
workers = 1

[relay]
hostname = "smtp2.easyredmine.com"
addresses = ["192.0.2.25", "2001:db8::25"]
spf_include = "spf.mailing.easy.cz"

[notifications]
address = "helpdesk@notifications.easysoftware.com"
display_name = "{name} via Easy Helpdesk"
envelope_sender = "bounces@notifications.easysoftware.com"

[dns]
nameservers = ["$nameserver"]
min_ttl = "0s"
stale = "0s"

[metrics]
listen = ""
""")

_ZONE = """\
spf.mailing.easy.cz.                   TXT "v=spf1 ip4:192.0.2.25 ip6:2001:db8::25 -all"
notifications.easysoftware.com.        TXT "v=spf1 include:spf.mailing.easy.cz -all"
_dmarc.notifications.easysoftware.com. TXT "v=DMARC1; p=reject"
smtp2.easyredmine.com.                 A 192.0.2.25
"""


def configuration(
    changes: str = "",
    *,
    socket: str = "unix:/run/alignd/alignd.sock",
    nameserver: str = "127.0.0.1:53",
) -> str:
    """Return the configuration with the options of *changes* (TOML) laid over it."""
    general = tomllib.loads(_CONFIG.substitute(socket=socket, nameserver=nameserver))
    return tomli_w.dumps(_merged(general, tomllib.loads(changes)))


def world(zone: str) -> str:
    """Return *zone* with the records of the relay and of the notifications domain.

    Names that *zone* has records of are left to it.
    """
    own = {_owner(line) for line in zone.splitlines()}
    return zone + "".join(f"{line}\n" for line in _ZONE.splitlines() if _owner(line) not in own)


def _owner(record: str) -> str:
    return record.partition(" ")[0].lower()


def _merged(general: Mapping[str, object], changes: Mapping[str, object]) -> dict[str, object]:
    merged = dict(general)
    for name, value in changes.items():
        old = general.get(name)
        if isinstance(old, dict) and isinstance(value, dict):
            merged[name] = _merged(old, value)
        else:
            merged[name] = value
    return merged
