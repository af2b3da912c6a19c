"""The package on booted Debians: installing, mail, faults, upgrade and removal, in this order."""

import json
import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

import dkim
import pytest

from tests.lab import booted, cast
from tests.lab.booted import Machine
from tests.lab.places import ROOT
from tests.lab.readiness import wait_until
from tests.lab.roots import RELEASES, Release
from tests.support.booted_relay import ZONE, BootedRelay, older, run_relay
from tests.support.commands import blocks

PACKAGES = Path(os.environ.get("ALIGND_PACKAGES", ROOT / "dist"))
EARLIER = "0.0.1~earlier"
INSTALL = "apt-get install --yes --no-install-recommends {}"
KEEP = "-o Dpkg::Options::=--force-confold"
CONF = "/etc/alignd/alignd.conf"
SERVICES = ("alignd.service", "alignd-return.service", "alignd-web.service")
TIMER = "alignd-doctor.timer"
OPENDKIM = "OpenDKIM, from nothing"
INSTALLING = "Debian package"
WATCHED = "[Service]\nWatchdogSec=5s\n"
SIGNED = {"dkim": f'signs = [{{ domain = "{cast.NOTIFICATIONS_DOMAIN}", selector = "easy1" }}]'}
EVERYTHING = {
    "return": 'keys = "/etc/alignd/return.keys"',
    "ledger": 'window = "unix:/run/alignd/window/ledger.sock"',
    "web": 'doctor = "/var/lib/alignd-doctor/report.json"',
}

pytestmark = pytest.mark.booted


def package_of(release: Release) -> Path:
    found = sorted(PACKAGES.glob(f"alignd_*~deb{release.number}_*.deb"))
    assert found, f"no package for {release.name} in {PACKAGES}: `make deb` builds it"
    return found[-1]


@pytest.fixture(scope="module", params=RELEASES, ids=lambda release: release.name)
def relay(request: pytest.FixtureRequest) -> Iterator[BootedRelay]:
    """A relay with a stock Postfix and OpenDKIM, and no alignd."""
    if obstacle := booted.obstacle():
        # What was asked for cannot be done here, and that is no success.
        if os.environ.get("ALIGND_BOOT") == "no":
            pytest.skip(f"{obstacle}; ALIGND_BOOT=no allows that")
        pytest.fail(f"{obstacle}. ALIGND_BOOT=no leaves these tests out.", pytrace=False)
    with run_relay(request.param) as started:
        yield started


def test_installing_starts_nothing_and_says_what_comes_next(relay: BootedRelay) -> None:
    machine = relay.machine
    path = machine.copy(package_of(relay.release), "/root")

    said = machine.do(INSTALL.format(path))

    assert "alignd doctor" in said
    assert "systemctl enable --now alignd" in said
    for unit in (*SERVICES, "alignd.socket", TIMER, "alignd-digest.timer"):
        assert not machine.is_active(unit), unit
        assert machine.run(f"systemctl is-enabled {unit}").output.strip() != "enabled", unit
    assert machine.do("alignd --version").startswith("alignd")
    assert machine.do(f"stat -c '%U:%G %a' {CONF}").strip() == "root:alignd 640"
    assert machine.run("man -w alignd 2>&1 || ls /usr/share/man/man8/alignd.8.gz").status == 0


def test_it_does_not_start_before_it_is_configured(relay: BootedRelay) -> None:
    machine = relay.machine

    checked = machine.run("alignd check-config")
    machine.run("systemctl start alignd")

    assert checked.status == 78
    assert "relay.hostname is missing" in checked.output
    wait_until(lambda: machine.show("alignd", "ActiveState") == "failed", "it to give up")
    assert machine.show("alignd", "NRestarts") == "0"
    machine.do("systemctl stop alignd.socket alignd; systemctl reset-failed")


def test_markys_reply_arrives_rewritten_and_signed(relay: BootedRelay) -> None:
    machine = relay.machine
    machine.do(configured())
    for block in blocks("docs/operation.md", OPENDKIM):
        machine.do(f"set -e\n{block}")
    machine.do(added(SIGNED))
    *commands, last = blocks("docs/install.md", INSTALLING)[1].splitlines()
    assert last == "alignd doctor"
    relay.nameserver.serve(
        ZONE
        + machine.do("cat /etc/dkimkeys/easy1.txt").replace(
            "easy1._domainkey", f"easy1._domainkey.{cast.NOTIFICATIONS_DOMAIN}."
        )
    )
    for command in commands:
        assert machine.run(command).status == 0, machine.log_of("alignd")
    machine.do("alignd postfix-snippet --layout inline --file main.cf >>/etc/postfix/main.cf")
    machine.do("systemctl reload postfix")

    arrived = relay.deliver("first")

    assert arrived["From"] == f'"Marky Mark {cast.VIA}" <{cast.NOTIFICATIONS}>'
    assert arrived["Reply-To"] == f'"Marky Mark" <{cast.MARKY}>'
    assert f"d={cast.NOTIFICATIONS_DOMAIN}" in arrived["DKIM-Signature"]
    assert is_signed(machine, relay.arrival("first").message)


def configured() -> str:
    """The command that sets what has no default."""
    values = {
        "hostname": f'"{cast.RELAY}"',
        "addresses": json.dumps(list(cast.RELAY_ADDRESSES)),
        "address": f'"{cast.NOTIFICATIONS}"',
        "display_name": f'"{{name}} {cast.VIA}"',
    }
    edits = " ".join(f"-e 's|^#{name} = .*|{name} = {text}|'" for name, text in values.items())
    return f"sed -i {edits} {CONF}"


def added(lines: Mapping[str, str]) -> str:
    """The command that puts *lines* into the tables by whose name they are."""
    edits = " ".join(f"-e '/^\\[{table}\\]$/a {line}'" for table, line in lines.items())
    return f"sed -i {edits} {CONF}"


def is_signed(machine: Machine, message: bytes) -> bool:
    """Whether a signature on *message* holds by the record that is to be published."""
    record = "".join(re.findall(r'"([^"]*)"', machine.do("cat /etc/dkimkeys/easy1.txt"))).encode()

    def published(name: bytes, timeout: int = 5) -> bytes:
        del name, timeout
        return record

    return bool(dkim.verify(message, dnsfunc=published))


def test_doctor_has_nothing_to_mend(relay: BootedRelay) -> None:
    done = relay.machine.run("alignd doctor --json")

    found = json.loads(done.output)["findings"]
    assert [each["id"] for each in found if each["severity"] == "error"] == [], found


def test_doctor_finds_the_signer_that_postfix_cannot_reach(relay: BootedRelay) -> None:
    place = "/var/spool/postfix/opendkim"
    mode = relay.machine.do(f"stat -c %a {place}").strip()
    relay.machine.do(f"chmod 700 {place}")

    found = json.loads(relay.machine.run("alignd doctor --json").output)["findings"]

    relay.machine.do(f"chmod {mode} {place}")
    assert "milter-unreachable" in [each["id"] for each in found]


def test_check_config_reads_as_the_services_do(relay: BootedRelay) -> None:
    machine = relay.machine
    machine.do(f"cp -a {CONF} /root/kept && chmod 600 {CONF}")

    checked = machine.run("alignd check-config")

    machine.do(f"chmod 640 {CONF}")
    assert checked.status == 78
    assert "cannot be read by alignd" in checked.output
    assert machine.run("alignd check-config").status == 0


def test_a_reload_names_what_is_wrong_and_keeps_the_old_configuration(relay: BootedRelay) -> None:
    machine = relay.machine
    main = machine.show("alignd", "MainPID")
    machine.do(f"cp -a {CONF} /root/kept && echo 'odd = 1' >>{CONF}")

    refused = machine.run("systemctl reload alignd")

    assert refused.status == 1
    assert "odd" in machine.log_of("alignd")
    machine.do(f"cp -a /root/kept {CONF}")
    machine.do(f"sed -i 's/{cast.VIA}/via the Desk/' {CONF} && systemctl reload alignd")
    wait_until(lambda: "via the Desk" in relay.deliver(os.urandom(4).hex())["From"], "the change")
    assert machine.show("alignd", "MainPID") == main
    machine.do(f"cp -a /root/kept {CONF} && systemctl reload alignd")


def workers(machine: Machine) -> list[str]:
    """The process ids of the workers of alignd."""
    group = machine.show("alignd", "ControlGroup")
    pids = machine.do(f"cat /sys/fs/cgroup{group}/cgroup.procs").split()
    names = {pid: machine.run(f"cat /proc/{pid}/comm").output.strip() for pid in pids}
    return [pid for pid, name in names.items() if name == "alignd: worker"]


def test_a_killed_worker_is_replaced(relay: BootedRelay) -> None:
    machine = relay.machine
    main = machine.show("alignd", "MainPID")
    before = workers(machine)

    # Each sender may have had a message in that worker.
    with relay.mail(senders=2, put_off=2):
        machine.do(f"kill -KILL {before[0]}")
        wait_until(lambda: before[0] not in (now := workers(machine)) and now, "another")

    assert (len(workers(machine)), machine.show("alignd", "MainPID")) == (len(before), main)


def test_no_connection_is_refused_while_it_restarts(relay: BootedRelay) -> None:
    with relay.mail() as flow:
        for _ in range(3):
            relay.machine.do("systemctl restart alignd")
            flow.await_some()


def test_a_message_starts_what_was_stopped(relay: BootedRelay) -> None:
    machine = relay.machine
    machine.do("systemctl stop alignd 2>&1")

    assert relay.deliver("starts")["Alignd"]
    wait_until(lambda: machine.is_active("alignd"), "systemd to know")


def test_mail_waits_while_service_and_socket_are_stopped(relay: BootedRelay) -> None:
    machine = relay.machine
    machine.do("systemctl stop alignd.socket alignd")

    refused = relay.send("stopped")
    machine.do("systemctl start alignd")

    assert refused.code == 451
    assert relay.deliver("started")["Alignd"]


def test_the_watchdog_ends_what_has_stopped(relay: BootedRelay) -> None:
    machine = relay.machine
    machine.do("mkdir -p /run/systemd/system/alignd.service.d")
    machine.do(
        "printf '[Service]\\nWatchdogSec=5s\\n' >/run/systemd/system/alignd.service.d/w.conf"
    )
    machine.do("systemctl daemon-reload && systemctl restart alignd")
    main = machine.show("alignd", "MainPID")

    machine.do(f"kill -STOP {main}")

    wait_until(lambda: machine.show("alignd", "MainPID") not in {main, "0"}, "another", 60)
    assert "watchdog" in machine.log_of("alignd").lower()
    assert relay.deliver("watched")["Alignd"]
    machine.do("rm -r /run/systemd/system/alignd.service.d && systemctl daemon-reload")
    machine.do("systemctl restart alignd")


def test_the_sandbox_bears_every_feature(relay: BootedRelay) -> None:
    machine = relay.machine
    machine.do("alignd new-key >/etc/alignd/return.keys")
    machine.do("chown root:alignd-keys /etc/alignd/return.keys; chmod 640 /etc/alignd/return.keys")
    machine.do(added(EVERYTHING))
    machine.do("alignd check-config")

    machine.do("systemctl restart alignd")
    machine.do(f"systemctl enable --now alignd-return alignd-web {TIMER}")
    machine.do("systemctl start alignd-doctor.service", timeout=120)

    assert re.search(r"k?[a-z0-9]+@notifications", relay.deliver("everything")["From"])
    for unit in SERVICES:
        assert machine.is_active(unit), machine.log_of(unit)
        assert machine.show(unit, "NRestarts") == "0"
    assert machine.show("alignd-doctor.service", "Result") == "success"
    assert json.loads(machine.do("cat /var/lib/alignd-doctor/report.json"))["findings"] is not None
    wait_until(lambda: cast.COMPANY_DOMAIN in machine.run("alignd ledger").output, "the ledger")
    told = "".join(map(machine.log_of, (*SERVICES, "alignd-doctor.service")))
    assert not re.search(r"Traceback|Operation not permitted|EPERM", told), told


def test_an_older_package_and_this_one_again_with_mail_flowing(
    relay: BootedRelay, tmp_path: Path
) -> None:
    machine = relay.machine
    this = package_of(relay.release)
    before = machine.copy(older(this, EARLIER, tmp_path), "/root")
    conf, known = machine.do(f"cat {CONF}"), ledger(machine)

    for path, options in ((before, f"{KEEP} --allow-downgrades"), (f"/root/{this.name}", KEEP)):
        since = ready_lines(machine)
        with relay.mail() as flow:
            machine.do(f"{INSTALL.format(path)} {options}", timeout=300)
            flow.await_some()
        assert ready_lines(machine) == since + 1, "it restarts once"

    assert machine.do(f"cat {CONF}") == conf
    assert known
    assert ledger(machine) == known
    assert all(map(machine.is_active, SERVICES))


def ledger(machine: Machine) -> dict[str, str]:
    """The domains of the ledger, each with its state."""
    said = machine.run("alignd ledger --json").output
    return {each["domain"]: each["action"] for each in map(json.loads, said.splitlines())}


def ready_lines(machine: Machine) -> int:
    """How often alignd was ready."""
    return len(re.findall(r"^ready ", machine.log_of("alignd"), re.MULTILINE))


def test_removing_keeps_what_it_has_learned_and_purging_keeps_nothing(relay: BootedRelay) -> None:
    machine = relay.machine
    machine.do("postconf -X smtpd_milters non_smtpd_milters && systemctl reload postfix")

    machine.do("apt-get remove --yes alignd")

    assert list(filter(machine.is_active, (*SERVICES, "alignd.socket", TIMER))) == []
    assert machine.run("test -e /usr/bin/alignd -o -e /usr/lib/alignd/bin").status == 1
    machine.do(f"test -s {CONF} && test -d /var/lib/alignd")
    machine.do("apt-get purge --yes alignd")
    left = "find / -xdev -name '*alignd*' -not -path '/proc/*' -not -path '/root/*' 2>/dev/null"
    kept = r"/etc/alignd|/var/lib/dpkg|/var/log/|/etc/systemd/system|sysusers"
    found = [path for path in machine.do(left).splitlines() if not re.search(kept, path)]
    assert found == []
    assert machine.run("systemctl --failed --quiet --no-legend").output.strip() == ""
