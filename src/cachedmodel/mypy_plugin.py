"""An optional plugin for mypy, in the place of pydantic's: ``plugins = cachedmodel.mypy_plugin``.

It is pydantic's plugin, with its options, and beyond it: reading ``infra`` is always an `Infra`, and the keywords of a
class statement are checked.
"""

from __future__ import annotations

import difflib
import typing as tp
from collections.abc import Callable

import pydantic
from mypy.nodes import TypeInfo
from mypy.plugin import ClassDefContext, Plugin
from pydantic import mypy as pydantic_mypy

_MODEL = "cachedmodel.model.CachedModel"
_METACLASS = "cachedmodel.model.CachedModelMeta"
_INFRA_DICT = "cachedmodel.infra.InfraDict"
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

    def _pydantic_model_class_maker_callback(self, ctx: ClassDefContext) -> None:
        info = ctx.cls.info
        if info.fullname == _MODEL or not info.has_base(_MODEL):
            super()._pydantic_model_class_maker_callback(ctx)
            return
        CachedModelTransformer(ctx.cls, ctx.reason, ctx.api, self.plugin_config).transform()
        _check_keywords(ctx)


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
