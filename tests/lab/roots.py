"""Makes the root file systems of Debian's releases that tests boot, and keeps them for later."""

import hashlib
import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

CACHE = Path(os.environ.get("ALIGND_ROOTS", "/var/cache/alignd/roots"))
ARCHIVE = os.environ.get("ALIGND_DEBIAN", "http://deb.debian.org/debian")
PACKAGES = (
    *("systemd-sysv", "dbus", "iproute2"),
    *("postfix", "opendkim", "opendkim-tools", "openssl"),
    *("python3", "libmilter1.0.1", "adduser"),
)
"""What a relay has before alignd comes, and what the package of alignd depends on."""
PROGRAMS = ("debootstrap", "systemd-nspawn", "nsenter", "unshare", "dpkg-deb")

# Asked by the scripts of packages whether services may start, which in a chroot none may.
_POLICY = "#!/bin/sh\nexit 101\n"
_ANSWERS = """\
postfix postfix/main_mailer_type select Internet Site
postfix postfix/mailname string smtp2.easyredmine.com
"""


@dataclass(frozen=True, slots=True)
class Release:
    """A release of Debian."""

    name: str
    number: int

    @property
    def postfix_unit(self) -> str:
        """The one that is Postfix: on Debian 12, postfix.service is /bin/true."""
        return "postfix@-.service" if self.number <= 12 else "postfix.service"


RELEASES = (Release("bookworm", 12), Release("trixie", 13))


def root_of(release: Release) -> Path:
    """The root of *release*, which is made if there is none: that takes one or two minutes."""
    recipe = "\n".join((ARCHIVE, *PACKAGES, _ANSWERS))
    made = CACHE / f"{release.name}-{hashlib.sha256(recipe.encode()).hexdigest()[:8]}"
    if not made.exists():
        CACHE.mkdir(parents=True, exist_ok=True)
        for old in CACHE.glob(f"{release.name}-*"):
            shutil.rmtree(old)
        unfinished = CACHE / f"{release.name}.{os.getpid()}"
        try:
            _make(release, unfinished)
            unfinished.rename(made)
        finally:
            shutil.rmtree(unfinished, ignore_errors=True)
    return made


def _make(release: Release, root: Path) -> None:
    _run("debootstrap", "--variant=minbase", release.name, str(root), ARCHIVE)
    policy = root / "usr/sbin/policy-rc.d"
    policy.write_text(_POLICY)
    policy.chmod(0o755)
    install = "apt-get -q -o DPkg::Use-Pty=0 install --yes --no-install-recommends"
    steps = f"debconf-set-selections && {install} {' '.join(PACKAGES)} && apt-get clean"
    _run("chroot", str(root), "sh", "-c", steps, said=_ANSWERS)
    policy.unlink()
    (root / "etc/machine-id").write_text("")
    (root / "etc/hostname").write_text("smtp2\n")
    # The tests answer, inside.
    (root / "etc/resolv.conf").unlink(missing_ok=True)
    (root / "etc/resolv.conf").write_text("nameserver 127.0.0.1\n")


def _run(*command: str, said: str = "") -> None:
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive", "LC_ALL": "C.UTF-8"}
    done = subprocess.run(
        command,
        input=said,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=environment,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)}: {done.returncode}\n{done.stdout[-3000:]}")
