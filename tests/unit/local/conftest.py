"""A small SAM project whose functions echo their event or fail on demand."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from local.stack import LocalStack, local_stack

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

TEMPLATE = """
AWSTemplateFormatVersion: "2010-09-09"
Transform: AWS::Serverless-2016-10-31
Parameters:
  JwtIssuer: {Type: String}
  JwtAudience: {Type: String}
  JwksUrl: {Type: String}
  AdminClaimRule: {Type: String}
  ConsoleClientId: {Type: String, Default: ""}
  AwsEndpointUrl: {Type: String, Default: ""}
  CustomMetrics: {Type: String, Default: "true"}
  AllowedOrigin: {Type: String, AllowedPattern: "^https?://[^/]+$", ConstraintDescription: must be an origin}
  Size: {Type: Number, Default: 3, MinValue: 1, MaxValue: 9}
  Label: {Type: String, Default: "", MaxLength: 4}
  Colour: {Type: String, Default: red, AllowedValues: [red, blue]}
Rules:
  RedThingsAreSmall:
    RuleCondition: !Equals [!Ref Colour, red]
    Assertions:
      - {Assert: !Not [!Equals [!Ref Size, "9"]], AssertDescription: give a red thing a size below 9}
Mappings:
  Shades: {red: {name: crimson}, blue: {name: navy}}
Conditions:
  Red: !Equals [!Ref Colour, red]
  NotRed: !Not [!Condition Red]
Globals:
  Function: {Runtime: python3.13, Handler: app.handler, Timeout: 7}
Resources:
  Api:
    Type: AWS::Serverless::Api
    Properties:
      StageName: live
      OpenApiVersion: 3.0.1
      Auth:
        DefaultAuthorizer: Token
        AddDefaultAuthorizerToCorsPreflight: false
        Authorizers:
          Token:
            FunctionArn: !Sub arn:aws:lambda:${AWS::Region}:${AWS::AccountId}:function:${AWS::StackName}-gatekeeper
            DisableFunctionDefaultPermissions: true
            FunctionPayloadType: TOKEN
      Cors: {AllowOrigin: !Sub "'${AllowedOrigin}'", AllowMethods: "'GET,POST'", AllowHeaders: "'Authorization'"}
      GatewayResponses:
        UNAUTHORIZED:
          StatusCode: 401
          ResponseParameters: {Headers: {WWW-Authenticate: "'Bearer'"}}
          ResponseTemplates: {application/json: '{"code": "who", "id": "$context.requestId"}'}
        MISSING_AUTHENTICATION_TOKEN:
          StatusCode: 404
          ResponseTemplates: {application/json: '{"code": "where"}'}
        DEFAULT_4XX:
          ResponseTemplates:
            application/json: '{"type": "$context.error.responseType", "message": "$context.error.message"}'
        DEFAULT_5XX:
          ResponseParameters: {Headers: {Cache-Control: "'no-store'"}}
          ResponseTemplates: {application/json: '{"type": "$context.error.responseType"}'}
  Gatekeeper:
    Type: AWS::Serverless::Function
    Properties:
      FunctionName: !Sub ${AWS::StackName}-gatekeeper
      CodeUri: functions/gatekeeper
      Environment: {Variables: {JWKS_URL: !Ref JwksUrl}}
  Echo:
    Type: AWS::Serverless::Function
    Properties:
      CodeUri: functions/echo
      Layers: [!Ref Shared]
      Environment:
        Variables:
          TABLE: !Ref Things
          KEY: !GetAtt Secret.Arn
          SIZE: !Ref Size
          AWS_ENDPOINT_URL: !Ref AwsEndpointUrl
          SHADE: !If [Red, warm, cold]
          TONE: !FindInMap [Shades, !Ref Colour, name]
          NOTHING: !If [NotRed, something, !Ref AWS::NoValue]
          JOINED: !Join [":", [!Select [1, [a, b]], !Sub "${!Literal} ${Things} ${AWS::Region}"]]
      Events:
        Post: {Type: Api, Properties: {RestApiId: !Ref Api, Method: POST, Path: /things}}
        Get: {Type: Api, Properties: {RestApiId: !Ref Api, Method: GET, Path: "/things/{id}"}}
        Mine: {Type: Api, Properties: {RestApiId: !Ref Api, Method: GET, Path: /things/mine}}
        Open:
          Type: Api
          Properties: {RestApiId: !Ref Api, Method: GET, Path: /open, Auth: {Authorizer: NONE}}
  Painter:
    Type: AWS::Serverless::Function
    Condition: NotRed
    Properties: {CodeUri: functions/echo}
  Shared:
    Type: AWS::Serverless::LayerVersion
    Properties: {ContentUri: layers/shared}
  Things:
    Type: AWS::DynamoDB::Table
    Properties:
      BillingMode: PAY_PER_REQUEST
      PointInTimeRecoverySpecification: {PointInTimeRecoveryEnabled: true}
      SSESpecification: {SSEEnabled: false}
      AttributeDefinitions: [{AttributeName: id, AttributeType: S}]
      KeySchema: [{AttributeName: id, KeyType: HASH}]
      TimeToLiveSpecification: {AttributeName: gone, Enabled: true}
  Secret:
    Type: AWS::KMS::Key
    Properties:
      Description: !Sub Of ${AWS::StackName}
      KeyPolicy: {Version: "2012-10-17", Statement: []}
"""

ECHO = """
import json, os, shared_between_functions
SETTINGS = dict(os.environ)
def handler(event, context):
    wish = (event.get("queryStringParameters") or {}).get("answer")
    if wish == "error":
        raise ValueError("a secret")
    if wish:
        return json.loads(wish)
    event["seen"] = {"requestId": context.aws_request_id, "left": context.get_remaining_time_in_millis(),
                     "function": context.function_name, "arn": context.invoked_function_arn}
    return {"statusCode": 200, "headers": {"X-One": 1}, "multiValueHeaders": {"X-Two": ["a", "b"]},
            "body": json.dumps(event)}
"""

GATEKEEPER = """
def handler(event, context):
    token, arn = event["authorizationToken"], event["methodArn"]
    def policy(*statements):
        return {"principalId": "ada", "context": {"admin": True, "level": 3}, "policyDocument": {"Statement": [
            {"Effect": effect, "Action": "execute-api:Invoke", "Resource": resource}
            for effect, resource in statements]}}
    every = arn.split("/")[0] + "/*"
    if token == "unauthorized":
        raise Exception("Unauthorized")
    if token == "crash":
        raise RuntimeError("cannot reach the issuer")
    return {
        "allow": policy(("Allow", arn)),
        "allow-all": policy(("Allow", [every])),
        "deny": policy(("Deny", arn)),
        "both": policy(("Allow", every), ("Deny", arn)),
        "elsewhere": policy(("Allow", arn + "/more")),
        "nested": {**policy(("Allow", arn)), "context": {"roles": ["admin"]}},
    }.get(token, {"principalId": "ada"})
"""


@pytest.fixture(scope="session")
def template_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("project")
    files = {
        "template.yaml": TEMPLATE,
        "functions/echo/app.py": ECHO,
        "functions/gatekeeper/app.py": GATEKEEPER,
        "layers/shared/shared_between_functions.py": "",
    }
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text, encoding="utf-8")
    return folder / "template.yaml"


@pytest.fixture(scope="session")
def stack(template_path: Path) -> Iterator[LocalStack]:
    with local_stack(path=template_path) as running:
        yield running
