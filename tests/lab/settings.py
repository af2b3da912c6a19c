"""The configuration and the zone that all share, with what one of them changes."""

import tomllib
from collections.abc import Mapping

import tomli_w

from tests.lab import cast
from tests.lab.return_addresses import KEY_FILE

_ZONE = f"""\
{cast.SPF_INCLUDE}. TXT "v=spf1 ip4:{cast.RELAY_IPV4} ip6:{cast.RELAY_IPV6} -all"
{cast.NOTIFICATIONS_DOMAIN}. TXT "v=spf1 include:{cast.SPF_INCLUDE} -all"
_dmarc.{cast.NOTIFICATIONS_DOMAIN}. TXT "v=DMARC1; p=reject"
{cast.RELAY}. A {cast.RELAY_IPV4}
"""


def configuration(
    changes: str = "",
    *,
    socket: str = "unix:/run/alignd/alignd.sock",
    nameserver: str = "127.0.0.1:53",
    keys: str = KEY_FILE,
) -> str:
    """Return the configuration with the options of *changes* (TOML) laid over it.

    Where they name KEY_FILE, it is at *keys*.
    """
    general = {
        "milter": {"socket": socket, "workers": 1},
        "relay": {
            "hostname": cast.RELAY,
            "addresses": list(cast.RELAY_ADDRESSES),
            "spf_include": cast.SPF_INCLUDE,
        },
        "notifications": {
            "address": cast.NOTIFICATIONS,
            "display_name": f"{{name}} {cast.VIA}",
            "envelope_sender": cast.BOUNCES,
        },
        "dns": {"nameservers": [nameserver], "min_ttl": "0s", "stale": "0s"},
        "metrics": {"listen": ""},
    }
    changes = changes.replace(f'"{KEY_FILE}"', f'"{keys}"')
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
