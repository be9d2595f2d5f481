"""The figures of docs/device-model.md as plain SVG: predicted against measured, residuals by dominant op class."""

from __future__ import annotations

from collections import defaultdict

import numpy as np

from fedlite.devices.features import TERMS

WIDTH, HEIGHT, LEFT, BOTTOM, TOP, RIGHT = 640, 480, 70, 50, 36, 20
COLOURS = {"ncnn-fp32": "#0072b2", "ncnn-fp16": "#d55e00", "ncnn-int8": "#009e73", "mcu-latency": "#cc79a7"}
"""Okabe-Ito: told apart by colour-blind readers."""


def _frame(title, x_label, y_label, body):
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" font-family="sans-serif" '
        f'font-size="12">\n<title>{title}</title>\n<rect width="{WIDTH}" height="{HEIGHT}" fill="white"/>\n'
        f'<text x="{WIDTH / 2}" y="20" text-anchor="middle" font-size="14">{title}</text>\n'
        f'<text x="{WIDTH / 2}" y="{HEIGHT - 10}" text-anchor="middle">{x_label}</text>\n'
        f'<text x="16" y="{HEIGHT / 2}" text-anchor="middle" transform="rotate(-90 16 {HEIGHT / 2})">{y_label}</text>\n'
        + "\n".join(body)
        + "\n</svg>\n"
    )


def _scale(low, high, start, end):
    return lambda value: round(start + (value - low) / (high - low) * (end - start), 1)


def predicted_against_measured(predictions, title):
    """Return an SVG of log10 milliseconds, with the 25 % corridor."""
    logs = [(p.group, np.log10(1e3 * p.measured_s), np.log10(1e3 * p.predicted_s)) for p in predictions]
    low = np.floor(min(min(m, q) for _, m, q in logs))
    high = np.ceil(max(max(m, q) for _, m, q in logs))
    x, y = _scale(low, high, LEFT, WIDTH - RIGHT), _scale(low, high, HEIGHT - BOTTOM, TOP)
    corridor = np.log10(1.25)
    body = []
    for decade in range(int(low), int(high) + 1):
        label = f"{10.0**decade:g}"
        grid = f"M{x(decade)} {TOP}V{HEIGHT - BOTTOM}M{LEFT} {y(decade)}H{WIDTH - RIGHT}"
        body.append(f'<path d="{grid}" stroke="#ddd"/>')
        body.append(f'<text x="{x(decade)}" y="{HEIGHT - BOTTOM + 16}" text-anchor="middle">{label}</text>')
        body.append(f'<text x="{LEFT - 6}" y="{y(decade) + 4}" text-anchor="end">{label}</text>')
    for shift, dash in ((0.0, "none"), (corridor, "4 3"), (-corridor, "4 3")):
        line = f"M{x(low)} {y(low + shift)}L{x(high)} {y(high + shift)}"
        body.append(f'<path d="{line}" stroke="#555" stroke-dasharray="{dash}"/>')
    for group, measured, predicted in logs:
        colour = COLOURS.get(group, "#999")
        body.append(f'<circle cx="{x(measured)}" cy="{y(predicted)}" r="2.2" fill="{colour}" fill-opacity="0.55"/>')
    for line, group in enumerate(sorted({g for g, _, _ in logs})):
        body.append(f'<circle cx="{LEFT + 14}" cy="{TOP + 14 + 16 * line}" r="4" fill="{COLOURS.get(group, "#999")}"/>')
        body.append(f'<text x="{LEFT + 24}" y="{TOP + 18 + 16 * line}">{group}</text>')
    return _frame(title, "measured, ms", "predicted, ms", body)


def residuals_by_class(predictions, title):
    """Return an SVG of log2(predicted / measured) by the op class that takes most of the time: 10/25/50/75/90 %."""
    table = defaultdict(list)
    for p in predictions:
        table[p.group, p.dominant].append(p.log_error / np.log(2))
    keys = [key for key in sorted(table) if len(table[key]) >= 5]
    x = _scale(-0.5, len(keys) - 0.5, LEFT, WIDTH - RIGHT)
    y = _scale(-1.0, 1.0, HEIGHT - BOTTOM - 70, TOP)
    body = []
    for level, label in ((-1, "half"), (-0.322, "-20 %"), (0, "equal"), (0.322, "+25 %"), (1, "double")):
        body.append(f'<path d="M{LEFT} {y(level)}H{WIDTH - RIGHT}" stroke="#ddd"/>')
        body.append(f'<text x="{LEFT - 6}" y="{y(level) + 4}" text-anchor="end">{label}</text>')
    for place, (group, dominant) in enumerate(keys):
        q10, q25, q50, q75, q90 = np.clip(np.quantile(table[group, dominant], [0.1, 0.25, 0.5, 0.75, 0.9]), -1, 1)
        colour, centre = COLOURS.get(group, "#999"), x(place)
        body.append(f'<path d="M{centre} {y(q10)}V{y(q90)}" stroke="{colour}"/>')
        box = f'y="{y(q75)}" width="16" height="{round(y(q25) - y(q75), 1)}"'
        body.append(f'<rect x="{centre - 8}" {box} fill="{colour}" fill-opacity="0.4" stroke="{colour}"/>')
        body.append(f'<path d="M{centre - 8} {y(q50)}h16" stroke="black" stroke-width="2"/>')
        label, foot = f"{group} {TERMS[dominant]} ({len(table[group, dominant])})", HEIGHT - BOTTOM - 58
        body.append(
            f'<text x="{centre}" y="{foot}" font-size="9" text-anchor="end" '
            f'transform="rotate(-40 {centre} {foot})">{label}</text>'
        )
    return _frame(title, "", "predicted / measured", body)
