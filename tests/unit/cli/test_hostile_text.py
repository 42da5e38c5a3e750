"""Text that a partner, or the maker of a file, chose: it cannot act on the terminal, forge a line, or pass for markup."""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.csv as pacsv
import pyarrow.parquet as pq
import pytest
from rich.console import RenderableType

from psc.cli import show
from psc.cli.base import Cli
from psc.cli.doctor import _shown, _software
from psc.cli.progress import busy
from psc.node.home import Home
from psc.operations.software import own_status
from psc.operations.status import Status
from psc.session.limits import Limits
from psc.testing.nodes import PURPOSE, NodePair, grant, node_pair
from psc.texts import is_plain
from tests.hostile_text import EVIL, HIDDEN, MARKUP, assert_harmless

from .conftest import Psc

ROWS = 30


def flat(shown: str) -> str:
    """Return what is shown without the line ends and blanks that folding put in."""
    return "".join(shown.split())


def printed(*parts: RenderableType) -> str:
    out = io.StringIO()
    for part in parts:
        show.console(out).print(part)
    return out.getvalue()


@pytest.mark.parametrize(
    "make",
    [
        lambda: EVIL,
        lambda: show.facts([("name", EVIL), (EVIL, "value")], title=EVIL),
        lambda: show.listing([EVIL, "b"], [[EVIL, "x"], ["y", EVIL]], title=EVIL, right=["b"]),
        lambda: show.preview({EVIL: [EVIL, None], "b": [1, EVIL]}, title=EVIL),
        lambda: show.bullets([EVIL]),
        lambda: show.wraps(EVIL, 2),
        lambda: show.lines([EVIL, EVIL]),
        lambda: show.label("trust-compare", name=EVIL),
    ],
)
def test_everything_that_is_shown_is_harmless(make: Callable[[], RenderableType]) -> None:
    shown = printed(make())
    assert_harmless(shown)
    assert flat(MARKUP) in flat(shown)
    assert r"\x1b[2J\x9b2J\x1b]52;c;ZXZpbA==\x07\x7f\r\n\x85\u2028" in flat(shown)


def test_json_is_harmless_and_the_same(capsys: pytest.CaptureFixture[str]) -> None:
    show.print_json({EVIL: [EVIL, "收件人"]})
    shown = capsys.readouterr().out
    assert_harmless(shown)
    assert json.loads(shown) == {EVIL: [EVIL, "收件人"]}
    assert r"\u009b" in shown
    assert "收件人" in shown


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_notes_details_and_waiting_are_harmless(monkeypatch: pytest.MonkeyPatch) -> None:
    cli = Cli(Path(), as_json=False, verbose=True)
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    cli.note(EVIL)
    cli.detail(EVIL, show.facts([("x", EVIL)]))
    assert_harmless(sys.stderr.getvalue())  # type: ignore[attr-defined]
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr(sys, "stderr", Terminal())
    with busy(cli, show.label("connecting", partner="[red]x[/red] [link=http://evil.example]l[/link]\x9b")):
        pass
    assert r"[red]x[/red] [link=http://evil.example]l[/link]\x9b" in sys.stderr.getvalue()  # type: ignore[attr-defined]


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NodePair]:
    """A courier whose released cells are hostile."""
    folder = tmp_path_factory.mktemp("hostile")
    mobiles = [f"138{number:08d}" for number in range(ROWS)]
    cells = [[EVIL, MARKUP, *HIDDEN.values()][number % (2 + len(HIDDEN))] for number in range(ROWS)]
    pq.write_table(pa.table({"mobile": mobiles, "status": cells}), folder / "parcels.parquet")
    with node_pair(folder) as made:
        grant(
            made.courier,
            "merchant",
            "parcels",
            source=folder / "parcels.parquet",
            keys=["phone=mobile:phone"],
            release=["[bold]s[/bold]=status:text:1024"],
        )
        yield made


def test_released_cells(psc: Psc, pair: NodePair, tmp_path: Path) -> None:
    orders = pa.table({"手机": [f"138{number:08d}" for number in range(ROWS)]})
    pacsv.write_csv(orders, tmp_path / "orders.csv")
    line = f"match courier/parcels --home {pair.merchant.home.path} --input orders.csv --key phone=手机 --purpose {PURPOSE}"
    want = "--want [bold]s[/bold]"
    done = psc(f"{line} {want} --output out.parquet -v")
    assert done.code == 0
    assert_harmless(done.out)
    assert_harmless(done.err)
    assert "[bold]s[/bold]" in done.out
    assert flat(MARKUP) in flat(done.out)
    assert r"\x1b]52;c;ZXZpbA==\x07" in flat(done.out)
    # A file is no terminal: what it is joined by must be what it was.
    assert EVIL in pq.read_table(tmp_path / "out.parquet").column("[bold]s[/bold]").to_pylist()
    for shown in (psc(f"{line} {want} --dry-run"), psc(f"{line} --want 'x\x1b[2J'"), psc(f"{line} --want '[bold]x[/bold]'")):
        assert_harmless(shown.out + shown.err)
    for word in ("'p\x1b[2J\x9b'", "'[link=http://x]p[/link]'"):
        refused = psc(line.replace(PURPOSE, word))
        assert refused.code == 4
        assert_harmless(refused.err)
    assert r"[link=http://x]p[/link]" in flat(refused.err)


def test_a_status_of_another_release(psc: Psc) -> None:
    fields = own_status("CN", Limits()).model_dump(mode="json") | {
        "series": "\x1b[2J\x9b\u202e",
        "rules": EVIL[:64],
        "protocols": [],
    }
    checks = list(_software(Status.model_validate(fields | {"protocols": (), "engines": (), "software": "[bold]9[/bold]"})))
    shown = printed(*_shown(checks))
    assert_harmless(shown)
    assert "[bold]9[/bold]" in shown
    assert all(is_plain(check.said) and is_plain(check.remedy) for check in checks)


@pytest.mark.parametrize("change", ["unknown key", "key inside", "purpose", "name", "stranger", "revocation", "file name"])
def test_hostile_agreements(psc: Psc, homes: tuple[Home, Home], parcels: Path, tmp_path: Path, change: str) -> None:
    psc("dataset add parcels --home c --source parcels.parquet --key phone=mobile:phone")
    propose = "agreement propose --home c --with merchant --dataset parcels --allow match --purpose delivery --sign"
    assert psc(f"{propose} --output good.json").code == 0
    content = json.loads((tmp_path / "good.json").read_text(encoding="utf-8"))
    name = "evil.json"
    match change:
        case "unknown key":
            content[EVIL] = 1
        case "key inside":
            content["agreement"][EVIL] = 1
        case "purpose":
            content["agreement"]["purpose"] = [EVIL]
        case "name":
            content["agreement"]["datasets"][0]["keys"][0]["name"] = "\x1b[2J\x9b[bold]"
        case "stranger":
            content["signatures"] = {EVIL: "0" * 128}
        case "revocation":
            revocation = {"version": 1, "agreement": "0" * 16, "agreement_digest": "0" * 64, "revoked_at": "2026-01-01T00:00:00Z"}
            content["revocations"] = {EVIL: {"revocation": revocation, "signature": "0" * 128}}
        case _:
            name = "evil\x1b[2J\x9b\u202e[bold].json"
            content["signatures"] = []
    (tmp_path / name).write_text(json.dumps(content), encoding="utf-8")
    done = psc("agreement", "import", name, "--home", "m")
    assert done.code in (4, 6)
    assert_harmless(done.out + done.err)
    raw = psc("agreement", "import", name, "--home", "m", "--json")
    assert_harmless(raw.err)
    raw.error()


@pytest.mark.parametrize("field", ["name", "address", "tls_name", EVIL])
def test_hostile_cards(psc: Psc, homes: tuple[Home, Home], tmp_path: Path, field: str) -> None:
    card = json.loads(psc("card --home c").out)
    card["card"][field] = "e\x1b[2J\x9b\u202e:1"
    (tmp_path / "evil.card").write_text(json.dumps(card), encoding="utf-8")
    for words in ("trust evil.card --home m", "trust evil.card --home m --json"):
        done = psc(words)
        assert (done.code, done.out) == (2, "")
        assert_harmless(done.err)


def test_hostile_tables_of_our_own(psc: Psc, homes: tuple[Home, Home], tmp_path: Path) -> None:
    with (tmp_path / "t.csv").open("w", encoding="utf-8", newline="") as file:
        file.write('"mo\x1b[2J\x9bbile","[bold]x\u202e[/bold]","a\nError: forged"\n"\x1b]0;x\x07",2,3\n"\x9b2J",2,3\n')
    for line in ("dataset check t.csv --key phone=tel:phone", "dataset check t.csv --key phone=mobile:phone"):
        for done in (psc(line), psc(f"{line} --json")):
            assert done.code == 3
            assert_harmless(done.err)
    column = "mo\x1b[2J\x9bbile"
    for done in (
        psc("dataset", "check", "t.csv", "--key", "phone=[bold]x\u202e[/bold]:phone"),
        psc("dataset", "add", "t", "--home", "c", "--source", "t.csv", "--key", f"phone={column}:phone", "--json"),
    ):
        assert done.code == 2
        assert "node.spec-not-plain" in done.err
        assert_harmless(done.err)
    (tmp_path / "cells.csv").write_text('mobile\n"\x1b]0;x\x07"\n"\x9b2J"\n13800138000\n', encoding="utf-8")
    for line in (
        "dataset check cells.csv --key phone=mobile:text",
        "dataset check cells.csv --key phone=mobile:phone",
        "dataset add t --home c --source cells.csv --key phone=mobile:phone",
    ):
        for done in (psc(line), psc(f"{line} --json")):
            assert_harmless(done.out + done.err)
    assert r"\x1b****" in psc("dataset check cells.csv --key phone=mobile:phone").out
    shown = psc("dataset add t --home c --source cells.csv --key phone=mobile:phone").err
    assert r"row 1 (line 2) \x1b****" in shown
    assert len(shown.splitlines()) > 2  # the table keeps its lines


@pytest.mark.parametrize("words", ["\x1b[2J", "x\x9b", "a\nError: forged", "--no\u202ething"])
def test_what_was_typed(psc: Psc, words: str) -> None:
    for arguments in ([words], ["dataset", words], ["partners", words], ["match", words, "--input", words, "--key", words]):
        done = psc(*arguments, "--home", ".")
        assert done.code == 2
        assert_harmless(done.err)
        assert done.err.startswith("Error: ")


def test_a_table_without_a_header_shows_nobody(psc: Psc, tmp_path: Path) -> None:
    (tmp_path / "n.csv").write_text("13800138000,张三,110101199003070011\n", encoding="utf-8")
    line = "dataset check n.csv --key phone=mobile:phone"
    for done in (psc(line), psc(f"{line} --json")):
        assert done.code == 3
        assert "header" in done.err
        assert not any(cell in done.err for cell in ("13800138000", "张三", "110101199003070011"))
    assert psc(f"{line} --json").error()["fields"] == {"file": "n.csv", "count": 3}
