from __future__ import annotations

import dataclasses
import importlib.metadata
import types

import pytest

from ltfix.errors import InputError, UsageError
from ltfix.evaluation import reports


def test_every_name_has_its_module():
    for name in reports.names():
        kind = reports.lookup(name)
        assert all(callable(getattr(kind, part)) for part in ("measure", "about", "table"))


def test_an_unknown_report_offers_the_nearest():
    with pytest.raises(UsageError, match=r"no report 'per-clas'.*did you mean per-class"):
        reports.lookup("per-clas")


@dataclasses.dataclass
class Point:
    name: str
    kind: object
    value: str = "elsewhere:report"

    def load(self) -> object:
        if isinstance(self.kind, Exception):
            raise self.kind
        return self.kind


@pytest.fixture
def install(monkeypatch: pytest.MonkeyPatch):
    def make(name: str, kind: object) -> None:
        points = {"ltfix.reports": [Point(name, kind)]}
        monkeypatch.setattr(importlib.metadata, "entry_points", lambda group: points[group])

    return make


def test_an_extension_is_found_by_entry_point(install):
    mine = types.SimpleNamespace(measure=len, about=len, table=len)
    install("mine", mine)
    assert reports.lookup("mine") is mine


def test_entry_points_are_not_read_for_a_built_in_name(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(importlib.metadata, "entry_points", lambda group: pytest.fail("looked up"))
    reports.lookup("per-class")


def test_a_broken_extension_is_an_input_error(install):
    install("mine", ImportError("no module named x"))
    with pytest.raises(InputError, match="the report 'mine' does not load: no module named x"):
        reports.lookup("mine")
    install("mine", types.SimpleNamespace(measure=len))
    with pytest.raises(InputError, match="the report 'mine' has no about, table"):
        reports.lookup("mine")
