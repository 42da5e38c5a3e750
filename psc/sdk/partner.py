"""A connected partner: ask what it grants, plan, run."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Self, cast

from psc.engines import DEFAULT
from psc.errors import AuthenticationError
from psc.node.home import Home
from psc.node.trust import Partner as PinnedPartner
from psc.operations.announcement import Announcement
from psc.operations.anyof import On, OneKey
from psc.operations.requests import Aggregate, Count, GroupBy, Match, Request, Select
from psc.operations.status import Status
from psc.transport.grpc.link import Link
from psc.types import Membership, Model, OutputTo

if TYPE_CHECKING:  # loaded while the partner reads its dataset
    from psc.operations.initiator import Tap
    from psc.operations.plan import Plan
    from psc.operations.progress import Cancel, ProgressCallback
    from psc.operations.results import AggregateResult, CountResult, MatchResult
    from psc.policy.catalogue import Catalogue
    from psc.session.channel import Channel

__all__ = ["Partner"]


class Partner:
    """A mutually authenticated connection to one partner; a context manager. Made by ``Node.connect``.

    Args:
        home: the own node.
        pinned: the partner as its card says.
        link: the connection.
        same_machine: the partner's node shares this machine's cores, for the estimate.
        tap: sees every plaintext frame.
    """

    def __init__(self, home: Home, pinned: PinnedPartner, link: Link, *, same_machine: bool, tap: Tap | None = None) -> None:
        self._home, self._pinned, self._link = home, pinned, link
        self._same_machine, self._tap = same_machine, tap
        try:
            self._status = Status.parse(link.status())
        except BaseException:
            link.close()
            raise

    @property
    def name(self) -> str:
        """The partner's name."""
        return self._pinned.name

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Hang up."""
        self._link.close()

    def status(self) -> Status:
        """Return the partner's software, rules, clock and limits."""
        self._status = Status.parse(self._link.status())
        return self._status

    def catalogue(self) -> Catalogue:
        """Return what the partner grants us today.

        Raises:
            AuthenticationError: the document is not the partner's, or not for us.
        """
        return self._catalogue(self._link.catalogue())

    def _catalogue(self, document: bytes) -> Catalogue:
        from psc.policy.catalogue import Catalogue

        catalogue = Catalogue.parse(document)
        if catalogue.owner.identity != self._pinned.identity or catalogue.partner != self._home.identity.public:
            raise AuthenticationError("operations.catalogue-not-for-us", partner=self.name)
        return catalogue

    def plan(self, request: Request, *, announce: bool = False) -> Plan:
        """Return what a request would reveal, move and take, and the rule that refuses it if one does; no data moves.

        Args:
            request: what is asked.
            announce: tell the partner operation, purpose, who learns the result, and which of its datasets, keys and columns the
                run is about to ask for, so that it reads them while the own table is read; for a plan that will be run at once.

        Raises:
            DataError: the own table is not what it should be.
            ParameterMismatchError: the partner's software cannot do this with ours.
        """
        announcement = Announcement.of(request) if announce else None
        document = self._link.catalogue(b"" if announcement is None else announcement.canonical())
        from psc.operations.initiator import Asking
        from psc.operations.plan import make_plan

        return make_plan(
            self._home,
            self._pinned,
            self._catalogue(document),
            self._status,
            request,
            Asking(self._home, self._pinned, self._open, tap=self._tap),
            same_machine=self._same_machine,
        )

    def match(
        self,
        source: object,
        *,
        on: On,
        dataset: str,
        purpose: str,
        want: Sequence[str] = (),
        protocol: Literal["auto", "dh-psi", "vole-psi"] = "auto",
        model: Literal["auto"] | Model = "auto",
        output_to: OutputTo = "receiver",
        on_bad: Literal["error", "skip"] = "error",
        rejects: str | Path | None = None,
        minimum_result: int | None = None,
        progress: ProgressCallback | None = None,
        cancel: Cancel | None = None,
    ) -> MatchResult:
        """Plan and run a match: which of our rows match, with the partner's released columns. Arguments as in ``psc.Match``.

        Raises:
            PolicyDeniedError: a rule refuses; ``rule`` says which.
            PscError: whatever ended the run; nothing was released then.

        Leakage:
            What ``plan`` states; the same lines stand in the receipt.
        """
        request = Match(
            source,
            on=on,
            dataset=dataset,
            purpose=purpose,
            want=want,
            protocol=protocol,
            model=model,
            output_to=output_to,
            on_bad=on_bad,
            rejects=rejects,
            minimum_result=minimum_result,
        )
        return cast("MatchResult", self.plan(request, announce=True).run(progress, cancel))

    def count(
        self,
        source: object,
        *,
        on: OneKey,
        dataset: str,
        purpose: str,
        output_to: OutputTo = "receiver",
        on_bad: Literal["error", "skip"] = "error",
        rejects: str | Path | None = None,
        minimum_result: int | None = None,
        progress: ProgressCallback | None = None,
        cancel: Cancel | None = None,
    ) -> CountResult:
        """Plan and run a count: how many distinct keys both have. Arguments as in ``psc.Count``.

        Raises:
            PolicyDeniedError: a rule refuses; ``rule`` says which.
            PscError: whatever ended the run; nothing was released then.

        Leakage:
            What ``plan`` states: the number, and membership to one that cheats.
        """
        request = Count(
            source,
            on=on,
            dataset=dataset,
            purpose=purpose,
            output_to=output_to,
            on_bad=on_bad,
            rejects=rejects,
            minimum_result=minimum_result,
        )
        return cast("CountResult", self.plan(request, announce=True).run(progress, cancel))

    def aggregate(
        self,
        source: object,
        *,
        on: OneKey,
        dataset: str,
        purpose: str,
        select: Select,
        group_by: GroupBy = (),
        membership: Membership = "hidden",
        output_to: OutputTo = "receiver",
        on_bad: Literal["error", "skip"] = "error",
        rejects: str | Path | None = None,
        minimum_result: int | None = None,
        minimum_group: int | None = None,
        engine: str = DEFAULT,
        progress: ProgressCallback | None = None,
        cancel: Cancel | None = None,
    ) -> AggregateResult:
        """Plan and run an aggregate over the customers that both have.

        Args:
            source: the own table, a path or a frame.
            on: the key: a name that both sides use, several, or a mapping of the dataset's key names to own columns.
            dataset: the partner's dataset.
            purpose: why; must be one of the agreement's purposes.
            select: one output or several, as ``psc.sum("fee")``.
            group_by: names of group columns of either side.
            membership: who may learn which customers match: nobody (``hidden``), the partner (``owner``), or we (``matcher``).
            output_to: who learns the result: ``receiver`` (we), ``both``, or ``responder`` (the partner).
            on_bad: ``error`` refuses a table with bad key cells, ``skip`` leaves such rows out.
            rejects: with ``skip``, a file that lists the rows left out.
            minimum_result: our own minimum of common customers; the stricter of this and the agreement's counts.
            minimum_group: the same of a group.
            engine: the encryption that adds up; see ``psc.engines``.
            progress: called as the run goes on.
            cancel: stops the run from another thread.

        Raises:
            PolicyDeniedError: a rule refuses; ``rule`` says which.
            PscError: whatever ended the run; nothing was released then.

        Leakage:
            What ``plan`` states: the table, and by ``membership`` who matches to nobody, to the partner or to us.
        """
        request = Aggregate(
            source,
            on=on,
            dataset=dataset,
            purpose=purpose,
            select=select,
            group_by=group_by,
            membership=membership,
            output_to=output_to,
            on_bad=on_bad,
            rejects=rejects,
            minimum_result=minimum_result,
            minimum_group=minimum_group,
            engine=engine,
        )
        return cast("AggregateResult", self.plan(request, announce=True).run(progress, cancel))

    def _open(self, hello: bytes, signature: bytes, cancel: Cancel) -> tuple[bytes, bytes, Channel]:
        stop = threading.Event()
        cancel.on_set(stop.set)
        opened = self._link.open(hello, signature, cancel=stop)
        return opened.accept, opened.signature, opened.channel
