"""Requests that are almost right: a valid message with a few of its fields changed, or its bytes damaged.

Structure-aware: changes follow the message's descriptor, at any depth, so that most of them pass the parser and reach
the code behind it. Values are those at which programs break (bounds of types, NaN, paths, control characters, unknown
enum numbers) or words taken from the valid messages themselves.
"""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from typing import Any

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message

Field = Any
"""A FieldDescriptor; protobuf's two implementations of it have no common type."""

_LONGEST_LIST = 300
_DEEPEST = 6

_INTEGERS = (0, 1, -1, 2, 7, 63, 64, 65, 255, 256, 32768, 65536, 10**6, 2**31 - 1, 2**32 - 1, 2**63 - 1, -(2**63))
_FLOATS = (0.0, -0.0, 0.5, 1.0, -1.0, 1e-40, 1e-300, 3e38, 1e308, math.nan, math.inf, -math.inf)
_TEXTS = (
    "",
    " ",
    "a",
    "A-7",
    "x" * 65,
    "x" * 300,
    "../../etc/passwd",
    "/etc/passwd",
    "a/b",
    "..",
    "a\0b",
    "line\nbreak",
    "%s%n{0}",
    "\u00e9\u4e2d\U0001f600",
    "'; drop table frames; --",
    "-1",
    "1e999",
    "null",
    "{}",
    '{"thresholds": {"dent": "x"}}',
)
_BYTES = (
    b"",
    b"\0",
    b"\xff" * 9,
    b"\xff\xd8\xff\xe0",
    b"\x89PNG\r\n\x1a\n",
    b"RIFF\0\0\0\0WEBP",
    b"BM" + bytes(60),
    b"II*\0" + bytes(30),
    b"P5\n1 1\n255\n\0",
    b"\x05\x00\x00\x00hello",
)
_LIMITS = {
    FieldDescriptor.CPPTYPE_INT32: (-(2**31), 2**31 - 1),
    FieldDescriptor.CPPTYPE_INT64: (-(2**63), 2**63 - 1),
    FieldDescriptor.CPPTYPE_UINT32: (0, 2**32 - 1),
    FieldDescriptor.CPPTYPE_UINT64: (0, 2**64 - 1),
    FieldDescriptor.CPPTYPE_ENUM: (-1, 100),
}


class Mutator:
    """Changes messages; the same chance gives the same changes.

    Args:
        chance: draws.
        seeds: valid messages, whose texts are tried elsewhere too.
    """

    def __init__(self, chance: random.Random, seeds: Sequence[Message]) -> None:
        self._chance = chance
        self._texts = [*_TEXTS, *sorted({text for seed in seeds for text in _texts_in(seed)})]

    def changed(self, seed: Message) -> Message:
        """A copy with one to four changes, most often one."""
        made = type(seed)()
        made.CopyFrom(seed)
        for _ in range(self._chance.choice((1, 1, 1, 2, 2, 3, 4))):
            self._change_somewhere(made)
        return made

    def damaged(self, data: bytes) -> bytes:
        """The bytes with one thing wrong with them."""
        chance = self._chance
        raw = bytearray(data)
        kind = chance.randrange(6)
        if kind == 0 or not raw:  # a field nobody knows, or half of one
            raw += chance.randbytes(3)
        elif kind == 1:
            for _ in range(chance.randint(1, 8)):
                raw[chance.randrange(len(raw))] ^= 1 << chance.randrange(8)
        elif kind == 2:
            del raw[chance.randrange(len(raw)) :]
        elif kind == 3:
            at = chance.randrange(len(raw))
            raw[at:at] = chance.randbytes(chance.randint(1, 40))
        elif kind == 4:  # the last word counts, and messages merge
            raw += bytes(raw)
        else:
            raw = bytearray(chance.randbytes(chance.randint(1, 200)))
        return bytes(raw)

    def _change_somewhere(self, message: Message) -> None:
        places = _places(message, 0)
        if not places:
            return
        owner, field = self._chance.choice(places)
        if _is_map(field):
            self._change_map(getattr(owner, field.name), field)
        elif field.is_repeated:
            self._change_list(getattr(owner, field.name), field)
        elif field.message_type is not None:
            self._change_part(owner, field)
        elif self._chance.random() < 0.15:
            owner.ClearField(field.name)
        else:
            setattr(owner, field.name, self._value(field))

    def _change_part(self, owner: Message, field: Field) -> None:
        if owner.HasField(field.name) and self._chance.random() < 0.5:
            owner.ClearField(field.name)
        else:
            part = getattr(owner, field.name)
            part.SetInParent()
            self._change_somewhere(part)

    def _change_map(self, entries: Any, field: Field) -> None:
        key, value = field.message_type.fields_by_name["key"], field.message_type.fields_by_name["value"]
        if entries and self._chance.random() < 0.3:
            del entries[self._chance.choice(sorted(entries))]
            return
        name = self._chance.choice(sorted(entries)) if entries and self._chance.random() < 0.5 else self._value(key)
        if value.message_type is not None:
            self._change_somewhere(entries[name])
        else:
            entries[name] = self._value(value)

    def _change_list(self, items: Any, field: Field) -> None:
        kind = self._chance.randrange(5)
        if kind == 0 and items:
            del items[self._chance.randrange(len(items))]
        elif kind == 1 and items:
            items.extend([items[self._chance.randrange(len(items))]])
        elif kind == 2 and items:
            one = items[self._chance.randrange(len(items))]
            items.extend([one] * self._chance.randint(1, _LONGEST_LIST))
        elif field.message_type is not None:
            self._change_somewhere(self._chance.choice(items) if items and kind == 3 else items.add())
        elif items and kind == 3:
            items[self._chance.randrange(len(items))] = self._value(field)
        else:
            items.append(self._value(field))

    def _value(self, field: Field) -> Any:
        chance = self._chance
        kind = field.cpp_type
        if kind in _LIMITS:
            low, high = _LIMITS[kind]
            return max(low, min(high, chance.choice(_INTEGERS)))
        if kind in (FieldDescriptor.CPPTYPE_FLOAT, FieldDescriptor.CPPTYPE_DOUBLE):
            return chance.choice(_FLOATS)
        if kind == FieldDescriptor.CPPTYPE_BOOL:
            return chance.random() < 0.5
        if field.type == FieldDescriptor.TYPE_BYTES:
            return chance.choice(_BYTES) if chance.random() < 0.7 else chance.randbytes(chance.randint(1, 80))
        return chance.choice(self._texts)


def _is_map(field: Field) -> bool:
    return bool(field.message_type is not None and field.message_type.GetOptions().map_entry)


def _places(message: Message, depth: int) -> list[tuple[Message, Field]]:
    """Every field of a message and of the messages in it."""
    places: list[tuple[Message, Field]] = []
    for field in message.DESCRIPTOR.fields:
        places.append((message, field))
        if field.message_type is None or _is_map(field) or depth >= _DEEPEST:
            continue
        if field.is_repeated:
            for part in list(getattr(message, field.name))[:4]:
                places += _places(part, depth + 1)
        elif message.HasField(field.name):
            places += _places(getattr(message, field.name), depth + 1)
    return places


def _texts_in(message: Message) -> set[str]:
    found: set[str] = set()
    for field, value in message.ListFields():
        if _is_map(field):
            found |= {str(name) for name in value}
        elif field.message_type is not None:
            for part in value if field.is_repeated else [value]:
                found |= _texts_in(part)
        elif field.type == FieldDescriptor.TYPE_STRING:
            found |= set(value if field.is_repeated else [value])
    return found
