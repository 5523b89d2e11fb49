"""Codecs: the conversion of instances of other classes than Structs and dataclasses to data."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

__all__ = ["MessageCodec", "PydanticCodec"]


class MessageCodec(Protocol):
    """A conversion between instances and data, for ``registry.add(cls, codec=…)``.

    The result of ``encode`` is written like the data of any message, and must decode to an equal
    instance, or the write is refused. One codec may serve many classes, in many threads.

    Example::

        class JSONCodec:
            def encode(self, instance: Any, /) -> dict[str, Any]:
                return {"value": instance.value}

            def decode(self, cls: type[Any], data: dict[str, Any], /) -> Any:
                return cls(data["value"])

        codec: MessageCodec = JSONCodec()
    """

    def encode(self, instance: Any, /) -> Mapping[str, Any]:
        """Return the data of an instance: strings, numbers, booleans, None, lists and mappings.

        Raises:
            Exception: it cannot be encoded. The write is refused, and nothing is sent.
        """
        ...

    def decode(self, cls: type[Any], data: dict[str, Any], /) -> Any:
        """Return the instance of a class that data represents.

        Args:
            cls: the registered class.
            data: a new dict for each call; ``{}`` for SQL NULL. Numbers with a fraction are floats,
                or Decimals for a client with ``decimals=True``.

        Raises:
            Exception: the data does not fit. It becomes the cause of a MessageDecodeError.
        """
        ...


class PydanticCodec:
    """A codec for models of pydantic 2, by their aliases.

    Values that JSON does not have, such as a Decimal or a time, are stored as the strings that
    pydantic converts them to. The fields of a model are stored, not the values that it computes
    from them (``computed_field``). Pydantic itself is not imported.

    Example::

        @registry.add(codec=PydanticCodec())
        class Deposited(pydantic.BaseModel):
            amount: Decimal
    """

    def encode(self, instance: Any, /) -> Mapping[str, Any]:
        """Return the result of ``model_dump`` for JSON that can be validated again.

        Example::

            class Order(pydantic.BaseModel):
                item: str

            print(PydanticCodec().encode(Order(item="tea")))
        """
        # A value that pydantic would warn about does not read back equal, and is refused anyway.
        data: Mapping[str, Any] = instance.model_dump(
            mode="json", by_alias=True, round_trip=True, warnings=False
        )
        return data

    def decode(self, cls: type[Any], data: dict[str, Any], /) -> Any:
        """Return the result of ``model_validate`` for the data.

        Example::

            class Order(pydantic.BaseModel):
                item: str

            print(PydanticCodec().decode(Order, {"item": "tea"}))
        """
        model: Any = cls
        return model.model_validate(data)
