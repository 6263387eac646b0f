"""How an error reaches the wire: the contract's code, "REASON: text", and the reason in the trailer.

An exception nobody foresaw becomes INTERNAL with a word for the caller and the traceback for the station's log.
"""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable, Iterator
from typing import NoReturn, TypeVar

import grpc

from lineside.reasons import Code, ContractError, Reason
from lineside.v1 import inspection_pb2

logger = logging.getLogger(__name__)

REASON_TRAILER = "lineside-reason"
LONGEST_TEXT = 2000
"""Characters; a status travels in a header, and headers have limits."""

_STATUS = {code.value[0]: code for code in grpc.StatusCode}

Service = TypeVar("Service")
Request = TypeVar("Request")
Response = TypeVar("Response")


def status_of(code: Code) -> grpc.StatusCode:
    """gRPC's own name of a code."""
    return _STATUS[int(code)]


def unforeseen(error: Exception) -> ContractError:
    """INTERNAL, in words that give nothing away; the traceback goes to the log."""
    logger.error("a request failed in a way the station did not foresee", exc_info=error)
    return ContractError(Reason.INTERNAL, "the station failed on this request; its log says why")


def error_message(error: ContractError) -> inspection_pb2.Error:
    """The same three things inside a stream or on ZeroMQ."""
    return inspection_pb2.Error(code=int(error.reason.code), reason=error.reason.value, message=one_line(error.message))


def one_line(text: str) -> str:
    """Whatever a request has brought into the text, it stays one line that can be printed, and no long one."""
    shown = text if text.isprintable() else "".join(sign if sign.isprintable() else repr(sign)[1:-1] for sign in text)
    return shown if len(shown) <= LONGEST_TEXT else f"{shown[:LONGEST_TEXT]} ..."


def abort_with(context: grpc.ServicerContext, error: ContractError) -> NoReturn:
    """Ends the call with the error's status. Always raises, as `grpc.ServicerContext.abort` does."""
    context.set_trailing_metadata(((REASON_TRAILER, error.reason.value),))
    context.abort(status_of(error.reason.code), one_line(str(error)))
    raise AssertionError("abort always raises")


def contract_errors(
    method: Callable[[Service, Request, grpc.ServicerContext], Response],
) -> Callable[[Service, Request, grpc.ServicerContext], Response]:
    """Decorates a method that answers once: whatever it raises leaves as a status of the contract."""

    @functools.wraps(method)
    def guarded(service: Service, request: Request, context: grpc.ServicerContext) -> Response:
        try:
            return method(service, request, context)
        except ContractError as error:
            failure = error
        except Exception as error:
            if _is_abort(context, error):
                raise
            failure = unforeseen(error)
        abort_with(context, failure)

    return guarded


def contract_errors_stream(
    method: Callable[[Service, Request, grpc.ServicerContext], Iterator[Response]],
) -> Callable[[Service, Request, grpc.ServicerContext], Iterator[Response]]:
    """The same for a method that answers with a stream."""

    @functools.wraps(method)
    def guarded(service: Service, request: Request, context: grpc.ServicerContext) -> Iterator[Response]:
        try:
            yield from method(service, request, context)
            return
        except ContractError as error:
            failure = error
        except Exception as error:
            if _is_abort(context, error):
                raise
            failure = unforeseen(error)
        abort_with(context, failure)

    return guarded


def _is_abort(context: grpc.ServicerContext, error: Exception) -> bool:
    """Whether the exception is grpc's own end of the call: `abort` raises a bare Exception, a caller who hung up
    makes the request iterator raise."""
    return (type(error) is Exception and not error.args) or isinstance(error, grpc.RpcError) or not context.is_active()
