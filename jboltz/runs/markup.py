"""The pieces of a report's page: everything that comes from a run is escaped here."""

import html
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

CENTRES = ("value", "mean", "median", "gap")
"""What an estimate calls its number."""

_STYLE = """
:root { color-scheme: light dark; --line: #8886; }
body { font: 1rem/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto;
  padding: 0 1rem; background: Canvas; color: CanvasText; }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; }
th, td { border-bottom: 1px solid var(--line); padding: .25rem .75rem .25rem 0;
  text-align: left; vertical-align: top; overflow-wrap: anywhere; }
th[scope=row] { font-weight: normal; width: 45%; }
figure { margin: 1rem 0; display: inline-block; max-width: 100%; }
figcaption { font-weight: 600; }
img { max-width: 100%; height: auto; background: white; }
svg { width: 28rem; max-width: 100%; height: auto; }
[role=status] { border-left: .3rem solid; padding-left: .75rem; }
@media print { body { max-width: none; margin: 0; }
  figure, tr { break-inside: avoid; } }
"""


class Table(NamedTuple):
    """Column heads, and rows whose first entry names the row."""

    heads: tuple[str, ...]
    rows: list[tuple[Any, ...]]


def text(value: Any) -> str:
    """A value as escaped text: numbers short, True and False in words."""
    if value is None:
        return "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, list):
        if len(value) <= 12:
            return ", ".join(map(text, value))
        return f"{len(value)} entries, {text(value[0])} to {text(value[-1])}"
    return html.escape(str(value))


def join(parts: Iterable[str]) -> str:
    return "\n".join(parts)


def interval(entry: Mapping[str, Any]) -> tuple[Any, str, dict[str, Any]]:
    """An estimate's number, how well it is known, and the fields beside these.

    The number is None where the entry is no estimate.
    """
    centre = next((name for name in CENTRES if name in entry), None)
    if centre is None or isinstance(entry[centre], dict | list):
        return None, "", dict(entry)
    rest = {name: value for name, value in entry.items() if name != centre}
    known = []
    if {"lower", "upper"} <= rest.keys():
        lower, upper = rest.pop("lower"), rest.pop("upper")
        if lower != upper:
            known.append(f"{text(lower)} to {text(upper)}")
    if "quartiles" in rest:
        known.append("quartiles " + " to ".join(map(text, rest.pop("quartiles"))))
    if "standard_error" in rest:
        known.append(f"standard error {text(rest.pop('standard_error'))}")
    return entry[centre], "; ".join(known), rest


def table(content: Table) -> str:
    """Empty for a table without rows."""
    if not content.rows:
        return ""
    heads = join(f'<th scope="col">{text(head)}</th>' for head in content.heads)
    rows = join(
        f'<tr><th scope="row">{text(name)}</th>'
        + join(f"<td>{text(cell)}</td>" for cell in cells)
        + "</tr>"
        for name, *cells in content.rows
    )
    return f"<table><thead><tr>{heads}</tr></thead><tbody>{rows}</tbody></table>"


def listing(items: Sequence[tuple[str, str]]) -> str:
    """(where, sentence) pairs; empty without any."""
    if not items:
        return ""
    entries = (
        f"<li>{f'<strong>{text(where)}:</strong> ' if where else ''}{text(line)}</li>"
        for where, line in items
    )
    return f"<ul>{join(entries)}</ul>"


def figure(name: str, png: str, owner: str) -> str:
    """A picture, base64, inside the page."""
    title = name.replace("_", " ")
    alternative = text(f"Figure of {owner}: {title}")
    return (
        f"<figure><figcaption>{text(title)}</figcaption>"
        f'<img alt="{alternative}" src="data:image/png;base64,{png}"></figure>'
    )


def curve(name: str, epochs: Sequence[float], values: Sequence[float]) -> str:
    """One curve as inline SVG, its ends and its range in words."""
    points = [(x, y) for x, y in zip(epochs, values, strict=True) if math.isfinite(y)]
    missing = len(values) - len(points)
    if not points:
        return f"<p>{text(name)}: no finite value in {len(values)} epochs.</p>"
    (first, start), (last, end) = points[0], points[-1]
    low, high = min(y for _, y in points), max(y for _, y in points)
    width, height, left, top = 300, 120, 64, 8

    def place(x: float, y: float) -> str:
        across = (x - first) / (last - first) if last > first else 0.5
        up = (y - low) / (high - low) if high > low else 0.5
        return f"{left + width * across:.2f},{top + height * (1 - up):.2f}"

    said = f"{text(start)} in epoch {text(first)}, {text(end)} in epoch {text(last)}"
    said += f"; {missing} not finite" if missing else ""
    line = " ".join(place(x, y) for x, y in points)
    x_end, y_end = place(*points[-1]).split(",")
    bottom = top + height
    return f"""<figure><figcaption>{text(name)}</figcaption>
<svg viewBox="0 0 384 152" role="img" aria-label="{text(name)}: {said}">
<g fill="none" stroke="currentColor">
<path opacity=".5" d="M{left},{top}V{bottom}h{width}"/>
<polyline stroke-width="2" points="{line}"/></g>
<g fill="currentColor" font-size="11"><circle cx="{x_end}" cy="{y_end}" r="3"/>
<text x="{left - 4}" y="{top + 8}" text-anchor="end">{high:.4g}</text>
<text x="{left - 4}" y="{bottom}" text-anchor="end">{low:.4g}</text>
<text x="{left}" y="{bottom + 16}">epoch {text(first)}</text>
<text x="{left + width}" y="{bottom + 16}" text-anchor="end">{text(last)}</text></g>
</svg><div>{said}</div></figure>"""


def document(title: str, summary: str, sections: Mapping[str, str]) -> str:
    """The page; sections without content are left out."""
    body = join(
        f"<section><h2>{text(head)}</h2>\n{content}</section>"
        for head, content in sections.items()
        if content
    )
    return f"""<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{text(title)}</title><style>{_STYLE}</style></head>
<body><header><h1>{text(title)}</h1><p>{text(summary)}</p></header>
<main>{body}</main></body></html>
"""
