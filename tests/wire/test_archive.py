"""The archive of DNS answers in the whole service: whatever befalls it, mail does not wait."""

import os
import signal
import sqlite3
import stat
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager, suppress
from pathlib import Path

import dns.message
import dns.rcode
import pytest

from alignd.telemetry.words import ArchiveState
from tests.lab.milter_client import MilterConnection
from tests.lab.nameserver import Nameserver, run_nameserver
from tests.lab.processes import calls_itself, stop
from tests.lab.readiness import open_directory, wait_until
from tests.lab.settings import world
from tests.support.scrape import Watched, run_watched

pytestmark = pytest.mark.wire

KNOWN = "ann@good.example"
ZONE = world("""\
good.example. 0 TXT "v=spf1 include:spf.mailing.easy.cz -all"
new.example.  0 TXT "v=spf1 include:spf.mailing.easy.cz -all"
""")
LIMIT = 60.0  # seconds, for what is tried again after growing pauses


class Refusing(Nameserver):
    """Answers SERVFAIL to everything, while it is told to."""

    is_refusing = False

    def respond(self, data: bytes, *, over_udp: bool) -> bytes | None:
        """Return the response to one request."""
        if not self.is_refusing:
            return super().respond(data, over_udp=over_udp)
        response = dns.message.make_response(dns.message.from_wire(data))
        response.set_rcode(dns.rcode.SERVFAIL)
        return response.to_wire()


@pytest.fixture
def nameserver() -> Iterator[Refusing]:
    refusing = Refusing()
    with run_nameserver(refusing):
        refusing.serve(ZONE)
        yield refusing


@pytest.fixture
def directory() -> Iterator[Path]:
    with open_directory() as directory:
        (directory / "state").mkdir()
        yield directory


@pytest.fixture
def path(directory: Path) -> Path:
    return directory / "state/dns.sqlite"


Start = Callable[..., Watched]


@pytest.fixture
def start(directory: Path, nameserver: Refusing, path: Path) -> Iterator[Start]:
    """Start alignd with an archive; once more when the one before has been ended."""
    with ExitStack() as running:
        count = iter(range(100))

        def start(*, under: Sequence[str] = (), archive: Path | None = path) -> Watched:
            changes = '[dns]\nstale = "3d"\n' + (f'archive = "{archive}"\n' if archive else "")
            place = directory / f"alignd{next(count)}"
            return running.enter_context(
                run_watched(place, nameserver.address, changes, under=under)
            )

        yield start


def state(watched: Watched) -> str:
    """The state of the archive as the metrics have it."""
    names = watched.scrape().counted("alignd_dns_archive_state")
    return next(iter(names), ("",))[0]  # none while the process is being replaced


def wait_for(watched: Watched, wanted: ArchiveState) -> None:
    wait_until(lambda: state(watched) == wanted.value, f"the archive to be {wanted}", LIMIT)


def answers(watched: Watched) -> float:
    return watched.scrape()["alignd_dns_archive_answers"]


def send(watched: Watched, author: str = KNOWN) -> bool:
    """Send a message; whether it is left alone, as those of authors who pass are."""
    content = f"From: {author}\r\nSubject: Re\r\n\r\nHello\r\n".encode()
    with MilterConnection(watched.alignd.socket) as mta:
        result = mta.send(author, ("julia@customer.example",), content)
    assert result.accepted
    return b"action=rewrite" not in result.message


def assert_that_unknown_do_not_wait(watched: Watched, nameserver: Refusing) -> None:
    """Send messages whose domains nobody knows while DNS fails, so that the archive is asked."""
    nameserver.is_refusing = True
    times = []
    for number in range(20):
        began = time.monotonic()
        assert not send(watched, f"a@unknown{number}.example")
        times.append(time.monotonic() - began)
    nameserver.is_refusing = False
    assert sum(times) < len(times), times  # a second each where a machine is busy, else 10 ms


def archive_process(watched: Watched) -> int:
    """The process id of the archive."""
    children = watched.alignd.children()
    (owner,) = (pid for pid in children if calls_itself(pid, "alignd: archive"))
    return owner


def end(watched: Watched) -> float:
    """End the service; the seconds that it took."""
    began = time.monotonic()
    watched.alignd.process.terminate()
    assert watched.alignd.process.wait(timeout=30) == 0
    return time.monotonic() - began


def questions_in(path: Path) -> set[str]:
    with closing(sqlite3.connect(path)) as file:
        return {name for (name,) in file.execute("SELECT question FROM answers")}


def test_last_known_answers_outlive_a_restart_and_the_archive(
    start: Start, nameserver: Refusing, path: Path
) -> None:
    before = os.umask(0)
    try:
        first = start()
    finally:
        os.umask(before)
    assert send(first)
    wait_until(lambda: answers(first), "it to be archived")
    end(first)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600

    nameserver.is_refusing = True
    second = start()
    wait_for(second, ArchiveState.GOOD)
    # Once more where a busy machine has made the archive late.
    wait_until(lambda: send(second), "the last known answer", LIMIT)

    os.kill(archive_process(second), signal.SIGKILL)
    replaced = "process ended and is replaced process=archive"
    wait_until(lambda: replaced in second.alignd.log(), "another process")
    wait_for(second, ArchiveState.GOOD)
    nameserver.is_refusing = False
    assert send(second)
    assert_that_unknown_do_not_wait(second, nameserver)


def test_mail_does_not_wait_for_an_archive_that_is_stopped(
    start: Start, nameserver: Refusing
) -> None:
    watched = start()
    wait_for(watched, ArchiveState.GOOD)
    pid = archive_process(watched)
    stop(pid)
    try:
        assert_that_unknown_do_not_wait(watched, nameserver)
        assert send(watched)
    finally:
        os.kill(pid, signal.SIGCONT)
    wait_until(lambda: answers(watched) >= 2, "what was heard meanwhile")


def test_mail_does_not_wait_for_a_file_that_another_holds(
    start: Start, nameserver: Refusing, path: Path
) -> None:
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        watched = start()
        assert_that_unknown_do_not_wait(watched, nameserver)
        assert send(watched)
        wait_for(watched, ArchiveState.FAILING)
        assert watched.alignd.log().count("DNS answers are not archived") == 1
    wait_for(watched, ArchiveState.GOOD)
    end(watched)

    assert "DNS answers are archived again" in watched.alignd.log()
    assert "TXT good.example" in questions_in(path)


def test_a_broken_file_is_replaced_at_the_start_and_while_it_is_in_use(
    start: Start, nameserver: Refusing, path: Path
) -> None:
    path.write_bytes(os.urandom(9000))
    watched = start()
    wait_for(watched, ArchiveState.GOOD)
    assert send(watched)
    wait_until(lambda: answers(watched) >= 2, "the answers")

    for each in path.parent.glob("dns.sqlite*"):
        each.write_bytes(os.urandom(9000))

    wait_until(lambda: watched.alignd.log().count("was put aside") == 2, "it to be seen", LIMIT)
    wait_for(watched, ArchiveState.GOOD)
    assert_that_unknown_do_not_wait(watched, nameserver)
    assert f"status={-signal.SIGBUS}" not in watched.alignd.log()
    end(watched)
    assert "TXT good.example" in questions_in(path)


def test_names_made_of_local_parts_are_not_archived(
    start: Start, nameserver: Refusing, path: Path
) -> None:
    nameserver.serve(
        ZONE
        + 'agents.example. 0 TXT "v=spf1 exists:%{S}.x.%{d} include:%{l}.spf.%{d} -all"\n'
        + 'marky.mark.spf.agents.example. 0 TXT "v=spf1 mx redirect=b.%{d}"\n'
        + "marky.mark.spf.agents.example. 0 MX 10 mx.marky.mark.spf.agents.example.\n"
        + "mx.marky.mark.spf.agents.example. 0 A 203.0.113.1\n"
        + "mx.marky.mark.spf.agents.example. 0 AAAA 2001:db8::1\n"
        + 'b.marky.mark.spf.agents.example. 0 TXT "v=spf1 include:spf.mailing.easy.cz -all"\n'
    )
    watched = start()
    wait_for(watched, ArchiveState.GOOD)

    send(watched, "Marky.Mark@agents.example")

    asked = {name for name, _ in nameserver.questions if "mark" in name}
    assert {name.partition("marky")[0] for name in asked} == {"", "mx.", "b."}
    wait_until(lambda: answers(watched) >= 3, "the others to be archived")
    end(watched)
    names = questions_in(path)
    assert {"TXT agents.example", "TXT spf.mailing.easy.cz"} <= names
    assert not [name for name in names if "mark" in name.lower()]
    for each in path.parent.iterdir():
        assert b"marky" not in each.read_bytes().lower()


def test_a_reload_takes_another_archive_and_none(start: Start, path: Path) -> None:
    watched = start()
    wait_for(watched, ArchiveState.GOOD)
    other = path.with_name("other.sqlite")
    config = watched.alignd.config_path
    text = config.read_text()

    def reload(archive: object) -> None:
        config.write_text(text.replace(str(path), str(archive)))
        watched.alignd.process.send_signal(signal.SIGHUP)
        watched.alignd.wait_for_notice("READY=1")

    reload(other)
    wait_until(other.exists, "the other file")
    wait_for(watched, ArchiveState.GOOD)
    reload("")
    wait_for(watched, ArchiveState.OFF)
    assert send(watched)


# File systems of our own


def can_mount() -> bool:
    command = ["unshare", "--mount", "mount", "-t", "tmpfs", "tmpfs", "/mnt"]
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


with_mounts = pytest.mark.skipif(not can_mount(), reason="file systems cannot be mounted here")


def on(mount: str, place: Path) -> tuple[str, ...]:
    """Words before a command that run it where *mount*, a script, has mounted something."""
    script = f'set -e; {mount}; shift; exec "$@"'
    return ("unshare", "--mount", "--", "sh", "-c", script, "sh", str(place))


def inside(watched: Watched, place: Path) -> Path:
    """How *place* is reached from here."""
    return Path(f"/proc/{watched.alignd.process.pid}/root{place}")


@with_mounts
def test_a_full_disk_is_told_of_and_written_to_when_there_is_room(
    start: Start, nameserver: Refusing, path: Path
) -> None:
    watched = start(under=on('mount -t tmpfs -o size=256k tmpfs "$1"', path.parent))
    wait_for(watched, ArchiveState.GOOD)
    ballast = inside(watched, path.parent) / "ballast"
    with suppress(OSError):  # no space left
        ballast.write_bytes(b"x" * 2**20)
    # More than what is left of the page that is written to.
    zone = "".join(f'd{number}.example. 0 TXT "{"x" * 200}"\n' for number in range(60))
    nameserver.serve(ZONE + zone)
    for number in range(60):
        send(watched, f"a@d{number}.example")
    wait_for(watched, ArchiveState.FAILING)
    assert_that_unknown_do_not_wait(watched, nameserver)
    ballast.unlink()

    wait_for(watched, ArchiveState.GOOD)
    assert "DNS answers are not archived problem=" in watched.alignd.log()


@with_mounts
def test_a_read_only_file_is_read_and_written_when_that_is_possible(
    start: Start, nameserver: Refusing, path: Path
) -> None:
    first = start()
    wait_for(first, ArchiveState.GOOD)
    assert send(first)
    wait_until(lambda: answers(first) >= 2, "the answers")
    end(first)

    nameserver.is_refusing = True
    watched = start(under=on('mount --bind "$1" "$1"; mount -o remount,bind,ro "$1"', path.parent))
    wait_until(lambda: send(watched), "the last known answer", LIMIT)
    nameserver.is_refusing = False
    assert send(watched, "a@new.example")
    wait_for(watched, ArchiveState.FAILING)
    command = ["nsenter", "-t", str(watched.alignd.process.pid), "-m", "--"]
    command += ["mount", "-o", "remount,bind,rw", str(path.parent)]
    subprocess.run(command, check=True, timeout=10)

    wait_for(watched, ArchiveState.GOOD)
    end(watched)
    assert {"TXT good.example", "TXT new.example"} <= questions_in(path)


@contextmanager
def frozen(place: Path) -> Iterator[None]:
    """Freeze the file system at *place*: whoever writes waits until it is thawed, in vain."""
    # It is thawed when this process is gone as well, or what waits could never be ended.
    script = 'cd "$1" && fsfreeze --freeze . && echo frozen && read _; fsfreeze --unfreeze .'
    with subprocess.Popen(
        ["sh", "-c", script, "sh", str(place)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as thaw:
        assert thaw.stdout is not None
        assert thaw.stdin is not None
        assert thaw.stdout.readline() == "frozen\n"
        try:
            yield
        finally:
            thaw.stdin.close()


@pytest.fixture
def image(directory: Path) -> Path:
    image = directory / "image"
    with image.open("wb") as file:
        file.truncate(8 * 2**20)
    command = ["mkfs.ext4", "-q", str(image)]
    try:
        subprocess.run(command, check=True, timeout=30, capture_output=True)
        mount = 'mount -o loop "$1" /mnt'
        command = ["unshare", "--mount", "--", "sh", "-c", mount, "sh", str(image)]
        subprocess.run(command, check=True, timeout=30, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("no loop device can be mounted here")
    return image


@with_mounts
def test_mail_does_not_wait_for_a_disk_that_stalls_nor_does_the_end(
    start: Start, nameserver: Refusing, path: Path, image: Path
) -> None:
    watched = start(under=on(f'mount -o loop {image} "$1"', path.parent))
    wait_for(watched, ArchiveState.GOOD)
    archive = archive_process(watched)
    with frozen(inside(watched, path.parent)):
        assert send(watched)
        wait_until(lambda: "D" in states(archive), "the writer to wait for the disk")
        assert_that_unknown_do_not_wait(watched, nameserver)
        (worker,) = set(watched.workers()) - {archive}
        os.kill(worker, signal.SIGKILL)
        wait_until(lambda: watched.scrape()["alignd_worker_restarts_total"], "another worker")
        wait_until(lambda: watched.scrape()["alignd_workers_ready"], "it to serve")
        assert_that_unknown_do_not_wait(watched, nameserver)

        # The writer cannot end, and what it is must not have the socket of the milter.
        assert end(watched) < 20
        after = start(archive=None)
        assert send(after)


def states(pid: int) -> set[str]:
    """The states of the threads of a process."""
    return {
        path.read_text().rpartition(")")[2].split()[0]
        for path in Path(f"/proc/{pid}/task").glob("*/stat")
    }
