"""Golden transcripts: fixed generators give these very frames, so that two releases, or two backends, never diverge.

Good: the frames of both directions, large ones as their SHA-256. ``dh-sum`` and ``vole-sum`` stand twice: with sums in the
clear, whose frames can be read, and with the encryption. Bad: the same frames with one change, and the error that must come of
it. Confirmed against the pure-Python ristretto255 of ``ristretto_oracle`` (every element is recomputed there). Renew after a
deliberate change of the wire contract with ``python -m tests.vectors.test_golden``.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from psc.crypto.rlwe import RLWE
from psc.errors import PscError
from psc.protocols.base import Message
from psc.session.codec import decode, encode
from tests.protocol_cases import CONTEXT, count, match, sets
from tests.sum_cases import CLEAR, made_up, owner_sums, sums
from tests.vole_sum_cases import vole_sums

FILE = Path(__file__).parent / "data" / "golden_transcripts.json"
SEEDS = (b"golden receiver", b"golden sender")
PROTOCOLS = {"dh-psi": 0, "dh-psi-count": 0, "dh-sum": 1, "dh-sum rlwe-8192-168/1": 1, "owner-sum": 0}
"""Each with the number of its first frame of elements."""
WITHOUT_ELEMENTS = ["vole-sum", "vole-sum rlwe-8192-168/1"]
"""Protocols whose messages have no group elements at the end."""
BAD = [
    ("identity element", "00" * 32, "crypto.invalid-element"),
    ("element not canonical", "ff" * 32, "crypto.invalid-element"),
    ("negative field element", "01" + "00" * 31, "crypto.invalid-element"),
]


def _run(protocol: str, frames: list[dict[str, str]], change: tuple[int, str] | None = None) -> Any:
    receiver, sender = sets(5, 6, 3, seed=7)
    short = 1 << (12 if protocol in WITHOUT_ELEMENTS else 16)  # of pseudorandom data nothing can be read

    def tap(who: str, message: Message) -> Message:
        frame = encode(message)
        if change is not None and len(frames) == change[0]:
            new = bytes.fromhex(change[1])
            at = len(frame) - len(new)  # the last element of the first message
            frame = frame[:at] + new
        said = {"frame": frame.hex()} if len(frame) < short else {"sha256": hashlib.sha256(frame).hexdigest()}
        frames.append({"from": {"a": "receiver", "b": "sender"}[who], **said})
        return decode(frame)

    if protocol == "dh-psi":
        table = {item: [b"row %d one" % i, b"row %d bis" % i] for i, item in enumerate(sender)}
        return match(receiver, sender, table=table, bound=2, width=9, both=True, tap=tap, seeds=SEEDS)
    if protocol == "dh-psi-count":
        return count(receiver, sender, both=True, tap=tap, seeds=SEEDS)
    case = made_up(12, 11, 9, (2, 2), seed=7)
    if protocol.startswith("dh-sum"):
        engine = CLEAR if protocol == "dh-sum" else RLWE
        return sums(case, engine=engine, output="both", minimum_group=2, tap=tap, seeds=SEEDS)
    case.weights = {item: [3 - at] for at, item in enumerate(item for block in case.receiver for item in block)}
    asked: dict[str, Any] = {"statistics": (None, 0), "columns": 1, "output": "both", "minimum_group": 2, "seeds": SEEDS}
    if protocol == "owner-sum":
        return owner_sums(case, tap=tap, **asked)
    return vole_sums(case, engine=CLEAR if protocol == "vole-sum" else RLWE, tap=tap, **asked)


def _result(protocol: str, output: Any) -> Any:
    got, other = output
    if protocol == "dh-psi":
        return {"matched": got.matched.tolist(), "payloads": got.rows.payloads.hex(), "sender": other.matched.tolist()}
    if protocol == "dh-psi-count":
        return {"common": got.common, "sender": other.common}
    return {
        who: {
            "counts": table.counts.tolist(),
            "sums": table.sums.tolist(),
            "withheld": table.withheld.tolist(),
            "labels": [label.decode() for label in table.labels],
        }
        for who, table in (("receiver", got), ("sender", other))
    }


def make() -> dict[str, Any]:
    """Return the file's content."""
    content: dict[str, Any] = {"context": CONTEXT.hex(), "seeds": [seed.decode() for seed in SEEDS], "protocols": {}}
    for protocol in [*PROTOCOLS, *WITHOUT_ELEMENTS]:
        frames: list[dict[str, str]] = []
        output = _run(protocol, frames)
        at = PROTOCOLS.get(protocol)
        bad = [{"what": what, "frame": at, "last_element": new, "error": error} for what, new, error in BAD if at is not None]
        content["protocols"][protocol] = {"frames": frames, "result": _result(protocol, output), "bad": bad}
    return content


STORED = json.loads(FILE.read_text()) if FILE.is_file() else {"protocols": {}}


@pytest.mark.parametrize("protocol", [*PROTOCOLS, *WITHOUT_ELEMENTS])
def test_good_transcript(protocol: str) -> None:
    frames: list[dict[str, str]] = []
    output = _run(protocol, frames)
    assert frames == STORED["protocols"][protocol]["frames"]
    assert _result(protocol, output) == STORED["protocols"][protocol]["result"]


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("case", range(len(BAD)))
def test_bad_transcript(protocol: str, case: int) -> None:
    bad = STORED["protocols"][protocol]["bad"][case]
    with pytest.raises(PscError) as caught:
        _run(protocol, [], (bad["frame"], bad["last_element"]))
    assert caught.value.code == bad["error"]


if __name__ == "__main__":
    FILE.write_text(json.dumps(make(), indent=1) + "\n")
