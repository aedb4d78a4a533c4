"""The demo end to end: it repairs the tail, it can be repeated, it touches nothing that is not its own."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from PIL import Image
from torch.torch_version import TorchVersion

from ltfix.demo.pipeline import METHODS, TRAINING, run_demo, write_images
from ltfix.errors import EnvironmentFault, UsageError
from ltfix.exporting import joined


def too_old(to: str) -> None:
    raise EnvironmentFault("torch is too old")


def test_it_can_be_repeated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """That the whole of it repairs the tail is tested with the command, in a fresh process."""
    monkeypatch.setitem(TRAINING, "epochs", 2)
    monkeypatch.setattr(torch, "set_num_threads", lambda n: None)
    folder = tmp_path / "ltfix-demo"
    done = run_demo(folder)
    written = {path: path.read_bytes() for path in folder.glob("heads/*.safetensors")}
    (folder / "mine.txt").write_text("keep")
    monkeypatch.setattr(joined, "demand_torch", too_old)
    again = run_demo(folder)
    rows = done.report.to_dict()["heads"]
    assert [row["name"] for row in rows] == ["stage-1", *(name for name, _, _ in METHODS)]
    assert all(row["many"] is not None and row["medium"] is not None for row in rows)
    steps = {"images", "train-backbone", "extract", "fit", "evaluate", "export", "predict", "report"}
    assert set(done.seconds) == steps
    assert again.exported is None
    if torch.__version__ >= TorchVersion("2.9"):
        assert done.exported is not None
        assert done.exported.path.exists()
    said = [[(one.sample, one.label) for one in demo.predicted] for demo in (done, again)]
    assert said[0] == said[1]
    assert len(said[0]) == 4
    assert done.page is not None
    assert "samn-freq" in done.page.read_text("utf-8")
    assert again.report.to_dict() == done.report.to_dict()
    assert written == {path: path.read_bytes() for path in folder.glob("heads/*.safetensors")}
    assert (folder / "mine.txt").read_text() == "keep"


def test_a_foreign_folder_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("dear")
    with pytest.raises(UsageError, match=r"not the demo's .*out=DIR"):
        run_demo(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


def test_another_seed_leaves_no_image_of_the_first(tmp_path: Path) -> None:
    write_images(tmp_path / "both", seed=1)
    write_images(tmp_path / "both", seed=0)
    write_images(tmp_path / "one", seed=0)
    names = [
        sorted(str(path.relative_to(tmp_path / name)) for path in (tmp_path / name).rglob("*.png"))
        for name in ("both", "one")
    ]
    assert names[0] == names[1] and len(names[0]) == 1240
    with Image.open(tmp_path / "one" / names[1][0]) as image:
        assert (image.size, image.mode) == ((8, 8), "L")
