"""Compressed files, unpacked beside themselves before anything is read: a damaged one gives no row at all."""

from pathlib import Path

import pyarrow as pa

CODECS = {".gz": "gzip", ".zst": "zstd"}
"""The compression that the end of a file's name tells."""

_BLOCK = 4 << 20


def unpack(path: Path, to: Path, codec: str) -> str | None:
    """Write what `path` holds to `to`; say why that can't be done, None where it was. Memory holds one block.

    Several members or frames after one another are one file. Checksums are checked where the file has them.
    """
    if not path.stat().st_size:
        return f"no {codec} file: it is empty"
    with path.open("rb") as file, to.open("wb") as out:
        packed = pa.CompressedInputStream(pa.PythonFile(file, mode="r"), codec)
        while True:
            try:
                block = packed.read(_BLOCK)
            except (OSError, pa.ArrowException) as error:
                return f"no whole {codec} file: {' '.join(str(error).split())}"
            if not block:
                return None
            out.write(block)
