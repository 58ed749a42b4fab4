"""Descriptions in Markdown, as HTML that cannot do anything."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from html import escape
from typing import TYPE_CHECKING, Any, Final

from ...layers.remembered import Remembered
from .texts import shown

if TYPE_CHECKING:
    from markdown_it import MarkdownIt

#: What is beyond is not shown, in characters.
LONGEST: Final = 25_000

#: What is taken of a line for a summary, in characters.
_LONGEST_LINE: Final = 500

#: A text with more cells in tables, or more brackets, is no Markdown that anybody wrote, and takes a second or more to make HTML of.
_MOST_CELLS: Final = 10_000
_MOST_BRACKETS: Final = 2_000

#: Of what the line below the heads of a table is made, which says how many columns it has, also in quotes and lists.
_DELIMITERS: Final = " \t|:->*+0123456789.)"

#: How much HTML is remembered, in bytes.
_MEMORY_BYTES: Final = 8 << 20

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
    others. What does this is markdown-it; what makes sure of it, nh3. A text that would take long is shown as it is.

    >>> html_of("# Big *news* <script>")
    '<h3>Big <em>news</em> &lt;script&gt;</h3>\\n'
    """
    import nh3

    cut = shown(text, LONGEST, is_line=False)
    if _takes_long(cut):
        return f"<pre>{escape(cut)}</pre>\n"
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


class Descriptions:
    """The HTML of the descriptions that were shown last: each text is made into it once. Safe for threads."""

    def __init__(self) -> None:
        self._memory = Remembered[str](_MEMORY_BYTES, lambda html: 4 * len(html) + 200)

    def html(self, text: str) -> str:
        """Return what :func:`html_of` does."""
        digest = hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()
        found = self._memory.find(digest)
        if found is None:
            found = html_of(text)
            self._memory.keep(digest, found)
        return found


def _takes_long(text: str) -> bool:
    """Tell whether tables are that large, or brackets that many, that HTML is not made of the text."""
    if text.count("[") > _MOST_BRACKETS:
        return True
    lines = text.split("\n")
    columns = max((line.count("|") + 1 for line in lines if not line.strip(_DELIMITERS)), default=0)
    return columns * len(lines) > _MOST_CELLS


def _renderer() -> MarkdownIt:
    from markdown_it import MarkdownIt

    renderer = MarkdownIt("commonmark", {"html": False}).enable(["table", "strikethrough"])
    # markdown-it's own way to have links judged
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
    return escape(renderer.renderInlineAsText(tokens[index].children or [], options, env))
