from __future__ import annotations

import os
import sys
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from local.functions import FunctionLoadError, load_functions
from local.template import Function

if TYPE_CHECKING:
    from pathlib import Path


def _function(folder: Path, source: str, name: str = "Example") -> Function:
    code = folder / name
    code.mkdir()
    (code / "app.py").write_text(source, encoding="utf-8")
    arn = f"arn:aws:lambda:eu-west-1:123456789012:function:{name}"
    return Function(name, arn, code, (), "app.handler", {"COLOUR": name}, timeout=5, memory=256)


def test_function_environment_is_isolated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each function has its own and the given variables, and none of the developer's."""
    monkeypatch.setenv("AWS_PROFILE", "work")
    source = "import os\nSEEN = dict(os.environ)\ndef handler(event, context): return SEEN"

    with load_functions([_function(tmp_path, source, name) for name in ("Red", "Blue")], {"AWS_REGION": "x"}) as loaded:
        for name in ("Red", "Blue"):
            assert loaded[name].invoke({}) == {
                "AWS_REGION": "x",
                "AWS_LAMBDA_FUNCTION_NAME": name,
                "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "256",
                "AWS_SDK_UA_APP_ID": name,
                "COLOUR": name,
            }

    assert os.environ["AWS_PROFILE"] == "work"


def test_handler_imports_sibling_module_at_call_time(tmp_path: Path) -> None:
    """The function's folder is on `sys.path` while its handler runs."""
    source = "def handler(event, context):\n    import beside_example\n    return beside_example.X"
    function = _function(tmp_path, source)
    (function.code / "beside_example.py").write_text("X = 1", encoding="utf-8")

    with load_functions([function], {}) as functions:
        assert functions["Example"].invoke({}) == 1

    assert str(function.code) not in sys.path


def test_handler_gets_lambda_context(tmp_path: Path) -> None:
    """The context has name, ARN, memory, remaining time and a new request id."""
    source = (
        "def handler(event, context): return [context.function_name, context.invoked_function_arn, "
        "context.memory_limit_in_mb, context.aws_request_id, context.get_remaining_time_in_millis()]"
    )

    with load_functions([_function(tmp_path, source)], {}) as functions:
        name, arn, memory, request_id, left = functions["Example"].invoke({})
        other_id = functions["Example"].invoke({})[3]

    assert (name, memory) == ("Example", 256)
    assert arn.endswith(":function:Example")
    assert 0 < left <= 5000
    assert request_id != other_id


def test_events_and_results_are_json(tmp_path: Path) -> None:
    """Event and result are copied through JSON; other types raise TypeError."""
    source = "def handler(event, context):\n    event['x'] = 2\n    return {1, 2} if event.get('bad') else event"
    event = {"x": 1}

    with load_functions([_function(tmp_path, source)], {}) as functions:
        assert functions["Example"].invoke(event) == {"x": 2}
        assert event == {"x": 1}
        with pytest.raises(TypeError, match="not JSON serializable"):
            functions["Example"].invoke({"bad": True})


@pytest.mark.parametrize(
    ("source", "handler", "complaint"),
    [
        ("import there_is_no_such_module", "app.handler", r"app\.py cannot be imported: ModuleNotFoundError"),
        ("", "app.handler", r"app\.py has no handler"),
        ("", "main.handler", r"there is no .*main\.py"),
    ],
)
def test_load_error_names_the_function(tmp_path: Path, source: str, handler: str, complaint: str) -> None:
    """A failed import, a missing handler or a missing module is an error."""
    function = replace(_function(tmp_path, source), handler=handler)

    with pytest.raises(FunctionLoadError, match=f"Example: .*{complaint}"), load_functions([function], {}):
        pass
