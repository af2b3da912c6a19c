"""A syslog that keeps what OpenDKIM and OpenDMARC say, for when something goes wrong."""

import re
import socket
import threading
from pathlib import Path


def record_syslog(device: Path, log: Path) -> None:
    """Listen at *device* and append what comes to *log*, as long as this process lives."""
    receiver = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    receiver.bind(str(device))
    device.chmod(0o666)
    threading.Thread(target=_record, args=(receiver, log), daemon=True).start()


def _record(receiver: socket.socket, log: Path) -> None:
    with log.open("a", buffering=1) as stream:
        while True:
            text = receiver.recv(65536).decode(errors="replace").rstrip("\0\n")
            stream.write(re.sub(r"^<\d+>", "", text) + "\n")
