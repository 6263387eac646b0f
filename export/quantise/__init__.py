"""Fewer bits for the same answers: `lineside export quantise`.

`to_int8` and `to_fp16` turn graphs into graphs; `package` makes a package out of a package, with the damage measured.
"""

from __future__ import annotations

from export.quantise.fp16 import to_fp16
from export.quantise.int8 import to_int8

__all__ = ["to_fp16", "to_int8"]
