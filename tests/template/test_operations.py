"""What operators see and are told of."""

import json
import re
import tomllib
from pathlib import Path
from typing import Any

import pytest

from local.template import Template
from tests.template.conftest import DEPLOYMENT

ROOT = Path(__file__).parents[2]
LAYER = ROOT / "layers" / "service_keys" / "service_keys"
DYNAMODB_CALL = r"\.(get_item|query|scan|batch_get_item|\w*(?:put|update|delete|write)_items?)\("
EXAMPLE = ROOT / "docs" / "examples" / "spotify_token" / "template.yaml"
NAMESPACE = "ServiceKeys/service-keys"
ALARM = "AWS::CloudWatch::Alarm"


def counted_in(template: Template) -> set[str]:
    """The metrics that something counts: a function, or a metric filter of the stack or of a consumer."""
    sources = [path.read_text() for folder in ("functions", "layers") for path in (ROOT / folder).rglob("*.py")]
    by_functions = {name for source in sources for name in re.findall(r'\b(?:_count|count_metric)\(\s*"(\w+)"', source)}
    consumer = Template.load(path=EXAMPLE)
    filters = [*template.resources("AWS::Logs::MetricFilter"), *consumer.resources("AWS::Logs::MetricFilter")]
    by_filters = {change["MetricName"] for _, body in filters for change in body["MetricTransformations"]}
    return by_functions | by_filters


def test_every_alarm_says_what_it_means_and_tells_the_topic(template: Template) -> None:
    alarms = dict(template.resources(ALARM))

    assert len(alarms) == 8
    for name in alarms:
        alarm = template.properties(name)
        assert len(alarm["AlarmDescription"]) > 40, name
        assert alarm["AlarmActions"] == alarm["OKActions"] == [template.references["AlarmTopic"]]
        assert alarm["TreatMissingData"] == "notBreaching", "an API that nobody calls is not broken"
        assert "Unit" not in json.dumps(alarm), "a metric that is sent with another unit would never reach the alarm"


def test_what_alarms_watch_of_ours_is_counted_somewhere(template: Template) -> None:
    watched = set()
    for name, _ in template.resources(ALARM):
        alarm = template.properties(name)
        watched |= {metric["MetricName"] for metric in metrics_of(alarm) if metric["Namespace"] == NAMESPACE}

    assert watched == {"AccessDenied", "AuthorizerErrors", "ReaderAccessDenied", "StoreUnavailable"}
    assert watched <= counted_in(template)


QUIET, LOUD = (1, 1, 0), (0, 0, 1)


@pytest.mark.parametrize(
    ("name", "statistic", "metrics", "quiet", "loud"),
    [
        ("Api5xxAlarm", "Sum", {("AWS/ApiGateway", "5XXError")}, QUIET, LOUD),
        ("ApiLatencyP99Alarm", "p99", {("AWS/ApiGateway", "Latency")}, (5001, 5000, 5001), (5001, 5001, 5001)),
        ("AuthorizerErrorsAlarm", "Sum", {(NAMESPACE, "AuthorizerErrors")}, QUIET, LOUD),
        (
            "ThrottlesAlarm",
            "Sum",
            {("AWS/Lambda", "Throttles")},
            QUIET,
            LOUD,
        ),
        (
            "TableThrottledAlarm",
            "Sum",
            {("AWS/DynamoDB", "ReadThrottleEvents"), ("AWS/DynamoDB", "WriteThrottleEvents")},
            QUIET,
            LOUD,
        ),
        ("AccessDeniedAlarm", "Sum", {(NAMESPACE, "AccessDenied")}, QUIET, LOUD),
        (
            "ConsumerReadFailuresAlarm",
            "Sum",
            {(NAMESPACE, "StoreUnavailable"), (NAMESPACE, "ReaderAccessDenied")},
            QUIET,
            LOUD,
        ),
        ("DynamoDbSystemErrorsAlarm", "Sum", {("AWS/DynamoDB", "SystemErrors")}, (1, 0, 0), (1, 0, 1)),
    ],
)
def test_an_alarm_goes_off_when_it_should(
    template: Template,
    name: str,
    statistic: str,
    metrics: set[tuple[str, str]],
    quiet: tuple[int, ...],
    loud: tuple[int, ...],
) -> None:
    alarm = template.properties(name)

    assert {(metric["Namespace"], metric["MetricName"]) for metric in metrics_of(alarm)} == metrics
    if "Metrics" in alarm:
        (total,) = (query for query in alarm["Metrics"] if "Expression" in query)
        assert (total["Expression"], total.get("ReturnData", True)) == ("SUM(METRICS())", True)
        parts = [query for query in alarm["Metrics"] if query is not total]
        assert all(query["ReturnData"] is False for query in parts)
        assert {(query["MetricStat"]["Stat"], query["MetricStat"]["Period"]) for query in parts} == {(statistic, 300)}
    else:
        assert (alarm.get("Statistic") or alarm["ExtendedStatistic"], alarm["Period"]) == (statistic, 300)
    assert not goes_off(alarm, quiet)
    assert goes_off(alarm, loud)


def metrics_of(alarm: dict[str, Any]) -> list[dict[str, Any]]:
    return [query["MetricStat"]["Metric"] for query in alarm.get("Metrics", []) if "MetricStat" in query] or [alarm]


def goes_off(alarm: dict[str, Any], values: tuple[int, ...]) -> bool:
    """Tell what CloudWatch makes of the values of consecutive periods, the newest of them last."""
    assert alarm["ComparisonOperator"] == "GreaterThanThreshold"
    periods = alarm["EvaluationPeriods"]
    assert periods <= len(values)
    breaching = [value for value in values[-periods:] if value > alarm["Threshold"]]
    needed: int = alarm.get("DatapointsToAlarm", periods)
    return len(breaching) >= needed


def test_alarms_watch_this_stack_by_the_dimensions_that_are_counted(template: Template) -> None:
    def watched(name: str) -> list[dict[str, str]]:
        metrics = metrics_of(template.properties(name))
        return [{each["Name"]: each["Value"] for each in metric.get("Dimensions", [])} for metric in metrics]

    stack = template.functions()["Authorizer"].environment["POWERTOOLS_SERVICE_NAME"]
    table = template.references["ApiKeysTable"]
    stage = template.property(template.single_resource("AWS::ApiGateway::Stage"), "StageName")
    for name in ("Api5xxAlarm", "ApiLatencyP99Alarm"):
        assert watched(name) == [{"ApiName": stack, "Stage": stage}]
    # Counted by metric filters, which know no dimension; and by `service_keys.admin.observability.count_metric`, which
    # does.
    assert watched("AuthorizerErrorsAlarm") == [{}]
    assert watched("ConsumerReadFailuresAlarm") == [{}, {}]
    assert watched("AccessDeniedAlarm") == [{"service": stack}]
    functions = [{"FunctionName": name} for name in sorted(template.functions())]
    assert sorted(watched("ThrottlesAlarm"), key=str) == functions
    (index,) = template.table().create["GlobalSecondaryIndexes"]
    of_index = {"TableName": table, "GlobalSecondaryIndexName": index["IndexName"]}
    assert watched("TableThrottledAlarm") == [{"TableName": table}, {"TableName": table}, of_index, of_index]
    calls = {"get_item", "query", "update_item", "transact_write_items"}
    assert {call for path in LAYER.rglob("*.py") for call in re.findall(DYNAMODB_CALL, path.read_text())} == calls
    assert watched("DynamoDbSystemErrorsAlarm") == [
        {"TableName": table, "Operation": operation}
        for operation in ("GetItem", "Query", "UpdateItem", "TransactWriteItems")
    ]
    for name, _ in template.resources(ALARM):
        assert len(template.properties(name).get("Metrics", [])) <= 10, "CloudWatch takes no more in one alarm"


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


def report(status: str, error_type: str) -> dict[str, Any]:
    return {"type": "platform.report", "record": {"requestId": "r-1", "status": status, "errorType": error_type}}


@pytest.mark.parametrize(
    ("line", "counts"),
    [
        # Written by Lambda's runtime where the function raises or cannot be imported.
        ({"level": "ERROR", "errorType": "KeyUnavailableError", "errorMessage": "No key.", "stackTrace": []}, True),
        ({"level": "ERROR", "errorType": "ConfigurationError", "errorMessage": "Not set.", "stackTrace": []}, True),
        ({"level": "ERROR", "errorType": "Runtime.ImportModuleError", "errorMessage": "No module"}, True),
        ({"level": "ERROR", "errorType": "UnauthorizedError", "errorMessage": "Unauthorized"}, False),
        # As the runtime called the level until September 2026.
        ({"log_level": "ERROR", "errorType": "ConfigurationError", "errorMessage": "Not set.", "stackTrace": []}, True),
        ({"log_level": "ERROR", "errorType": "UnauthorizedError", "errorMessage": "Unauthorized"}, False),
        # Written by Lambda itself.
        ({"type": "platform.report", "record": {"requestId": "r-1", "status": "timeout"}}, True),
        ({"type": "platform.report", "record": {"requestId": "r-1", "status": "success"}}, False),
        # Of a process that ended without a line of its own. The status depends on who is to blame, so the type decides.
        (report("error", "Runtime.ExitError"), True),
        (report("error", "Runtime.OutOfMemory"), True),
        (report("error", "Runtime.InvalidEntrypoint"), True),
        (report("failure", "Sandbox.Failure"), True),
        (report("error", "Extension.Crash"), True),
        # An error that the function raised, a refused token, has a line of its own above.
        (report("error", "UnauthorizedError"), False),
        (report("error", "Function.Unknown"), False),
        ({"type": "platform.start", "record": {"requestId": "r-1", "errorType": "Runtime.ExitError"}}, False),
        # Written by the function.
        ({"level": "WARNING", "logger": "authorizer", "message": "Not fetched.", "reason": "key_stale"}, True),
        ({"level": "INFO", "logger": "authorizer", "message": "Token refused", "reason": "expired"}, False),
        ({"_aws": {"Timestamp": 0}, "service": "service-keys", "reason": "expired", "RefusedTokens": 1}, False),
    ],
    ids=str,
)
def test_what_the_authorizer_fails_by_is_counted_and_refused_tokens_are_not(
    template: Template, line: dict[str, Any], *, counts: bool
) -> None:
    """https://github.com/aws/aws-lambda-python-runtime-interface-client and
    https://docs.aws.amazon.com/lambda/latest/dg/telemetry-schema-reference.html have the form of the others' lines.
    """
    given = template.properties("AuthorizerErrors")
    (transformation,) = given["MetricTransformations"]

    assert matches(given["FilterPattern"], line) is counts
    assert (transformation["MetricName"], transformation["MetricNamespace"]) == ("AuthorizerErrors", NAMESPACE)
    assert (transformation["MetricValue"], transformation["Unit"]) == ("1", "Count")
    assert given["LogGroupName"] == template.references["AuthorizerLog"]
    assert template.property("Authorizer", "LoggingConfig")["LogFormat"] == "JSON"


def matches(pattern: str, line: dict[str, Any]) -> bool:
    """Tell whether a metric filter counts a line; knows as much of the filters' language as the stack uses."""

    def holds(term: re.Match[str]) -> str:
        found: Any = line
        for name in term["path"].split("."):
            found = found.get(name) if isinstance(found, dict) else None
        wanted = re.escape(term["value"]).replace(r"\*", ".*")
        return str((re.fullmatch(wanted, str(found)) is not None) is (term["operator"] == "="))

    terms = re.sub(r'\$\.(?P<path>[\w.]+) (?P<operator>!?=) "(?P<value>[^"]*)"', holds, pattern.strip("{} "))
    assert re.fullmatch(r"(?:True|False|&&|\|\||[() ])+", terms), terms
    return bool(eval(terms.replace("&&", "and").replace("||", "or")))


def test_the_authorizers_names_are_those_that_the_filter_knows() -> None:
    sources = {path.name: path.read_text() for path in (ROOT / "functions" / "authorizer" / "authorizer").glob("*.py")}

    assert "class UnauthorizedError(" in sources["errors.py"]
    assert 'extra={"reason": "key_stale"}' in sources["key_cache.py"]


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
