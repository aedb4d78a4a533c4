"""`fit` from cache to head: every method, starts, provenance, determinism, what is refused."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

import ltfix
from ltfix.errors import InputError, UsageError
from ltfix.features.read import FeatureCache
from ltfix.heads.head import load_head
from ltfix.progress import Progress
from ltfix.stage2.fit import Options, plan_fit
from ltfix.stage2.fitting.context import Material
from ltfix.stage2.layers.samn import SAMNLinear
from ltfix.stage2.loop import data
from ltfix.stage2.loop.data import Features
from ltfix.stage2.methods.registry import methods

TRAINED = [m.name for m in methods() if m.loss is not None and not m.head.simplex]
NAMES = [m.name for m in methods() if not m.head.simplex]
COUNTS = [40, 14, 6, 2]


def quick(name: str) -> dict[str, float]:
    values: dict[str, float] = {"epochs": 2} if name in TRAINED else {}
    return values | ({"alpha": 0.5} if name == "causal" else {})  # the published 3 overshoots at D = 8


@pytest.mark.parametrize("name", NAMES)
def test_every_method_makes_a_head_that_repeats_bit_for_bit(draw_cache, tmp_path: Path, name: str):
    cache = draw_cache(COUNTS, views=2)
    one, two = (ltfix.fit(cache, name, **quick(name)) for _ in range(2))
    one.save(tmp_path / "one.safetensors")
    two.save(tmp_path / "two.safetensors")
    assert (tmp_path / "one.safetensors").read_bytes() == (tmp_path / "two.safetensors").read_bytes()
    read = load_head(tmp_path / "one.safetensors")
    x = cache.features[:, 0]
    assert np.array_equal(read.logits(x), one.logits(x))
    assert read.logits(torch.from_numpy(x)).numpy() == pytest.approx(read.logits(x), rel=1e-5, abs=1e-5)
    assert (one.logits(x).argmax(1) == cache.labels).mean() > 0.5
    assert one.counts.tolist() == COUNTS
    assert one.classes == cache.classes


@pytest.mark.parametrize("counts", [[9, 4], [7, 7, 7], [9, 0, 4, 1]], ids=str)
@pytest.mark.parametrize("stage1", [True, False])
@pytest.mark.parametrize("name", NAMES)
def test_two_classes_equal_counts_and_empty_classes(draw_cache, name: str, stage1: bool, counts: list[int]):
    head = ltfix.fit(draw_cache(counts, stage1=stage1), name, **quick(name))
    assert np.isfinite(head.weight).all()
    assert np.isfinite(head.bias).all()
    assert head.meta["empty_classes"] == counts.count(0)


def test_a_saved_samn_head_equals_the_modules_own_forward(draw_cache):
    """One epoch of one batch from stage 1: the module trained by hand, in the unit of the features."""
    cache = draw_cache(COUNTS)
    head = ltfix.fit(cache, "samn", epochs=1, batch_size=1000, lr=0.05, feature_scale="none")
    linear = torch.nn.Linear(cache.dim, len(COUNTS))
    with torch.no_grad():
        linear.weight.copy_(torch.from_numpy(cache.head.weight))
        linear.bias.copy_(torch.from_numpy(cache.head.bias))
    module = SAMNLinear.from_linear(linear, cache.counts)
    x, y = torch.from_numpy(cache.features[:, 0]), torch.from_numpy(cache.labels)
    torch.nn.functional.cross_entropy(module(x), y).backward()
    torch.optim.SGD(module.parameters(), lr=0.05, momentum=0.9).step()
    assert head.logits(cache.features[:, 0]) == pytest.approx(module(x).detach().numpy(), rel=1e-4, abs=1e-4)


def test_seeds_side_by_side_are_the_seeds_alone(draw_cache):
    cache = draw_cache(COUNTS, views=2)
    for head, seed in zip(plan_fit("samn", {"epochs": 3}).train(cache, [3, 4]), (3, 4), strict=True):
        alone = ltfix.fit(cache, "samn", seed=seed, epochs=3)
        assert head.weight == pytest.approx(alone.weight, rel=1e-4, abs=1e-5)
        assert head.meta["seed"] == alone.meta["seed"] == seed
    assert not np.array_equal(ltfix.fit(cache, "ce", seed=0).weight, ltfix.fit(cache, "ce", seed=1).weight)


def test_what_continues_starts_from_stage1_else_from_the_probe(draw_cache):
    with_head, without = draw_cache(COUNTS), draw_cache(COUNTS, stage1=False)
    assert ltfix.fit(with_head, "ce", epochs=1).meta["init"] == {"from": "stage1"}
    start = ltfix.fit(without, "ce", epochs=1).meta["init"]
    assert start["from"] == "probe"
    assert start["penalty"] > 0
    probe = ltfix.fit(with_head, "ce", epochs=1, init="probe", lr=1e-12)
    assert probe.logits(with_head.features[:, 0]) == pytest.approx(
        ltfix.fit(without, "ce", epochs=1, lr=1e-12).logits(with_head.features[:, 0]), rel=1e-3, abs=1e-3
    )
    still = ltfix.fit(with_head, "ce", epochs=1, lr=1e-12)
    assert still.weight == pytest.approx(with_head.head.weight, rel=1e-5)


def test_random_and_class_mean_starts(draw_cache):
    cache = draw_cache(COUNTS)
    noise = [
        ltfix.fit(cache, "ce", init="random", seed=s, epochs=1, lr=1e-12, feature_scale="none")
        for s in (0, 1)
    ]
    bound = 1 / np.sqrt(cache.dim)
    assert all(np.abs(head.weight).max() <= bound * (1 + 1e-6) for head in noise)
    assert not np.array_equal(noise[0].weight, noise[1].weight)
    mean = ltfix.fit(cache, "ce", init="class-mean", epochs=1, lr=1e-12, feature_scale="none")
    expected = np.stack([cache.features[cache.labels == k, 0].mean(0) for k in range(4)])
    expected /= np.linalg.norm(expected, axis=1, keepdims=True)
    assert mean.weight == pytest.approx(expected, abs=1e-5)
    assert mean.bias == pytest.approx(np.zeros(4), abs=1e-6)


def test_the_file_says_what_made_it(draw_cache):
    head = ltfix.fit(draw_cache(COUNTS), "los", lr=1e-3, seed=5, origins={"lr": "file"})
    meta = head.metadata()
    assert meta["method"] == "los"
    assert meta["values"]["lr"] == {"value": 1e-3, "from": "file"}
    assert meta["values"]["delta"] == {"value": 0.98, "from": "default"}
    assert meta["values"]["momentum"] == {"value": 0.9, "from": "default"}
    assert meta["seed"] == 5
    assert meta["selection"] == {"epoch": "last"}
    assert meta["parts"] == {"head": "linear", "loss": "los", "posthoc": None}
    assert set(meta["versions"]) == {"ltfix", "torch"}
    assert meta["views_used"] == "random"


def test_delta_is_larger_for_a_thousand_classes(draw_cache):
    head = ltfix.fit(draw_cache([2] * 1000, dim=4), "los", epochs=1)
    assert head.meta["values"]["delta"]["value"] == 0.99


def test_tau_norm_drops_or_keeps_the_bias(draw_cache):
    cache = draw_cache(COUNTS, stage1=False)
    dropped, kept = (ltfix.fit(cache, "tau-norm", tau=1.0, bias=b, init="probe") for b in ("drop", "keep"))
    assert (dropped.bias == 0).all()
    assert (kept.bias != 0).any()
    norms = np.linalg.norm(dropped.weight, axis=1)
    assert norms == pytest.approx(np.full(4, norms[0]), rel=1e-5)


def test_tau_norm_of_stage1_in_the_unit_of_the_features(draw_cache):
    cache = draw_cache(COUNTS)
    head = ltfix.fit(cache, "tau-norm", tau=0.5, feature_scale="none")
    norm = np.linalg.norm(cache.head.weight, axis=1, keepdims=True)
    assert head.weight == pytest.approx(cache.head.weight / norm**0.5, rel=1e-5)


def test_logit_adjust_subtracts_the_log_prior(draw_cache):
    cache = draw_cache([40, 14, 0, 2])
    head = ltfix.fit(cache, "logit-adjust", tau=1.5)
    n = np.maximum(cache.counts, 1)
    present = cache.counts > 0
    assert head.weight[present] == pytest.approx(cache.head.weight[present], rel=1e-5)
    assert head.bias[present] == pytest.approx(
        (cache.head.bias - 1.5 * np.log(n / n.sum()))[present], rel=1e-5
    )


def test_another_loss_in_the_methods_place(draw_cache):
    cache = draw_cache(COUNTS)
    head = ltfix.fit(cache, "samn", loss="los", epochs=2)
    assert head.meta["parts"] == {"head": "samn", "loss": "los", "posthoc": None}
    assert np.array_equal(head.weight, ltfix.fit(cache, "samn+los", epochs=2).weight)


def test_a_path_is_as_good_as_a_cache(draw_cache, tmp_path: Path):
    cache = draw_cache(COUNTS, stage1=False)
    np.savez(tmp_path / "train.npz", features=cache.features, labels=cache.labels)
    from_path = ltfix.fit(tmp_path / "train.npz", "ce", epochs=1)
    assert np.array_equal(from_path.weight, ltfix.fit(cache, "ce", epochs=1).weight)


class Notes:
    """A progress that keeps what it is told."""

    def __init__(self) -> None:
        self.said: list[str] = []
        self.done: dict[str, int] = {}
        self.what = ""

    def start(self, what: str, total: int, unit: str) -> None:
        self.what = what
        self.done[what] = 0

    def advance(self, n: int = 1) -> None:
        self.done[self.what] += n

    def note(self, text: str) -> None:
        self.said.append(text)

    def finish(self) -> None: ...


def test_empty_classes_are_told(draw_cache):
    notes = Notes()
    progress: Progress = notes
    ltfix.fit(draw_cache([9, 0, 4, 0]), "ce", epochs=3, progress=progress)
    assert notes.said == ["2 of 4 classes have no training sample"]
    assert notes.done["fit"] == 3
    labels = np.repeat([1, 2], [9, 4])
    ltfix.fit((np.eye(3, 8)[labels], labels), "ce", epochs=1, progress=progress)
    assert notes.said[-1] == "1 of 3 classes have no training sample: are the labels counted from 1?"


def test_labels_from_1_beside_a_head_of_labels_from_0_are_asked_for():
    head, labels = ltfix.Head(np.eye(2, 8), np.zeros(2)), np.repeat([0, 1], [9, 4])
    x = np.eye(2, 8)[labels]
    ask = r"where the training features have 3, 8 \(head\): are the labels counted from 1\?"
    with pytest.raises(InputError, match=ask):
        ltfix.fit((x, labels + 1), "ce", init=head.named("head"))
    with pytest.raises(
        InputError, match=r"test label 2 is not below K = 2 .*: are the labels counted from 1"
    ):
        ltfix.compare((x, labels), (x, labels + 1), ["ncm"], seeds=1)
    with pytest.raises(InputError, match=r"has K = 3: are the labels counted from 1\?"):
        ltfix.evaluate(ltfix.fit((x, labels), "ncm"), (x, labels + 1))


def test_a_layer_that_is_not_read_as_the_classifier_is_told(tmp_path: Path):
    labels, file, notes = np.repeat([0, 1], [9, 4]), tmp_path / "t.npz", Notes()
    np.savez(file, features=np.eye(2, 8)[labels], labels=labels, **{"fc.weight": np.eye(2, 8)})
    ltfix.fit(file, "ncm", progress=notes)
    how = f'`ltfix.import_features("{file}", head_from="{file}:fc")` makes it stage 1'
    assert notes.said == [f"{file} holds fc.weight, read as no classifier; {how}"]
    ltfix.fit(file, "ce", epochs=1, init="probe", progress=(quiet := Notes()))
    assert not quiet.said
    cache = ltfix.open_cache(file)
    file.write_bytes(b"another file")
    ltfix.fit(cache, "ncm", progress=quiet)
    assert not quiet.said


def test_a_fit_that_loses_on_validation_says_so(draw_cache):
    notes = Notes()
    cache, val = draw_cache([60, 20, 6], spread=2.0), draw_cache([30, 30, 30], spread=2.0, seed=3)
    ltfix.fit(cache, "los", val=val, lr=0.2, progress=notes, epochs=3)
    assert any("worse on the validation samples" in text and "tune=True" in text for text in notes.said)


def test_classes_without_validation_samples_are_told(draw_cache):
    cache, val, notes = draw_cache([60, 20, 6], spread=2.0), draw_cache([30, 30, 0], seed=3), Notes()
    head = ltfix.fit(cache, "tau-norm", val=val, progress=notes)
    told = "1 of 3 classes has no sample in memory, and no part in what is chosen or scored there: class2"
    assert notes.said[0] == told
    ltfix.calibrate(head, val, progress=(notes := Notes()))
    assert [note for note in notes.said if note.startswith("1 of 3 classes has no sample in ")]


def test_validation_samples_that_are_fitted_on_are_told(draw_cache):
    cache, notes = draw_cache([30, 9, 6]), Notes()
    copy = draw_cache([30, 9, 6])
    head = ltfix.fit(cache, "tau-norm", val=copy, progress=notes)
    assert "which is what is fitted on: scores are inflated" in notes.said[0]
    assert "which is what is fitted on" in head.meta["selection"]["on"]
    other = ltfix.fit(cache, "tau-norm", val=draw_cache([30, 9, 6], seed=3), progress=(quiet := Notes()))
    assert not quiet.said
    assert "fitted on" not in other.meta["selection"]["on"]


@pytest.mark.parametrize("stage1", [True, False])
def test_a_fit_that_unlearns_its_start_says_so(draw_cache, stage1: bool):
    notes = Notes()
    cache = draw_cache(COUNTS, stage1=stage1)
    ltfix.fit(cache, "ce", epochs=1, lr=1e-6, progress=notes)
    ltfix.fit(cache, "crt", epochs=1, lr=1e-6, progress=notes)  # it begins with noise, which knew nothing
    assert not notes.said
    ltfix.fit(cache, "ce", epochs=2, lr=0.1, weight_decay=9.0, progress=notes)
    assert "ce: the fit unlearned much of what the " in notes.said[0]
    assert ("stage-1 classifier" in notes.said[0]) == stage1
    assert "tune=True searches" in notes.said[0]


def test_the_length_liked_best_by_validation(draw_cache):
    cache, val = draw_cache([60, 20, 6], spread=2.0), draw_cache([30, 30, 30], spread=2.0, seed=3)
    head = ltfix.fit(cache, "los", val=val, lr=0.05, select="best-val", epochs=8)
    selection = head.meta["selection"]
    assert selection["epoch"] == int(np.argmax(selection["epoch_scores"])) + 1
    assert len(selection["epoch_scores"]) == 8


def test_tuning_records_what_it_tried_and_keeps_what_was_given(draw_cache):
    cache, val = draw_cache([60, 20, 6], spread=2.0), draw_cache([30, 30, 30], spread=2.0, seed=3)
    head = ltfix.fit(cache, "los", val=val, tune=True, delta=0.9, epochs=3)
    record = head.meta["selection"]
    assert set(record["chosen"]) == {"lr", "feature_scale", "normalize"}
    assert head.meta["values"]["delta"] == {"value": 0.9, "from": "option"}
    assert head.meta["values"]["lr"]["from"] == "chosen on validation"
    assert record["score"] >= 0


def one_class(draw: Callable[..., FeatureCache]) -> FeatureCache:
    return draw([5, 0, 0])


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"method": "smn"}, UsageError, "did you mean samn"),
        ({"method": "ce", "loss": "lso"}, UsageError, "did you mean los"),
        ({"method": "tau-norm", "loss": "los"}, UsageError, "trains nothing"),
        ({"method": "ce", "taux": 1}, UsageError, "has no value 'taux'"),
        ({"method": "ce", "init": "stage2"}, UsageError, "init is 'stage2' (init)"),
        (
            {"method": "ncm", "init": "probe"},
            UsageError,
            "ncm makes its rows itself, from no start (init)",
        ),
        ({"method": "ce", "views_used": "second"}, UsageError, "views_used is 'second' (views_used)"),
        ({"method": "ce", "normalize": "l3"}, UsageError, "(normalize)"),
        ({"method": "ce", "select": "best"}, UsageError, "(select)"),
        ({"method": "ce", "feature_scale": "big"}, UsageError, "(feature_scale)"),
        ({"method": "ce", "feature_scale": 0}, UsageError, "(feature_scale)"),
        ({"method": "ce", "feature_scale": -1.0}, UsageError, "(feature_scale)"),
        ({"method": "ce", "feature_scale": "inf"}, UsageError, "(feature_scale)"),
        ({"method": "ce", "val_fraction": 1.0}, UsageError, "(val_fraction)"),
        ({"method": "ce", "val_fraction": float("nan")}, UsageError, "(val_fraction)"),
        ({"method": "ce", "val_per_class": 0}, UsageError, "(val_per_class)"),
        (
            {"method": "ce", "val_per_class": "2"},
            UsageError,
            "val_per_class is '2' (val_per_class): a number",
        ),
        ({"method": "ce", "tune": "False"}, UsageError, "tune is 'False' (tune): True or False"),
        ({"method": "samn", "loss": "ldam"}, UsageError, "cosine head"),
        ({"method": "causal", "heads": 3}, InputError, "does not divide into 3 blocks"),
        ({"method": "etf"}, InputError, "no simplex ETF"),
        ({"method": "cosine", "normalize": "l2", "epochs": 1}, UsageError, "normalize=none"),
        ({"method": "causal", "normalize": "standardize", "epochs": 1}, UsageError, "mean feature"),
        ({"method": "etf", "normalize": "standardize"}, UsageError, "geometry of its features"),
    ],
    ids=str,
)
def test_what_is_refused(draw_cache, arguments: dict, error: type, message: str):
    with pytest.raises(error) as caught:
        ltfix.fit(draw_cache(COUNTS), **arguments)
    assert message in str(caught.value)


def test_caches_that_do_not_fit_are_refused(draw_cache, tmp_path: Path):
    cache = draw_cache(COUNTS)
    with pytest.raises(InputError, match="one class"):
        ltfix.fit(one_class(draw_cache), "ce")
    with pytest.raises(InputError, match="D = 5, training D = 8"):
        ltfix.fit(cache, "ce", val=draw_cache(COUNTS, dim=5))
    with pytest.raises(InputError, match="label 4 is not below K = 4"):
        ltfix.fit(cache, "ce", val=draw_cache([1, 1, 1, 1, 1]))
    with pytest.raises(InputError, match="no such feature cache"):
        ltfix.fit(tmp_path / "none.npz", "ce")
    with pytest.raises(InputError, match="feature row 3"):
        broken = draw_cache(COUNTS)
        broken.shards[0][3, 0, 0] = np.inf
        ltfix.fit(broken, "ce")


def test_an_etf_of_its_own_trains_only_the_bias(draw_cache):
    cache = draw_cache([20, 8, 3])
    simplex = np.sqrt(3 / 2) * (np.eye(3) - 1 / 3)
    cache.head.weight[:] = np.pad(simplex, ((0, 0), (0, 5)))
    head = ltfix.fit(cache, "etf", lr=0.1)
    assert head.weight == pytest.approx(cache.head.weight, rel=1e-5, abs=1e-6)
    assert (head.bias != 0).any()


def test_options_may_be_given_as_one_object(draw_cache):
    cache = draw_cache(COUNTS, views=2)
    a = ltfix.fit(cache, "ce", epochs=1, options=Options(views_used="first", init="random"))
    b = ltfix.fit(cache, "ce", epochs=1, views_used="first", init="random")
    assert np.array_equal(a.weight, b.weight)
    assert a.meta["views_used"] == "first"


@pytest.mark.parametrize("stream", ["never", "always"])
def test_streaming_fits_as_well(draw_cache, stream: str):
    cache = draw_cache([300, 60, 20], views=2)
    head = ltfix.fit(cache, "samn", stream=stream, lr=0.01)
    assert (head.logits(cache.features.mean(1)).argmax(1) == cache.labels).mean() > 0.9


@pytest.mark.parametrize("stream", ["never", "always"])
@pytest.mark.parametrize("transform", ["un", "l2n", "cl2n"])
def test_ncm_picks_the_nearest_class_mean(draw_cache, monkeypatch, transform: str, stream: str):
    monkeypatch.setattr(data, "BLOCK_ROWS", 5)
    monkeypatch.setattr(data, "CHUNK_VALUES", 1)
    cache = draw_cache([30, 12, 5, 2], spread=2.0)
    head = ltfix.fit(cache, "ncm", stream=stream, transform=transform, distance="l2")
    x = cache.features.mean(1).astype(np.float64)
    t = x - x.mean(0) if transform == "cl2n" else x
    if transform != "un":
        t /= np.linalg.norm(t, axis=1, keepdims=True)
    means = np.stack([t[cache.labels == k].mean(0) for k in range(4)])
    nearest = np.square(t[:, None] - means).sum(-1).argmin(1)
    assert np.array_equal(head.logits(cache.features.mean(1)).argmax(1), nearest)


def test_ncm_reads_the_features_once(draw_cache, monkeypatch):
    reads: list[Features] = []
    once = Features.mean_views
    monkeypatch.setattr(Features, "mean_views", lambda own: reads.append(own) or once(own))
    for transform, passes in (("un", 1), ("l2n", 1), ("cl2n", 2)):  # the last needs the mean first
        reads.clear()
        ltfix.fit(draw_cache([30, 12, 5, 2]), "ncm", transform=transform)
        assert len(reads) == passes


def test_ncm_fits_no_probe(draw_cache, monkeypatch):
    monkeypatch.setattr(
        "ltfix.stage2.fitting.context.find_probe", lambda *_, **__: pytest.fail("the probe was asked for")
    )
    assert ltfix.fit(draw_cache([30, 12, 5, 2]), "ncm").meta["init"] == {"from": "class-mean"}


@pytest.mark.parametrize(
    ("method", "options"),
    [("ce", {"init": "class-mean", "lr": 1e-30, "epochs": 1}), ("logit-adjust", {"tune": True})],
    ids=["class means", "a choice on validation samples"],
)
def test_a_streamed_cache_gives_what_a_resident_one_does(draw_cache, monkeypatch, method: str, options):
    monkeypatch.setattr(data, "BLOCK_ROWS", 8)
    monkeypatch.setattr(data, "CHUNK_VALUES", 1)
    cache = draw_cache([30, 12, 5, 2], spread=2.0)
    kept, streamed = (ltfix.fit(cache, method, stream=s, **options) for s in ("never", "always"))
    np.testing.assert_allclose(kept.weight, streamed.weight, rtol=1e-5, atol=1e-7)
    np.testing.assert_allclose(kept.bias, streamed.bias, rtol=1e-5, atol=1e-7)
    assert kept.meta["selection"] == streamed.meta["selection"]


def test_a_validation_cache_is_streamed_as_the_training_cache_is(draw_cache):
    cache, val = draw_cache([30, 12, 5]), draw_cache([9, 9, 9], seed=1)
    material = Material.of(cache, val, Options(stream="always"), 0)
    assert [fold.held.streamed for fold in material.folds()] == [True]
    assert not Material.of(cache, val, Options(stream="never"), 0).folds()[0].held.streamed


def test_a_device_that_does_not_exist_is_refused(draw_cache):
    with pytest.raises(UsageError, match="unknown device 'tpu'"):
        ltfix.fit(draw_cache([4, 3]), "ce", device="tpu")


def test_a_plan_names_and_trains_what_was_asked_for(draw_cache):
    cache = draw_cache(COUNTS)
    plan = plan_fit("ce", {"epochs": 2, "init": "probe"}, loss="los", origins={"epochs": "file"})
    assert plan.name == "ce+los-epochs2-probe"
    assert plan_fit("auto").name == "auto"
    (head,) = plan.train(cache, [3])
    same = ltfix.fit(cache, "ce", seed=3, loss="los", epochs=2, init="probe")
    assert np.array_equal(head.weight, same.weight)
    assert head.meta["values"]["epochs"] == {"value": 2, "from": "file"}
    entry = next(method for method in methods() if method.name == "ce")
    assert plan_fit(entry, {"epochs": 2}).values == plan_fit("ce", {"epochs": 2}).values


def test_a_fitted_head_knows_its_start_and_its_scaling(draw_cache):
    material = Material.of(draw_cache(COUNTS), None, Options(), 0)
    fitter = material.fitter(material.data, "random", 1.0, "none")
    (row,) = fitter.fit([plan_fit("ce", {"epochs": 1}).values], [0])
    assert row[0].method == "ce"
    assert row[0].meta == {"init": {"from": "random"}, "coordinates": fitter.scaling.record()}


def test_threads_are_torchs(draw_cache):
    hint = r"\((threads|set)\): in Python torch\.set_num_threads\(N\)"
    with pytest.raises(UsageError, match=hint):
        ltfix.fit(draw_cache([9, 4]), threads=2)
    with pytest.raises(UsageError, match=hint):
        ltfix.compare(draw_cache([9, 4]), draw_cache([9, 4]), ["ce"], threads=2)
