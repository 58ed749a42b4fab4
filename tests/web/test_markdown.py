"""Descriptions in Markdown: what is rendered, and that the HTML is safe."""

from __future__ import annotations

import re

import pytest
from bs4 import BeautifulSoup
from hypothesis import example, given, settings
from hypothesis import strategies as st
from support.cpu_time import within_cpu
from support.reader import ATTACKS

from v1registry.web.views import markdown
from v1registry.web.views.markdown import LONGEST, html_of, summary_of

TAGS = set(
    "a blockquote br code del em h3 h4 h5 h6 hr li ol p pre s strong table tbody td th thead tr ul".split()
)


def assert_harmless(html: str) -> None:
    for element in BeautifulSoup(html, "html.parser").find_all(True):
        assert element.name in TAGS, element
        allowed = {"a": {"href", "title", "rel"}, "ol": {"start"}}.get(element.name, set())
        assert set(element.attrs) <= allowed, element
        if element.name == "a" and element.has_attr("href"):
            assert re.match(r"(https?|mailto):", str(element["href"]), re.IGNORECASE), element
            assert set(element["rel"]) == {"nofollow", "noopener", "noreferrer"}


@pytest.mark.parametrize(
    ("text", "html"),
    [
        ("plain", "<p>plain</p>"),
        ("*a* **b** `c` ~~d~~", "<p><em>a</em> <strong>b</strong> <code>c</code> <s>d</s></p>"),
        ("# a", "<h3>a</h3>"),
        ("> ## a\n\n* ### b",
         "<blockquote>\n<h3>a</h3>\n</blockquote>\n<ul>\n<li>\n<h4>b</h4>\n</li>\n</ul>"),
        ("###### a", "<h3>a</h3>"),
        ("## a\n### b\n# c\n#### d\n##### e", "<h3>a</h3>\n<h4>b</h4>\n<h3>c</h3>\n<h4>d</h4>\n<h5>e</h5>"),
        ("# 1\n## 2\n### 3\n#### 4\n##### 5", "<h3>1</h3>\n<h4>2</h4>\n<h5>3</h5>\n<h6>4</h6>\n<h6>5</h6>"),
        ("a\n===", "<h3>a</h3>"),
        ("> a", "<blockquote>\n<p>a</p>\n</blockquote>"),
        ("3. a", '<ol start="3">\n<li>a</li>\n</ol>'),
        ("```sh\nrm <x>\n```", "<pre><code>rm &lt;x&gt;\n</code></pre>"),
        ("<b>a</b> &amp; &copy;", "<p>&lt;b&gt;a&lt;/b&gt; &amp; ©</p>"),
        ("![a *cat*](https://x.example/cat.png)", "<p>a cat</p>"),
        ("[a](https://x.example/?a=1&b=2 \"t\")",
         '<p><a href="https://x.example/?a=1&amp;b=2" title="t"'
         ' rel="nofollow noopener noreferrer">a</a></p>'),
        ("<me@x.example>",
         '<p><a href="mailto:me@x.example" rel="nofollow noopener noreferrer">me@x.example</a></p>'),
    ],
)  # fmt: skip
def test_markdown_is_rendered(text: str, html: str) -> None:
    assert html_of(text).strip() == html


@pytest.mark.parametrize(
    "target",
    [
        "javascript:alert(1)", "JaVaScRiPt:alert(1)", "java\tscript:alert(1)", " javascript:alert(1)",
        "data:text/html,x",
        "vbscript:x", "file:///etc/passwd", "//evil.example", "/logout", "logout", "?q=x", "#x", "",
        "javascript&colon;alert(1)",
        "&#106;avascript:alert(1)", "%6aavascript:alert(1)", "ftp://x.example", "\x01javascript:alert(1)",
    ],
)  # fmt: skip
def test_links_lead_only_to_other_sites(target: str) -> None:
    for text in (
        f"[a]({target})",
        f"[a](<{target}>)",
        f"<{target}>",
        f"[a][1]\n\n[1]: {target}",
        f"![a]({target})",
    ):
        html = html_of(text)
        assert_harmless(html)
        assert "href" not in html


pieces = st.sampled_from(
    [*ATTACKS, "[", "](", ")", "!", "<", ">", "`", "```", "\n", "\n\n", "    ", "> ", "* ", "1. ", "# ", "|",
     "|-|-|\n", "&lt;",
     "&#x6a;", "\\", "https://x.example", "javascript:", "<a href=", "onclick=alert(1)", "<!--", "-->",
     "<![CDATA[", "\0", "\r",
     "[1]: ", "~~", "_", "**", "<svg>", "<math><mtext>", "<style>", "mailto:"]
)  # fmt: skip


# the first rendering imports the libraries, which takes longer than the default deadline under load
@settings(deadline=None)
@given(st.lists(pieces | st.text(max_size=6), max_size=30).map("".join))
@example('[a](https://x.example/"onmouseover=alert(1))')
@example('<https://x.example/"onclick="alert(1)>')
@example("\ud800")
def test_any_text_gives_safe_html(text: str) -> None:
    html = html_of(text)
    html.encode("utf-8")
    assert_harmless(html)
    summary_of(text).encode("utf-8")
    assert len(summary_of(text)) <= 201


def test_text_past_the_limit_is_cut() -> None:
    assert "end" in html_of("x" * (LONGEST - 3) + "end")
    assert "end" not in html_of("x" * LONGEST + "end")


@pytest.mark.parametrize(
    "piece",
    [
        "[",
        "![[",
        "*a ",
        "_*",
        "> ",
        "- ",
        "`",
        "|a",
        "[a](b",
        "<",
        "\\[",
        "&amp;",
        "~~",
        "[a]: b\n",
        "<a@",
        "# x\n",
        "a\n\n",
        "* * ",
    ],
)
def test_rendering_any_text_is_fast(piece: str) -> None:
    text = piece * (2 * LONGEST // len(piece))
    within_cpu(2, lambda: (html_of(text), summary_of(text)))


@pytest.mark.parametrize(
    ("text", "summary"),
    [
        ("", ""),
        ("\n \n", ""),
        ("***\n\nx", "x"),
        ("> quoted", "quoted"),
        ("```\ncode", "code"),
        ("a" * 201, "a" * 200 + "…"),
    ],
)
def test_a_summary_is_the_first_line_with_text(text: str, summary: str) -> None:
    assert summary_of(text) == summary


@pytest.mark.parametrize(
    "text",
    [
        "|a" * 4000 + "|\n" + "|-" * 4000 + "|\n" + "a\n" * 4000,
        "> * 1. |a|b|\n> * 1. " + "|:-:" * 200 + "|\n" + "> * 1. a\n" * 100,
        "![" * 10_000,
        "[" * 2001,
    ],
)
def test_text_that_renders_slowly_is_not_rendered(text: str) -> None:
    html = html_of(text + "<script>")
    assert_harmless(html)
    shown = BeautifulSoup(html, "html.parser")
    assert [element.name for element in shown.find_all(True)] == ["pre"]
    assert shown.get_text().startswith(text[:1000])
    assert len(html) < 3 * LONGEST


@pytest.mark.parametrize(
    "text",
    [
        "|a|b|c|\n|-|-|-|\n" + "|1|2|3|\n" * 1000,
        "[a](https://x.example) " * 900,
        "[" * 2000,
        "|" * 9000,
        "\n".join(["---|---"] + ["a b c"] * 3000),
    ],
)
def test_long_descriptions_are_rendered(text: str) -> None:
    assert "<pre>" not in html_of(text)


def test_a_text_is_rendered_once(monkeypatch: pytest.MonkeyPatch) -> None:
    made = []

    def make(text: str) -> str:
        made.append(text)
        return html_of(text)

    monkeypatch.setattr(markdown, "html_of", make)
    descriptions = markdown.Descriptions()
    for text in ("*a*", "*b*", "*a*", "\ud800", "\ud800"):
        assert descriptions.html(text) == html_of(text)
    assert made == ["*a*", "*b*", "\ud800"]
