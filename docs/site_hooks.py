"""What the site needs from outside docs/: other pages of the repository, notebooks, charts, a script.

Markdown stays as GitHub reads it, with links from file to file; here they become links of the site.
"""

from __future__ import annotations

import base64
import os
import posixpath
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nbformat
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).resolve().parent.parent
# File of the repository -> page of the site.
_PAGES = {
    "CHANGELOG.md": "changelog.md",
    "CONTRIBUTING.md": "contributing.md",
    "bench/shaders/README.md": "shaders.md",
    "results/README.md": "results.md",
}
_STANDS_FOR = {"README.md": "index.md"}  # the site has a first page of its own
_WORKER = ROOT / "node_modules" / "iframe-worker" / "shim" / "index.js"
_LINK = re.compile(r"(?<=\]\()([^)\s#:]+)(#[^)\s]*)?(?=\))")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add what lies elsewhere."""
    if not _WORKER.is_file():
        raise PluginError(f"{_WORKER.relative_to(ROOT)} is missing: type `make site`, which fetches it")
    # Without a server a page may start no worker, and search runs in one; this stands in for it.
    files.append(File.generated(config, "assets/iframe-worker.js", abs_src_path=str(_WORKER)))
    for source, target in _PAGES.items():
        files.append(File.generated(config, target, abs_src_path=str(ROOT / source)))
    for path in sorted(ROOT.glob("results/*/*")):
        if path.suffix in (".png", ".svg", ".toml"):
            target = _site_path(path.relative_to(ROOT).as_posix())
            files.append(File.generated(config, target, abs_src_path=str(path)))
    for path in sorted((ROOT / "notebooks").glob("*.ipynb")):
        for target, content in _notebook(path):
            files.append(File.generated(config, target, content=content))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Turn links between files of the repository into links between pages."""
    here = page.file.src_uri
    origin = next((source for source, target in _PAGES.items() if target == here), f"docs/{here}")
    if here.startswith("notebooks/"):
        origin = here

    def rewrite(found: re.Match[str]) -> str:
        target = posixpath.normpath(posixpath.join(posixpath.dirname(origin), found[1]))
        return os.path.relpath(_site_path(target), posixpath.dirname(here) or ".") + (found[2] or "")

    return _LINK.sub(rewrite, markdown)


def _site_path(path: str) -> str:
    """Where a file of the repository is on the site."""
    if path in _PAGES or path in _STANDS_FOR:
        return _PAGES.get(path) or _STANDS_FOR[path]
    if path.startswith("notebooks/"):
        return path.removesuffix(".ipynb") + ".md" if path.endswith(".ipynb") else path
    if path.startswith("results/"):
        return f"assets/{path}"
    return path.removeprefix("docs/")


def _notebook(path: Path) -> Iterator[tuple[str, str | bytes]]:
    """A committed notebook as a page with its pictures, outputs as they were saved."""
    parts: list[str] = []
    pictures: list[bytes] = []
    for cell in nbformat.read(path, as_version=4).cells:
        if cell.cell_type == "markdown":
            parts.append(cell.source)
            continue
        if cell.source.strip():
            parts.append(f"```python\n{cell.source}\n```")
        for output in cell.outputs:
            parts.append(_output(output, path.stem, pictures))
    yield f"notebooks/{path.stem}.md", "\n\n".join(parts) + "\n"
    for number, picture in enumerate(pictures):
        yield f"notebooks/{path.stem}-{number}.png", picture


def _output(output: Any, stem: str, pictures: list[bytes]) -> str:
    if output.output_type == "stream":
        return f"```text\n{output.text.rstrip()}\n```"
    data = output.data
    if "image/png" in data:
        pictures.append(base64.b64decode(data["image/png"]))
        return f"![{data.get('text/plain', 'chart')}]({stem}-{len(pictures) - 1}.png)"
    if "text/markdown" in data:
        return str(data["text/markdown"])
    if "text/html" in data:
        # pandas' own style is for white paper; without its class the site's tables lend theirs.
        html = str(data["text/html"]).replace(' border="1" class="dataframe"', "")
        return re.sub(r"<style.*?</style>|\n\s*", "", html, flags=re.S)
    return f"```text\n{data.get('text/plain', '')}\n```"
