"""ltfix.backbones.layouts: the checkpoints of published code load into the model that they are of.

docs/extract.md lists these layouts; every one of its rows has its case in ``DOCUMENTED``.
"""

from __future__ import annotations

import argparse
import re
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import timm
import torch
from safetensors.torch import save_file
from timm.models import load_state_dict
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from ltfix.backbones.checkpoint import read_checkpoint
from ltfix.backbones.layouts import load_weights
from ltfix.backbones.load import load_backbone
from ltfix.errors import InputError, UsageError

State = dict[str, Tensor]
DOCS = Path(__file__).parents[2] / "docs" / "extract.md"


def fresh(seed: int, name: str = "cifar_resnet32", **kw: Any) -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return timm.create_model(name, num_classes=5, **kw)


def rename(state: State, change: Callable[[str], str]) -> State:
    return {change(name): value for name, value in state.items()}


def zeros(state: State) -> State:
    return {name: torch.zeros_like(value) for name, value in state.items()}


def apart(state: State, wrapper: str = "") -> tuple[State, State]:
    body = {wrapper + name: value for name, value in state.items() if not name.startswith("fc.")}
    return body, {wrapper + name: value for name, value in state.items() if name.startswith("fc.")}


def glmc(state: State) -> Any:
    """What GLMC's and SAMN's code saves: the test head is fc_cb, fc another one."""
    body, classifier = apart(state)
    heads = {
        f"{name}_head.{i}.weight": torch.randn(8, 64) for name in ("projection", "contrast") for i in (0, 3)
    }
    tested = rename(classifier, lambda name: name.replace("fc.", "fc_cb."))
    whole = {**body, **zeros(classifier), **tested, **heads}
    return {"epoch": 200, "state_dict": rename(whole, "module.{}".format), "best_acc1": torch.tensor(50.0)}


def decoupling(state: State) -> Any:
    body, classifier = apart(state, "module.")
    parts = {"feat_model": body, "classifier": classifier}
    return {"epoch": 90, "state_dict_best": parts, "best_acc": np.float64(0.4), "centroids": None}


def mislas(state: State) -> Any:
    body, classifier = apart(state, "module.")
    return {
        "epoch": 200,
        "state_dict_model": body,
        "state_dict_classifier": classifier,
        "best_acc1": torch.tensor(40.0),
        "its_ece": np.float64(9.5),
    }


def swa(state: State) -> Any:
    model = fresh(0)
    model.load_state_dict(state)
    return AveragedModel(model).state_dict()


def profiled(state: State) -> Any:
    counts = {
        f"{name}.total_{what}": torch.zeros(1) for name in ("conv1", "layer1.0") for what in ("ops", "params")
    }
    return {**state, **counts, "total_ops": torch.zeros(1), "total_params": torch.zeros(1)}


def lightning(state: State) -> Any:
    return {
        "epoch": 3,
        "global_step": 10,
        "pytorch-lightning_version": "2.4.0",
        "state_dict": OrderedDict(rename(state, "model.{}".format)),
        "loops": {"fit_loop": {"state_dict": {}}},
        "hyper_parameters": {"lr": 0.1},
    }


def timms(state: State) -> Any:
    """What timm's train.py saves."""
    arguments = argparse.Namespace(model="resnet18", lr=0.1)
    return {"epoch": 9, "arch": "r", "state_dict": state, "version": 2, "args": arguments, "metric": 90.0}


def partly(state: State) -> State:
    return rename(state, lambda name: name if name.startswith("fc.") else f"encoder.backbone.{name}")


def contrastive(state: State) -> Any:
    """What BCL saves: the network, two projections, and a classifier of its own."""
    body = rename(state, lambda name: name if name.startswith("fc.") else f"encoder.{name}")
    layers = {f"{head}.{i}.weight": torch.ones(2, 2) for head in ("head_fc", "head") for i in (0, 2)}
    return {"state_dict": rename({**body, **layers}, "module.{}".format), "epoch": 9}


def moco(state: State) -> Any:
    """What MoCo and PaCo save: the network, its average, and a queue of keys."""
    body = rename(state, lambda name: name if name.startswith("fc.") else f"encoder_q.{name}")
    average = {f"encoder_k.{name}": value for name, value in zeros(state).items()}
    return {"state_dict": rename({**body, **average, "queue": torch.ones(2, 4)}, "module.{}".format)}


DOCUMENTED: dict[str, tuple[Callable[[State], Any], str | None]] = {
    "a bare state dict": (lambda s: s, None),
    "`state_dict_ema`": (
        lambda s: {"state_dict": zeros(s), "state_dict_ema": s},
        "are those under state_dict_ema; left there: state_dict",
    ),
    "`model_ema`": (
        lambda s: {"model": zeros(s), "model_ema": s, "epoch": 9},
        "are those under model_ema; left there: model",
    ),
    "`state_dict`": (timms, "under state_dict"),
    "`model`": (lambda s: {"model": s, "optimizer": {"state": {}}}, "under model"),
    "`model_state_dict`": (lambda s: {"model_state_dict": s, "loss": 0.1}, "under model_state_dict"),
    "`state_dict_model` + `state_dict_classifier`": (
        mislas,
        "under state_dict_model + state_dict_classifier",
    ),
    "`feat_model` + `classifier`": (decoupling, "under state_dict_best.feat_model + classifier"),
    "`module.`": (lambda s: rename(s, "module.{}".format), None),
    "`_orig_mod.`": (lambda s: rename(s, "module._orig_mod.{}".format), None),
    "`model.`": (lightning, "under state_dict"),
    "`backbone.`, `encoder.`": (partly, None),
    "`n_averaged`": (swa, "left out of weights.pth: n_averaged"),
    "`total_ops`, `total_params`": (profiled, "left out of weights.pth: total_ops, total_params"),
    "`contrast_head`, `projection_head`, `fc_cb`": (
        glmc,
        "left out of weights.pth: projection_head, contrast_head, fc",
    ),
    "`linear`, `head`, `classifier`, `last_linear`": (
        lambda s: rename(s, lambda name: name.replace("fc.", "last_linear.")),
        "the classifier of weights.pth is last_linear",
    ),
    "`encoder.` beside `head.0`, `head_fc`": (contrastive, "left out of weights.pth: head_fc, head"),
    "`encoder_q.` beside `encoder_k`, `queue`": (
        moco,
        "left out of weights.pth: encoder_k, queue",
    ),
    "a 1×1 convolution": (lambda s: {**s, "fc.weight": s["fc.weight"][:, :, None, None]}, None),
}


@pytest.mark.parametrize("row", DOCUMENTED)
def test_every_documented_layout(tmp_path: Path, row: str):
    wrap, told = DOCUMENTED[row]
    source, target = fresh(0), fresh(1)
    torch.save(wrap(source.state_dict()), tmp_path / "weights.pth")
    loaded = load_weights(target, read_checkpoint(tmp_path / "weights.pth"), ["fc"])
    for name, value in source.state_dict().items():
        if not name.startswith("fc."):
            assert torch.equal(target.state_dict()[name], value), name
    assert loaded.head is not None
    assert torch.equal(loaded.head[0], source.fc.weight)
    assert torch.equal(loaded.head[1], source.fc.bias)
    if told is None:
        assert loaded.notes == []
    else:
        assert any(note.endswith(told) for note in loaded.notes), loaded.notes


@pytest.mark.parametrize("name", ["linear", "head", "classifier"])
def test_the_other_names_of_the_classifier(tmp_path: Path, name: str):
    source, target = fresh(0), fresh(1)
    torch.save(
        rename(source.state_dict(), lambda key: key.replace("fc.", f"{name}.")), tmp_path / "weights.pth"
    )
    head = load_weights(target, read_checkpoint(tmp_path / "weights.pth"), ["fc"]).head
    assert head is not None and torch.equal(head[0], source.fc.weight)


@pytest.mark.parametrize("prefix", ["backbone", "encoder"])
def test_each_of_the_networks_of_two_parts(tmp_path: Path, prefix: str):
    source, target = fresh(0), fresh(1)
    torch.save(rename(source.state_dict(), f"{prefix}.{{}}".format), tmp_path / "weights.pth")
    load_weights(target, read_checkpoint(tmp_path / "weights.pth"), ["fc"])
    assert torch.equal(target.state_dict()["conv1.weight"], source.state_dict()["conv1.weight"])


def test_the_table_has_these_rows_and_no_other():
    text = DOCS.read_text(encoding="utf-8")
    table = text.split("| layout |")[1].split("\n\n")[0].splitlines()[2:]
    elsewhere = {"`denselayer1.norm.1`", "another image size", "the original code's names"}
    elsewhere |= {"`layer4s.1.0.…`, `linears.1`", "`backbone.1.…`, `classifier.1`"}
    assert {line.split(" | ")[0].removeprefix("| ") for line in table} == {*DOCUMENTED, *elsewhere}


def test_the_average_is_what_timm_takes(tmp_path: Path):
    last, average = fresh(0).state_dict(), fresh(1).state_dict()
    for key in ("model_ema", "state_dict_ema"):
        torch.save({"model": last, "state_dict": last, key: average}, tmp_path / "both.pth")
        expected = load_state_dict(str(tmp_path / "both.pth"), weights_only=True)
        found = read_checkpoint(tmp_path / "both.pth").state
        assert found.keys() == expected.keys()
        assert all(torch.equal(found[name], expected[name]) for name in expected)


class TestKey:
    def test_it_chooses(self, tmp_path: Path):
        one, two = fresh(0).state_dict(), fresh(1).state_dict()
        content = {"model": one, "model_ema": two, "teacher": {"inner": {"trunk": one}}, "flat.dict": two}
        torch.save(content, tmp_path / "a.pth")
        for key, expected in (("model", one), ("teacher.inner.trunk", one), ("flat.dict", two)):
            checkpoint = read_checkpoint(tmp_path / "a.pth", key)
            assert torch.equal(checkpoint.state["conv1.weight"], expected["conv1.weight"])
            assert checkpoint.notes == (f"the weights of a.pth are those under {key}",)

    def test_a_prefix_is_a_key_too_in_every_kind_of_file(self, tmp_path: Path):
        one, two = fresh(0).state_dict(), fresh(1).state_dict()
        both = {**rename(one, "student.{}".format), **rename(two, "teacher.{}".format)}
        torch.save(both, tmp_path / "a.pth")
        save_file(both, tmp_path / "a.safetensors")
        for name in ("a.pth", "a.safetensors"):
            target = fresh(2)
            with pytest.raises(InputError, match=r"under the prefix student\. and again under teacher\."):
                load_weights(target, read_checkpoint(tmp_path / name), ["fc"])
            load_weights(target, read_checkpoint(tmp_path / name, "teacher"), ["fc"])
            assert torch.equal(target.conv1.weight, two["conv1.weight"])

    def test_nothing_there(self, tmp_path: Path):
        torch.save({"model": fresh(0).state_dict()}, tmp_path / "a.pth")
        with pytest.raises(UsageError, match=r"no tensors lie under 'modle'.*did you mean model"):
            read_checkpoint(tmp_path / "a.pth", "modle")

    def test_without_a_checkpoint(self):
        for options in ({"checkpoint_key": "model"}, {"ignore_tensors": ["x.*"]}):
            with pytest.raises(UsageError, match=f"{next(iter(options))}.*checkpoint=FILE"):
                load_backbone("cifar_resnet32", pretrained=False, **options)


class TestIgnore:
    def test_patterns_meet_names_with_and_without_wrappers(self, tmp_path: Path):
        state = rename(
            {**fresh(0).state_dict(), "decoder.0.weight": torch.zeros(1), "bank": torch.zeros(1)},
            "module.{}".format,
        )
        torch.save(state, tmp_path / "a.pth")
        with pytest.raises(InputError, match=r"unexpected decoder\.0\.weight, bank.*ignore_tensors"):
            load_weights(fresh(1), read_checkpoint(tmp_path / "a.pth"), ["fc"])
        checkpoint = read_checkpoint(tmp_path / "a.pth", ignore=["decoder.*", "module.ba*"])
        told = ["ignored in a.pth: module.decoder.0.weight, module.bank"]
        assert load_weights(fresh(1), checkpoint, ["fc"]).notes == told

    def test_a_pattern_that_meets_nothing(self, tmp_path: Path):
        torch.save(fresh(0).state_dict(), tmp_path / "a.pth")
        with pytest.raises(UsageError, match=r"matches 'decodr\.\*' \(ignore_tensors\)"):
            read_checkpoint(tmp_path / "a.pth", ignore=["decodr.*"])


def test_tensors_that_are_there_are_not_said_to_be_missing(tmp_path: Path):
    state = fresh(0).state_dict()
    torch.save({"nets": {"a": state, "b": {"queue": torch.zeros(1)}}}, tmp_path / "a.pth")
    with pytest.raises(
        InputError,
        match=rf"tensors lie under nets\.a \({len(state)}\), nets\.b \(1\).*checkpoint_key=nets\.a",
    ):
        read_checkpoint(tmp_path / "a.pth")
    torch.save([torch.zeros(1)], tmp_path / "b.pth")
    with pytest.raises(InputError, match="have no names"):
        read_checkpoint(tmp_path / "b.pth")


def test_torchvisions_published_densenets(tmp_path: Path):
    """torchvision.models.densenet._load_state_dict is where the library itself renames them."""
    import torchvision

    model = torchvision.models.densenet121(num_classes=3)
    published = {
        re.sub(r"(denselayer\d+\.(?:norm|conv))([12])\.", r"\1.\2.", n): v
        for n, v in model.state_dict().items()
    }
    assert "features.denseblock1.denselayer1.norm.1.weight" in published
    torch.save(published, tmp_path / "densenet.pth")
    backbone = load_backbone(
        "torchvision:densenet121", checkpoint=tmp_path / "densenet.pth", preprocess={"image_size": 32}
    )
    images = torch.randn(2, 3, 32, 32)
    model.eval()
    with torch.inference_mode():
        assert backbone.head is not None
        logits = backbone.features(images) @ torch.tensor(backbone.head.weight).T + torch.tensor(
            backbone.head.bias
        )
        assert torch.allclose(logits, model(images), atol=1e-4)


class TestOtherSize:
    """timm itself, given the same file and size, is the reference."""

    @pytest.mark.parametrize("name", ["test_vit", "test_vit3"])
    @pytest.mark.parametrize("size", [96, 208])
    def test_a_checkpoint_at_another_size(self, tmp_path: Path, name: str, size: int):
        source = fresh(0, name)
        torch.save({"model": source.state_dict()}, tmp_path / "vit.pth")
        state = load_state_dict(str(tmp_path / "vit.pth"), weights_only=True)
        overlay = {"state_dict": state, "num_classes": 5}
        expected = timm.create_model(
            name, pretrained=True, pretrained_cfg_overlay=overlay, num_classes=5, img_size=size
        )
        backbone = load_backbone(name, checkpoint=tmp_path / "vit.pth", preprocess={"image_size": size})
        found = backbone.model.model.state_dict()
        assert expected.pos_embed.shape != source.pos_embed.shape
        for key, value in expected.state_dict().items():
            if not key.startswith("head."):
                assert torch.equal(found[key], value), key
        assert backbone.head is not None
        assert np.array_equal(backbone.head.weight, source.get_classifier().weight.detach().numpy())
        assert "resampled to this image size, as the model's library does: pos_embed" in backbone.notes

    def test_no_classifier_in_the_file(self, tmp_path: Path):
        state = {n: v for n, v in fresh(0, "test_vit").state_dict().items() if not n.startswith("head.")}
        torch.save(state, tmp_path / "vit.pth")
        backbone = load_backbone("test_vit", checkpoint=tmp_path / "vit.pth", preprocess={"image_size": 96})
        assert backbone.head is None
        assert any("resampled" in note for note in backbone.notes)

    def test_another_width_is_another_architecture_still(self, tmp_path: Path):
        torch.save(fresh(0, "test_vit2").state_dict(), tmp_path / "vit.pth")
        with pytest.raises(InputError, match="another architecture"):
            load_backbone("test_vit", checkpoint=tmp_path / "vit.pth", preprocess={"image_size": 96})


def test_the_original_codes_names(tmp_path: Path):
    """ConvNeXt as its authors published it; timm's own filter is the reference."""
    target = fresh(0, "test_convnext")
    theirs: State = {}
    for ours, value in target.state_dict().items():
        name = re.sub(r"^stem\.(\d)", r"downsample_layers.0.\1", ours)
        name = re.sub(r"^stages\.(\d)\.downsample\.(\d)", r"downsample_layers.\1.\2", name)
        name = re.sub(r"^stages\.(\d)\.blocks\.(\d)", r"stages.\1.\2", name)
        name = name.replace("conv_dw", "dwconv").replace("mlp.fc1", "pwconv1").replace("mlp.fc2", "pwconv2")
        theirs[name.replace("head.fc.", "head.").replace("head.norm.", "norm.")] = value
    torch.save({"model": theirs}, tmp_path / "convnext.pth")
    overlay = {"state_dict": dict(theirs), "num_classes": 5}
    expected = timm.create_model(
        "test_convnext", pretrained=True, pretrained_cfg_overlay=overlay, num_classes=5
    )
    backbone = load_backbone("test_convnext", checkpoint=tmp_path / "convnext.pth")
    found = backbone.model.model.state_dict()
    for key, value in expected.state_dict().items():
        if not key.startswith("head.fc."):
            assert torch.equal(found[key], value), key
    assert backbone.head is not None
    assert np.array_equal(backbone.head.weight, expected.head.fc.weight.detach().numpy())


def test_a_convolution_as_the_models_own_classifier(tmp_path: Path):
    """ResNetV2's BiT classifies by a 1×1 convolution: its rows are those of a linear layer."""
    name = "resnetv2_50x1_bit"
    model = fresh(0, name)
    assert isinstance(model.head.fc, nn.Conv2d)
    nn.init.normal_(model.head.fc.weight)
    torch.save(model.state_dict(), tmp_path / "bit.pth")
    backbone = load_backbone(name, checkpoint=tmp_path / "bit.pth", preprocess={"image_size": 64})
    assert backbone.head is not None
    images = torch.randn(2, 3, 64, 64)
    model.eval()
    with torch.inference_mode():
        logits = backbone.features(images) @ torch.tensor(backbone.head.weight).T + torch.tensor(
            backbone.head.bias
        )
        assert torch.allclose(logits, model(images), atol=1e-4)
