"""Every recipe's loss against its formula in float64, and GLMC's against the published code's values."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ltfix.errors import UsageError
from ltfix.stage1 import mixing, objectives
from ltfix.stage1.objectives import BatchPart, Classify, Glmc, build_objective
from ltfix.stage1.recipes import find_recipe, resolve
from ltfix.stage1.trainee import Trainee
from ltfix.stage2.losses.softmax import SoftmaxLoss
from ltfix.stage2.methods.catalog import LOSSES

COUNTS = np.array([50, 20, 5])
CPU = torch.device("cpu")
PART = BatchPart(seed=0, epoch=0, step=0, start=0)


def trainee(*heads: str) -> Trainee:
    torch.manual_seed(0)
    return Trainee(nn.Flatten(), {name: nn.Linear(12, 3) for name in heads}).double()


def batch(n: int = 8, views: int = 1) -> tuple[list[Tensor], Tensor]:
    generator = torch.Generator().manual_seed(1)
    images = [torch.randn(n, 3, 2, 2, generator=generator, dtype=torch.float64) for _ in range(views)]
    return images, torch.arange(n) % 3


def one_hot(labels: Tensor, k: int) -> Tensor:
    return F.one_hot(labels, k).double()


def cross(z: Tensor, target: Tensor) -> Tensor:
    return -(target * (z - z.logsumexp(1, keepdim=True))).sum(1).mean()


def test_glmc_is_the_published_loss(golden) -> None:
    stored = {
        name.removeprefix("glmc."): torch.from_numpy(value)
        for name, value in golden("heads_official").items()
        if name.startswith("glmc.")
    }
    stored = {n: v.double() if v.is_floating_point() else v for n, v in stored.items()}
    counts = torch.from_numpy(golden("heads_official")["counts"])
    weights = objectives.label_weights(counts, 1.2)
    assert torch.allclose(weights, stored["class_weights_1.2"], rtol=1e-5)
    share, k = float(stored["lam"]), len(counts)
    target = share * one_hot(stored["ya"], k) + (1 - share) * one_hot(stored["yb"], k)
    plain, balanced = [stored["out1"], stored["out2"]], [stored["cb1"], stored["cb2"]]
    pull = objectives.simsiam([stored["p1"], stored["p2"]], [stored["z1"], stored["z2"]])
    targets = (target, target * weights)
    assert float(pull) == pytest.approx(float(stored["simsiam"]), rel=1e-5)
    for alpha, name in ((1.0, "balance"), (0.0, "rebalance")):
        found = objectives.cumulative(plain, balanced, targets, alpha)
        assert float(found.detach()) == pytest.approx(float(stored[name]), rel=1e-5)
    total = objectives.cumulative(plain, balanced, targets, 1 - (50 / 200) ** 2) + 4 * pull
    assert float(total) == pytest.approx(float(stored["total_e50of200_cw4"]), rel=1e-5)


def test_glmc_end_to_end_is_its_formula() -> None:
    network = trainee("fc", "fc_cb")
    network.extras.update({"projector": nn.Linear(12, 4).double(), "predictor": nn.Linear(4, 4).double()})
    loss = Glmc(
        torch.from_numpy(COUNTS),
        200,
        resample_weighting=0.0,
        label_weighting=1.2,
        contrast_weight=4.0,
        device=CPU,
    )
    loss.weights = loss.weights.double()
    loss.start_epoch(50)
    images, labels = batch(8, views=2)
    found, hits = loss(network, images, labels, PART)
    drawn = PART.drawn(1.0, 0.0)
    assert drawn is not None
    lam = drawn.share
    views = [
        lam * images[0][0::2] + (1 - lam) * images[0][1::2],
        mixing.cutmix(images[1][0::2], images[1][1::2], mixing.box((2, 2), lam, drawn.centre, ceil=True)),
    ]
    y = lam * one_hot(labels[0::2], 3) + (1 - lam) * one_hot(labels[1::2], 3)
    v = torch.from_numpy(COUNTS).double() ** -1.2
    v = v / v.sum() * 3
    alpha = 1 - (50 / 200) ** 2
    x = [view.flatten(1) for view in views]
    z = [network.extras["projector"](f) for f in x]
    p = [network.extras["predictor"](h) for h in z]
    expected = sum(
        alpha * cross(network.heads["fc"](f), y) + (1 - alpha) * cross(network.heads["fc_cb"](f), y * v)
        for f in x
    )
    expected = expected - 4 * sum(
        ((a * b).sum(1) / a.norm(dim=1) / b.norm(dim=1)).mean() for a, b in ((p[0], z[1]), (p[1], z[0]))
    )
    assert float(found.detach()) == pytest.approx(float(expected.detach()), rel=1e-6)
    assert 0 <= float(hits.sum()) <= 4
    found.backward()
    assert all(q.grad is not None for q in network.parameters())


def test_glmcs_second_images_follow_their_weights() -> None:
    labels = np.repeat([0, 1], [900, 100])
    build = {"label_weighting": 1.0, "contrast_weight": 1.0, "device": CPU}
    counts = torch.tensor([900, 100])
    uniform = Glmc(counts, 10, resample_weighting=0.0, **build).second(labels, 0, 0)
    rare = Glmc(counts, 10, resample_weighting=1.0, **build).second(labels, 0, 0)
    assert np.mean(labels[uniform]) == pytest.approx(0.1, abs=0.03)
    assert np.mean(labels[rare]) == pytest.approx(0.5, abs=0.05)
    assert len(set(uniform.tolist())) < 700  # with replacement


def test_mixup_is_the_loss_of_the_mixed_label() -> None:
    network, (images, labels) = trainee("fc"), batch()
    found, _ = Classify(SoftmaxLoss(), "fc", 10, mixup=1.0)(network, images, labels, PART)
    drawn = PART.drawn(1.0, 0.0)
    assert drawn is not None
    order, lam = PART.partners(8), drawn.share
    mixed = lam * images[0] + (1 - lam) * images[0][order]
    y = lam * one_hot(labels, 3) + (1 - lam) * one_hot(labels[order], 3)
    assert float(found.detach()) == pytest.approx(
        float(cross(network.heads["fc"](mixed.flatten(1)), y).detach()), rel=1e-12
    )


def test_feature_regularisation_adds_half_the_mean_square() -> None:
    network, (images, labels) = trainee("fc"), batch()
    plain, _ = Classify(SoftmaxLoss(), "fc", 10)(network, images, labels, PART)
    found, _ = Classify(SoftmaxLoss(), "fc", 10, feature_decay=0.01)(network, images, labels, PART)
    square = images[0].flatten(1).square().sum(1).mean()
    assert float((found - plain).detach()) == pytest.approx(0.005 * float(square), rel=1e-9)


def formula(name: str, z: Tensor, labels: Tensor, epoch: int, epochs: int) -> Tensor:
    n = torch.from_numpy(COUNTS).double()
    y = one_hot(labels, 3)
    if name in ("balanced-softmax", "logit-adjusted"):
        return cross(z + (n / n.sum()).log(), y)
    if name in ("ce-drw", "cb-drw"):
        weight = (1 - 0.9999) / (1 - 0.9999**n) if epoch >= 0.8 * epochs else torch.ones(3)
        w = weight[labels]
        return -(w * (y * z.log_softmax(1)).sum(1)).sum() / w.sum()
    if name == "cb":
        return formula("cb-drw", z, labels, epochs, epochs)
    if name == "los-drw":
        w = ((1 - 0.9999) / (1 - 0.9999**n) if epoch >= 0.8 * epochs else torch.ones(3))[labels]
        each = -((0.02 * y + 0.98 / 3) * z.log_softmax(1)).sum(1)
        return (w * each).sum() / w.sum()
    if name == "ldam-drw":
        margin = n**-0.25 * 0.5 / (n**-0.25).max()
        scaled = 30 * (z - margin * y)
        weight = (1 - 0.9999) / (1 - 0.9999**n) if epoch >= 0.8 * epochs else torch.ones(3)
        each = -(y * scaled.log_softmax(1)).sum(1)
        w = weight[labels]
        return (w * each).sum() / w.sum()
    return cross(z, y)


DRW = {"cb-drw": ("cb", None), "los-drw": ("ce", "los")}


@pytest.mark.parametrize(
    "name", ["ce", "balanced-softmax", "logit-adjusted", "ldam-drw", "cb", "ce-drw", "cb-drw", "los-drw"]
)
@pytest.mark.parametrize("epoch", [0, 159, 160])
def test_every_loss_is_its_formula_and_drw_switches_at_four_fifths(name: str, epoch: int) -> None:
    called, loss = DRW.get(name, (name, None))
    recipe = find_recipe(called).with_loss(loss)
    given = {"drw_from": 0.8} if name in DRW else {}
    objective = build_objective(recipe, resolve(recipe, "cifar", given), COUNTS, CPU, torch.float64)
    objective.start_epoch(epoch)
    network, (images, labels) = trainee("fc"), batch()
    found, hits = objective(network, images, labels, PART)
    z = network.heads["fc"](images[0].flatten(1))
    assert float(found.detach()) == pytest.approx(
        float(formula(name, z.detach(), labels, epoch, 200)), rel=1e-9
    )
    assert torch.equal(hits, z.argmax(1) == labels)


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize("epoch", [0, 9])
def test_the_network_gets_the_closed_form_gradient_of_every_loss(name: str, epoch: int) -> None:
    recipe = find_recipe("ce").with_loss(name)
    values = resolve(recipe, "cifar", {"drw_from": 0.5, "epochs": 10})
    objective = build_objective(recipe, values, COUNTS, CPU, torch.float64)
    assert isinstance(objective, Classify)
    objective.start_epoch(epoch)
    network, (images, labels) = trainee("fc"), batch()
    objective(network, images, labels, PART)[0].backward()
    x = images[0].flatten(1)
    z = network.heads["fc"](x).detach()[:, None]
    expected = objective.loss.grad_(z, labels)[:, 0].T @ x / len(x)
    torch.testing.assert_close(network.heads["fc"].weight.grad, expected, rtol=1e-9, atol=1e-12)


def test_a_loss_of_ones_own_trains_and_has_no_class_weights() -> None:
    recipe = find_recipe("ce").with_loss(F.cross_entropy)
    network, (images, labels) = trainee("fc"), batch()
    objective = build_objective(recipe, resolve(recipe, "cifar", {}), COUNTS, CPU, torch.float64)
    z = network.heads["fc"](images[0].flatten(1))
    found = objective(network, images, labels, PART)[0]
    assert float(found.detach()) == pytest.approx(float(F.cross_entropy(z, labels).detach()), rel=1e-9)
    with pytest.raises(UsageError, match="no class weights to defer"):
        build_objective(recipe, resolve(recipe, "cifar", {"drw_from": 0.5}), COUNTS, CPU)


def test_hits_of_a_mixture_count_by_share() -> None:
    z = torch.eye(3)
    found = objectives.hits(z, torch.tensor([0, 1, 0]), torch.tensor([1, 1, 2]), 0.25)
    assert found.tolist() == pytest.approx([0.25, 1.0, 0.75])


def test_glmc_alone_needs_more_modules() -> None:
    for name in ("ce", "etf-fr"):
        recipe = find_recipe(name)
        assert objectives.extras(recipe, resolve(recipe, "cifar", {}), 8) == {}
    recipe = find_recipe("glmc")
    built = objectives.extras(recipe, resolve(recipe, "imagenet-lt", {}), 8)
    assert [tuple(m.weight.shape) for m in built.values()] == [(256, 8), (256, 256)]
