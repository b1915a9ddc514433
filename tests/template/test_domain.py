"""The example stack with a custom domain and a web ACL."""

from __future__ import annotations

import pytest

from local.template import REGION, Template
from tests.support.processes import ROOT


@pytest.fixture(scope="module")
def domain() -> Template:
    given = {
        "DomainName": "keys.example.com",
        "CertificateArn": "arn:aws:acm:eu-west-1:123456789012:certificate/0123",
    }
    references = {
        "service-keys-RestApiId": "api",
        "Domain": "keys.example.com",
        "WebAcl.Arn": "arn:acl",
        "WebAclLog": "aws-waf-logs-domain",
    }
    return Template.load(given, references, path=ROOT / "docs" / "examples" / "domain.yaml")


def test_the_domain_leads_to_the_stage(domain: Template, template: Template) -> None:
    """The mapping has no base path, so that /live vanishes; API, stage and console are those of the stack."""
    mapping = domain.properties("Mapping")
    assert mapping == {"DomainName": "keys.example.com", "RestApiId": "api", "Stage": "live"}
    exported = template.cloudformation["Outputs"]["RestApiId"]
    assert template.resolve(exported["Export"]["Name"]) == "service-keys-RestApiId"
    assert template.resolve(exported["Value"]) == "api"
    stage = template.single_resource("AWS::ApiGateway::Stage")
    assert template.property(stage, "StageName") == mapping["Stage"]
    assert domain.property("Domain", "SecurityPolicy") == "TLS_1_2"
    console = domain.resolve(domain.cloudformation["Outputs"]["ConsoleUrl"]["Value"])
    with_pool = Template.load({"AdminEmail": "ada@example.com", "ConsoleUrl": console}, template.references)
    assert with_pool.parameters["ConsoleUrl"] == "https://keys.example.com/console"


def test_the_web_acl_sees_no_keys(domain: Template) -> None:
    """It counts requests of an address; neither a rule nor the log reads a body or a token."""
    arn = f"arn:aws:apigateway:{REGION}::/restapis/api/stages/live"
    assert domain.property("WebAclOfTheStage", "ResourceArn") == arn
    acl = domain.properties("WebAcl")
    (rule,) = acl["Rules"]
    assert list(rule["Statement"]) == ["RateBasedStatement"]
    assert rule["Statement"]["RateBasedStatement"]["Limit"] == "600"
    assert {each["VisibilityConfig"]["SampledRequestsEnabled"] for each in (acl, rule)} == {False}
    redacted = [field["SingleHeader"]["Name"] for field in domain.property("WebAclLogging", "RedactedFields")]
    assert "authorization" in redacted
    (target,) = domain.property("WebAclLogging", "LogDestinationConfigs")
    assert target.endswith(":log-group:aws-waf-logs-domain")
