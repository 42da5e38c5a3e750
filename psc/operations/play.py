"""What an operation under one protocol has to say and do: one ``Play`` each, and the shape of a run that it speaks of.

A plan, both parties of a run and the receipt ask the same play with the same shape, and must come to the same values, byte
for byte; else the two receipts differ and the run ends.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, ClassVar, Generic, TypeVar

import pyarrow as pa

from psc.crypto import Rng
from psc.errors import MalformedMessageError
from psc.node.tables import LoadedDataset
from psc.operations.prepare import OwnTable
from psc.policy.decide import Allow, RunRequest
from psc.policy.release import dummies
from psc.protocols.base import ProtocolSpec, Script
from psc.protocols.padding import padded_size
from psc.protocols.shards import Keep
from psc.session.hello import Accept, AggregateTerms, Hello
from psc.types import Model, Noise, OperationName, OutputTo, ReleasedColumn, key_label, key_names

if TYPE_CHECKING:
    from psc.operations.requests import Request
    from psc.operations.results import Ended, Result
    from psc.policy.catalogue import CatalogueEntry

__all__ = ["Alternative", "Basis", "Play", "RunShape", "leg_items", "vole_items"]

Asked = TypeVar("Asked")
"""The output of the initiator's script."""

Answered = TypeVar("Answered")
"""The output of the responder's."""


@dataclass(frozen=True, slots=True)
class Alternative:
    """One key of a match by any of several: what it is called, and the initiator's and the responder's padded sizes by it."""

    key: str
    sizes: tuple[int, int]


@dataclass(frozen=True, slots=True)
class RunShape:
    """Everything about a run that is public to both parties; sizes are padded numbers of distinct keys.

    Attributes:
        dataset: the responder's dataset.
        operation: what is computed.
        protocol: by which protocol.
        sizes: the initiator's and the responder's, of all alternatives together.
        released: the responder's columns that are released.
        rows_per_key: rows of one key that are released at most.
        output_to: who learns the result.
        minimum_result: fewer common keys than this are not shown.
        model: the adversary model of the run.
        noise: the noise on what is released; ``None`` for exact results.
        aggregate: what an aggregate computes.
        responder_blocks: padded sizes of the responder's groups, where they travel as blocks.
        finished: shards that an earlier attempt of the run finished.
        exchanged: whether the initiator is the protocol's sender, and the responder its receiver.
        alternatives: the keys of a match by any of several, the preferred one first; empty for a run by one key.
    """

    dataset: str
    operation: OperationName
    protocol: str
    sizes: tuple[int, int]
    released: tuple[ReleasedColumn, ...]
    rows_per_key: int
    output_to: OutputTo
    minimum_result: int
    model: Model = "semi-honest"
    noise: Noise | None = None
    aggregate: AggregateTerms | None = None
    responder_blocks: tuple[int, ...] = ()
    finished: int = 0
    exchanged: bool = False
    alternatives: tuple[Alternative, ...] = ()

    @classmethod
    def asked(cls, hello: Hello, responder_sizes: Sequence[int]) -> RunShape:
        """Return the shape of a run that is asked for, with the sizes that the responder would have, one a key."""
        sizes = zip(hello.initiator_sizes, responder_sizes, strict=True)
        shape = cls(
            hello.dataset,
            hello.operation,
            hello.protocol,
            (hello.initiator_size, sum(responder_sizes)),
            hello.released,
            hello.rows_per_key,
            hello.output_to,
            hello.minimum_result,
            hello.model,
            hello.noise,
            hello.aggregate,
            exchanged=hello.initiator_role == "sender",
        )
        return shape.by([key_label(keys) for keys in hello.keys], list(sizes))

    @classmethod
    def of(cls, hello: Hello, accept: Accept) -> RunShape:
        """Return the shape of a run that was accepted."""
        asked = cls.asked(hello, accept.responder_sizes)
        return replace(asked, responder_blocks=accept.responder_blocks, finished=accept.finished)

    def by(self, keys: Sequence[str], sizes: Sequence[tuple[int, int]]) -> RunShape:
        """Return the shape of the run by these keys, with the sizes of both sides by each."""
        together = (sum(mine for mine, _ in sizes), sum(theirs for _, theirs in sizes))
        found = tuple(map(Alternative, keys, sizes))
        return replace(self, sizes=together, alternatives=found if len(found) > 1 else ())

    @property
    def stages(self) -> tuple[RunShape, ...]:
        """The shape of the match by each key; a run by one key is its own."""
        return tuple(replace(self, sizes=each.sizes, alternatives=()) for each in self.alternatives) or (self,)

    @property
    def terms(self) -> AggregateTerms:
        """What an aggregate computes; only an aggregate has it."""
        assert self.aggregate is not None  # noqa: S101 - checked with the hello
        return self.aggregate


@dataclass(frozen=True, slots=True, repr=False)
class Basis:
    """What a session gives a script beside the data.

    Attributes:
        context: the session's label, with which items are hashed.
        rng: source of every secret.
        keep: keeps finished shards, and has those of an earlier attempt; ``None`` for runs of one shard.
    """

    context: bytes
    rng: Rng
    keep: Keep | None = None


def vole_items(shape: RunShape) -> float:
    """Return what a match by vole-psi costs either side, in curve multiplications: a small part of one a key, and a set-up."""
    return sum(shape.sizes) / 25 + 3500


def leg_items(shape: RunShape) -> float:
    """Return what encrypted sums cost either side, in curve multiplications: a small part of one a value."""
    return shape.sizes[1] * len(shape.terms.statistics) / 30


class Play(ABC, Generic[Asked, Answered]):
    """One operation under one protocol."""

    spec: ClassVar[ProtocolSpec]
    models: ClassVar[tuple[Model, ...]] = ("semi-honest",)
    """The adversary models that it withstands."""

    noisy: ClassVar[bool] = False
    """Whether an agreement's noise applies to its results."""

    def plan(self, request: Request, asked: RunRequest, allow: Allow, entry: CatalogueEntry, own: OwnTable) -> RunShape:
        """Return the shape of the run that a plan shows.

        Raises:
            UsageError: it cannot be computed: a sum could overflow, there are too many groups, and the like.
        """
        del request
        noise = allow.noise if self.noisy else None
        more = 0 if noise is None else dummies(noise, 1, 1)
        sizes = [
            (padded_size(mine.key_count + more), padded_size(entry.key_count_of(key_names(keys)) + more))
            for mine, keys in zip(own.alternatives, asked.keys, strict=True)
        ]
        shape = RunShape(
            dataset=asked.dataset,
            operation=asked.operation,
            protocol=self.spec.id,
            sizes=sizes[0],
            released=asked.release,
            rows_per_key=allow.max_rows_per_key,
            output_to=asked.output_to,
            minimum_result=allow.limits.min_result,
            model=asked.model,
            noise=noise,
        )
        return shape.by([key_label(keys) for keys in asked.keys], sizes)

    def exchanged(self, shape: RunShape) -> RunShape | None:
        """Return the shape with the roles of both sides exchanged; ``None`` where that cannot be, or would not help."""
        del shape
        return None

    def check_hello(self, hello: Hello) -> None:
        """Refuse a hello whose parts do not belong together.

        Raises:
            MalformedMessageError: it says what an initiator of ours would never say.
        """
        one_sided = not hello.released and hello.output_to == "receiver"
        modelled = hello.model in self.models and (hello.model == "semi-honest" or one_sided)
        if hello.aggregate is not None or (hello.noise is not None and not self.noisy) or not modelled:
            raise MalformedMessageError("session.document-malformed", kind="Hello", where="aggregate")

    def check_feasible(self, hello: Hello, counts: Sequence[int]) -> None:
        """Refuse a run that cannot be computed, or not in these roles, before it is charged and data is read for it.

        Args:
            hello: what is asked; ``check_hello`` passed it.
            counts: the responder's distinct keys by each alternative, padded as its catalogue shows them.

        Raises:
            ParameterMismatchError: a sum could overflow, or would not be hidden, and a plan of ours says so; or the roles are
                exchanged where that is not agreed.
        """
        del hello, counts

    def asked_size(self, hello: Hello, keys: int) -> int:
        """Return the padded size that the responder's set by one key can have at most, which has so many distinct keys."""
        return padded_size(keys + (0 if hello.noise is None else dummies(hello.noise, 1, 1)))

    def value_bytes(self, hello: Hello, keys: int) -> int:
        """Return the bytes that the responder's numbers take in memory during the run: 8 a key and statistic."""
        return 8 * keys * (0 if hello.aggregate is None else len(hello.aggregate.statistics))

    def buffer_bytes(self, shape: RunShape) -> int:
        """Return how many bytes of large buffers the kernels of a party hold at once, about; 0 where they are small."""
        del shape
        return 0

    def responder_sizes(self, hello: Hello, dataset: LoadedDataset) -> tuple[int, tuple[int, ...]]:
        """Return the padded size of the responder's set by the key read first, and of its blocks where it travels in blocks."""
        more = 0 if hello.noise is None else dummies(hello.noise, 1, 1)
        return padded_size(dataset.keyed.key_count + more), ()

    def shard_count(self, shape: RunShape) -> int:
        """Return the number of shards of a run, 1 when it is not split."""
        del shape
        return 1

    @abstractmethod
    def payload_bytes(self, shape: RunShape) -> tuple[int, int]:
        """Return payload bytes from the initiator and to it, by the protocol's formula."""

    @abstractmethod
    def work_items(self, shape: RunShape) -> tuple[int, int]:
        """Return how many items the initiator's and the responder's kernels treat."""

    @abstractmethod
    def statement(self, shape: RunShape) -> tuple[list[str], list[str]]:
        """Return the text codes of what the initiator and the responder learn."""

    def curve_items(self, shape: RunShape) -> tuple[float, float]:
        """Return the work of both sides in multiplications of the curve, for the estimate of time."""
        return self.work_items(shape)

    def fields(self, shape: RunShape) -> dict[str, str]:
        """Return what the texts of ``statement`` need beside names, sizes and released columns."""
        del shape
        return {}

    def accepts(self, shape: RunShape, planned_size: int) -> bool:
        """Say whether what the responder accepted by one key is what the plan showed: its size, and no blocks but agreed ones."""
        return shape.sizes[1] == planned_size and not shape.responder_blocks

    @abstractmethod
    def ask(self, shape: RunShape, own: OwnTable, basis: Basis) -> Script[Asked]:
        """Return the initiator's script."""

    @abstractmethod
    def answer(self, shape: RunShape, dataset: LoadedDataset, basis: Basis) -> Script[Answered]:
        """Return the responder's script."""

    @abstractmethod
    def common(self, asked: Asked) -> int | None:
        """Return the number of common keys that the initiator learned; ``None``: it learned none, and keeps no minimum itself."""

    @abstractmethod
    def read(self, shape: RunShape, asked: Asked) -> object:
        """Decode what the responder sent for the result, before the receipt is signed.

        Raises:
            MalformedMessageError: it does not decode; the run ends on both sides, unsigned.
        """

    @abstractmethod
    def result(self, request: Request, shape: RunShape, own: OwnTable, asked: Asked, read: object, ended: Ended) -> Result:
        """Return the initiator's result, in the columns that its request names."""

    @abstractmethod
    def delivered(self, shape: RunShape, dataset: LoadedDataset, answered: Answered) -> pa.Table | None:
        """Return the table that the responder keeps as its result; ``None`` when it learned none."""
