"""The linear probe: a convex optimum, better than SGD reaches, whatever the scale of the features."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from unittest.mock import Mock

import numpy as np
import pytest
import torch
from caches import write_bare, write_cache
from sklearn.linear_model import LogisticRegression
from torch.nn import functional as F

from ltfix.features.manifest import PROBE
from ltfix.features.read import open_cache
from ltfix.heads.head import load_head
from ltfix.progress import SILENT
from ltfix.stage2.fit import fit
from ltfix.stage2.fitting import probe as probe_module
from ltfix.stage2.fitting.probe import PENALTIES, fit_probe
from ltfix.stage2.fitting.validation import cut, mean_class_accuracy
from ltfix.stage2.loop import data as data_module
from ltfix.stage2.loop.data import Features

CPU = torch.device("cpu")


def fitted(cache, views_used: str = "random"):
    data = Features.of(cache, views_used)
    probe = fit_probe(data, CPU)
    assert probe.meta["from"] == "probe"
    return data, probe.weight, probe.bias, probe.meta["penalty"]


def objective(data: Features, weight: np.ndarray, bias: np.ndarray, penalty: float) -> tuple[float, float]:
    """Mean CE + penalty/2 ‖W‖² on features of unit mean square norm, and the norm of its gradient."""
    x = torch.from_numpy(data.mean_view()).double()
    scale = x.square().sum(1).mean().sqrt()
    w = (torch.from_numpy(weight).double() * scale).requires_grad_()
    b = torch.from_numpy(bias).double().requires_grad_()
    y = torch.from_numpy(data.labels)
    loss = F.cross_entropy(x / scale @ w.T + b, y) + 0.5 * penalty * w.square().sum()
    loss.backward()
    return loss.item(), float(torch.cat([w.grad.flatten(), b.grad]).norm())


@pytest.mark.parametrize("counts", [[60, 20, 6, 2], [30, 30], [20, 0, 5, 1]], ids=str)
@pytest.mark.parametrize("views", [1, 2])
def test_it_is_an_optimum(draw_cache, counts: list[int], views: int):
    data, weight, bias, penalty = fitted(draw_cache(counts, views=views, spread=2.0))
    assert penalty in PENALTIES
    value, gradient = objective(data, weight, bias, penalty)
    assert gradient < 2e-4
    rng = np.random.default_rng(0)
    for size in (1e-3, 1e-2, 0.1):
        step = rng.normal(size=weight.shape).astype(np.float32) * size * np.abs(weight).max()
        assert objective(data, weight + step, bias, penalty)[0] > value


@pytest.mark.parametrize("known", [False, True], ids=["to be found", "known"])
@pytest.mark.parametrize("size", [(4, 8, 60), (20, 64, 60)], ids=["small", "middle"])
def test_about_as_many_passes_are_made_as_are_announced(draw_cache, size: tuple[int, int, int], known: bool):
    k, dim, each = size
    data = Features.of(draw_cache([each] * k, dim=dim, spread=4.0))
    listener = Mock()
    fit_probe(data, CPU, penalty=fit_probe(data, CPU).meta["penalty"] if known else None, progress=listener)
    announced, made = listener.start.call_args.args[1], listener.advance.call_count
    assert announced / 5 < made < 2 * announced  # these are easy


def test_it_equals_an_independent_solver(draw_cache):
    data, weight, bias, penalty = fitted(draw_cache([60, 20, 6], spread=2.0))
    x = data.mean_view().astype(np.float64)
    scale = np.sqrt(np.square(x).sum(1).mean())
    solver = LogisticRegression(C=1 / (penalty * len(x)), max_iter=10_000, tol=1e-8).fit(
        x / scale, data.labels
    )
    theirs = x / scale @ solver.coef_.T + solver.intercept_
    ours = x @ weight.T + bias
    assert ours - ours.mean(1, keepdims=True) == pytest.approx(
        theirs - theirs.mean(1, keepdims=True), abs=0.02
    )


def test_sgd_does_not_get_below_it(draw_cache):
    data, weight, bias, penalty = fitted(draw_cache([60, 20, 6, 2], spread=2.0))
    best = objective(data, weight, bias, penalty)[0]
    x, y = torch.from_numpy(data.mean_view()), torch.from_numpy(data.labels)
    x = x / x.square().sum(1).mean().sqrt()
    linear = torch.nn.Linear(x.shape[1], 4)
    sgd = torch.optim.SGD(linear.parameters(), lr=0.5, momentum=0.9)
    for _ in range(300):
        sgd.zero_grad()
        loss = F.cross_entropy(linear(x), y) + 0.5 * penalty * linear.weight.square().sum()
        loss.backward()
        sgd.step()
    assert loss.item() > best - 1e-6


@pytest.mark.parametrize("factor", [0.1, 10.0, 1e-4, 1e4, 1e-25, 1e20])
def test_the_scale_of_features_does_not_matter(draw_cache, factor: float):
    counts = [60, 20, 6, 2]
    data, weight, bias, penalty = fitted(draw_cache(counts, spread=2.0))
    other, scaled_weight, scaled_bias, scaled_penalty = fitted(draw_cache(counts, spread=2.0, scale=factor))
    assert scaled_penalty == penalty
    found = other.mean_view() @ scaled_weight.T + scaled_bias
    expected = data.mean_view() @ weight.T + bias
    assert found == pytest.approx(expected, abs=0.05, rel=0.01)


def test_the_penalty_is_the_best_on_the_cut(draw_cache):
    data, _, _, penalty = fitted(draw_cache([60, 30, 12, 6], spread=3.0))
    train, held = cut(data, 0)
    x = data.mean_view().astype(np.float64)
    x /= np.sqrt(np.square(x).sum(1).mean())
    scores = []
    for p in PENALTIES:
        solver = LogisticRegression(C=1 / (p * len(train)), max_iter=10_000, tol=1e-8)
        solver.fit(x[train], data.labels[train])
        scores.append(mean_class_accuracy(solver.predict(x[held]), data.labels[held]))
    assert scores[PENALTIES.index(penalty)] == pytest.approx(max(scores), abs=0.05)


@pytest.mark.parametrize("penalty", PENALTIES)
def test_a_known_penalty_is_solved_at_once_to_the_same_objective(draw_cache, monkeypatch, penalty: float):
    data = Features.of(draw_cache([60] * 20, dim=64, spread=4.0))
    monkeypatch.setattr(probe_module, "PENALTIES", (penalty,))
    sought = fit_probe(data, CPU)
    monkeypatch.setattr(probe_module, "_path", None)
    known = fit_probe(data, CPU, penalty=penalty)
    best, found = (objective(data, head.weight, head.bias, penalty)[0] for head in (sought, known))
    assert found == pytest.approx(best, rel=1e-3)


def test_all_views_never_straddle_its_cut(draw_cache):
    cache = draw_cache([12, 6, 1], views=2, spread=2.0)
    _, weight, _, _ = fitted(cache, "all")
    assert np.isfinite(weight).all()


def test_streamed_features_give_the_same_probe(draw_cache, monkeypatch):
    monkeypatch.setattr(data_module, "BLOCK_ROWS", 16)
    monkeypatch.setattr(data_module, "CHUNK_VALUES", 1)
    cache = draw_cache([60, 20, 6, 2], spread=2.0)
    kept, streamed = (fit_probe(Features.of(cache, stream=s), CPU) for s in ("never", "always"))
    assert streamed.meta == kept.meta
    assert streamed.weight == pytest.approx(kept.weight, abs=1e-3)
    assert streamed.bias == pytest.approx(kept.bias, abs=1e-3)


def test_columns_of_different_units_cost_the_probe_nothing(draw_cache):
    mixed = draw_cache([60, 20, 6, 2], spread=2.0)
    mixed.shards[0][:, 0] *= np.array([1e3, 1, 1e-2, 1, 1, 1e-3, 1, 1], np.float32)
    probe = fit_probe(Features.of(mixed), CPU, normalize="standardize")
    x, labels = mixed.features[:, 0].astype(np.float64), mixed.labels
    found = x @ probe.weight.T.astype(np.float64) + probe.bias
    assert (found.argmax(1) == labels).mean() > 0.95


def test_samples_of_one_each_leave_nothing_to_choose_on(draw_cache):
    _, weight, bias, penalty = fitted(draw_cache([1, 1, 1]))
    assert penalty == PENALTIES[0]
    assert np.isfinite(weight).all()
    assert np.isfinite(bias).all()


def test_an_empty_class_is_never_predicted(draw_cache):
    data, weight, bias, _ = fitted(draw_cache([20, 0, 5]))
    assert 1 not in (data.mean_view() @ weight.T + bias).argmax(1)


@pytest.fixture
def solved(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """One entry for every probe that is really solved: its number of samples."""
    found: list[int] = []

    def counted(data, *args, **named):
        found.append(len(data))
        return fit_probe(data, *args, **named)

    monkeypatch.setattr(probe_module, "fit_probe", counted)
    return found


def test_it_is_kept_beside_the_cache_and_taken_from_there(tmp_path: Path, solved: list[int]):
    cache = write_cache(tmp_path / "train")
    first, again = fit(cache, "samn", epochs=1), fit(tmp_path / "train", "samn", epochs=1)
    assert solved == [cache.n]
    assert first.pack("a") == again.pack("a")
    kept = cache.kept_probe()
    assert kept is not None
    assert (kept.method, kept.name, kept.classes) == ("probe", "probe", cache.classes)
    assert first.pack("a") == fit(cache, "samn", epochs=1, no_cache=True).pack("a")
    assert solved == [cache.n] * 2


def test_one_of_features_normalised_otherwise_takes_no_others_place(tmp_path: Path):
    cache = write_cache(tmp_path / "train")
    fit(cache, "ce", epochs=1, normalize="standardize")
    first = load_head(cache.path / PROBE)
    assert first.meta["solved"]["normalize"] == "standardize"
    fit(cache, "ce", epochs=1)
    plain = (cache.path / PROBE).read_bytes()
    assert load_head(cache.path / PROBE).meta["solved"]["normalize"] == "none"
    fit(cache, "ce", epochs=1, normalize="standardize")
    assert (cache.path / PROBE).read_bytes() == plain


@pytest.mark.parametrize("method", ["tau-norm", "logit-adjust", "ce"])
def test_what_begins_at_a_kept_probe_is_called_by_its_method(tmp_path: Path, method: str):
    write_cache(tmp_path / "train")
    for _ in range(2):
        head = fit(tmp_path / "train", method)
        assert (head.name, head.path) == (method, None)


@pytest.mark.parametrize(
    "change", [{"normalize": "standardize"}, {"views_used": "first"}, {"stream": "always"}]
)
def test_another_way_to_solve_it_is_solved_again(tmp_path: Path, solved: list[int], change: dict[str, str]):
    cache = write_cache(tmp_path / "train")
    fit(cache, "ce", epochs=1)
    fit(cache, "ce", epochs=1, **change)
    assert solved == [cache.n] * 2


@pytest.mark.parametrize(
    ("scores", "taken"), [((3, 3, 2, 4), 1e-7), ((3, 4, 4, 2), 1e-5), ((5, 4, 3, 5), 1e-4)]
)
def test_a_tie_or_a_dip_on_the_way_ends_no_choice(tmp_path: Path, monkeypatch, scores, taken: float):
    """Of few samples one decides it, and a penalty far too strong would stay."""
    cache, told = write_cache(tmp_path / "train"), iter(scores)
    monkeypatch.setattr(probe_module, "mean_class_accuracy", lambda *_: next(told))
    head = probe_module.fit_probe(Features.of(cache, "all"), torch.device("cpu"))
    assert head.meta["penalty"] == taken


@pytest.mark.parametrize(
    ("samples", "told"),
    [
        ([1300, 1300], "a class-wise cut of the training samples (20%, 520 samples)"),
        ([1000, 400], "2 class-wise cuts of the training samples (20%, 280 samples each)"),
        ([40, 10], "5 class-wise cuts of the training samples (20%, 10 samples each)"),
        ([2, 2], "2 class-wise cuts of the training samples (20%, 2 samples each)"),  # there are no more
    ],
)
def test_few_samples_choose_on_several_cuts(samples: list[int], told: str):
    """A cut of 150 photos took the strongest penalty, five others weaker ones."""
    labels = np.repeat(np.arange(2), samples)
    x = np.random.default_rng(0).normal(size=(len(labels), 4)) + labels[:, None]
    data = Features.of(open_cache((x, labels)))
    head = probe_module.fit_probe(data, torch.device("cpu"))
    assert head.meta["chosen_on"] == told
    assert np.array_equal(head.weight, probe_module.fit_probe(data, torch.device("cpu")).weight)


def test_a_probe_of_other_features_or_a_torn_one_is_not_taken(tmp_path: Path, solved: list[int]):
    cache = write_cache(tmp_path / "train")
    fit(cache, "ce", epochs=1)
    kept = cache.path / PROBE
    found = load_head(kept)
    dataclasses.replace(found, meta={**found.meta, "cache": "0" * 64}).save(kept)
    assert cache.kept_probe() is None
    fit(cache, "ce", epochs=1)
    kept.write_bytes(kept.read_bytes()[:100])
    assert cache.kept_probe() is None
    fit(cache, "ce", epochs=1)
    assert solved == [cache.n] * 3


def test_a_bare_file_is_told_who_keeps_its_probe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(probe_module, "_cost", lambda data: 1 << 21)
    said: list[str] = []
    listener = type("Told", (type(SILENT),), {"note": lambda self, text: said.append(text)})()
    fit(write_bare(tmp_path / "bare.safetensors"), "ce", epochs=1, progress=listener)
    assert [text for text in said if "ltfix import" in text]
    said.clear()
    fit(write_cache(tmp_path / "train"), "ce", epochs=1, progress=listener)
    assert not said


def test_no_cache_and_a_bare_file_keep_none(tmp_path: Path):
    fit(write_cache(tmp_path / "train"), "ce", epochs=1, no_cache=True)
    assert not (tmp_path / "train" / PROBE).exists()
    fit(write_bare(tmp_path / "bare.safetensors"), "ce", epochs=1)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["bare.safetensors", "train"]
