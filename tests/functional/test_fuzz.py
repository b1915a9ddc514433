"""Generated requests: every response is one that openapi.yaml describes, and none is a server error.

`make fuzz` sends more than two thousand, `make test` fewer. They are always the same unless FUZZ_SEED is set.
"""

import functools
import os
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
import schemathesis
import yaml
from hypothesis import HealthCheck, Phase, given, seed, settings
from schemathesis import GenerationMode
from schemathesis.checks import CHECKS, load_all_checks
from schemathesis.core.failures import FailureGroup

from local.stack import LocalStack
from tests.functional.conftest import COLLECTION, SECRET, Admin, HttpAdmin
from tools.generate_openapi import DOCUMENT

CALLS = int(os.environ.get("FUZZ_CALLS", "20"))
"""Requests for each operation: half of them valid by the document, half of them invalid."""
SEED = int(os.environ.get("FUZZ_SEED", "1"))
OPERATIONS = sorted(
    f"{method.upper()} {path}"
    for path, item in yaml.safe_load(DOCUMENT.read_text())["paths"].items()
    for method in item
    if method != "parameters"
)
HEALTH = list(HealthCheck)
OPENAI_KEY = f"sk-{SECRET}"
MUST_ANSWER = {
    "GET /api/v1/admin/api-keys": {200, 400},
    "POST /api/v1/admin/api-keys": {201, 400},
    "GET /api/v1/admin/api-keys/{id}": {200, 404},
    "PUT /api/v1/admin/api-keys/{id}": {200, 400},
    "PATCH /api/v1/admin/api-keys/{id}": {200, 400},
    "DELETE /api/v1/admin/api-keys/{id}": {200, 404},
    "POST /api/v1/admin/api-keys/{id}/verify": {200, 404},
    "POST /api/v1/admin/api-keys/{id}/rollback": {200, 404, 428},
    "POST /api/v1/admin/api-keys/{id}/restore": {200, 400},
    "GET /api/v1/admin/api-keys/{id}/history": {200, 400, 404},
    "GET /api/v1/admin/services": {200},
}
"""Statuses that a run must reach, so that it covers more than errors."""


@functools.cache
def document() -> Any:
    return schemathesis.openapi.from_dict(yaml.safe_load(DOCUMENT.read_text()))


def operation_of(label: str) -> Any:
    return next(found.ok() for found in document().get_all_operations() if found.ok().label == label)


class Aim:
    """Aims a part of the cases at an existing key or page, and leaves the others as generated."""

    def __init__(self, admin: Admin) -> None:
        self.admin = admin
        self.created = 0
        self.key_id = ""

    def __call__(self, case: Any, number: int) -> None:
        if "id" in case.path_parameters and number % 4:
            if not self.key_id or self.admin.get(self.key_id).status != 200:
                self.created += 1
                self.key_id = self.admin.create(f"Fuzzed {self.created}", OPENAI_KEY, service="openai")["id"]
            case.path_parameters["id"] = self.key_id
            self._prepare(case, number)
        if number % 3 == 0:
            # A generated If-Match hardly ever matches.
            case.headers.pop("If-Match", None)
        if case.operation.label == f"POST {COLLECTION}" and number % 3 == 1 and isinstance(case.body, dict):
            # The schema does not contain every rule of a key, and a name is unique.
            case.body = case.body | {"name": f"Generated {number}", "key": SECRET}
        if "cursor" in case.query and number % 2:
            case.query.clear()
            if case.operation.path.endswith("/history"):
                page = self.admin.history(case.path_parameters["id"], limit="1")
            else:
                page = self.admin.listing(limit="1")
            cursor = page.status == 200 and page.body["pagination"]["nextCursor"]
            case.query.update({"limit": "2", "cursor": cursor} if cursor else {})

    def _prepare(self, case: Any, number: int) -> None:
        """Bring the key into the state that an undo needs: deleted, or replaced and in the version of If-Match."""
        if case.operation.path.endswith("/restore"):
            self.admin.delete(self.key_id)
            case.headers.pop("If-Match", None)
        elif case.operation.path.endswith(("/rollback", "/history")) and number % 2:
            changed = self.admin.update(self.key_id, {"key": OPENAI_KEY})
            if case.operation.path.endswith("/rollback"):
                case.headers["If-Match"] = changed.headers["ETag"]


def run(label: str, mode: GenerationMode, calls: int, ask: Callable[[Any, int], None]) -> int:
    """Generate requests for an operation, call `ask` with each, and return their number."""
    numbers = iter(range(10**9))

    @seed(SEED)
    @settings(max_examples=calls, database=None, deadline=None, phases=[Phase.generate], suppress_health_check=HEALTH)
    @given(case=operation_of(label).as_strategy(generation_mode=mode))
    def every_case(case: Any) -> None:
        ask(case, next(numbers))

    every_case()
    return next(numbers)


@pytest.mark.slow
@pytest.mark.parametrize("label", OPERATIONS)
def test_every_response_matches_the_document(
    stack: LocalStack, http: HttpAdmin, record_property: Callable[[str, object], None], label: str
) -> None:
    """Validate the status, media type, headers and body of each response."""
    aim = Aim(Admin(stack))
    for number in range(3):
        http.create(f"There {number}", OPENAI_KEY, service="openai")
    statuses: Counter[int] = Counter()
    names = ("status_code_conformance", "content_type_conformance", "response_headers_conformance")
    load_all_checks()
    checks = CHECKS.get_by_names(["not_a_server_error", "response_schema_conformance", *names])

    def ask(case: Any, number: int) -> None:
        aim(case, number)
        response = case.call(base_url=stack.url, headers={"Authorization": f"Bearer {http.token}"})
        statuses[response.status_code] += 1
        case.validate_response(response, checks=checks)

    calls = sum(run(label, mode, -(-CALLS // 2), ask) for mode in GenerationMode)

    record_property("generated calls", f"{label}: {calls} calls, {dict(sorted(statuses.items()))}")
    assert calls >= CALLS
    assert statuses.keys() >= MUST_ANSWER[label]
    assert max(statuses) < 500


def test_an_undocumented_response_is_detected(stack: LocalStack, http: HttpAdmin) -> None:
    """Raise FailureGroup for a status that the document lacks."""
    case = operation_of(f"GET {COLLECTION}/{{id}}").Case(path_parameters={"id": "openai.0123456789ab"})
    response = case.call(base_url=stack.url, headers={"Authorization": f"Bearer {http.token}"})
    response.status_code = 418

    with pytest.raises(FailureGroup, match="Undocumented status code"):
        case.validate_response(response)
