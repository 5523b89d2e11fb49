"""Names of public classes and functions: the modules that users import them from."""

from __future__ import annotations

import importlib
import inspect
import sys
from collections.abc import Callable
from types import FunctionType, ModuleType
from typing import Any, Final, ForwardRef

__all__ = ["DEFINED_IN", "load_variants_later", "publish", "publish_names"]

DEFINED_IN: Final[dict[Any, str]] = {}
"""The module that contains the code of a class or function that ``publish`` has renamed."""

_LINE: Final = "__firstlineno__"
_published: set[str] = set()


def publish_names(module: ModuleType) -> None:
    """Publish the names of a public module, except those of a variant, which are loaded later."""
    namespace = vars(module)
    publish(module.__name__, *(namespace[name] for name in module.__all__ if name in namespace))


def publish(module: str, *things: Any) -> None:
    """Set ``__module__`` of classes and functions to the public module that has them.

    So a traceback, a repr and a pickle name what users import. What another public module has
    published keeps its name.

    The source of a class cannot be found by ``inspect``, which looks in the file of ``__module__``;
    that of functions and methods can.
    """
    others = _published - {module}
    for thing in things:
        if not isinstance(thing, (type, FunctionType)) or thing.__module__ in others:
            continue
        if thing.__module__ != module:
            DEFINED_IN[thing] = thing.__module__
            if isinstance(thing, type):
                _keep_annotations(thing)
            thing.__module__ = module
            if _LINE in vars(thing):  # else Python 3.13.0 finds that line in the wrong file
                delattr(thing, _LINE)
    _published.add(module)


def load_variants_later(
    module: str,
) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """Return ``__getattr__`` and ``__dir__`` of a public module, for names of the two variants.

    Each variant is imported as a whole when one of its names is first used: most programs use one.
    """

    def get_name(name: str) -> Any:
        namespace = vars(sys.modules[module])
        if name not in namespace.get("__all__", ()):
            raise AttributeError(f"module {module!r} has no attribute {name!r}")
        is_async = name.startswith("Async") or name.endswith("_async")
        variant = "_messagedb_async" if is_async else "messagedb._sync"
        thing = getattr(importlib.import_module(f"{variant}.public_names"), name)
        return namespace.setdefault(name, thing)

    def list_names() -> list[str]:
        namespace = vars(sys.modules[module])
        return sorted({*namespace, *namespace["__all__"]})

    return get_name, list_names


def _keep_annotations(cls: type[Any]) -> None:
    """Let the annotations of a class refer to the names in the module of its code.

    msgspec, dataclasses and ``typing.get_type_hints`` look them up in ``cls.__module__`` otherwise.
    The annotations of its methods need nothing: a function knows its own module.
    """
    annotations = inspect.get_annotations(cls)
    for name, annotation in list(annotations.items()):
        if isinstance(annotation, ForwardRef) and annotation.__forward_module__ is None:
            annotation = annotation.__forward_arg__  # of a NamedTuple
        if isinstance(annotation, str):
            annotations[name] = ForwardRef(
                annotation, is_argument=False, module=cls.__module__, is_class=True
            )
    if annotations:
        cls.__annotations__ = annotations
