"""ltfix.extraction.run: the right features, the same bytes, and what is written when."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import shutil
import socket
import struct
import tarfile
import threading
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import timm
import torch
from pictures import make_image, write_photos
from PIL import Image
from safetensors.numpy import load_file
from torch import nn

import ltfix
from ltfix import files
from ltfix.errors import EnvironmentFault, InputError, UsageError
from ltfix.evaluation.scores import logit_blocks
from ltfix.extraction import found
from ltfix.extraction import run as running
from ltfix.extraction.forward import Forward
from ltfix.extraction.plan import prepare
from ltfix.extraction.request import Request
from ltfix.images.source import open_source
from ltfix.locking import Hold


class Notes:
    """A progress that remembers."""

    def __init__(self) -> None:
        self.notes: list[str] = []
        self.tasks: list[list[Any]] = []

    def start(self, what: str, total: int, unit: str) -> None:
        self.tasks.append([what, total, unit, 0])

    def advance(self, n: int = 1) -> None:
        self.tasks[-1][3] += n

    def describe(self, text: str) -> None: ...

    def note(self, text: str) -> None:
        self.notes.append(text)

    def finish(self) -> None: ...


def extract(photos: Path, out: Path, **values: Any) -> dict[str, ltfix.FeatureCache]:
    plain = {
        "backbone": "cifar_resnet32",
        "pretrained": False,
        "device": "cpu",
        "shard_rows": 4,
        "batch_size": 3,
    }
    caches = ltfix.extract(photos, out=out, **{**plain, **values})
    return caches if isinstance(caches, dict) else {caches.path.name: caches}


def tree(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def test_a_literal_loop_gives_the_same_features(caltech: Path, shared_data: Path, tmp_path: Path):
    """timm's own loader code: model, transform, one image at a time."""
    checkpoint = shared_data / "tf_efficientnet_lite0.safetensors"
    cache = extract(
        caltech,
        tmp_path,
        backbone="tf_efficientnet_lite0",
        checkpoint=checkpoint,
        split=["test"],
        limit=8,
        dtype="float32",
        views="center,hflip",
    )["test"]
    cfg = {"file": str(checkpoint), "mean": (0.5,) * 3, "std": (0.5,) * 3}
    model = timm.create_model(
        "tf_efficientnet_lite0", pretrained=True, pretrained_cfg_overlay=cfg, num_classes=0
    ).eval()
    transform = timm.data.create_transform(**timm.data.resolve_model_data_config(model))
    split = open_source(caltech).split("test").limit(8)
    with torch.inference_mode():
        for row in range(8):
            image = transform(split.open(row))[None]
            for view, tensor in enumerate((image, image.flip(3))):
                np.testing.assert_allclose(
                    cache.features[row, view], model(tensor)[0].numpy(), rtol=1e-3, atol=1e-4
                )
    assert cache.labels.tolist() == split.labels.tolist()
    assert cache.samples == tuple(split.samples)


def unpack(archive: Path, folder: Path, prefixes: tuple[str, ...]) -> list[str]:
    """Extract the members below ``prefixes``; their names, sorted."""
    with tarfile.open(archive) as tar:
        chosen = [member for member in tar if member.isfile() and member.name.startswith(prefixes)]
        tar.extractall(folder, chosen, filter="data")
    return sorted(member.name for member in chosen)


def test_the_packed_features_of_cifar(shared_data: Path, tmp_path: Path):
    """300 test images through a list file equal the packed features to float16 rounding."""
    classes = ("apple", "aquarium_fish", "baby")
    names = unpack(shared_data / "cifar100_lt.tar.gz", tmp_path, tuple(f"test/{name}/" for name in classes))
    lines = [f"{name} {classes.index(name.split('/')[1])}\n" for name in names]
    (tmp_path / "list.txt").write_text("".join(lines))
    (tmp_path / "classes.txt").write_text("".join(f"{k}\n" for k in range(100)))
    cache = ltfix.extract(
        f"list:{tmp_path / 'list.txt'}",
        backbone="cifar_resnet32",
        checkpoint=shared_data / "c100_if100_resnet32_stage1.safetensors",
        mean=(0.4914, 0.4822, 0.4465),
        std=(0.2023, 0.1994, 0.2010),
        views="center,hflip",
        split=["test"],
        classes=tmp_path / "classes.txt",
        out=tmp_path / "out",
    )
    assert isinstance(cache, ltfix.FeatureCache)
    packed = load_file(shared_data / "c100_if100_test.safetensors")
    assert [int(Path(name).stem) for name in names] == packed["orig_index"][:300].tolist()
    assert cache.labels.tolist() == packed["labels"][:300].tolist()
    ours, theirs = (values[:300].astype(np.float32) for values in (cache.features, packed["features"]))
    np.testing.assert_allclose(ours, theirs, rtol=2e-3, atol=2e-3)
    assert (ours == theirs).mean() > 0.99
    head = load_file(shared_data / "c100_if100_train.safetensors")
    assert cache.head is not None
    np.testing.assert_array_equal(cache.head.weight, head["head.weight"])
    np.testing.assert_array_equal(cache.head.bias, head["head.bias"])


def test_batch_norm_never_moves_and_nothing_trains(photos: Path, tmp_path: Path):
    extraction = prepare(
        Request(data=photos, backbone="resnet10t", pretrained=False, device="cpu", out=tmp_path)
    )
    model = extraction.backbone.model
    before = {name: value.clone() for name, value in model.state_dict().items()}
    running.run(extraction)
    assert any("running_mean" in name for name in before)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert not any(module.training for module in model.modules())
    assert not any(p.requires_grad or p.grad is not None for p in model.parameters())


def test_the_same_command_gives_the_same_bytes_with_any_number_of_workers(photos: Path, tmp_path: Path):
    trees = []
    for name, workers in (("a", 0), ("b", 1), ("c", 5)):
        extract(photos, tmp_path / name, workers=workers, dtype="float32")
        trees.append(tree(tmp_path / name))
    assert trees[0] == trees[1] == trees[2]
    assert set(trees[0]) == {
        f"{split}/{file}"
        for split, shards in (("train", 3), ("test", 2))
        for file in ("manifest.json", "samples.txt", *(f"shard-{i:05}.safetensors" for i in range(shards)))
    }


def test_threads_that_have_a_batch_each_give_the_bytes_of_one(photos: Path, tmp_path: Path, monkeypatch: Any):
    extract(photos, tmp_path / "one", threads=1, dtype="float32", views="center,hflip")
    real, seen = Forward._start, set[tuple[str, int]]()

    def noting(self: Forward, pixels: np.ndarray) -> Any:
        seen.add((threading.current_thread().name, torch.get_num_threads()))
        return real(self, pixels)

    monkeypatch.setattr(Forward, "_start", noting)
    try:
        extract(photos, tmp_path / "three", threads=3, dtype="float32", views="center,hflip")
        assert torch.get_num_threads() == 3
    finally:
        torch.set_num_threads(1)
    assert seen
    assert seen <= {(f"forward_{i}", 1) for i in range(3)}
    assert tree(tmp_path / "one") == tree(tmp_path / "three")


def test_what_goes_wrong_in_a_thread_of_its_own_ends_it(photos: Path, tmp_path: Path, monkeypatch: Any):
    def wrong(*args: Any) -> Any:
        raise Stop

    monkeypatch.setattr(Forward, "_queue", wrong)
    try:
        with pytest.raises(Stop):
            extract(photos, tmp_path, threads=2)
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(1)


def test_the_stage1_head_goes_into_every_cache_with_training_counts(photos: Path, tmp_path: Path):
    with torch.random.fork_rng():
        model = timm.create_model("cifar_resnet32", num_classes=3)
    torch.save(model.state_dict(), tmp_path / "weights.pth")
    caches = extract(photos, tmp_path / "out", checkpoint=tmp_path / "weights.pth")
    for cache in caches.values():
        assert cache.head is not None
        assert cache.head.method == "stage-1"
        assert cache.head.classes == cache.classes == ("Zebra", "ant", "bee")
        np.testing.assert_array_equal(cache.head.counts, [4, 3, 2])
        np.testing.assert_array_equal(cache.head.weight, model.fc.weight.detach().numpy())
    assert tree(tmp_path / "out")["train/head.safetensors"] == tree(tmp_path / "out")["test/head.safetensors"]
    shutil.rmtree(tmp_path / "out" / "test")
    alone = extract(photos, tmp_path / "out", checkpoint=tmp_path / "weights.pth", split=["test"])["test"]
    assert alone.head is not None
    np.testing.assert_array_equal(alone.head.counts, [4, 3, 2])


@pytest.fixture
def spoiled(photos: Path, tmp_path: Path) -> Path:
    copy = Path(shutil.copytree(photos, tmp_path / "spoiled"))
    (copy / "train" / "bee" / "00.png").write_bytes(b"no image")
    (copy / "train" / "Zebra" / "02.png").write_bytes(
        (copy / "train" / "Zebra" / "02.png").read_bytes()[:300]
    )
    return copy


def test_an_unreadable_image_ends_it_by_name(spoiled: Path, tmp_path: Path):
    for workers in (0, 4):
        with pytest.raises(InputError, match=r"corrupt image.*Zebra/02\.png"):
            extract(spoiled, tmp_path / f"out{workers}", workers=workers)


def test_or_is_left_out_and_listed(spoiled: Path, tmp_path: Path):
    progress = Notes()
    train = extract(spoiled, tmp_path / "out", on_error="skip", progress=progress)["train"]
    assert train.manifest is not None
    assert train.manifest.skipped == ["Zebra/02.png", "bee/00.png"]
    assert train.counts.tolist() == [3, 3, 1]
    assert train.samples is not None
    assert len(train.samples) == train.n == 7
    assert sum("left out" in note for note in progress.notes) == 2
    assert progress.tasks[0] == ["extract train", 9, "images", 9]


def test_skipped_images_are_no_training_samples(spoiled: Path, tmp_path: Path):
    with torch.random.fork_rng():
        torch.save(timm.create_model("cifar_resnet32", num_classes=3).state_dict(), tmp_path / "weights.pth")
    caches = extract(spoiled, tmp_path / "out", on_error="skip", checkpoint=tmp_path / "weights.pth")
    for cache in caches.values():
        assert cache.head is not None
        np.testing.assert_array_equal(cache.head.counts, [3, 3, 1])


class Stop(Exception):
    pass


def test_a_resumed_extraction_equals_an_uninterrupted_one(photos: Path, tmp_path: Path, monkeypatch: Any):
    extract(photos, tmp_path / "whole")
    real, calls = Forward._start, []

    def stopping(*args: Any) -> np.ndarray:
        calls.append(None)
        if len(calls) == 4:
            raise Stop
        return real(*args)

    monkeypatch.setattr(Forward, "_start", stopping)
    with pytest.raises(Stop):
        extract(photos, tmp_path / "halves")
    monkeypatch.setattr(Forward, "_start", real)
    assert (tmp_path / "halves" / "train" / "partial.json").exists()
    progress = Notes()
    with pytest.raises(InputError, match=r"shard_rows was 4, is 5"):
        extract(photos, tmp_path / "halves", shard_rows=5)
    extract(photos, tmp_path / "halves", progress=progress, batch_size=2, threads=2, shard_rows=None)
    assert tree(tmp_path / "whole") == tree(tmp_path / "halves")
    extract(photos, tmp_path / "halves", shard_rows=None)  # finished, and kept
    assert tree(tmp_path / "whole") == tree(tmp_path / "halves")
    assert any("going on after 1 of 3 shards" in note for note in progress.notes)
    assert "the batch size stays 3, as at the first start" in progress.notes
    assert torch.get_num_threads() == 1


def test_an_unfinished_cache_of_another_request_says_what_differs(
    photos: Path, tmp_path: Path, monkeypatch: Any
):
    def stop(*args: Any) -> np.ndarray:
        raise Stop

    with monkeypatch.context() as patch:
        patch.setattr(Forward, "_start", stop)
        with pytest.raises(Stop):
            extract(photos, tmp_path)
    with pytest.raises(InputError, match=r"image_size"):
        extract(photos, tmp_path, image_size=40)
    photos = Path(shutil.copytree(photos, tmp_path / photos.name))
    gone = next((photos / "train").rglob("*.png"))
    gone.rename(gone.with_name("moved.png"))
    told = r"whose pictures have changed since \(names or sizes\) .*overwrite=True .*, with split=train "
    with pytest.raises(InputError, match=told):
        extract(photos, tmp_path)
    assert extract(photos, tmp_path, image_size=40, overwrite=True)["train"].n == 9


def test_finished_caches_are_kept(photos: Path, tmp_path: Path):
    extract(photos, tmp_path, split=["train"])
    before, progress = tree(tmp_path), Notes()
    assert list(extract(photos, tmp_path, progress=progress)) == ["train", "test"]
    assert any("finished already and kept" in note for note in progress.notes)
    assert {name: data for name, data in tree(tmp_path).items() if name.startswith("train")} == before
    everything = tree(tmp_path)
    again = extract(photos, tmp_path, progress=progress)
    assert {name: cache.n for name, cache in again.items()} == {"train": 9, "test": 6}
    assert tree(tmp_path) == everything
    assert sum("finished already and kept" in note for note in progress.notes) == 3
    with pytest.raises(UsageError, match=r"is there; backbone\.weights_sha256 differs .*overwrite=True"):
        extract(photos, tmp_path, seed=1)
    with pytest.raises(UsageError, match=r"is there; compile was false, is true, shard_rows was 4, is 5 \("):
        extract(photos, tmp_path, shard_rows=5, compile=True)
    replaced = extract(photos, tmp_path, seed=1, overwrite=True)
    assert tree(tmp_path)["train/shard-00000.safetensors"] != before["train/shard-00000.safetensors"]
    assert replaced["train"].n == 9


def test_a_finished_cache_says_which_pictures_are_newer(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    copy, out = Path(shutil.copytree(photos, tmp_path / "copy")), tmp_path / "out"
    extract(copy, out)

    def newer() -> list[str]:
        progress = Notes()
        assert extract(copy, out, progress=progress)["train"].n == 9
        return [note for note in progress.notes if "newer" in note]

    assert newer() == []
    finished = (out / "train" / "manifest.json").stat().st_mtime
    replaced = sorted((copy / "train" / "bee").iterdir())
    os.utime(replaced[0], (finished + 9, finished + 9))
    told = (
        f"1 of 9 pictures is newer than {out / 'train'}, with the same names and sizes: kept ({replaced[0]})"
    )
    assert newer() == [f"{told}; overwrite=True extracts anew"]
    replaced[1].write_bytes(bytes(replaced[1].stat().st_size))
    os.utime(replaced[1], (finished + 9, finished + 9))
    (note,) = newer()
    assert note.startswith("2 of 9 pictures are newer") and f"kept ({replaced[0]}, …)" in note
    with monkeypatch.context() as patch:
        patch.setattr(found, "MOST_LOOKED_AT", 8)
        assert newer() == []
    for path in (copy / "train").rglob("*.png"):  # a fresh checkout
        os.utime(path, (finished + 9, finished + 9))
    assert newer() == []


def test_a_damaged_cache_can_be_replaced(photos: Path, tmp_path: Path):
    options = {"image_size": 8, "overwrite": True}
    extract(photos, tmp_path / "whole", **options)
    whole = tree(tmp_path / "whole")
    last, out = "shard-00002.safetensors", tmp_path / "out"
    damages = [("head.safetensors", 4), ("samples.txt", None), ("shard-00000.safetensors", None)]
    for name, size in [*damages, (last, 0), (last, 40), *(("manifest.json", size) for size in (None, 0, 40))]:
        shutil.copytree(tmp_path / "whole", out, dirs_exist_ok=True)
        for split in ("train", "test"):
            data = whole.get(f"{split}/{name}", b"torn")
            (out / split / name).unlink(missing_ok=True)
            if size is not None:
                (out / split / name).write_bytes(data[:size])
        extract(photos, out, **options)
        assert tree(out) == whole, (name, size)
    (out / "train" / "manifest.json").write_bytes(b"")
    with pytest.raises(
        InputError, match=r"not JSON: .*train/manifest\.json\): .*make .* anew: .*overwrite=True"
    ):
        extract(photos, out, **options | {"overwrite": False})
    shutil.copy(tmp_path / "whole" / "train" / "manifest.json", out / "train")
    (out / "train" / last).unlink()
    assert extract(photos, out, split=["test"], **options)["test"].n == 6
    (out / "test" / "manifest.json").rename(out / "test" / "partial.json")
    assert extract(photos, out, split=["test"], **options)["test"].n == 6


def broken_at(photos: Path, tmp_path: Path, sample: str, **values: Any) -> tuple[Path, bytes]:
    """A copy of the photos whose extraction into ``out`` ended at a torn image, and that image's bytes."""
    copy = Path(shutil.copytree(photos, tmp_path / "copy"))
    whole = (copy / "train" / sample).read_bytes()
    (copy / "train" / sample).write_bytes(whole[:300])
    with pytest.raises(InputError, match=r"corrupt image.*on_error=skip"):
        extract(copy, tmp_path / "out", split=["train"], **values)
    return copy, whole


def shard_times(out: Path) -> dict[str, int]:
    return {path.name: path.stat().st_ino for path in (out / "train").glob("shard-*.safetensors")}


class TestAfterABadImage:
    """What a shard was made from decides whether it is kept: the third one of three holds the bad image."""

    def test_a_split_without_one_is_of_either_way(self, photos: Path, tmp_path: Path):
        copy, out = Path(shutil.copytree(photos, tmp_path / "copy")), tmp_path / "out"
        torn = copy / "test" / "ant" / "00.png"
        torn.write_bytes(torn.read_bytes()[:300])
        with pytest.raises(InputError, match="corrupt image"):
            extract(copy, out)
        whole = tree(out / "train")
        progress = Notes()
        with pytest.raises(InputError, match="corrupt image"):
            extract(copy, out, split=["test"], overwrite=True)
        assert extract(copy, out, on_error="skip", progress=progress)["test"].n == 5
        assert f"{out / 'train'} is finished already and kept" in progress.notes
        assert tree(out / "train") == whole
        told = r"unreadable images are left out there: 1 \(.*test\): on_error=skip keeps it, overwrite=True"
        with pytest.raises(UsageError, match=told):
            extract(copy, out)
        torn.write_bytes((photos / "test" / "ant" / "00.png").read_bytes())
        told = r"its pictures differ \(names or sizes\), 1 was left out then \(.*test\): overwrite=True"
        with pytest.raises(UsageError, match=told):
            extract(copy, out, on_error="skip")
        torn.write_bytes(torn.read_bytes()[:300])
        assert extract(copy, out, split=["train"])["train"].n == 9
        assert extract(copy, out, on_error="skip")["test"].n == 5
        extract(copy, tmp_path / "skipped", split=["train"], on_error="skip")
        assert extract(copy, tmp_path / "skipped", split=["train"])["train"].n == 9

    def test_skipping_keeps_the_finished_shards(self, photos: Path, tmp_path: Path):
        copy, _ = broken_at(photos, tmp_path, "bee/01.png")
        assert len(shard_times(tmp_path / "out")) == 2
        progress = Notes()
        extract(copy, tmp_path / "out", split=["train"], on_error="skip", progress=progress)
        assert any("going on after 2 of 3 shards" in note for note in progress.notes)
        assert progress.tasks == [["extract train", 1, "images", 1]]
        extract(copy, tmp_path / "afresh", split=["train"], on_error="skip")
        assert tree(tmp_path / "out") == tree(tmp_path / "afresh")

    @pytest.mark.parametrize("overwrite", [False, True])
    @pytest.mark.parametrize("way", ["mend", "another", "remove"])
    def test_so_does_replacing_or_removing_the_file(
        self, photos: Path, tmp_path: Path, way: str, overwrite: bool
    ):
        copy, whole = broken_at(photos, tmp_path, "bee/01.png")
        kept, bad = shard_times(tmp_path / "out"), copy / "train" / "bee" / "01.png"
        if way == "remove":
            bad.unlink()
        else:
            bad.write_bytes(whole if way == "mend" else (photos / "train" / "ant" / "00.png").read_bytes())
        progress = Notes()
        extract(copy, tmp_path / "out", split=["train"], progress=progress, overwrite=overwrite)
        assert any("going on after 2 of" in note for note in progress.notes)
        assert len(kept) == 2
        images = 0 if way == "remove" else 1  # the last shard's alone
        assert progress.tasks == [["extract train", images, "images", images]]
        extract(copy, tmp_path / "afresh", split=["train"])
        assert tree(tmp_path / "out") == tree(tmp_path / "afresh")

    def test_nothing_is_left_out_where_that_is_an_error_again(
        self, photos: Path, tmp_path: Path, monkeypatch: Any
    ):
        copy, _ = broken_at(photos, tmp_path, "Zebra/01.png")
        with monkeypatch.context() as patch:  # the first shard is written without its bad image
            real, calls = Forward._start, []

            def stopping(*args: Any) -> np.ndarray:
                calls.append(None)
                if len(calls) == 3:
                    raise Stop
                return real(*args)

            patch.setattr(Forward, "_start", stopping)
            with pytest.raises(Stop):
                extract(copy, tmp_path / "out", split=["train"], on_error="skip")
        assert len(shard_times(tmp_path / "out")) == 1
        with pytest.raises(InputError, match=r"corrupt image.*Zebra/01"):
            extract(copy, tmp_path / "out", split=["train"])


def stopped(photos: Path, out: Path, monkeypatch: Any, calls: int) -> None:
    """An extraction that ends before the forward pass number ``calls``."""
    real, made = Forward._start, []

    def stopping(*args: Any) -> np.ndarray:
        made.append(None)
        if len(made) == calls:
            raise Stop
        return real(*args)

    with monkeypatch.context() as patch:
        patch.setattr(Forward, "_start", stopping)
        with pytest.raises(Stop):
            extract(photos, out, split=["train"])


class TestResumeBelievesNothing:
    def test_an_image_replaced_by_one_of_the_same_size(self, photos: Path, tmp_path: Path, monkeypatch: Any):
        copy = Path(shutil.copytree(photos, tmp_path / "copy"))
        for path in sorted((copy / "train").rglob("*.png")):
            with Image.open(path) as image:
                image.convert("RGB").save(path.with_suffix(".bmp"))
            path.unlink()
        stopped(copy, tmp_path / "out", monkeypatch, 4)
        assert len(shard_times(tmp_path / "out")) == 1
        first, other = (copy / "train" / name for name in ("Zebra/00.bmp", "bee/00.bmp"))
        times, size = first.stat(), first.stat().st_size
        shutil.copyfile(other, tmp_path / "new.bmp")
        (tmp_path / "new.bmp").replace(first)
        os.utime(first, ns=(times.st_atime_ns, times.st_mtime_ns))
        assert first.stat().st_size == size
        progress = Notes()
        extract(copy, tmp_path / "out", split=["train"], progress=progress)
        assert any(note.endswith("bytes or images have changed: 1 shard") for note in progress.notes)
        extract(copy, tmp_path / "afresh", split=["train"])
        assert tree(tmp_path / "out") == tree(tmp_path / "afresh")

    def test_a_flipped_bit_in_a_finished_shard(self, photos: Path, tmp_path: Path, monkeypatch: Any):
        stopped(photos, tmp_path / "out", monkeypatch, 4)
        (shard,) = (tmp_path / "out" / "train").glob("shard-*.safetensors")
        raw = bytearray(shard.read_bytes())
        raw[-5] ^= 1
        shard.write_bytes(raw)
        extract(photos, tmp_path / "out", split=["train"])
        extract(photos, tmp_path / "afresh", split=["train"])
        assert tree(tmp_path / "out") == tree(tmp_path / "afresh")


def test_the_record_says_how_deep_images_were_scaled(photos: Path, tmp_path: Path, monkeypatch: Any):
    copy = Path(shutil.copytree(photos, tmp_path / "copy"))
    Image.fromarray(np.full((32, 40), 200, np.uint16)).save(copy / "train" / "Zebra" / "00.png")
    Image.fromarray(np.full((32, 40), 0.5, np.float32)).save(copy / "train" / "bee" / "01.tif")
    progress = Notes()
    train = extract(copy, tmp_path / "whole", split=["train"], progress=progress)["train"]
    depths = ["16-bit grey, times 255/65535", "float grey of 0 to 1, times 255"]
    assert train.manifest is not None
    assert train.manifest.preprocess["depths"] == depths
    assert "1 image of train: 16-bit grey, times 255/65535 (Zebra/00.png)" in progress.notes
    stopped(copy, tmp_path / "halves", monkeypatch, 4)
    extract(copy, tmp_path / "halves", split=["train"])
    assert tree(tmp_path / "whole") == tree(tmp_path / "halves")
    plain = extract(photos, tmp_path / "plain", split=["train"])["train"].manifest
    assert plain is not None
    assert "depths" not in plain.preprocess


def test_a_broken_exif_block_is_told_and_the_image_used(photos: Path, tmp_path: Path):
    copy = Path(shutil.copytree(photos, tmp_path / "copy"))
    path = copy / "train" / "ant" / "00.png"
    data, body = path.read_bytes(), b"eXIf\x00\x08\x00\x02\x01\x12\x00\x03"
    chunk = struct.pack(">I", len(body) - 4) + body + struct.pack(">I", zlib.crc32(body))
    path.write_bytes(data[:33] + chunk + data[33:])
    progress = Notes()
    ours = extract(copy, tmp_path / "out", split=["train"], progress=progress)["train"]
    assert any("1 image of train: the camera's orientation" in note for note in progress.notes)
    theirs = extract(photos, tmp_path / "plain", split=["train"])["train"]
    np.testing.assert_array_equal(ours.features, theirs.features)


def test_more_shards_than_open_files(tmp_path: Path):
    resource = pytest.importorskip("resource", reason="limits of POSIX")
    many = write_photos(tmp_path / "photos", {"train": {"ant": 20, "bee": 20}})
    whole = extract(many, tmp_path / "whole", dtype="float32")["train"]
    before, here = resource.getrlimit(resource.RLIMIT_NOFILE), Path("/dev/fd")
    taken = max(int(path.name) for path in here.iterdir()) if here.exists() else 63
    resource.setrlimit(resource.RLIMIT_NOFILE, (taken + 25, before[1]))
    try:
        found = extract(many, tmp_path / "out", shard_rows=1, batch_size=3, dtype="float32")["train"]
        assert len(found.shards) == found.verify() == 40
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)
    np.testing.assert_allclose(found.features, whole.features, rtol=1e-4, atol=1e-4)
    assert found.samples == whole.samples


@pytest.mark.skipif(os.name == "nt", reason="no sockets and links with names")
def test_what_cannot_be_opened_is_left_out_too(photos: Path, tmp_path: Path):
    copy = Path(shutil.copytree(photos, tmp_path / "copy"))
    place = copy / "train" / "bee"
    os.mkfifo(place / "pipe.png")
    with socket.socket(socket.AF_UNIX) as end, contextlib.chdir(place):
        end.bind("socket.png")
    (place / "gone.png").symlink_to("nowhere")
    (place / "self.png").symlink_to("self.png")
    (place / "zero.png").symlink_to("/dev/zero")
    (place / "secret.png").write_bytes((place / "00.png").read_bytes())
    (place / "secret.png").chmod(0)
    train = extract(copy, tmp_path / "out", split=["train"], on_error="skip")["train"]
    assert train.manifest is not None
    left_out = {"pipe", "socket", "gone", "self", "zero"} | ({"secret"} if os.geteuid() else set())
    assert set(train.manifest.skipped) == {f"bee/{name}.png" for name in left_out}
    with pytest.raises(InputError, match="2 of 15 images of train are not there"):
        extract(copy, tmp_path / "strict", split=["train"])


class Loud(nn.Module):
    def __init__(self, value: float) -> None:
        super().__init__()
        self.value = value

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return torch.full((len(images), 64), self.value)


@pytest.mark.parametrize(
    ("value", "message"),
    [(1e5, r"overflows float16 \(Zebra/00\.png\).*float32"), (float("nan"), "NaN or Inf")],
)
def test_features_that_cannot_be_stored(photos: Path, tmp_path: Path, value: float, message: str):
    extraction = prepare(
        Request(data=photos, backbone="cifar_resnet32", pretrained=False, device="cpu", out=tmp_path)
    )
    loud = dataclasses.replace(extraction.backbone, model=Loud(value))
    with pytest.raises(InputError, match=message):
        running.run(dataclasses.replace(extraction, backbone=loud))


def test_classes_without_training_samples_are_told(photos: Path, tmp_path: Path):
    names, progress = tmp_path / "classes.txt", Notes()
    names.write_text("ant\nbee\nZebra\nwasp\n")
    caches = extract(photos, tmp_path / "out", classes=names, progress=progress)
    assert caches["train"].counts.tolist() == [3, 2, 4, 0]
    assert "1 of 4 classes have no training sample" in progress.notes


def test_half_precision_compute(photos: Path, tmp_path: Path):
    full = extract(photos, tmp_path / "a", split=["train"])["train"].features.astype(np.float32)
    half = extract(photos, tmp_path / "b", split=["train"], precision="bf16")["train"].features.astype(
        np.float32
    )
    assert not np.array_equal(full, half)
    np.testing.assert_allclose(half, full, rtol=0.1, atol=0.05 * np.abs(full).max())


def test_an_elongated_image_is_named(photos: Path, tmp_path: Path):
    copy = Path(shutil.copytree(photos, tmp_path / "copy"))
    make_image(0, (1, 300_000)).save(copy / "train" / "ant" / "00.png")
    with pytest.raises(InputError, match=r"too elongated to resize \(ant/00\.png\)"):
        extract(copy, tmp_path / "out", image_size=224)


def test_one_writer_at_a_time(photos: Path, tmp_path: Path):
    with (
        files.lock(tmp_path / "test"),
        pytest.raises(EnvironmentFault, match=r"another process is writing into this folder \(.*test\)"),
    ):
        extract(photos, tmp_path)
    assert not (tmp_path / "train").exists()
    assert list(extract(photos, tmp_path)) == ["train", "test"]


def test_a_folder_that_another_process_holds_for_a_moment(photos: Path, tmp_path: Path, monkeypatch: Any):
    take, refused = Hold.take, list[bool]()

    def refused_once(hold: Hold, *, shared: bool = False) -> bool:
        if shared and not refused:
            refused.append(True)
            return False
        return take(hold, shared=shared)

    monkeypatch.setattr(Hold, "take", refused_once)
    extract(photos, tmp_path / "out")
    assert refused


def test_random_views_are_those_of_the_samples_and_are_not_tested_with(photos: Path, tmp_path: Path):
    caches = extract(photos, tmp_path / "a", views="center,train:3", workers=0)
    extract(photos, tmp_path / "b", views="center,train:3", workers=3, shard_rows=3)
    extract(photos, tmp_path / "c", views="center,train:3", workers=3, batch_size=1, shard_rows=5)
    one, three = (ltfix.open_cache(tmp_path / name / "train").features for name in "bc")
    train, test = caches["train"], caches["test"]
    np.testing.assert_array_equal(train.features, one)
    np.testing.assert_allclose(one, three, atol=2e-3, rtol=1e-2)
    assert (train.views, train.tested_views, test.views) == (4, 1, 1)
    assert train.manifest is not None
    said = train.manifest.preprocess
    assert (said["views"], said["augment"], said["augment_seed"]) == (
        "center,train:3",
        "resized-crop,flip",
        0,
    )
    assert len(np.unique(train.features[0], axis=0)) == 4
    plain = extract(photos, tmp_path / "plain")["train"]
    np.testing.assert_allclose(train.features[:, :1], plain.features, atol=2e-3, rtol=1e-2)
    heads = ltfix.fit(train, "ce", epochs=1, init="random")
    wanted = heads.logits(train.features[:, 0].astype(np.float32))
    found = np.concatenate([logits for _, logits in logit_blocks(heads, train)])
    np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-4)


def test_simplejpeg_gives_nearly_the_same_and_is_recorded(tmp_path: Path):
    pytest.importorskip("simplejpeg")
    rng = np.random.default_rng(0)
    for i in range(6):
        folder = tmp_path / "photos" / "train" / "ab"[i % 2]
        folder.mkdir(parents=True, exist_ok=True)
        small = Image.fromarray(rng.integers(0, 256, (6, 9, 3), np.uint8))
        exif = Image.Exif()
        exif[0x0112] = 6  # turned
        small.resize((400, 300), Image.Resampling.BICUBIC).save(folder / f"{i}.jpg", exif=exif)
    one = extract(tmp_path / "photos", tmp_path / "one")["train"]
    two = extract(tmp_path / "photos", tmp_path / "two", decoder="simplejpeg")["train"]
    assert two.manifest is not None
    assert two.manifest.preprocess["decoder"].startswith("simplejpeg ")
    assert one.fingerprint != two.fingerprint
    scale = np.abs(one.features.astype(np.float32)).max()
    np.testing.assert_allclose(two.features, one.features, atol=0.1 * scale)
    with pytest.raises(UsageError, match="another extraction"):
        extract(tmp_path / "photos", tmp_path / "two")
    broken = tmp_path / "photos" / "train" / "a" / "0.jpg"
    broken.write_bytes(broken.read_bytes()[:3000])
    with pytest.raises(InputError, match=r"corrupt image.*a/0\.jpg"):
        extract(tmp_path / "photos", tmp_path / "three", decoder="simplejpeg")
