"""The boundary: whatever happens, one message, one exit code, no traceback; and the options that every command has."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from typer.testing import CliRunner

from psc.cli.main import commands
from psc.node.home import Home

from .conftest import Psc

SECRET = "13800138000"


@pytest.mark.parametrize(
    "line", ["match", "match a/b --input", "nonsense", "dataset nonsense", "partners --nonsense", "trust", "runs list --limit x"]
)
def test_a_wrong_command_line_exits_2_in_our_style(psc: Psc, line: str) -> None:
    done = psc(line)
    assert (done.code, done.out) == (2, "")
    assert done.err.startswith("Error: ")
    assert "[cli.usage]" in done.err
    assert "--help" in done.err
    assert psc(line + " --json").error()["code"] == "cli.usage"


@pytest.mark.parametrize("line", ["", "dataset", "agreement", "runs"])
def test_a_group_alone_prints_its_help_and_exits_2(psc: Psc, line: str) -> None:
    done = psc(line)
    assert done.code == 2
    assert "Commands:" in done.out


@pytest.mark.parametrize("line", ["--help", "match --help", "dataset add --help", "agreement propose -h", "demo --help"])
def test_help_exits_0(psc: Psc, line: str) -> None:
    done = psc(line)
    assert done.code == 0
    assert "Usage: psc" in done.out


def bug(*_: object, **__: object) -> None:
    raise ValueError(f"could not convert {SECRET}")


def test_a_bug_is_one_line_that_holds_no_data(psc: Psc, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("psc.node.home.Home.open", bug)
    done = psc("partners")
    assert (done.code, done.out) == (1, "")
    assert "ValueError at" in done.err
    assert SECRET not in done.err
    error = psc("partners --json").error()
    assert error["code"] == "cli.bug"
    assert SECRET not in json.dumps(error)


def test_only_psc_debug_shows_a_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("psc.node.home.Home.open", bug)
    monkeypatch.setenv("PSC_DEBUG", "1")
    result = CliRunner().invoke(commands(), ["partners"])
    assert result.exit_code == 1
    assert "Traceback" in result.stderr


def test_ctrl_c_exits_130(psc: Psc, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("psc.node.home.Home.open", interrupt)
    assert psc("partners").code == 130
    assert psc("--json", "partners").error()["code"] == "cli.interrupted"


def test_an_error_without_a_text_still_shows_its_code(psc: Psc, monkeypatch: pytest.MonkeyPatch) -> None:
    from psc.errors import UsageError

    def fail(*_: object) -> None:
        raise UsageError("no.such-text", thing=1)

    monkeypatch.setattr("psc.node.home.Home.open", fail)
    assert "no.such-text" in psc("partners").err
    error = psc("partners --json").error()
    assert (error["message"], error["fields"]) == ('no.such-text {"thing": 1}', {"thing": 1})


class _BrokenTexts:
    """A catalogue that fails whatever it is asked."""

    def __init__(self, failure: Exception) -> None:
        self.failure = failure

    def __call__(self, *_: object, **__: object) -> object:
        raise self.failure


FAILURES = [KeyError("x"), ImportError("no area"), SyntaxError("a typing error in the catalogue"), TypeError("x"), OSError("x")]


@pytest.mark.parametrize("failure", FAILURES, ids=lambda failure: type(failure).__name__)
def test_a_broken_catalogue_hides_no_error(psc: Psc, monkeypatch: pytest.MonkeyPatch, failure: Exception) -> None:
    monkeypatch.setattr("psc.texts.all_texts", _BrokenTexts(failure))
    done = psc("partners --home nowhere")
    assert (done.code, done.out) == (2, "")
    assert "[node.home-missing]" in done.err
    assert "nowhere" in done.err
    error = psc("partners --home nowhere --json").error()
    assert error["code"] == "node.home-missing"
    assert error["fields"]["path"].endswith("nowhere")
    assert psc("nonsense").code == 2  # the boundary's own errors too
    monkeypatch.setattr("psc.node.home.Home.open", bug)
    done = psc("partners")
    assert (done.code, done.out) == (1, "")
    assert "[cli.bug]" in done.err


@pytest.mark.parametrize("failure", FAILURES, ids=lambda failure: type(failure).__name__)
def test_an_error_shows_itself_without_its_text(monkeypatch: pytest.MonkeyPatch, failure: Exception) -> None:
    from psc.errors import UsageError

    monkeypatch.setattr("psc.texts.all_texts", _BrokenTexts(failure))
    assert str(UsageError("node.home-missing", path="x")) == "node.home-missing"


def test_an_error_of_a_run_names_the_run_once(psc: Psc, monkeypatch: pytest.MonkeyPatch) -> None:
    from psc.errors import AuditError, CancelledError, PscError

    def raising(error: PscError) -> None:
        def fail(*_: object) -> None:
            error.of_run("20261121T170000Z-abcd")
            raise error

        monkeypatch.setattr("psc.node.home.Home.open", fail)

    raising(CancelledError("operations.cancelled"))
    assert psc("partners").err.splitlines()[-1] == "  run 20261121T170000Z-abcd"
    assert psc("partners --json").error()["fields"] == {"run_id": "20261121T170000Z-abcd"}
    raising(AuditError("audit.receipt-signature-wrong", side="initiator", name="merchant"))
    assert psc("partners").err.count("20261121T170000Z-abcd") == 1  # its sentence names the run


def test_a_question_mark_ends_a_sentence(psc: Psc) -> None:
    assert "Did you mean 'match'?  [cli.usage]" in psc("mach").err


def test_home_json_and_verbose_stand_before_or_after_the_command(psc: Psc, homes: tuple[Home, Home]) -> None:
    wanted = psc("partners --json --home m").json()
    assert wanted["partners"][0]["name"] == "courier"
    assert psc("--json --home m partners").json() == wanted
    assert psc("--home nowhere partners --home m --json -v").json() == wanted


def test_the_home_comes_from_the_environment(psc: Psc, homes: tuple[Home, Home], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PSC_HOME", "c")
    assert psc("partners --json").json()["partners"][0]["name"] == "merchant"
    assert psc("partners --json --home m").json()["partners"][0]["name"] == "courier"
    monkeypatch.delenv("PSC_HOME")
    monkeypatch.chdir("m")
    assert psc("partners --json").json()["partners"][0]["name"] == "courier"


def test_the_reader_chooses_the_language(psc: Psc, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PSC_LANG", "zh")
    done = psc("partners --home nowhere")
    assert done.err.startswith("错误：")
    error = psc("partners --home nowhere --json").error()
    assert error["code"] == "node.home-missing"
    assert "不是" in error["message"]


def test_the_home_has_a_language_that_psc_lang_overrules(psc: Psc, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    Home.create(tmp_path / "zh", "x", language="zh").close()
    assert "No partner" in psc("partners --home zh").out
    monkeypatch.delenv("PSC_LANG")
    monkeypatch.setenv("LC_ALL", "C")
    assert "尚未固定" in psc("partners --home zh").out


def test_help_comes_soon_and_loads_nothing_heavy() -> None:
    heavy = ("pandas", "pyarrow", "grpc", "numpy", "pydantic", "cryptography", "phonenumbers")
    code = (
        "import sys, psc.cli.main as m\n"
        "try: m.commands()(['--help'])\nexcept SystemExit: pass\n"
        f"print([name for name in {heavy!r} if name in sys.modules], file=sys.stderr)"
    )
    begin = time.perf_counter()
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=dict(os.environ))
    assert done.stderr.strip().splitlines()[-1] == "[]"
    assert time.perf_counter() - begin < 5  # about 0.2 s on an idle machine


def test_a_reader_that_went_away_is_no_error(homes: tuple[Home, Home]) -> None:
    command = f"{sys.executable} -m psc.cli.main --home m partners --json | true"
    done = subprocess.run(["bash", "-o", "pipefail", "-c", command], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_a_terminal_that_lacks_a_character_gets_another(homes: tuple[Home, Home]) -> None:
    command = [sys.executable, "-m", "psc.cli.main", "--home", "m", "doctor", "courier"]
    environment = {**os.environ, "PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0", "PSC_LANG": "zh"}
    done = subprocess.run(command, capture_output=True, check=False, env=environment)
    assert done.returncode == 8
    assert b"UnicodeEncodeError" not in done.stderr


@pytest.mark.parametrize("first", ["match", "count", "aggregate", "serve"])
def test_a_command_that_is_loaded_alone_is_the_same(first: str) -> None:
    alone, whole = (CliRunner().invoke(commands(word), [first, "--help"]) for word in (first, ""))
    assert alone.exit_code == whole.exit_code == 0
    assert alone.output == whole.output
    assert CliRunner().invoke(commands(first), ["partners"]).exit_code != 0
