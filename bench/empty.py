"""The yardstick: a pymilter that does nothing, with the flags and as many workers as alignd has.

Run as `python -m bench.empty unix:/path/of/socket WORKERS [--keep-to-cores]`; TERM ends it.
"""

from __future__ import annotations

import os
import signal
import sys
import threading

import milter

from alignd.mta import listening_socket
from alignd.service.processes.child_process import pin_to_core
from alignd.telemetry.log import MessageLog

_UNANSWERED = (
    milter.P_NR_CONN | milter.P_NR_MAIL | milter.P_NR_RCPT | milter.P_NR_HDR | milter.P_NR_BODY
)
_UNASKED = (
    milter.P_NOHELO | milter.P_NODATA | milter.P_NOEOH | milter.P_NOUNKNOWN | milter.P_NOBODY
)
_STAGES = (
    *(milter.M_CONNECT, milter.M_HELO, milter.M_ENVRCPT),
    *(milter.M_DATA, milter.M_EOH, milter.M_EOM),
)


def _negotiate(context: milter.milterContext, offer: list[int]) -> int:
    for stage in _STAGES:
        context.setsymlist(stage, "i")
    context.setsymlist(milter.M_ENVFROM, "{auth_authen}")
    offer[:] = [offer[0], offer[1] & (_UNANSWERED | _UNASKED | milter.P_HDR_LEADSPC), 0, 0]
    return milter.CONTINUE


def _unanswered(*_: object) -> int:
    return milter.NOREPLY


def _answered(*_: object) -> int:
    return milter.CONTINUE


def main(socket: str, workers: int, *, keeps_to_cores: bool) -> None:
    """Serve until TERM."""
    milter.set_connect_callback(_unanswered)
    milter.set_envfrom_callback(_unanswered)
    milter.set_envrcpt_callback(_unanswered)
    milter.set_header_callback(_unanswered)
    milter.set_body_callback(_unanswered)
    milter.set_eom_callback(_answered)
    milter.set_abort_callback(_answered)
    milter.set_close_callback(_answered)
    milter.register("empty", negotiate=_negotiate)
    milter.setconn(socket)
    milter.opensocket(True)
    listening_socket.share()
    children = []
    for number in range(workers):
        pid = os.fork()
        if pid == 0:
            if keeps_to_cores:
                pin_to_core(number, MessageLog(sys.stderr))
            threading.Thread(target=milter.main, daemon=True).start()
            signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
            while True:
                signal.pause()
        children.append(pid)
    signal.signal(signal.SIGTERM, lambda *_: None)
    signal.pause()
    for pid in children:
        os.kill(pid, signal.SIGTERM)
        os.waitpid(pid, 0)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), keeps_to_cores="--keep-to-cores" in sys.argv)
