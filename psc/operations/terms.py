"""What both sides derive from Hello and Accept alone: protocol parameters, work, bytes, leakage, and the receipt.

Nothing here is decided; initiator and responder call the same functions on the same documents and must come to the same
values, byte for byte, or their receipts differ and the run ends.
"""

from __future__ import annotations

from psc.audit.receipt import LeakageStatement, Receipt, ReceiptParty, Transcript
from psc.data.release import RowLayout
from psc.operations.leakage import Leakage, leakage_of
from psc.operations.status import PROTOCOLS
from psc.protocols import dh_psi, dh_psi_count
from psc.session.hello import Accept, Hello, SessionId
from psc.types import OperationName, OutputTo, ReleasedColumn

__all__ = [
    "PROTOCOL_OF",
    "count_params",
    "leakage_for",
    "match_params",
    "payload_bytes",
    "receipt_of_run",
    "work_items",
]

PROTOCOL_OF: dict[OperationName, str] = {"match": "dh-psi", "count": "dh-psi-count"}
"""The protocol of each operation."""


def match_params(hello: Hello, responder_size: int, context: bytes) -> dh_psi.Params:
    """Return the parameters of a match."""
    rows = dh_psi.RowShape(RowLayout(hello.released).width, hello.rows_per_key) if hello.released else None
    both = hello.output_to == "both"
    return dh_psi.Params(context, hello.initiator_size, responder_size, rows, both, hello.minimum_result)


def count_params(hello: Hello, responder_size: int, context: bytes) -> dh_psi_count.Params:
    """Return the parameters of a count."""
    both = hello.output_to == "both"
    return dh_psi_count.Params(context, hello.initiator_size, responder_size, both, hello.minimum_result)


def payload_bytes(
    operation: OperationName,
    sizes: tuple[int, int],
    released: tuple[ReleasedColumn, ...],
    rows_per_key: int,
    output_to: OutputTo,
) -> tuple[int, int]:
    """Return payload bytes from the initiator and to it, by the protocol's formula, for padded ``sizes`` of both."""
    both = output_to == "both"
    if operation == "count":
        return dh_psi_count.message_bytes(dh_psi_count.Params(b"", *sizes, both))
    rows = dh_psi.RowShape(RowLayout(released).width, rows_per_key) if released else None
    return dh_psi.message_bytes(dh_psi.Params(b"", *sizes, rows, both))


def work_items(operation: OperationName, initiator_size: int, responder_size: int) -> tuple[int, int]:
    """Return how many items the initiator's and the responder's kernels treat."""
    if operation == "count":
        return initiator_size + responder_size, initiator_size + responder_size
    return 2 * initiator_size, initiator_size + responder_size


def leakage_for(hello: Hello, responder_size: int) -> Leakage:
    """Return the leakage statement of a run."""
    return leakage_of(
        PROTOCOLS[hello.protocol],
        names={"initiator": hello.initiator_name, "responder": hello.responder_name},
        sizes={"initiator": hello.initiator_size, "responder": responder_size},
        released=hello.released,
        rows_per_key=hello.rows_per_key,
        output_to=hello.output_to,
    )


def receipt_of_run(hello: Hello, accept: Accept, identity: SessionId, transcripts: dict[str, str]) -> Receipt:
    """Return the receipt of a finished run, the same on both sides."""
    statement = leakage_for(hello, accept.responder_size).as_document()
    return Receipt(
        run_id=hello.run_id,
        session_id=identity.hex,
        operation=hello.operation,
        protocol=hello.protocol,
        protocol_version=hello.protocol_version,
        suite=hello.suite,
        purpose=hello.purpose,
        initiator=ReceiptParty(name=hello.initiator_name, identity=hello.initiator),
        responder=ReceiptParty(name=hello.responder_name, identity=hello.responder),
        agreement_digest=hello.agreement,
        dataset=hello.dataset,
        dataset_version=hello.dataset_version,
        keys=hello.keys,
        released=hello.released,
        output_to=hello.output_to,
        initiator_size_padded=hello.initiator_size,
        responder_size_padded=accept.responder_size,
        transcript=Transcript(
            initiator_to_responder=transcripts["initiator-to-responder"],
            responder_to_initiator=transcripts["responder-to-initiator"],
        ),
        leakage=LeakageStatement(initiator=statement["initiator"], responder=statement["responder"]),
        self_rules=(f"The initiator shows no result of fewer than {hello.minimum_result} common keys.",),
        accepted_at=accept.accepted_at,
    )
