"""One step against its formula in float64; batches; a loss that diverges."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from ltfix.errors import InputError
from ltfix.progress import SILENT
from ltfix.stage1.loop import Trainer, predict, steps_of
from ltfix.stage1.network import Trainee


class Still:
    """A stream of given images."""

    def __init__(self, images: Tensor, labels: Tensor) -> None:
        self.images, self.labels = images, labels

    def stream(self, index: Tensor, steps: list[slice], seed: int, views: int = 1):
        for step in steps:
            yield [self.images[index[step]]] * views, self.labels[index[step]]


def trainer(lr: float = 0.1, batch_size: int = 4, **sgd: float) -> Trainer:
    generator = torch.Generator().manual_seed(0)
    images = torch.randn(10, 3, 2, 2, generator=generator, dtype=torch.float64)
    labels = torch.arange(10) % 3
    trainee = Trainee(nn.Flatten(), {"fc": nn.Linear(12, 3).double()})
    return Trainer(
        trainee=trainee,
        optimizer=torch.optim.SGD(trainee.parameters(), lr=lr, **sgd),
        images=Still(images, labels),
        objective=lambda features, logits, y: cross_entropy(logits["fc"], y),
        labels=labels.numpy(),
        sampler="instance",
        batch_size=batch_size,
        epochs=2,
        test_head="fc",
        seed=0,
        device=torch.device("cpu"),
    )


@pytest.mark.parametrize(
    ("n", "batch_size", "sizes"),
    [(10, 4, [4, 4, 2]), (9, 4, [4, 5]), (8, 4, [4, 4]), (1, 4, [1]), (3, 8, [3])],
)
def test_no_batch_of_one_is_left_over(n: int, batch_size: int, sizes: list[int]) -> None:
    steps = steps_of(n, batch_size)
    assert [step.stop - step.start for step in steps] == sizes
    assert steps[0].start == 0 and steps[-1].stop == n


def test_one_step_is_sgd_with_momentum_and_l2() -> None:
    """v ← μv + g + λθ, θ ← θ − ηv with g = (softmax − one-hot)ᵀx / B."""
    eta, mu, decay = 0.1, 0.9, 0.01
    run = trainer(momentum=mu, weight_decay=decay)
    images, labels = run.images.images, run.images.labels
    weight, bias = (p.detach().clone() for p in run.trainee.parameters())
    v_weight, v_bias = torch.zeros_like(weight), torch.zeros_like(bias)
    for _ in range(2):
        loss, _ = run.step(images, labels)
        x = images.flatten(1)
        p = torch.softmax(x @ weight.t() + bias, 1)
        assert float(loss) == pytest.approx(float(-p[torch.arange(10), labels].log().mean()), rel=1e-12)
        error = (p - nn.functional.one_hot(labels, 3)) / 10
        v_weight = mu * v_weight + error.t() @ x + decay * weight
        v_bias = mu * v_bias + error.sum(0) + decay * bias
        weight, bias = weight - eta * v_weight, bias - eta * v_bias
    found = list(run.trainee.parameters())
    assert torch.allclose(found[0], weight, rtol=1e-12) and torch.allclose(found[1], bias, rtol=1e-12)


def test_an_epoch_sees_every_image_once_and_reports_means() -> None:
    run = trainer(lr=1e-12)
    result = run.epoch(0, 1e-12, SILENT)
    with torch.no_grad():
        logits = run.trainee(run.images.images)[1]["fc"]
    assert result.images == 10
    assert result.loss == pytest.approx(float(cross_entropy(logits, run.images.labels)), rel=1e-6)
    assert result.accuracy == pytest.approx(float((logits.argmax(1) == run.images.labels).double().mean()))


def test_a_loss_that_is_not_finite_names_epoch_and_rate() -> None:
    run = trainer()
    run.images.images[3] = float("nan")
    with pytest.raises(InputError, match=r"epoch 2 is nan.*an lr below 0.5"):
        run.epoch(1, 0.5, SILENT)


def test_prediction_leaves_batch_norm_alone() -> None:
    body = nn.Sequential(nn.BatchNorm2d(3), nn.Flatten())
    trainee = Trainee(body, {"fc": nn.Linear(12, 3)})
    before = {name: value.clone() for name, value in trainee.state_dict().items()}
    images, labels = torch.randn(10, 3, 2, 2) + 5, torch.zeros(10, dtype=torch.int64)
    found = predict(trainee, Still(images, labels), 10, 4, "fc")
    assert found.dtype == np.int64 and found.shape == (10,)
    assert all(torch.equal(value, before[name]) for name, value in trainee.state_dict().items())
