"""The reasons of the contract: every refusal a client can meet, as a code and a stable word.

The word is what a program may compare with; the message beside it is for people. See DESIGN, the
status contract. This file knows the numbers of google.rpc.Code so that it needs no gRPC.
"""

from __future__ import annotations

import enum


class Code(enum.IntEnum):
    """The numbers of google.rpc.Code that the contract uses."""

    OK = 0
    INVALID_ARGUMENT = 3
    DEADLINE_EXCEEDED = 4
    NOT_FOUND = 5
    ALREADY_EXISTS = 6
    PERMISSION_DENIED = 7
    RESOURCE_EXHAUSTED = 8
    FAILED_PRECONDITION = 9
    ABORTED = 10
    INTERNAL = 13
    UNAVAILABLE = 14
    DATA_LOSS = 15
    UNAUTHENTICATED = 16


class Reason(enum.Enum):
    """Stable word and its status code."""

    code: Code

    MSG_TOO_LARGE = ("MSG_TOO_LARGE", Code.RESOURCE_EXHAUSTED)
    QUEUE_FULL = ("QUEUE_FULL", Code.RESOURCE_EXHAUSTED)
    STORAGE_FULL = ("STORAGE_FULL", Code.RESOURCE_EXHAUSTED)
    IMAGE_DECODE = ("IMAGE_DECODE", Code.INVALID_ARGUMENT)
    IMAGE_SHAPE = ("IMAGE_SHAPE", Code.INVALID_ARGUMENT)
    # Pictures of the station's own cameras that must not be judged; seen as the reason of a NO_VERDICT.
    IMAGE_BLACK = ("IMAGE_BLACK", Code.UNAVAILABLE)
    IMAGE_SATURATED = ("IMAGE_SATURATED", Code.UNAVAILABLE)
    IMAGE_FROZEN = ("IMAGE_FROZEN", Code.UNAVAILABLE)
    IMAGE_HALF = ("IMAGE_HALF", Code.UNAVAILABLE)
    IMAGE_ORDER = ("IMAGE_ORDER", Code.UNAVAILABLE)
    IMAGE_MISSING = ("IMAGE_MISSING", Code.UNAVAILABLE)
    REQUEST_MALFORMED = ("REQUEST_MALFORMED", Code.INVALID_ARGUMENT)
    FEEDBACK_MALFORMED = ("FEEDBACK_MALFORMED", Code.INVALID_ARGUMENT)
    PKG_MALFORMED = ("PKG_MALFORMED", Code.INVALID_ARGUMENT)
    PKG_HASH = ("PKG_HASH", Code.INVALID_ARGUMENT)
    DETECTION_UNKNOWN = ("DETECTION_UNKNOWN", Code.NOT_FOUND)
    MODEL_UNKNOWN = ("MODEL_UNKNOWN", Code.NOT_FOUND)
    CAMERA_UNKNOWN = ("CAMERA_UNKNOWN", Code.NOT_FOUND)
    RECIPE_UNKNOWN = ("RECIPE_UNKNOWN", Code.NOT_FOUND)
    KEY_REUSED = ("KEY_REUSED", Code.ALREADY_EXISTS)
    FRAME_REUSED = ("FRAME_REUSED", Code.ALREADY_EXISTS)
    FEEDBACK_CONFLICT = ("FEEDBACK_CONFLICT", Code.ABORTED)
    PKG_CLASSES = ("PKG_CLASSES", Code.FAILED_PRECONDITION)
    PKG_INPUT = ("PKG_INPUT", Code.FAILED_PRECONDITION)
    PKG_GPU = ("PKG_GPU", Code.FAILED_PRECONDITION)
    PKG_NAN = ("PKG_NAN", Code.FAILED_PRECONDITION)
    PKG_PARITY = ("PKG_PARITY", Code.FAILED_PRECONDITION)
    PKG_ROLLBACK = ("PKG_ROLLBACK", Code.FAILED_PRECONDITION)
    PKG_VALIDITY = ("PKG_VALIDITY", Code.FAILED_PRECONDITION)
    PKG_STATE = ("PKG_STATE", Code.FAILED_PRECONDITION)
    GATE_FAILED = ("GATE_FAILED", Code.FAILED_PRECONDITION)
    CAMERA_MODE = ("CAMERA_MODE", Code.FAILED_PRECONDITION)
    FROZEN = ("FROZEN", Code.FAILED_PRECONDITION)
    PKG_SIGNATURE = ("PKG_SIGNATURE", Code.PERMISSION_DENIED)
    ROLE = ("ROLE", Code.PERMISSION_DENIED)
    UNAUTHENTICATED = ("UNAUTHENTICATED", Code.UNAUTHENTICATED)
    DRAINING = ("DRAINING", Code.UNAVAILABLE)
    NO_MODEL = ("NO_MODEL", Code.UNAVAILABLE)
    CAMERA_LOST = ("CAMERA_LOST", Code.UNAVAILABLE)
    STORAGE_FAULT = ("STORAGE_FAULT", Code.UNAVAILABLE)
    DEADLINE = ("DEADLINE", Code.DEADLINE_EXCEEDED)
    RECORD_CORRUPT = ("RECORD_CORRUPT", Code.DATA_LOSS)
    # A fault of ours. It is on the wire as a word, never as a traceback; the log has the traceback.
    INTERNAL = ("INTERNAL", Code.INTERNAL)

    def __new__(cls, word: str, code: Code) -> Reason:
        member = object.__new__(cls)
        member._value_ = word
        member.code = code
        return member


class ContractError(Exception):
    """A refusal the contract knows.

    Args:
        reason: the stable word with its code.
        message: what was wrong, the value seen and what would be right, without paths.
    """

    def __init__(self, reason: Reason, message: str) -> None:
        super().__init__(f"{reason.value}: {message}")
        self.reason = reason
        self.message = message
