"""An optional plugin for mypy, in the place of pydantic's: ``plugins = cachedmodel.mypy_plugin``.

It is pydantic's plugin, with its options, and beyond it: reading ``infra`` is always an `Infra`, the keywords of a
class statement are checked, and the models of ``xp.train.job_array()`` and ``xp.train.iter_cached()`` have the type of ``xp``.
"""

from __future__ import annotations

import difflib
import typing as tp
from collections.abc import Callable

import pydantic
from mypy.nodes import CallExpr, MemberExpr, TypeInfo
from mypy.plugin import ClassDefContext, MethodContext, Plugin
from mypy.types import AnyType, Instance, Type, get_proper_type
from pydantic import mypy as pydantic_mypy

_MODEL = "cachedmodel.model.CachedModel"
_METACLASS = "cachedmodel.model.CachedModelMeta"
_INFRA_DICT = "cachedmodel.infra.InfraDict"
#: Methods of a bound task or map that return models of its model's type, which the type of a bound task does not name.
_GIVE_MODELS = {
    "cachedmodel.boundmethods.BoundTask.job_array",
    "cachedmodel.boundmethods.BoundTask.iter_cached",
    "cachedmodel.boundmethods.BoundMap.iter_cached",
}
_OTHER_KEYWORDS = {"cache_name", "metaclass", *pydantic.ConfigDict.__annotations__}


class CachedModelTransformer(pydantic_mypy.PydanticModelTransformer):
    """Makes the methods of a model class; ``infra`` is a field of its ``__init__``, and otherwise left alone."""

    def collect_fields_and_class_vars(self, *args: tp.Any, **kwargs: tp.Any) -> tp.Any:  # Any: pydantic's own signature
        fields, class_vars = super().collect_fields_and_class_vars(*args, **kwargs)
        if fields is None:
            return None, None  # not all is analysed yet: called again
        declared = self._cls.info.get("infra")
        if declared is None or declared.type is None:
            return None, None
        accepted = self._infer_dataclass_attr_init_type(declared, "infra", self._cls)
        return [self._infra_field(accepted), *(field for field in fields if field.name != "infra")], class_vars

    def set_frozen(self, fields: tp.Any, api: tp.Any, frozen: bool) -> None:  # Any: pydantic's own signature
        # this is also what declares inherited fields anew in each subclass, with the type of what can be set
        super().set_frozen([field for field in fields if field.name != "infra"], api, frozen)

    def _infra_field(self, accepted: tp.Any) -> pydantic_mypy.PydanticModelField:
        return pydantic_mypy.PydanticModelField(
            name="infra",
            alias=None,
            is_frozen=False,
            has_dynamic_alias=False,
            has_default=True,
            strict=True,  # checked in __init__ without init_typed too
            line=self._cls.line,
            column=self._cls.column,
            type=accepted,
            info=self._cls.info,
        )


class CachedModelPlugin(pydantic_mypy.PydanticPlugin):
    """Pydantic's plugin, with more for the subclasses of CachedModel."""

    def get_metaclass_hook(self, fullname: str) -> Callable[[ClassDefContext], None] | None:
        """Has pydantic's plugin make ``__init__``, as for other models, instead of mypy's support for dataclasses."""
        if fullname == _METACLASS:
            return self._pydantic_model_metaclass_marker_callback
        return super().get_metaclass_hook(fullname)

    def get_method_hook(self, fullname: str) -> Callable[[MethodContext], Type] | None:
        """Fills in the type of the model where a method returns models."""
        if fullname in _GIVE_MODELS:
            return _of_the_model
        return super().get_method_hook(fullname)

    def _pydantic_model_class_maker_callback(self, ctx: ClassDefContext) -> None:
        info = ctx.cls.info
        if info.fullname == _MODEL or not info.has_base(_MODEL):
            super()._pydantic_model_class_maker_callback(ctx)
            return
        CachedModelTransformer(ctx.cls, ctx.reason, ctx.api, self.plugin_config).transform()
        _check_keywords(ctx)


def _of_the_model(ctx: MethodContext) -> Type:
    """The type of ``xp.train.job_array()`` and the like, with the type of ``xp`` in the place of Any."""
    call = ctx.context
    if not (
        isinstance(call, CallExpr)
        and isinstance(call.callee, MemberExpr)
        and isinstance(
            call.callee.expr, MemberExpr
        )  # xp.train: where a bound task has another name, its model is not known
    ):
        return ctx.default_return_type
    model = ctx.api.get_expression_type(call.callee.expr.expr)
    owner = get_proper_type(model)
    if not isinstance(owner, Instance) or not owner.type.has_base(_MODEL):
        return ctx.default_return_type
    return _filled(ctx.default_return_type, model)


def _filled(declared: Type, model: Type) -> Type:
    proper = get_proper_type(declared)
    if isinstance(proper, AnyType):
        return model
    if isinstance(proper, Instance) and proper.args:
        return proper.copy_modified(args=[_filled(proper.args[0], model), *proper.args[1:]])
    return declared


def _check_keywords(ctx: ClassDefContext) -> None:
    settings = ctx.api.lookup_fully_qualified(_INFRA_DICT).node
    if not isinstance(settings, TypeInfo) or settings.typeddict_type is None:
        return
    known = _OTHER_KEYWORDS.union(settings.typeddict_type.items)
    for keyword, value in ctx.cls.keywords.items():
        if keyword not in known and not _takes_keywords(ctx.cls.info):
            near = difflib.get_close_matches(keyword, sorted(known), n=1)
            hint = f'; did you mean "{near[0]}"?' if near else ""
            ctx.api.fail(f'Unexpected class keyword "{keyword}" for "{ctx.cls.name}"{hint}', value)


def _takes_keywords(info: TypeInfo) -> bool:
    """True if a base of the user's own has an ``__init_subclass__``, which may take any keyword."""
    own = (base for base in info.mro if not base.fullname.startswith(("builtins.", "pydantic.")))
    return any({"__init_subclass__", "__pydantic_init_subclass__"} & base.names.keys() for base in own)


def plugin(version: str) -> type[Plugin]:
    """What mypy asks a plugin for."""
    return CachedModelPlugin
