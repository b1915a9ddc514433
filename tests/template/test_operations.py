"""What operators see and are told of."""

import json
import re
import tomllib
from pathlib import Path

import pytest

from local.template import Template
from tests.template.conftest import DEPLOYMENT

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "docs" / "examples" / "spotify_token" / "template.yaml"
NAMESPACE = "ServiceKeys/service-keys"
ALARM = "AWS::CloudWatch::Alarm"


def counted_in(template: Template) -> set[str]:
    """The metrics that something counts: a function, or a metric filter of the stack or of a consumer."""
    sources = [path.read_text() for folder in ("functions", "layers") for path in (ROOT / folder).rglob("*.py")]
    by_functions = {name for source in sources for name in re.findall(r'\b(?:_count|counted)\(\s*"(\w+)"', source)}
    consumer = Template.load(path=EXAMPLE)
    filters = [*template.resources("AWS::Logs::MetricFilter"), *consumer.resources("AWS::Logs::MetricFilter")]
    by_filters = {change["MetricName"] for _, body in filters for change in body["MetricTransformations"]}
    return by_functions | by_filters


def test_every_alarm_says_what_it_means_and_tells_the_topic(template: Template) -> None:
    alarms = dict(template.resources(ALARM))

    assert len(alarms) == 7
    for name in alarms:
        alarm = template.properties(name)
        assert len(alarm["AlarmDescription"]) > 40, name
        assert alarm["AlarmActions"] == alarm["OKActions"] == [template.references["AlarmTopic"]]
        assert alarm["TreatMissingData"] == "notBreaching", "an API that nobody calls is not broken"


def test_what_alarms_watch_of_ours_is_counted_somewhere(template: Template) -> None:
    watched = set()
    for name, _ in template.resources(ALARM):
        alarm = template.properties(name)
        metrics = [query["MetricStat"]["Metric"] for query in alarm.get("Metrics", []) if "MetricStat" in query] or [
            alarm
        ]
        watched |= {metric["MetricName"] for metric in metrics if metric["Namespace"] == NAMESPACE}

    assert watched == {"AccessDenied", "AuthorizerErrors", "ReaderAccessDenied", "StoreUnavailable"}
    assert watched <= counted_in(template)


def test_throttles_of_every_function_are_watched(template: Template) -> None:
    queries = template.properties("ThrottledAlarm")["Metrics"]

    watched = {d["Value"] for q in queries if "MetricStat" in q for d in q["MetricStat"]["Metric"]["Dimensions"]}
    assert watched == {*template.functions(), template.references["ApiKeysTable"]}
    assert len(queries) <= 10, "CloudWatch takes no more in one alarm"


@pytest.mark.parametrize(
    ("switch", "off", "kinds"),
    [
        ("Alarms", "false", {ALARM, "AWS::SNS::Topic", "AWS::Logs::MetricFilter"}),
        ("Dashboard", "false", {"AWS::CloudWatch::Dashboard"}),
    ],
)
def test_what_costs_money_can_be_switched_off(template: Template, switch: str, off: str, kinds: set[str]) -> None:
    without = Template.load(DEPLOYMENT | {switch: off}, template.references)

    for kind in kinds:
        assert list(template.resources(kind))
        assert not list(without.resources(kind))


def test_alarms_reach_an_address_where_one_is_given(template: Template) -> None:
    told = Template.load(DEPLOYMENT | {"AlarmEmail": "ops@example.com"}, template.references)
    silent = Template.load(DEPLOYMENT | {"AlarmEmail": "ops@example.com", "Alarms": "false"}, template.references)

    assert told.properties("AlarmSubscription")["Endpoint"] == "ops@example.com"
    for other in (template, silent):
        assert not list(other.resources("AWS::SNS::Subscription"))


def test_metrics_are_counted_in_the_stacks_own_namespace(template: Template) -> None:
    for counting, namespace in (("true", NAMESPACE), ("false", "")):
        given = Template.load(DEPLOYMENT | {"CustomMetrics": counting}, template.references)
        for function in given.functions().values():
            assert function.environment["POWERTOOLS_METRICS_NAMESPACE"] == namespace
            assert function.environment["POWERTOOLS_SERVICE_NAME"] == "service-keys"
        assert ("AccessDeniedAlarm" in dict(given.resources(ALARM))) == bool(namespace)


def test_the_dashboard_shows_what_is_counted_and_all_of_it(template: Template) -> None:
    body = json.loads(template.properties("OperationsDashboard")["DashboardBody"])

    shown = set()
    for widget in body["widgets"]:
        properties = widget["properties"]
        assert properties["title"]
        assert properties["region"] == "eu-west-1"
        for metric in properties["metrics"]:
            if isinstance(metric[0], dict):
                search = re.fullmatch(
                    r"SEARCH\('\{\"([^\"]+)\",\w+,\w+\} MetricName=\"(\w+)\"', 'Sum', 300\)", metric[0]["expression"]
                )
                assert search is not None, metric
                shown.add((search[1], search[2]))
            else:
                shown.add((metric[0], metric[1]))
    ours = {name for namespace, name in shown if namespace == NAMESPACE}
    assert ours == counted_in(template)
    assert {namespace for namespace, _ in shown} == {NAMESPACE, "AWS/ApiGateway", "AWS/Lambda", "AWS/DynamoDB"}


def test_reserved_executions_are_for_those_who_can_disable_a_leaked_key(template: Template) -> None:
    reserving = Template.load(DEPLOYMENT | {"ReservedConcurrency": "20"}, template.references)

    reserved = {name for name in reserving.functions() if reserving.property(name, "ReservedConcurrentExecutions")}
    assert reserved == {"Authorizer", "UpdateApiKey", "DeleteApiKey"}
    assert not [name for name in template.functions() if template.property(name, "ReservedConcurrentExecutions")]


def test_a_refused_token_is_no_error_of_the_authorizer(template: Template) -> None:
    pattern = template.properties("AuthorizerErrors")["FilterPattern"]

    assert '$.errorType != "UnauthorizedError"' in pattern
    assert re.search(
        r"^class UnauthorizedError\(", (ROOT / "functions/authorizer/authorizer_errors.py").read_text(), re.MULTILINE
    )
    assert template.property("Authorizer", "LoggingConfig")["LogFormat"] == "JSON"


def overrides(environment: str) -> dict[str, str]:
    settings = tomllib.loads((ROOT / "samconfig.toml").read_text())[environment]["deploy"]["parameters"]
    return dict(re.findall(r'(\w+)="([^"]*)"', settings["parameter_overrides"]))


def test_a_deployment_asks_for_what_cannot_be_known_and_knows_the_rest(template: Template) -> None:
    for environment, protected in (("dev", False), ("prod", True)):
        given = overrides(environment)
        chosen = Template.load(DEPLOYMENT | given, template.references)

        assert not given.keys() & DEPLOYMENT.keys()
        assert chosen.property("ApiKeysTable", "DeletionProtectionEnabled") is protected
        assert bool(list(chosen.resources(ALARM))) is protected
