"""A Rollout and its AnalysisTemplates as several YAML documents of one file."""

from __future__ import annotations

import pytest

from fedlite.errors import InvalidFileError
from fedlite.scenario.dump import dump
from tests.unit.rollout_plan.test_exchange import ARGO, ROLLOUT

SERVICE = "apiVersion: v1\nkind: Service\nmetadata: {name: s}\nspec: {ports: [{port: 80}]}\n"


def stream(*more, between="---\n"):
    return between.join([*(dump(item) for item in ARGO["items"]), *more])


def test_several_documents_are_read_as_the_list_of_them(imported):
    read = imported("argo", ARGO, stream())
    assert read.plan == imported("argo", ARGO).plan
    assert [one["name"] for one in read.plan["gates"]] == ["installs", "crashes"]


@pytest.mark.parametrize(
    "text", ["---\n" + dump(ROLLOUT) + "---\n", "# only a remark\n---\n" + dump(ROLLOUT) + "...\n"]
)
def test_empty_documents_count_for_nothing(imported, text):
    assert imported("argo", ROLLOUT, text).plan == imported("argo", ROLLOUT).plan


def test_what_is_not_carried_over_keeps_its_line(imported):
    text = stream(SERVICE).replace("failureLimit: 2", "failureLimit: 2, odd: 1")
    left = {one.key: one for one in imported("argo", ARGO, text).left}
    lines = text.splitlines()
    assert "odd: 1" in lines[left["items.1.spec.metrics.0.odd"].place.line - 1]
    assert left["items.3"].why == "a Service says nothing of how devices are let in or what stops it"
    assert left["items.3"].place.line == 1 + lines.index("kind: Service") - 1
    assert not any(key.startswith("items.3.") for key in left)


def test_a_mistake_in_the_second_document_has_its_line(imported):
    text = stream().replace("failureLimit: 2", "failureLimit: 2000")
    with pytest.raises(InvalidFileError) as error:
        imported("argo", ARGO, text)
    (problem,) = error.value.problems
    assert (problem.key, problem.message) == (
        "items.1.spec.metrics.0.failureLimit",
        "got 2000, expected a whole number from 0 to 1000",
    )
    line = text.splitlines()[problem.line - 1]
    assert "failureLimit: 2000" in line


BROKEN = [
    ("kind: AnalysisTemplate\nkind: AnalysisTemplate\n", 2, "items.3.kind", "got the key twice"),
    ("a: [1\n", None, "(file)", "got no valid YAML"),
    ("a: !!python/name:os.system x\n", 1, "(file)", "got the tag"),
    ("a: &x [*x]\n", 1, "items.3.a.0", "got an alias that holds itself"),
]


@pytest.mark.parametrize(("text", "line", "key", "message"), BROKEN)
def test_every_document_is_read_as_strictly_as_one(imported, text, line, key, message):
    before = stream() + "---\n"
    with pytest.raises(InvalidFileError) as error:
        imported("argo", ARGO, before + text)
    problem = error.value.problems[0]
    assert problem.key == key
    assert problem.message.startswith(message)
    if line is not None:
        assert problem.line == before.count("\n") + line


def test_an_alias_bomb_is_counted_over_all_documents(imported):
    one = "a: &a [x, x, x, x, x, x, x, x, x, x]\nb: &b [*a, *a, *a, *a, *a, *a, *a, *a, *a, *a]\nc: [*b, *b, *b, *b]\n"
    with pytest.raises(InvalidFileError, match="aliases that expand to over 10000 values"):
        imported("argo", ARGO, stream() + "".join("---\n" + one for _ in range(40)))


def test_two_rollouts_are_refused(imported):
    with pytest.raises(InvalidFileError, match="got 2 resources of kind Rollout, expected one"):
        imported("argo", ARGO, stream(dump(ROLLOUT)))
