"""The template, translated by SAM and resolved with the parameters of a deployment."""

import pytest

from local.template import EXAMPLE_PARAMETERS, Template

DEPLOYMENT = EXAMPLE_PARAMETERS


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
    for name in Template.load(DEPLOYMENT, references).functions():
        # AWS's ARN of a log group ends with the wildcard for its streams.
        references |= {f"{name}Log": name, f"{name}Log.Arn": f"arn:{name}Log:*"}
    return Template.load(DEPLOYMENT, references)
