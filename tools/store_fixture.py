"""Store the items and the stack of a version as fixtures, with which later versions are tested.

Run it once for each released version, before the release, with the number of that version:

    .venv/bin/python -m tools.store_fixture 1.0.0

The API of this checkout stores keys in every state in an emulator; their items are kept with its responses in
tests/functional/stored_items. The parts of template.yaml that an update must keep go to tests/template/deployed_stacks.
The fixtures of a released version are never made again: only its own code can make them.
"""

from __future__ import annotations

import argparse
import re
import sys
from typing import Any

from local.fake_services import FakeServices
from local.stack import local_stack
from service_keys import ServiceKeys
from tests.functional.conftest import Admin, Store, _client
from tests.support.deployed_stack import DEPLOYED, of_this_template
from tests.support.fault_proxy import FaultProxy
from tests.support.fixed_kms import FixedKms
from tests.support.stored_items import FIXTURES, Clock, play, running_at


def main(arguments: list[str] | None = None) -> int:
    """Make the fixture; return the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m tools.store_fixture", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("version", type=_version, help="the version to be released, such as 1.0.0")
    version = parser.parse_args(arguments).version
    made = {FIXTURES: _played, DEPLOYED: of_this_template}
    if any(fixtures.path(version).exists() for fixtures in made):
        print(f"Version {version} has a fixture, which stays as it is. Give the next version.", file=sys.stderr)
        return 1
    for fixtures, make in made.items():
        print(f"Wrote {fixtures.save(version, make())} and its checksum. Commit both.")
    return 0


def _version(text: str) -> str:
    if not re.fullmatch(r"\d+\.\d+\.\d+", text):
        raise argparse.ArgumentTypeError("give a released version, such as 1.0.0")
    return text


def _played() -> dict[str, Any]:
    with FixedKms() as kms, FakeServices() as services, FaultProxy() as proxy:
        parameters = {"AwsEndpointUrl": proxy.url, "DeletionProtection": "false"}
        with local_stack(parameters, fake_services_url=services.url) as stack:
            proxy.upstreams = {"DynamoDB": stack.endpoint_url, "KMS": kms.url}
            dynamodb, kms_client, clock = _client("dynamodb", proxy.url), _client("kms", proxy.url), Clock()
            store = Store(dynamodb, kms_client, stack.table_name, stack.kms_key_arn)

            def consumer() -> ServiceKeys:
                return ServiceKeys(
                    stack.table_name, dynamodb_client=dynamodb, kms_client=kms_client, clock=clock.seconds
                )

            with running_at(stack, clock):
                return play(Admin(stack), store, clock, consumer)


if __name__ == "__main__":
    sys.exit(main())
