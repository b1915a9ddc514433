"""Resolve the CloudFormation intrinsic functions that the template uses."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from local import LocalError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

_NO_VALUE = object()
# https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/dynamic-references-ssm.html
_PARAMETER = re.compile(r"\{\{resolve:ssm:([^:}]+)\}\}")
_PLACEHOLDER = re.compile(r"\$\{(!?)([^}]+)\}")


class TemplateError(LocalError):
    """The template or a parameter value is invalid. The message states the remedy."""


class Resolver:
    """Replaces the intrinsic functions in a part of a template with their values.

    Args:
        parameters: Values of the template's parameters and of the pseudo parameters (`AWS::Region`, …).
        conditions: The template's `Conditions`.
        mappings: The template's `Mappings`.
        references: Values for references: `{"Table": …}` for `Ref`, `{"Key.Arn": …}` for `Fn::GetAtt`, export names
            for `Fn::ImportValue` and SSM parameter names for `{{resolve:ssm:…}}`.
    """

    def __init__(
        self,
        parameters: Mapping[str, str],
        conditions: Mapping[str, Any],
        mappings: Mapping[str, Any],
        references: Mapping[str, str],
    ) -> None:
        self._parameters = parameters
        self._conditions = conditions
        self._mappings = mappings
        self._references = references
        self._functions: Mapping[str, Callable[[Any], Any]] = {
            "Ref": self._ref,
            "Condition": self.condition,
            "Fn::GetAtt": lambda value: self._reference(value if isinstance(value, str) else ".".join(value)),
            "Fn::ImportValue": lambda value: self._reference(str(self.resolve(value))),
            "Fn::FindInMap": self._find_in_map,
            "Fn::Sub": self._sub,
            "Fn::If": self._if,
            "Fn::Join": lambda value: str(value[0]).join(map(str, self.resolve(value[1]))),
            "Fn::Select": lambda value: self.resolve(value[1])[int(self.resolve(value[0]))],
            "Fn::Split": lambda value: str(self.resolve(value[1])).split(value[0]),
            "Fn::Equals": lambda value: str(self.resolve(value[0])) == str(self.resolve(value[1])),
            "Fn::Not": lambda value: not self.resolve(value[0]),
            "Fn::And": lambda value: all(self.resolve(value)),
            "Fn::Or": lambda value: any(self.resolve(value)),
        }

    def resolve(self, value: Any) -> Any:
        """Return `value` as CloudFormation would pass it to a service.

        Raises:
            TemplateError: A reference has no value, or a function is not supported.
        """
        if isinstance(value, list):
            return [item for item in map(self.resolve, value) if item is not _NO_VALUE]
        if not isinstance(value, dict):
            return value
        if len(value) == 1:
            name, argument = next(iter(value.items()))
            # `Condition` is also a key of IAM statements; a reference to a condition holds only a name.
            if name in self._functions and not (name == "Condition" and isinstance(argument, dict)):
                return self._functions[name](argument)
            if name.startswith("Fn::"):
                raise TemplateError(f"{name} is not supported for a local run")
        resolved = {key: self.resolve(item) for key, item in value.items()}
        return {key: item for key, item in resolved.items() if item is not _NO_VALUE}

    def condition(self, name: str) -> bool:
        """Return True if the condition `name` holds.

        Raises:
            TemplateError: The template lacks the condition.
        """
        if name not in self._conditions:
            raise TemplateError(f"The template has no condition {name}")
        return bool(self.resolve(self._conditions[name]))

    def _ref(self, name: str) -> Any:
        if name == "AWS::NoValue":
            return _NO_VALUE
        return self._parameters[name] if name in self._parameters else self._reference(name)

    def _find_in_map(self, value: list[Any]) -> Any:
        found: Any = self._mappings
        keys = [str(self.resolve(key)) for key in value]
        for key in keys:
            if not isinstance(found, dict) or key not in found:
                raise TemplateError(f"The template's Mappings have no entry {'.'.join(keys)}")
            found = found[key]
        return found

    def _sub(self, value: str | list[Any]) -> str:
        text, variables = (value, {}) if isinstance(value, str) else value

        def replace(match: re.Match[str]) -> str:
            literal, name = match.groups()
            if literal:
                return f"${{{name}}}"
            return str(self.resolve(variables[name]) if name in variables else self._ref(name))

        substituted = _PLACEHOLDER.sub(replace, text)
        parameter = _PARAMETER.fullmatch(substituted)
        return self._reference(parameter[1]) if parameter else substituted

    def _if(self, value: list[Any]) -> Any:
        name, then, otherwise = value
        return self.resolve(then if self.condition(name) else otherwise)

    def _reference(self, name: str) -> str:
        if name not in self._references:
            raise TemplateError(f"Nothing was given for {name}, which the template refers to")
        return self._references[name]
