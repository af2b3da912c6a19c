"""Starts the programs around Postfix: the DNS server, OpenDKIM, OpenDMARC and alignd."""

from __future__ import annotations

import shutil
import socket
import subprocess
import sys
from pathlib import Path

from demo.process import accepts, start_daemon
from tests.lab import cast

SELECTOR = "easy1"
PUBLIC_SUFFIX_LIST = "/usr/share/publicsuffix/public_suffix_list.dat"

UNBOUND = """\
server:
  directory: "{directory}"
  chroot: ""
  username: ""
  pidfile: ""
  interface: {nameserver}
  access-control: 0.0.0.0/0 allow
  use-syslog: no
  do-ip6: no
  module-config: "iterator"
  unblock-lan-zones: yes
auth-zone:
  name: "."
  zonefile: "{zone}"
  for-downstream: no
  for-upstream: yes
  fallback-enabled: no
remote-control:
  control-enable: no
"""

# RequireSafeKeys: the key lies where every daemon, whoever it runs as, makes its socket.
OPENDKIM = """\
Background no
Syslog yes
SyslogSuccess yes
UserID opendkim
UMask 000
Socket local:{socket}
Nameservers {nameserver}
RequireSafeKeys no
"""

SIGNER = """\
Mode s
Domain {domain}
Selector {selector}
KeyFile {key}
InternalHosts {everybody}
"""

VERIFIER = """\
Mode v
AuthservID {authserv_id}
AlwaysAddARHeader yes
InternalHosts {nobody}
"""

# SPFSelfValidate: by libspf2. The other choice, pyspf-milter, evaluates with the library that
# alignd evaluates with, and so could only repeat its mistakes.
OPENDMARC = """\
Background false
Syslog true
UserID opendmarc
UMask 000
Socket local:{socket}
AuthservID {authserv_id}
TrustedAuthservIDs {authserv_id}
PublicSuffixList {public_suffix_list}
IgnoreHosts {nobody}
SPFIgnoreResults true
SPFSelfValidate true
RejectFailures true
"""

ALIGND = """\
[milter]
socket = "unix:{socket}"

[relay]
hostname = "{hostname}"
addresses = ["{ipv4}", "{ipv6}"]
spf_include = "{spf_include}"

[notifications]
address = "{notifications}"
display_name = "{{name}} via Easy Helpdesk"
envelope_sender = "{bounces}"

[helpdesk]
networks = ["{helpdesk}"]

[metrics]
listen = ""
"""


def make_signing_key(directory: Path) -> str:
    """Leave the signer's private key in *directory* and return its public DNS record."""
    command = ["opendkim-genkey", "--append-domain", "--bits=2048", f"--directory={directory}"]
    owner = (f"--domain={cast.NOTIFICATIONS_DOMAIN}", f"--selector={SELECTOR}")
    subprocess.run([*command, *owner], check=True)
    return (directory / f"{SELECTOR}.txt").read_text()


def start_nameserver(directory: Path, zone: str) -> None:
    """Serve *zone* as the root of the DNS, with all recursion that a resolver does."""
    zone_file = directory / "root.zone"
    zone_file.write_text(zone)
    configuration = directory / "unbound.conf"
    configuration.write_text(
        UNBOUND.format(directory=directory, nameserver=cast.NAMESERVER, zone=zone_file)
    )
    # A copy: Debian's AppArmor profile keeps /usr/sbin/unbound away from our files.
    unbound = shutil.copy(shutil.which("unbound") or "unbound", directory / "unbound")
    start_daemon(
        [unbound, "-d", "-c", configuration],
        directory / "unbound.log",
        lambda: accepts((cast.NAMESERVER, 53)),
    )


def start_signer(directory: Path) -> Path:
    """Start the relay's OpenDKIM and return its socket."""
    everybody = _write(directory / "everybody", "0.0.0.0/0\n::/0\n")
    key = directory / f"{SELECTOR}.private"
    shutil.chown(key, "opendkim")
    settings = SIGNER.format(
        domain=cast.NOTIFICATIONS_DOMAIN, selector=SELECTOR, key=key, everybody=everybody
    )
    return _start_opendkim("signer", settings, directory)


def start_verifier(directory: Path) -> Path:
    """Start the receiver's OpenDKIM and return its socket."""
    settings = VERIFIER.format(authserv_id=cast.RECEIVER, nobody=_nobody(directory))
    return _start_opendkim("verifier", settings, directory)


def start_dmarc(directory: Path) -> Path:
    """Start the receiver's OpenDMARC, which also checks SPF, and return its socket."""
    endpoint = directory / "opendmarc.sock"
    settings = OPENDMARC.format(
        socket=endpoint,
        authserv_id=cast.RECEIVER,
        public_suffix_list=PUBLIC_SUFFIX_LIST,
        nobody=_nobody(directory),
    )
    configuration = _write(directory / "opendmarc.conf", settings)
    start_daemon(
        ["opendmarc", "-f", "-c", configuration],
        directory / "opendmarc.log",
        lambda: accepts(endpoint),
    )
    return endpoint


def start_alignd(directory: Path) -> Path:
    """Start alignd as systemd would, wait until it says that it is ready, return its socket."""
    endpoint = directory / "alignd.sock"
    settings = ALIGND.format(
        socket=endpoint,
        hostname=cast.RELAY,
        ipv4=cast.RELAY_IPV4,
        ipv6=cast.RELAY_IPV6,
        spf_include=cast.SPF_INCLUDE,
        notifications=cast.NOTIFICATIONS_ADDRESS,
        bounces=cast.NOTIFICATIONS_BOUNCES,
        helpdesk=cast.HELPDESK_NETWORK,
    )
    configuration = _write(directory / "alignd.conf", settings)
    command = (sys.executable, "-m", "alignd", "serve", "--config", configuration)
    notifications = directory / "notify.sock"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as service_manager:
        service_manager.bind(str(notifications))
        service_manager.setblocking(False)
        start_daemon(
            command,
            directory / "alignd.log",
            lambda: _says_ready(service_manager),
            {"NOTIFY_SOCKET": str(notifications)},
        )
    return endpoint


def _says_ready(service_manager: socket.socket) -> bool:
    try:
        return b"READY=1" in service_manager.recv(4096).splitlines()
    except BlockingIOError:
        return False


def _start_opendkim(name: str, settings: str, directory: Path) -> Path:
    endpoint = directory / f"{name}.sock"
    common = OPENDKIM.format(socket=endpoint, nameserver=cast.NAMESERVER)
    configuration = _write(directory / f"{name}.conf", common + settings)
    start_daemon(
        ["opendkim", "-f", "-x", configuration],
        directory / f"{name}.log",
        lambda: accepts(endpoint),
    )
    return endpoint


def _nobody(directory: Path) -> Path:
    """Return a list of hosts without anybody, for options whose default is the loopback."""
    return _write(directory / "nobody", "192.0.2.1\n")


def _write(path: Path, text: str) -> Path:
    path.write_text(text)
    return path
