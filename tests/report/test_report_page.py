"""The page: whole, alone, safe against names, and the same twice."""

from __future__ import annotations

import dataclasses
import re
import sys
from html.parser import HTMLParser

import numpy as np
import pytest
from subjects import HOSTILE, full, subject

from ltfix.errors import EnvironmentFault
from ltfix.report.page import make_page

VOID = {"meta", "link", "img", "br"}
ALLOWED = {"script": 0, "iframe": 0, "object": 0, "embed": 0, "base": 0, "form": 0}


class Page(HTMLParser):
    """What a browser would see: elements, attributes, ids and texts; and whether elements nest."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.names: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.texts: list[str] = []
        self.open: list[str] = []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.names.append(tag)
        self.attributes += attrs
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.names.append(tag)
        self.attributes += attrs

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.texts.append(data)


@pytest.fixture(scope="module")
def text() -> str:
    return make_page(full(), name=HOSTILE[0], commands=[f"ltfix fit {HOSTILE[4]}"])


def test_names_are_text(text: str):
    page = Page(text)
    for name in (HOSTILE[0], HOSTILE[1], HOSTILE[2], HOSTILE[4], "<b>$mine$", "<u>$c$", "<s>$t$: loss"):
        assert any(name in found for found in page.texts), name
    assert "?txt.exe?[2J" in page.texts
    assert "lone ? half" in page.texts
    assert not any(page.names.count(name) for name in ALLOWED)
    assert not any(key.startswith("on") for key, _ in page.attributes)
    text.encode()


def test_it_needs_nothing_beside_itself(text: str):
    page = Page(text)
    for key, value in page.attributes:
        if key in ("src", "href", "xlink:href", "srcset", "action"):
            assert value is not None
            assert value.startswith(("#", "data:")), value
    assert "@import" not in text
    assert not re.search(r"url\((?!#)", text)


def test_ids_are_unique_and_links_lead_somewhere(text: str):
    attributes = Page(text).attributes
    ids = [value for key, value in attributes if key == "id"]
    assert len(ids) == len(set(ids)) > 20
    links = {v[1:] for k, v in attributes if k in ("href", "xlink:href") and v and v.startswith("#")}
    links |= set(re.findall(r"url\(#([^)]*)\)", text))
    assert links <= set(ids)


def test_the_same_twice(text: str):
    assert text == make_page(full(), name=HOSTILE[0], commands=[f"ltfix fit {HOSTILE[4]}"])


@pytest.fixture
def fewer(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two figures alone: the rest of the page is looked at."""
    monkeypatch.setattr("ltfix.report.page.FIGURES", ("counts", "confusions"))


@pytest.mark.usefixtures("fewer")
def test_the_best_is_marked_and_said():
    of = subject()
    heads = of.report("many-medium-few").heads
    best = max(heads, key=lambda head: head["all"])
    text = make_page(of, name="mine")
    name = best["name"].replace("<", "&lt;").replace(">", "&gt;")
    assert f"<b><bdi>{name}</bdi></b>, on these samples the best of " in text
    assert f"<b>{100 * (best['all'] - heads[0]['all']):.1f} points above</b> stage 1" in text
    assert re.search(rf'class="number best">{100 * best["all"]:.1f}<', text)


@pytest.mark.usefixtures("fewer")
def test_the_head_that_validation_chose_is_named_whatever_the_test_says():
    of, said = subject(), {"by": "mean class accuracy", "on": "<cuts>", "start_score": 0.5}
    rows = of.evaluation.rows
    better = rows[of.ranked()[0]].name
    for i, row in enumerate(rows):
        score = 0.61 if row.name == better else 0.72
        meta = {"selection": {**said, "score": score}} if i else {"selection": {"score": "of another tool"}}
        rows[i] = dataclasses.replace(row, head=dataclasses.replace(row.head, meta=meta))
    worse = next(row.name for row in rows[1:] if row.name != better).replace("<", "&lt;").replace(">", "&gt;")
    heads = {head["name"]: head for head in of.report("many-medium-few").heads}
    all_of = {name.replace("<", "&lt;").replace(">", "&gt;"): 100 * heads[name]["all"] for name in heads}
    best = better.replace("<", "&lt;").replace(">", "&gt;")
    lead = make_page(of, name="mine").split('<p class="lead">')[1].split("<nav")[0]
    begin = f"<b><bdi>{worse}</bdi></b>, chosen on validation of 2 heads, is right on "
    assert lead.startswith(f"{begin}<b>{all_of[worse]:.1f} %</b>"), lead
    assert f", <b>{all_of[worse] - all_of['stage-1']:.1f} points above</b> stage 1; on the classes" in lead
    assert "On validation (&lt;cuts&gt;): 72.0 % mean class accuracy, its start 50.0 %; the choice" in lead
    told = f"<bdi>{best}</bdi> is the best of 3 heads, with {all_of[best]:.1f} %; that it is their choice"
    assert told in lead
    assert "of different samples" not in lead
    assert "on validation" not in make_page(subject(), name="mine").split("<nav")[0]
    meta = {"selection": {**said, "on": "other cuts", "score": 0.9}}
    rows[1] = dataclasses.replace(rows[1], head=dataclasses.replace(rows[1].head, meta=meta))
    text = make_page(of, name="mine")
    assert text.count("the only head scored on its validation samples") == 2
    assert "that it is their choice" not in text
    assert text.count("so this flatters it") == 2
    open_ = {"selection": {**said, "on": "other cuts", "score": 0.9, "epoch": "last"}}
    rows[1] = dataclasses.replace(rows[1], head=dataclasses.replace(rows[1].head, meta=open_))
    assert make_page(of, name="mine").count("so this flatters it") == 1  # nothing was chosen for it
    text = make_page(of, name="mine")
    assert "are of different samples" in text


@pytest.mark.usefixtures("fewer")
def test_a_head_that_was_chosen_on_the_test_samples_is_told_in_the_first_line():
    of, said = subject(), {"by": "mean class accuracy", "on": "cache", "start_score": 0.5, "score": 0.7}
    rows, meta = of.evaluation.rows, {"selection": said, "val": of.evaluation.test.cache.identity}
    for last, told in (
        (2, "the only head scored on validation, which is the test samples, is right on"),
        (3, "chosen on the test samples, which flatters it, of 2 heads, is right on"),
    ):
        for i in range(1, last):
            rows[i] = dataclasses.replace(rows[i], head=dataclasses.replace(rows[i].head, meta=meta))
        assert told in make_page(of, name="mine").split('<p class="lead">')[1]


@pytest.mark.usefixtures("fewer")
def test_a_calibrated_copy_is_no_other_head():
    of = subject()
    rows = of.evaluation.rows
    said = {"selection": {"by": "mean class accuracy", "on": "cuts", "score": 0.7, "start_score": 0.5}}
    head = dataclasses.replace(rows[1].head, meta=said)
    rows[1:] = [dataclasses.replace(rows[1], head=head), rows[2]]
    copy = dataclasses.replace(head, temperature=np.full(head.n_classes, 2, "f4"))
    rows.append(dataclasses.replace(rows[1], name="copy", head=copy))
    text = make_page(of, name="mine")
    assert "the only head scored on validation" in text
    assert "is the best of 3 different heads, with" in text


@pytest.mark.usefixtures("fewer")
def test_heads_that_are_equally_good_are_named_together():
    of, said = subject(), {"by": "mean class accuracy", "on": "cuts", "start_score": 0.5}
    rows, first = of.evaluation.rows, of.evaluation.rows[subject().ranked()[0]]
    twin = dataclasses.replace(first.head, method="twin", meta={"selection": {**said, "score": 0.7}})
    rows.append(dataclasses.replace(first, name="twin", head=twin))
    text = make_page(of, name="mine")
    name = first.name.replace("<", "&lt;").replace(">", "&gt;")
    assert (
        f"On the test samples <bdi>{name}</bdi> and <bdi>twin</bdi> are alike the best of 4 heads, with"
        in text
    )
    assert "that it is their choice" not in text


@pytest.mark.usefixtures("fewer")
def test_pictures_of_confused_samples():
    of = subject(names=None)
    asked: list[int] = []

    def picture(index: int) -> str | None:
        asked.append(index)
        return None if index % 2 else "data:image/jpeg;base64,AAAA"

    page = Page(make_page(of, name="mine", pictures=picture))
    assert page.names.count("img") == sum(index % 2 == 0 for index in asked) > 0
    test, rows = of.evaluation.test, of.evaluation.rows
    shown = [rows[0].head, rows[of.ranked()[0]].head]
    wrong = [set(np.flatnonzero(test.predictions(head) != test.labels).tolist()) for head in shown]
    assert set(asked) <= wrong[0] | wrong[1]


@pytest.mark.usefixtures("fewer")
def test_one_head_without_stage_1_and_without_names():
    of = subject(names=None, stage1=False)
    text = make_page(of, name="mine")
    assert "points above" not in text.split("<nav")[0]


@pytest.mark.parametrize("package", ["jinja2", "matplotlib"])
def test_without_the_extra(package: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(EnvironmentFault, match=r"ltfix\[report\]"):
        make_page(subject(), name="mine")
