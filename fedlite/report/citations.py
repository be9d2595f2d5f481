"""Which papers a scenario rests on: exactly the methods, model and data it uses, with their BibTeX.

The entries lie in `assets/citations.bib`; the tables here say which name in a scenario stands for which entry. Numbers
of device profiles have their own sources, in the profiles.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Final

from fedlite import __version__
from fedlite.client.downlink import EXACT
from fedlite.compression.structure.width import Width
from fedlite.errors import FedliteError
from fedlite.learning import objectives
from fedlite.scenario import names
from fedlite.wire import own_stage

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fedlite.scenario.schema import FleetScenario

ALWAYS: Final = {
    "the federated API and its strategies": "beutel2020flower",
    "distribution over processes": "moritz2018ray",
    "training": "paszke2019pytorch",
}
STRATEGIES: Final = {
    "fedavg": "mcmahan2017communication",
    "fedavgm": "hsu2019measuring",
    "fedprox": "li2020federated",
    "fedadam": "reddi2021adaptive",
    "fedadagrad": "reddi2021adaptive",
    "fedyogi": "reddi2021adaptive",
    "qfedavg": "li2020fair",
    "fedmedian": "yin2018byzantine",
    "fedtrimmedavg": "yin2018byzantine",
    "krum": "blanchard2017machine",
    "multikrum": "blanchard2017machine",
    "bulyan": "elmhamdi2018hidden",
    "feddf": "lin2020ensemble",
    "fedbuff": "nguyen2022federated",
    "fedasync": "xie2019asynchronous",
}
PARTITIONS: Final = {
    "dirichlet": "hsu2019measuring",
    "shards": "mcmahan2017communication",
    "pathological": "li2022noniid",
}
DATASETS: Final = {
    "digits": "alpaydin1998optical",
    "digit-scenes": "alpaydin1998optical",
    "watch": "burns2018shoulder",
    "mnist": "lecun1998gradient",
    "fashion-mnist": "xiao2017fashion",
    "cifar10": "krizhevsky2009learning",
    "shakespeare": "caldas2018leaf",
}
MODELS: Final = {
    "autoencoder": "banbury2021mlperf",
    "cnn-exits": "teerapittayanon2016branchynet",
    "char-lstm": "hochreiter1997long",
    "char-transformer": "radford2019language",
    "detector": "redmon2016you",
    "ds-cnn": "zhang2017hello",
    "efficientnet-b0": "tan2019efficientnet",
    "efficientnet-lite0": "tan2019efficientnet",
    "elastic": "cai2020once",
    "lenet5": "lecun1998gradient",
    "mobilenet-v1": "howard2017mobilenets",
    "mobilenet-v2": "sandler2018mobilenetv2",
    "mobilenet-v3-small": "howard2019searching",
    "resnet8": "banbury2021mlperf",
    "resnet8-exits": "teerapittayanon2016branchynet",
    "resnet18": "he2016deep",
    "resnet50": "he2016deep",
    "shufflenet-v2-x0.5": "ma2018shufflenet",
    "shufflenet-v2-x1.0": "ma2018shufflenet",
    "squeezenet1.1": "iandola2016squeezenet",
}
CODEC_STAGES: Final = {
    "int8": "alistarh2017qsgd",
    "int4": "alistarh2017qsgd",
    "int2": "alistarh2017qsgd",
    "topk": "stich2018sparsified",
    "sign": "karimireddy2019error",
    "rtn8": "jacob2018quantization",
    "rtn4": "jacob2018quantization",
    "rtn2": "jacob2018quantization",
    "randk": "wangni2018gradient",
    "threshold": "sahu2021rethinking",
    "drive": "vargaftik2021drive",
    "eden": "vargaftik2022eden",
    "range": "bamler2022understanding",
    "kmeans": "han2016deep",
    "lowrank": "vogels2019powersgd",
    "zstd": "collet2021zstandard",
}
MECHANISMS: Final = {
    "client-fixed-clipping": "mcmahan2018learning",
    "server-fixed-clipping": "mcmahan2018learning",
    "client-adaptive-clipping": "andrew2021differentially",
    "server-adaptive-clipping": "andrew2021differentially",
}
SECURE_AGGREGATION: Final = "bonawitz2017practical"
NEIGHBOURS: Final = "bell2020secure"
ATTACKS: Final = {
    "inversion": "geiping2020inverting",
    "inversion dlg": "zhu2019deep",
    "label": "zhao2020idlg",
    "membership": "carlini2022membership",
    "membership by the loss": "yeom2018privacy",
    "property": "melis2019exploiting",
}
CANARIES: Final = {"canary clients": "andrew2023oneshot", "an audit of one run": "steinke2023privacy"}
GAUSSIAN: Final = "balle2018improving"
ERROR_FEEDBACK: Final = "karimireddy2019error"
DIFFERENCES: Final = "philippenko2021preserved"
GROUP_NORM: Final = "wu2018group"
GROUP_NORM_BY_DEFAULT: Final = {
    "autoencoder",
    "detector",
    "ds-cnn",
    "efficientnet-b0",
    "efficientnet-lite0",
    "elastic",
    "mobilenet-v1",
    "mobilenet-v2",
    "mobilenet-v3-small",
    "resnet8",
    "resnet8-exits",
    "resnet18",
    "resnet50",
    "shufflenet-v2-x0.5",
    "shufflenet-v2-x1.0",
}
PRODUCTION_RULES: Final = "bonawitz2019towards"


@dataclass(frozen=True)
class Citation:
    """One entry and what it is cited for."""

    key: str
    uses: tuple[str, ...]
    bibtex: str


@cache
def entries() -> dict[str, str]:
    """Return every entry of the bibliography by its key, fedlite's own included."""
    text = files("fedlite.report").joinpath("assets/citations.bib").read_text(encoding="utf-8")
    blocks = [block.strip() for block in text.split("\n\n") if block.strip()]
    return {block[block.index("{") + 1 : block.index(",")]: block for block in blocks} | {"fedlite": _own()}


def _own() -> str:
    return (
        "@software{fedlite,\n  title   = {fedlite: federated on-device learning, simulated},\n"
        f"  author  = {{{{The fedlite authors}}}},\n  version = {{{__version__}}},\n}}"
    )


def cited(scenario: FleetScenario | None = None) -> list[Citation]:
    """Return what a scenario rests on, in the order of first use; without one only the software of every run."""
    uses: dict[str, list[str]] = {"fedlite": ["this simulator"]}
    pairs = list(ALWAYS.items()) + ([] if scenario is None else list(_uses(scenario)))
    for use, key in pairs:
        if use not in uses.setdefault(key, []):
            uses[key].append(use)
    known = entries()
    return [_citation(key, tuple(found), known) for key, found in uses.items()]


def _citation(key: str, uses: tuple[str, ...], known: dict[str, str]) -> Citation:
    """Return an entry of the bibliography, or the one that a part of the user's own brings as BibTeX."""
    if key.lstrip().startswith("@") and "," in key.partition("{")[2]:
        return Citation(key[key.index("{") + 1 : key.index(",")].strip(), uses, key.strip())
    if key not in known:
        raise FedliteError(
            f"cites: got {key!r} for {uses[0]}, expected a key of fedlite's bibliography or a whole BibTeX entry; "
            "write '@article{key, ...}'"
        )
    return Citation(key, uses, known[key])


def _uses(scenario: FleetScenario) -> Iterator[tuple[str, str]]:
    """Yield (what for, key) for everything that a scenario uses and that has a paper."""
    training = scenario.training
    yield from _named("strategy", STRATEGIES, training.strategy.name)
    if scenario.protocol or scenario.over_select > 1 or scenario.fleet.availability.kind == "diurnal":
        yield "over-selection and rules of eligibility", PRODUCTION_RULES
    yield from _task(scenario)
    yield from _plans(scenario)
    yield from _codec(*scenario.wire.up, *scenario.wire.down)
    yield from _differences(scenario.wire.delta)
    if scenario.wire.error_feedback:
        yield "error feedback", ERROR_FEEDBACK
    mechanism = scenario.privacy.mechanism
    yield from _named("privacy mechanism", MECHANISMS, mechanism)
    if scenario.privacy.secure_aggregation is not None:
        yield "secure aggregation", SECURE_AGGREGATION
        if scenario.privacy.secure_aggregation.neighbours is not None:
            yield "secure aggregation among neighbours", NEIGHBOURS
    if mechanism != "none":
        yield "the noise and the epsilon of a Gaussian mechanism", GAUSSIAN
    if scenario.adversary is not None:
        yield from ((f"attack {name}", key) for name, key in ATTACKS.items())
        yield from CANARIES.items() if scenario.adversary.canaries else ()


def _task(scenario: FleetScenario) -> Iterator[tuple[str, str]]:
    task = scenario.task
    if task is None:
        return
    yield from _named("data", DATASETS, task.data_name)
    yield from _named("partition", PARTITIONS, task.partition.kind)
    yield from _named("model", MODELS, task.model.name)
    if task.layers is not None:
        yield from ((f"layers {task.layers.name}", key) for key in task.layers.cites)
    objective = names.objective_of(task.data) if task.objective == "auto" else task.objective
    if objective is not None and (objective in objectives.OBJECTIVES or names.is_reference(objective)):
        yield from ((f"objective {objective}", key) for key in objectives.objective(objective).cites)
    if task.model.norm == "group" or (task.model.norm is None and task.model.name in GROUP_NORM_BY_DEFAULT):
        yield "group normalisation", GROUP_NORM


def _plans(scenario: FleetScenario) -> Iterator[tuple[str, str]]:
    if any(plan.auto for _, plan in scenario.written_plans):
        yield from ((Width.name, key) for key in Width.cites)
    for rule in scenario.clients:
        if rule.choose is not None:
            yield from ((rule.choose.name, key) for key in rule.choose.cites)
    for plan in [plan.plan(scenario.wire.up, scenario.wire.down) for _, plan in scenario.written_plans]:
        for part in plan.parts:
            yield from ((part.name, key) for key in part.cites)
        yield from _codec(*plan.up, *plan.down)
        yield from _differences(plan.delta)
    if any(plan.error_feedback for _, plan in scenario.written_plans):
        yield "error feedback", ERROR_FEEDBACK


def _differences(delta: tuple[str, ...]) -> Iterator[tuple[str, str]]:
    if delta:
        yield "differences to what a device holds", DIFFERENCES
    if delta != EXACT:
        yield from _codec(*delta)


def _codec(*stages: str) -> Iterator[tuple[str, str]]:
    for stage in stages:
        yield from _named("codec stage", CODEC_STAGES, stage.partition(":")[0])
        if own_stage.is_reference(stage):
            made = own_stage.imported(stage)[1]
            yield from ((f"codec stage {stage}", key) for key in getattr(made, "cites", ()))


def _named(what: str, table: dict[str, str], name: str) -> Iterator[tuple[str, str]]:
    if name in table:
        yield f"{what} {name}", table[name]
