"""An /etc for one command, in which a test may replace files while the command runs."""

from collections.abc import Sequence
from pathlib import Path


class PrivateEtc:
    """The machine's /etc, but for the files that are put into *directory* / "etc"."""

    def __init__(self, directory: Path) -> None:
        self._machines = directory / "machine-etc"
        self._machines.mkdir()
        self.path = directory / "etc"
        self.path.mkdir()
        for each in Path("/etc").iterdir():
            (self.path / each.name).symlink_to(self._machines / each.name)
        self.resolv_conf.unlink(missing_ok=True)

    @property
    def resolv_conf(self) -> Path:
        return self.path / "resolv.conf"

    @property
    def under(self) -> Sequence[str]:
        """What runs a command in a mount namespace that has it."""
        script = 'mount --bind /etc "$1"; mount --bind "$2" /etc; shift 2; exec "$@"'
        places = (str(self._machines), str(self.path))
        return ("unshare", "--mount", "--", "sh", "-ec", script, "sh", *places)
