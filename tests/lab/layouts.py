"""The layouts of conf/postfix as shipped, run on ports of their own."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.lab.places import ROOT
from tests.lab.postfix import Postfix, run_relay_services
from tests.lab.readiness import free_ports

SUBMISSION = "submission"

_SHIPPED = ROOT / "conf/postfix"
_SHIPPED_SOCKET = "inet:127.0.0.1:8899"
_SHIPPED_SIGNER = ", unix:opendkim/opendkim.sock"
_SHIPPED_PORT = "127.0.0.1:10026"
_LOGGED_IN_ONLY = re.compile(
    r"^  -o (smtpd_tls_security_level=encrypt|smtpd_sasl_auth_enable=yes)\n", re.MULTILINE
)
_MILTERS = re.compile(r"^  -o .*smtpd_milters = .*\n", re.MULTILINE)
_SIZE_LIMIT = "message_size_limit=10000000"
_CHROOT = re.compile(r"^(\S+ +(?:inet|unix) +\S+ +\S+ +)y", re.MULTILINE)

# Seconds in the place of minutes: a test does not wait for the queue as long as an operator.
# Below three, qmgr may take a message that was put off before the delivery agent has let go of it:
# stamps of up to a second ahead are due, and stamps are cut to whole seconds (qmgr_active.c,
# qmgr_active_feed). It is then "skipped, still being delivered", and waits in the incoming queue
# for a minute, and after that for other mail or qmgr's next turn, which is every 300 s.
_SOON = """\
queue_run_delay = 1s
minimal_backoff_time = 3s
maximal_backoff_time = 3s
"""


@contextmanager
def run_layout(  # noqa: PLR0913  each is a thing that some test changes
    name: str,
    milter: str,
    relay_port: int,
    *,
    default_action: str = "tempfail",
    more: str = "",
    settings: str = "",
    size_limit: int | None = None,
    signer: str = "",
    listeners: str = "",
    parent: Path | None = None,
) -> Iterator[Postfix]:
    """Run Postfix with the files of conf/postfix/*name*, alignd at the socket *milter*.

    Without a socket, "", the same goes without alignd. *size_limit* takes the place of the
    shipped message_size_limit.
    Its port "submission" is in those files. The listener has *more* options (master.cf), and
    *settings* (main.cf) and *listeners* (master.cf) come last. What signs is at the socket
    *signer*, if anything does. Neither TLS nor a login is asked for.
    """
    submission, inner = free_ports(2)
    main, services = (_SHIPPED / name / part for part in ("main.cf", "master.cf"))
    text = services.read_text()
    for shipped, ours in (
        (_SHIPPED_PORT, f"127.0.0.1:{inner}"),
        (f"[127.0.0.1]:{_SHIPPED_PORT.rpartition(':')[2]}", f"[127.0.0.1]:{inner}"),
        ("default_action=tempfail", f"default_action={default_action}"),
        (_SHIPPED_SOCKET, milter),
        (_SHIPPED_SIGNER, f", {signer}" if signer else ""),
    ):
        text = text.replace(shipped, ours)
    if not milter:
        text = _MILTERS.sub("", text)
    if size_limit is not None:
        text = text.replace(_SIZE_LIMIT, f"message_size_limit={size_limit}")
    text = _CHROOT.sub(r"\1n", _LOGGED_IN_ONLY.sub("", text))
    listener = f"127.0.0.1:{submission} inet"
    text = re.sub(r"^submission inet(.*\n)", rf"{listener}\1{more}", text, flags=re.MULTILINE)
    # The lines for alignd stand in master.cf, where inline/main.cf has them for all listeners.
    lines = re.sub(r"^(non_)?smtpd_milters = .*\n", "", main.read_text(), flags=re.MULTILINE)
    with run_relay_services(
        text + listeners,
        {SUBMISSION: submission},
        relay_port,
        settings=lines + _SOON + settings,
        parent=parent,
    ) as postfix:
        yield postfix
