"""Libraries that not every training needs: imported where they are used, and a failure says what to install."""

from __future__ import annotations

import importlib
from types import ModuleType


class MissingExtraError(ValueError):
    """A library of an extra is not installed, or does not work here."""


def need(module: str, *, purpose: str, install: str) -> ModuleType:
    """Imports a module.

    Args:
        module: full name.
        purpose: what cannot be done without it, as the subject of a sentence.
        install: what to give to pip.

    Raises:
        MissingExtraError: it is not there, or one of its own parts does not import.
    """
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        raise MissingExtraError(
            f"{purpose} needs {module.partition('.')[0]}, but there is no module {error.name}; pip install {install}"
        ) from None
    except (ImportError, RuntimeError) as error:
        # A library built for another PyTorch fails with either.
        raise MissingExtraError(
            f"{purpose} needs {module.partition('.')[0]}, which is installed and does not import: {error}"
        ) from error
