"""The `clients` section: which device class trains which compressed form of the model; the first fitting rule holds."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal

from pydantic import BeforeValidator, Field, PlainSerializer, model_validator

from fedlite.compression.part import Part, PartError
from fedlite.devices.profile import Tier
from fedlite.errors import quoted
from fedlite.scenario import names, spelling
from fedlite.scenario.base import Section, at_most, mistake
from fedlite.scenario.conditions import When
from fedlite.scenario.parts import ChooserPart, ConstraintPart, DeliveryPart, StagePart, StructurePart, TermPart
from fedlite.scenario.plan_techniques import TechniqueRecipe
from fedlite.scenario.quantities import Bytes, Joules, Means, PartialFraction, PositiveFraction, Seconds
from fedlite.scenario.wire import Codec, Delta, DownCodec

if TYPE_CHECKING:
    from fedlite.compression.constraint.base import Constraint
    from fedlite.compression.plan import Plan
    from fedlite.compression.structure.base import Structure
    from fedlite.scenario.spelling import Spelling

TierName = Annotated[
    str,
    names.after(names.checked("a tier", lambda: [tier.value for tier in Tier])),
    Means("device tier, such as `mcu`", lambda: spelling.one_of(tier.value for tier in Tier)),
]


MenuName = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9 ._%+-]{0,59}$"), Means("name of a plan")]

MAX_RULES: Final = 300
"""One for each tier and each profile of the longest mix, and some to spare."""
MAX_PARTS: Final = 20
"""Of one kind in one plan."""
_ANY: Final = "any"
_PLAIN: Final = ("fp32",)


class Selector(Section):
    """Which devices a rule is for: all of a tier, all of a profile, or any (then both keys are unset)."""

    tier: TierName | None = None
    """Every profile of this tier."""
    profile: str | None = None
    """The profile of this name."""

    @model_validator(mode="after")
    def _not_both(self) -> Selector:
        if self.tier is not None and self.profile is not None:
            raise mistake("got both tier and profile, expected one", "keep the profile, whose tier is known")
        return self

    def fits(self, *, profile: str, tier: str) -> bool:
        """Tell whether a device of this profile and tier is meant."""
        return self.who == _ANY or self.profile == profile or self.tier == tier

    @property
    def who(self) -> str:
        """The tier, the profile, or `any`."""
        return self.tier or self.profile or _ANY


def _expand_selector(value: Any) -> Any:
    if value == _ANY:
        return {}
    if isinstance(value, str) or value in ({}, None):
        raise mistake(
            f"got {quoted(value)}, expected a tier, a profile or 'any'", "write 'for: {tier: mcu}' or 'for: any'"
        )
    return value


def _write_selector(selector: Selector) -> Any:
    return _ANY if selector.who == _ANY else selector.model_dump(exclude_none=True)


def expand_plan(value: Any) -> Any:
    """Return the mapping that `full` and `auto` are short for."""
    if value == "full":
        return {}
    if value == "auto":
        return {"auto": True}
    if isinstance(value, str):
        raise mistake(
            f"got the plan {quoted(value)}, expected 'full', 'auto' or a mapping",
            "write for example 'plan: {width: 0.5}'",
        )
    return value


def short_plans() -> Spelling:
    """Return the words that are plans."""
    return {"enum": ["full", "auto"]}


class PlanSection(Section):
    """What a device class trains and sends: a list of parts, or their shorthand. An empty plan is the full model."""

    auto: bool = False
    """Choose the mildest plan that fits the device, and say why."""
    width: PositiveFraction = 1.0
    """Share of the channels a device trains: they are really removed. Short for the structure `width`."""
    sparsity: PartialFraction = 0.0
    """Share of the weights held at zero by a mask; saves bytes, never time. Short for the constraint `magnitude`."""
    scope: Literal["global", "local"] = "global"
    """Whether the mask ranks weights over the whole model or layer by layer."""
    bits: Literal[8, 4] | None = None
    """Train against the rounding to this many bits; saves bytes, never time. Short for the constraint `fake-quant`."""
    techniques: Annotated[tuple[TechniqueRecipe, ...], at_most(MAX_PARTS, "techniques")] = Field(
        default=(), strict=False
    )
    """Techniques of the catalogue (`fedlite compress --list`), each short for the parts that it is made of."""
    structure: StructurePart | None = None
    """Which net the device trains; without it the full one."""
    constraints: Annotated[tuple[ConstraintPart, ...], at_most(MAX_PARTS, "constraints")] = Field(
        default=(), strict=False
    )
    """What holds of the weights while they are trained."""
    terms: Annotated[tuple[TermPart, ...], at_most(MAX_PARTS, "terms")] = Field(default=(), strict=False)
    """What is added to the loss."""
    stages: Annotated[tuple[StagePart, ...], at_most(MAX_PARTS, "stages")] = Field(default=(), strict=False)
    """What happens to the update between training and the wire, before the privacy mechanism's own stages."""
    deliveries: Annotated[tuple[DeliveryPart, ...], at_most(MAX_PARTS, "deliveries")] = Field(default=(), strict=False)
    """What is made of the trained model before it is shipped to these devices."""
    up: Codec | None = None
    """Codec in place of `wire.up`."""
    down: DownCodec | None = None
    """Codec in place of `wire.down`."""
    delta: Delta | None = None
    """In place of `wire.delta`."""
    error_feedback: bool | None = None
    """In place of `wire.error_feedback`."""

    @model_validator(mode="after")
    def _auto_stands_alone(self) -> PlanSection:
        if self.auto and (self.width != 1.0 or self.sparsity or self.bits is not None or self.structure):
            raise mistake(
                "got 'auto' beside a structure, width, sparsity or bits", "keep 'auto' or name the plan yourself"
            )
        if self.auto and (self.constraints or self.terms or self.techniques):
            raise mistake("got 'auto' beside constraints, terms or techniques", "keep 'auto' or name the plan yourself")
        if self.structure is not None and self.width != 1.0:
            raise mistake("got both width and structure, expected one", "keep the structure")
        return self

    @model_validator(mode="after")
    def _parts_go_together(self) -> PlanSection:
        try:
            self.plan(_PLAIN, _PLAIN)
        except PartError as error:
            raise names.remade(error) from None
        return self

    def plan(
        self, up: tuple[str, ...], down: tuple[str, ...], stages: tuple[Part, ...] = (), delta: tuple[str, ...] = ()
    ) -> Plan:
        """Return the plan of these parts, named after them and the codecs that are its own.

        Parameters
        ----------
        up, down : tuple of str
            Codecs, where the section names none.
        stages : tuple of Stage
            Come after the section's own.
        delta : tuple of str
            How differences go down, where the section does not say.
        """
        from fedlite.client.stages.error_feedback import check_one_owes
        from fedlite.compression.plan import Plan

        plan = Plan(
            structure=self._structure(),
            constraints=(*self._shorthand(), *self.constraints),  # type: ignore[arg-type]  # read as Constraint
            terms=self.terms,
            stages=self.stages,
            deliveries=self.deliveries,
            up=self.up or up,
            down=self.down or down,
            delta=delta if self.delta is None else self.delta,
        )
        if self.techniques:
            plan = self._with_techniques(plan)
        check_one_owes(plan.stages)
        # What the whole scenario asks of every device makes no name.
        name = "auto" if self.auto else plan.label_beside(up, down)
        return replace(plan, name=name, stages=(*plan.stages, *stages))

    def _with_techniques(self, plan: Plan) -> Plan:
        """Return the plan with what the techniques ask for, in their order.

        Raises
        ------
        PartError
            If a codec is written out where a technique is nothing else.
        """
        from fedlite.techniques.pipeline import joined
        from fedlite.techniques.technique import Recipe

        recipe = Recipe(plan)
        for technique in self.techniques:
            recipe = joined(recipe, technique.recipe)
        for named in self.techniques:
            for link, own in (("up", self.up), ("down", self.down)):
                codec = getattr(named.recipe.plan, link)
                if named.is_codec and own and codec != _PLAIN:
                    raise PartError(
                        f"{link}: got {'+'.join(own)!r} beside the technique {named.name!r}, whose codec is"
                        f" {'+'.join(codec)!r}, expected one of both; remove it, or write the parts yourself"
                    )
        made = replace(recipe.plan, up=self.up or recipe.plan.up, down=self.down or recipe.plan.down)
        return made if self.delta is None else replace(made, delta=self.delta)

    def _structure(self) -> Structure:
        from fedlite.compression.structure.base import Structure
        from fedlite.compression.structure.full import Full
        from fedlite.compression.structure.width import Width

        if isinstance(self.structure, Structure):
            return self.structure
        return Full() if self.width == 1.0 else Width(self.width)

    def _shorthand(self) -> tuple[Constraint, ...]:
        from fedlite.compression.constraint.fake_quant import FakeQuant
        from fedlite.compression.constraint.magnitude import Magnitude

        masks = (Magnitude(self.sparsity, self.scope),) if self.sparsity else ()
        return masks if self.bits is None else (*masks, FakeQuant(self.bits))

    @property
    def label(self) -> str:
        """A short name for tables, such as "width 0.5, 8 bits"."""
        return self.plan(_PLAIN, _PLAIN).name

    @property
    def names_feedback(self) -> bool:
        """Whether error feedback is among the stages that are written out, or that a technique stands for."""
        from fedlite.client.stages.error_feedback import ErrorFeedback

        return any(isinstance(stage, ErrorFeedback) for stage in self.plan(_PLAIN, _PLAIN).stages)

    def uplink(self, default: tuple[str, ...]) -> tuple[str, ...]:
        """Return the codec of its updates, where `default` is that of plans that name none."""
        return self.plan(default, _PLAIN).up

    @property
    def changes_shape(self) -> bool:
        """Whether a device may hold only a part of the full model's coordinates."""
        return self.auto or not self.plan(_PLAIN, _PLAIN).structure.covers

    @property
    def is_full(self) -> bool:
        """Whether a device trains the whole model, dense and in full precision, on the plain loss."""
        if self.auto or self.terms or self.stages:
            return False
        return self.plan(_PLAIN, _PLAIN).is_full


def _expand_menu(value: Any) -> Any:
    return {name: expand_plan(plan) for name, plan in value.items()} if isinstance(value, dict) else value


_FEWEST_PLANS: Final = 2


class PlanLimits(Section):
    """What `auto` keeps a plan within, beside the fleet's budgets, the profile's memory and the deadline."""

    up_bytes: Bytes | None = Field(default=None, alias="up")
    """The most that an update may take on its way up."""
    down_bytes: Bytes | None = Field(default=None, alias="down")
    """The most that the model may take on its way down."""
    stored_bytes: Bytes | None = Field(default=None, alias="stored")
    """The most that the shipped file may take."""
    latency_s: Seconds | None = Field(default=None, alias="latency")
    """The longest that one inference of what is shipped may take."""
    inference_j: Joules | None = Field(default=None, alias="energy")
    """The most energy that one inference may take, above idle."""
    inference_memory_bytes: Bytes | None = Field(default=None, alias="inference_memory")
    """The most memory that an inference may take."""


class ClientRule(Section):
    """One rule: these devices follow this plan, or those among which one is chosen, before the run or for each job."""

    for_: Annotated[
        Selector,
        BeforeValidator(_expand_selector),
        PlainSerializer(_write_selector),
        Means("`{tier: ...}`, `{profile: ...}` or `any`", beside=lambda: {"const": _ANY}),
    ] = Field(alias="for")
    """The devices."""
    when: When | None = None
    """Only for jobs handed out while the device is like this; without it always."""
    plan: Annotated[
        PlanSection | None, BeforeValidator(expand_plan), Means("`full`, `auto` or a mapping", beside=short_plans)
    ] = None
    """Their plan."""
    limits: PlanLimits | None = None
    """What `plan: auto` keeps within."""
    choose: ChooserPart | None = None
    """Who chooses their plan, job by job, in place of `plan`."""
    among: Annotated[
        dict[MenuName, PlanSection],
        at_most(MAX_PARTS, "plans"),
        BeforeValidator(_expand_menu),
        Means(
            "`{name: plan}`: the plans to choose from, from the coarsest to the finest",
            beside=lambda: {"type": "object", "additionalProperties": {"anyOf": [short_plans(), {"type": "object"}]}},
        ),
    ] = Field(default={})
    """Among which plans `choose` chooses for each job, or `plan: auto` the last that fits; the names are those of the
    ledger. Under `choose` a class is judged to fit by the first."""

    @model_validator(mode="after")
    def _one_or_several(self) -> ClientRule:
        if (self.plan is None) == (self.choose is None):
            got = "neither plan nor choose" if self.plan is None else "both plan and choose"
            raise mistake(
                f"got {got}, expected one of them", "write 'plan: full', or 'choose: bandit' and 'among: ...'"
            )
        if not self.is_auto and self.limits is not None:
            raise mistake("got limits without 'plan: auto', which keeps within them", "write 'plan: auto'", "limits")
        if self.choose is None and self.among and not self.is_auto:
            raise mistake("got among without choose", "write who chooses: 'plan: auto', or 'choose: bandit'")
        if self.among and self.plan is not None and self.plan != PlanSection(auto=True):
            raise mistake("got 'auto' with keys of its own beside among", "write them in the plans of among", "plan")
        if (self.among or self.choose is not None) and len(self.among) < _FEWEST_PLANS:
            raise mistake(
                f"got {len(self.among)} plans to choose from, expected 2 or more",
                "write 'among: {coarse: ..., fine: ...}'",
            )
        if any(plan.auto for plan in self.among.values()):
            raise mistake("got 'auto' among plans to choose from", "name the plan", "among")
        if self.when is not None and self.is_auto:
            raise mistake("got 'auto' with 'when', expected one", "name the plan, or remove 'when'")
        return self

    @property
    def is_auto(self) -> bool:
        """Whether fedlite chooses the plan before the run."""
        return self.plan is not None and self.plan.auto

    @property
    def written(self) -> dict[str, PlanSection]:
        """The plans that a device may follow, by the key under which they are written."""
        among = {f"among.{key}": one for key, one in self.among.items()}
        return {"plan": self.plan} if self.plan is not None and not among else among

    @property
    def first(self) -> PlanSection:
        """The plan, or the first to choose from."""
        return self.plan or next(iter(self.among.values()))

    def fits(self, *, profile: str, tier: str) -> bool:
        """Tell whether a device of this profile and tier follows this rule."""
        return self.for_.fits(profile=profile, tier=tier)
