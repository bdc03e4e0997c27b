"""The HTML of a report: tables, pictures and the page around them, all text escaped."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterable, Sequence
from html import escape
from importlib.resources import files
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# The page may load nothing, not even from the machine it lies on.
_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta http-equiv="Content-Security-Policy"
  content="default-src 'none'; img-src data:; style-src 'unsafe-inline'">
<link rel="icon" href="data:,">
<title>{title} - fastnn report</title>
<style>
{style}</style>
</head>
<body>
<header>
<h1>{title}</h1>
<p>{subtitle}</p>
{key}
{missing}
</header>
<main>
{sections}
</main>
<footer>{footer}</footer>
</body>
</html>
"""


def page(
    title: str,
    subtitle: str,
    key: Iterable[tuple[str, str]],
    missing: Sequence[str],
    sections: Iterable[str],
    footer: str,
) -> str:
    """The whole document; of the arguments, `sections` alone are HTML already."""
    figures = "\n".join(
        f"<div><dt>{escape(name)}</dt><dd>{escape(value)}</dd></div>" for name, value in key
    )
    notes = "".join(f"<li>{escape(text)}</li>\n" for text in missing)
    return _PAGE.format(
        title=escape(title),
        subtitle=escape(subtitle),
        style=files(__package__).joinpath("page.css").read_text(encoding="utf-8"),
        key=f'<dl class="key">\n{figures}\n</dl>',
        missing=f'<div class="missing"><p>Left out:</p>\n<ul>\n{notes}</ul></div>' if notes else "",
        sections="\n".join(sections),
        footer=escape(footer),
    )


def section(heading: str, *content: str, note: str = "") -> str:
    """A part of the page under a heading."""
    name = heading.lower().replace(" ", "-")
    text = f'<p class="note">{escape(note)}</p>\n' if note else ""
    return (
        f'<section aria-labelledby="{name}">\n<h2 id="{name}">{escape(heading)}</h2>\n{text}'
        + "\n".join(content)
        + "\n</section>"
    )


def table(
    caption: str,
    head: Sequence[str],
    rows: Iterable[Sequence[str]],
    numbers: Sequence[bool],
    best: int | None = None,
) -> str:
    """A table that scrolls by itself; row number `best` is marked. `numbers`: right-aligned."""
    kind = [' class="number"' if number else "" for number in numbers]
    names = "".join(
        f'<th scope="col"{k}>{escape(name)}</th>' for name, k in zip(head, kind, strict=True)
    )
    lines = []
    for i, row in enumerate(rows):
        first, *rest = (f"{k}>{escape(cell)}" for cell, k in zip(row, kind, strict=True))
        cells = "".join(f"<td{cell}</td>" for cell in rest)
        mark = ' class="best"' if i == best else ""
        lines.append(f'<tr{mark}><th scope="row"{first}</th>{cells}</tr>')
    return _scrolling(
        "div",
        caption,
        f"<table>\n<caption>{escape(caption)}</caption>\n<thead><tr>{names}</tr></thead>\n"
        "<tbody>\n" + "\n".join(lines) + "\n</tbody>\n</table>",
    )


def chart(figure: Figure, alt: str) -> str:
    """Lines and bars: an SVG, sharp at any size, whose colours follow the page's scheme."""
    options = {"transparent": True, "metadata": {"Date": None}}
    return f'<figure class="chart">{_image(figure, "svg", alt, options)}</figure>'


def picture(figure: Figure, alt: str) -> str:
    """Pixels: a PNG, never narrower than readable, which scrolls by itself on a narrow screen."""
    return _scrolling("figure", alt, _image(figure, "png", alt, {"dpi": 160}))


def _scrolling(tag: str, label: str, content: str) -> str:
    # Focusable, so that a keyboard can scroll it.
    return (
        f'<{tag} class="scroll" tabindex="0" role="region" aria-label="{escape(label)}">'
        f"{content}</{tag}>"
    )


def _image(figure: Figure, kind: str, alt: str, options: dict[str, Any]) -> str:
    buffer = io.BytesIO()
    figure.savefig(buffer, format=kind, **options)
    width, height = (round(inches * 96) for inches in figure.get_size_inches())
    narrowest = f"min-width: {round(width * 0.7)}px; " if kind == "png" else ""
    mime = "image/svg+xml" if kind == "svg" else "image/png"
    return (
        f'<img alt="{escape(alt)}" width="{width}" height="{height}" '
        f'style="{narrowest}max-width: {width}px" '
        f'src="data:{mime};base64,{base64.b64encode(buffer.getvalue()).decode()}">'
    )
