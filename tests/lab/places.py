"""Where the files are that tests read."""

from pathlib import Path

ROOT = Path(__file__).parents[2]
"""The checkout."""
CASES = ROOT / "tests/cases"
SNAPSHOTS = ROOT / "tests/snapshots"
DATA = ROOT / "tests/data"
