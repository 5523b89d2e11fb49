"""Codecs: how the instances of other classes than Structs and dataclasses become data."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["MessageCodec", "PydanticCodec"]


class MessageCodec(Protocol):
    """Makes data of instances, and instances of data, for ``registry.add(cls, codec=…)``.

    What ``encode`` gives is written as the data of any message is, and must read back as an equal
    instance, or the write is refused. One codec may serve many classes, in many threads.
    """

    def encode(self, instance: Any, /) -> Mapping[str, Any]:
        """Give the data of an instance: texts, numbers, booleans, None, lists and mappings.

        Raises:
            Exception: it cannot be encoded. The write is refused, and nothing is sent.
        """
        ...

    def decode(self, cls: type[Any], data: dict[str, Any], /) -> Any:
        """Give the instance of a class that data is of.

        Args:
            cls: the registered class.
            data: made for this call; ``{}`` for SQL NULL. Numbers with a fraction are floats, or
                Decimals for a client with ``decimals=True``.

        Raises:
            Exception: the data does not fit. It becomes the cause of a MessageDecodeError.
        """
        ...


class PydanticCodec:
    """Writes and reads models of pydantic 2, by their aliases.

    Values that JSON does not have, such as a Decimal or a time, are stored as the texts that
    pydantic makes of them. What a model is made of is stored, and not what it computes of that
    (``computed_field``). Pydantic itself is not imported.

    Example::

        @registry.add(codec=PydanticCodec())
        class Deposited(pydantic.BaseModel):
            amount: Decimal
    """

    def encode(self, instance: Any, /) -> Mapping[str, Any]:
        """Give what ``model_dump`` gives for JSON and to be read again."""
        # What pydantic would warn of does not read back equal, and is refused.
        data: Mapping[str, Any] = instance.model_dump(
            mode="json", by_alias=True, round_trip=True, warnings=False
        )
        return data

    def decode(self, cls: type[Any], data: dict[str, Any], /) -> Any:
        """Give what ``model_validate`` makes of the data."""
        model: Any = cls
        return model.model_validate(data)
