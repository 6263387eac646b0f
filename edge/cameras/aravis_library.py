"""The few functions of the Aravis library (0.8) that a camera needs, by ctypes.

Not by its GObject bindings: those belong to the distribution's Python and are not seen from a virtual environment,
while the library itself is (Debian: libaravis-0.8-0). Its interface is fixed within 0.8.
"""

from __future__ import annotations

import ctypes
import ctypes.util
from collections.abc import Callable
from typing import Any, NamedTuple

_POINTER = ctypes.c_void_p
_TEXT = ctypes.c_char_p
_CALLBACK = ctypes.CFUNCTYPE(None, _POINTER, _POINTER)
_SIGNATURES: dict[str, tuple[Any, list[Any]]] = {
    "arv_update_device_list": (None, []),
    "arv_get_n_devices": (ctypes.c_uint, []),
    "arv_get_device_id": (_TEXT, [ctypes.c_uint]),
    "arv_get_device_serial_nbr": (_TEXT, [ctypes.c_uint]),
    "arv_get_device_model": (_TEXT, [ctypes.c_uint]),
    "arv_camera_new": (_POINTER, [_TEXT, _POINTER]),
    "arv_camera_get_device": (_POINTER, [_POINTER]),
    "arv_camera_create_stream": (_POINTER, [_POINTER, _POINTER, _POINTER, _POINTER]),
    "arv_camera_get_payload": (ctypes.c_uint, [_POINTER, _POINTER]),
    "arv_camera_start_acquisition": (None, [_POINTER, _POINTER]),
    "arv_camera_stop_acquisition": (None, [_POINTER, _POINTER]),
    "arv_device_get_feature": (_POINTER, [_POINTER, _TEXT]),
    "arv_device_set_features_from_string": (ctypes.c_int, [_POINTER, _TEXT, _POINTER]),
    "arv_device_execute_command": (None, [_POINTER, _TEXT, _POINTER]),
    "arv_stream_push_buffer": (None, [_POINTER, _POINTER]),
    "arv_stream_timeout_pop_buffer": (_POINTER, [_POINTER, ctypes.c_uint64]),
    "arv_stream_try_pop_buffer": (_POINTER, [_POINTER]),
    "arv_buffer_new_allocate": (_POINTER, [ctypes.c_size_t]),
    "arv_buffer_get_status": (ctypes.c_int, [_POINTER]),
    "arv_buffer_get_data": (_POINTER, [_POINTER, ctypes.POINTER(ctypes.c_size_t)]),
    "arv_buffer_get_image_width": (ctypes.c_int, [_POINTER]),
    "arv_buffer_get_image_height": (ctypes.c_int, [_POINTER]),
    "arv_buffer_get_image_pixel_format": (ctypes.c_uint32, [_POINTER]),
    "arv_buffer_get_frame_id": (ctypes.c_uint64, [_POINTER]),
    "g_object_unref": (None, [_POINTER]),
    "g_error_free": (None, [_POINTER]),
    "g_signal_connect_data": (ctypes.c_ulong, [_POINTER, _TEXT, _CALLBACK, _POINTER, _POINTER, ctypes.c_int]),
}
_STATUSES = {1: "cleared", 2: "timeout", 3: "missing packets", 4: "wrong packet", 5: "another size", 7: "aborted"}
SUCCESS = 0


class AravisError(Exception):
    """What the library says went wrong."""


class AravisMissingError(Exception):
    """The library is not installed."""


class _GError(ctypes.Structure):
    _fields_ = (("domain", ctypes.c_uint32), ("code", ctypes.c_int), ("message", _TEXT))


class Device(NamedTuple):
    """A camera that answered."""

    device_id: str
    serial: str
    model: str


class Buffer(NamedTuple):
    """A buffer the camera has filled, or tried to; copied out, given back to the stream already."""

    status: int
    """SUCCESS, or another number; `status_text` says what it means."""
    frame_id: int
    width: int
    height: int
    pixel_format: int
    """PFNC code."""
    data: bytes

    @property
    def status_text(self) -> str:
        """In words."""
        return _STATUSES.get(self.status, f"status {self.status}")


class AravisLibrary:
    """The library, loaded.

    Raises:
        AravisMissingError: it is not installed, or too old.
    """

    def __init__(self) -> None:
        name = ctypes.util.find_library("aravis-0.8")
        if name is None:
            raise AravisMissingError("libaravis-0.8 is not installed (Debian and Ubuntu: apt install libaravis-0.8-0)")
        try:
            library = ctypes.CDLL(name)
            for function, (result, arguments) in _SIGNATURES.items():
                found = getattr(library, function)
                found.restype, found.argtypes = result, arguments
        except (OSError, AttributeError) as error:
            raise AravisMissingError(f"libaravis-0.8 cannot be used: {error}") from error
        self._library = library

    def devices(self) -> list[Device]:
        """Cameras that answer now."""
        library = self._library
        library.arv_update_device_list()
        return [
            Device(
                (library.arv_get_device_id(place) or b"").decode(errors="replace"),
                (library.arv_get_device_serial_nbr(place) or b"").decode(errors="replace"),
                (library.arv_get_device_model(place) or b"").decode(errors="replace"),
            )
            for place in range(library.arv_get_n_devices())
        ]

    def open(self, device_id: str) -> AravisDevice:
        """Takes control of a camera. Raises AravisError."""
        return AravisDevice(self._library, self.call("arv_camera_new", device_id.encode()))

    def call(self, function: str, *arguments: Any) -> Any:
        """Calls a function whose last argument is a GError. Raises AravisError."""
        return _call(self._library, function, *arguments)


class AravisDevice:
    """A camera under control; used by one thread, closed once."""

    def __init__(self, library: Any, camera: int) -> None:
        self._library = library
        self._camera = camera
        self._device = library.arv_camera_get_device(camera)
        self._stream: int | None = None
        self.lost = False
        """Whether the camera said it is somebody else's now, or does not answer any more."""
        # Kept: the library calls it from its heartbeat thread as long as the device lives.
        self._on_lost = _CALLBACK(self._note_lost)
        library.g_signal_connect_data(self._device, b"control-lost", self._on_lost, None, None, 0)

    def has(self, feature: str) -> bool:
        """Whether the camera has it."""
        return bool(self._library.arv_device_get_feature(self._device, feature.encode()))

    def write(self, feature: str, value: str) -> None:
        """Sets a feature from text. Raises AravisError."""
        text = f"{feature}={value}".encode()
        _call(self._library, "arv_device_set_features_from_string", self._device, text)

    def execute(self, command: str) -> None:
        """Executes a command feature. Raises AravisError."""
        _call(self._library, "arv_device_execute_command", self._device, command.encode())

    def start(self, buffers: int) -> None:
        """Begins to take pictures into so many buffers. Raises AravisError."""
        library = self._library
        self._stream = _call(library, "arv_camera_create_stream", self._camera, None, None)
        size = _call(library, "arv_camera_get_payload", self._camera)
        for _ in range(buffers):
            library.arv_stream_push_buffer(self._stream, library.arv_buffer_new_allocate(size))
        _call(library, "arv_camera_start_acquisition", self._camera)

    def pop(self, seconds: float) -> Buffer | None:
        """The oldest buffer that came, or None after so many seconds."""
        library, stream = self._library, self._stream
        if seconds > 0:
            buffer = library.arv_stream_timeout_pop_buffer(stream, int(seconds * 1e6))
        else:
            buffer = library.arv_stream_try_pop_buffer(stream)
        if not buffer:
            return None
        try:
            status = library.arv_buffer_get_status(buffer)
            number = library.arv_buffer_get_frame_id(buffer)
            if status != SUCCESS:
                return Buffer(status, number, 0, 0, 0, b"")
            size = ctypes.c_size_t()
            data = library.arv_buffer_get_data(buffer, ctypes.byref(size))
            return Buffer(
                status,
                number,
                library.arv_buffer_get_image_width(buffer),
                library.arv_buffer_get_image_height(buffer),
                library.arv_buffer_get_image_pixel_format(buffer),
                ctypes.string_at(data, size.value),
            )
        finally:
            library.arv_stream_push_buffer(stream, buffer)

    def close(self) -> None:
        """Stops taking pictures and gives the camera back; what the camera no longer answers is let go."""
        library = self._library
        if self._stream is not None:
            try:
                _call(library, "arv_camera_stop_acquisition", self._camera)
            except AravisError:
                self.lost = True
            library.g_object_unref(self._stream)
            self._stream = None
        library.g_object_unref(self._camera)

    def _note_lost(self, _device: int, _data: int) -> None:
        self.lost = True


def _call(library: Any, function: str, *arguments: Any) -> Any:
    error = ctypes.POINTER(_GError)()
    called: Callable[..., Any] = getattr(library, function)
    result = called(*arguments, ctypes.cast(ctypes.byref(error), _POINTER))
    if error:
        message = (error.contents.message or b"").decode(errors="replace")
        library.g_error_free(ctypes.cast(error, _POINTER))
        raise AravisError(message or function)
    return result
