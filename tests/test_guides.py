"""The code of the README and the guides runs."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
GUIDES = [ROOT / "README.md", *sorted((ROOT / "docs" / "guides").glob("*.md"))]
BLOCK = re.compile(r"^```python\n(.*?)^```$", re.DOTALL | re.MULTILINE)


@pytest.mark.cpu_only("documents")
@pytest.mark.parametrize("guide", GUIDES, ids=lambda path: path.stem)
def test_the_blocks_of_a_guide_run(guide, tmp_path, monkeypatch):
    for module in ("sklearn", "matplotlib", "safetensors", "tqdm"):
        pytest.importorskip(module)
    monkeypatch.chdir(tmp_path)
    text = guide.read_text()
    namespace: dict = {"__name__": "guide"}
    blocks = list(BLOCK.finditer(text))
    assert blocks
    for block in blocks:
        for module in re.findall(r"^import (\w+)$", block[1], re.MULTILINE):
            pytest.importorskip(module)
        before = text[: block.start(1)].count("\n")  # so that a traceback names the page's line
        exec(compile("\n" * before + block[1], guide.name, "exec"), namespace)


def test_links_of_documents_lead_somewhere():
    pages = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *ROOT.glob("docs/**/*.md")]
    assert len(pages) > len(GUIDES)
    for page in pages:
        for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text()):
            assert (page.parent / target).exists(), f"{page.name} links to {target}"
