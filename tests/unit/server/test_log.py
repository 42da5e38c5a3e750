"""The server's log: closed fields, no personal data."""

from __future__ import annotations

import json
import logging

from psc.server import json_logger
from psc.server.log import FIELDS, observer
from tests.net import Script, echo, eventually, serving


def test_log_is_json_of_closed_fields_alone():
    with serving(Script(echo)) as net, net.link() as link:
        channel = link.open(b"hello with 13800138000", b"s").channel
        channel.send(b"13800138000")
        channel.recv()
        channel.send(b"")
        channel.recv()
        channel.close()
        assert eventually(lambda: "session.finished" in net.event_names())
    assert "13800138000" not in net._log.getvalue()
    for event in net.events:
        assert set(event) <= FIELDS | {"time", "level", "event"}
        assert str(event["time"]).endswith("Z")
    assert net.event_names() == ["server.started", "session.accepted", "session.finished", "server.stopping", "server.stopped"]


def test_log_leaves_out_unknown_fields_and_texts_of_others(capsys):
    logger = json_logger(name="psc.test-log")
    observe = observer(logger)
    observe("session.failed", code="x", phone="13800138000", run="")
    logger.info("a library says %s", "13800138000")
    lines = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    assert lines[0]["event"] == "session.failed"
    assert lines[0]["level"] == "warning"
    assert set(lines[0]) == {"time", "level", "event", "code"}
    assert lines[1]["event"] == "library"
    assert "13800138000" not in json.dumps(lines)
    logging.getLogger("psc.test-log").handlers = []
