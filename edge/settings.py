"""The base of every section of station.toml. Each section's class lives beside the part that owns it."""

from __future__ import annotations

import pydantic


class Settings(pydantic.BaseModel):
    """A frozen section of the configuration; a key it does not know is refused by name.

    The docstring below a field is its documentation: it gives the unit and the range.
    """

    model_config = pydantic.ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)
