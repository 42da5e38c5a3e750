"""``psc serve``: answer partners until a signal asks to stop."""

from __future__ import annotations

import logging
import signal
import sys
import threading
from types import FrameType
from typing import TYPE_CHECKING, Annotated

import typer

from psc.cli.base import Cli, command, loaded, say
from psc.cli.show import console, json_text, label
from psc.errors import ConnectError, UsageError

if TYPE_CHECKING:
    from psc.sdk.node import Answering, Node, Serving

__all__ = ["register"]

_WAKE_SECONDS = 0.5
_LISTEN = say(
    "Where to listen, instead of the setting; port 0 takes any free port", "监听地址，替代设置；端口 0 表示任一空闲端口"
)
_VIA = say("Dial out to this partner and answer from there, without an inbound port", "主动连接该合作方并由此应答，无需入站端口")
_DRAIN = say("When stopped, let running runs go on for so long", "停止时，允许进行中的运行继续的秒数")


def register(app: typer.Typer) -> None:
    """Add this command to the command line."""
    command(app, "serve", say("Answer partners; SIGTERM or Ctrl-C stops gracefully", "应答合作方；SIGTERM 或 Ctrl-C 可平稳停止"))(
        serve
    )


def serve(
    cli: Cli,
    listen: Annotated[str | None, typer.Option(metavar="HOST:PORT", help=_LISTEN)] = None,
    via: Annotated[str | None, typer.Option(metavar="PARTNER", help=_VIA)] = None,
    drain: Annotated[float, typer.Option(metavar="SECONDS", min=0, help=_DRAIN)] = 30.0,
) -> None:
    """Answer partners."""
    if listen is not None and via is not None:
        raise UsageError("cli.listen-or-via")
    if listen is not None:
        _check_listen(listen)
    with cli.node() as node:
        from psc.server.log import json_logger

        logger = json_logger(sys.stderr, name="psc.serve")
        stop = _stop_signal(cli)
        if via is None:
            serving = _listening(node, listen, logger)
            loaded()
            said = {"node": node.name, "listening": serving.address, "port": serving.port}
            _tell(cli, said, label("serving", name=node.name, address=serving.address))
            _until(stop, serving, drain)
        else:
            answering = node.answer_via(via, logger=logger)
            loaded()
            _tell(cli, {"node": node.name, "answering_via": via}, label("answering", name=node.name, partner=via))
            _until(stop, answering, drain)


def _listening(node: Node, listen: str | None, logger: logging.Logger) -> Serving:
    try:
        return node.serve(listen, logger=logger)
    except ConnectError as error:
        if error.code != "transport.cannot-listen":
            raise
        # The address is ours, and repeating does not free it: no partner that is not ready.
        raise UsageError(error.code, **error.fields) from None


def _check_listen(listen: str) -> None:
    from psc.node.settings import check_address

    try:
        check_address(listen, lowest_port=0)
    except ValueError:
        raise UsageError("cli.listen-wrong", value=listen) from None


def _stop_signal(cli: Cli) -> threading.Event:
    """Return an event that the first SIGTERM or Ctrl-C sets; the second one does not wait for runs to end."""
    stop = threading.Event()

    def ask(_number: int, _frame: FrameType | None) -> None:
        if stop.is_set():
            raise KeyboardInterrupt
        stop.set()
        if sys.stderr.isatty():  # else it would stand between the lines of the log
            cli.note(label("draining"))

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, ask)
    return stop


def _tell(cli: Cli, document: dict[str, object], text: str) -> None:
    # One line in both forms: whoever starts a server reads its first line to learn the port.
    if cli.as_json:
        sys.stdout.write(json_text(document) + "\n")
    else:
        console().print(text)
    sys.stdout.flush()


def _until(stop: threading.Event, serving: Serving | Answering, drain: float) -> None:
    while not stop.is_set():
        if serving.wait(_WAKE_SECONDS):
            return
    serving.stop(drain)
