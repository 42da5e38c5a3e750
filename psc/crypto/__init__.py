"""Typed, batched cryptography: items, the group, the OPRF, tags and sealed rows.

Everything here works on whole batches in compiled code with the GIL released, on all cores (``PSC_THREADS`` limits
them), and gives the same bytes on every backend (``PSC_BACKEND`` forces one). Secrets and personal data live in opaque
types (``Scalar``, ``Rng``, ``OprfOutputs``, ``Items``) that show no content, cannot be pickled, and are zeroised when
they go.

Kernels reuse the memory of large buffers. ``prepare_memory(bytes)`` has some ready soon, got from the system by a thread of its
own while nothing else is to be done; ``release_memory()`` gives back what nothing uses, where much of it was used before.

Silent VOLE and vole-psi are in ``psc.crypto.vole``.

Errors: a bad element of the peer is ``InvalidElementError`` with its position; a row that does not open is
``DecryptionError``; wrong arguments are ``UsageError``.
"""

from psc._core import prepare_memory, release_memory
from psc.crypto.group import (
    POINT_BYTES,
    SUITE,
    PointBatch,
    Scalar,
    backend_name,
    check,
    expand_message_xmd,
    hash_and_mask,
    hash_to_group,
    hash_to_group_dst,
    mask,
)
from psc.crypto.items import ITEM_BYTES_MAX, Items, ItemsBuilder, KeyCells
from psc.crypto.oprf import OprfOutputs, evaluate_items, unmask
from psc.crypto.rlwe import RLWE
from psc.crypto.rng import Rng
from psc.crypto.rows import MAC_BYTES, entry_bytes, open_rows, seal_rows
from psc.crypto.sums import SumEngine, SumMatcher, SumOwner
from psc.crypto.tags import count_common, find_tags, point_tags, sort_tags

__all__ = [
    "ITEM_BYTES_MAX",
    "MAC_BYTES",
    "POINT_BYTES",
    "RLWE",
    "SUITE",
    "Items",
    "ItemsBuilder",
    "KeyCells",
    "OprfOutputs",
    "PointBatch",
    "Rng",
    "Scalar",
    "SumEngine",
    "SumMatcher",
    "SumOwner",
    "backend_name",
    "check",
    "count_common",
    "entry_bytes",
    "evaluate_items",
    "expand_message_xmd",
    "find_tags",
    "hash_and_mask",
    "hash_to_group",
    "hash_to_group_dst",
    "mask",
    "open_rows",
    "point_tags",
    "prepare_memory",
    "release_memory",
    "seal_rows",
    "sort_tags",
    "unmask",
]
