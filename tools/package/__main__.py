"""Prints the copyright file of the package: its own, and of each wheel that it brings.

`python3 -m tools.package OWN WHEELS`: OWN is debian/copyright; packaging/licences has the texts of
wheels that bring none of their own.
"""

import sys
from pathlib import Path

from tools.package.licences import paragraph, read_wheel

_, own, directory = sys.argv
print(Path(own).read_text().rstrip())
for wheel in sorted(Path(directory).glob("*.whl")):
    text = Path("packaging/licences") / f"{wheel.name.partition('-')[0].lower()}.txt"
    known = text.read_text() if text.exists() else ""
    print(f"\n{paragraph(read_wheel(wheel), known).rstrip()}")
