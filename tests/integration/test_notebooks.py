"""Every example notebook runs from top to bottom, as committed, and shows plots."""

from __future__ import annotations

from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

EXAMPLES = sorted((Path(__file__).parents[2] / "examples").glob("*.ipynb"))


def statements(notebook: nbformat.NotebookNode) -> list[str]:
    """What the notebook's outputs say that each side learns."""
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    lines = [line.strip() for output in outputs for line in output.get("text", "").splitlines()]
    return [line for line in lines if line.startswith("- ")]


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::RuntimeWarning", "ignore::ResourceWarning")
@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_notebook_runs(path: Path) -> None:
    notebook = nbformat.read(path, as_version=4)
    stored = statements(notebook)
    NotebookClient(notebook, timeout=120, kernel_name="python3", resources={"metadata": {"path": str(path.parent)}}).execute()
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    assert not [output for output in outputs if output["output_type"] == "error" or output.get("name") == "stderr"]
    assert stored == statements(notebook), "the stored outputs are stale: make notebooks"
    assert any("image/png" in output.get("data", {}) for output in outputs)


def test_there_are_examples() -> None:
    assert EXAMPLES
