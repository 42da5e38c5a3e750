"""The responder's side: judge a hello, charge it, and play its part.

The handler answers partners whether they dialled us or we dialled them. Refusals cross the wire as a closed code; the
explanation stays in our log.
"""

from __future__ import annotations

import contextlib
import math
import secrets
import threading
from collections import OrderedDict, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from time import monotonic

from psc.audit.receipt import SignedReceipt
from psc.crypto import Rng
from psc.data.kinds import RULES_ID
from psc.data.memory import give_back
from psc.errors import (
    AuthenticationError,
    BudgetExhaustedError,
    CryptoError,
    DataError,
    LimitExceededError,
    ParameterMismatchError,
    PscError,
    Rule,
    UsageError,
)
from psc.node.certificates import own_certificate_digest
from psc.node.clock import now, timestamp
from psc.node.datasets import get_dataset
from psc.node.home import Home
from psc.node.identity import verify
from psc.node.kept import Kept, drop_old
from psc.node.own import own_card
from psc.node.records import DatasetRecord
from psc.node.runs import deliver_result, finish_run, keep_receipt, request_cancel, start_run
from psc.node.tables import LoadedDataset, read_dataset, with_statistics
from psc.node.trust import party_of
from psc.operations.announcement import Announcement
from psc.operations.play import Basis, RunShape
from psc.operations.prepare import source_state
from psc.operations.resume import begin_or_go_on, can_go_on, elements_charged, keeper, kept_by_responder
from psc.operations.running import Clock, record_end, record_failure, stoppable
from psc.operations.software import PROTOCOLS, own_status
from psc.operations.terms import PLAYS, play_of, receipt_of_run
from psc.policy.agreement import NO_LIMITS
from psc.policy.catalogue import Catalogue, catalogue_for, check_request, decide_from_catalogue
from psc.policy.decide import Allow, Deny, RunRequest
from psc.policy.ledger import release, reserve
from psc.protocols.cells import CELLS_MAX
from psc.protocols.padding import padded_size
from psc.session.channel import Channel
from psc.session.drive import drive
from psc.session.hello import Accept, Hello, SessionId
from psc.session.session import Session
from psc.transport.handler import Answer, Peer
from psc.types import GroupColumn, Statistic, key_names

__all__ = ["NodeHandler"]

_CACHED_DATASETS = 2
_CACHED_ROWS = 1 << 22
"""Rows of all cached datasets together; a larger one is cached alone, so that two uses of it never are in memory at once."""

_USELESS_SECONDS = 60.0


class NodeHandler:
    """Answers partners of one node; safe to call from many threads.

    Args:
        home: the node.
    """

    def __init__(self, home: Home) -> None:
        self._home = home
        self._datasets = _DatasetCache(home)
        self._lock, self._announced = threading.Lock(), set[str]()

    def status(self, peer: Peer) -> bytes:
        """Return the status document; the same for every partner."""
        del peer
        return own_status(self._home.settings.region, self._home.settings.limits).canonical()

    def catalogue(self, peer: Peer, announcement: bytes = b"") -> bytes:
        """Return what this partner was granted, and nothing else; begin to read what it announces.

        Raises:
            MalformedMessageError: the announcement is none.
        """
        catalogue = catalogue_for(self._home, peer.identity)
        if announcement:
            self._read_ahead(peer, Announcement.parse(announcement), catalogue)
        return catalogue.canonical()

    def _read_ahead(self, peer: Peer, announced: Announcement, catalogue: Catalogue) -> None:
        """Read the dataset of a run that is announced, while the partner makes itself ready to ask for it.

        Announcements cost the partner nothing, so only the first counts until a run of this partner is charged: whatever it
        announces, this node reads no more than twice for each run.
        """
        use = _announced_use(announced, catalogue)
        with self._lock:
            if use is None or peer.identity in self._announced:
                return
            self._announced.add(peer.identity)
        with contextlib.suppress(RuntimeError):  # no thread is to be had: the run reads for itself
            threading.Thread(target=self._datasets.read_ahead, args=(use,), name="psc-read-ahead", daemon=True).start()

    def open(self, peer: Peer, hello: bytes, signature: bytes) -> Answer:
        """Judge a hello and accept it, or raise what refuses it.

        Raises:
            PscError: malformed, not signed by the partner, not for us, other versions, refused by a rule, over a limit or a
                quota, data not ready, or a run id that was used before.
        """
        asked = Hello.parse(hello)
        try:
            self._authenticate(peer, asked, signature)
            _check_software(asked)
            allow = self._decide(peer, asked)
            kept = self._charge(peer, asked, allow)
        except PscError as error:
            error.of_run(asked.run_id)
            raise
        try:
            return self._accept(peer, asked, kept)
        except BaseException as error:
            if isinstance(error, DataError):
                release(self._home, asked.run_id)  # our own data, not the partner's doing; see _DatasetCache for the cost
            record_failure(self._home, asked.run_id, error, Clock().stats(None))  # notes the run in the error, too
            raise

    def _kept(self, hello: Hello) -> tuple[Kept, int] | None:
        """Return what is kept of the run that a hello goes on with, and after how many shards."""
        if hello.resumes is None:
            return None
        play, record = PLAYS[hello.operation, hello.protocol], get_dataset(self._home, hello.dataset)
        keys = record.key_count_of(key_names(hello.keys[0]))  # only a match by one key is resumed
        return kept_by_responder(self._home, hello, play.asked_size(hello, keys))

    def _charge(self, peer: Peer, hello: Hello, allow: Allow) -> tuple[Kept, int] | None:
        """Record the run and charge it before any work is done for it: what is free can be asked for ever.

        Returns what is kept of the run that the hello goes on with, which is not charged again.
        """
        party = party_of(self._home, peer.identity)
        if party is None:
            raise AuthenticationError("operations.hello-not-from-partner")
        start_run(
            self._home,
            run_id=hello.run_id,
            direction="responder",
            partner=peer.name,
            operation=hello.operation,
            dataset=hello.dataset,
            purpose=hello.purpose,
            protocol=hello.protocol,
            partner_size=hello.initiator_size,
        )
        try:
            drop_old(self._home)
            kept = self._kept(hello)  # a hello that was sent before ended above, and one over the day's runs before that
            shards, finished = (kept[0].run.shards, kept[1]) if kept is not None else (1, 0)
            reserve(
                self._home,
                party=party.party,
                dataset=hello.dataset,
                run_id=hello.run_id,
                operation=hello.operation,
                elements=elements_charged(hello.initiator_size, shards, finished),
                limits=allow.limits,
            )
        except PscError as error:
            finish_run(self._home, hello.run_id, "refused", code=error.code)
            raise
        return kept

    def _accept(self, peer: Peer, hello: Hello, kept: tuple[Kept, int] | None) -> Answer:
        statistics = () if hello.aggregate is None else hello.aggregate.statistics
        dataset = self._datasets.load(_Use.of(hello), statistics, run_id=hello.run_id)
        with self._lock:
            self._announced.discard(peer.identity)  # the run is charged, and stays so
        # Reading takes time: what was revoked, expired or registered anew meanwhile counts.
        with contextlib.suppress(BudgetExhaustedError):  # this run's own charge may have used up the quota
            self._decide(peer, hello)
        if dataset.record.version != hello.dataset_version:
            raise Deny(Rule.DATASET_CHANGED, {"dataset": hello.dataset}).error()
        play = PLAYS[hello.operation, hello.protocol]
        found = [play.responder_sizes(hello, alternative) for alternative in dataset.alternatives]
        accept = Accept(
            hello=hello.digest(),
            nonce=secrets.token_hex(32),
            certificate=own_certificate_digest(self._home),
            responder_sizes=tuple(size for size, _ in found),
            responder_blocks=found[0][1],
            finished=0 if kept is None else kept[1],
            attempt=1 if kept is None else kept[0].run.attempts + 1,
            accepted_at=timestamp(now()),
        )
        payload = play.payload_bytes(RunShape.of(hello, accept))
        limit = self._home.settings.limits.transfer_bytes
        if max(payload) > limit:
            raise LimitExceededError("operations.transfer-over-limit", size=max(payload), limit=limit)
        run = _ResponderRun(self._home, peer, hello, accept, dataset, None if kept is None else kept[0])
        return Answer(accept.canonical(), bytes.fromhex(self._home.identity.sign(accept)), run, hello.run_id)

    def _authenticate(self, peer: Peer, hello: Hello, signature: bytes) -> None:
        if hello.initiator != peer.identity or hello.responder != self._home.identity.public:
            raise AuthenticationError("operations.hello-not-from-partner")
        verify(hello, signature.hex(), peer.identity)
        if peer.certificate and hello.certificate != peer.certificate:
            raise AuthenticationError("operations.hello-other-certificate", partner=peer.name)
        if (hello.initiator_name, hello.responder_name) != (peer.name, own_card(self._home).card.name):
            raise ParameterMismatchError(
                "operations.versions-differ", what="names", ours=peer.name, theirs=hello.initiator_name, software="-"
            )

    def _decide(self, peer: Peer, hello: Hello) -> Allow:
        limit = self._home.settings.limits.set_elements
        if hello.initiator_size > limit:
            raise LimitExceededError("operations.set-over-limit", size=hello.initiator_size, limit=limit)
        request = RunRequest(
            operation=hello.operation,
            dataset=hello.dataset,
            purpose=hello.purpose,
            keys=hello.keys,
            release=hello.released,
            output_to=hello.output_to,
            model=hello.model,
            values=() if hello.aggregate is None else hello.aggregate.values,
            groups=() if hello.aggregate is None else hello.aggregate.groups,
            membership="hidden" if hello.aggregate is None else hello.aggregate.membership,
            engine="" if hello.aggregate is None else hello.aggregate.engine,
            input_sizes=hello.initiator_sizes,
            elements=None if hello.resumes is None else 0,  # judged when it is charged, by what is kept
            dataset_version=hello.dataset_version,
            agreement=hello.agreement,
            limits=NO_LIMITS.model_copy(update={"min_result": hello.minimum_result, "min_group": _minimum_group(hello)}),
        )
        decision = check_request(self._home, peer.identity, request)
        if isinstance(decision, Deny):
            raise decision.error()
        record = get_dataset(self._home, hello.dataset)
        for what, ours, theirs in (
            ("minimum result", decision.limits.min_result, hello.minimum_result),
            ("rows per key", decision.max_rows_per_key, hello.rows_per_key),
            ("number metadata", record.number_metadata, hello.number_metadata),
            ("noise", decision.noise if PLAYS[hello.operation, hello.protocol].noisy else None, hello.noise),
            ("minimum group", decision.limits.min_group if hello.aggregate else 0, _minimum_group(hello)),
            (
                "rows bound",
                record.max_rows_per_key if hello.aggregate else 0,
                hello.aggregate.rows_bound if hello.aggregate else 0,
            ),
            ("groups", _registered_groups(hello, record), hello.aggregate.groups if hello.aggregate else ()),
        ):
            if ours != theirs:
                raise ParameterMismatchError("operations.versions-differ", what=what, ours=ours, theirs=theirs, software="-")
        counts = [padded_size(record.key_count_of(key_names(keys))) for keys in hello.keys]  # as the catalogue has them
        PLAYS[hello.operation, hello.protocol].check_feasible(hello, counts)
        self._check_memory(hello, counts)
        return decision

    def _check_memory(self, hello: Hello, counts: Sequence[int]) -> None:
        """Refuse what would take more memory than a run may, before it is charged and data is read for it.

        A small hello can ask for many statistics of many keys; what they take is known before they are made.
        """
        play, limit = PLAYS[hello.operation, hello.protocol], self._home.settings.limits.transfer_bytes
        try:
            payload = play.payload_bytes(RunShape.asked(hello, [play.asked_size(hello, keys) for keys in counts]))
        except (UsageError, CryptoError) as error:  # an initiator of ours finds this when it plans
            raise ParameterMismatchError(error.code, **error.fields) from None
        if max(payload) > limit:
            raise LimitExceededError("operations.transfer-over-limit", size=max(payload), limit=limit)
        if play.value_bytes(hello, counts[0]) > limit:
            raise LimitExceededError("operations.values-over-limit", size=play.value_bytes(hello, counts[0]), limit=limit)


def _check_software(hello: Hello) -> None:
    spec = PROTOCOLS.get(hello.protocol)
    ours = (
        hello.protocol if (hello.operation, hello.protocol) in PLAYS else "-",
        spec.version if spec else 0,
        spec.suite if spec else "",
        RULES_ID,
    )
    theirs = (hello.protocol, hello.protocol_version, hello.suite, hello.rules)
    if ours != theirs:
        raise ParameterMismatchError(
            "operations.versions-differ", what="protocol and rules", ours=ours, theirs=theirs, software="-"
        )
    PLAYS[hello.operation, hello.protocol].check_hello(hello)


def _minimum_group(hello: Hello) -> int:
    return 0 if hello.aggregate is None else hello.aggregate.minimum_group


def _registered_groups(hello: Hello, record: DatasetRecord) -> tuple[GroupColumn, ...]:
    """The group columns asked for with the labels that they have: how many cells a table has rests on these numbers."""
    counted = {group.name: max(group.groups, 1) for group in record.group_columns}
    asked = () if hello.aggregate is None else hello.aggregate.groups
    return tuple(GroupColumn(name=group.name, groups=counted.get(group.name, 0)) for group in asked)


@dataclass(frozen=True, slots=True)
class _Use:
    """What reading a dataset for a run depends on; the names are those registered."""

    dataset: str
    keys: tuple[tuple[str, ...], ...]
    release: tuple[str, ...]
    rows_per_key: int
    groups: tuple[str, ...]
    with_table: bool

    @classmethod
    def of(cls, hello: Hello) -> _Use:
        return cls(
            hello.dataset,
            tuple(key_names(key) for key in hello.keys),
            tuple(column.name for column in hello.released),
            hello.rows_per_key,
            () if hello.aggregate is None else tuple(group.name for group in hello.aggregate.groups),
            _needs_table(hello),
        )


def _announced_use(announced: Announcement, catalogue: Catalogue) -> _Use | None:
    """Return what to read for a run that is announced; ``None`` where the run would be refused today, whatever its size."""
    dataset = announced.dataset
    keys, columns, groups = catalogue.keys_of(dataset), catalogue.released_of(dataset), catalogue.groups_of(dataset)
    known = keys.keys() >= {name for names in announced.keys for name in names}
    if not (known and columns.keys() >= set(announced.released) and groups.keys() >= set(announced.groups)):
        return None
    if math.prod(groups[name].groups for name in announced.groups) > CELLS_MAX:  # no hello may ask for so many
        return None
    request = RunRequest(
        operation=announced.operation,
        dataset=dataset,
        purpose=announced.purpose,
        keys=tuple(tuple(keys[name] for name in names) for names in announced.keys),
        release=tuple(columns[name] for name in announced.released),
        output_to=announced.output_to,
        input_sizes=(catalogue.least_input(dataset),) * len(announced.keys),
        elements=0,
        groups=tuple(groups[name] for name in announced.groups),
        model="malicious",
    )
    memberships = (each for entry in catalogue.of(dataset) for each in entry.membership)
    for membership in dict.fromkeys(memberships):  # not told; nothing is read by it
        decision = decide_from_catalogue(catalogue, replace(request, membership=membership))
        if isinstance(decision, Allow):
            with_table = _needs_table(announced)
            return _Use(dataset, announced.keys, announced.released, decision.max_rows_per_key, announced.groups, with_table)
    return None


def _needs_table(asked: Hello | Announcement) -> bool:
    """A result of our own has the registered columns, and statistics are made of them; a match for the partner needs none."""
    return asked.output_to == "both" or asked.operation == "aggregate"


class _DatasetCache:
    """Keeps the datasets read last, by version and use, so that a partner's next run does not read the file again.

    A source that changed is noticed before each use: reading checks it against the registered version, and a cached one is
    only used while the source's files look as they did when they were read. A source that was found not to be what was
    registered is not read again until it looks different, or for a minute: such runs are not charged, so they must cost next
    to nothing; a permission or a network that was mended shows in no file's size or time.

    Kept are the keys and their groups, and the table where a run needs it, which the registration bounds. What the keys
    contribute to the statistics of a run is made for that run and goes with it: a partner chooses how many there are.
    """

    def __init__(self, home: Home) -> None:
        self._home, self._lock, self._ahead = home, threading.Lock(), threading.Lock()
        self._reading: defaultdict[str, threading.Lock] = defaultdict(threading.Lock)
        self._kept: OrderedDict[tuple[str, object, _Use], LoadedDataset] = OrderedDict()
        self._useless: dict[str, tuple[object, float, DataError]] = {}

    def read_ahead(self, use: _Use) -> None:
        """Read a dataset for a run that may come; what goes wrong is met again by that run, and told there.

        Announcements are not sessions, and no limit on these holds for them: one is read for at a time, and not while somebody
        else reads the dataset. An error is not remembered, since it would meet the runs of others.
        """
        with contextlib.ExitStack() as held, contextlib.suppress(Exception):
            for lock in (self._ahead, self._lock_of(use)):
                if not lock.acquire(blocking=False):
                    return
                held.callback(lock.release)
            record = get_dataset(self._home, use.dataset)
            state = source_state(record.source)
            if state is not None and self._found(record, state, use) is None:
                self._read(record, state, use)

    def load(self, use: _Use, statistics: Sequence[Statistic] = (), *, run_id: str = "") -> LoadedDataset:
        """Return the dataset as a run uses it; one reading of a dataset at a time, two would need twice the memory.

        Args:
            use: what is read.
            statistics: what an aggregate adds up, made for this run.
            run_id: for errors.

        Raises:
            DataError: the source changed since registration, or cannot be read.
        """
        with self._lock_of(use):
            record = get_dataset(self._home, use.dataset)
            state = source_state(record.source)
            loaded = self._found(record, state, use)
            if loaded is None:
                with self._lock:
                    known = self._useless.get(record.name)
                if known is not None and known[0] == (record.version, state) and monotonic() < known[1]:
                    raise DataError(known[2].code, **{**known[2].fields, "run_id": run_id})
                try:
                    loaded = self._read(record, state, use)
                except DataError as error:
                    with self._lock:
                        self._useless[record.name] = ((record.version, state), monotonic() + _USELESS_SECONDS, error)
                    raise
                with self._lock:
                    self._useless.pop(record.name, None)
            return with_statistics(loaded, statistics)

    def _lock_of(self, use: _Use) -> threading.Lock:
        with self._lock:
            return self._reading[use.dataset]

    def _found(self, record: DatasetRecord, state: object, use: _Use) -> LoadedDataset | None:
        with self._lock:
            place = (record.version, state, use)
            if place in self._kept:
                self._kept.move_to_end(place)
            return self._kept.get(place)

    def _read(self, record: DatasetRecord, state: object, use: _Use) -> LoadedDataset:
        """Read a dataset but for its statistics, and keep it if it can be told whether its source changes."""
        with self._lock:
            self._make_room(record.row_count)
        loaded = read_dataset(
            record,
            keys=use.keys[0],
            release=use.release,
            rows_per_key=use.rows_per_key,
            groups=use.groups,
            further=use.keys[1:],
            with_table=use.with_table,
        )
        give_back(record.row_count)
        if state is not None:
            with self._lock:
                self._make_room(record.row_count)  # others may have been kept meanwhile
                self._kept[record.version, state, use] = loaded
        return loaded

    def _make_room(self, rows: int) -> None:
        """Let others go where there is no room for so many rows beside them; the caller holds the lock."""
        while self._kept and (
            len(self._kept) >= _CACHED_DATASETS
            or rows + sum(each.record.row_count for each in self._kept.values()) > _CACHED_ROWS
        ):
            self._kept.popitem(last=False)


class _ResponderRun:
    """One accepted run; called with its channel in a thread of its own."""

    def __init__(self, home: Home, peer: Peer, hello: Hello, accept: Accept, dataset: LoadedDataset, kept: Kept | None) -> None:
        self._home, self._peer = home, peer
        self._hello, self._accept, self._dataset, self._kept = hello, accept, dataset, kept

    def __call__(self, channel: Channel) -> None:
        clock, run_id = Clock(), self._hello.run_id
        try:
            with stoppable(self._home, run_id, channel):
                self._play(channel)
            record_end(self._home, run_id, "finished", clock.stats(channel), own_size=self._accept.responder_size)
            if self._kept is not None:
                self._kept.drop()
        except BaseException as error:
            if self._kept is not None and not can_go_on(error):
                self._kept.drop()
            record_failure(self._home, run_id, error, clock.stats(channel))
            raise

    def _play(self, channel: Channel) -> None:
        identity = SessionId(self._hello, self._accept)
        own = self._home.identity
        session = Session(
            channel, identity, "responder", own.sign, lambda doc, signature: verify(doc, signature, self._peer.identity)
        )
        session.confirm()
        shape = RunShape.of(self._hello, self._accept)
        play = play_of(shape)
        if self._kept is not None:
            # The session before this one may not have noticed yet that its initiator is gone.
            with contextlib.suppress(UsageError):
                request_cancel(self._home, self._kept.run.last_run_id)
        self._kept = begin_or_go_on(self._home, play, self._hello, self._accept, self._kept)
        basis = Basis(identity.label, Rng.system(), keeper(self._kept, session))
        answered = drive(play.answer(shape, self._dataset, basis), session)
        # Before the receipt: what does not decode ends the run on both sides, unsigned.
        result = play.delivered(shape, self._dataset, answered)
        receipt = receipt_of_run(self._hello, self._accept, identity, session.transcripts())
        mine, theirs = session.exchange_receipt(receipt)
        keep_receipt(self._home, self._hello.run_id, SignedReceipt(receipt, theirs, mine).to_json())
        if result is not None:
            deliver_result(self._home, self._hello.run_id, result)
