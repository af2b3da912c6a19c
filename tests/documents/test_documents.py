"""The documents agree with the code: conf, Postfix lines, unit, pages, cases."""

import ast
import configparser
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from click.testing import CliRunner

from alignd.cli.main import main
from alignd.config.endpoint import InetEndpoint, InetSocket
from alignd.config.file import (
    DEFAULT_PATH,
    ConfigError,
    load_configuration,
    option_names,
    parse_configuration,
)
from alignd.config.settings import Configuration, DkimOptions, Helpdesk, Rules
from alignd.doctor.report.document import STALE_SECONDS
from alignd.judgement.reasons import Reason, Rule
from alignd.judgement.return_reasons import ReturnReason
from alignd.judgement.words import WORDS
from bench.page import Results, written
from bench.readers import DOMAIN, JSON, LIST, Looked
from bench.speed import GOALS
from bench.with_readers import MACHINES, PEOPLE, WithReaders
from storm.table import STORMS
from tests.lab.places import ROOT
from tests.support.configtext import REQUIRED, filled_in
from tests.support.selection import CASES, RETURN_CASES

CONF = ROOT / "conf/alignd.conf"
README = (ROOT / "README.md").read_text()
OPERATION = (ROOT / "docs/operation.md").read_text()
HOW_IT_DECIDES = (ROOT / "docs/how-it-decides.md").read_text()
WITHOUT_CONFIGURATION = {"reasons"}
SERVICES = ("alignd.service", "alignd-return.service", "alignd-web.service")
OF_RECEIVERS = ("alignd-feedback.service", "alignd-reports.service")
"""Those that write to the ledger what receivers say."""
PAGES = [
    path.relative_to(ROOT)
    for path in (*sorted(ROOT.glob("*.md")), *sorted(ROOT.glob("docs/*.md")))
]
TREES = {
    *("milter", "conf", "systemd", "docs", "man", "tests", "tools", "demo", "storm", "bench"),
    *("debian", "packaging"),
}
"""Where paths begin that a page names."""


def sections() -> dict[str, str]:
    """The text below each table of the shipped configuration."""
    parts = re.split(r"^#?\[\[?(\w+)\]\]?$", CONF.read_text(), flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def test_the_shipped_configuration_has_to_be_edited() -> None:
    with pytest.raises(ConfigError) as caught:
        load_configuration(CONF)

    told = [problem.text.partition(" ")[0] for problem in caught.value.problems]
    assert set(told) == {"relay.hostname", "relay.addresses", "notifications.address"}


def options() -> list[tuple[str, str]]:
    return [(table, name) for table, names in option_names().items() for name in names]


def test_the_shipped_configuration_loads_and_equals_the_defaults() -> None:
    shipped = parse_configuration(filled_in(), "filled in")

    bare = Configuration(relay=shipped.relay, notifications=shipped.notifications)
    assert shipped == bare
    assert shipped.relay.model_fields_set == REQUIRED["relay"]
    assert shipped.notifications.model_fields_set == REQUIRED["notifications"]


def test_the_defaults_that_it_shows_are_the_defaults() -> None:
    text = filled_in().partition("#[[tenant]]")[0]
    shown = re.sub(r"^#(?=[a-z_]+ = )", "", text, flags=re.MULTILINE)
    # These show an example, since they have no value by default.
    examples = r"^(spf_include|envelope_sender|opendkim|domain) = .*$"
    shown = re.sub(examples, "", shown, flags=re.MULTILINE)

    assert parse_configuration(shown, "shown") == parse_configuration(filled_in(), "filled in")


@pytest.mark.parametrize(("table", "name"), options())
def test_every_option_is_described(table: str, name: str) -> None:
    section = sections()[table]
    assert re.search(rf"^#?{name} = ", section, re.MULTILINE), name


@pytest.mark.parametrize(("table", "name"), [pair for pair in options() if pair[0] != "tenant"])
def test_every_option_has_a_purpose_and_its_default(table: str, name: str) -> None:
    before = re.split(rf"^#?{name} = ", sections()[table], flags=re.MULTILINE)[0]
    comment = before.rpartition("\n\n")[2]

    assert len(re.findall(r"^# \S", comment, re.MULTILINE)) >= 2
    assert ("no default" in comment) == (name in REQUIRED.get(table, set()))
    assert ("Default" in comment) != ("no default" in comment)


def test_the_examples_of_the_options_are_valid() -> None:
    shipped = filled_in()
    examples = [
        (table, example)
        for table, text in sections().items()
        for example in re.findall(r"^# Example: (.*)$", text, re.MULTILINE)
    ]

    required = {name for names in REQUIRED.values() for name in names}
    for table, example in examples:
        if example.partition(" = ")[0] in required and table in REQUIRED:
            continue  # it is in there
        changed, count = re.subn(
            rf"^\[{table}\]$", f"[{table}]\n{example}", shipped, flags=re.MULTILINE
        )
        assert count == 1
        parse_configuration(changed, example)
    assert len(examples) >= 8


def test_the_tenant_example_is_valid() -> None:
    example = CONF.read_text().partition("#[[tenant]]")[2]
    uncommented = "[[tenant]]" + re.sub(r"^#", "", example, flags=re.MULTILINE)

    shipped = parse_configuration(filled_in() + uncommented, "tenant")

    assert len(shipped.tenant) == 1


def default_endpoint() -> InetEndpoint:
    socket = parse_configuration(filled_in(), "filled in").milter.socket
    assert isinstance(socket, InetSocket)
    return socket.endpoint


def test_postfix_lines_reach_the_default_socket() -> None:
    endpoint = default_endpoint()
    for name in ("inline/main.cf", "inline/master.cf", "queue-first/master.cf"):
        text = (ROOT / "conf/postfix" / name).read_text()
        assert str(endpoint) in text
        assert text.index(str(endpoint)) < text.index("opendkim.sock"), "before the signer"
        assert "default_action=tempfail" in text


def test_postfix_lines_open_with_their_promise() -> None:
    files = sorted((ROOT / "conf/postfix").glob("*/*.cf"))
    for path in files:
        comment = path.read_text().partition("\n#\n")[0]
        assert comment.startswith(f"# {path.parent.name.capitalize()}")
        assert "promise" in comment.lower()
    assert len(files) == 7


def test_the_lines_of_the_way_back_reach_its_sockets() -> None:
    own = parse_configuration(filled_in(), "filled in").return_path
    assert isinstance(own.milter, InetSocket)
    for name in ("return/main.cf", "return-inside/master.cf"):
        text = (ROOT / "conf/postfix" / name).read_text()
        assert f"{{ {own.milter.endpoint}, connect_timeout=5s" in text
        assert "content_timeout=20s, default_action=tempfail }, unix:opendkim-return" in text
    for name in ("return/main.cf", "return-inside/main.cf"):
        text = (ROOT / "conf/postfix" / name).read_text()
        assert f"proxy:socketmap:unix:{own.socket.path}:return }}" in text


@pytest.mark.parametrize("name", SERVICES)
def test_the_unit_starts_a_command_that_exists(name: str) -> None:
    unit = configparser.ConfigParser(strict=False, interpolation=None)
    unit.optionxform = str  # type: ignore[assignment,method-assign]
    unit.read(ROOT / "systemd" / name)
    service = unit["Service"]

    program, command, *arguments = service["ExecStart"].split()
    assert Path(program).name == "alignd"
    assert command in main.commands
    assert arguments == ["--config", str(DEFAULT_PATH)]
    accounts = (ROOT / "systemd/alignd.sysusers").read_text()
    assert f"u {service['User']} - " in accounts
    for group in service["SupplementaryGroups"].split():
        assert f"g {group} -" in accounts


@pytest.fixture
def units(tmp_path: Path) -> Path:
    """The units, with a program that is here in place of the one to be installed."""
    if not shutil.which("systemd-analyze"):
        pytest.skip("systemd-analyze is not installed")
    for unit in (ROOT / "systemd").glob("alignd*.[st][oei]*"):
        text = unit.read_text().replace("/opt/alignd/bin/alignd", "/bin/true")
        (tmp_path / unit.name).write_text(text)
    return tmp_path


def systemd_analyze(*arguments: str) -> str:
    command = ["systemd-analyze", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    return done.stdout + done.stderr


@pytest.mark.parametrize(
    "unit",
    [
        *SERVICES,
        *("alignd.socket", "alignd-feedback.service"),
        *("alignd-doctor.service", "alignd-doctor.timer"),
        *("alignd-reports.service", "alignd-reports.timer"),
    ],
)
def test_systemd_accepts_the_units(units: Path, unit: str) -> None:
    assert unit not in systemd_analyze("verify", "--man=no", str(units / unit))


@pytest.mark.parametrize(
    ("unit", "most"),
    [
        *(pytest.param(unit, 1.5, id=unit) for unit in (*SERVICES, *OF_RECEIVERS)),
        # It is root, who looks at all files, and can be Postfix's user.
        pytest.param("alignd-doctor.service", 2.5, id="doctor"),
    ],
)
def test_the_sandbox_is_tight(units: Path, unit: str, most: float) -> None:
    said = systemd_analyze("security", "--offline=yes", "--no-pager", str(units / unit))

    exposure = re.search(rf"exposure level for {re.escape(unit)}: ([\d.]+)", said)
    assert exposure is not None, said
    assert float(exposure[1]) <= most


def test_the_unit_of_doctor_writes_where_the_page_looks() -> None:
    unit = configparser.ConfigParser(strict=False, interpolation=None)
    unit.read(ROOT / "systemd/alignd-doctor.service")
    service = unit["Service"]
    report = parse_configuration(filled_in(), "filled in").web.doctor

    _, *command = service["ExecStart"].split()
    assert command == ["doctor", "--save", report, "--config", str(DEFAULT_PATH)]
    assert Path(report).parent == Path("/var/lib") / service["StateDirectory"]
    # Who reads it is in this group, as are files in a directory with its set-group-ID bit.
    web = (ROOT / "systemd/alignd-web.service").read_text()
    assert re.search(rf"^SupplementaryGroups=.*\b{service['Group']}\b", web, re.MULTILINE)
    assert f"g {service['Group']} -" in (ROOT / "systemd/alignd.sysusers").read_text()
    assert service["StateDirectoryMode"] == "2750"
    timer = configparser.ConfigParser(strict=False, interpolation=None)
    timer.read(ROOT / "systemd/alignd-doctor.timer")
    assert timer["Timer"]["OnCalendar"] == "hourly"
    # The random delay is one of all times of a timer: the first look would be minutes late.
    assert timer["Unit"]["Wants"] == "alignd-doctor.service"
    assert set(timer["Timer"]) == {"oncalendar", "randomizeddelaysec", "persistent"}
    assert STALE_SECONDS > 2 * 3600, "one that is late is not too old yet"


@pytest.mark.parametrize("path", sorted(ROOT.glob("systemd/*")), ids=lambda path: path.name)
def test_installing_from_source_installs_every_unit(path: Path) -> None:
    text = (ROOT / "docs/install.md").read_text()
    installing = text.partition("\n### Files\n")[2].partition("\n## ")[0]

    patterns = re.findall(r"systemd/\S+", installing)
    assert any(path.relative_to(ROOT).match(pattern) for pattern in patterns)


def test_the_units_are_ordered_by_the_postfix_of_debian_12_too() -> None:
    """There `postfix.service` is /bin/true, and `postfix@-.service` the mail server."""
    for path in ROOT.glob("systemd/*"):
        for ordered in re.findall(r"^(?:After|Before)=(.*)$", path.read_text(), re.MULTILINE):
            names = set(ordered.split())
            assert ("postfix.service" in names) == ("postfix@-.service" in names), path.name


def test_the_page_may_ask_at_the_window_that_the_configuration_shows() -> None:
    unit = (ROOT / "systemd/alignd.service").read_text()
    (made,) = re.findall(r"^ExecStartPre=-\+\S+ -d -o alignd -g (\S+) -m 2750 (\S+)$", unit, re.M)
    group, directory = made

    shown = re.findall(r"unix:(/run/alignd/\S+)/ledger\.sock", sections()["ledger"])
    assert shown == [directory]
    page = (ROOT / "systemd/alignd-web.service").read_text()
    assert re.search(rf"^SupplementaryGroups=.*\b{group}\b", page, re.MULTILINE)


def test_operators_are_told_of_every_group_of_the_page() -> None:
    page = configparser.ConfigParser(strict=False, interpolation=None)
    page.read(ROOT / "systemd/alignd-web.service")
    service = page["Service"]
    told = (ROOT / "docs/page.md").read_text()

    assert f"chgrp {service['Group']} " in told
    for group in service["SupplementaryGroups"].split():
        assert f"the group `{group}` " in told


def test_the_unit_of_feedback_records_as_the_user_whose_the_ledger_is() -> None:
    units = []
    for name in ("alignd-feedback.service", "alignd.service"):
        unit = configparser.ConfigParser(strict=False, interpolation=None)
        unit.optionxform = str  # type: ignore[assignment,method-assign]
        unit.read(ROOT / "systemd" / name)
        units.append(unit["Service"])
    own, mail = units

    _, *command = own["ExecStart"].split()
    state = f"/var/lib/{own['StateDirectory']}/feedback.json"
    assert command == [
        *("feedback", "--follow", "--record", "--state", state),
        *("--config", str(DEFAULT_PATH)),
    ]
    assert [own[key] for key in ("User", "StateDirectory")] == [
        mail[key] for key in ("User", "StateDirectory")
    ]
    # Logs, and no key.
    assert own["SupplementaryGroups"].split() == ["systemd-journal", "adm"]
    assert state in OPERATION
    # With it the file of rsyslog that has Postfix's lines has alignd's.
    assert mail["SyslogFacility"] == "mail"
    assert own["KillMode"] == "mixed", "else journalctl would end before it"


def test_the_unit_of_reports_stores_as_the_user_whose_the_ledger_is() -> None:
    own, mail = (
        configparser.ConfigParser(strict=False, interpolation=None),
        configparser.ConfigParser(strict=False, interpolation=None),
    )
    own.read(ROOT / "systemd/alignd-reports.service")
    mail.read(ROOT / "systemd/alignd.service")
    service = own["Service"]

    _, *command = service["ExecStart"].split()
    assert command == ["reports", "--imap", "--config", str(DEFAULT_PATH)]
    assert [service[key] for key in ("User", "StateDirectory")] == [
        mail["Service"][key] for key in ("User", "StateDirectory")
    ]
    assert "SupplementaryGroups" not in service, "it needs no key, and no log"
    assert service["SuccessExitStatus"] == "1", "mail that fails is what it finds out"
    assert f"-o {service['User']} imap.password" in (ROOT / "docs/reports.md").read_text()


def test_the_timer_of_reports_asks_the_mail_server_every_hour_but_not_with_all_others() -> None:
    timer = configparser.ConfigParser(strict=False, interpolation=None)
    timer.read(ROOT / "systemd/alignd-reports.timer")

    assert timer["Timer"]["OnCalendar"] == "hourly"
    assert timer["Timer"]["RandomizedDelaySec"] == "30min"
    assert timer["Timer"]["Persistent"] == "true"


@pytest.mark.parametrize("name", OF_RECEIVERS)
def test_what_reads_of_receivers_gets_less_than_mail(name: str) -> None:
    unit = configparser.ConfigParser(strict=False, interpolation=None)
    unit.read(ROOT / "systemd" / name)
    service = unit["Service"]

    assert int(service["Nice"]) > 0
    assert int(service["CPUWeight"]) < 100
    assert int(service["OOMScoreAdjust"]) > 0
    assert service["MemoryMax"]
    assert service["TasksMax"]


@pytest.mark.parametrize("unit", ["alignd-digest.service", "alignd-digest.timer"])
def test_systemd_accepts_the_units_of_the_digest(units: Path, unit: str) -> None:
    assert unit not in systemd_analyze("verify", "--man=no", str(units / unit))


def test_the_unit_of_the_digest_starts_a_command_that_sends_it() -> None:
    unit = configparser.ConfigParser(strict=False, interpolation=None)
    unit.read(ROOT / "systemd/alignd-digest.service")

    program, command, *arguments = unit["Service"]["ExecStart"].split()
    assert Path(program).name == "alignd"
    assert arguments == ["--send", "--config", str(DEFAULT_PATH)]
    assert "--send" in [option.opts[0] for option in main.commands[command].params]
    assert f"u {unit['Service']['User']} - " in (ROOT / "systemd/alignd.sysusers").read_text()


def test_the_unit_of_the_digest_lets_postdrop_have_its_group() -> None:
    """systemd.exec(5) names what implies NoNewPrivileges= for a unit with User=."""
    implied = {
        *("SystemCallFilter", "SystemCallArchitectures", "SystemCallLog", "DynamicUser"),
        *("RestrictAddressFamilies", "RestrictFileSystems", "RestrictNamespaces"),
        *("RestrictRealtime", "RestrictSUIDSGID", "MemoryDenyWriteExecute", "LockPersonality"),
        *("PrivateDevices", "PrivateUsers", "ProtectClock", "ProtectHostname"),
        *("ProtectKernelLogs", "ProtectKernelModules", "ProtectKernelTunables"),
    }
    text = (ROOT / "systemd/alignd-digest.service").read_text()

    names = set(re.findall(r"^(\w+)=", text, re.MULTILINE))
    assert not names & implied
    assert "\nNoNewPrivileges=no\n" in text


def test_the_timer_of_the_digest_is_that_of_a_monday_morning() -> None:
    timer = configparser.ConfigParser(strict=False, interpolation=None)
    timer.read(ROOT / "systemd/alignd-digest.timer")

    assert timer["Timer"]["OnCalendar"] == "Mon 07:00"
    assert timer["Timer"]["Persistent"] == "true"


def test_the_socket_unit_is_where_postfix_looks(units: Path) -> None:
    endpoint = default_endpoint()

    assert (
        f"ListenStream={endpoint.host}:{endpoint.port}\n" in (units / "alignd.socket").read_text()
    )


def test_the_readme_has_the_postfix_lines() -> None:
    lines = [
        line
        for line in (ROOT / "conf/postfix/inline/main.cf").read_text().splitlines()
        if line and not line.startswith("#")
    ]
    for line in lines:
        assert line in README


@pytest.mark.parametrize("path", PAGES, ids=str)
def test_a_page_names_only_what_exists(path: Path) -> None:
    text = (ROOT / path).read_text()
    for target in re.findall(r"\]\((?!https?:)([^)]+)\)", text):
        file, _, anchor = target.partition("#")
        linked = (ROOT / path).parent / file if file else ROOT / path
        assert linked.exists(), target
        titles = re.findall(r"^#+ (.*)$", linked.read_text(), re.MULTILINE) if anchor else []
        assert not anchor or anchor in [title.lower().replace(" ", "-") for title in titles]
    for name in re.findall(r"`([\w.*/-]+)`", text):
        if name.partition("/")[0] in TREES or re.fullmatch(r"\w+\.(md|cfg|toml)", name):
            assert any(ROOT.glob(name)), name
        elif re.fullmatch(r"\w+(/\w+)*/\w+\.py", name):  # a module, from its package on
            assert (ROOT / "milter/alignd" / name).exists(), name


@pytest.mark.parametrize("path", PAGES, ids=str)
def test_a_make_target_that_a_page_names_exists(path: Path) -> None:
    targets = re.findall(r"^(\w+):", (ROOT / "Makefile").read_text(), re.MULTILINE)

    assert set(re.findall(r"(?:`|^)make (\w+)", (ROOT / path).read_text(), re.M)) <= set(targets)


def test_the_architecture_has_the_packages_in_the_order_of_the_contract() -> None:
    text = (ROOT / "ARCHITECTURE.md").read_text()
    told = re.findall(r"^\| (\(?`\w+`\)?) \| ", text, re.MULTILINE)
    contract = configparser.ConfigParser()
    contract.read(ROOT / ".importlinter")

    layers = contract["importlinter:contract:layers"]["layers"]
    assert sorted(each.replace("`", "") for each in told) == sorted(re.findall(r"[^\s|]+", layers))
    line = {
        name: number
        for number, layer in enumerate(layers.split("\n"))
        for name in re.findall(r"\w+", layer)
    }
    numbers = [line[name] for name in re.findall(r"\w+", " ".join(told))]
    assert numbers == sorted(numbers)


def service_log_texts() -> set[str]:
    """The texts of the lines about the service that stand in the code, up to what varies."""
    texts = set()
    for path in (ROOT / "milter/alignd").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call):
                texts |= {found for each in _said(node) if (found := _constant(each))}
    return texts


def _said(call: ast.Call) -> list[ast.expr]:
    """The arguments of a call that are texts of the log."""
    name = ast.unparse(call.func)
    if name == "Trouble":  # what is said when it begins, and when it ends
        return call.args[1:3]
    says = r"\.(service|_service_line|once_a_minute|_report|_report_once)$"
    return call.args[:1] if re.search(says, name) else []


def _constant(text: ast.expr) -> str:
    if isinstance(text, ast.JoinedStr):
        text = text.values[0]
    if isinstance(text, ast.Constant) and isinstance(text.value, str):
        return text.value.strip().removesuffix(":")
    return ""


def test_operators_are_told_every_line_of_the_log_about_the_service() -> None:
    table = OPERATION.partition("| line | meaning")[2].partition("\n\n")[0]
    cells = " ".join(row.split(" | ")[0] for row in table.splitlines())
    told = set(re.findall(r"`([^`]+)`", cells))

    assert len(told) > 20
    assert told == service_log_texts()


@pytest.mark.parametrize(
    "command",
    ["make demo", "make test", "make storm", *(f"alignd {name}" for name in main.commands)],
)
def test_the_readme_names_every_command(command: str) -> None:
    assert command in README


def test_the_page_of_storms_has_all_of_them_and_all_held() -> None:
    page = (ROOT / "docs/storms.md").read_text()

    assert re.findall(r"^\| \*\*([a-z-]+)\*\*: .* \| (?:yes|no) \| ", page, re.MULTILINE) == [
        storm.name for storm in STORMS
    ]
    assert "**no**" not in page


def test_the_page_of_the_benchmark_has_every_part_and_every_goal() -> None:
    page = (ROOT / "docs/bench.md").read_text()

    assert re.findall(r"^## (.*)$", page, re.MULTILINE) == [
        *("Speed", "Workers", "A relay", "Single figures", "Where the time goes"),
        *("Growth", "The ledger", "The page", "Reports", "Goals"),
    ]
    assert all(f"| times {peer} | " in page for peer in GOALS)
    for goal in (
        "of alignd without a ledger",
        "of mail without readers",
        "95 of 100 lists, no mail",
        "reading reports",
    ):
        assert f"| {goal} | " in page
    assert (ROOT / "docs/bench.svg").exists()


@pytest.mark.parametrize(
    ("rate", "slowest", "reached"),
    [
        pytest.param(960.0, 0.1, ("yes", "yes"), id="both-goals"),
        pytest.param(940.0, 0.1, ("**no**", "yes"), id="mail-is-slower"),
        pytest.param(960.0, 0.3, ("yes", "**no**"), id="lists-are-slow"),
    ],
)
def test_the_benchmark_tells_what_readers_of_the_page_take(
    rate: float, slowest: float, reached: tuple[str, str]
) -> None:
    looked = Looked(seconds=10.0, answers={LIST: [0.01, slowest], DOMAIN: [0.5], JSON: []})
    # What programs do is told, and no goal.
    found = [WithReaders(PEOPLE, 0, 0.0, 0.0, looked, 0.1, 0.1),
             WithReaders(PEOPLE, 10, rate, 1000.0, looked, 0.1, 0.1, 1.5, 2.0),
             WithReaders(MACHINES, 10, 1.0, 1000.0, looked, 0.1, 0.1, 1.5, 2.0)]  # fmt: skip
    page = written(Results(2, with_readers=found), "bench.svg")

    assert "\n## The page\n" in page
    assert f"| {rate / 1000:.3f} | 0.750 |" in page
    assert f"| of mail without readers | {rate / 1000:.2f} | 0.95 | {reached[0]} |" in page
    found_goal = re.search(r"^\| 95 of 100 lists, no mail \| .* \| 200 ms \| (.*) \|$", page, re.M)
    assert found_goal
    assert found_goal[1] == reached[1]


@pytest.mark.parametrize("name", sorted(main.commands))
def test_help_teaches(name: str) -> None:
    shown = CliRunner().invoke(main, [name, "--help"])

    assert shown.exit_code == 0
    assert "Example" in shown.output
    assert "--config" in shown.output or name in WITHOUT_CONFIGURATION
    assert max(map(len, shown.output.splitlines())) <= 80


def test_every_word_of_the_log_has_a_meaning_and_a_fix() -> None:
    assert len({word.value for word in WORDS}) == len(WORDS)
    for word in WORDS:
        assert re.match(r"[a-zA-Z].*[^.]$", word.text.meaning), word
        assert re.match(r"[A-Z`].*\.$", word.text.fix), word


def test_the_options_of_the_words_exist() -> None:
    known = {f"{table}.{name}" for table, name in options()}

    named = {option for word in WORDS for option in word.text.options}

    assert named <= known


def test_the_rules_are_told_in_their_order() -> None:
    told = dict(re.findall(r"^\d+\. \*\*([a-z-]+)\.\*\* (.*)$", HOW_IT_DECIDES, re.MULTILINE))

    assert list(told) == [rule.value for rule in Rule]
    for reason in Reason:
        for option in reason.text.options:
            if reason.rule and option.startswith(("rules.", "helpdesk.")):
                assert f"`{option}`" in told[reason.rule.value], reason


def returned_reasons(function: str) -> list[Reason]:
    """What a function of `alignd.judgement.decision` returns, line by line."""
    tree = ast.parse((ROOT / "milter/alignd/judgement/decision.py").read_text())
    (body,) = (each for each in tree.body if getattr(each, "name", "") == function)
    found = []
    for node in ast.walk(body):
        if isinstance(node, ast.Return) and node.value:
            text = ast.unparse(node.value)
            helper = re.match(r"(_why\w+)\(", text)
            named = [Reason[name] for name in re.findall(r"\bReason\.(\w+)", text)]
            found.append((node.lineno, returned_reasons(helper[1]) if helper else named))
    return [reason for _, reasons in sorted(found) for reason in reasons]


def test_decide_tries_the_rules_in_their_order() -> None:
    rules = [reason.rule for reason in returned_reasons("decide") if reason.rule]

    assert list(dict.fromkeys(rules)) == list(Rule)
    assert [list(Rule).index(rule) for rule in rules] == sorted(map(list(Rule).index, rules))


def test_every_reason_has_a_case() -> None:
    proven = {case.expected_reason for case in CASES}

    assert {reason.value for reason in Reason} - proven == {"internal-error"}


def test_every_reason_of_what_comes_back_has_a_case() -> None:
    proven = {case.expected_reason for case in RETURN_CASES}

    assert {reason.value for reason in ReturnReason} - proven == {"return-internal-error"}


def test_the_reasons_of_what_comes_back_are_told_in_their_order() -> None:
    told = re.findall(r"^\| `(return-[a-z-]+)` \|.*\| (.*) \|$", HOW_IT_DECIDES, re.MULTILINE)

    assert [name for name, _ in told] == [reason.value for reason in ReturnReason]
    for reason, (_, outcome) in zip(ReturnReason, told, strict=True):
        codes = {
            case.expected_reply for case in RETURN_CASES if case.expected_reason == reason.value
        }
        assert codes <= {outcome if outcome[0].isdigit() else ""}, reason


def test_every_rule_and_scope_option_changes_a_case() -> None:
    configs = "\n".join(case.config for case in CASES)
    for name in (*Rules.model_fields, *Helpdesk.model_fields, *DkimOptions.model_fields):
        assert re.search(rf"\b{name} = ", configs), name


def test_case_claims_are_sentences() -> None:
    assert len(CASES) >= 40
    cases = (*CASES, *RETURN_CASES)
    for case in cases:
        assert re.match(r"[A-Z].*[.!?]$", case.claim), case.path
    claims = [case.claim for case in cases]
    assert len(set(claims)) == len(claims)
