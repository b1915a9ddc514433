"""Load the deployed handlers and call them in this process as Lambda would.

Differences from Lambda: all functions share one process, with one thread per request, so they also share modules
beside `app.py` and in layers; time and memory are unlimited; only the tests' fault proxy enforces IAM policies.
"""

from __future__ import annotations

import importlib.util
import itertools
import json
import os
import sys
import threading
import time
import uuid
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping
    from types import ModuleType

    from local.template import Function

__all__ = ["Context", "FunctionLoadError", "LoadedFunction", "ResponseTooLargeError", "load_functions"]

_numbers = itertools.count(1)
_environment_lock = threading.Lock()


MAX_PAYLOAD = 6 * 1024 * 1024
"""Maximum bytes of a response; a fixed quota of Lambda."""


class ResponseTooLargeError(RuntimeError):
    """A function's result exceeds Lambda's response quota."""


class FunctionLoadError(RuntimeError):
    """A function's module cannot be imported or lacks the handler."""


@dataclass(frozen=True)
class Context:
    """The Lambda context object of one call."""

    function_name: str
    invoked_function_arn: str
    memory_limit_in_mb: int
    timeout: int
    aws_request_id: str = field(default_factory=lambda: str(uuid.uuid4()))
    function_version: str = "$LATEST"
    _started: float = field(default_factory=time.monotonic)

    def get_remaining_time_in_millis(self) -> int:
        """Return the milliseconds until the timeout of this call."""
        return max(0, int((self._started + self.timeout - time.monotonic()) * 1000))


class LoadedFunction:
    """A loaded function; thread-safe."""

    def __init__(self, definition: Function, handler: Callable[[Any, Context], Any]) -> None:
        self.definition = definition
        self._handler = handler

    def invoke(self, event: Mapping[str, Any]) -> Any:
        """Call the handler and return its result. Exceptions of the handler propagate.

        Event and result are serialized to JSON, as on Lambda: the handler gets its own copy of the event, and a
        result that is not serializable fails.

        Raises:
            ResponseTooLargeError: The result is larger than `MAX_PAYLOAD`.
        """
        context = Context(
            function_name=self.definition.logical_id,
            invoked_function_arn=self.definition.arn,
            memory_limit_in_mb=self.definition.memory,
            timeout=self.definition.timeout,
        )
        result = json.dumps(self._handler(json.loads(json.dumps(event)), context))
        if len(result) > MAX_PAYLOAD:
            message = f"{self.definition.logical_id} returned {len(result)} bytes; Lambda allows {MAX_PAYLOAD}"
            raise ResponseTooLargeError(message)
        return json.loads(result)


@contextmanager
def load_functions(
    functions: Iterable[Function], environment: Mapping[str, str]
) -> Iterator[dict[str, LoadedFunction]]:
    """Import the handlers; yield them by logical id, ready to be called.

    Args:
        functions: The functions to load.
        environment: Variables that every function gets in addition to its own, such as region and credentials.
            Functions do not inherit other variables of this process.

    Raises:
        FunctionLoadError: A function cannot be imported. Names the function and its module.
    """
    with ExitStack() as stack:
        yield {
            function.logical_id: LoadedFunction(function, _load(function, environment, stack)) for function in functions
        }


def _load(function: Function, environment: Mapping[str, str], stack: ExitStack) -> Callable[[Any, Context], Any]:
    module_path, _, handler_name = function.handler.rpartition(".")
    path = function.code / f"{module_path}.py"
    # Every module file is app.py; give each module a unique name.
    name = f"local_function_{next(_numbers)}_{function.logical_id}"
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None or not path.is_file():
        message = f"{function.logical_id}: there is no {path}"
        raise FunctionLoadError(message)
    for folder in (*function.layers, function.code):
        _on_path(str(folder), stack)
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    stack.callback(sys.modules.pop, name, None)
    own = {
        "AWS_LAMBDA_FUNCTION_NAME": function.logical_id,
        "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": str(function.memory),
        # The fault proxy identifies the caller by this user-agent app id (on AWS: by its role).
        "AWS_SDK_UA_APP_ID": function.logical_id,
    }
    with _environment({**environment, **own, **function.environment}):
        try:
            spec.loader.exec_module(module)
        except Exception as exc:
            message = f"{function.logical_id}: {path} cannot be imported: {exc!r}"
            raise FunctionLoadError(message) from exc
    return _handler(module, handler_name, function)


def _handler(module: ModuleType, name: str, function: Function) -> Callable[[Any, Context], Any]:
    handler: Callable[[Any, Context], Any] | None = getattr(module, name, None)
    if handler is None:
        message = f"{function.logical_id}: {module.__file__} has no {name}"
        raise FunctionLoadError(message)
    return handler


def _on_path(folder: str, stack: ExitStack) -> None:
    """Keep `folder` on the import path until `stack` closes, because handlers may import during a call."""
    if folder not in sys.path:
        sys.path.insert(0, folder)
        stack.callback(sys.path.remove, folder)


@contextmanager
def _environment(variables: Mapping[str, str]) -> Iterator[None]:
    """Set `os.environ` to exactly `variables` in the block. Functions read variables only during import."""
    with _environment_lock:
        before = dict(os.environ)
        os.environ.clear()
        os.environ.update(variables)
        try:
            yield
        finally:
            os.environ.clear()
            os.environ.update(before)
