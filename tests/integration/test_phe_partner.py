"""The example of a partner who has only ``phe``: two processes, three files."""

from __future__ import annotations

import json
import random
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("phe")

EXAMPLES = Path(__file__).parents[2] / "examples"


def test_plain_phe_partner_gets_the_sums(tmp_path: Path) -> None:
    draw = random.Random(7)
    values = [draw.randrange(-(10**9), 10**9) for _ in range(40)]
    cells = [draw.choice([-1, 0, 1, 2]) for _ in values]
    (tmp_path / "values.json").write_text(json.dumps(values))
    (tmp_path / "cells.json").write_text(json.dumps(cells))
    partner_script = EXAMPLES / "phe_partner.py"
    assert "psc" not in partner_script.read_text().replace("phe_partner", "")  # it must run where psc is not installed
    partner = subprocess.Popen(
        [sys.executable, partner_script, "values.json", "request.json", "reply.json"],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        request = tmp_path / "request.json"
        for _ in range(600):
            if request.exists() or partner.poll() is not None:
                break
            try:
                partner.wait(0.1)
            except subprocess.TimeoutExpired:
                continue
        own = [sys.executable, EXAMPLES / "phe_matcher.py", "request.json", "cells.json", "reply.json"]
        subprocess.run(own, cwd=tmp_path, check=True, timeout=120)
        printed, complaints = partner.communicate(timeout=120)
    finally:
        partner.kill()
        partner.wait()
    assert complaints == ""
    expected = [sum(v for v, c in zip(values, cells, strict=True) if c == cell) for cell in range(max(cells) + 1)]
    assert json.loads(printed) == expected
    sent = json.loads(request.read_text())
    assert all(exponent == 0 for _, exponent in sent["values"])
