"""The loop: equal to a plain loop, the same in a batch as alone, deterministic, clear where it diverges."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import ltfix
from ltfix.errors import InputError
from ltfix.features.read import FeatureCache
from ltfix.stage2.layers.parametrisation import Parametrisation
from ltfix.stage2.layers.samn import SAMNLinear
from ltfix.stage2.loop import engine
from ltfix.stage2.loop.constraints import MaxNorm, max_norm
from ltfix.stage2.loop.data import Features, Visits
from ltfix.stage2.loop.engine import Diverged, Schedule, rate_factor, train
from ltfix.stage2.loop.scaling import Scaling
from ltfix.stage2.losses.loss import build_loss
from ltfix.stage2.methods.catalog import HEADS

PLAIN = Scaling(scale=1.0, typical=1.0)
SAMN = {name: value.default for name, value in HEADS["samn"].values.items()}
COUNTS = [30, 9, 9, 3]


def start_of(cache: FeatureCache, s: int, m: int, dtype=torch.float64) -> tuple[Tensor, Tensor]:
    weight = torch.from_numpy(cache.head.weight).to(dtype)
    return weight.expand(s, m, *weight.shape).clone(), torch.zeros(s, m, len(weight), dtype=dtype)


def run(
    cache: FeatureCache,
    head: str = "linear",
    loss: str = "ce",
    values: list[dict] | None = None,
    *,
    lr: list[float],
    decay: list[float] | None = None,
    seeds: list[int],
    epochs: int = 3,
    batch_size: int = 8,
    every: str | None = None,
    dtype=torch.float64,
    **options,
) -> Parametrisation:
    """Train S = len(seeds) by M = len(lr) runs and return the head."""
    values = [{**SAMN, **v} for v in values or [{}] * len(lr)]
    trained = HEADS[head].function(*start_of(cache, len(seeds), len(lr), dtype), cache.counts, values)
    schedule = Schedule(
        Visits(options.pop("sampler", "instance"), batch_size, epochs), lr, decay or [0.0] * len(lr), 0.9
    )
    train(
        Features.of(cache),
        trained,
        build_loss(loss, torch.from_numpy(cache.counts), values, dtype=dtype),
        schedule,
        seeds,
        scaling=PLAIN,
        like=torch.zeros((), dtype=dtype),
        constraint=None
        if every is None
        else max_norm(trained, cache.counts, {"every": every, "normalise_start": "false"}),
        **options,
    )
    return trained


@pytest.mark.parametrize("head", ["linear", "samn"])
def test_it_is_a_plain_loop_with_cosine_rate_by_epoch(draw_cache, head: str):
    cache = draw_cache(COUNTS, views=2)
    found = run(cache, head, lr=[0.05], decay=[0.01], seeds=[4], epochs=4).folded()
    linear = nn.Linear(cache.dim, 4).double()
    with torch.no_grad():
        linear.weight.copy_(torch.from_numpy(cache.head.weight))
        linear.bias.zero_()
    module = SAMNLinear.from_linear(linear, cache.counts) if head == "samn" else linear
    sgd = torch.optim.SGD(module.parameters(), lr=0.05, momentum=0.9, weight_decay=0.01)
    cosine = torch.optim.lr_scheduler.CosineAnnealingLR(sgd, 4)
    like = torch.zeros((), dtype=torch.float64)
    for epoch in range(4):
        visits = Visits("instance", 8, 4)
        for x, y in Features.of(cache).batches(visits, [4], epoch, scaling=PLAIN, like=like):
            sgd.zero_grad()
            F.cross_entropy(module(x[0]), y[0]).backward()
            sgd.step()
        cosine.step()
    weight, bias = module.folded() if head == "samn" else (module.weight, module.bias)
    torch.testing.assert_close(found["weight"][0, 0], weight.detach(), rtol=1e-6, atol=1e-7)
    torch.testing.assert_close(found["bias"][0, 0], bias.detach(), rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize(
    ("head", "loss", "values"),
    [
        ("linear", "los", [{"delta": 0.98}, {"delta": 0.5}, {"delta": 0.0}]),
        ("samn", "ce", [{}, {}, {}]),
        ("samn", "logit-adjusted", [{"tau": 1.0}, {"tau": 0.0}, {"tau": 1.5}]),
    ],
    ids=["los", "samn", "samn+la"],
)
def test_runs_in_a_batch_equal_the_same_runs_alone(
    draw_cache, head: str, loss: str, values: list[dict], dtype
):
    cache = draw_cache(COUNTS, views=2)
    rates, decays, seeds = [5e-4, 0.05, 0.3], [0.0, 0.01, 0.0], [0, 1]
    together = run(cache, head, loss, values, lr=rates, decay=decays, seeds=seeds, dtype=dtype).folded()
    for s in range(2):
        for m in range(3):
            alone = run(
                cache,
                head,
                loss,
                values[m : m + 1],
                lr=rates[m : m + 1],
                decay=decays[m : m + 1],
                seeds=seeds[s : s + 1],
                dtype=dtype,
            ).folded()
            for a, b in ((alone[name], together[name]) for name in together):
                scale = float(a.abs().max())
                torch.testing.assert_close(b[s, m], a[0, 0], rtol=1e-4, atol=1e-4 * scale)


def test_equal_seeds_are_equal_bit_for_bit_and_others_differ(draw_cache):
    cache = draw_cache(COUNTS, views=2)
    a, b, c = (run(cache, "samn", lr=[0.05], seeds=[s], dtype=torch.float32).folded() for s in (0, 0, 1))
    assert all(torch.equal(a[name], b[name]) for name in a)
    assert not torch.equal(a["weight"], c["weight"])


def test_cosine_goes_from_one_toward_zero_and_never_stands_still():
    factors = [rate_factor("cosine", e, 20) for e in range(20)]
    assert factors[0] == 1
    assert factors[10] == pytest.approx(0.5)
    assert 0 < factors[-1] < 0.01
    assert factors == sorted(factors, reverse=True)
    assert {rate_factor("constant", e, 20) for e in range(20)} == {1.0}


@pytest.mark.parametrize("method", ["ce", "samn", "samn+los", "lws", "disalign"])
@pytest.mark.parametrize("batch_size", [4, 1000])
def test_a_run_that_diverges_names_epoch_and_a_lower_rate(draw_cache, method: str, batch_size: int):
    cache = draw_cache(COUNTS)
    with pytest.raises(InputError) as caught:
        ltfix.fit(cache, method, lr=1e38, batch_size=batch_size, epochs=7)
    assert caught.value.exit_code == 3
    text = str(caught.value)
    assert "became NaN in epoch" in text
    assert "of 7 (lr=1e+38): try lr=0.1" in text


def test_the_diverging_one_of_several_settings_is_named(draw_cache):
    with pytest.raises(InputError, match=r"\(lr=1e\+38\): try lr=0\.1"):
        run(draw_cache(COUNTS), "samn", lr=[1e-3, 1e38], seeds=[0, 1], dtype=torch.float32)


@pytest.mark.parametrize("head", ["linear", "samn"])
@pytest.mark.parametrize("counts", [[9, 4], [7, 7, 7], [9, 0, 4, 0], [1, 1], [5, 3, 3, 3, 1, 1]], ids=str)
def test_two_classes_empty_classes_equal_counts_and_ties(draw_cache, head: str, counts: list[int]):
    folded = run(draw_cache(counts, views=2), head, lr=[0.05], seeds=[0, 1]).folded()
    assert all(torch.isfinite(tensor).all() for tensor in folded.values())


def test_row_norms_after_training_are_monotone_above_one_and_pooled(draw_cache):
    cache = draw_cache([60, 30, 30, 11, 4, 2], spread=2.0)
    folded = run(cache, "samn", lr=[0.05, 0.5], seeds=[0, 1], epochs=6).folded()
    norms = folded["weight"].norm(dim=-1)
    assert bool((norms.diff(dim=-1) >= -1e-12).all())  # counts fall with the class index, ties in order
    assert bool((norms > 1).all())
    pooled = norms.diff(dim=-1).abs() < 1e-12
    assert bool(pooled.any())  # and some classes share a block


def test_deferred_reweighting_starts_at_its_epoch(draw_cache):
    cache = draw_cache(COUNTS)
    values = {"ldam_s": 30.0, "max_margin": 0.5, "beta": 0.9999, "cosine": "plain", "s": 1.0}
    never, late, early = (
        run(cache, "cosine", "ldam", [{**values, "drw_from": f}], lr=[0.1], seeds=[0], epochs=4).folded()[
            "weight"
        ]
        for f in (1.0, 0.75, 0.25)
    )
    assert not torch.equal(never, late)
    assert not torch.equal(late, early)


def test_a_constraint_is_enforced_after_each_epoch_or_step(draw_cache):
    cache = draw_cache(COUNTS)
    for every in ("epoch", "step"):
        weight, _ = start_of(cache, 1, 1)
        threshold = MaxNorm.of(weight, every).threshold
        folded = run(cache, lr=[0.5], seeds=[0], every=every).folded()
        assert bool((folded["weight"].norm(dim=-1) <= threshold[..., None] * (1 + 1e-9)).all())


def test_after_epoch_sees_every_epoch_and_stop_ends_early(draw_cache):
    cache, seen = draw_cache(COUNTS), []
    run(cache, lr=[0.05], seeds=[0], epochs=5, after_epoch=lambda done, _: seen.append(done))
    assert seen == [0, 1, 2, 3, 4, 5]
    head = HEADS["linear"].function(*start_of(cache, 1, 1), cache.counts, [{}])
    states: list[Tensor] = []
    loss = build_loss("ce", torch.from_numpy(cache.counts), [{}], dtype=torch.float64)
    schedule = Schedule(Visits("instance", 8, 5), [0.05], [0.0], 0.9)
    like = torch.zeros((), dtype=torch.float64)
    options = {"scaling": PLAIN, "like": like}
    train(
        Features.of(cache),
        head,
        loss,
        schedule,
        [0],
        after_epoch=lambda *_: states.append(head.folded()["weight"].clone()),
        **options,
    )
    short = HEADS["linear"].function(*start_of(cache, 1, 1), cache.counts, [{}])
    stopped = Schedule(schedule.visits, schedule.lr, schedule.weight_decay, 0.9, stop=2)
    train(Features.of(cache), short, loss, stopped, [0], **options)
    assert torch.equal(short.folded()["weight"], states[2])


def test_one_step_is_the_formula():
    x = torch.tensor([[[1.0, 2.0], [3.0, -1.0]]]).double()
    y = torch.tensor([[0, 1]])
    zero = torch.zeros(1, 1, 2, 2).double()
    head = HEADS["linear"].function(zero, zero[..., 0], np.array([1, 1]), [{}])
    loss = build_loss("ce", torch.tensor([1, 1]), [{}], dtype=torch.float64)
    engine.step(head, loss, x, y, engine.Sgd(0.1, 0.9))
    gradient = torch.tensor([[-0.5, 0.5], [0.5, -0.5]]).double().T @ x[0] / 2
    torch.testing.assert_close(head.folded()["weight"][0, 0], -0.1 * gradient)


def test_a_small_fit_takes_one_thread_and_gives_the_others_back(draw_cache):
    cache, seen = draw_cache(COUNTS), []
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        run(cache, lr=[0.05], seeds=[0], after_epoch=lambda *_: seen.append(torch.get_num_threads()))
        assert torch.get_num_threads() == 2
        with pytest.raises(InputError):
            run(cache, lr=[1e38], seeds=[0], dtype=torch.float32)
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)
    assert set(seen) == {1}


@pytest.mark.parametrize("loss", ["ce", "los", "cb"])
def test_a_run_that_blew_up_and_stayed_finite_is_no_fit(draw_cache, loss: str):
    cache = draw_cache([40, 12, 4])
    with pytest.raises(Diverged, match=r"over 10 times the .* of equal logits \(lr=1e\+09\): try lr=0\.1"):
        ltfix.fit(cache, "ce", loss=loss, lr=1e9, epochs=3)
    assert ltfix.fit(cache, "ce", loss=loss, lr=1e-2, epochs=3).is_finite


def test_a_fit_that_draws_classes_alike_is_judged_so(draw_cache):
    """Of [40, 1] samples, class-aware sampling gives up some of the 40, at a loss that tells nothing."""
    cache = draw_cache([40, 1], stage1=False, spread=2.0)
    for seed in range(4):
        assert ltfix.fit(cache, "crt", seed=seed).is_finite


def test_rates_side_by_side_are_not_rounded_to_bfloat16():
    rates = engine._number([0.01, 0.3], torch.zeros((), dtype=torch.bfloat16))
    assert rates.tolist() == pytest.approx([0.01, 0.3], rel=1e-6)
