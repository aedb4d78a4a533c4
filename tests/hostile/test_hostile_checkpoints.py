"""Checkpoints, arguments and folders made to mislead: one clear line each, nothing run or waited for."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from safetensors.torch import save_file

from ltfix.backbones.checkpoint import read_checkpoint
from ltfix.backbones.load import load_backbone
from ltfix.backbones.opening import open_network
from ltfix.errors import InputError, LtfixError, UsageError

posix = pytest.mark.skipif(os.name != "posix", reason="pipes and devices of POSIX")
SMALL: dict[str, Any] = {"depths": [1, 1], "widths": [4, 8]}


def state() -> dict[str, torch.Tensor]:
    return dict(timm.create_model("cifar_resnet32", num_classes=3, **SMALL).state_dict())


def cycle() -> dict[str, Any]:
    inner: dict[str, Any] = {}
    inner["state_dict"] = inner
    return inner


def ring() -> dict[str, Any]:
    one: dict[str, Any] = {}
    one["x"] = [one, {"y": one}]
    return one


def deep() -> dict[str, Any]:
    inner: dict[str, Any] = {}
    for _ in range(300):
        inner = {"model": inner}
    return inner


def first(tensor: torch.Tensor) -> Callable[[], Any]:
    """The network's state dict with another tensor for its first convolution."""
    return lambda: {**state(), "conv1.weight": tensor}


def quantized() -> Any:
    return first(torch.quantize_per_tensor(KERNEL, 1, 0, torch.qint8))()


KERNEL = torch.zeros(4, 3, 3, 3)
CONTENTS: dict[str, tuple[Callable[[], Any], str]] = {
    "a dictionary in itself": (cycle, "no tensors"),
    "a ring of containers": (ring, "no tensors"),
    "a deep nest": (deep, "no tensors"),
    "a sparse tensor": (first(KERNEL.to_sparse()), r"conv1\.weight is sparse"),
    "a tensor without data": (first(KERNEL.to("meta")), r"conv1\.weight has no data"),
    "a complex tensor": (first(KERNEL.cfloat()), "holds torch.complex64"),
    "a quantized tensor": (quantized, "holds torch.qint8"),
    "a view of a terabyte": (
        lambda: {**state(), "fc.weight": torch.zeros(1).expand(1 << 37, 8)},
        "more than the file has",
    ),
    "text for tensors": (lambda: {"state_dict": {"conv1.weight": "zeros"}}, "no tensors"),
    "numbers for names": (lambda: dict(enumerate(state().values())), "another architecture"),
    "a tensor alone": (lambda: torch.zeros(3), "have no names"),
    "nothing": (lambda: None, "no tensors"),
}


@pytest.mark.parametrize("name", CONTENTS)
@pytest.mark.filterwarnings("ignore")  # torch's, of making such tensors
def test_contents(tmp_path: Path, name: str):
    make, message = CONTENTS[name]
    torch.save(make(), tmp_path / "x.pth")
    with pytest.raises(InputError, match=rf"{message}.*\(.*x\.pth\)"):
        load_backbone("cifar_resnet32", checkpoint=tmp_path / "x.pth", model_args=SMALL)


def test_what_is_not_used_need_not_be_plain(tmp_path: Path):
    torch.save({**state(), "queue": torch.zeros(2, 2).to_sparse()}, tmp_path / "x.pth")
    loaded = load_backbone(
        "cifar_resnet32", checkpoint=tmp_path / "x.pth", model_args=SMALL, ignore_tensors=["queue"]
    )
    assert loaded.dim == 8


@posix
def test_only_files_are_opened(tmp_path: Path):
    for name in ("x.pth", "x.safetensors"):
        os.mkfifo(tmp_path / name)
        (tmp_path / f"zero-{name}").symlink_to("/dev/zero")
        for path in (tmp_path / name, tmp_path / f"zero-{name}", tmp_path):
            with pytest.raises(InputError, match="a folder or a device, not a file"):
                read_checkpoint(path)


METADATA = {
    "a list": {"pretrained_cfg": "[]"},
    "no JSON": {"pretrained_cfg": "{"},
    "deep": {"pretrained_cfg": "[" * 100_000},
    "a number": {"pretrained_cfg": "1"},
    "text for sizes": {"pretrained_cfg": '{"input_size": "large"}'},
    "an infinite size": {"pretrained_cfg": '{"input_size": [3, Infinity, Infinity]}'},
    "a huge size": {"pretrained_cfg": '{"input_size": [3, 1000000000000, 1000000000000]}'},
    "NaN": {"pretrained_cfg": '{"mean": [NaN, NaN, NaN]}'},
    "no mean": {"mean": "a,b,c"},
    "a crop of nothing": {"crop_pct": "0"},
    "its own format": {"ltfix": '{"model": "resnet18", "preprocess": {"image_size": "x"}}', "std": "0"},
}  # fmt: skip


@pytest.mark.parametrize("name", METADATA)
def test_metadata(tmp_path: Path, name: str):
    save_file(state(), tmp_path / "x.safetensors", METADATA[name])
    with pytest.raises((InputError, UsageError)):
        load_backbone("cifar_resnet32", checkpoint=tmp_path / "x.safetensors", model_args=SMALL)


class Bomb:
    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (Path("exploded"),)


ARGUMENTS: list[tuple[str, Any]] = [
    ("checkpoint_path", "evil.pth"),
    ("pretrained_cfg_overlay", {"file": "evil.pth"}),
    ("pretrained_cfg", {"file": "evil.pth"}),
    ("cache_dir", "."),
    ("scriptable", True),
    ("exportable", True),
    ("pretrained", True),
    ("weights", "evil.pth"),
    ("weights_backbone", "evil.pth"),
    ("pretrained_model_args", {}),
    ("features_only", True),
]


@pytest.mark.parametrize(("name", "value"), ARGUMENTS)
def test_no_argument_makes_a_library_open_a_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, value: Any
):
    monkeypatch.chdir(tmp_path)
    torch.save({"state_dict": Bomb()}, "evil.pth")
    arguments = {**SMALL, name: value}
    for model in ("cifar_resnet32", "torchvision:resnet18"):
        with pytest.raises(UsageError, match=rf"^{name} is not taken.*checkpoint=FILE"):
            open_network(model, False, arguments, {}, 0)
    Path("run").mkdir()
    run = {"format": "ltfix-run/1", "finished": True, "model": "cifar_resnet32", "preprocess": {}}
    Path("run/run.json").write_text(json.dumps({**run, "model_args": arguments}))
    Path("run/backbone.safetensors").touch()
    with pytest.raises(InputError, match=rf"{name} is not taken.*run\.json"):
        load_backbone("run")
    Path("vit").mkdir()
    Path("vit/config.json").write_text(json.dumps({"architecture": "test_vit", "model_args": {name: value}}))
    torch.save({"state_dict": Bomb()}, "vit/pytorch_model.bin")
    with pytest.raises(UsageError, match=rf"^{name} is not taken"):
        load_backbone("local-dir:vit")
    assert not Path("exploded").exists()


@pytest.mark.parametrize("value", [10**30, 10**9, -1, 2.5, "3", True, None, [3]])
def test_numbers_of_classes_that_are_none(value: Any):
    with pytest.raises(UsageError, match="num_classes must be a whole number from 0 to 1000000"):
        open_network("cifar_resnet32", False, {"num_classes": value}, {}, 0)


@pytest.mark.parametrize("value", [10**30, 10**9, 0, -1, 2.5, True, "32"])
@pytest.mark.parametrize("model", ["cifar_resnet32", "test_vit", "torchvision:resnet18"])
def test_sizes_that_no_image_has(model: str, value: Any):
    with pytest.raises(UsageError, match=r"a whole number from 1 to 8192, .*\(image_size\)"):
        open_network(model, False, {}, {"image_size": value}, 0)


class TestLocalDir:
    @pytest.fixture
    def folder(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
        monkeypatch.chdir(tmp_path)
        with torch.random.fork_rng():
            torch.manual_seed(0)
            weights = timm.create_model("test_vit", num_classes=2).state_dict()
        Path("vit").mkdir()
        torch.save(weights, "vit/pytorch_model.bin")
        config = {"architecture": "test_vit", "num_classes": 2, "pretrained_cfg": {"num_classes": 2}}
        Path("vit/config.json").write_text(json.dumps(config))
        return Path("vit")

    def test_its_name_and_another_size(self, folder: Path):
        for place in ("vit", folder.resolve()):
            backbone = load_backbone(f"local-dir:{place}", preprocess={"image_size": 96})
            assert backbone.info["name"] == "local-dir:vit"
        expected = timm.create_model("local-dir:vit", pretrained=True, img_size=96)
        assert tuple(expected.pos_embed.shape) == (1, 37, 64)
        assert torch.equal(backbone.model.model.pos_embed, expected.pos_embed)

    def test_torn_weights_are_not_a_missing_network(self, folder: Path):
        data = (folder / "pytorch_model.bin").read_bytes()
        for broken in (data[: len(data) // 2], b"", b"<html>404</html>"):
            (folder / "pytorch_model.bin").write_bytes(broken)
            with pytest.raises(InputError, match="its weights cannot be read") as caught:
                load_backbone("local-dir:vit")
            assert "download" not in str(caught.value)
        torch.save({"x": Bomb()}, folder / "pytorch_model.bin")
        with pytest.raises(InputError, match="its weights cannot be read"):
            load_backbone("local-dir:vit")
        assert not Path("exploded").exists()
        (folder / "pytorch_model.bin").unlink()
        with pytest.raises(LtfixError) as caught:
            load_backbone("local-dir:vit")
        assert "download" not in str(caught.value)

    @pytest.mark.parametrize(
        "text",
        [
            "",
            "[]",
            "{}",
            '{"architecture": 3}',
            "[" * 10_000,
            '{"architecture": "test_vit", "model_args": []}',
            '{"architecture": "test_vit", "pretrained_cfg": 1}',
        ],
    )
    def test_configs(self, folder: Path, text: str):
        (folder / "config.json").write_text(text)
        with pytest.raises(InputError, match=r"config\.json"):
            load_backbone("local-dir:vit")

    @posix
    def test_pipes(self, folder: Path):
        (folder / "pytorch_model.bin").unlink()
        os.mkfifo(folder / "pytorch_model.bin")
        with pytest.raises(InputError, match=r"a folder or a device.*pytorch_model\.bin"):
            load_backbone("local-dir:vit")


class TestNames:
    def test_timms_name_on_the_hub(self):
        with pytest.raises(
            UsageError, match=r"timm's own name is resnet18; on the hub: hf-hub:timm/resnet18"
        ):
            load_backbone("timm/resnet18", pretrained=False)

    def test_a_folder_that_shadows_a_model(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
        monkeypatch.chdir(tmp_path)
        Path("cifar_resnet32").mkdir()
        backbone = load_backbone("cifar_resnet32", pretrained=False, model_args=SMALL)
        assert backbone.notes == [
            "the model cifar_resnet32 is taken, not the folder of that name, which is no run"
        ]
        Path("cifar_resnet32/run.json").write_text("{}")
        with pytest.raises(InputError, match=r"run\.json"):
            load_backbone("cifar_resnet32", pretrained=False)

    def test_a_folder_that_is_no_run(self, tmp_path: Path):
        with pytest.raises(InputError, match="not a run folder"):
            load_backbone(str(tmp_path))
        with pytest.raises(InputError, match="no such run folder"):
            load_backbone("runs/none")
