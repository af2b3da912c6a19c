"""The public suffix list for receivers, with what their names are about."""

import re
from pathlib import Path

PUBLIC_SUFFIX_LIST = Path("/usr/share/publicsuffix/public_suffix_list.dat")

_LABEL = re.compile(r"\.([a-z][a-z0-9-]*)", re.IGNORECASE)


def write_suffixes(path: Path, text: str) -> None:
    """Write the suffixes below all top-level domains that names in *text* may have.

    rspamd compiles what it is given, the whole list in fifteen seconds. The domains of tests are
    below "example", which is in no list.
    """
    wanted = {label.lower() for label in _LABEL.findall(text)}
    lines = PUBLIC_SUFFIX_LIST.read_text(encoding="utf-8").splitlines()
    kept = [line for line in lines if line.rpartition(".")[2] in wanted]
    path.write_text("\n".join([*kept, "example", ""]), encoding="utf-8")
