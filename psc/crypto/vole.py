"""Silent VOLE and vole-psi: the parties of both as opaque states.

A VOLE gives two parties long random vectors that fit together: ``products = factors·delta + shares`` over GF(2^128), factors
and products at the receiver, delta and shares at the sender. vole-psi uses them up to match sets. A state is made by
``start``; each step takes the peer's message as bytes and gives the next; a step that was taken, or whose turn it is not, is
``LocalProtocolError``. ``psc.protocols.vole_psi`` says who sends what when, and what it shows.

==================================================  =====================================================================
``VoleSender.start(session, n, malicious, rng)``     draws delta; ``session`` names this run and no other (16 to 1024 bytes)
``.choices()``                                       first message
``.puncture(extension, rng)``                        takes the receiver's extension; the message of the punctured trees
``.answer(challenge)``                               malicious mode only: takes the receiver's challenge; the answer
``.finish()``                                        the sender's part, ``VoleShares``
``VoleReceiver.start(session, n, malicious, choices, rng)``  takes the sender's choices
``.extension()``                                     first message
``.expand(trees, rng)``                              takes the trees; the challenge in malicious mode, else ``None``
``.finish(answer)``                                  malicious mode checks the answer; the receiver's part, ``VoleVectors``
``VolePsiReceiver.start(context, n, m, malicious, commitment, rng)``  n and m: the receiver's and the sender's size
``.seed()``                                          first message, 32 bytes
``.encode(items, vectors)``                          takes the receiver's distinct items, exactly n
``.masked(start, stop)``                             elements of the masked table, 16 bytes each
``.mask()``                                          malicious mode: 16 bytes, to be sent after the whole table; else ``None``
``.finish(opening)``                                 malicious mode checks the opening; ``VolePsiOutputs``
``VolePsiSender.start(context, n, m, malicious, shares, rng)``  n and m: the receiver's and the sender's size
``.commitment()``                                    malicious mode: first message, 32 bytes; else ``None``
``.hash(seed, items)``                               takes the seed and the sender's distinct items, exactly m
``.absorb(piece)``                                   takes the next elements of the table
``.open(mask)``                                      malicious mode: takes the receiver's mask; the opening, 48 bytes
``.finish()``                                        ``VolePsiOutputs``
``VolePsiOutputs.prepare()``                          computes the tags now, so that what needs them later does not
``.tags()``                                          the tags in the order of the items
``.sorted_tags()``                                   the tags in ascending order, and for each the position of its item (uint32)
``.find(parts of the sorted tags)``                  for each item the first position of its tag, or -1 (int64)
``.outputs()``                                       ``OprfOutputs`` in order of the items, for sealed rows
==================================================  =====================================================================

Raises:
    MalformedMessageError: a message of the peer has another length than both sides derive, or tags are not sorted.
    RemoteProtocolError: a consistency check failed (malicious mode; the check of the extension in both modes).
    InvalidElementError: a group element of the peer is not acceptable.
    CryptoError: the keys could not be encoded (rarer than 2^-50); the run ends and is never tried again by itself.
    EncodingError: two items are equal.
    UsageError: a count is not the agreed one or out of range.
    LocalProtocolError: a step is out of order.

Security:
    ``shards``, the last argument of both ``start`` of vole-psi (1 when absent), is the number of runs that give one result
    together; both parties give the same. No state shows its content, can be copied or pickled; all are zeroised when they
    go. Shares and vectors serve once.
"""

from __future__ import annotations

from dataclasses import dataclass

from psc import _core
from psc._core import (
    VolePsiOutputs,
    VolePsiReceiver,
    VolePsiSender,
    VoleReceiver,
    VoleSender,
    VoleShares,
    VoleVectors,
)

__all__ = [
    "COMMITMENT_BYTES",
    "ELEMENT_BYTES",
    "MASK_BYTES",
    "OPENING_BYTES",
    "SEED_BYTES",
    "PsiShape",
    "VoleBytes",
    "VolePsiOutputs",
    "VolePsiReceiver",
    "VolePsiSender",
    "VoleReceiver",
    "VoleSender",
    "VoleShares",
    "VoleVectors",
    "psi_shape",
    "vole_bytes",
]

ELEMENT_BYTES = 16
"""Bytes of an element of GF(2^128), least significant first."""

SEED_BYTES = 32
"""Bytes of the receiver's seed."""

MASK_BYTES = 16
"""Bytes of the receiver's mask in malicious mode."""

COMMITMENT_BYTES = 32
"""Bytes of the sender's commitment in malicious mode."""

OPENING_BYTES = 48
"""Bytes of its opening: mask and nonce."""


@dataclass(frozen=True, slots=True)
class VoleBytes:
    """Lengths of a VOLE's messages, in bytes and in order.

    Attributes:
        choices: sender to receiver.
        extension: receiver to sender.
        trees: sender to receiver.
        challenge: receiver to sender; 0 but in malicious mode.
        answer: sender to receiver; 0 but in malicious mode.
    """

    choices: int
    extension: int
    trees: int
    challenge: int
    answer: int


@dataclass(frozen=True, slots=True)
class PsiShape:
    """Sizes that follow from the sizes of the sets.

    Attributes:
        columns: elements of the receiver's table, ``⌈1.1·n⌉ + 256``; the number of outputs of the VOLE.
        tag_bytes: bytes of a tag: ``40 + log2(n·m·shards)`` bits, in malicious mode 16 bytes.
    """

    columns: int
    tag_bytes: int


def vole_bytes(outputs: int, malicious: bool) -> VoleBytes:
    """Return the lengths of the messages of a VOLE.

    Args:
        outputs: 1 to 2^28.
        malicious: the mode.

    Raises:
        UsageError: ``outputs`` is out of range.
    """
    return VoleBytes(*_core.vole_message_bytes(outputs, malicious))


def psi_shape(receiver_size: int, sender_size: int, malicious: bool, shards: int = 1) -> PsiShape:
    """Return the sizes of a vole-psi.

    Args:
        receiver_size: the receiver's padded number of items.
        sender_size: the sender's padded number of items.
        malicious: the mode.
        shards: 1 to 2^20, the number of runs of about these sizes that give one result together.

    Raises:
        UsageError: a size is out of range.
    """
    return PsiShape(*_core.vole_psi_shape(receiver_size, sender_size, malicious, shards))
