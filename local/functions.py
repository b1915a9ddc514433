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

from local import LocalError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from local.template import Function

_numbers = itertools.count(1)
_environment_lock = threading.Lock()

MAX_PAYLOAD = 6 * 1024 * 1024
"""Maximum bytes of a response; a fixed quota of Lambda."""


class ResponseTooLargeError(RuntimeError):
    """A function's result exceeds Lambda's response quota."""


class FunctionLoadError(LocalError):
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
        function = self.definition
        context = Context(function.name, function.arn, function.memory, function.timeout)
        result = json.dumps(self._handler(json.loads(json.dumps(event)), context))
        if len(result) > MAX_PAYLOAD:
            raise ResponseTooLargeError(f"{function.logical_id} returned {len(result)} bytes, not up to {MAX_PAYLOAD}")
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
        yield {each.logical_id: LoadedFunction(each, _load(each, environment, stack)) for each in functions}


def _load(function: Function, environment: Mapping[str, str], stack: ExitStack) -> Callable[[Any, Context], Any]:
    module_path, _, handler_name = function.handler.rpartition(".")
    path = function.code / f"{module_path}.py"
    # Every module file is app.py; give each module a unique name.
    name = f"local_function_{next(_numbers)}_{function.logical_id}"
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None or not path.is_file():
        raise FunctionLoadError(f"{function.logical_id}: there is no {path}")
    for folder in map(str, (*function.layers, function.code)):
        if folder not in sys.path:
            # Until the stack closes, because handlers may import during a call.
            sys.path.insert(0, folder)
            stack.callback(sys.path.remove, folder)
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    stack.callback(sys.modules.pop, name, None)
    own = {
        "AWS_LAMBDA_FUNCTION_NAME": function.name,
        "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": str(function.memory),
        # The fault proxy identifies the caller by this user-agent app id (on AWS: by its role).
        "AWS_SDK_UA_APP_ID": function.logical_id,
    }
    with _environment({**environment, **own, **function.environment}):
        try:
            spec.loader.exec_module(module)
        except Exception as exc:
            raise FunctionLoadError(f"{function.logical_id}: {path} cannot be imported: {exc!r}") from exc
    handler: Callable[[Any, Context], Any] | None = getattr(module, handler_name, None)
    if handler is None:
        raise FunctionLoadError(f"{function.logical_id}: {path} has no {handler_name}")
    return handler


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
