"""The header of a .npy file whose number of rows is known only when all of them are written."""

from __future__ import annotations

import io

from numpy.lib import format as npy


def header(rows: int, size: int) -> bytes:
    """What comes before `rows` rows of `size` numbers of float32, little-endian.

    `numpy.load(path, mmap_mode="r")` opens the whole. NumPy leaves room for a first dimension of
    21 digits, so that the length does not depend on the number of rows.
    """
    stream = io.BytesIO()
    npy.write_array_header_1_0(
        stream, {"descr": "<f4", "fortran_order": False, "shape": (rows, size)}
    )
    return stream.getvalue()
