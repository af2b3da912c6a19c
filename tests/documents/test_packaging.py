"""The Debian package and the lock files agree with the rest of the source."""

import configparser
import re
import subprocess
import zipfile
from pathlib import Path

import pytest

from alignd.config.endpoint import HandedOverSocket
from alignd.config.file import parse_configuration
from alignd.judgement.reasons import Action
from tests.lab.places import ROOT
from tests.support.configtext import filled_in
from tools.package.licences import paragraph, read_wheel

SETUP = configparser.ConfigParser()
SETUP.read(ROOT / "setup.cfg")
LOCKS = {
    name: (ROOT / "packaging" / f"{name}.lock").read_text()
    for name in ("build", "requirements", "development")
}


def sed(script: str, path: Path | str, text: str | None = None) -> str:
    command = ["sed", "-f", str(ROOT / "packaging" / script), *([str(path)] if not text else [])]
    done = subprocess.run(command, input=text, capture_output=True, text=True, check=True)
    return done.stdout


def pinned(lock: str) -> dict[str, str]:
    """The exact version of each library in a lock file."""
    found = re.findall(r"^([a-z0-9-]+)==([^\s;]+)", LOCKS[lock], re.MULTILINE)
    return dict(found)


def requirements(text: str) -> list[tuple[str, list[tuple[str, str]]]]:
    """Each library with its bounds."""
    return [
        (
            re.split(r"[\[<>=]", line)[0].lower().replace("_", "-"),
            re.findall(r"(>=|<|==)([\d.]+)", line),
        )
        for line in text.strip().splitlines()
    ]


def numbers(version: str) -> list[int]:
    return [int(number) for number in re.findall(r"\d+", version)]


WANTED = [
    SETUP["options"]["install_requires"],
    SETUP["options.extras_require"]["postgresql"],
    SETUP["options.extras_require"]["reports"],
]


@pytest.mark.parametrize("lock", ["requirements", "development"])
@pytest.mark.parametrize(
    ("library", "bounds"), [each for text in WANTED for each in requirements(text)]
)
def test_what_is_locked_is_within_its_bounds(
    lock: str, library: str, bounds: list[tuple[str, str]]
) -> None:
    version = numbers(pinned(lock)[library])

    assert [sign for sign, _ in bounds][:1] == [">="], "the lowest that the tests pass with"
    for sign, bound in bounds:
        assert version >= numbers(bound) if sign == ">=" else version < numbers(bound)


def test_what_is_tested_is_what_is_shipped() -> None:
    shipped = pinned("requirements")

    assert shipped == {name: pinned("development")[name] for name in shipped}


@pytest.mark.parametrize("lock", LOCKS)
def test_every_locked_library_has_a_hash(lock: str) -> None:
    entries = re.split(r"^(?=[a-z])", LOCKS[lock], flags=re.MULTILINE)[1:]

    assert len(entries) == len(pinned(lock))
    assert all(" \\\n    --hash=sha256:" in entry for entry in entries)


def test_the_package_has_the_version_of_the_source() -> None:
    changelog = (ROOT / "debian/changelog").read_text()

    assert changelog.startswith(f"alignd ({SETUP['metadata']['version']}) ")


@pytest.mark.parametrize(
    "unit", sorted(ROOT.glob("systemd/*.service")), ids=lambda path: path.name
)
def test_the_units_of_the_package_start_its_program(unit: Path) -> None:
    text = sed("units.sed", unit)

    assert "/opt/" not in text
    assert "/usr/bin/alignd " in text
    # Its configuration is for root and a group.
    user = re.findall(r"^User=(.*)$", text, re.MULTILINE)[0]
    groups = re.findall(r"^(?:Supplementary)?Groups?=(.*)$", text, re.MULTILINE)
    assert user == "root" or "alignd" in " ".join(groups).split()


def test_the_package_gives_alignd_its_socket() -> None:
    unit = configparser.ConfigParser(strict=False, interpolation=None)
    unit.read_string(sed("socket.sed", "", sed("units.sed", ROOT / "systemd/alignd.service")))
    configuration = parse_configuration(sed("conf.sed", "", filled_in()), "conf")

    assert unit["Unit"]["Requires"] == "alignd.socket"
    assert unit["Service"]["Sockets"] == "alignd.socket"
    assert unit["Install"]["Also"] == "alignd.socket"
    assert isinstance(configuration.milter.socket, HandedOverSocket)
    assert "mode 0640" in sed("conf.sed", ROOT / "conf/alignd.conf")


def logcheck() -> list[re.Pattern[str]]:
    text = (ROOT / "debian/alignd.logcheck.ignore.server").read_text()
    for name, members in {"alpha": "a-zA-Z", "digit": "0-9", "alnum": "a-zA-Z0-9"}.items():
        text = text.replace(f"[:{name}:]", members)
    return [re.compile(line) for line in text.splitlines()]


@pytest.mark.parametrize("action", [action.value for action in Action])
@pytest.mark.parametrize("stamp", ["Nov  8 14:00:00", "2026-11-08T14:00:00.123456+00:00"])
def test_logcheck_is_silent_of_what_is_usual(stamp: str, action: str) -> None:
    line = f"{stamp} relay alignd[17]: 4bQx2K1: action={action} domain=mycompany.com ms=1.2"

    usual = any(pattern.search(line) for pattern in logcheck())
    assert usual == (action not in {"fallback", "tempfail"})


@pytest.mark.parametrize(
    ("text", "usual"),
    [
        ("ready socket=fd:3 workers=2", True),
        ("stopped", True),
        ("worker ended status=-9", False),
        ("reload refused: the old configuration stays in force", False),
        ("DNS is down: last known answers stay in use, all else is unknown", False),
    ],
)
def test_logcheck_tells_of_trouble(text: str, usual: bool) -> None:
    line = f"Nov 28 14:00:00 relay alignd[17]: {text}"

    assert any(pattern.search(line) for pattern in logcheck()) == usual


def wheel(directory: Path, licence: str | None) -> Path:
    path = directory / "thing-1.0-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("thing/__init__.py", "")
        file.writestr("thing-1.0.dist-info/METADATA", "Name: thing\nVersion: 1.0\nLicense: MIT\n")
        if licence is not None:
            file.writestr("thing-1.0.dist-info/licenses/LICENSE", licence)
    return path


def test_the_licence_of_a_wheel_is_in_the_copyright_file(tmp_path: Path) -> None:
    text = "Copyright 2020 Julia\n\nDo as you like.\n"

    assert paragraph(read_wheel(wheel(tmp_path, text))) == (
        "Files:\n usr/lib/alignd/lib/python3*/site-packages/thing*\nComment: thing 1.0\n"
        "Copyright:\n Copyright 2020 Julia\nLicense: MIT\n Copyright 2020 Julia\n .\n"
        " Do as you like.\n"
    )


def test_a_wheel_without_its_licence_stops_the_build(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="thing brings no text of its licence"):
        paragraph(read_wheel(wheel(tmp_path, None)))
