"""Metrics and health over HTTP, as the real processes show them while they work, die, reload."""

import os
import re
import shutil
import signal
import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from itertools import pairwise
from pathlib import Path

import pytest

from alignd import telemetry
from tests.lab import cast
from tests.lab.alignd import run_alignd
from tests.lab.faulty_nameserver import Fault, FaultyNameserver
from tests.lab.message import ChangeSender
from tests.lab.milter_client import ALL_ACTIONS, CHANGE_HEADERS, MilterConnection
from tests.lab.nameserver import Nameserver, run_nameserver
from tests.lab.processes import stop
from tests.lab.readiness import PATIENCE, free_ports, open_directory, wait_until
from tests.lab.settings import world
from tests.support.scrape import Scrape, Watched, listening, run_watched

pytestmark = pytest.mark.wire

ZONE = world("""\
mycompany.com.        TXT "v=spf1 -all"
_dmarc.mycompany.com. TXT "v=DMARC1; p=reject"
good.example.         TXT "v=spf1 include:spf.mailing.easy.cz -all"
broken.example.       TXT "v=spf1 include:nowhere.example -all"
""")
AGENT, GOOD = "marky.mark@mycompany.com", "ann@good.example"
ASKED_OF_GOOD = ("good.example", "spf.mailing.easy.cz", "_dmarc.good.example", "_dmarc.example")
TWO = "[milter]\nworkers = 2\n"

Start = Callable[..., Watched]


@pytest.fixture
def directory() -> Iterator[Path]:
    with open_directory() as directory:
        yield directory


@pytest.fixture
def start(nameserver: Nameserver, directory: Path) -> Iterator[Start]:
    """Start alignd with metrics and these changes to its configuration."""
    nameserver.serve(ZONE)
    with ExitStack() as running:
        yield lambda changes="", dns=nameserver: running.enter_context(
            run_watched(directory / "alignd", dns.address, changes)
        )


def message(author: str, more: bytes = b"") -> bytes:
    return b"From: Marky Mark <%s>\r\n%sSubject: Re: printer\r\n\r\nHello\r\n" % (
        author.encode(),
        more,
    )


def send(watched: Watched, author: str, more: bytes = b"", *, client: str = "127.0.0.1") -> None:
    with MilterConnection(watched.alignd.socket, client=client) as mta:
        result = mta.send(author, ("julia@customer.example",), message(author, more))
    assert result.accepted


def has_status(watched: Watched, path: str, status: int) -> Callable[[], bool]:
    return lambda: watched.request(path).status == status


@contextmanager
def only(watched: Watched, worker: int) -> Iterator[None]:
    """Have only this worker take connections; the others must not be silent for long."""
    others = [pid for pid in watched.workers() if pid != worker]
    for pid in others:
        stop(pid)
    try:
        yield
    finally:
        for pid in others:
            os.kill(pid, signal.SIGCONT)


def test_counts_are_exact_over_several_workers(start: Start) -> None:
    watched = start(TWO)
    first, second = watched.workers()

    with only(watched, first):
        send(watched, AGENT)
        send(watched, GOOD)
    with only(watched, second):
        send(watched, AGENT)
        send(watched, AGENT, client="198.51.100.9")

    scrape = watched.scrape()
    assert scrape.counted("alignd_messages_total") == {
        ("rewrite", "relay-not-authorised"): 2,
        ("pass", "spf-aligned"): 1,
        ("skip", "client-not-in-scope"): 1,
    }
    assert scrape["alignd_decision_seconds_count"] == 4
    assert 0 < scrape["alignd_decision_seconds_sum"] < 60
    assert scrape.of("alignd_decision_seconds_bucket", le="+Inf") == 4


def test_many_sessions_at_once_are_counted_to_the_last(start: Start) -> None:
    watched = start(TWO)

    with ExitStack() as sessions:
        several = [
            sessions.enter_context(MilterConnection(watched.alignd.socket)) for _ in range(20)
        ]
        for _ in range(5):
            for mta in several:
                mta.send(AGENT, ("julia@customer.example",), message(AGENT))

    assert watched.scrape().of("alignd_messages_total") == 100


def test_nothing_goes_back_when_workers_die(start: Start) -> None:
    watched = start(TWO)
    seen: list[Scrape] = []

    def is_replaced(deaths: int) -> bool:
        seen.append(watched.scrape())
        counted = seen[-1]["alignd_worker_restarts_total"] == deaths
        return counted and seen[-1]["alignd_workers_ready"] == 2

    for deaths in range(1, 5):
        send(watched, AGENT)
        os.kill(min(watched.workers()), signal.SIGKILL)
        wait_until(partial(is_replaced, deaths), "another worker")
        assert seen[-1].of("alignd_messages_total") == deaths

    for before, after in pairwise(seen):
        assert all(after.rising[series] >= number for series, number in before.rising.items())
    assert len(seen) > 6


def test_it_is_not_ready_while_a_worker_is_missing(start: Start) -> None:
    watched = start(TWO)
    assert watched.request("/readyz").status == 200
    before = watched.workers()

    for pid in before:
        os.kill(pid, signal.SIGKILL)

    wait_until(has_status(watched, "/readyz", 503), "it to be missed")
    wait_until(has_status(watched, "/readyz", 200), "another one")
    assert watched.request("/readyz").body == "ok\n"
    assert not set(before) & set(watched.workers())


def test_what_is_missing_is_said(start: Start) -> None:
    watched = start("[milter]\nworkers = 1\n")
    said: set[tuple[str, str]] = set()

    def both() -> bool:
        said.update((path, watched.request(path).body) for path in ("/healthz", "/readyz"))
        return len(said) == 4

    os.kill(watched.workers()[0], signal.SIGKILL)
    wait_until(both, "both to be in trouble, and well again")

    assert said == {
        ("/healthz", "no worker is ready\n"),
        ("/readyz", "0 of 1 workers are ready\n"),
        ("/healthz", "ok\n"),
        ("/readyz", "ok\n"),
    }


def test_a_supervisor_that_hangs_is_not_healthy(start: Start) -> None:
    watched = start()

    watched.alignd.process.send_signal(signal.SIGSTOP)
    try:
        wait_until(has_status(watched, "/healthz", 503), "it to be noticed")
        assert watched.request("/healthz").body == "the supervisor does not respond\n"
    finally:
        watched.alignd.process.send_signal(signal.SIGCONT)
    wait_until(has_status(watched, "/healthz", 200), "it to be well again")


def test_metrics_are_served_until_the_last_session_has_ended(start: Start) -> None:
    watched = start()
    with MilterConnection(watched.alignd.socket) as mta:
        watched.alignd.process.terminate()
        wait_until(has_status(watched, "/readyz", 503), "it to say that it ends")
        assert watched.request("/readyz").body == "the service is stopping\n"

        mta.send(AGENT, ("julia@customer.example",), message(AGENT))

        assert watched.scrape().of("alignd_messages_total", action="rewrite") == 1
    assert watched.alignd.process.wait(timeout=PATIENCE) == 0
    assert not is_listened_on(watched.port)


def is_listened_on(port: int) -> bool:
    with socket.socket() as client:
        return client.connect_ex(("127.0.0.1", port)) == 0


def test_reloads_are_counted(start: Start) -> None:
    watched = start(TWO)
    path, alignd = watched.alignd.config_path, watched.alignd
    good = path.read_text()
    assert watched.scrape()["alignd_configuration_last_reload_successful"] == 1

    for text, result, successful in (
        (good.replace("hostname", "hostnam"), ("refused",), 0),
        (good, ("done",), 1),
    ):
        path.write_text(text)
        alignd.process.send_signal(signal.SIGHUP)
        alignd.wait_for_notice("RELOADING=1")
        alignd.wait_for_notice("READY=1")

        scrape = watched.scrape()
        assert scrape.counted("alignd_configuration_reloads_total")[result] == 1
        assert scrape["alignd_configuration_last_reload_successful"] == successful
    assert watched.scrape().of("alignd_configuration_reloads_total") == 2


def test_a_reload_moves_the_metrics_and_takes_them_away(start: Start) -> None:
    watched = start()
    send(watched, AGENT)
    alignd, (port,) = watched.alignd, free_ports(1)
    there = Watched(alignd, port)

    def reload(listen: str) -> None:
        text = alignd.config_path.read_text()
        changed = re.sub(r"(?m)^listen = .*$", f'listen = "{listen}"', text)
        alignd.config_path.write_text(changed)
        alignd.process.send_signal(signal.SIGHUP)

    reload(f"127.0.0.1:{port}")
    there.wait_until_served()
    assert there.scrape().of("alignd_messages_total") == 1
    assert not is_listened_on(watched.port)

    reload("")
    wait_until(lambda: not is_listened_on(port), "the port to be closed")
    wait_until(lambda: alignd.children() == there.workers(), "its process to end")


def test_the_breaker_opens_and_closes(start: Start) -> None:
    with run_nameserver(FaultyNameserver(seed=1)) as nameserver:
        assert isinstance(nameserver, FaultyNameserver)
        nameserver.serve(ZONE)
        watched = start('[dns]\ntimeout = "300ms"\nstale = "1h"', nameserver)
        send(watched, GOOD)
        before = watched.scrape()
        assert before["alignd_dns_breakers_open"] == 0

        nameserver.fault = Fault.SILENT
        send(watched, AGENT)
        wait_until(lambda: breakers(watched) == 1, "the breaker to open")
        send(watched, GOOD)

        during = watched.scrape()
        assert during.of("alignd_dns_queries_total", result="timeout") >= 1
        assert during.of("alignd_messages_total", reason="dns-unknown") == 1
        # Of this domain all is known, so nothing was asked.
        assert during.of("alignd_messages_total", reason="spf-aligned") == 2
        used = during.of("alignd_fallbacks_total", cause="last-known-answer")
        assert used == len(ASKED_OF_GOOD)

        nameserver.fault = Fault.NONE
        wait_until(lambda: breakers(watched) == 0, "the breaker to close")


def breakers(watched: Watched) -> float:
    return watched.scrape()["alignd_dns_breakers_open"]


def test_questions_are_counted_by_type_and_result(start: Start, nameserver: Nameserver) -> None:
    watched = start('[dns]\nmin_ttl = "1m"')
    nameserver.serve(
        world("""\
a.example.        TXT "v=spf1 a:host.example a:alias.example mx -all"
host.example.     TXT "no address"
a.example.        MX 10 refused.example.
; SERVFAIL _dmarc.a.example
""")
    )

    send(watched, "ann@a.example")
    once = watched.scrape()
    send(watched, "ann@a.example")
    twice = watched.scrape()

    # As the nameserver saw it, each question once; what is asked about the HELO name is no mail's.
    asked = dict.fromkeys(("A", "AAAA", "MX", "TXT"), 0)
    ours = ("easysoftware.com.", "_dmarc.com.", f"{cast.SPF_INCLUDE}.")
    for name, kind in set(nameserver.questions):
        if name.endswith("example.") or (kind == "TXT" and name.endswith(ours)):
            asked[kind] += 1
    for kind, count in asked.items():
        assert once.of("alignd_dns_queries_total", type=kind) == count > 0
    assert once.of("alignd_dns_queries_total", type="A", result="no-data") == 1
    assert once.of("alignd_dns_queries_total", type="A", result="nxdomain") == 2
    assert once.of("alignd_dns_queries_total", type="TXT", result="servfail") == 1
    assert once.of("alignd_dns_queries_total", type="MX", result="answered") == 1
    assert twice.of("alignd_dns_queries_total") == once.of("alignd_dns_queries_total")
    assert twice["alignd_dns_cache_hits_total"] > once["alignd_dns_cache_hits_total"]


def test_a_message_that_cannot_be_changed_is_a_temporary_failure(start: Start) -> None:
    watched = start()
    with MilterConnection(watched.alignd.socket, actions=ALL_ACTIONS & ~CHANGE_HEADERS) as mta:
        assert not mta.send(AGENT, ("j@customer.example",), message(AGENT)).accepted

    scrape = watched.scrape()
    assert scrape.counted("alignd_fallbacks_total") == {("tempfail",): 1}
    assert scrape.of("alignd_messages_total") == 1


def test_a_dry_run_counts_what_it_would_have_changed(start: Start) -> None:
    watched = start("[rules]\ndry_run = true")

    send(watched, AGENT)
    send(watched, GOOD)

    scrape = watched.scrape()
    assert scrape.of("alignd_messages_total", action="rewrite") == 1
    assert scrape["alignd_dry_run_messages_total"] == 1


def test_rewritten_mail_is_counted_by_what_from_got(start: Start) -> None:
    watched = start('[return]\nkeys = "return.keys"\n')
    local_part, _, domain = AGENT.rpartition("@")

    for author in (AGENT, AGENT, f"{local_part}/x@{domain}", f"{'x' * 60}@{domain}", GOOD):
        send(watched, author)

    counted = watched.scrape().counted("alignd_return_addresses_total")
    assert counted == {("return",): 2, ("characters",): 1, ("too-long",): 1}
    rewritten = re.findall(r"action=rewrite .* address=(\w+)", watched.alignd.log())
    assert rewritten == ["return", "return", "shared", "shared"]


def test_limits_are_counted(start: Start) -> None:
    watched = start(
        "[milter]\nmax_header_bytes = 1000\nmax_body_bytes = 1000\n[dkim]\nverify = true\n"
    )
    send(watched, GOOD, b"X-Long: " + b"x" * 2000 + b"\r\n")
    with MilterConnection(watched.alignd.socket) as mta:
        mta.send(GOOD, ("julia@customer.example",), message(GOOD) + b"x" * 2000)

    assert watched.scrape().counted("alignd_fallbacks_total") == {
        ("max_header_bytes",): 1,
        ("max_body_bytes",): 1,
    }


def test_sessions_that_are_refused_are_counted(start: Start) -> None:
    watched = start("[milter]\nmax_connections = 1\n")
    with MilterConnection(watched.alignd.socket):
        for _ in range(3):
            with MilterConnection(watched.alignd.socket):
                pass

    assert watched.scrape().counted("alignd_fallbacks_total") == {("max_connections",): 3}


def test_no_label_names_a_domain_or_an_address(start: Start) -> None:
    watched = start('[log]\nlevel = "debug"\n[rules]\nalways = ["good.example"]')
    send(watched, AGENT)
    send(watched, "ann@broken.example", b"Reply-To: other@else.example\r\n")
    send(watched, GOOD, b"From: second@else.example\r\n")
    send(watched, "<@[192.0.2.1]>", client="2001:db8::9")

    scrape = watched.scrape()

    assert scrape.of("alignd_messages_total") == 4
    labels = {label for sample in scrape.samples for label in sample.labels}
    assert labels == {
        *("action", "reason", "cause", "type", "result", "le", "version", "python"),
        *("input", "process", "state", "task", "kind", "origin"),
    }
    for sample in scrape.samples:
        for label, value in sample.labels.items():
            if label not in {"le", "version", "python"}:
                assert re.fullmatch(r"[A-Za-z_-]+", value), value


def test_prometheus_s_own_rules_for_names_are_kept(start: Start) -> None:
    for family in start().scrape().families:
        assert family.name.startswith("alignd_")
        assert family.documentation.endswith(".")
        assert not family.name.endswith(("_ms", "_milliseconds", "_count"))
        assert family.type in {"counter", "gauge", "histogram"}


@pytest.mark.parametrize(
    ("method", "path", "status", "body"),
    [
        ("GET", "/metrics", 200, "# HELP alignd_messages_total "),
        ("GET", "/metrics?name[]=up", 200, "# HELP alignd_messages_total "),
        ("GET", "/healthz", 200, "ok\n"),
        ("GET", "/readyz", 200, "ok\n"),
        ("HEAD", "/metrics", 200, ""),
        ("GET", "/", 404, "try /metrics, /status, /healthz or /readyz\n"),
        ("GET", "/metrics/", 404, "try "),
        ("GET", "//etc/passwd", 404, "try "),
        ("POST", "/metrics", 405, "only GET and HEAD\n"),
        ("DELETE", "/", 405, "only "),
    ],
)
def test_requests(start: Start, method: str, path: str, status: int, body: str) -> None:
    response = start().request(path, method)

    assert response.status == status
    assert response.body.startswith(body)
    assert bool(response.body) == (method != "HEAD")
    assert response.content_type.startswith("text/plain; ")


@pytest.mark.parametrize(
    "garbage",
    [
        pytest.param(b"\r\n\r\n", id="nothing"),
        pytest.param(b"GET /metrics\r\n\r\n", id="the-first-http"),
        pytest.param(b"GET /metrics FTP/1.0\r\n\r\n", id="another-protocol"),
        pytest.param(bytes(range(256)) + b"\r\n\r\n", id="octets"),
        pytest.param(b"GET / HTTP/1.1\r\n" + b"X: y\r\n" * 10_000, id="an-endless-header"),
        pytest.param(b"x" * 1_000_000, id="an-endless-line"),
    ],
)
def test_garbage_is_refused(start: Start, garbage: bytes) -> None:
    watched = start()
    with socket.create_connection(("127.0.0.1", watched.port), timeout=10) as client:
        try:
            client.sendall(garbage)
            answer = client.recv(100)
        except ConnectionError:
            answer = b""  # cut before it was all said
    assert answer.startswith(b"HTTP/1.1 400 ") or not answer
    assert watched.request("/healthz").status == 200
    assert "monitor" not in watched.alignd.log()


def test_hostile_clients_hold_up_neither_mail_nor_scrapes_nor_systemd(
    nameserver: Nameserver, directory: Path
) -> None:
    nameserver.serve(ZONE)
    (port,) = free_ports(1)
    with (
        run_alignd(
            directory / "alignd",
            nameserver.address,
            f'[metrics]\nlisten = "127.0.0.1:{port}"\n',
            environment={"WATCHDOG_USEC": "1000000"},
        ) as alignd,
        ExitStack() as hostile,
    ):
        watched = Watched(alignd, port)
        watched.wait_until_served()
        monitor = watched.monitor()
        for number in range(300):
            client = hostile.enter_context(socket.socket())
            client.connect(("127.0.0.1", port))
            # Some say nothing, some half a request, and some never read the answer.
            client.sendall(
                (b"", b"GET /metrics HTT", b"GET /metrics HTTP/1.1\r\n\r\n")[number % 3]
            )
            if number % 50 == 0:
                send(watched, AGENT)
                assert watched.scrape().of("alignd_messages_total") == number / 50 + 1

        while alignd.notices.take("WATCHDOG=1"):
            pass  # those of before
        alignd.wait_for_notice("WATCHDOG=1")
        send(watched, AGENT)
        assert watched.scrape().of("alignd_messages_total") == 7
        assert monitor is not None
        assert len(list(Path(f"/proc/{monitor}/fd").iterdir())) < 64
        assert watched.monitor() == monitor


def test_silent_clients_are_cut(start: Start) -> None:
    watched = start()
    with socket.create_connection(("127.0.0.1", watched.port), timeout=10) as client:
        assert not client.recv(1)


def test_a_monitor_that_dies_is_replaced_and_loses_nothing(start: Start) -> None:
    watched = start()
    send(watched, AGENT)
    victim = watched.monitor()
    assert victim is not None

    os.kill(victim, signal.SIGKILL)
    send(watched, AGENT)

    wait_until(lambda: watched.monitor() not in {None, victim}, "another one")
    assert watched.scrape().of("alignd_messages_total") == 2
    assert "process ended and is replaced process=monitor" in watched.alignd.log()


def test_the_monitor_ends_with_a_supervisor_that_is_killed(start: Start) -> None:
    watched = start()

    watched.alignd.process.kill()

    wait_until(lambda: not is_listened_on(watched.port), "the port to be closed")


def versions(watched: Watched) -> list[str]:
    samples = watched.scrape().samples
    return [each.labels["version"] for each in samples if each.name == "alignd_build_info"]


def test_the_version_is_that_of_what_runs(nameserver: Nameserver, directory: Path) -> None:
    installed = directory / "site-packages"
    shutil.copytree(Path(telemetry.__file__).parents[1], installed / "alignd")

    def install(version: str) -> Path:
        about = installed / f"alignd-{version}.dist-info"
        about.mkdir()
        (about / "METADATA").write_text(
            f"Metadata-Version: 2.1\nName: alignd\nVersion: {version}\n"
        )
        return about

    old = install("7.0")
    (port,) = free_ports(1)
    changes = f'[metrics]\nlisten = "127.0.0.1:{port}"\n'
    environment = {"PYTHONPATH": str(installed)}
    with run_alignd(
        directory / "alignd", nameserver.address, changes, environment=environment
    ) as running:
        watched = Watched(running, port)
        watched.wait_until_served()
        assert versions(watched) == ["7.0"]

        shutil.rmtree(old)
        install("8.0")
        assert versions(watched) == ["7.0"]

        shutil.rmtree(installed)
        assert versions(watched) == ["7.0"]
        victim = watched.monitor()
        assert victim is not None
        os.kill(victim, signal.SIGKILL)
        wait_until(lambda: watched.monitor() not in {None, victim}, "another one")
        assert versions(watched) == ["7.0"]


def test_a_port_in_use_stops_no_mail(nameserver: Nameserver, directory: Path) -> None:
    nameserver.serve(ZONE)
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        changes = f'[metrics]\nlisten = "127.0.0.1:{port}"\n'
        with run_alignd(directory / "alignd", nameserver.address, changes) as alignd:
            watched = Watched(alignd, port)
            complaint = f"cannot serve metrics (mail is not affected) listen=127.0.0.1:{port} "
            wait_until(lambda: complaint in alignd.log(), "the complaint")
            send(watched, AGENT)

            other.close()

            watched.wait_until_served()
            assert watched.scrape().of("alignd_messages_total") == 1
            assert alignd.log().count("cannot serve metrics") == 1


def test_metrics_that_are_off_have_no_process_and_no_port(
    nameserver: Nameserver, directory: Path
) -> None:
    nameserver.serve(ZONE)
    with run_alignd(directory / "alignd", nameserver.address, '[metrics]\nlisten = ""') as alignd:
        with MilterConnection(alignd.socket) as mta:
            answer = mta.send(AGENT, ("j@customer.example",), message(AGENT)).answer
        assert any(isinstance(edit, ChangeSender) for edit in answer.modifications)
        assert len(alignd.children()) == 1  # the worker
        assert not any(listening(pid) for pid in [alignd.process.pid, *alignd.children()])


@pytest.mark.skipif(not Path("/proc/net/if_inet6").exists(), reason="there is no IPv6 here")
def test_metrics_are_served_over_ipv6(nameserver: Nameserver, directory: Path) -> None:
    (port,) = free_ports(1)
    changes = f'[metrics]\nlisten = "[::1]:{port}"\n'
    with run_alignd(directory / "alignd", nameserver.address, changes) as alignd:
        Watched(alignd, port).wait_until_served(host="::1")


def test_only_the_monitor_listens_on_the_port(start: Start) -> None:
    watched = start(TWO)

    assert watched.monitor() is not None
    assert not any(listening(pid) for pid in [watched.alignd.process.pid, *watched.workers()])
