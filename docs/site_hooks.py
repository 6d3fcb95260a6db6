"""What the site does to a page when it is built: a number and its ± stay on one line."""

from typing import Any


def on_page_markdown(markdown: str, **others: Any) -> str:
    """Called by MkDocs with the text of each page; ``others`` are the page, the settings and the files."""
    return markdown.replace(" ± ", "\u00a0±\u00a0")
