"""Arrays that lie in files, of which only the pages in use take memory."""

import mmap
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt


class Mapped:
    """The numbers of a file as an array.

    Args:
        path: The file, which must not be empty.
        kind: The type of its numbers.
        writable: Whether what is written to the array goes to the file.

    Raises:
        OSError, ValueError: The file cannot be mapped, or its size is no multiple of a number's.
    """

    def __init__(self, path: Path, kind: npt.DTypeLike, writable: bool = False) -> None:
        with path.open("rb+" if writable else "rb") as file:
            self._map = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_WRITE if writable else mmap.ACCESS_READ)
        self.array: npt.NDArray[Any] = np.frombuffer(self._map, kind)

    def release(self) -> None:
        """Takes the pages out of this process's memory; the system keeps them in its own as long as it has room.

        Otherwise reading here and there would, in time, map the whole file.
        """
        if hasattr(mmap, "MADV_DONTNEED"):
            self._map.madvise(mmap.MADV_DONTNEED)
