"""A hook of MkDocs: pages may link to any file of the project, and those at its top are pages too.

What reads well in a clone, `[CHANGELOG](../CHANGELOG.md)` or `[the model](../src/cachedmodel/model.py)`, so leads somewhere
on the site as well: other files than pages are shown as text.
"""

from __future__ import annotations

import os
import re
import typing as tp
from pathlib import Path

from mkdocs.structure.files import File, Files

if tp.TYPE_CHECKING:
    from mkdocs.config.defaults import MkDocsConfig
    from mkdocs.structure.pages import Page

TOP = Path(__file__).parents[1]
TOP_PAGES = ("CHANGELOG.md", "CONTRIBUTING.md")
_LINK = re.compile(r"(\]\()([^)\s#:]+)([)#\s])")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """The pages at the top of the project, beside those of docs/."""
    for name in TOP_PAGES:
        files.append(File.generated(config, name, abs_src_path=str(TOP / name)))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """The page with its links to files outside of docs/ led to what the site has of them."""
    place = TOP if page.file.src_uri in TOP_PAGES else Path(config.docs_dir, page.file.src_uri).parent

    def led(match: re.Match[str]) -> str:
        target = Path(os.path.normpath(place / match[2]))
        uri = _on_site(target, config, files)
        if uri is None:
            return match[0]  # MkDocs says what is wrong with it
        return match[1] + os.path.relpath(uri, Path(page.file.src_uri).parent) + match[3]

    return _LINK.sub(led, markdown)


def _on_site(target: Path, config: MkDocsConfig, files: Files) -> str | None:
    """Where the site has a file of the project, which is added where it is not there yet; None if it cannot have it."""
    if target.is_relative_to(config.docs_dir):
        return target.relative_to(config.docs_dir).as_posix()
    if not target.exists() or not target.is_relative_to(TOP):
        return None
    name = target.relative_to(TOP).as_posix()
    if name in TOP_PAGES:
        return name
    uri = f"project/{name}.txt"
    if files.get_file_from_path(uri) is None:
        text = "\n".join(sorted(os.listdir(target))) if target.is_dir() else target.read_text()
        files.append(File.generated(config, uri, content=text))
    return uri
