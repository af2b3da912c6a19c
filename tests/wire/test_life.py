"""The processes of the service: signals, workers, the socket, and notices to systemd."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from alignd.service.processes.child_process import SILENCE_SECONDS
from alignd.service.worker import DRAIN_SECONDS
from tests.lab.alignd import Alignd, run_alignd
from tests.lab.message import ChangeSender
from tests.lab.milter_client import MilterConnection, Result, steps
from tests.lab.nameserver import Nameserver
from tests.lab.processes import is_worker, resident_memory, stop
from tests.lab.protocol import Command
from tests.lab.readiness import PATIENCE, open_directory, wait_until
from tests.lab.settings import world
from tests.support.scrape import Watched, run_watched

pytestmark = pytest.mark.wire

AGENT = "marky.mark@mycompany.com"
MESSAGE = f"From: Marky Mark <{AGENT}>\r\nSubject: Re: printer\r\n\r\nHello\r\n".encode()
EXEMPT = '\n[rules]\nexempt = ["mycompany.com"]\n'
WORKERS = 2
LIMIT = SILENCE_SECONDS + 10
RELOADS = 40


@pytest.fixture
def directory() -> Iterator[Path]:
    with open_directory() as directory:
        yield directory


@pytest.fixture
def alignd(directory: Path, nameserver: Nameserver) -> Iterator[Alignd]:
    nameserver.serve(world('mycompany.com. TXT "v=spf1 -all"\n'))
    changes = f"[milter]\nworkers = {WORKERS}\n"
    with run_alignd(directory / "alignd", nameserver.address, changes) as running:
        yield running


def send(alignd: Alignd) -> Result:
    with MilterConnection(alignd.socket) as mta:
        return mta.send(AGENT, ("julia@customer.example",), MESSAGE)


def is_rewritten(result: Result) -> bool:
    assert result.accepted
    return b"Alignd: action=rewrite" in result.message


def workers(alignd: Alignd) -> set[int]:
    """The process ids of the workers."""
    return set(filter(is_worker, alignd.children()))


def state(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return "gone"


def reload(alignd: Alignd) -> None:
    alignd.process.send_signal(signal.SIGHUP)
    alignd.wait_for_notice("RELOADING=1")
    alignd.wait_for_notice("READY=1")


def change_config(alignd: Alignd, old: str, new: str) -> None:
    path = alignd.config_path
    path.write_text(path.read_text().replace(old, new, 1) if old else path.read_text() + new)


def test_workers_share_the_socket(alignd: Alignd) -> None:
    assert len(workers(alignd)) == WORKERS
    assert is_rewritten(send(alignd))


def test_each_worker_keeps_all_its_threads_to_one_core(
    directory: Path, nameserver: Nameserver
) -> None:
    nameserver.serve(world('mycompany.com. TXT "v=spf1 -all"\n'))
    cores = os.sched_getaffinity(0)
    changes = f"[milter]\nworkers = {2 * len(cores)}\n"
    with run_alignd(directory / "more", nameserver.address, changes) as alignd:
        assert is_rewritten(send(alignd))
        taken = [
            {frozenset(os.sched_getaffinity(int(thread))) for thread in threads_of(worker)}
            for worker in sorted(workers(alignd))
        ]

    assert Counter(core for each in taken for (core,) in each) == dict.fromkeys(cores, 2)


def threads_of(pid: int) -> list[str]:
    return os.listdir(f"/proc/{pid}/task")


def test_term_lets_an_open_session_end(alignd: Alignd) -> None:
    with MilterConnection(alignd.socket) as mta:
        alignd.process.terminate()
        alignd.wait_for_notice("STOPPING=1")

        assert is_rewritten(mta.send(AGENT, ("julia@customer.example",), MESSAGE))
        assert alignd.returncode is None
    assert alignd.process.wait(timeout=PATIENCE) == 0


def test_a_session_that_does_not_end_is_cut_after_45_seconds(alignd: Alignd) -> None:
    with MilterConnection(alignd.socket) as mta:
        started = time.monotonic()
        alignd.process.terminate()

        assert alignd.process.wait(timeout=DRAIN_SECONDS + 10) == 0
        assert time.monotonic() - started >= DRAIN_SECONDS
        assert mta.is_cut()
    assert "sessions are cut open=1" in alignd.log()


def test_term_ends_at_once_after_a_message_whose_spf_record_is_broken(
    alignd: Alignd, nameserver: Nameserver
) -> None:
    nameserver.serve(world('mycompany.com. TXT "v=spf1 ip4:nonsense -all"\n'))
    assert is_rewritten(send(alignd))  # the library's exception refers to our frames

    alignd.process.terminate()

    assert alignd.process.wait(timeout=PATIENCE) == 0


def test_nothing_new_is_taken_after_term(alignd: Alignd) -> None:
    with MilterConnection(alignd.socket):
        alignd.process.terminate()
        alignd.wait_for_notice("STOPPING=1")

        wait_until(lambda: not connects(alignd.socket), "the socket to be closed", 3)


def connects(spec: str) -> bool:
    with socket.socket(socket.AF_UNIX) as client:
        try:
            client.connect(spec.partition(":")[2])
        except OSError:
            return False
    return True


def test_hup_takes_a_changed_configuration(alignd: Alignd) -> None:
    assert is_rewritten(send(alignd))
    change_config(alignd, "", EXEMPT)

    reload(alignd)

    for _ in range(8):  # whichever worker answers
        assert not is_rewritten(send(alignd))


def test_a_message_in_progress_keeps_its_configuration(alignd: Alignd) -> None:
    recipients = ("julia@customer.example",)
    with MilterConnection(alignd.socket) as mta:
        for command, payload, macros in steps(AGENT, recipients, MESSAGE, leading_blank=True):
            if command is Command.END_OF_MESSAGE:
                change_config(alignd, "", EXEMPT)
                reload(alignd)
            answer = mta.tell(command, payload, macros)

        assert any(isinstance(edit, ChangeSender) for edit in answer.modifications)
        mta.packet(b"A")
        assert not is_rewritten(mta.send(AGENT, recipients, MESSAGE))


def test_hup_keeps_the_old_configuration_when_the_file_is_bad(alignd: Alignd) -> None:
    change_config(alignd, "hostname =", "hostnam =")

    reload(alignd)

    assert is_rewritten(send(alignd))
    log = alignd.log()
    assert f"{alignd.config_path}:" in log
    assert "did you mean 'hostname'?" in log
    assert "the old configuration stays in force" in log


def test_a_worker_that_is_killed_is_replaced(alignd: Alignd) -> None:
    before = workers(alignd)
    victim = min(before)

    os.kill(victim, signal.SIGKILL)

    wait_until(lambda: len(workers(alignd) - {victim}) == WORKERS, "another worker")
    for _ in range(8):
        assert is_rewritten(send(alignd))


def test_a_worker_that_hangs_is_replaced(alignd: Alignd) -> None:
    victim = min(workers(alignd))

    os.kill(victim, signal.SIGSTOP)

    wait_until(lambda: len(workers(alignd) - {victim}) == WORKERS, "another worker", LIMIT)
    assert is_rewritten(send(alignd))
    assert "worker hangs and is killed" in alignd.log()


def replace_a_worker(alignd: Alignd) -> None:
    """Kill one, and return as soon as there is another, ready or not."""
    before = workers(alignd)
    os.kill(min(before), signal.SIGKILL)
    wait_until(lambda: workers(alignd) - before, "another worker")


def test_a_change_of_milter_options_waits_for_a_restart(alignd: Alignd) -> None:
    change_config(alignd, "[milter]\n", "[milter]\nmax_header_bytes = 1000\n")
    reload(alignd)
    assert "the change in [milter] takes effect after a restart" in alignd.log()
    long = MESSAGE.replace(b"Marky Mark", b"M" * 1500)

    with MilterConnection(alignd.socket) as mta:
        result = mta.send(AGENT, ("julia@customer.example",), long)

    assert is_rewritten(result)
    assert "limit=max_header_bytes" not in alignd.log()


def test_a_worker_that_was_just_born_reloads_too(alignd: Alignd) -> None:
    change_config(alignd, "", EXEMPT)
    for _ in range(5):
        replace_a_worker(alignd)

        reload(alignd)

    for _ in range(8):
        assert not is_rewritten(send(alignd))


def test_a_worker_that_was_just_born_ends_too(alignd: Alignd) -> None:
    replace_a_worker(alignd)

    alignd.process.terminate()

    assert alignd.process.wait(timeout=PATIENCE) == 0


def test_workers_end_with_a_supervisor_that_is_killed(alignd: Alignd) -> None:
    orphans = workers(alignd)

    alignd.process.kill()

    wait_until(lambda: all(state(pid) in "Zgone" for pid in orphans), "the workers to end")


def test_a_second_service_does_not_take_the_socket(alignd: Alignd) -> None:
    command = [sys.executable, "-m", "alignd", "serve", "--config", str(alignd.config_path)]

    other = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)

    assert other.returncode == os.EX_UNAVAILABLE
    assert "another process serves it" in other.stderr
    assert is_rewritten(send(alignd))


def test_the_watchdog_is_fed_after_a_probe(directory: Path, nameserver: Nameserver) -> None:
    with run_alignd(
        directory / "alignd", nameserver.address, environment={"WATCHDOG_USEC": "1000000"}
    ) as alignd:
        for _ in range(3):
            alignd.wait_for_notice("WATCHDOG=1")


def test_the_watchdog_is_not_fed_when_nobody_answers(
    directory: Path, nameserver: Nameserver
) -> None:
    environment = {"WATCHDOG_USEC": "1000000"}
    place = directory / "alignd"
    with run_alignd(
        place, nameserver.address, "[milter]\nworkers = 1\n", environment=environment
    ) as alignd:
        alignd.wait_for_notice("WATCHDOG=1")

        for pid in workers(alignd):
            stop(pid)
        while alignd.notices.take("WATCHDOG=1"):
            pass  # those of before

        fed: list[bool] = []

        def is_noticed() -> bool:
            fed.append(alignd.notices.take("WATCHDOG=1"))
            return "worker hangs and is killed" in alignd.log()

        wait_until(is_noticed, "the supervisor to notice", LIMIT)
        assert not any(fed[:-1])  # the last one may be of the worker that came after


@pytest.mark.parametrize("end", [signal.SIGTERM, signal.SIGKILL])
def test_socket_activation_refuses_no_connection(
    directory: Path, nameserver: Nameserver, end: signal.Signals
) -> None:
    nameserver.serve(world('mycompany.com. TXT "v=spf1 -all"\n'))
    path = directory / "activated.sock"
    with socket.socket(socket.AF_UNIX) as kept:
        kept.bind(str(path))
        kept.listen(64)
        with run_alignd(directory / "first", nameserver.address, listening=kept) as alignd:
            pids = workers(alignd)
            alignd.process.send_signal(end)
            alignd.process.wait(timeout=PATIENCE)
            wait_until(lambda: all(state(pid) in "Zgone" for pid in pids), "the workers to end")
        # Taken by the kernel while nobody serves, and answered by the next process.
        waiting = MilterConnection(f"unix:{path}")
        waiting.connect()
        with run_alignd(directory / "second", nameserver.address, listening=kept):
            waiting.negotiate()
            waiting.greet()
            result = waiting.send(AGENT, ("julia@customer.example",), MESSAGE)
            waiting.close()
        assert is_rewritten(result)


def test_a_worker_dies_before_its_supervisor_when_memory_is_short(alignd: Alignd) -> None:
    def score(pid: int) -> int:
        return int(Path(f"/proc/{pid}/oom_score_adj").read_text())

    assert all(score(pid) > score(alignd.process.pid) for pid in workers(alignd))


def weight(pids: set[int]) -> tuple[int, int]:
    """The threads and descriptors of these processes."""
    return (
        sum(len(os.listdir(f"/proc/{pid}/task")) for pid in pids),
        sum(len(os.listdir(f"/proc/{pid}/fd")) for pid in pids),
    )


def memory(pids: set[int]) -> int:
    """The octets of these processes that are in memory."""
    return sum(map(resident_memory, pids))


def weight_at_rest(pids: set[int]) -> tuple[int, int]:
    """The same, once it no longer changes: after a reload, DNS of the relay is checked."""
    seen: list[tuple[int, int]] = []

    def rests() -> bool:
        seen.append(weight(pids))
        return seen[-40:] == [seen[-1]] * 40

    wait_until(rests, "the processes to come to rest", timeout=30)
    return seen[-1]


def test_a_reload_that_changes_the_resolver_leaves_nothing_of_the_old_one(
    directory: Path, nameserver: Nameserver
) -> None:
    nameserver.serve(world('mycompany.com. 1 TXT "v=spf1 -all"\n'))
    changes = f'[dns]\ntimeout = "10s"\narchive = "{directory}/dns.sqlite"\n'
    with (
        run_alignd(directory / "alignd", nameserver.address, changes) as alignd,
        MilterConnection(alignd.socket) as mta,
    ):
        # A session that is idle between messages must keep nothing, either.
        assert mta.send(AGENT, ("julia@customer.example",), MESSAGE).accepted
        change_config(alignd, "10s", "11s")
        reload(alignd)
        unused = weight_at_rest(workers(alignd))
        octets = memory(workers(alignd))
        for milliseconds in range(11_001, 11_001 + RELOADS):
            old = "11s" if milliseconds == 11_001 else f"{milliseconds - 1}ms"
            change_config(alignd, old, f"{milliseconds}ms")
            reload(alignd)
            # How many threads look ahead for it depends on which of them are free by then.
            assert milliseconds == 11_000 + RELOADS or is_rewritten(send(alignd))

        wait_until(lambda: weight(workers(alignd)) <= unused, "the old ones to end", timeout=30)
        # 0.15 MB each, it would be, where a worker kept what it had.
        assert memory(workers(alignd)) < octets + RELOADS * 75_000


# Sends it a HUP as soon as it has begun to import what it needs.
EARLY_HUP = """
(while [ -e /proc/$$/maps ] && ! grep -q pydantic_core /proc/$$/maps; do :; done
kill -HUP $$) &
exec "$@"
"""


def test_hup_while_it_starts_is_a_reload_once_it_has_started(
    directory: Path, nameserver: Nameserver
) -> None:
    under = ("bash", "-c", EARLY_HUP, "bash")
    with run_watched(directory / "alignd", nameserver.address, under=under) as watched:
        wait_until(lambda: reloads(watched) == {("done",): 1}, "the reload")


def reloads(watched: Watched) -> dict[tuple[str, ...], float]:
    return watched.scrape().counted("alignd_configuration_reloads_total")


class SlowFile:
    """A file of which whoever opens it gets nothing to read, until something is written."""

    def __init__(self, path: Path) -> None:
        self._path = path
        pipe = path.with_name("slow")
        os.mkfifo(pipe)
        pipe.replace(path)

    def wait_for_reader(self) -> int:
        """The descriptor to write to."""
        return wait_until(self._writing, "somebody to read the configuration", 30)

    def _writing(self) -> int | None:
        try:
            return os.open(self._path, os.O_WRONLY | os.O_NONBLOCK)
        except OSError:  # ENXIO: nobody reads
            return None


def test_a_setup_that_takes_long_to_load_holds_up_nothing_else(
    directory: Path, nameserver: Nameserver
) -> None:
    nameserver.serve(world('mycompany.com. TXT "v=spf1 -all"\n'))
    environment = {"WATCHDOG_USEC": "900000"}
    with run_watched(directory / "alignd", nameserver.address, environment=environment) as watched:
        alignd = watched.alignd
        slow = SlowFile(alignd.config_path)
        alignd.process.send_signal(signal.SIGHUP)
        alignd.wait_for_notice("RELOADING=1")
        writing = slow.wait_for_reader()

        for _ in range(3):
            alignd.wait_for_notice("WATCHDOG=1")
        assert is_rewritten(send(alignd))
        alignd.process.terminate()

        assert alignd.process.wait(timeout=10) == 0
        os.close(writing)


def test_a_metrics_process_that_hangs_is_replaced_and_a_worker_that_loads_is_not(
    directory: Path, nameserver: Nameserver
) -> None:
    nameserver.serve(world('mycompany.com. TXT "v=spf1 -all"\n'))
    with run_watched(directory / "alignd", nameserver.address) as watched:
        alignd, monitor, loading = watched.alignd, watched.monitor(), watched.workers()
        text = alignd.config_path.read_bytes()
        slow = SlowFile(alignd.config_path)
        alignd.process.send_signal(signal.SIGHUP)
        writing = slow.wait_for_reader()  # the supervisor
        os.write(writing, text)
        os.close(writing)
        wait_until(lambda: reloads(watched) == {("done",): 1}, "its part of the reload")
        writing = slow.wait_for_reader()  # the worker

        assert monitor is not None
        os.kill(monitor, signal.SIGSTOP)

        wait_until(lambda: watched.monitor() not in {monitor, None}, "another monitor", LIMIT)
        assert watched.request("/healthz").status == 200
        assert "process hangs and is killed process=monitor" in alignd.log()
        assert watched.workers() == loading

        os.close(writing)  # an empty file: there is less in it than the supervisor has read
        wait_until(lambda: "worker keeps the old configuration" in alignd.log(), "its refusal")
        assert is_rewritten(send(alignd))
        assert watched.workers() == loading
