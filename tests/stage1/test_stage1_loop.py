"""One step against its formula in float64; batches; a loss that diverges."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from ltfix import seeds
from ltfix.compute import Compute
from ltfix.errors import InputError, UsageError
from ltfix.progress import SILENT
from ltfix.stage1.average import MovingAverage
from ltfix.stage1.distributed import ALONE, Processes
from ltfix.stage1.loop import Trainer, predict, steps_of
from ltfix.stage1.objectives import Classify
from ltfix.stage1.trainee import Trainee
from ltfix.stage2.loop import samplers
from ltfix.stage2.losses.softmax import SoftmaxLoss

CPU = Compute(torch.device("cpu"))


class Still:
    """A stream of given images."""

    def __init__(self, images: Tensor, labels: Tensor) -> None:
        self.images, self.labels = images, labels

    def stream(self, index: Tensor, steps: list[slice], seed: int, views: int = 1):
        for step in steps:
            yield [self.images[index[step]]] * views, self.labels[index[step]]


def trainer(
    lr: float = 0.1,
    batch_size: int = 4,
    accumulate: int = 1,
    clip_grad: float = 0.0,
    ema: float = 0.0,
    processes: Processes = ALONE,
    **sgd: float,
) -> Trainer:
    generator = torch.Generator().manual_seed(0)
    images = torch.randn(10, 3, 2, 2, generator=generator, dtype=torch.float64)
    labels = torch.arange(10) % 3
    with seeds.seeded(0, "weights"):
        trainee = Trainee(nn.Flatten(), {"fc": nn.Linear(12, 3).double()})
    return Trainer(
        trainee=trainee,
        optimizer=torch.optim.SGD(trainee.parameters(), lr=lr, **sgd),
        images=Still(images, labels),
        objective=Classify(SoftmaxLoss(), "fc", 2),
        labels=labels.numpy(),
        n_classes=3,
        values={
            "sampler": "instance",
            "batch_size": batch_size,
            "accumulate": accumulate,
            "epochs": 2,
            "clip_grad": clip_grad,
        },
        seed=0,
        compute=CPU,
        processes=processes,
        average=MovingAverage(trainee, ema) if ema else None,
    )


def whole_batch(run: Trainer):
    """One update over all ten images, in order."""
    stream = run.images.stream(
        torch.arange(10), run.processes.parts(slice(0, 10), run.values["accumulate"]), 0
    )
    return run.update(stream, 0, 0, slice(0, 10))


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
        loss = whole_batch(run)[0] / 10
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
    assert result.loss == pytest.approx(float(cross_entropy(logits, run.images.labels)), rel=1e-6)
    assert result.train_accuracy == pytest.approx(
        float((logits.argmax(1) == run.images.labels).double().mean())
    )


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
    found = predict(trainee, Still(images, labels), 10, "fc", CPU)
    assert found.dtype == np.int64 and found.shape == (10,)
    assert all(torch.equal(value, before[name]) for name, value in trainee.state_dict().items())


def test_a_batch_in_parts_is_the_whole_batch() -> None:
    whole, parts = (trainer(batch_size=10, accumulate=n, momentum=0.9) for n in (1, 3))
    for run in (whole, parts):
        loss, hits = whole_batch(run)
        assert float(loss) == pytest.approx(10 * 1.1, rel=0.2) and 0 <= float(hits) <= 10
    for one, other in zip(whole.trainee.parameters(), parts.trainee.parameters(), strict=True):
        assert torch.allclose(one, other, rtol=1e-12)


def test_too_small_batches_for_their_parts_are_refused() -> None:
    with pytest.raises(UsageError, match="batches of 4 cannot be cut into 3 parts of two"):
        trainer(accumulate=3)


def test_the_gradient_is_clipped_to_its_largest_norm() -> None:
    run = trainer(lr=1.0, clip_grad=1e-3)
    before = [p.detach().clone() for p in run.trainee.parameters()]
    whole_batch(run)
    moved = [p.detach() - b for p, b in zip(run.trainee.parameters(), before, strict=True)]
    assert float(torch.stack([m.square().sum() for m in moved]).sum().sqrt()) == pytest.approx(1e-3, rel=1e-3)


def test_the_average_follows_every_update() -> None:
    run = trainer(ema=0.5)
    run.epoch(0, 0.1, SILENT)
    run.epoch(1, 0.1, SILENT)
    again = trainer()
    mean = {name: value.clone() for name, value in again.trainee.state_dict().items()}
    order = [samplers.draw("instance", again.labels, 0, epoch, 2) for epoch in range(2)]
    for t in range(6):
        epoch, at = divmod(t, 3)
        again.optimizer.param_groups[0]["lr"] = 0.1
        step = steps_of(10, 4)[at]
        stream = again.images.stream(torch.from_numpy(order[epoch]), [step], 0)
        again.update(stream, epoch, at, step)
        decay = min(0.5, (1 + t) / (10 + t))
        mean = {n: decay * m + (1 - decay) * again.trainee.state_dict()[n] for n, m in mean.items()}
    assert run.average is not None
    for name, value in run.average.tensors.items():
        assert torch.allclose(value, mean[name], rtol=1e-12)


class Told:
    def __init__(self) -> None:
        self.words: list[str] = []

    def start(self, what: str, total: int, unit: str) -> None: ...
    def advance(self, n: int = 1) -> None: ...
    def note(self, text: str) -> None: ...
    def finish(self) -> None: ...
    def describe(self, text: str) -> None:
        self.words.append(text)


def test_live_words_tell_loss_and_accuracy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ltfix.stage1.loop.TELL_SECONDS", 0.0)
    told = Told()
    trainer().epoch(1, 0.1, told)
    assert told.words[0] == "epoch 2/2" and len(told.words) == 4
    assert told.words[-1].startswith("epoch 2/2: loss 1.") and told.words[-1].endswith(" %")
