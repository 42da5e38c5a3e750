"""Engines are found by id; nothing of an extra is loaded before it is asked for."""

from __future__ import annotations

import subprocess
import sys

import pytest

from psc.engines import DEFAULT, ENGINES, engine, hiding_engine
from psc.errors import UsageError
from psc.texts import lookup


def python(program: str) -> str:
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_default_needs_nothing() -> None:
    assert engine() is engine(DEFAULT)
    assert engine().id == DEFAULT


def test_an_unknown_engine_is_refused_with_those_that_there_are() -> None:
    with pytest.raises(UsageError) as refused:
        engine("paillier-1024/1")
    assert all(name in str(refused.value) for name in ENGINES)


@pytest.mark.parametrize("name", [name for name, (_, _, extra, _) in ENGINES.items() if extra])
def test_a_missing_extra_is_named_with_its_command(name: str) -> None:
    *_, extra, package = ENGINES[name]
    said = python(f"""
import sys
sys.modules[{package!r}] = None
from psc.engines import engine
from psc.errors import UsageError
try:
    engine({name!r})
except UsageError as refused:
    print(refused.code, refused)
""")
    assert "engines.extra-missing" in said
    assert f"pip install 'psc[{extra}]'" in said


def test_an_engine_that_shows_who_matches_is_refused_where_that_is_hidden() -> None:
    assert hiding_engine(DEFAULT).id == DEFAULT
    pytest.importorskip("tenseal")
    with pytest.raises(UsageError) as refused:
        hiding_engine("bfv-8192-168/1")
    assert refused.value.code == "engines.shows-members"


def test_phe_is_named_when_it_alone_is_missing() -> None:
    pytest.importorskip("gmpy2")
    said = python("""
import sys
sys.modules["phe"] = None
from psc.crypto import Rng
from psc.engines import engine, phe
from psc.engines.paillier_keys import PrivateKey
from psc.errors import UsageError
engine("paillier-2048/1")
try:
    phe.to_phe_public_key(PrivateKey.generate(2048, Rng.system()).public)
except UsageError as refused:
    print(refused.code, refused.fields["package"])
""")
    assert said.split() == ["engines.extra-missing", "phe"]


def test_no_extra_is_loaded_by_the_core_and_phe_by_nothing() -> None:
    loaded = "print(sorted({'phe', 'gmpy2', 'tenseal'} & set(sys.modules)))"
    everything = (
        "import sys, psc.cli.main, psc.server, psc.sdk.node, psc.engines, psc.operations.aggregate; psc.cli.main.commands(); "
    )
    assert python(everything + f"psc.engines.engine(); psc.engines.available(); {loaded}").strip() == "[]"
    pytest.importorskip("gmpy2")
    used = "import sys; from psc.engines import engine, phe; engine('paillier-2048/1'); "
    assert python(used + loaded).strip() == "['gmpy2']"


def test_every_text_of_the_engines_is_in_use() -> None:
    from pathlib import Path

    import psc
    from psc.texts.engines import TEXTS

    source = "".join(file.read_text(encoding="utf-8") for file in (Path(psc.__file__).parent / "engines").glob("*.py"))
    assert all(f'"{code}"' in source for code in TEXTS)
    assert all(lookup(code).fix_en for code in TEXTS)
