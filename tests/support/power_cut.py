"""A disk that forgets what was never fsynced, when its power is cut. Speaks FUSE with the kernel itself: no library.

    python power_cut.py MOUNTPOINT SEED          (root, /dev/fuse)

Prints "ready" when mounted. For each line on its standard input the power is cut and comes back: the old mount is gone,
a new one shows what the disk has kept, and "ready" is printed again. End of input: unmounted.

What the disk keeps, as the strictest reading of POSIX allows:
    a file's bytes   as of its last fsync; of what was written since, each 4096-byte page or not, as chance will have it
    a folder's names as of its last fsync; of what was changed since, each name or not
Whoever relies on more than it has fsynced loses something here, sooner or later.
"""

from __future__ import annotations

import contextlib
import ctypes
import dataclasses
import errno
import os
import random
import select
import stat
import struct
import sys
from collections.abc import Iterator
from typing import Any

PAGE = 4096
ROOT = 1
_LARGEST_WRITE = 128 << 10
_HEADER = struct.Struct("<IIQQIIII")
_ANSWER = struct.Struct("<IiQ")
_ATTRIBUTES = struct.Struct("<QQQQQQIIIIIIIIII")
_SIZE_CHANGES = 1 << 3
_BIG_WRITES = 1 << 5
_LAZY = 2
_NO_SUID_NO_DEVICES = 6


@dataclasses.dataclass(slots=True)
class Node:
    """A file or a folder: as it is now, and as the disk has it."""

    is_folder: bool
    data: bytearray = dataclasses.field(default_factory=bytearray)
    kept: bytes = b""
    names: dict[str, int] = dataclasses.field(default_factory=dict)
    kept_names: dict[str, int] = dataclasses.field(default_factory=dict)


class Disk:
    """The nodes, by number. Operations raise OSError, as the kernel wants to hear it."""

    def __init__(self, seed: int) -> None:
        self._chance = random.Random(seed)
        self._nodes = {ROOT: Node(is_folder=True)}
        self._next = ROOT + 1

    def node(self, number: int) -> Node:
        return self._nodes[number]

    def find(self, folder: int, name: str) -> int:
        try:
            return self._nodes[folder].names[name]
        except KeyError:
            raise OSError(errno.ENOENT, name) from None

    def make(self, folder: int, name: str, *, is_folder: bool) -> int:
        if name in self._nodes[folder].names:
            raise OSError(errno.EEXIST, name)
        number, self._next = self._next, self._next + 1
        self._nodes[number] = Node(is_folder=is_folder)
        self._nodes[folder].names[name] = number
        return number

    def remove(self, folder: int, name: str) -> None:
        if self._nodes[self.find(folder, name)].names:
            raise OSError(errno.ENOTEMPTY, name)
        del self._nodes[folder].names[name]

    def rename(self, folder: int, name: str, new_folder: int, new_name: str) -> None:
        number = self.find(folder, name)
        del self._nodes[folder].names[name]
        self._nodes[new_folder].names[new_name] = number

    def write(self, number: int, offset: int, data: bytes) -> None:
        held = self._nodes[number].data
        if len(held) < offset:
            held.extend(bytes(offset - len(held)))
        held[offset : offset + len(data)] = data

    def resize(self, number: int, size: int) -> None:
        held = self._nodes[number].data
        del held[size:]
        held.extend(bytes(size - len(held)))

    def sync(self, number: int) -> None:
        node = self._nodes[number]
        node.kept, node.kept_names = bytes(node.data), dict(node.names)

    def cut(self) -> None:
        """The power goes and comes back."""
        for node in self._nodes.values():
            node.names = self._some_names(node)
            node.data = self._some_pages(node)
            node.kept, node.kept_names = bytes(node.data), dict(node.names)

    def _some_names(self, node: Node) -> dict[str, int]:
        names = dict(node.kept_names)
        for name in sorted({*node.names, *node.kept_names}):
            if node.names.get(name) != node.kept_names.get(name) and self._chance.random() < 0.5:
                names.pop(name, None)
                if name in node.names:
                    names[name] = node.names[name]
        return names

    def _some_pages(self, node: Node) -> bytearray:
        if node.data == node.kept:
            return node.data
        # Three tempers: nothing written since the fsync, all of it, or a page here and a page there.
        share = self._chance.choice((0.0, 0.5, 1.0))
        size = len(node.data) if self._chance.random() < share else len(node.kept)
        pages = bytearray(node.kept[:size].ljust(size, b"\0"))
        for start in range(0, size, PAGE):
            new = node.data[start : min(start + PAGE, size)]
            if self._chance.random() < share:
                pages[start : start + len(new)] = new
        return pages


class Mount:
    """A disk at a mount point, served by this process.

    Args:
        disk: to show.
        point: an empty folder.
    """

    def __init__(self, disk: Disk, point: str) -> None:
        self._disk = disk
        self._point = point
        self.descriptor = os.open("/dev/fuse", os.O_RDWR | os.O_CLOEXEC)
        options = f"fd={self.descriptor},rootmode=40000,user_id=0,group_id=0"
        _system_call("mount", b"powercut", point.encode(), b"fuse.powercut", _NO_SUID_NO_DEVICES, options.encode())

    def close(self) -> None:
        """Unmounts at once; what still knocks is told that the disk is gone."""
        _system_call("umount2", self._point.encode(), _LAZY)
        os.close(self.descriptor)

    def serve_one(self) -> None:
        """Answers the kernel's next request."""
        try:
            request = os.read(self.descriptor, _LARGEST_WRITE + PAGE)
        except OSError as error:
            if error.errno in (errno.EINTR, errno.EAGAIN, errno.ENOENT):
                return
            raise
        _, operation, unique, number, *_ = _HEADER.unpack_from(request)
        handler = _HANDLERS.get(operation)
        if operation in _UNANSWERED:
            return
        code, body = 0, b""
        if handler is None:
            code = -errno.ENOSYS
        else:
            try:
                body = handler(self._disk, number, request[_HEADER.size :])
            except OSError as error:
                code = -(error.errno or errno.EIO)
        os.write(self.descriptor, _ANSWER.pack(_ANSWER.size + len(body), code, unique) + body)


def _attributes(disk: Disk, number: int) -> bytes:
    node = disk.node(number)
    mode = (stat.S_IFDIR | 0o755) if node.is_folder else (stat.S_IFREG | 0o644)
    size = len(node.data)
    return _ATTRIBUTES.pack(number, size, -(-size // 512), 0, 0, 0, 0, 0, 0, mode, 1, 0, 0, 0, PAGE, 0)


def _entry(disk: Disk, number: int) -> bytes:
    # Nothing is cached by the kernel (validity 0): after a cut it would remember what is gone.
    return struct.pack("<QQQQII", number, 0, 0, 0, 0, 0) + _attributes(disk, number)


def _name(body: bytes) -> str:
    return body.split(b"\0", 1)[0].decode()


def _initialise(disk: Disk, number: int, body: bytes) -> bytes:
    return struct.pack("<IIIIHHIIHHI28x", 7, 31, 0, _BIG_WRITES, 12, 10, _LARGEST_WRITE, 1, 0, 0, 0)


def _look_up(disk: Disk, number: int, body: bytes) -> bytes:
    return _entry(disk, disk.find(number, _name(body)))


def _get_attributes(disk: Disk, number: int, body: bytes) -> bytes:
    return struct.pack("<QII", 0, 0, 0) + _attributes(disk, number)


def _set_attributes(disk: Disk, number: int, body: bytes) -> bytes:
    valid, _, _, size = struct.unpack_from("<IIQQ", body)
    if valid & _SIZE_CHANGES:
        disk.resize(number, size)
    return _get_attributes(disk, number, b"")


def _make_folder(disk: Disk, number: int, body: bytes) -> bytes:
    return _entry(disk, disk.make(number, _name(body[8:]), is_folder=True))


def _create(disk: Disk, number: int, body: bytes) -> bytes:
    return _entry(disk, disk.make(number, _name(body[16:]), is_folder=False)) + _open(disk, number, b"")


def _remove(disk: Disk, number: int, body: bytes) -> bytes:
    disk.remove(number, _name(body))
    return b""


def _rename(disk: Disk, number: int, body: bytes, start: int = 8) -> bytes:
    (new_folder,) = struct.unpack_from("<Q", body)
    old, new = body[start:].split(b"\0")[:2]
    disk.rename(number, old.decode(), new_folder, new.decode())
    return b""


def _rename_with_flags(disk: Disk, number: int, body: bytes) -> bytes:
    if struct.unpack_from("<I", body, 8)[0]:
        raise OSError(errno.EINVAL, "flags")
    return _rename(disk, number, body, start=16)


def _open(disk: Disk, number: int, body: bytes) -> bytes:
    return struct.pack("<QII", 0, 0, 0)


def _read(disk: Disk, number: int, body: bytes) -> bytes:
    _, offset, size = struct.unpack_from("<QQI", body)
    return bytes(disk.node(number).data[offset : offset + size])


def _write(disk: Disk, number: int, body: bytes) -> bytes:
    _, offset, size = struct.unpack_from("<QQI", body)
    disk.write(number, offset, body[40 : 40 + size])
    return struct.pack("<II", size, 0)


def _allocate(disk: Disk, number: int, body: bytes) -> bytes:
    _, offset, length, mode = struct.unpack_from("<QQQI", body)
    if mode:
        raise OSError(errno.EOPNOTSUPP, "mode")
    disk.resize(number, max(len(disk.node(number).data), offset + length))
    return b""


def _sync(disk: Disk, number: int, body: bytes) -> bytes:
    disk.sync(number)
    return b""


def _read_folder(disk: Disk, number: int, body: bytes) -> bytes:
    _, offset, size = struct.unpack_from("<QQI", body)
    found = b""
    names = [(".", number), ("..", number), *sorted(disk.node(number).names.items())]
    for place, (name, child) in enumerate(names[offset:], start=offset + 1):
        kind = stat.S_IFDIR if disk.node(child).is_folder else stat.S_IFREG
        raw = name.encode()
        entry = struct.pack("<QQII", child, place, len(raw), kind >> 12) + raw
        entry += bytes(-len(entry) % 8)
        if len(found) + len(entry) > size:
            break
        found += entry
    return found


def _space(disk: Disk, number: int, body: bytes) -> bytes:
    return struct.pack("<QQQQQIII28x", 1 << 24, 1 << 23, 1 << 23, 1 << 20, 1 << 20, PAGE, 255, PAGE)


def _nothing(disk: Disk, number: int, body: bytes) -> bytes:
    return b""


_UNANSWERED = frozenset({2, 36, 42})  # FORGET, INTERRUPT, BATCH_FORGET
_HANDLERS: dict[int, Any] = {
    1: _look_up,
    3: _get_attributes,
    4: _set_attributes,
    9: _make_folder,
    10: _remove,
    11: _remove,
    12: _rename,
    14: _open,
    15: _read,
    16: _write,
    17: _space,
    18: _nothing,  # RELEASE
    20: _sync,
    25: _nothing,  # FLUSH
    26: _initialise,
    27: _open,  # OPENDIR
    28: _read_folder,
    29: _nothing,  # RELEASEDIR
    30: _sync,  # FSYNCDIR
    34: _nothing,  # ACCESS
    35: _create,
    38: _nothing,  # DESTROY
    43: _allocate,
    45: _rename_with_flags,
}


def _system_call(name: str, *arguments: bytes | int) -> None:
    library = ctypes.CDLL(None, use_errno=True)
    if getattr(library, name)(*arguments) != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{name}: {os.strerror(number)}")


@contextlib.contextmanager
def mounted(disk: Disk, point: str) -> Iterator[Mount]:
    mount = Mount(disk, point)
    try:
        yield mount
    finally:
        mount.close()


def serve(point: str, seed: int) -> None:
    """Serves until the standard input ends."""
    disk = Disk(seed)
    more = True
    while more:
        with mounted(disk, point) as mount:
            os.write(1, b"ready\n")
            while True:
                ready, _, _ = select.select([mount.descriptor, 0], [], [])
                # First of all the power: what the kernel still wants to write does not reach the disk.
                if 0 in ready:
                    more = bool(os.read(0, 1))
                    disk.cut()
                    break
                mount.serve_one()


if __name__ == "__main__":
    serve(sys.argv[1], int(sys.argv[2]))
