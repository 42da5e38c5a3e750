"""A courier without an inbound port: it dials out to the merchant's server, waits there, and answers over its own calls."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import psc
from psc.errors import AbortCode, ChannelClosedError, ConnectError, ExitCode, PeerAbortedError, PscError, TransportError
from psc.node.runs import list_runs
from psc.testing.faulty import FaultyProxy
from psc.testing.nodes import free_port
from tests.fault.network import IMPATIENT, at, later
from tests.fault.parties import Parties, parties, until
from tests.net import in_thread


@contextlib.contextmanager
def dialling_out(folder: Path, **options: Any) -> Iterator[tuple[Parties, FaultyProxy]]:
    """Give both nodes the other way round: the courier has no inbound port and waits at the merchant's server.

    ``pair.serving`` is the merchant's server then, ``pair.answering`` the courier's waiting.
    """
    port = free_port()
    with FaultyProxy(port) as proxy, parties(folder, **options) as pair:
        pair.serving.stop(0)
        for home, name, listen, address in (
            (pair.merchant, "merchant", f"127.0.0.1:{port}", f"127.0.0.1:{proxy.port}"),
            (pair.courier, "courier", "0.0.0.0:0", ""),
        ):
            folder_of = home.home.path
            home.close()
            settings = folder_of / "node.toml"
            lines = [
                f'listen = "{listen}"' if line.startswith("listen =") else line
                for line in settings.read_text(encoding="utf-8").splitlines()
            ]
            lines = [f'address = "{address}"' if line.startswith("address =") else line for line in lines]
            settings.write_text("\n".join(lines) + "\n", encoding="utf-8")
            assert name in settings.read_text(encoding="utf-8")
        with psc.Node.open(folder / "merchant") as merchant, psc.Node.open(folder / "courier") as courier:
            for owner, other in ((merchant, courier), (courier, merchant)):
                card = folder / f"{owner.name}.card.json"
                card.write_text(owner.card_json(), encoding="utf-8")
                other.trust(card)
            pair.merchant, pair.courier = merchant, courier
            pair.handler = None
            pair.serving = merchant.serve()
            pair.answering = courier.answer_via("merchant")
            try:
                until(lambda: reachable(pair), "the courier to wait at the merchant's server")
                yield pair, proxy
            finally:
                pair.answering.stop()
                pair.serving.stop()


def reachable(pair: Parties) -> bool:
    """Return whether the courier waits where the merchant can ask it."""
    try:
        pair.merchant.connect("courier").close()
    except PscError:
        return False
    return True


@pytest.mark.parametrize("operation", ["match", "count"])
def test_a_courier_without_an_inbound_port_answers(tmp_path: Path, operation: str) -> None:
    with dialling_out(tmp_path) as (pair, proxy):
        pair.check_honest(operation)

        def cut() -> None:
            proxy.cut()
            later(0.4, proxy.heal)

        # The merchant's own calls stay on its machine; what breaks is the courier's way to it.
        outcome = pair.run(pair.request(operation), tap=at("blinded_items", cut))
        pair.check_right(outcome)
        proxy.reset()
        until(lambda: reachable(pair), "the courier to come back")
        pair.check_honest(operation)


def test_a_courier_that_is_lost_in_the_middle_ends_the_run_and_comes_back(tmp_path: Path) -> None:
    with dialling_out(tmp_path, limits=IMPATIENT) as (pair, proxy):
        outcome = pair.run(pair.match(), tap=at("blinded_items", proxy.cut))
        assert isinstance(outcome.initiator, ChannelClosedError | PeerAbortedError)
        assert outcome.initiator.abort_code is AbortCode.PEER_SILENT
        assert outcome.responder_record is not None
        assert outcome.responder_record.status == "failed"
        pair.check_nothing_came_out(outcome)
        until(lambda: not reachable(pair), "the courier to count as gone")
        with pytest.raises(ConnectError) as caught:
            pair.merchant.connect("courier")
        assert caught.value.exit_code is ExitCode.NOT_READY
        proxy.heal()
        until(lambda: reachable(pair), "the courier to come back", 40)
        pair.check_honest()


def test_a_run_that_was_accepted_but_never_told_is_recorded_as_failed(tmp_path: Path) -> None:
    """The courier dials out, judges the hello, and cannot bring its answer back."""
    with dialling_out(tmp_path, limits=IMPATIENT) as (pair, proxy):
        with pair.merchant.connect("courier") as partner:
            plan = partner.plan(pair.match())
            proxy.stall("up")
            with pytest.raises(PscError) as caught:
                plan.run()
        assert isinstance(caught.value, TransportError | PeerAbortedError)
        run_id = list_runs(pair.merchant.home, limit=1)[0].run_id
        proxy.heal()
        proxy.reset()
        until(lambda: reachable(pair), "the courier to come back", 40)
        record = pair.record(run_id)
        assert record is None or record.status == "failed"
        pair.check_honest()


def test_a_courier_that_stops_waiting_lets_its_run_finish(tmp_path: Path) -> None:
    with dialling_out(tmp_path) as (pair, _):
        stopping: list[Callable[..., Any]] = []

        def stop() -> None:
            assert pair.answering is not None
            stopping.append(in_thread(pair.answering.stop))

        pair.check_right(pair.run(pair.match(), tap=at("blinded_items", stop)))
        stopping[0]()
        until(lambda: not reachable(pair), "the courier to count as gone")


def test_a_relaying_server_that_stops_ends_the_run_on_both_sides(tmp_path: Path) -> None:
    with dialling_out(tmp_path, limits=IMPATIENT) as (pair, _):

        def restart() -> None:
            pair.serving.stop(0)
            pair.serving = pair.merchant.serve()

        outcome = pair.run(pair.match(), tap=at("blinded_items", restart))
        assert isinstance(outcome.initiator, ChannelClosedError | PeerAbortedError)
        assert outcome.initiator.abort_code in (AbortCode.STOPPING, AbortCode.PEER_SILENT)
        assert outcome.responder_record is not None
        assert outcome.responder_record.status == "failed"
        pair.check_nothing_came_out(outcome)
        until(lambda: reachable(pair), "the courier to come back", 40)
        pair.check_honest()
