"""What a person may do on the panel. Each role may all that the one before it may. Pure."""

from __future__ import annotations

import dataclasses
import enum


class Role(enum.IntEnum):
    """In ascending order of what they may."""

    VIEWER = 1
    """Sees the line, the history and the station's state."""
    OPERATOR = 2
    """Judges, and may let the model before serve again where the station allows it."""
    ENGINEER = 3
    """Sees everybody's figures; activates models and lets them go back; says what is the present light."""
    ADMIN = 4
    """Makes and removes accounts."""

    @property
    def word(self) -> str:
        """As it stands in files and JSON."""
        return self.name.lower()


def role_of(word: str) -> Role:
    """The role with this word.

    Raises:
        ValueError: there is none.
    """
    for role in Role:
        if role.word == word:
            return role
    raise ValueError(f"{word[:40]!r} is no role; there are {', '.join(role.word for role in Role)}")


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Who:
    """Somebody on a connection."""

    name: str
    """Of the account; empty where the station asks for no login."""
    role: Role
    proven: bool
    """By a login. Otherwise a name on this connection is only claimed."""
