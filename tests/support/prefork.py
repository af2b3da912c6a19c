"""Runs commands of alignd in processes that are forked off one which has imported them all.

An interpreter that starts and imports a command takes half a second of a processor, and a fork a
few milliseconds. The command gets a process, descriptors, directory and end of its own either
way, and nothing happens at an import that it could share with others.
"""

import gc
import json
import os
import runpy
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from tempfile import TemporaryFile

from alignd.cli.main import main

_PATIENCE = 60.0  # seconds that a command may take
_LARGEST = 100_000  # octets of a request


class Prefork:
    """A process to fork from, at the other end of a *connection*."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection

    def run(
        self, arguments: Sequence[str], directory: Path, stdin: bytes
    ) -> tuple[int, bytes, bytes]:
        """Run alignd in *directory*; return its status, standard output and standard error."""
        with ExitStack() as files:
            streams = [files.enter_context(TemporaryFile()) for _ in range(3)]
            streams[0].write(stdin)
            streams[0].seek(0)
            request = json.dumps([str(directory), *arguments]).encode()
            socket.send_fds(self._connection, [request], [each.fileno() for each in streams])
            status = int(self._connection.recv(_LARGEST))
            for each in streams[1:]:
                each.seek(0)
            return status, streams[1].read(), streams[2].read()


@contextmanager
def run_prefork() -> Iterator[Prefork]:
    """Run a process to fork from, until the end of the block."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    ours.settimeout(_PATIENCE)
    with ours, theirs:
        process = subprocess.Popen(
            [sys.executable, "-m", __name__, str(theirs.fileno())],
            env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            pass_fds=[theirs.fileno()],
            start_new_session=True,
        )
        theirs.close()
        try:
            yield Prefork(ours)
        finally:
            # Together with a command that has no end.
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def _become_commands(connection: socket.socket) -> None:
    """Fork a process for each request, and return in those; end when none comes any more."""
    while True:
        data, descriptors, _flags, _address = socket.recv_fds(connection, _LARGEST, maxfds=3)
        if not data:
            sys.exit()
        pid = os.fork()
        if pid == 0:
            for place, descriptor in enumerate(descriptors):
                os.dup2(descriptor, place)
        for descriptor in descriptors:
            os.close(descriptor)
        if pid == 0:
            connection.close()
            directory, *arguments = json.loads(data)
            os.chdir(directory)
            sys.argv[1:] = arguments
            return
        _pid, status = os.waitpid(pid, 0)
        connection.send(str(os.waitstatus_to_exitcode(status)).encode())


if __name__ == "__main__":
    for name in main.commands:
        main.commands[name]
    gc.freeze()  # or each child would copy what it looks through
    _become_commands(socket.socket(fileno=int(sys.argv[1])))
    runpy.run_module("alignd", run_name="__main__")
