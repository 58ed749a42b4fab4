"""Descriptions in Markdown, as HTML that cannot do anything."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

from .texts import shown

if TYPE_CHECKING:
    from markdown_it import MarkdownIt

#: What is beyond is not shown, in characters.
LONGEST: Final = 25_000

#: What is taken of a line for a summary, in characters.
_LONGEST_LINE: Final = 500

_LINK: Final = re.compile(r"!?\[([^\]\[]*)\]\([^()]*\)")
_SIGNS: Final = re.compile(r"\*+|`+|~~|(?<!\w)_+|_+(?!\w)")

#: Where links may lead. What is relative would lead to our own pages, which an author does not know.
_SCHEMES: Final = ("http", "https", "mailto")

_TAGS: Final = frozenset(
    "a blockquote br code del em h3 h4 h5 h6 hr li ol p pre s strong table tbody td th thead tr ul".split()
)
_ATTRIBUTES: Final = {"a": {"href", "title"}, "ol": {"start"}}


def html_of(text: str) -> str:
    """Return HTML of a text in Markdown (CommonMark with tables), made safe whatever the text is.

    No HTML of the author's own, no pictures (their texts stay), links to other sites only, and headings that stand below two
    others. What does this is markdown-it; what makes sure of it, nh3.

    >>> html_of("# Big *news* <script>")
    '<h3>Big <em>news</em> &lt;script&gt;</h3>\\n'
    """
    import nh3

    cut = shown(text, LONGEST, is_line=False)
    return nh3.clean(
        _renderer().render(cut),
        tags=set(_TAGS),
        attributes=_ATTRIBUTES,
        attribute_filter=_kept_attribute,
        url_schemes=set(_SCHEMES),
        link_rel="nofollow noopener noreferrer",
    )


def summary_of(text: str, longest: int = 200) -> str:
    """Return the first line of a description that says something, without most signs of Markdown.

    >>> summary_of("\\n# A *registry* of [images](https://example.org), `v1`\\n\\nand more")
    'A registry of images, v1'
    """
    for line in text[:LONGEST].splitlines():
        stripped = line[:_LONGEST_LINE].strip().lstrip("#>").strip()
        if stripped.strip("=-*_`~"):
            return shown(_SIGNS.sub("", _LINK.sub(r"\1", stripped)), longest)
    return ""


def _renderer() -> MarkdownIt:
    from markdown_it import MarkdownIt

    renderer = MarkdownIt("commonmark", {"html": False}).enable(["table", "strikethrough"])
    renderer.validateLink = _leads_elsewhere  # type: ignore[method-assign]
    renderer.core.ruler.push("lower_headings", _lower_headings)
    renderer.add_render_rule("image", _image_text)
    return renderer


def _leads_elsewhere(url: str) -> bool:
    return url.strip().lower().startswith(tuple(f"{scheme}:" for scheme in _SCHEMES))


def _kept_attribute(tag: str, name: str, value: str) -> str | None:
    return value if name != "href" or _leads_elsewhere(value) else None


def _lower_headings(state: Any) -> None:
    """Put all headings below the page's two, the first at the third level, none more than one below what it belongs to."""
    above: list[int] = []
    tag = ""
    for token in state.tokens:
        if token.type == "heading_open":
            level = int(token.tag[1:])
            above = [upper for upper in above if upper < level]
            token.tag = tag = f"h{min(6, 3 + len(above))}"
            above.append(level)
        elif token.type == "heading_close":
            token.tag = tag


def _image_text(renderer: Any, tokens: Sequence[Any], index: int, options: Any, env: Any) -> str:
    from html import escape

    return escape(renderer.renderInlineAsText(tokens[index].children or [], options, env))
