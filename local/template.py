"""Load template.yaml as CloudFormation would: translate it with SAM, check parameters, resolve intrinsic functions.

Reads only the template and makes no AWS calls. Translations (0.1 s each, after 0.5 s of imports) are cached for the
life of the process.
"""

from __future__ import annotations

import functools
import json
import logging
import re
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from local.intrinsics import Resolver, TemplateError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

__all__ = ["Template", "TemplateError"]

TEMPLATE = Path(__file__).parents[1] / "template.yaml"
EXAMPLE_PARAMETERS = {
    "JwtIssuer": "https://issuer.example.com/",
    "JwtAudience": "service-keys",
    "JwksUrl": "https://issuer.example.com/jwks.json",
    "AdminClaimRule": "role=admin",
    "AllowedOrigin": "https://admin.example.com",
}
"""Valid parameters of a deployment with an issuer of its own, and a web page's origin."""
REGION, ACCOUNT_ID = "eu-west-1", "123456789012"
PSEUDO_PARAMETERS = {
    "AWS::AccountId": ACCOUNT_ID,
    "AWS::Partition": "aws",
    "AWS::Region": REGION,
    "AWS::StackId": f"arn:aws:cloudformation:{REGION}:{ACCOUNT_ID}:stack/service-keys/local",
    "AWS::StackName": "service-keys",
    "AWS::URLSuffix": "amazonaws.com",
}

# SAM translates only packaged templates, with code in S3.
_CODE = {"AWS::Serverless::Function": "CodeUri", "AWS::Serverless::LayerVersion": "ContentUri"}
_FUNCTION_OF_URI = re.compile(r":function:(?P<function>[^:/]+)/invocations$")
_METHODS = ("get", "put", "post", "delete", "options", "head", "patch")


@dataclass(frozen=True)
class Table:
    """The DynamoDB table: `create` has CreateTable's arguments, `time_to_live` UpdateTimeToLive's specification."""

    create: dict[str, Any]
    time_to_live: dict[str, Any] | None


@dataclass(frozen=True)
class Function:
    """A Lambda function; `code` and `layers` are folders, `timeout` is in seconds, `memory` in megabytes."""

    logical_id: str
    arn: str
    code: Path
    layers: tuple[Path, ...]
    handler: str
    environment: dict[str, str]
    timeout: int
    memory: int

    @property
    def name(self) -> str:
        """Return the function's name: its `FunctionName`, or else the logical id."""
        return self.arn.rpartition(":")[2]


@dataclass(frozen=True)
class Authorizer:
    """A TOKEN authorizer: calls `function` if the value of `header` matches the regex `validation`."""

    function: str
    header: str
    validation: str | None


@dataclass(frozen=True)
class Route:
    """One method of an API path, handled by `function`, or by API Gateway itself if that is None.

    `operation` is the route's operation object in the OpenAPI document.
    """

    method: str
    path: str
    function: str | None
    authorizer: Authorizer | None
    operation: dict[str, Any]


@dataclass(frozen=True)
class Template:
    """A translated template with values for its parameters and references.

    For functions, `Ref` is the `FunctionName` or else the logical id, and `Arn` an ARN that contains it. All other
    references must be in `references`: `Name` for `Ref`, `Name.Attribute` for `Fn::GetAtt`.

    Attributes:
        folder: The template's folder; code folders are relative to it.
        cloudformation: The translated template with unresolved intrinsic functions. Shared: do not modify.
        parameters: The value of every parameter, including defaults.
        references: The caller's values of references.
    """

    folder: Path
    cloudformation: Mapping[str, Any]
    parameters: Mapping[str, str]
    references: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def load(
        cls,
        parameters: Mapping[str, object] | None = None,
        references: Mapping[str, str] | None = None,
        *,
        path: Path = TEMPLATE,
    ) -> Template:
        """Read, translate and check the template at `path`.

        Raises:
            TemplateError: SAM rejects the template, or a parameter is missing, unknown or not allowed.
        """
        path = path.resolve()
        given = parameters or {}
        source = _source(path, path.stat().st_mtime_ns)
        # Only parameters with AllowedValues may affect the translation.
        declared = (json.loads(source) or {}).get("Parameters", {})
        choices = frozenset((name, str(given[name])) for name in given if "AllowedValues" in declared.get(name, {}))
        cloudformation = _translate(path, source, choices)
        return cls(path.parent, cloudformation, _check_parameters(cloudformation, given), dict(references or {}))

    def with_parameters(self, parameters: Mapping[str, object]) -> Template:
        """Return a copy of the template with other values for some parameters.

        Raises:
            TemplateError: A parameter is unknown or not allowed.
        """
        return replace(self, parameters=_check_parameters(self.cloudformation, {**self.parameters, **parameters}))

    def with_references(self, references: Mapping[str, str]) -> Template:
        """Return a copy of the template with additional `references`."""
        return replace(self, references={**self.references, **references})

    def resolve(self, value: Any) -> Any:
        """Return a part of the translated template with resolved intrinsic functions."""
        return self._resolver.resolve(value)

    def resources(self, resource_type: str) -> Iterator[tuple[str, dict[str, Any]]]:
        """Yield the logical id and unresolved properties of each resource of a type whose condition holds."""
        for logical_id, resource in self.cloudformation["Resources"].items():
            condition = resource.get("Condition")
            if resource["Type"] == resource_type and (condition is None or self._resolver.condition(condition)):
                yield logical_id, resource.get("Properties", {})

    def single_resource(self, resource_type: str) -> str:
        """Return the logical id of the one resource of a type.

        Raises:
            TemplateError: There is none, or more than one.
        """
        found = [logical_id for logical_id, _ in self.resources(resource_type)]
        if len(found) != 1:
            raise TemplateError(f"A local run needs exactly one {resource_type} in the template, not {len(found)}")
        return found[0]

    def property(self, logical_id: str, name: str, default: Any = None) -> Any:
        """Return one property of a resource, resolved. References in other properties need no value."""
        properties = self.cloudformation["Resources"][logical_id].get("Properties", {})
        # Resolve inside a dict, so that AWS::NoValue removes the property.
        given = self.resolve({name: properties[name]}) if name in properties else {}
        return given.get(name, default)

    def properties(self, logical_id: str) -> dict[str, Any]:
        """Return the resolved properties of a resource."""
        resolved: dict[str, Any] = self.resolve(self.cloudformation["Resources"][logical_id].get("Properties", {}))
        return resolved

    def table(self) -> Table:
        """Return the DynamoDB table. The reference to its logical id is its name."""
        logical_id = self.single_resource("AWS::DynamoDB::Table")
        properties = self.properties(logical_id)
        time_to_live = properties.pop("TimeToLiveSpecification", None)
        properties.pop("PointInTimeRecoverySpecification", None)
        # CloudFormation and CreateTable use different names for this switch.
        if "SSESpecification" in properties:
            properties["SSESpecification"] = {"Enabled": properties["SSESpecification"]["SSEEnabled"]}
        return Table({**properties, "TableName": self.resolve({"Ref": logical_id})}, time_to_live)

    def functions(self) -> dict[str, Function]:
        """Return the Lambda functions by logical id, sorted."""
        return {name: self._function(name) for name, _ in sorted(self.resources("AWS::Lambda::Function"))}

    def consumer_layer(self) -> Path:
        """Return the folder of the layer whose ARN is in the SSM parameter for consumers.

        Raises:
            TemplateError: The template has not exactly one SSM parameter.
        """
        folder: str = self.property(self.single_resource("AWS::SSM::Parameter"), "Value")
        return self.folder / folder

    def api(self) -> dict[str, Any]:
        """Return the API's OpenAPI document: routes, authorizer, gateway responses, CORS."""
        body: dict[str, Any] = self.property(self.single_resource("AWS::ApiGateway::RestApi"), "Body")
        return body

    def stage(self) -> str:
        """Return the name of the API's stage."""
        return str(self.property(self.single_resource("AWS::ApiGateway::Stage"), "StageName"))

    def stage_variables(self) -> dict[str, str]:
        """Return the variables of the API's stage."""
        variables: dict[str, str] = self.property(self.single_resource("AWS::ApiGateway::Stage"), "Variables", {})
        return variables

    def routes(self) -> list[Route]:
        """Return the API's routes, sorted by path and method."""
        body = self.api()
        schemes_by_name = body.get("components", {}).get("securitySchemes", {})
        authorizers = {name: self._authorizer(scheme) for name, scheme in schemes_by_name.items()}
        routes = []
        for path, operations in sorted(body["paths"].items()):
            for method, operation in sorted(operations.items()):
                if method not in _METHODS:
                    raise TemplateError(f"{method} of {path}: name the methods of a path, a local run knows no others")
                # SAM marks a route without the default authorizer as NONE.
                schemes = {name for requirement in operation.get("security", []) for name in requirement} - {"NONE"}
                function = self._function_of(operation["x-amazon-apigateway-integration"])
                authorizer = authorizers[schemes.pop()] if schemes else None
                routes.append(Route(method.upper(), path, function, authorizer, operation))
        return routes

    def _function(self, logical_id: str) -> Function:
        value = functools.partial(self.property, logical_id)
        variables = value("Environment", {}).get("Variables", {})
        return Function(
            logical_id,
            arn=self.resolve({"Fn::GetAtt": [logical_id, "Arn"]}),
            code=self.folder / value("Code")["S3Key"],
            layers=tuple(self.folder / key for key in value("Layers", [])),
            handler=value("Handler"),
            environment={name: str(setting) for name, setting in variables.items()},
            # Use Lambda's defaults.
            timeout=int(value("Timeout", 3)),
            memory=int(value("MemorySize", 128)),
        )

    def _function_of(self, integration: Mapping[str, Any]) -> str | None:
        if integration["type"] == "mock":
            return None
        match = _FUNCTION_OF_URI.search(integration["uri"])
        if match is None or integration["type"] != "aws_proxy":
            raise TemplateError(f"A local run knows Lambda proxy integrations and mocks, not {integration['type']}")
        return self._logical_id(match["function"])

    def _authorizer(self, scheme: Mapping[str, Any]) -> Authorizer:
        settings = scheme.get("x-amazon-apigateway-authorizer", {})
        match = _FUNCTION_OF_URI.search(settings.get("authorizerUri", ""))
        if match is None or settings["type"] != "token":
            raise TemplateError("A local run knows Lambda authorizers with FunctionPayloadType TOKEN, and no other")
        function = self._logical_id(match["function"])
        return Authorizer(function, scheme["name"], settings.get("identityValidationExpression"))

    def _logical_id(self, function_name: str) -> str:
        for logical_id, name in self._function_names.items():
            if name == function_name:
                return logical_id
        raise TemplateError(f"The API calls the function {function_name}, which the template does not create")

    @functools.cached_property
    def _function_names(self) -> Mapping[str, str]:
        """The name of each function by logical id: its `FunctionName`, or else the logical id."""
        resolver = self._resolver_of({})
        return {
            logical_id: resolver.resolve(resource["Properties"].get("FunctionName", logical_id))
            for logical_id, resource in self.cloudformation["Resources"].items()
            if resource["Type"] == "AWS::Lambda::Function"
        }

    @functools.cached_property
    def _resolver(self) -> Resolver:
        references: dict[str, str] = {}
        for logical_id, resource in self.cloudformation["Resources"].items():
            if resource["Type"] == "AWS::Lambda::Function":
                name = self._function_names[logical_id]
                references[logical_id] = name
                references[f"{logical_id}.Arn"] = f"arn:aws:lambda:{REGION}:{ACCOUNT_ID}:function:{name}"
            elif resource["Type"] == "AWS::Lambda::LayerVersion":
                references[logical_id] = resource["Properties"]["Content"]["S3Key"]
        return self._resolver_of({**references, **self.references})

    def _resolver_of(self, references: Mapping[str, str]) -> Resolver:
        conditions, mappings = (self.cloudformation.get(part, {}) for part in ("Conditions", "Mappings"))
        return Resolver({**PSEUDO_PARAMETERS, **self.parameters}, conditions, mappings, references)


@functools.lru_cache(maxsize=8)
def _source(path: Path, modified: int) -> str:  # noqa: ARG001 - part of the cache key
    """Return the template as JSON, so that nodes shared through YAML anchors become copies."""
    from samtranslator.yaml_helper import yaml_parse
    from yaml import YAMLError

    try:
        return json.dumps(yaml_parse(path.read_text(encoding="utf-8")))
    except (YAMLError, TypeError) as exc:
        raise TemplateError(f"{path} is not a SAM template: {exc!r}") from exc


@functools.lru_cache(maxsize=8)
def _translate(path: Path, source: str, choices: frozenset[tuple[str, str]]) -> Mapping[str, Any]:
    # Import here: it takes half a second.
    from samtranslator.model.exceptions import InvalidDocumentException
    from samtranslator.parser.parser import Parser
    from samtranslator.translator.translator import Translator

    # Hide warnings about features that only AWS's own deployment of the translator has.
    logging.getLogger("samtranslator").setLevel(logging.ERROR)
    # The translator needs only a region; a real session would read the developer's AWS configuration.
    translator = Translator({}, Parser(), boto_session=SimpleNamespace(region_name=REGION))
    try:
        template = json.loads(source)
        for resource in template["Resources"].values():
            if name := _CODE.get(resource["Type"]):
                # The folder becomes the S3 key.
                resource["Properties"][name] = f"s3://local/{resource['Properties'][name]}"
        translated: Mapping[str, Any] = translator.translate(template, dict(choices))
    except InvalidDocumentException as exc:
        raise TemplateError(f"{path}: " + "; ".join(cause.message for cause in exc.causes)) from exc
    except (KeyError, TypeError) as exc:
        raise TemplateError(f"{path} is not a SAM template with folders for its code: {exc!r}") from exc
    return translated


def _check_parameters(cloudformation: Mapping[str, Any], given: Mapping[str, object]) -> dict[str, str]:
    """Check the parameters' own constraints and the template's `Rules`, which constrain combinations of parameters."""
    declared = cloudformation.get("Parameters", {})
    if unknown := sorted(given.keys() - declared.keys()):
        raise TemplateError(f"The template has no parameter {', '.join(unknown)}")
    values = {name: given.get(name, declaration.get("Default")) for name, declaration in declared.items()}
    if missing := sorted(name for name, value in values.items() if value is None):
        raise TemplateError(f"The template needs a value for the parameter {', '.join(missing)}")
    checked = {name: str(value) for name, value in values.items()}
    for name, declaration in declared.items():
        if reason := _constraint_violation(declaration, checked[name]):
            message = f"Parameter {name}: {declaration.get('ConstraintDescription', reason)} (got {checked[name]!r})"
            raise TemplateError(message)
    resolver = Resolver({**PSEUDO_PARAMETERS, **checked}, {}, {}, {})
    for name, rule in cloudformation.get("Rules", {}).items():
        if resolver.resolve(rule.get("RuleCondition", True)):
            for assertion in rule["Assertions"]:
                if not resolver.resolve(assertion["Assert"]):
                    message = f"Rule {name}: {assertion.get('AssertDescription', 'an assertion of it fails')}"
                    raise TemplateError(message)
    return checked


def _constraint_violation(declaration: Mapping[str, Any], value: str) -> str | None:
    """Return the constraint that a parameter's value violates, or None."""
    allowed = [str(item) for item in declaration.get("AllowedValues", [])]
    pattern = declaration.get("AllowedPattern")
    if allowed and value not in allowed:
        return f"must be one of {', '.join(allowed)}"
    if pattern and not re.fullmatch(pattern, value):
        return f"must match {pattern}"
    if len(value) > int(declaration.get("MaxLength", len(value))):
        return f"must have at most {declaration['MaxLength']} characters"
    return _range_violation(declaration, value) if declaration["Type"] == "Number" else None


def _range_violation(declaration: Mapping[str, Any], value: str) -> str | None:
    try:
        number = float(value)
    except ValueError:
        return "must be a number"
    if not float(declaration.get("MinValue", number)) <= number <= float(declaration.get("MaxValue", number)):
        return f"must be between {declaration.get('MinValue', 'any')} and {declaration.get('MaxValue', 'any')}"
    return None
