from __future__ import annotations

import sys
from pathlib import Path

import pytest
from evaluation_samples import COUNTS, noisy

from ltfix.errors import InputError, UsageError
from ltfix.evaluation import reports
from ltfix.evaluation.measure import evaluate

MODULE = """
from ltfix.evaluation.table import Column, Table

def measure(head, case):
    return {"right": int((case.predictions(head) == case.labels).sum())}

def about(case):
    return {"asked": case.cache.n}

def table(report):
    return Table((Column("name", "Head"), Column("right", "Right", "count", "max")), report.heads)
"""


def test_every_name_has_its_module():
    for name in reports.BUILT_IN:
        kind = reports.lookup(name)
        assert all(callable(getattr(kind, part)) for part in ("measure", "about", "table"))


def test_an_unknown_report_offers_the_nearest():
    with pytest.raises(UsageError, match=r"no report 'per-clas'.*did you mean per-class"):
        reports.lookup("per-clas")


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Installs a package with one report of its own, as pip would leave it on the path."""

    def install(source: str, name: str = "right") -> None:
        info = tmp_path / "elsewhere-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text("Metadata-Version: 2.1\nName: elsewhere\nVersion: 1.0\n")
        (info / "entry_points.txt").write_text(f"[ltfix.reports]\n{name} = elsewhere\n")
        (tmp_path / "elsewhere.py").write_text(source)
        monkeypatch.syspath_prepend(str(tmp_path))

    yield install
    sys.modules.pop("elsewhere", None)


def test_an_installed_package_adds_a_report(package):
    package(MODULE)
    cache, head = noisy(counts=COUNTS)
    report = evaluate(head, cache, "right")
    assert report.to_dict()["asked"] == 400
    assert report.render("csv").splitlines() == ["name,right", f"ce,{report.heads[0]['right']}"]


def test_a_built_in_name_is_never_replaced(package):
    package(MODULE, name="per-class")
    assert reports.lookup("per-class").__name__ == "ltfix.evaluation.reports.per_class"


def test_a_package_that_does_not_load_is_an_input_error(package):
    package("import a_module_that_is_not_there")
    with pytest.raises(InputError, match=r"'right' does not load: No module named .* \(elsewhere\)"):
        reports.lookup("right")


def test_a_package_that_lacks_a_function_is_an_input_error(package):
    package("measure = len")
    with pytest.raises(InputError, match="the report 'right' has no about, table"):
        reports.lookup("right")
