from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
from evaluation_samples import COUNTS, head_of, noisy, write_cache
from safetensors.numpy import save_file

from ltfix.errors import InputError
from ltfix.evaluation import describe as module
from ltfix.features.layout import CachePlan
from ltfix.features.store import CacheWriter


def describe(path: Path, **options) -> dict:
    """The description as JSON has it; every fact that is told has one place in it."""
    found = module.describe(path, **options)
    assert all(found.told.values())
    return found.to_dict()


def plan(n: int = 10, **more) -> CachePlan:
    labels = np.repeat(np.arange(2), n // 2)
    return CachePlan(
        samples=[f"train/{k}/{i}.jpg" for i, k in enumerate(labels)],
        labels=labels,
        classes=("cat", "dog"),
        dim=3,
        views=1,
        dtype="float16",
        backbone={"name": "resnet18"},
        preprocess={"image_size": 224},
        source={"kind": "folder", "root": "photos"},
        decides={},
        run={},
        shard_rows=6,
        **more,
    )


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    writer = CacheWriter(tmp_path / "features" / "train", plan())
    for shard in writer.pending():
        rows = shard.stop - shard.start
        writer.write_shard(shard, np.ones((rows, 1, 3), np.float16))
    writer.publish(
        head_of(np.ones((2, 3)), method="stage-1", counts=np.array([5, 5]), classes=("cat", "dog"))
    )
    return tmp_path / "features" / "train"


def test_a_cache_folder(folder: Path):
    found = describe(folder)
    assert found["kind"] == "cache"
    assert [found[key] for key in ("n", "views", "dim", "dtype", "classes")] == [10, 1, 3, "float16", 2]
    assert found["class_names"] == ["cat", "dog"]
    assert found["counts"] == [5, 5]
    assert found["shots"]["of"] == "training counts"
    assert found["backbone"] == {"name": "resnet18"}
    assert found["stage1"]["weight_norm"]["mean"] == pytest.approx(3**0.5)
    assert found["bytes"] == sum(p.stat().st_size for p in folder.iterdir())
    assert "verified" not in found
    json.dumps(found, allow_nan=False)


def test_verify_reads_every_byte(folder: Path):
    assert describe(folder, verify=True)["verified"] == {"hashes": 2, "finite": True}
    shard = folder / "shard-00001.safetensors"
    data = bytearray(shard.read_bytes())
    data[-1] ^= 1
    shard.write_bytes(bytes(data))
    describe(folder)
    with pytest.raises(InputError, match=r"shard-00001\.safetensors"):
        describe(folder, verify=True)


def test_verify_finds_a_nan_in_a_bare_file(tmp_path: Path):
    cache, _ = noisy(n=20)
    cache.shards[0][7] = np.nan
    np.savez(tmp_path / "x.npz", features=cache.shards[0], labels=cache.labels)
    describe(tmp_path / "x.npz")
    with pytest.raises(InputError, match="row 7"):
        describe(tmp_path / "x.npz", verify=True)


def test_an_unfinished_cache(tmp_path: Path):
    writer = CacheWriter(tmp_path / "train", plan())
    first = writer.pending()[0]
    writer.write_shard(first, np.ones((first.stop - first.start, 1, 3), np.float16))
    found = module.describe(tmp_path / "train")
    assert (found.kind, found.to_dict()["shards"], found.holds) == ("unfinished cache", 1, "1 shard so far")


def test_a_bare_cache(tmp_path: Path):
    cache, head = noisy()
    found = describe(write_cache(tmp_path / "x.npz", cache, head))
    assert (found["kind"], found["classes"], found["fingerprint"]) == ("cache", 7, None)
    assert found["shots"]["of"] == "this cache's counts"


@pytest.mark.parametrize(
    ("temperature", "told"), [(None, None), ([2] * 7, "2"), ([0.5] * 3 + [1.25] * 4, "0.5 to 1.25, by class")]
)
def test_the_temperature_of_a_head(tmp_path: Path, temperature: list[float] | None, told: str | None):
    _, head = noisy()
    given = None if temperature is None else np.array(temperature)
    dataclasses.replace(head, temperature=given).save(tmp_path / "h.safetensors")
    found = module.describe(tmp_path / "h.safetensors")
    least_and_most = temperature and {"least": min(temperature), "most": max(temperature)}
    assert (found.told.get("temperature"), found.to_dict()["temperature"]) == (told, least_and_most)


def test_a_head(tmp_path: Path):
    _, head = noisy(counts=COUNTS, method="samn", meta={"seed": 3})
    head.save(tmp_path / "samn-freq.safetensors")
    found = describe(tmp_path / "samn-freq.safetensors")
    assert [found[key] for key in ("kind", "method", "classes", "dim")] == ["head", "samn", 7, 5]
    assert found["counts"] == COUNTS.tolist()
    assert found["shots"]["n_classes"] == {"many": 2, "medium": 3, "few": 2}
    assert found["meta"]["seed"] == 3


def test_how_many_settings_a_search_tried_and_left(tmp_path: Path):
    head = head_of(np.ones((2, 3)))
    tried = [{"lr": 0.1, "score": 0.5}, *[{"lr": lr, "score": None, "early": True} for lr in (1, 2)]]
    dataclasses.replace(head, meta={"selection": {"tried": tried}}).save(tmp_path / "a.safetensors")
    dataclasses.replace(head, meta={"selection": {"tried": tried[:1]}}).save(tmp_path / "b.safetensors")
    told = [module.describe(tmp_path / f"{name}.safetensors").told["selection"] for name in "ab"]
    assert told == ["(tried 3 settings (2 stopped early))", "(tried 1 settings)"]


def test_a_run_folder(tmp_path: Path):
    run = {"format": "ltfix-run/1", "finished": False, "model": "m", "classes": ["a", "b"], "counts": [3, 1]}
    (tmp_path / "run.json").write_text(json.dumps(run))
    found = describe(tmp_path)
    assert [found[key] for key in ("kind", "finished", "counts", "stage1")] == ["run", False, [3, 1], None]
    head_of(np.ones((2, 3)), method="stage-1").save(tmp_path / "classifier.safetensors")
    assert describe(tmp_path)["stage1"]["dim"] == 3


def test_a_checkpoint_with_dtypes_that_numpy_lacks(tmp_path: Path):
    torch = pytest.importorskip("torch")
    from safetensors.torch import save_file as save_torch

    state = {"fc.weight": torch.zeros(2, 3, dtype=torch.bfloat16), "fc.bias": torch.zeros(2)}
    save_torch(state, tmp_path / "model.safetensors", {"format": "pt"})
    found = describe(tmp_path / "model.safetensors")
    assert (found["kind"], found["parameters"]) == ("checkpoint", 8)
    assert {"name": "fc.weight", "dtype": "BF16", "shape": [2, 3]} in found["tensors"]


def test_what_is_nothing_of_ltfix(tmp_path: Path, folder: Path):
    (tmp_path / "a.txt").write_text("x")
    (tmp_path / "torn.safetensors").write_bytes(b"\x00" * 5)
    save_file({"x": np.zeros(2)}, tmp_path / "odd.safetensors", {"ltfix": "{"})
    for name, message in [
        ("absent", "no such file or folder"),
        ("a.txt", "not a kind of file that ltfix reads.*`ltfix import`"),
        ("torn.safetensors", "torn or not a safetensors file"),
        ("odd.safetensors", "not JSON"),
        ("features", "neither a feature cache nor a run.*did you mean .*train"),
        (".", "neither a feature cache nor a run.*did you mean .*odd.safetensors"),
    ]:
        with pytest.raises(InputError, match=message):
            describe(tmp_path / name)


def test_files_that_say_nonsense_of_themselves(tmp_path: Path):
    for name, file, text, message in [
        (
            "run",
            "run.json",
            '{"format": "ltfix-run/1", "counts": ["a"]}',
            r"counts\[0\].*run\.json",
        ),
        ("partial", "partial.json", "[1]", r"no JSON object.*partial\.json"),
    ]:
        (tmp_path / name).mkdir()
        (tmp_path / name / file).write_text(text)
        with pytest.raises(InputError, match=message):
            describe(tmp_path / name)
    save_file({"x": np.zeros(2)}, tmp_path / "odd.safetensors", {"ltfix": '{"format": 3}'})
    assert describe(tmp_path / "odd.safetensors")["kind"] == "checkpoint"
