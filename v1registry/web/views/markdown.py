"""Render descriptions in Markdown as safe HTML."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Sequence
from html import escape
from typing import TYPE_CHECKING, Any, Final

from ...layers.remembered import Remembered
from .texts import shown

if TYPE_CHECKING:
    from markdown_it import MarkdownIt

#: How much of a description is shown, in characters.
LONGEST: Final = 25_000

#: How much of a line is used for a summary, in characters.
_LONGEST_LINE: Final = 500

#: A text with more cells in tables, or more brackets, would take a second or more to render.
_MOST_CELLS: Final = 10_000
_MOST_BRACKETS: Final = 2_000

#: Characters of the line below the head of a table, which sets the number of columns; also in quotes and
#: lists.
_DELIMITERS: Final = " \t|:->*+0123456789.)"

#: How much HTML is cached, in bytes.
_MEMORY_BYTES: Final = 8 << 20

_LINK: Final = re.compile(r"!?\[([^\]\[]*)\]\([^()]*\)")
_SIGNS: Final = re.compile(r"\*+|`+|~~|(?<!\w)_+|_+(?!\w)")

#: Schemes of links that are kept. Relative links would lead to pages of the registry.
_SCHEMES: Final = ("http", "https", "mailto")

_TAGS: Final = frozenset(
    "a blockquote br code del em h3 h4 h5 h6 hr li ol p pre s strong table tbody td th thead tr ul".split()
)
_ATTRIBUTES: Final = {"a": {"href", "title"}, "ol": {"start"}}


def html_of(text: str) -> str:
    """Return safe HTML for a text in Markdown (CommonMark with tables).

    HTML in the text is escaped, images are replaced by their texts, links lead to other sites only, and
    headings start at the third level. markdown-it renders, and nh3 sanitizes the result. A text that would
    take long to render is returned unrendered in ``<pre>``.

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


def summary_of(text: str, longest: int = 200, *, name: str = "") -> str:
    """Return the first line of a description that has text, without most Markdown syntax.

    :param name: the name of the repository. A first line that says only that is left out if there is more.

    >>> summary_of("\\n# A *registry* of [images](https://example.org), `v1`\\n\\nand more")
    'A registry of images, v1'
    >>> summary_of("# Billing API\\n\\nAll that is paid", name="billing-api"), summary_of("# App", name="app")
    ('All that is paid', 'App')
    """
    lines = _lines_of_text(text, longest)
    first = next(lines, "")
    says_the_name = name != "" and _letters(first) == _letters(name)
    return next(lines, first) if says_the_name else first


def _lines_of_text(text: str, longest: int) -> Iterator[str]:
    for line in text[:LONGEST].splitlines():
        stripped = line[:_LONGEST_LINE].strip().lstrip("#>").strip()
        if stripped.strip("=-*_`~"):
            yield shown(_SIGNS.sub("", _LINK.sub(r"\1", stripped)), longest)


def _letters(text: str) -> str:
    """Return the letters and digits of a text in lower case."""
    return "".join(filter(str.isalnum, text.casefold()))


class Descriptions:
    """A size-bounded LRU cache of rendered descriptions. Safe for threads."""

    def __init__(self) -> None:
        self._memory = Remembered[str](_MEMORY_BYTES, lambda html: 4 * len(html) + 200)

    def html(self, text: str) -> str:
        """Return the HTML of a description, as :func:`html_of` makes it."""
        digest = hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()
        found = self._memory.find(digest)
        if found is None:
            found = html_of(text)
            self._memory.keep(digest, found)
        return found


def _takes_long(text: str) -> bool:
    """Say whether tables or brackets make the text too slow to render."""
    if text.count("[") > _MOST_BRACKETS:
        return True
    lines = text.split("\n")
    columns = max((line.count("|") + 1 for line in lines if not line.strip(_DELIMITERS)), default=0)
    return columns * len(lines) > _MOST_CELLS


def _renderer() -> MarkdownIt:
    from markdown_it import MarkdownIt

    renderer = MarkdownIt("commonmark", {"html": False}).enable(["table", "strikethrough"])
    # the hook of markdown-it that accepts or rejects links
    renderer.validateLink = _leads_elsewhere  # type: ignore[method-assign]
    renderer.core.ruler.push("lower_headings", _lower_headings)
    renderer.add_render_rule("image", _image_text)
    return renderer


def _leads_elsewhere(url: str) -> bool:
    return url.strip().lower().startswith(tuple(f"{scheme}:" for scheme in _SCHEMES))


def _kept_attribute(tag: str, name: str, value: str) -> str | None:
    return value if name != "href" or _leads_elsewhere(value) else None


def _lower_headings(state: Any) -> None:
    """Shift headings so that the first is of the third level and none skips a level."""
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
