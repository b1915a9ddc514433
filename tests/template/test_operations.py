"""Alarms, metrics, the dashboard and log filters of the template."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from local.deployment import parameters
from local.template import Template
from tests.template.conftest import DEPLOYMENT

ROOT = Path(__file__).parents[2]
LAYER = ROOT / "layers" / "service_keys" / "service_keys"
DYNAMODB_CALL = r"\.(get_item|query|scan|batch_get_item|\w*(?:put|update|delete|write)_items?)\("
EXAMPLE = ROOT / "docs" / "examples" / "spotify_token" / "template.yaml"
NAMESPACE = "ServiceKeys/service-keys"
ALARM = "AWS::CloudWatch::Alarm"


def counted_in(template: Template) -> set[str]:
    """Return the metrics that a function counts, or a metric filter of the stack or of the example consumer."""
    sources = [path.read_text() for folder in ("functions", "layers") for path in (ROOT / folder).rglob("*.py")]
    by_functions = {name for source in sources for name in re.findall(r'\b(?:_count|count_metric)\(\s*"(\w+)"', source)}
    consumer = Template.load(path=EXAMPLE)
    filters = [*template.resources("AWS::Logs::MetricFilter"), *consumer.resources("AWS::Logs::MetricFilter")]
    by_filters = {change["MetricName"] for _, body in filters for change in body["MetricTransformations"]}
    return by_functions | by_filters


def test_every_alarm_has_description_and_topic(template: Template) -> None:
    """Alarms notify the topic on both transitions; missing data is not breaching."""
    alarms = dict(template.resources(ALARM))

    assert len(alarms) == 8
    for name in alarms:
        alarm = template.properties(name)
        assert len(alarm["AlarmDescription"]) > 40, name
        assert alarm["AlarmActions"] == alarm["OKActions"] == [template.references["AlarmTopic"]]
        assert alarm["TreatMissingData"] == "notBreaching", "an API that nobody calls is not broken"
        assert "Unit" not in json.dumps(alarm), "a metric that is sent with another unit would never reach the alarm"


def test_alarm_metrics_are_counted(template: Template) -> None:
    """A function or a metric filter counts every custom metric of the alarms."""
    watched = set()
    for name, _ in template.resources(ALARM):
        alarm = template.properties(name)
        watched |= {metric["MetricName"] for metric in metrics_of(alarm) if metric["Namespace"] == NAMESPACE}

    assert watched == {"AccessDenied", "AuthorizerErrors", "ReaderAccessDenied", "StoreUnavailable"}
    assert watched <= counted_in(template)


QUIET, LOUD = (1, 1, 0), (0, 0, 1)
THROTTLES = ("ReadThrottleEvents", "WriteThrottleEvents")
READER_FAILURES = ("StoreUnavailable", "ReaderAccessDenied")


@pytest.mark.parametrize(
    ("name", "statistic", "metrics", "quiet", "loud"),
    [
        ("Api5xxAlarm", "Sum", ["AWS/ApiGateway 5XXError"], QUIET, LOUD),
        ("ApiLatencyP99Alarm", "p99", ["AWS/ApiGateway Latency"], (5001, 5000, 5001), (5001, 5001, 5001)),
        ("AuthorizerErrorsAlarm", "Sum", [f"{NAMESPACE} AuthorizerErrors"], QUIET, LOUD),
        ("ThrottlesAlarm", "Sum", ["AWS/Lambda Throttles"], QUIET, LOUD),
        (
            "TableThrottledAlarm",
            "Sum",
            [f"AWS/DynamoDB {name}" for name in THROTTLES],
            QUIET,
            LOUD,
        ),
        ("AccessDeniedAlarm", "Sum", [f"{NAMESPACE} AccessDenied"], QUIET, LOUD),
        ("ConsumerReadFailuresAlarm", "Sum", [f"{NAMESPACE} {name}" for name in READER_FAILURES], QUIET, LOUD),
        ("DynamoDbSystemErrorsAlarm", "Sum", ["AWS/DynamoDB SystemErrors"], (1, 0, 0), (1, 0, 1)),
    ],
)
def test_alarm_thresholds(
    template: Template, name: str, statistic: str, metrics: list[str], quiet: tuple[int, ...], loud: tuple[int, ...]
) -> None:
    """Each alarm watches its metrics and breaches for the loud values only."""
    alarm = template.properties(name)

    assert {f"{metric['Namespace']} {metric['MetricName']}" for metric in metrics_of(alarm)} == set(metrics)
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
    """Return True if the values of consecutive periods, newest last, raise the alarm."""
    assert alarm["ComparisonOperator"] == "GreaterThanThreshold"
    periods = alarm["EvaluationPeriods"]
    assert periods <= len(values)
    breaching = [value for value in values[-periods:] if value > alarm["Threshold"]]
    needed: int = alarm.get("DatapointsToAlarm", periods)
    return len(breaching) >= needed


def test_alarm_dimensions(template: Template) -> None:
    """Alarms use the dimensions that the metrics of this stack have."""

    def watched(name: str) -> list[dict[str, str]]:
        metrics = metrics_of(template.properties(name))
        return [{each["Name"]: each["Value"] for each in metric.get("Dimensions", [])} for metric in metrics]

    stack = template.functions()["Authorizer"].environment["POWERTOOLS_SERVICE_NAME"]
    table = template.references["ApiKeysTable"]
    stage = template.property(template.single_resource("AWS::ApiGateway::Stage"), "StageName")
    for name in ("Api5xxAlarm", "ApiLatencyP99Alarm"):
        assert watched(name) == [{"ApiName": stack, "Stage": stage}]
    # Metric filters add no dimension; `service_keys.admin.observability.count_metric` adds `service`.
    assert watched("AuthorizerErrorsAlarm") == [{}]
    assert watched("ConsumerReadFailuresAlarm") == [{}, {}]
    assert watched("AccessDeniedAlarm") == [{"service": stack}]
    assert watched("ThrottlesAlarm") == [{"FunctionName": "service-keys-authorizer"}], "other functions' are 5XXError"
    (index,) = template.table().create["GlobalSecondaryIndexes"]
    of_index = {"TableName": table, "GlobalSecondaryIndexName": index["IndexName"]}
    assert watched("TableThrottledAlarm") == [{"TableName": table}, {"TableName": table}, of_index, of_index]
    calls = {"get_item", "query", "update_item", "transact_write_items"}
    assert {call for path in LAYER.rglob("*.py") for call in re.findall(DYNAMODB_CALL, path.read_text())} == calls
    assert watched("DynamoDbSystemErrorsAlarm") == [
        {"TableName": table, "Operation": operation}
        for operation in ("GetItem", "Query", "UpdateItem", "TransactWriteItems")
    ]
    # https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/alarm-limits.html
    for name, _ in template.resources(ALARM):
        assert len(metrics_of(template.properties(name))) <= 10, name
    assert sum(len(metrics_of(template.properties(name))) for name, _ in template.resources(ALARM)) == 15, "the cost"


@pytest.mark.parametrize(
    ("parameter", "kinds"),
    [
        ("Alarms", {ALARM, "AWS::SNS::Topic", "AWS::Logs::MetricFilter"}),
        ("Dashboard", {"AWS::CloudWatch::Dashboard"}),
    ],
)
def test_paid_features_optional(template: Template, parameter: str, kinds: set[str]) -> None:
    """A parameter removes the alarms, another one the dashboard."""
    without = Template.load(DEPLOYMENT | {parameter: "false"}, template.references)

    for kind in kinds:
        assert list(template.resources(kind))
        assert not list(without.resources(kind))


def test_alarm_email_is_optional(template: Template) -> None:
    """The subscription needs an address and alarms."""
    address = {"AlarmEmail": "ops@example.com"}
    subscribed, silent = (
        Template.load(DEPLOYMENT | address | options, template.references) for options in ({}, {"Alarms": "false"})
    )

    assert subscribed.properties("AlarmSubscription")["Endpoint"] == "ops@example.com"
    for other in (template, silent):
        assert not list(other.resources("AWS::SNS::Subscription"))


def test_metrics_use_the_stack_namespace(template: Template) -> None:
    """CustomMetrics=false empties the namespace and removes the alarm on it."""
    for counting, namespace in (("true", NAMESPACE), ("false", "")):
        given = Template.load(DEPLOYMENT | {"CustomMetrics": counting}, template.references)
        for function in given.functions().values():
            assert function.environment["POWERTOOLS_METRICS_NAMESPACE"] == namespace
            assert function.environment["POWERTOOLS_SERVICE_NAME"] == "service-keys"
        assert ("AccessDeniedAlarm" in dict(given.resources(ALARM))) == bool(namespace)


def test_dashboard_shows_every_metric(template: Template) -> None:
    """The custom metrics on the dashboard are exactly the counted ones."""
    body = json.loads(template.properties("OperationsDashboard")["DashboardBody"])

    displayed = set()
    for widget in body["widgets"]:
        properties = widget["properties"]
        assert properties["title"]
        assert properties["region"] == "eu-west-1"
        for metric in properties["metrics"]:
            if isinstance(metric[0], dict):
                pattern = r"SEARCH\('\{\"([^\"]+)\",\w+,\w+\} MetricName=\"(\w+)\"', 'Sum', 300\)"
                search = re.fullmatch(pattern, metric[0]["expression"])
                assert search is not None, metric
                displayed.add((search[1], search[2]))
            else:
                displayed.add((metric[0], metric[1]))
    assert {name for namespace, name in displayed if namespace == NAMESPACE} == counted_in(template)
    for name in ("Duration", "Throttles"):
        lines = [metric for widget in body["widgets"] for metric in widget["properties"]["metrics"] if name in metric]
        names = {function.name for function in template.functions().values()}
        assert {line[line.index("FunctionName") + 1] for line in lines} == names
    assert {namespace for namespace, _ in displayed} == {NAMESPACE, "AWS/ApiGateway", "AWS/Lambda", "AWS/DynamoDB"}


def test_reserved_concurrency(template: Template) -> None:
    """Only the functions that disable a leaked key have reserved concurrency."""
    reserving = Template.load(DEPLOYMENT | {"ReservedConcurrency": "20"}, template.references)

    reserved = {name for name in reserving.functions() if reserving.property(name, "ReservedConcurrentExecutions")}
    assert reserved == {"Authorizer", "UpdateApiKey", "DeleteApiKey"}
    assert not [name for name in template.functions() if template.property(name, "ReservedConcurrentExecutions")]


def raised(error_type: str, level: str = "level") -> dict[str, Any]:
    """Return the line of Lambda's runtime: the function raised, or its import failed."""
    return {level: "ERROR", "errorType": error_type, "errorMessage": "No key.", "stackTrace": []}


def report(status: str, error_type: str | None = None) -> dict[str, Any]:
    """Return the line of the Lambda service."""
    return {"type": "platform.report", "record": {"requestId": "r-1", "status": status, "errorType": error_type}}


@pytest.mark.parametrize(
    ("line", "counts"),
    [
        (raised("KeyUnavailableError"), True),
        (raised("ConfigurationError"), True),
        (raised("Runtime.ImportModuleError"), True),
        (raised("UnauthorizedError"), False),
        # The runtime's name of the level until September 2026.
        (raised("ConfigurationError", "log_level"), True),
        (raised("UnauthorizedError", "log_level"), False),
        (report("timeout"), True),
        (report("success"), False),
        # The process ended without a log line. The filter matches the type, as the status depends on the cause.
        (report("error", "Runtime.ExitError"), True),
        (report("error", "Runtime.OutOfMemory"), True),
        (report("error", "Runtime.InvalidEntrypoint"), True),
        (report("failure", "Sandbox.Failure"), True),
        (report("error", "Extension.Crash"), True),
        # Exceptions of the function, such as a rejected token, have their own line above.
        (report("error", "UnauthorizedError"), False),
        (report("error", "Function.Unknown"), False),
        ({"type": "platform.start", "record": {"requestId": "r-1", "errorType": "Runtime.ExitError"}}, False),
        # From the function.
        ({"level": "WARNING", "logger": "authorizer", "message": "Not fetched.", "reason": "key_stale"}, True),
        ({"level": "INFO", "logger": "authorizer", "message": "Token refused", "reason": "expired"}, False),
        ({"_aws": {"Timestamp": 0}, "service": "service-keys", "reason": "expired", "RefusedTokens": 1}, False),
    ],
    ids=str,
)
def test_metric_filter_counts_authorizer_failures(template: Template, line: dict[str, Any], *, counts: bool) -> None:
    """Failures count, rejected tokens do not.

    Line formats: https://github.com/aws/aws-lambda-python-runtime-interface-client and
    https://docs.aws.amazon.com/lambda/latest/dg/telemetry-schema-reference.html.
    """
    given = template.properties("AuthorizerErrors")
    (transformation,) = given["MetricTransformations"]

    assert matches(given["FilterPattern"], line) is counts
    assert (transformation["MetricName"], transformation["MetricNamespace"]) == ("AuthorizerErrors", NAMESPACE)
    assert (transformation["MetricValue"], transformation["Unit"]) == ("1", "Count")
    assert given["LogGroupName"] == template.references["AuthorizerLog"]
    assert template.property("Authorizer", "LoggingConfig")["LogFormat"] == "JSON"


def matches(pattern: str, line: dict[str, Any]) -> bool:
    """Return True if the filter pattern matches the line; supports only the syntax that the stack uses."""

    def holds(term: re.Match[str]) -> str:
        found: Any = line
        for name in term["path"].split("."):
            found = found.get(name) if isinstance(found, dict) else None
        wanted = re.escape(term["value"]).replace(r"\*", ".*")
        return str((re.fullmatch(wanted, str(found)) is not None) is (term["operator"] == "="))

    terms = re.sub(r'\$\.(?P<path>[\w.]+) (?P<operator>!?=) "(?P<value>[^"]*)"', holds, pattern.strip("{} "))
    assert re.fullmatch(r"(?:True|False|&&|\|\||[() ])+", terms), terms
    return bool(eval(terms.replace("&&", "and").replace("||", "or")))


def test_metric_filter_names_exist_in_the_authorizer() -> None:
    """The error type and the reason in the filter pattern are those of the source."""
    sources = {path.name: path.read_text() for path in (ROOT / "functions" / "authorizer" / "authorizer").glob("*.py")}

    assert "class UnauthorizedError(" in sources["errors.py"]
    assert 'extra={"reason": "key_stale"}' in sources["key_cache.py"]


def test_samconfig_parameter_overrides(template: Template) -> None:
    """Dev and prod set no required parameter; prod has deletion protection and alarms, dev neither."""
    for environment, protected in (("dev", False), ("prod", True)):
        given = parameters(environment)
        chosen = Template.load(DEPLOYMENT | given, template.references)

        assert not given.keys() & DEPLOYMENT.keys()
        assert chosen.property("ApiKeysTable", "DeletionProtectionEnabled") is protected
        assert bool(list(chosen.resources(ALARM))) is protected
