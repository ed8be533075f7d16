"""Functions of a stub: the signature, the decorators and the docstring, without the body."""

from __future__ import annotations

import ast
import typing as tp

from .texts import Texts

AnyFunction = ast.FunctionDef | ast.AsyncFunctionDef
_ELLIPSIS = ast.Constant(...)


def stub_function(node: AnyFunction, texts: Texts, is_method: bool) -> AnyFunction:
    """The function as a stub has it."""
    decorators = {ast.unparse(decorator).rpartition(".")[2] for decorator in node.decorator_list}
    yields = _yields(node)
    _annotate(node, texts, skip_first=is_method and "staticmethod" not in decorators)
    if node.returns is None:
        node.returns = ast.parse(_returned(node, texts, yields), mode="eval").body
    arguments = node.args
    arguments.defaults = [shown_default(value) for value in arguments.defaults]
    arguments.kw_defaults = [value and shown_default(value) for value in arguments.kw_defaults]
    node.body = [*docstring_of(node.body), ast.Expr(_ELLIPSIS)]
    if isinstance(node, ast.AsyncFunctionDef) and yields:  # an async generator is called without await
        plain = ast.parse("def f(): ...").body[0]
        plain.__dict__.update(vars(node))
        return tp.cast(ast.FunctionDef, plain)
    return node


def docstring_of(body: list[ast.stmt]) -> list[ast.stmt]:
    """The docstring at the head of a body, as a list of one statement or none."""
    first = body[0] if body else None
    is_text = (
        isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant) and isinstance(first.value.value, str)
    )
    return body[:1] if is_text else []


def shown_default(value: ast.expr) -> ast.expr:
    """A default as it is, if it is a plain constant; else ``...``."""
    plain = value.operand if isinstance(value, ast.UnaryOp) and isinstance(value.op, ast.USub) else value
    return value if isinstance(plain, ast.Constant) else _ELLIPSIS


def _annotate(node: AnyFunction, texts: Texts, skip_first: bool) -> None:
    arguments = node.args
    positional = [*arguments.posonlyargs, *arguments.args]
    for argument in [*positional[skip_first:], arguments.vararg, *arguments.kwonlyargs, arguments.kwarg]:
        if argument is not None and argument.annotation is None:
            text = texts.any(f"the parameter {argument.arg!r} of {node.name} has no type, so it is Any")
            argument.annotation = ast.parse(text, mode="eval").body


def _returned(node: AnyFunction, texts: Texts, yields: bool) -> str:
    """The result of a function that does not say it: None if it returns nothing."""
    returns = any(isinstance(part, ast.Return) and part.value is not None for part in _own_parts(node))
    if not returns and not yields:
        return "None"
    return texts.any(f"the result of {node.name} has no type, so it is Any")


def _yields(node: AnyFunction) -> bool:
    return any(isinstance(part, (ast.Yield, ast.YieldFrom)) for part in _own_parts(node))


def _own_parts(node: AnyFunction) -> list[ast.AST]:
    """What is in the body of a function, but not in functions and classes inside it."""
    parts: list[ast.AST] = []
    waiting: list[ast.AST] = list(node.body)
    while waiting:
        part = waiting.pop()
        parts.append(part)
        if not isinstance(part, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Lambda)):
            waiting.extend(ast.iter_child_nodes(part))
    return parts
