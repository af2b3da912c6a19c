"""What ships for Prometheus and Grafana: it can be read, and names only what alignd shows."""

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from alignd.config.file import parse_configuration
from tests.lab.nameserver import Nameserver
from tests.lab.places import ROOT
from tests.lab.readiness import open_directory
from tests.support.configtext import filled_in
from tests.support.scrape import Scrape, run_watched

pytestmark = pytest.mark.wire

CONF = ROOT / "conf"
DASHBOARD: dict[str, Any] = json.loads((CONF / "grafana-dashboard.json").read_text())
GROUPS: list[dict[str, Any]] = yaml.safe_load((CONF / "alert-rules.yml").read_text())["groups"]

PANELS = [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]
RULES = [rule for group in GROUPS for rule in group["rules"]]
QUERIES = [target["expr"] for panel in PANELS for target in panel["targets"]]
EXPRESSIONS = [*QUERIES, *(rule["expr"] for rule in RULES)]

_SELECTOR = re.compile(r"\b(?P<name>alignd_\w+)(?:\{(?P<matchers>[^}]*)\})?")
_MATCHER = re.compile(r'(\w+)(?:=|!=|=~|!~)"([^"]*)"')


@pytest.fixture(scope="module")
def scrape(nameserver: Nameserver) -> Iterator[Scrape]:
    with (
        open_directory() as directory,
        run_watched(directory / "alignd", nameserver.address) as watched,
    ):
        yield watched.scrape()


def named(expression: str) -> set[str]:
    return {found["name"] for found in _SELECTOR.finditer(expression)}


@pytest.mark.parametrize("expression", EXPRESSIONS)
def test_what_is_asked_for_is_there(scrape: Scrape, expression: str) -> None:
    for found in _SELECTOR.finditer(expression):
        samples = [sample for sample in scrape.samples if sample.name == found["name"]]
        assert samples, found["name"]
        for label, values in _MATCHER.findall(found["matchers"] or ""):
            if label in {"instance", "job"}:  # Prometheus gives these
                continue
            for value in values.split("|"):
                assert any(sample.labels[label] == value for sample in samples), value


@pytest.mark.parametrize("expression", EXPRESSIONS)
def test_an_expression_is_closed(expression: str) -> None:
    for pair in ("()", "[]", "{}"):
        assert expression.count(pair[0]) == expression.count(pair[1])
    assert named(expression) or "up{" in expression


def test_the_dashboard_shows_every_metric(scrape: Scrape) -> None:
    shown = set().union(*map(named, QUERIES))

    # Of a histogram, buckets, count and sum.
    assert shown == {sample.name for sample in scrape.samples}


def test_the_panels_say_what_they_mean_and_do_not_overlap() -> None:
    places: set[tuple[int, int]] = set()
    for panel in DASHBOARD["panels"]:
        grid = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(grid["x"], grid["x"] + grid["w"])
            for y in range(grid["y"], grid["y"] + grid["h"])
        }
        assert not cells & places
        assert max(x for x, _ in cells) < 24
        places |= cells
    assert len({panel["id"] for panel in DASHBOARD["panels"]}) == len(DASHBOARD["panels"])
    for panel in PANELS:
        assert panel["description"].endswith(".")
        assert panel["datasource"]["uid"] == "${datasource}"
        assert len({target["refId"] for target in panel["targets"]}) == len(panel["targets"])


def test_the_dashboard_asks_for_no_more_than_a_data_source() -> None:
    variables = {variable["name"] for variable in DASHBOARD["templating"]["list"]}

    assert variables == {"datasource", "instance"}
    used = set(re.findall(r"\$\{?(\w+)", json.dumps(DASHBOARD)))
    assert used - variables <= {"__rate_interval", "__all"}


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule["alert"])
def test_an_alert_says_what_to_do(rule: dict[str, Any]) -> None:
    assert set(rule) <= {"alert", "expr", "for", "labels", "annotations"}
    assert re.fullmatch(r"Alignd[A-Za-z]+", rule["alert"])
    assert rule["labels"]["severity"] in {"critical", "warning"}
    assert "$labels.instance" in rule["annotations"]["summary"]
    assert len(rule["annotations"]["action"].split()) >= 15
    assert rule["annotations"]["action"].endswith(".")


def test_what_goes_wrong_has_an_alert() -> None:
    watched = set().union(*(named(rule["expr"]) for rule in RULES))

    assert watched >= {
        "alignd_dns_breakers_open",
        "alignd_workers_ready",
        "alignd_worker_restarts_total",
        "alignd_fallbacks_total",
        "alignd_messages_total",
        "alignd_configuration_last_reload_successful",
        "alignd_dns_queries_total",
        "alignd_dns_nameservers_failing",
        "alignd_dns_troubled",
        "alignd_dns_archive_state",
        "alignd_log_lines_dropped_total",
        "alignd_input_last_read_successful",
        "alignd_process_start_failures_total",
        "alignd_connections_cut_total",
        "alignd_background_failures_total",
        "alignd_return_lookups_total",
        "alignd_return_bounces_total",
        "alignd_return_map_missing",
        "alignd_ledger_state",
        "alignd_ledger_oldest_waiting_seconds",
        "alignd_ledger_messages_dropped_total",
        "alignd_ledger_looks_late_seconds",
        "alignd_ledger_notifications_total",
        "alignd_feedback_messages_total",
        "alignd_reported_messages_total",
    }
    ups = {rule["expr"] for rule in RULES if rule["expr"].startswith("up{")}
    assert ups == {'up{job="alignd"} == 0', 'up{job="alignd-return"} == 0'}


def test_the_manual_tells_what_to_do_for_each_alert_on_the_way_back() -> None:
    """At three in the morning: what Julia and Marky notice, and what to do first."""
    (group,) = (group for group in GROUPS if group["name"] == "alignd-return")
    told = (ROOT / "docs/operation.md").read_text()

    assert set(re.findall(r"^\| `(AligndReturn\w+)` \|", told, re.MULTILINE)) == {
        rule["alert"] for rule in group["rules"]
    }


def test_operators_are_told_the_default_port_and_every_metric(scrape: Scrape) -> None:
    told = (ROOT / "docs/operation.md").read_text()
    listen = parse_configuration(filled_in(), "filled in").metrics.listen

    assert f'targets: ["{listen}"]' in told
    assert f"http://{listen}/metrics" in told
    histogram = r"(?<=alignd_decision_seconds)_(bucket|count|sum)$"
    metrics = {re.sub(histogram, "", sample.name) for sample in scrape.samples}
    assert set(re.findall(r"`(alignd_\w+)`", told)) == metrics
