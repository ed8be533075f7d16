"""A module as a stub: its source without bodies, with the types of what has no annotation."""

from __future__ import annotations

import ast
import dataclasses
import enum
import inspect
import re
import types
import typing as tp

import pydantic

from cachedmodel.functions import CachedFunction, ConfigFactory

from .attributes import is_declared, set_on_self
from .functions import AnyFunction, docstring_of, shown_default, stub_function
from .inputs import Inputs
from .models import dynamic_lines, factory_lines, init_lines, is_model
from .texts import Texts
from .values import is_kind, is_unverifiable, text_of_value

_MISSING = object()
_BLOCK = re.compile(r"__block_(\d+)__")
_AS_IT_IS = ("__all__", "__slots__", "__match_args__", "model_config")
_FIELD_MAKERS = ("Field", "field", "PrivateAttr", "ib", "attrib")
_ELLIPSIS = ast.Constant(...)


class Source:
    """Turns the source of a module into that of its stub.

    Parameters
    ----------
    module
        As it was imported.
    tree
        Its source, which is changed.
    texts, inputs
        What is written in them must be added to the stub.
    """

    def __init__(self, module: types.ModuleType, tree: ast.Module, texts: Texts, inputs: Inputs) -> None:
        self._module = module
        self._tree = tree
        self._texts = texts
        self._inputs = inputs
        self._package = module.__name__.partition(".")[0]
        self._blocks: list[list[str]] = []
        self._renamed: dict[str, str] = {}

    def text(self) -> str:
        """The stub, without the imports that `texts` asks for."""
        scope = _Scope(vars(self._module), None)
        body = self._statements(self._tree.body, scope)
        defined = {name for node in ast.walk(self._tree) for name in _bound(node)}
        for name, value in sorted(vars(self._module).items()):
            if (
                name.isidentifier()
                and name not in defined
                and getattr(value, "__module__", None) == self._module.__name__
                and is_model(value)
            ):
                body += self._dynamic(name, value)
        return self._unparsed(body)

    # -- statements ----------------------------------------------------------------------------------------------------

    def _statements(self, body: list[ast.stmt], scope: _Scope) -> list[ast.stmt]:
        found: list[ast.stmt] = []
        for node in body:
            if scope.cls is None:
                self._texts.place = f"{self._module.__name__}:{node.lineno}"
            found += self._statement(node, scope)
        return found

    def _statement(self, node: ast.stmt, scope: _Scope) -> list[ast.stmt]:
        match node:
            case ast.Import() | ast.ImportFrom():
                return self._import(node)
            case ast.FunctionDef() | ast.AsyncFunctionDef():
                return self._function(node, scope)
            case ast.ClassDef():
                return self._class(node, scope)
            case ast.Assign(targets=targets):
                names = [name for target in targets for name in _bound(target)]
                return [new for name in names for new in self._assigned(name, node, scope)]
            case ast.AnnAssign(target=ast.Name()):
                return self._annotated(node, scope)
            case ast.If():
                return self._if(node, scope)
            case ast.Try():
                bodies = [node.body, *(handler.body for handler in node.handlers), node.orelse, node.finalbody]
                return [new for body in bodies for new in self._once(body, scope)]
            case ast.With() | ast.For() | ast.While():
                names = [name for part in ast.walk(node) for name in _bound(part) if isinstance(part, ast.Name)]
                return [new for name in names for new in self._assigned(name, None, scope)] + self._once(
                    node.body, scope
                )
            case ast.AugAssign(target=ast.Name(id="__all__")):
                return [node]
        if type(node).__name__ == "TypeAlias" and scope.cls is None:
            return self._hidden(tp.cast(tp.Any, node).name.id, node)
        return []

    def _once(self, body: list[ast.stmt], scope: _Scope) -> list[ast.stmt]:
        """The statements of a branch, without what another branch defined."""
        return self._statements([node for node in body if not scope.seen.intersection(_bound(node))], scope)

    def _if(self, node: ast.If, scope: _Scope) -> list[ast.stmt]:
        test = ast.unparse(node.test)
        if "__name__" in test:
            return []
        if "TYPE_CHECKING" in test:
            return self._statements(node.orelse if test.startswith("not ") else node.body, scope.unchecked())
        if "sys.version_info" in test or "sys.platform" in test:  # which checkers decide themselves
            branches = scope.unchecked(), scope.unchecked()
            node.body = self._statements(node.body, branches[0]) or [ast.Pass()]
            node.orelse = self._statements(node.orelse, branches[1])
            scope.seen |= branches[0].seen | branches[1].seen
            return [node]
        return self._once(node.body, scope) + self._once(node.orelse, scope)

    def _import(self, node: ast.Import | ast.ImportFrom) -> list[ast.stmt]:
        if isinstance(node, ast.ImportFrom):
            if node.module == "__future__":
                return []
            if node.level or (node.module or "").partition(".")[0] == self._package:
                for name in node.names:  # "as" is how a stub hands on a name: others may import it from here
                    name.asname = name.asname or (name.name if name.name != "*" else None)
        return [node]

    def _function(self, node: AnyFunction, scope: _Scope) -> list[ast.stmt]:
        overloaded = any(ast.unparse(decorator).endswith("overload") for decorator in node.decorator_list)
        if not scope.has(node.name) or (node.name in scope.overloaded and not overloaded):
            return []
        if overloaded:
            scope.overloaded.add(node.name)
        scope.seen.add(node.name)
        function = stub_function(node, self._texts, is_method=scope.cls is not None)
        return self._cached(function) if isinstance(scope.value(node.name), CachedFunction) else [function]

    def _cached(self, node: AnyFunction) -> list[ast.stmt]:
        """A function under ``with_infra``: a variable, since it is no function any more."""
        name, decorated = node.name, f"_{node.name}_function"
        for decorator in reversed(node.decorator_list):
            decorated = f"{ast.unparse(decorator)}({decorated})"
        node.name = f"_{node.name}_function"
        node.decorator_list = [ast.parse(self._texts.named("typing", "type_check_only"), mode="eval").body]
        return [node, *ast.parse(f"{name} = {decorated}").body]

    def _annotated(self, node: ast.AnnAssign, scope: _Scope) -> list[ast.stmt]:
        name = tp.cast(ast.Name, node.target).id
        annotation = ast.unparse(node.annotation)
        if name in scope.seen or (scope.is_model and (name == "infra" or name.startswith("_"))):
            return []  # infra is inherited: pydantic's mypy plugin would give it another type in the subclasses
        scope.seen.add(name)
        if "TypeAlias" in annotation or (annotation.endswith("Final") and isinstance(node.value, ast.Constant)):
            return [node]
        if annotation.endswith("Final"):
            value = text_of_value(scope.value(name), self._texts, name)
            node.annotation = ast.parse(f"{annotation}[{value}]", mode="eval").body
        if node.value is not None:
            has_field = scope.has_fields and "ClassVar" not in annotation
            node.value = self._default(node.value, scope) if has_field else None
        return [node]

    def _default(self, value: ast.expr, scope: _Scope) -> ast.expr:
        """The default of a field: a constant, or the call that says more of the field; else only that there is one."""
        if isinstance(value, ast.Call) and ast.unparse(value.func).rpartition(".")[2] in _FIELD_MAKERS:
            if value.args:  # the default by its keyword, as dataclass_transform wants it
                value.keywords.insert(0, ast.keyword("default", value.args.pop(0)))
            return value
        shown = shown_default(value)
        if scope.is_model and shown is not value:  # for pydantic's mypy plugin, a field = ... is required
            return ast.Name(self._texts.default(), ast.Load())
        return shown

    def _assigned(self, name: str, node: ast.Assign | None, scope: _Scope) -> list[ast.stmt]:
        value = scope.value(name)
        if name in scope.seen or value is _MISSING or (name == "infra" and scope.is_model):
            return []
        scope.seen.add(name)
        if name in _AS_IT_IS and node is not None:
            return [node]
        single = node is not None and isinstance(node.targets[0], ast.Name)
        if isinstance(value, ConfigFactory):
            return self._block(factory_lines(value, name, self._inputs))
        if single and scope.cls is None and is_unverifiable(value):
            return self._hidden(name, node)
        if is_model(value) and isinstance(getattr(node, "value", None), ast.Call):
            return self._dynamic(name, value)
        if single and (is_kind(value) or inspect.isroutine(value) or _is_ours(value) or name in scope.members):
            return [tp.cast(ast.Assign, node)]
        if not scope.checked and single and isinstance(tp.cast(ast.Assign, node).value, ast.Constant):
            value = tp.cast(ast.Constant, tp.cast(ast.Assign, node).value).value  # of a branch that may not have run
        text = text_of_value(value, self._texts, name)
        if scope.has_fields:
            text = f"{self._texts.named('typing', 'ClassVar')}[{text}]"
        return ast.parse(f"{name}: {text}").body

    def _hidden(self, name: str, node: tp.Any) -> list[ast.stmt]:  # Any: ast.TypeAlias is new in Python 3.12
        """An alias that `mypy.stubtest` finds wrong however a stub has it: exact in this stub, and Any for others."""
        self._texts.note(f"{name}: mypy.stubtest accepts no stub of such an alias, so for other modules it is Any")
        self._renamed[name] = hidden = f"_{name}Alias"
        if isinstance(node, ast.Assign):
            node.targets = [ast.Name(hidden, ast.Store())]
        else:
            node.name.id = hidden
        if isinstance(node.value, ast.Call) and node.value.args:  # a NewType, which says its own name
            node.value.args[0] = ast.Constant(hidden)
        alias = f"{name}: {self._texts.named('typing', 'TypeAlias')} = {self._texts.any()}"
        return [node, *ast.parse(alias).body]

    # -- classes -------------------------------------------------------------------------------------------------------

    def _class(self, node: ast.ClassDef, scope: _Scope) -> list[ast.stmt]:
        value = scope.value(node.name)
        if value is _MISSING or not inspect.isclass(value):
            return [] if value is _MISSING else self._assigned(node.name, None, scope)
        scope.seen.add(node.name)
        inner = _Scope(vars(value), value)
        attributes = set_on_self(node, self._module)
        body = docstring_of(node.body) + self._class_body(node, inner)
        if is_model(value):
            body += self._block(init_lines(value, self._inputs)) if "__init__" not in inner.seen else []
        elif not inner.has_fields:
            body += self._attributes(attributes, value, inner)
        node.body = body or [ast.Expr(_ELLIPSIS)]
        return [node]

    def _class_body(self, node: ast.ClassDef, scope: _Scope) -> list[ast.stmt]:
        found: list[ast.stmt] = []
        for previous, statement in zip([None, *node.body], node.body, strict=False):
            if isinstance(previous, ast.AnnAssign) and docstring_of([statement]):
                found.append(statement)  # the docstring of a field
            else:
                found += self._statement(statement, scope)
        return found

    def _attributes(self, found: dict[str, str], cls: type, scope: _Scope) -> list[ast.stmt]:
        body: list[ast.stmt] = []
        for name, text in found.items():
            if name not in scope.seen and not is_declared(cls, name):
                text = text or self._texts.any(f"{cls.__qualname__}.{name} has no annotation, so it is Any")
                body += ast.parse(f"{name}: {text}").body
        return body

    # -- text ----------------------------------------------------------------------------------------------------------

    def _dynamic(self, name: str, value: type[pydantic.BaseModel]) -> list[ast.stmt]:
        return self._block(dynamic_lines(value, name, self._inputs))

    def _block(self, lines: list[str]) -> list[ast.stmt]:
        """Lines that are written as they are, where `ast.unparse` would put all in one."""
        self._blocks.append(lines)
        return ast.parse(f"__block_{len(self._blocks) - 1}__").body if lines else []

    def _unparsed(self, body: list[ast.stmt]) -> str:
        tree = ast.fix_missing_locations(ast.Module(body, []))
        for node in ast.walk(tree):
            if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load):
                node.id = self._renamed.get(node.id, node.id)
        lines: list[str] = []
        for line in ast.unparse(tree).splitlines():
            indent = line[: len(line) - len(line.lstrip())]
            block = _BLOCK.fullmatch(line.strip())
            if block:
                for part in self._blocks[int(block[1])]:
                    begins = part.startswith(("@", "class ", "def __init__("))
                    gap = begins and lines and lines[-1] and not lines[-1].lstrip().startswith("@")
                    lines += ["", indent + part] if gap else [indent + part]
            elif line.strip() == "..." and lines[-1].endswith(":"):
                lines[-1] += " ..."
            else:
                lines.append(line)
        return "\n".join(lines) + "\n"


class _Scope:
    """A module or a class whose body is turned.

    Attributes
    ----------
    seen
        Names that have their place in the stub.
    checked
        False for a branch that only checkers enter: its names may not be there at run time.
    overloaded
        Functions whose overloads are there: the implementation is left out.
    """

    def __init__(self, values: tp.Mapping[str, object], cls: type | None, checked: bool = True) -> None:
        self._values = values
        self.checked = checked
        self.cls = cls
        self.seen: set[str] = set()
        self.overloaded: set[str] = set()
        self.is_model = is_model(cls)
        self.has_fields = self.is_model or dataclasses.is_dataclass(cls) or hasattr(cls, "_field_defaults")
        self.members: tp.Container[str] = cls.__members__ if cls and issubclass(cls, enum.Enum) else ()

    def unchecked(self) -> _Scope:
        """The same for statements that did not run here."""
        out = _Scope(self._values, self.cls, checked=False)
        out.seen, out.overloaded = set(self.seen), self.overloaded
        return out

    def has(self, name: str) -> bool:
        """True if a name that is defined is still there at the end."""
        return not self.checked or name in self._values or name.startswith("__")

    def value(self, name: str) -> object:
        """What a name stands for at the end."""
        return self._values.get(name, _MISSING)


def _bound(node: ast.AST) -> list[str]:
    """The names that a node binds by itself."""
    if isinstance(node, ast.Name):
        return [node.id] if isinstance(node.ctx, ast.Store) else []
    if isinstance(node, (ast.Tuple, ast.List)):
        return [name for part in node.elts for name in _bound(part)]
    if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
        return [node.name]
    if isinstance(node, ast.Assign):
        return [name for target in node.targets for name in _bound(target)]
    if isinstance(node, (ast.AnnAssign, ast.Starred)):
        return _bound(node.target if isinstance(node, ast.AnnAssign) else node.value)
    if isinstance(node, (ast.Import, ast.ImportFrom)):
        return [(alias.asname or alias.name).partition(".")[0] for alias in node.names]
    return []


def _is_ours(value: object) -> bool:
    """True for tasks, maps and cached functions, which checkers know best by the call that made them."""
    return type(value).__module__ in ("cachedmodel.methods", "cachedmodel.functions")
