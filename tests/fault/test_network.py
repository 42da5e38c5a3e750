"""Runs over a network that fails, and runs that are stopped in the middle.

The proxy stands where the courier's card says that the courier is; both nodes are otherwise as they would be in life. What
happens in the middle of a run happens at a frame, in the initiator's tap, so nothing depends on how fast the machine is.
"""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import psc
from psc.errors import (
    AbortCode,
    CancelledError,
    ChannelClosedError,
    ConnectError,
    ExitCode,
    PeerAbortedError,
    PscError,
    TransportError,
    UsageError,
)
from psc.node.runs import get_run, list_runs, request_cancel
from tests.fault.network import IMPATIENT, at, later, proxied
from tests.fault.parties import OPERATIONS, Parties, parties, serve, until
from tests.net import in_thread

MIDDLE = [("confirmation", "sent"), ("blinded_items", "sent"), ("evaluated_items", "received"), ("receipt_signature", "sent")]


CUT = [(operation, *point) for operation in ("match", "count") for point in MIDDLE] + [
    ("aggregate", "encrypted_values", "received"),
    ("aggregate", "masked_sums", "sent"),
    ("aggregate-owner", "row_entries", "sent"),
]


@pytest.mark.parametrize(("operation", "kind", "way"), CUT)
def test_a_connection_that_is_cut_and_heals_costs_only_time(tmp_path: Path, operation: str, kind: str, way: str) -> None:
    kind = "masked_items" if (operation, kind) == ("count", "evaluated_items") else kind
    with proxied(tmp_path) as (pair, proxy):

        def cut() -> None:
            proxy.cut()
            later(0.4, proxy.heal)

        outcome = pair.run(pair.request(operation), tap=at(kind, cut, way=way))
        pair.check_right(outcome, retries=1)


def test_latency_changes_nothing_but_the_time(tmp_path: Path) -> None:
    with proxied(tmp_path) as (pair, proxy):
        proxy.latency(0.04)
        pair.check_honest("match")
        pair.check_honest("count")


def test_resets_again_and_again_lose_and_repeat_nothing(tmp_path: Path) -> None:
    with proxied(tmp_path) as (pair, proxy):
        retries = 0
        for operation in OPERATIONS:

            def every_frame(_way: str, _frame: bytes) -> None:
                proxy.reset()

            outcome = pair.run(pair.request(operation), tap=every_frame)
            pair.check_right(outcome)
            assert outcome.result is not None
            retries += outcome.result.stats.retries
        assert retries > 0


def test_a_reset_in_the_middle_of_a_frame_is_mended(tmp_path: Path) -> None:
    with proxied(tmp_path) as (pair, proxy):
        outcome = pair.run(pair.match(), tap=at("blinded_items", lambda: proxy.reset_after(60_000)))
        pair.check_right(outcome, retries=1)


@pytest.mark.parametrize("direction", ["up", "down", "both"])
def test_a_stall_that_ends_in_time_is_waited_out(tmp_path: Path, direction: str) -> None:
    """Bytes are held back with the connection open: no error of the network tells anybody."""
    with proxied(tmp_path) as (pair, proxy):

        def stall() -> None:
            proxy.stall(direction)
            later(1.0, proxy.heal)

        pair.check_right(pair.run(pair.match(), tap=at("blinded_items", stall)))


@pytest.mark.parametrize("fault", ["cut", "stall", "up", "down"])
def test_a_network_that_never_heals_ends_both_sides_in_time(tmp_path: Path, fault: str) -> None:
    with proxied(tmp_path, limits=IMPATIENT) as (pair, proxy):
        begun: list[float] = []

        def harm() -> None:
            begun.append(time.monotonic())
            if fault in ("cut", "stall"):
                getattr(proxy, fault)()
            else:
                proxy.one_way(fault)

        outcome = pair.run(pair.match(), tap=at("blinded_items", harm))
        waited = time.monotonic() - begun[0]
        assert isinstance(outcome.initiator, ChannelClosedError)
        assert outcome.initiator.exit_code is ExitCode.TRANSPORT
        assert isinstance(outcome.responder, TransportError)
        assert outcome.responder_record is not None
        assert outcome.responder_record.code == "transport.peer-silent"
        assert outcome.initiator_record.code == outcome.initiator.code
        # One call's deadline may run out before the first failure is seen; a busy machine takes its own share.
        assert waited < IMPATIENT["reconnect_seconds"] + IMPATIENT["call_deadline_seconds"] + 10
        pair.check_nothing_came_out(outcome)
        proxy.heal()
        proxy.reset()
        pair.check_honest()


def test_a_server_that_restarts_in_the_middle_ends_the_run_and_serves_the_next(tmp_path: Path) -> None:
    with parties(tmp_path) as pair:

        def restart() -> None:
            pair.serving.stop(0)
            pair.serving = serve(pair.courier, pair.handler, None)

        try:
            outcome = pair.run(pair.match(), tap=at("blinded_items", restart))
            assert isinstance(outcome.initiator, ChannelClosedError | PeerAbortedError)
            assert outcome.initiator.abort_code in (AbortCode.STOPPING, AbortCode.PEER_SILENT)
            pair.check_nothing_came_out(outcome)
            pair.check_honest()
        finally:
            pair.serving.stop(0)


def test_nobody_there_is_an_error_of_the_connection(tmp_path: Path) -> None:
    with proxied(tmp_path, limits={"connect_seconds": 1.0}) as (pair, proxy):
        proxy.cut()
        with pytest.raises(ConnectError):
            pair.merchant.connect("courier")
        proxy.heal()
        pair.check_honest()


# --- stopping in the middle ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("operation", "kind"),
    [
        *itertools.product(["match", "count"], ["confirmation", "blinded_items", "receipt_signature"]),
        ("aggregate", "masked_sums"),
        ("aggregate-owner", "row_entries"),
    ],
)
def test_the_initiator_cancels(pair: Parties, operation: str, kind: str) -> None:
    cancel = psc.Cancel()
    outcome = pair.run(pair.request(operation), tap=at(kind, cancel.set), cancel=cancel)
    assert isinstance(outcome.initiator, CancelledError)
    assert outcome.initiator.exit_code is ExitCode.CANCELLED
    assert outcome.initiator_record.status == "cancelled"
    assert outcome.responder_record is not None
    assert (outcome.responder_record.status, outcome.responder_record.code) == ("cancelled", "transport.aborted-cancelled")
    assert isinstance(outcome.responder, PeerAbortedError)
    pair.check_nothing_came_out(outcome)
    pair.check_honest(operation)


def test_the_initiator_cancels_from_another_thread_and_hangs_up_at_once(pair: Parties) -> None:
    """The word that the run was cancelled gets out although the run's own thread closes everything meanwhile."""
    for _ in range(5):
        cancel, threads = psc.Cancel(), []

        def throw(cancel: psc.Cancel = cancel, threads: list[threading.Thread] = threads) -> None:
            threads.append(threading.Thread(target=cancel.set))
            threads[0].start()

        outcome = pair.run(pair.match(), tap=at("blinded_items", throw), cancel=cancel)
        threads[0].join()
        if outcome.initiator is None:  # the run was faster
            continue
        assert isinstance(outcome.initiator, CancelledError)
        assert outcome.responder_record is not None
        assert (outcome.responder_record.status, outcome.responder_record.code) == ("cancelled", "transport.aborted-cancelled")
    pair.check_honest()


def test_a_run_cancelled_before_it_begins_asks_nobody(pair: Parties) -> None:
    cancel = psc.Cancel()
    cancel.set()
    outcome = pair.run(pair.match(), cancel=cancel)
    assert isinstance(outcome.initiator, CancelledError)
    assert outcome.initiator_record.status == "cancelled"
    if outcome.responder_record is not None:
        assert outcome.responder_record.status in ("cancelled", "failed")
    pair.check_nothing_came_out(outcome)


def test_a_run_cancelled_while_the_responder_still_reads_its_data_ends_there_too(pair: Parties) -> None:
    assert pair.handler is not None
    cancel, over = psc.Cancel(), threading.Event()

    def slow() -> None:
        cancel.set()
        over.wait(10)

    pair.handler.before = slow
    try:
        with pair.merchant.connect("courier") as partner:
            plan = partner.plan(pair.match())
            with pytest.raises(CancelledError):
                plan.run(cancel=cancel)
    finally:
        pair.handler.before = lambda: None
        over.set()
    mine = list_runs(pair.merchant.home, limit=1)[0]
    assert mine.status == "cancelled"
    theirs = until(lambda: pair.record(mine.run_id), "the courier's record")
    assert theirs.status == "cancelled"
    assert theirs.result == ""
    pair.check_honest()


def test_an_interrupt_from_the_keyboard_cancels_on_both_sides(pair: Parties) -> None:
    def interrupt() -> None:
        raise KeyboardInterrupt

    with pair.merchant.connect("courier", tap=at("blinded_items", interrupt)) as partner:
        plan = partner.plan(pair.match())
        with pytest.raises(KeyboardInterrupt):
            plan.run()
    run_id = list_runs(pair.merchant.home, limit=1)[0].run_id
    assert get_run(pair.merchant.home, run_id).status == "cancelled"
    record = pair.record(run_id)
    assert record is not None
    assert record.status == "cancelled"
    pair.check_honest()


@pytest.mark.parametrize("operation", ["match", "count"])
def test_the_responder_cancels_from_another_process(pair: Parties, operation: str) -> None:
    def cancel() -> None:
        run_id = list_runs(pair.courier.home, limit=1)[0].run_id
        request_cancel(pair.courier.home, run_id)
        until(lambda: get_run(pair.courier.home, run_id).status != "running", "the server to see the wish")

    outcome = pair.run(pair.request(operation), tap=at("blinded_items", cancel))
    assert isinstance(outcome.initiator, PeerAbortedError)
    assert outcome.initiator.abort_code is AbortCode.CANCELLED
    assert outcome.initiator.exit_code is ExitCode.CANCELLED
    assert outcome.initiator_record.status == "cancelled"
    assert isinstance(outcome.responder, CancelledError)
    assert outcome.responder_record is not None
    assert outcome.responder_record.status == "cancelled"
    pair.check_nothing_came_out(outcome)
    with pytest.raises(UsageError):
        request_cancel(pair.courier.home, outcome.run_id)
    pair.check_honest(operation)


def test_the_initiator_cancels_from_another_process(pair: Parties) -> None:
    def cancel() -> None:
        run_id = list_runs(pair.merchant.home, limit=1)[0].run_id
        request_cancel(pair.merchant.home, run_id)
        until(lambda: get_run(pair.courier.home, run_id).status != "running", "the wish to reach the courier")

    outcome = pair.run(pair.match(), tap=at("blinded_items", cancel))
    assert isinstance(outcome.initiator, CancelledError)
    assert outcome.initiator_record.status == "cancelled"
    assert outcome.responder_record is not None
    assert outcome.responder_record.status == "cancelled"
    pair.check_nothing_came_out(outcome)
    pair.check_honest()


def test_a_graceful_stop_lets_the_run_finish_and_refuses_new_ones(tmp_path: Path) -> None:
    with parties(tmp_path) as pair, pair.merchant.connect("courier") as second:
        late = second.plan(pair.count())
        stopping: list[Callable[..., Any]] = []

        def stop() -> None:
            stopping.append(in_thread(lambda: pair.serving.stop(30)))
            until(lambda: any(event["event"] == "server.stopping" for event in pair.log), "the stop to begin")
            with pytest.raises(PeerAbortedError) as caught:
                until(lambda: late.run(), "the refusal")
            assert caught.value.abort_code is AbortCode.STOPPING
            assert caught.value.exit_code is ExitCode.NOT_READY

        outcome = pair.run(pair.match(), tap=at("blinded_items", stop))
        stopping[0]()
        assert [event["event"] for event in pair.log][-1] == "server.stopped"
        assert outcome.initiator is None
        assert outcome.responder_record is not None
        assert outcome.responder_record.status == "finished"
        with pytest.raises(ConnectError):
            pair.merchant.connect("courier")


def test_a_stop_that_cannot_wait_any_longer_ends_the_run(tmp_path: Path) -> None:
    with parties(tmp_path) as pair:
        outcome = pair.run(pair.match(), tap=at("blinded_items", lambda: pair.serving.stop(0.2)))
        assert isinstance(outcome.initiator, PeerAbortedError | ChannelClosedError)
        assert outcome.initiator.abort_code in (AbortCode.STOPPING, AbortCode.PEER_SILENT)
        assert outcome.responder_record is not None
        assert (outcome.responder_record.status, outcome.responder_record.code) == ("failed", "transport.stopping")
        pair.check_nothing_came_out(outcome)


def test_runs_at_once_do_not_disturb_each_other(pair: Parties) -> None:
    running = [in_thread(lambda operation=operation: pair.check_honest(operation)) for operation in ("match", "count") * 2]
    for wait in running:
        wait()


# --- limits --------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("whose", ["merchant", "courier"])
def test_a_set_over_the_limit_is_refused_with_its_size_before_anything_moves(tmp_path: Path, whose: str) -> None:
    """The limits of both nodes hold for both sets; sizes count as they are sent, padded."""
    keys = 128 if whose == "merchant" else 127
    limits = {"set_elements": keys} if whose == "courier" else {}
    own = {"set_elements": keys} if whose == "merchant" else {"set_elements": 2**20}
    with (
        parties(tmp_path, limits=limits, merchant_limits=own, rows=(400, 90)) as pair,
        pair.merchant.connect("courier") as partner,
    ):
        with pytest.raises(UsageError) as caught:
            partner.plan(pair.match())
        assert caught.value.code == "operations.set-over-limit"
        assert caught.value.fields["limit"] == keys
        assert caught.value.fields["size"] > keys
        assert not list_runs(pair.merchant.home)
        assert not list_runs(pair.courier.home)
        small = partner.plan(replace(pair.match(), source=pair.orders.slice(0, 60)))
        assert small.own_size == 64
        small.run()


def test_a_partners_set_over_the_own_limit_is_refused_before_anything_moves(tmp_path: Path) -> None:
    with parties(tmp_path, merchant_limits={"set_elements": 100}, rows=(60, 600)) as pair:
        with pair.merchant.connect("courier") as partner, pytest.raises(UsageError) as caught:
            partner.plan(pair.count())
        assert caught.value.fields["limit"] == 100
        assert not list_runs(pair.courier.home)


@pytest.mark.parametrize("limit", ["sessions", "sessions_per_partner"])
def test_more_sessions_than_allowed_are_busy_and_later_served(tmp_path: Path, limit: str) -> None:
    with parties(tmp_path, limits={limit: 1}) as pair, pair.merchant.connect("courier") as second:
        refused: list[PscError] = []

        def ask_again() -> None:
            with pytest.raises(PeerAbortedError) as caught:
                second.plan(pair.count()).run()
            refused.append(caught.value)

        pair.check_right(pair.run(pair.match(), tap=at("blinded_items", ask_again)))
        assert refused[0].abort_code is AbortCode.BUSY
        assert refused[0].exit_code is ExitCode.NOT_READY
        pair.check_honest("count")
