"""Types of the compiled kernels. Only ``psc.crypto`` imports this module, and ``psc.data`` for ``normalise_mobiles``.

Every function takes a whole batch, releases the GIL, and works on all cores (``PSC_THREADS`` limits them). An argument
of type ``_Buffer`` is any C-contiguous buffer; ``bytes`` are borrowed, other buffers are copied. Numeric arrays that are
returned are read-only.
"""

from collections.abc import Sequence
from typing import Any, Protocol, TypeAlias, final

import numpy as np
from numpy.typing import NDArray
from typing_extensions import Buffer

from psc.errors import PscError

__all__ = [
    "Items",
    "OprfOutputs",
    "Rng",
    "Scalar",
    "backend_name",
    "check",
    "count_common",
    "derive",
    "discrete_gaussian",
    "discrete_laplace",
    "evaluate_items",
    "expand_message_xmd",
    "find_tags",
    "hash_to_group",
    "mask",
    "normalise_mobiles",
    "open_rows",
    "point_tags",
    "sample_errors",
    "seal_rows",
    "sort_tags",
    "unmask",
]

_Buffer: TypeAlias = Buffer | NDArray[Any]

class _KeyCells(Protocol):
    @property
    def tag(self) -> bytes: ...
    @property
    def offsets(self) -> _Buffer: ...
    @property
    def data(self) -> _Buffer: ...

@final
class Rng:
    @staticmethod
    def system() -> Rng: ...
    @staticmethod
    def insecure_from_seed(seed: _Buffer) -> Rng: ...
    def bytes(self, count: int) -> bytes: ...
    def scalar(self) -> Scalar: ...
    def permutation(self, count: int) -> NDArray[np.uint32]: ...

@final
class Scalar:
    @staticmethod
    def insecure_from_bytes(data: _Buffer) -> Scalar: ...
    def inverse(self) -> Scalar: ...
    def __eq__(self, other: object, /) -> bool: ...

@final
class Items:
    @staticmethod
    def encode(columns: Sequence[_KeyCells]) -> Items: ...
    @staticmethod
    def from_list(items: Sequence[_Buffer]) -> Items: ...
    @staticmethod
    def concat(parts: Sequence[Items]) -> Items: ...
    def __len__(self) -> int: ...
    def slice(self, start: int, stop: int) -> Items: ...
    def padded(self, total: int, rng: Rng) -> Items: ...
    def take(self, positions: _Buffer) -> Items: ...
    def distinct(self) -> tuple[Items, NDArray[np.uint32]]: ...
    def get(self, index: int) -> bytes: ...
    def digest(self, salt: _Buffer) -> bytes: ...

@final
class OprfOutputs:
    @staticmethod
    def concat(parts: Sequence[OprfOutputs]) -> OprfOutputs: ...
    def __len__(self) -> int: ...
    def __eq__(self, other: object, /) -> bool: ...
    def tags(self, length_bytes: int) -> bytes: ...
    def insecure_bytes(self) -> bytes: ...

def backend_name() -> str: ...
def expand_message_xmd(message: _Buffer, dst: _Buffer, length_bytes: int) -> bytes: ...
def hash_to_group(items: Items, dst: _Buffer, scalar: Scalar | None = None) -> bytes: ...
def derive(uniform: _Buffer) -> bytes: ...
def mask(points: _Buffer, scalar: Scalar) -> bytes: ...
def check(points: _Buffer) -> None: ...
def unmask(items: Items, points: _Buffer, scalar_inverse: Scalar, suffix: _Buffer) -> OprfOutputs: ...
def evaluate_items(items: Items, key: Scalar, dst: _Buffer, suffix: _Buffer) -> OprfOutputs: ...
def point_tags(points: _Buffer, label: _Buffer, length_bytes: int) -> bytes: ...
def sort_tags(tags: _Buffer, length_bytes: int) -> tuple[bytes, NDArray[np.uint32]]: ...
def find_tags(needles: _Buffer, haystack: _Buffer, length_bytes: int) -> NDArray[np.int64]: ...
def count_common(a: _Buffer, b: _Buffer, length_bytes: int) -> int: ...
def discrete_laplace(rng: Rng, count: int, numerator: int, denominator: int) -> NDArray[np.int64]: ...
def discrete_gaussian(rng: Rng, count: int, numerator: int, denominator: int) -> NDArray[np.int64]: ...
def seal_rows(
    outputs: OprfOutputs,
    groups: _Buffer,
    counters: _Buffer,
    payloads: _Buffer,
    width: int,
    tag_bytes: int,
    label: _Buffer,
    rng: Rng,
    total: int,
) -> bytes: ...
def open_rows(
    outputs: OprfOutputs,
    indices: _Buffer,
    entries: _Buffer,
    width: int,
    tag_bytes: int,
    max_rows: int,
    label: _Buffer,
) -> tuple[NDArray[np.uint32], NDArray[np.uint32], bytes]: ...
def normalise_mobiles(offsets: _Buffer, data: _Buffer, prefix_table: _Buffer) -> tuple[bytes, bytes, bytes]:
    """Write clean Chinese mobile numbers as E.164.

    Clean is: ASCII blanks around it; nothing, ``+86``, ``86`` or ``0086`` in front, perhaps with one blank or hyphen
    after it; then eleven digits, or 3, 4 and 4 digits with the same blank or hyphen between; where the table has 1 for
    the first five digits.

    Args:
        offsets: int64, rows + 1, non-decreasing offsets of the cells in ``data``; the first need not be 0.
        data: the bytes of the cells.
        prefix_table: 100,000 bytes, indexed by the first five digits; 1 where every number with these is a valid mobile.

    Returns:
        One byte a row (1 = handled, 0 = left to the caller); int64 offsets, rows + 1; the numbers they point into,
        14 bytes each (``+861xxxxxxxxxx``). A row that was not handled is empty.

    Raises:
        UsageError: the table has another size, or an offset is out of order or past the end.
    """

def sample_errors() -> list[PscError]: ...
