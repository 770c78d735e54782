"""Build hooks of the documentation site."""

import re
from pathlib import Path
from typing import Any

_LINK = re.compile(r"(?<!!)\[([^\]]+)\]\(([^)\s#]+)(?:#[^)\s]*)?\)")


def on_page_markdown(markdown: str, *, page: Any, config: Any, **_: Any) -> str:
    """Show links into the source tree as plain text: the site has the documents alone.

    Args:
        markdown: source of the page.
        page: the page, with the path of its file below ``docs``.
        config: the site's; ``docs_dir`` is used.
    """
    docs = Path(config["docs_dir"]).resolve()
    folder = (docs / page.file.src_uri).parent

    def plain(link: re.Match[str]) -> str:
        text, target = link.groups()
        inside = "://" in target or (folder / target).resolve().is_relative_to(docs)
        excluded = "examples/" in target
        return link[0] if inside and not excluded else text

    return _LINK.sub(plain, markdown)
