"""What MkDocs adds to the pages: files of the repository that they link to, the changelog, and notebooks.

In the pages a link to a file of the repository is relative (`../harness/reference/trainer.py`), as the repository's
web view wants it. The site has a page of its own for each such file, with its text, so that it needs no other site.
"""

import json
import os
import re
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

_LINK = re.compile(r"\]\(\.\./([^)#\s]+)")
_LANGUAGES = {".py": "python", ".toml": "toml", ".json": "json"}
_OF_THE_SITE = {"CHANGELOG.md": "changelog.md"}


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the changelog, a page for each notebook, and one for each file or folder that a page links to."""
    root = Path(config.docs_dir).parent
    for path in sorted(Path(config.docs_dir).glob("*.ipynb")):
        cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
        files.append(File.generated(config, f"{path.stem}.md", content="\n\n".join(map(_cell, cells)) + "\n"))
    linked = {name for file in files.documentation_pages() for name in _LINK.findall(file.content_string)}
    for name in sorted(linked | set(_OF_THE_SITE)):
        files.append(File.generated(config, _page(name), content=_text(root, root / name)))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Point links to files of the repository at their pages, or at the page of the site that they are."""
    if page.file.generated_by:  # their own links are relative to the root of the repository
        return markdown.replace("](docs/", "](")
    return _LINK.sub(lambda link: f"]({_page(link[1])}", markdown)


def _cell(cell: dict[str, Any]) -> str:
    """A cell of a notebook, with what it gave when it was run last."""
    source = "".join(cell["source"])
    if cell["cell_type"] == "markdown":
        return source
    return "\n\n".join([f"```python\n{source}\n```", *map(_output, cell["outputs"])])


def _output(output: dict[str, Any]) -> str:
    data = output.get("data", {})
    if "image/png" in data:
        return f'<img alt="What the cell above gives" src="data:image/png;base64,{"".join(data["image/png"]).strip()}">'
    if "text/html" in data:
        html = "".join(data["text/html"])
        return '<div class="output">' + "\n".join(line for line in html.splitlines() if line.strip()) + "</div>"
    return f"```text\n{''.join(output.get('text', data.get('text/plain', '')))}\n```"


def _page(name: str) -> str:
    return _OF_THE_SITE.get(name, f"source/{name.rstrip('/')}.md")


def _text(root: Path, path: Path) -> str:
    """A Markdown file as it is; a text file, or the text files of a folder, as blocks of code that no search finds."""
    if path.suffix == ".md":
        return path.read_text(encoding="utf-8")
    inside = sorted(path.iterdir()) if path.is_dir() else [path]
    parts = [f"---\nsearch:\n  exclude: true\n---\n\n# {os.fspath(path.relative_to(root))}"]
    for file in inside:
        if file.suffix in _LANGUAGES:
            title = f"\n## {file.name}\n" if path.is_dir() else ""
            parts.append(f"{title}\n````{_LANGUAGES[file.suffix]}\n{file.read_text(encoding='utf-8')}````")
    return "\n".join(parts) + "\n"
