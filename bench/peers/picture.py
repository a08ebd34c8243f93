"""A picture of the first table for the README, light or dark as the reader's screen asks.

Its bars are requests for each second of processor time: on a quiet machine that is the ratio of the rates, and on a busy one
it still holds.
"""

from html import escape

from table import REFERENCES, case_rows

WIDTH, LEFT, RIGHT, TOP, STEP, BAR = 780, 310, 100, 58, 26, 16
STYLE = """
svg { font: 13px system-ui, -apple-system, "Segoe UI", Helvetica, Arial, sans-serif; }
.page { fill: #ffffff; } .text { fill: #1f2328; } .faint { fill: #59636e; } .bar { fill: #a9b4c0; } .ours { fill: #0b6bcb; }
.limit { fill: #6e7781; } .spread { stroke: #1f2328; stroke-width: 1.2; } .grid { stroke: #d1d9e0; }
@media (prefers-color-scheme: dark) {
  .page { fill: #0d1117; } .text { fill: #e6edf3; } .faint { fill: #9198a1; } .bar { fill: #4b5563; } .ours { fill: #4a9eff; }
  .limit { fill: #7d8590; } .spread { stroke: #e6edf3; } .grid { stroke: #2b323b; }
}
"""


def svg(report):
    """The picture, by the first reference that has figures, or nothing without one."""
    case = report["cases"].get("get", {"subjects": {}})
    reference = next((key for key in REFERENCES if any(case["subjects"].get(key, {"rounds": []})["rounds"])), None)
    if reference is None:
        return None
    rows = [
        (key, name, efficiency(*row[f"cpu_of_{reference}"]))
        for key, name, row in case_rows(case["subjects"])
        if row and row.get(f"cpu_of_{reference}")
    ]
    rows.sort(key=lambda found: -found[2][0])
    most = max(greatest for _, _, (_, _, greatest) in rows)
    height = TOP + STEP * len(rows) + 34
    scale = (WIDTH - LEFT - RIGHT) / most
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}" role="img" '
        'aria-labelledby="title">',
        f'<title id="title">{escape(spoken(rows, reference))}</title>',
        f"<style>{STYLE}</style>",
        f'<rect class="page" width="{WIDTH}" height="{height}" rx="6"/>',
        f'<text class="text" x="16" y="24" font-weight="600">Requests for each second of processor time, {REFERENCES[reference]} = 1.00</text>',
        f'<text class="faint" x="16" y="43">{escape(case["title"])}; median of {report["options"]["rounds"]} rounds, '
        "the line is least to most</text>",
    ]
    for tick in range(int(most * 4) + 1):
        x = LEFT + tick / 4 * scale
        bottom = TOP + STEP * len(rows)
        parts.append(f'<line class="grid" x1="{x:.1f}" y1="{TOP - 4}" x2="{x:.1f}" y2="{bottom}"/>')
        parts.append(f'<text class="faint" x="{x:.1f}" y="{bottom + 17}" text-anchor="middle">{tick / 4:.2f}</text>')
    for index, (key, name, (median, least, greatest)) in enumerate(rows):
        y = TOP + STEP * index
        middle = y + BAR / 2
        ours = "doorward" in key
        kind = "ours" if ours else "limit" if key == reference else "bar"
        weight = ' font-weight="600"' if ours else ""
        parts += [
            f'<text class="text" x="{LEFT - 10}" y="{middle + 4.5}" text-anchor="end"{weight}>{escape(name)}</text>',
            f'<rect class="{kind}" x="{LEFT}" y="{y}" width="{median * scale:.1f}" height="{BAR}" rx="2"/>',
            f'<line class="spread" x1="{LEFT + least * scale:.1f}" y1="{middle}" x2="{LEFT + greatest * scale:.1f}" y2="{middle}"/>',
            f'<text class="text" x="{LEFT + greatest * scale + 8:.1f}" y="{middle + 4.5}"{weight}>{median:.2f}</text>',
        ]
    return "\n".join([*parts, "</svg>", ""])


def efficiency(median, least, greatest):
    """Work for each second of processor time, from the time that a piece of work takes."""
    return 1 / median, 1 / greatest, 1 / least


def spoken(rows, reference):
    """The picture in words."""
    return f"Requests for each second of processor time, by those of {REFERENCES[reference]}: " + ", ".join(
        f"{name} {median:.2f}" for _, name, (median, _, _) in rows
    )
