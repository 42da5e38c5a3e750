"""Generate ``psc/_proto`` from ``protos/``: ``python protos/generate.py [--check]``.

``--check`` writes nothing and fails when the committed files differ from what would be generated.
Generated modules import each other by the proto package (``psc.v1``); that becomes where they live (``psc._proto.psc.v1``).
No service stubs are generated: both ends parse the messages themselves, so that garbage becomes our error and not a library's.
"""

from __future__ import annotations

import re
import sys
import tempfile
from importlib.resources import files
from pathlib import Path

from grpc_tools import protoc

PROTOS = Path(__file__).resolve().parent
OUTPUT = PROTOS.parent / "psc" / "_proto"
_IMPORT = re.compile(r"^(from|import) psc\.v1\b", re.MULTILINE)
_PACKAGE_DOC = '"""Generated from ``protos/`` by ``make proto``; never edited."""\n'


def generate(target: Path) -> None:
    """Write the generated package into ``target``."""
    sources = sorted(str(path) for path in PROTOS.rglob("*.proto"))
    well_known = str(files("grpc_tools").joinpath("_proto"))
    stubs = Path(sys.executable).with_name("protoc-gen-mypy")
    options = [f"-I{PROTOS}", f"-I{well_known}", f"--plugin=protoc-gen-mypy={stubs}"]
    if protoc.main(["protoc", *options, f"--python_out={target}", f"--mypy_out=quiet:{target}", *sources]) != 0:
        raise SystemExit("protoc failed")
    for path in target.rglob("*.py*"):
        path.write_text(_IMPORT.sub(r"\1 psc._proto.psc.v1", path.read_text()))
    for folder in (target, *(path for path in target.rglob("*") if path.is_dir())):
        (folder / "__init__.py").write_text(_PACKAGE_DOC)


def contents(folder: Path) -> dict[str, str]:
    """Return the text of every generated file by its path inside ``folder``."""
    return {str(path.relative_to(folder)): path.read_text() for path in sorted(folder.rglob("*.py*")) if path.suffix != ".pyc"}


def main() -> int:
    """Generate, or compare with what is committed."""
    with tempfile.TemporaryDirectory() as name:
        fresh = Path(name)
        generate(fresh)
        wanted = contents(fresh)
        held = contents(OUTPUT)
        if "--check" in sys.argv[1:]:
            stale = sorted(path for path in wanted.keys() | held.keys() if wanted.get(path) != held.get(path))
            for path in stale:
                sys.stderr.write(f"psc/_proto/{path} is not what protos/ generates; run make proto\n")
            return 1 if stale else 0
        for path in held.keys() - wanted.keys():
            (OUTPUT / path).unlink()
        for path, text in wanted.items():
            (OUTPUT / path).parent.mkdir(parents=True, exist_ok=True)
            (OUTPUT / path).write_text(text)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
