"""Reads how rspamd signs with rspamadm(1), without changing it."""

from __future__ import annotations

import json
import subprocess

from alignd.doctor.facts import RspamdSigning
from alignd.doctor.findings import Unknown

_COMMAND = ("rspamadm", "configdump", "-j", "dkim_signing")
_TIMEOUT = 60.0  # seconds; it looks names up in DNS


def read_rspamd() -> RspamdSigning | Unknown:
    """Read the settings of its module dkim_signing."""
    try:
        done = subprocess.run(  # noqa: S603
            _COMMAND, capture_output=True, timeout=_TIMEOUT, check=True
        )
        settings = json.loads(done.stdout)
        return RspamdSigning(
            signs_for_other_senders=settings.get("allow_hdrfrom_mismatch") is True,
            signs_for_other_logins=settings.get("allow_username_mismatch") is True,
        )
    except (OSError, subprocess.SubprocessError, ValueError, AttributeError) as error:
        return Unknown(f"what rspamd signs: {' '.join(_COMMAND)}: {error}")
