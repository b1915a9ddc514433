"""The deployed handlers, called as Lambda calls them, but in this process.

What differs from Lambda: one process and one thread for each request instead of one process for each function, so
modules beside `app.py` and those of a layer are shared between functions; time and memory are not limited; policies
are not enforced, except by the tests' wire.
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
"""Bytes of a response; a quota of Lambda that cannot be raised."""


class ResponseTooLargeError(RuntimeError):
    """A function returned more than Lambda passes on, which on Lambda fails the call."""


class FunctionLoadError(RuntimeError):
    """A function's module cannot be imported, or has no such handler."""


@dataclass(frozen=True)
class Context:
    """What Lambda tells a handler about the function and this call of it."""

    function_name: str
    invoked_function_arn: str
    memory_limit_in_mb: int
    timeout: int
    aws_request_id: str = field(default_factory=lambda: str(uuid.uuid4()))
    function_version: str = "$LATEST"
    _started: float = field(default_factory=time.monotonic)

    def get_remaining_time_in_millis(self) -> int:
        """Return how many milliseconds Lambda would still let this call run."""
        return max(0, int((self._started + self.timeout - time.monotonic()) * 1000))


class LoadedFunction:
    """A function that can be called, from any thread."""

    def __init__(self, definition: Function, handler: Callable[[Any, Context], Any]) -> None:
        self.definition = definition
        self._handler = handler

    def invoke(self, event: Mapping[str, Any]) -> Any:
        """Call the handler and return what it returns.

        Both pass through JSON, as they do on Lambda: the handler owns its event, and a result that JSON cannot hold
        fails here too. Whatever the handler raises is raised.

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
        functions: What to load.
        environment: What every function finds in its environment beside its own variables: as Lambda's runtime does,
            the region and the credentials. Nothing else of this process's environment reaches a function.

    Raises:
        FunctionLoadError: Names the function and its module; the cause is attached.
    """
    with ExitStack() as stack:
        yield {
            function.logical_id: LoadedFunction(function, _load(function, environment, stack)) for function in functions
        }


def _load(function: Function, environment: Mapping[str, str], stack: ExitStack) -> Callable[[Any, Context], Any]:
    module_path, _, handler_name = function.handler.rpartition(".")
    path = function.code / f"{module_path}.py"
    # All are called app.py: each needs a name of its own.
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
        # By which whoever stands for AWS tells functions apart, which on AWS have a role each.
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
    """Let modules be imported from `folder` until `stack` is closed: handlers may import when they are called."""
    if folder not in sys.path:
        sys.path.insert(0, folder)
        stack.callback(sys.path.remove, folder)


@contextmanager
def _environment(variables: Mapping[str, str]) -> Iterator[None]:
    """Let `os.environ` hold exactly `variables`. Functions read theirs while they are imported, and only then."""
    with _environment_lock:
        before = dict(os.environ)
        os.environ.clear()
        os.environ.update(variables)
        try:
            yield
        finally:
            os.environ.clear()
            os.environ.update(before)
