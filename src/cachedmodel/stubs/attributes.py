"""What the methods of a plain class set on ``self``, with its type."""

from __future__ import annotations

import ast
import enum
import inspect
import types
import typing as tp

from .functions import AnyFunction

Setting = ast.Assign | ast.AnnAssign


def set_on_self(node: ast.ClassDef, module: types.ModuleType) -> dict[str, str]:
    """The attributes that methods set, and the source of their types: empty where nothing says it."""
    found: dict[str, str] = {}
    for method in node.body:
        if isinstance(method, (ast.FunctionDef, ast.AsyncFunctionDef)) and method.args.args:
            arguments = {argument.arg: argument.annotation for argument in _arguments(method)}
            for name, setting in _settings(method):
                found[name] = found.get(name) or _text(setting, arguments, module)
    return found


def is_declared(cls: type, name: str) -> bool:
    """True if a class or a parent says what an attribute is."""
    return any(name in vars(base) or name in inspect.get_annotations(base) for base in cls.__mro__)


def _arguments(method: AnyFunction) -> list[ast.arg]:
    return [*method.args.posonlyargs, *method.args.args, *method.args.kwonlyargs]


def _settings(method: AnyFunction) -> tp.Iterator[tuple[str, Setting]]:
    self_name = method.args.args[0].arg
    for part in ast.walk(method):
        if isinstance(part, (ast.Assign, ast.AnnAssign)):
            target = part.target if isinstance(part, ast.AnnAssign) else part.targets[0]
            if (
                isinstance(target, ast.Attribute)
                and isinstance(target.value, ast.Name)
                and target.value.id == self_name
            ):
                yield target.attr, part


def _text(setting: Setting, arguments: dict[str, ast.expr | None], module: types.ModuleType) -> str:
    match setting:
        case ast.AnnAssign(annotation=annotation):
            return ast.unparse(annotation)
        case ast.Assign(value=ast.Name(id=name)):
            annotation_of = arguments.get(name)
            return ast.unparse(annotation_of) if annotation_of is not None else ""
        case ast.Assign(value=ast.Constant(value=value)) if value is not None:
            return type(value).__name__
        case ast.Assign(value=ast.Call(func=ast.Name(id=name))):
            cls = vars(module).get(name)
            return name if inspect.isclass(cls) and not getattr(cls, "__parameters__", ()) else ""
        case ast.Assign(value=ast.Attribute(value=ast.Name(id=name))):
            cls = vars(module).get(name)
            return name if inspect.isclass(cls) and issubclass(cls, enum.Enum) else ""
    return ""
