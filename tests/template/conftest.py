"""The template, translated by SAM and resolved with the parameters of a deployment."""

import pytest

from local.template import Template

DEPLOYMENT = {
    "JwtIssuer": "https://issuer.example.com/",
    "JwtAudience": "service-keys",
    "JwksUrl": "https://issuer.example.com/jwks.json",
    "AdminClaimRule": "role=admin",
    "AllowedOrigin": "https://admin.example.com",
}


@pytest.fixture(scope="session")
def template() -> Template:
    references = {
        "ApiKeysTable": "table",
        "ApiKeysTable.Arn": "arn:table",
        "EncryptionKey": "key",
        "EncryptionKey.Arn": "arn:key",
        "AccessLog.Arn": "arn:log",
        "AlarmTopic": "arn:aws:sns:eu-west-1:123456789012:alarms",
        "Api": "api",
    }
    functions = Template.load(DEPLOYMENT, references).functions()
    logs = {f"{name}Log": name for name in functions}
    # AWS's ARN of a log group ends with the wildcard for its streams.
    logs |= {f"{name}Log.Arn": f"arn:{name}Log:*" for name in functions}
    return Template.load(DEPLOYMENT, references | logs)
