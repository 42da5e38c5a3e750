"""The oblivious pseudorandom function of RFC 9497 (base mode, ristretto255-SHA512), in batches.

``F(key, item) = SHA-512(len ‖ item ‖ len ‖ H(item)·key ‖ label)``. The receiver sends ``H(item)·blind``
(``hash_and_mask``), the sender returns it times its key (``mask``), the receiver takes the blind off (``unmask``). The
sender evaluates its own items directly (``evaluate_items``). The label is ``Finalize`` in the RFC; here it also holds
the context, and so does the tag of ``H``.

==========================================  ==========================================================================
``len(outputs)``                            the number of outputs
``OprfOutputs.concat(parts)``               batches joined in order
``outputs.tags(length_bytes)``              the first 1 to 32 bytes of each output, in order
==========================================  ==========================================================================

Bytes 0 to 31 of an output serve as its tag; bytes 32 to 63 derive the keys of sealed rows and are never shown.

References:
    RFC 9497, sections 3.3.1 and 4.1.
"""

from __future__ import annotations

from psc import _core
from psc._core import Items, OprfOutputs, Scalar
from psc.crypto.group import PointBatch
from psc.crypto.label import dst, label

__all__ = ["OprfOutputs", "evaluate_items", "unmask"]


def unmask(items: Items, points: PointBatch, scalar_inverse: Scalar, context: bytes) -> OprfOutputs:
    """Take the blind off evaluated points and return the outputs of the items.

    Args:
        items: the items that were masked, in that order.
        points: ``H(item)·blind·key`` for each, as received; every one is checked.
        scalar_inverse: the inverse of the blind.
        context: the context that the items were masked under.

    Returns:
        One output an item, in order.

    Raises:
        InvalidElementError: a point is the identity or not canonical; ``fields["index"]`` is the first such position.
        UsageError: the counts differ, or the context is empty or too long.

    Security:
        Constant time in the blind and the items' content. Nothing proves that the sender used one key for all points.
    """
    return _core.unmask(items, points.data, scalar_inverse, label("Finalize", context))


def evaluate_items(items: Items, key: Scalar, context: bytes) -> OprfOutputs:
    """Return the outputs of one's own items under one's own key.

    Args:
        items: any number.
        key: the secret key.
        context: the context that the receiver masks under.

    Returns:
        One output an item, in order; equal to what ``unmask`` gives the receiver for equal items.

    Raises:
        UsageError: the context is empty or too long.

    Security:
        Constant time in the key and the items' content.
    """
    return _core.evaluate_items(items, key, dst(context), label("Finalize", context))
