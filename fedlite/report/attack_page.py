"""The pages of attacks and audits on a run: what was seen, what came of it, and beside it what a guess would give."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from fedlite.report.figure import TextTable
from fedlite.report.figures import attack_roc, canary_scores
from fedlite.report.markup import Safe, safe_join, tag
from fedlite.report.page import Page, Section, Tile, write_page
from fedlite.report.pictures import picture

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

SEES: Final = {
    "updates": "the server, which sees every single update",
    "sums": "a server that sees each round's mean alone, as under secure aggregation",
    "models": "whoever gets the released models",
}
_MOST_ROWS: Final = 60

Made = tuple[str, list[Tile], list[Section]]
"""The answer, the tiles and the sections of a page."""


def write_attack_page(told: Mapping[str, Any], pictures: Sequence[Mapping[str, Any]], title: str, path: Path) -> Path:
    """Write the page of an attack, or of an audit, and return where it is.

    Parameters
    ----------
    told : mapping
        What the command tells with `--json`.
    pictures : sequence of mappings
        Of an inversion: who, round, truth, guess, psnr_db, ssim.
    title : str
        Of the run.
    path : Path
    """
    kind = str(told.get("attack", "audit"))
    make = {
        "inversion": _inversion,
        "membership": _membership,
        "label": _labels,
        "property": _property,
        "audit": _audit,
    }[kind]
    answer, tiles, sections = make(told, pictures)
    remark = tag("span", f"The adversary is {SEES[told['sees']]}. Attacks show what leaks, never that nothing does.")
    what = "An audit with canaries" if kind == "audit" else f"An attack: {kind}"
    return write_page(Page(title, what, tag("span", answer), tiles, sections, remark), path)


def sentence(told: Mapping[str, Any]) -> str:
    """Return what came of an attack or an audit in one sentence."""
    kind = str(told.get("attack", "audit"))
    if kind == "inversion":
        return (
            f"Reconstructions reach {told['psnr_db']:.1f} dB in the mean, where the mean picture of public data has"
            f" {told['baseline_db']:.1f}; {told['recovered']:.0%} reach {told['recovered_db']:g} dB."
        )
    if kind == "membership":
        name, best = max(told["scores"].items(), key=lambda each: (each[1]["tpr_at_0.01"], each[1]["auc"]))
        return (
            f"{name} catches {best['tpr_at_0.01']:.1%} of the members at 1 % false alarms and"
            f" {best['tpr_at_0.001']:.1%} at 0.1 %; AUC {best['auc']:.3f}, where a guess has 0.5."
        )
    if kind == "label":
        return (
            f"The likeliest label is among the client's own in {told['likeliest_is_there']:.0%} of the updates, where"
            f" the commonest guess is in {told['guess_is_there']:.0%}."
        )
    if kind == "property":
        return (
            f"Whether {told['property']} is told rightly of {told['accuracy']:.0%} of {told['clients']} updates, where"
            f" one guess for all is right about {told['guess_accuracy']:.0%}; AUC {told['auc']:.3f}."
        )
    return _verdict(told)


def _verdict(told: Mapping[str, Any]) -> str:
    bound = f"With {told['confidence']:.0%} confidence epsilon is at least {told['epsilon_lower']:.3g}"
    at = f"at delta {told['delta']:g}"
    if told["kept"] is None:
        return f"{bound} {at}; nothing is stated to hold it against: {told['stated_why']}."
    stated = f"{told['epsilon_stated']:.3g} is stated"
    if told["kept"]:
        return f"{bound} {at}, and {stated}: nothing contradicts it."
    return f"{bound} {at}, and {stated}: the mechanism does not keep what the run states."


def _inversion(told: Mapping[str, Any], pictures: Sequence[Mapping[str, Any]]) -> Made:
    tiles = [
        Tile("Reconstruction", f"{told['psnr_db']:.1f} dB", "mean PSNR of true and guessed inputs"),
        Tile("Mean picture", f"{told['baseline_db']:.1f} dB", "what no attack at all comes to"),
        Tile("Recovered", f"{told['recovered']:.0%}", f"of true inputs, from {told['recovered_db']:g} dB on"),
    ]
    rows = tuple(
        (
            str(one["round"]),
            "all" if one["device"] is None else str(one["device"]),
            str(one["examples"]),
            f"{one['psnr_db']:.1f}",
            f"{one['best_db']:.1f}",
            f"{one['baseline_db']:.1f}",
            f"{one['ssim']:.3f}",
        )
        for one in told["observations"][:_MOST_ROWS]
    )
    head = ("Round", "Device", "Examples", "Mean dB", "Best dB", "Mean picture dB", "SSIM")
    table = TextTable("What was seen, and how like the guesses are", head, rows, frozenset(range(1, len(head))))
    lead = "True inputs, and under each the guess that is nearest to it, which nobody but an oracle could pick."
    return (
        sentence(told),
        tiles,
        [
            Section("pictures", "Pictures", lead, [_gallery(told, pictures)]),
            Section("observations", "Observations", f"By {told['method']} inversion.", [table]),
        ],
    )


def _gallery(told: Mapping[str, Any], pictures: Sequence[Mapping[str, Any]]) -> Safe | None:
    low, high = told["span"]
    shown = []
    for one in pictures:
        where = f"{one['who']}, round {one['round']}"
        truth = picture(one["truth"], low, high, f"a true input of {where}")
        guess = picture(one["guess"], low, high, f"the guess for it, {one['psnr_db']:.1f} dB")
        if truth is None or guess is None:
            return None
        words = tag("figcaption", f"{one['psnr_db']:.1f} dB, SSIM {one['ssim']:.2f}")
        style = "display: inline-block; margin: 0 1rem 1rem 0; padding: 0; border: 0; width: auto"
        shown.append(tag("figure", tag("div", truth), tag("div", guess), words, style=style))
    return tag("div", safe_join(shown), class_="card") if shown else None


def _membership(told: Mapping[str, Any], _: Any) -> Made:
    tiles = [
        Tile(name, f"{score['tpr_at_0.01']:.1%}", f"caught at 1 % false alarms; AUC {score['auc']:.3f}")
        for name, score in told["scores"].items()
    ]
    lead = (
        f"{told['shadows']} shadow models, each trained on half of the examples; passes over them: {told['passes']}."
        if told["shadows"]
        else "Without shadow models."
    )
    return sentence(told), tiles, [Section("curves", "Curves", lead, [attack_roc.of_membership(told)])]


def _labels(told: Mapping[str, Any], _: Any) -> Made:
    tiles = [
        Tile("Likeliest label is there", f"{told['likeliest_is_there']:.0%}", f"a guess: {told['guess_is_there']:.0%}"),
        Tile(
            "Right about a class",
            f"{told['presence_accuracy']:.0%}",
            f"one guess for all: {told['guess_accuracy']:.0%}",
        ),
    ]
    rows = tuple(
        (
            str(one["round"]),
            str(one["device"]),
            str(one["examples"]),
            ", ".join(map(str, one["told"])),
            ", ".join(map(str, one["true"])),
        )
        for one in told["observations"][:_MOST_ROWS]
    )
    head = ("Round", "Device", "Examples", "Told", "True")
    table = TextTable("Labels told, and those that are there", head, rows, frozenset({1, 2}))
    return sentence(told), tiles, [Section("observations", "Observations", None, [table])]


def _property(told: Mapping[str, Any], _: Any) -> Made:
    tiles = [
        Tile("Told rightly", f"{told['accuracy']:.0%}", f"one guess for all: {told['guess_accuracy']:.0%}"),
        Tile("AUC", f"{told['auc']:.3f}", "a guess: 0.5"),
        Tile("Updates", str(told["clients"]), f"{told['with_property']} of them with the property"),
    ]
    return sentence(told), tiles, []


def _audit(told: Mapping[str, Any], _: Any) -> Made:
    stated = told["epsilon_stated"]
    tiles = [
        Tile("At least", f"{told['epsilon_lower']:.3g}", f"epsilon at delta {told['delta']:g}"),
        Tile("Stated", "nothing" if stated is None else f"{stated:.3g}", told["stated_why"]),
        Tile("Canaries", str(told["canaries"]), f"{told['included']} of them in"),
    ]
    lead = "A lower bound above what is stated disproves it; one below proves nothing."
    return sentence(told), tiles, [Section("scores", "Scores", lead, [canary_scores.of_audit(told)])]
