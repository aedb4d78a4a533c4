"""ltfix.backbones.checkpoint: every published layout loads, everything else is refused by name."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from ltfix.backbones import cifar  # noqa: F401  registers its networks
from ltfix.backbones.checkpoint import read_checkpoint
from ltfix.backbones.layouts import load_weights
from ltfix.errors import InputError


def fresh(seed: int, name: str = "cifar_resnet32", **kw: Any) -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return timm.create_model(name, num_classes=5, **kw)


def rename(state: dict[str, Tensor], change: Callable[[str], str]) -> dict[str, Tensor]:
    return {change(name): value for name, value in state.items()}


@pytest.mark.parametrize(
    "wrap",
    [
        lambda s: s,
        lambda s: {"state_dict": s, "epoch": 3},
        lambda s: {"model": s},
        lambda s: {"state_dict_ema": s, "state_dict": {name: v * 0 for name, v in s.items()}},
        lambda s: {"state_dict": {"model": s}},
        lambda s: rename(s, "module.{}".format),
        lambda s: {"model": rename(s, "module._orig_mod.backbone.{}".format)},
        lambda s: rename(s, lambda n: n if n.startswith("fc.") else f"module.encoder.{n}"),
        lambda s: rename(s, lambda n: n.replace("fc.", "linear.")),
        lambda s: rename(s, lambda n: "module." + n.replace("fc.", "fc_cb.")),
        lambda s: {n: v for n, v in s.items() if not n.endswith("num_batches_tracked")},
    ],
)
def test_layouts(tmp_path: Path, wrap: Callable[[dict[str, Tensor]], Any]):
    source, target = fresh(0), fresh(1)
    torch.save(wrap(source.state_dict()), tmp_path / "weights.pth")
    head = load_weights(target, read_checkpoint(tmp_path / "weights.pth"), ["fc"]).head
    for name, value in source.state_dict().items():
        if not name.startswith("fc."):
            assert torch.equal(target.state_dict()[name], value), name
    assert head is not None
    assert torch.equal(head[0], source.fc.weight)
    assert torch.equal(head[1], source.fc.bias)


def test_half_precision_is_widened(tmp_path: Path):
    source, target = fresh(0), fresh(1)
    halves = {n: v.half() if v.is_floating_point() else v for n, v in source.state_dict().items()}
    save_file(halves, tmp_path / "half.safetensors", {"mean": "0.5"})
    checkpoint = read_checkpoint(tmp_path / "half.safetensors")
    assert checkpoint.metadata == {"mean": "0.5"}
    head = load_weights(target, checkpoint, ["fc"]).head
    assert target.conv1.weight.dtype == torch.float32
    assert torch.equal(target.conv1.weight, halves["conv1.weight"].float())
    assert head is not None
    assert head[0].dtype == head[1].dtype == torch.float32


def test_a_classifier_without_bias_or_none_at_all(tmp_path: Path):
    state = fresh(0).state_dict()
    del state["fc.bias"]
    torch.save(state, tmp_path / "a.pth")
    head = load_weights(fresh(1), read_checkpoint(tmp_path / "a.pth"), ["fc"]).head
    assert head is not None
    assert not head[1].any()
    del state["fc.weight"]
    torch.save(state, tmp_path / "b.pth")
    assert load_weights(fresh(1), read_checkpoint(tmp_path / "b.pth"), ["fc"]).head is None


def test_a_real_prefix_is_kept(tmp_path: Path):
    """torchvision's ViT has modules called ``encoder``: only foreign prefixes are dropped."""

    class Model(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.encoder = nn.Linear(2, 3)
            self.head = nn.Linear(3, 4)

    source, target = Model(), Model()
    torch.save(rename(source.state_dict(), "module.{}".format), tmp_path / "a.pth")
    load_weights(target, read_checkpoint(tmp_path / "a.pth"), ["head"])
    assert torch.equal(target.encoder.weight, source.encoder.weight)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda s: s.pop("conv1.weight"), "missing conv1.weight"),
        (lambda s: s.update(extra=torch.zeros(1)), "unexpected extra"),
        (
            lambda s: s.update({f"projection.{i}": torch.zeros(1) for i in range(6)}),
            r"unexpected projection\.0, projection\.1, projection\.2, projection\.3 and 2 more",
        ),
        (
            lambda s: s.update({"conv1.weight": torch.zeros(8, 3, 3, 3)}),
            r"conv1\.weight is \[8, 3, 3, 3\], the model's",
        ),
        (
            lambda s: s.update({"module.conv1.weight": s["conv1.weight"]}),
            "two tensors of the checkpoint are conv1.weight",
        ),
    ],
)
def test_another_architecture_is_refused(
    tmp_path: Path, change: Callable[[dict[str, Tensor]], Any], message: str
):
    state, target = dict(fresh(0).state_dict()), fresh(1)
    change(state)
    torch.save(state, tmp_path / "other.pth")
    before = {name: value.clone() for name, value in target.state_dict().items()}
    with pytest.raises(InputError, match=rf"{message}.*\(.*other\.pth\)"):
        load_weights(target, read_checkpoint(tmp_path / "other.pth"), ["fc"])
    assert all(torch.equal(value, before[name]) for name, value in target.state_dict().items())


class Bomb:
    def __reduce__(self) -> tuple[Any, ...]:
        return print, ("unpickled",)


def test_nothing_is_unpickled(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    torch.save({"state_dict": fresh(0).state_dict(), "optimizer": Bomb()}, tmp_path / "bomb.pth")
    with pytest.raises(InputError, match=r"more than tensors.*\(.*bomb\.pth\)"):
        read_checkpoint(tmp_path / "bomb.pth")
    (tmp_path / "plain.pth").write_bytes(pickle.dumps(Bomb()))
    with pytest.raises(InputError, match=r"plain\.pth"):
        read_checkpoint(tmp_path / "plain.pth")
    assert capsys.readouterr().out == ""


def test_torn_and_foreign_files(tmp_path: Path):
    torch.save(fresh(0).state_dict(), tmp_path / "whole.pth")
    whole = (tmp_path / "whole.pth").read_bytes()
    save_file({"a": torch.zeros(9)}, tmp_path / "whole.safetensors")
    files = {
        "torn.pth": whole[: len(whole) // 2],
        "text.pth": b"hello, world\n",
        "empty.pth": b"",
        "torn.safetensors": (tmp_path / "whole.safetensors").read_bytes()[:-8],
        "empty.safetensors": b"",
    }
    for name, data in files.items():
        (tmp_path / name).write_bytes(data)
        with pytest.raises(InputError, match=rf"torn.*\(.*{name}\)|more than tensors.*{name}"):
            read_checkpoint(tmp_path / name)
    with pytest.raises(InputError, match="no such file"):
        read_checkpoint(tmp_path / "gone.pth")
    torch.save([1, 2], tmp_path / "list.pth")
    with pytest.raises(InputError, match="holds no tensors"):
        read_checkpoint(tmp_path / "list.pth")
