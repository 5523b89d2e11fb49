"""Names of public classes and functions: the modules that users import them from."""

from __future__ import annotations

import inspect
from types import FunctionType, ModuleType
from typing import Any, Final, ForwardRef

__all__ = ["DEFINED_IN", "publish"]

DEFINED_IN: Final[dict[Any, str]] = {}
"""The module that contains the code of a class or function that ``publish`` has renamed."""

_LINE: Final = "__firstlineno__"
_published: set[str] = set()


def publish(module: ModuleType) -> None:
    """Set ``__module__`` of the classes and functions of a public module to that module.

    So a traceback, a repr and a pickle name what users import. What another public module has
    published keeps its name.

    The source of a class cannot be found by ``inspect``, which looks in the file of ``__module__``;
    that of functions and methods can.
    """
    for name in module.__all__:
        thing = vars(module)[name]
        if not isinstance(thing, (type, FunctionType)) or thing.__module__ in _published:
            continue
        if thing.__module__ != module.__name__:
            DEFINED_IN[thing] = thing.__module__
            if isinstance(thing, type):
                _keep_annotations(thing)
            thing.__module__ = module.__name__
            if _LINE in vars(thing):  # else Python 3.13.0 finds that line in the wrong file
                delattr(thing, _LINE)
    _published.add(module.__name__)


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
