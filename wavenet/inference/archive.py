"""Whether a checkpoint's file can be read with about as much memory as it has bytes, whoever wrote it.

``torch.load`` executes nothing with ``weights_only=True``, but does what plain data asks for: a file of some hundred
bytes may ask for a ``bytearray`` of any size, and a compressed one for a thousand times its own. What training writes
is an archive that is not compressed, of tensors and built-in types.
"""

import io
import pickletools
import zipfile
from itertools import chain
from typing import BinaryIO


class ArchiveError(ValueError):
    """A file is an archive that must not be opened."""


DTYPES = ("Float", "Double", "Half", "BFloat16", "Long", "Int", "Short", "Char", "Byte", "Bool")
NAMES = {
    "collections OrderedDict",
    "collections Counter",
    "builtins set",
    "builtins complex",
    "_codecs encode",
    "torch Size",
    "torch device",
    "torch._utils _rebuild_tensor_v2",
    "torch._utils _rebuild_parameter",
    *(f"torch {dtype}Storage" for dtype in DTYPES),
}
"""What a checkpoint may name: classes and functions that make nothing larger than what they are given."""


def check_archive(file: BinaryIO) -> None:
    """Looks whether a file may be read, and leaves it at its beginning.

    Raises:
        ArchiveError: It asks for more than it holds, or for more than plain data.
        zipfile.BadZipFile: It is no archive.
    """
    size = file.seek(0, io.SEEK_END)
    with zipfile.ZipFile(file) as archive:
        entries = archive.infolist()
        if any(entry.compress_type != zipfile.ZIP_STORED for entry in entries):
            raise ArchiveError("it is compressed, which no checkpoint is")
        if sum(entry.file_size for entry in entries) > size:
            raise ArchiveError(f"it says that it holds more than its {size:,} bytes")
        pickles = [archive.read(entry) for entry in entries if entry.filename.lower().endswith(".pkl")]
    for opcode, argument, _ in chain.from_iterable(map(pickletools.genops, pickles)):
        if opcode.name in ("GLOBAL", "INST", "STACK_GLOBAL") and argument not in NAMES:
            raise ArchiveError(f"it holds a pickled object that is not plain data ({argument or 'without a name'})")
    file.seek(0)
