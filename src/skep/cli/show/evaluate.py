"""Filling Go's templates with values: JSON's, and rows, whose fields are fixed."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from skep.cli.show.functions import FUNCTIONS, Row, printed
from skep.cli.show.template import Branch, Node, Operand, Pipeline, parse
from skep.model.errors import Invalid, Refusal

_FAULT = "template parsing error: template: :1:"


class Template:
    """A template, ready to be filled. Raises `Invalid` if it is wrong."""

    def __init__(self, text: str, functions: Mapping[str, Callable[..., Any]] = FUNCTIONS) -> None:
        self._nodes = parse(text)
        self._functions = functions

    def fill(self, value: Any) -> str:
        """The text for a value. Raises `Invalid` where the value does not fit."""
        return "".join(self._run(self._nodes, value, {"$": value}))

    def _run(self, nodes: Sequence[Node], dot: Any, variables: dict[str, Any]) -> Iterator[str]:
        for node in nodes:
            if isinstance(node, str):
                yield node
            elif isinstance(node, Branch):
                yield from self._branch(node, dot, dict(variables))
            else:
                value = self._pipeline(node, dot, variables)
                if node.variables:
                    variables[node.variables[0]] = value
                else:
                    yield printed(value)

    def _branch(self, node: Branch, dot: Any, variables: dict[str, Any]) -> Iterator[str]:
        value = self._pipeline(node.pipeline, dot, variables)
        names = node.pipeline.variables
        if not value:
            yield from self._run(node.otherwise, dot, variables)
        elif node.kind == "range":
            for key, item in _items(value, node.pipeline.source):
                variables.update(zip(names, (key, item) if len(names) > 1 else (item,),
                                     strict=False))  # fmt: skip
                yield from self._run(node.body, item, dict(variables))
        else:
            variables.update(dict.fromkeys(names, value))
            inner = value if node.kind == "with" else dot
            yield from self._run(node.body, inner, variables)

    def _pipeline(self, pipeline: Pipeline, dot: Any, variables: Mapping[str, Any]) -> Any:
        value: tuple[Any, ...] = ()
        try:
            for command in pipeline.commands:
                value = (self._command(command, value, dot, variables),)
        except Refusal as reason:
            if str(reason).startswith(_FAULT):
                raise
            raise Invalid(f'{_FAULT} executing "" at <{pipeline.source}>: {reason}') from reason
        return value[0]

    def _command(
        self,
        command: Sequence[Operand],
        last: tuple[Any, ...],
        dot: Any,
        variables: Mapping[str, Any],
    ) -> Any:
        first, *rest = command
        given = [*(self._value(each, dot, variables) for each in rest), *last]
        if first.kind == "function":
            return _called(self._functions[first.value], given)
        value = self._value(first, dot, variables)
        if callable(value):
            return _called(value, given)
        if given:
            raise Invalid(f"can't give argument to non-function {printed(value)}")
        return value

    def _value(self, operand: Operand, dot: Any, variables: Mapping[str, Any]) -> Any:
        if operand.kind == "literal":
            return operand.value
        if operand.kind == "function":
            return _called(self._functions[operand.value], [])
        if operand.kind == "pipeline":
            value = self._pipeline(operand.value, dot, variables)
        elif operand.kind == "variable":
            if operand.value not in variables:
                raise Invalid(f'undefined variable "{operand.value}"')
            value = variables[operand.value]
        else:
            value = dot
        for name in operand.path:
            value = _field(value, name)
        return value


def _field(value: Any, name: str) -> Any:
    """A member. JSON leaves out what is empty, so what is not there is no value, not a fault."""
    if isinstance(value, Row) and name not in value:
        raise Invalid(f"can't evaluate field {name}")
    if isinstance(value, Mapping):
        return value.get(name)
    if value is None:
        raise Invalid(f"nil pointer evaluating field {name}")
    raise Invalid(f"can't evaluate field {name} in {printed(value)}")


def _items(value: Any, source: str) -> Iterator[tuple[Any, Any]]:
    if isinstance(value, Mapping):
        return iter([(key, value[key]) for key in sorted(value)])
    if isinstance(value, list | tuple):
        return enumerate(value)
    if isinstance(value, int):
        return ((each, each) for each in range(value))
    raise Invalid(f'{_FAULT} executing "" at <{source}>: range can\'t iterate over '
                  f"{printed(value)}")  # fmt: skip


def _called(function: Callable[..., Any], given: Sequence[Any]) -> Any:
    try:
        return function(*given)
    except (TypeError, AttributeError, ValueError, KeyError) as fault:
        raise Invalid(f"error calling function: {fault}") from fault


__all__ = ["Row", "Template"]
