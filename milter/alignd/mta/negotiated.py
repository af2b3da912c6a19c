"""Reads which descriptor a connection has out of libmilter's context.

libmilter and pymilter have no call for it. Both keep it where their structures begin: pymilter's
context has a pointer to libmilter's (miltermodule.c, milter_ContextObject), which has a thread id
and then the descriptor (libmilter.h, struct smfi_str), the same from 8.13 to 8.18.
"""

from __future__ import annotations

import ctypes
import os
import threading
from collections.abc import Callable

_POINTER_AT = object.__basicsize__
_DESCRIPTOR_AT = ctypes.sizeof(ctypes.c_ulong)  # behind a pthread_t
_FIELDS = 3  # of a milter_ContextObject, each the size of a pointer


class DescriptorReader:
    """Reads descriptors, once a first reading has proven that they are where they should be."""

    def __init__(self, is_connection: Callable[[int], bool]) -> None:
        """*is_connection* says whether a descriptor is a connection to the milter's socket."""
        self._is_connection = is_connection
        self.is_proven: bool | None = None
        """None until there was a connection to try it with."""
        self._proving = threading.Lock()  # the first connections may be many at once
        try:
            self._memory = os.open("/proc/self/mem", os.O_RDONLY | os.O_CLOEXEC)
        except OSError:
            self.is_proven = False

    def descriptor_of(self, context: object) -> int | None:
        """The descriptor of the connection of *context*; None if it cannot be told."""
        if self.is_proven:
            pointer = ctypes.c_void_p.from_address(id(context) + _POINTER_AT).value or 0
            return ctypes.c_int.from_address(pointer + _DESCRIPTOR_AT).value
        if self.is_proven is None:
            with self._proving:
                if self.is_proven is None:
                    self.is_proven = self._is_where_it_should_be(context)
                    os.close(self._memory)
        return self.descriptor_of(context) if self.is_proven else None

    def _is_where_it_should_be(self, context: object) -> bool:
        descriptor = self._read_with_care(context)
        return descriptor is not None and self._is_connection(descriptor)

    def _read_with_care(self, context: object) -> int | None:
        """Read through a file, where an address that is none is an error and no crash."""
        size = ctypes.sizeof(ctypes.c_void_p)
        if type(context).__basicsize__ != _POINTER_AT + _FIELDS * size:
            return None
        try:
            at = os.pread(self._memory, size, id(context) + _POINTER_AT)
            pointer = ctypes.c_void_p.from_buffer_copy(at).value or 0
            found = os.pread(self._memory, ctypes.sizeof(ctypes.c_int), pointer + _DESCRIPTOR_AT)
            return ctypes.c_int.from_buffer_copy(found).value
        except (OSError, ValueError, OverflowError):  # no such memory, or less than was asked for
            return None
