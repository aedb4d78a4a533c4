"""ltfix.features.read: folders, single files, npz; and each disagreement between their parts."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from caches import make_head, make_plan, write_bare, write_cache

from ltfix import files
from ltfix.errors import InputError
from ltfix.features.manifest import Manifest
from ltfix.features.read import open_cache


def manifest_of(**changes: Any) -> dict[str, Any]:
    """The manifest that a tool writes into the single file of :func:`write_bare`."""
    value = Manifest(
        n=6,
        dim=4,
        views=1,
        dtype="float32",
        classes=["a", "b", "c"],
        counts=[2, 2, 2],
        shards=[],
        backbone={},
        preprocess={},
        source={},
        fingerprint="f" * 64,
        created_by="another tool",
    )
    return {**value.to_dict(), **changes}


def edit(folder: Path, **changes: Any) -> Path:
    """Change keys of a folder's manifest."""
    path = folder / "manifest.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))
    return folder


class TestFolder:
    def test_the_classifier_that_came_along(self, tmp_path: Path) -> None:
        """It is named after its method, not after its file: heads/ may hold a head.safetensors too."""
        head = make_head(counts=np.array([500, 50, 5]), classes=("class-0", "class-1", "class-2"))
        write_cache(tmp_path, head)
        cache = open_cache(str(tmp_path))
        assert cache.head is not None
        assert (cache.head.name, cache.head.method, cache.head.path) == ("stage-1", "stage-1", None)
        assert cache.head.counts is not None
        assert cache.head.counts.tolist() == [500, 50, 5]
        assert cache.counts.tolist() == [9, 8, 8]
        np.testing.assert_array_equal(cache.head.weight, head.weight)

    def test_a_test_cache_may_hold_fewer_classes(self, tmp_path: Path) -> None:
        cache = write_cache(tmp_path, make_head(5), classes=list("abcde"))
        assert cache.n_classes == 5
        assert cache.counts.tolist() == [9, 8, 8, 0, 0]

    def test_k_comes_from_the_manifest_where_no_class_is_named(self, tmp_path: Path) -> None:
        write_cache(tmp_path, classes=list("abcde"))
        assert open_cache(edit(tmp_path, classes=None)).n_classes == 5

    @pytest.mark.parametrize(
        ("changes", "fragment"),
        [
            ({"dim": 5}, r"says float16 \[10, 2, 5\], the file holds float16 \[10, 2, 4\]"),
            ({"views": 1}, r"says float16 \[10, 1, 4\]"),
            ({"dtype": "float32"}, r"says float32 \[10, 2, 4\]"),
            ({"counts": [8, 9, 8]}, "class 0 has 9 samples, the manifest says 8"),
            ({"counts": [9, 16], "classes": ["a", "b"]}, "label 2 of row 2 is not below K = 2"),
            ({"fingerprint": "0" * 64}, "belongs to another extraction"),
            ({"shards": []}, "lists no shard"),
        ],
    )
    def test_manifest_against_shards(self, tmp_path: Path, changes: dict[str, Any], fragment: str) -> None:
        write_cache(tmp_path)
        with pytest.raises(InputError, match=fragment):
            open_cache(edit(tmp_path, **changes))

    def test_a_shard_of_another_size(self, tmp_path: Path) -> None:
        write_cache(tmp_path)
        first, last = tmp_path / "shard-00000.safetensors", tmp_path / "shard-00002.safetensors"
        first.write_bytes(last.read_bytes())
        with pytest.raises(InputError, match=r"says .*\[10, 2, 4\], the file holds .*\[5, 2, 4\].*00000"):
            open_cache(tmp_path)

    @pytest.mark.parametrize("name", ["shard-00001.safetensors", "manifest.json"])
    def test_a_missing_file(self, tmp_path: Path, name: str) -> None:
        write_cache(tmp_path)
        (tmp_path / name).unlink()
        with pytest.raises(InputError, match=r"no such file|manifest.json is gone"):
            open_cache(tmp_path)

    @pytest.mark.parametrize("keep", [0, 7, 100, -1])
    def test_a_truncated_shard(self, tmp_path: Path, keep: int) -> None:
        write_cache(tmp_path)
        path = tmp_path / "shard-00001.safetensors"
        path.write_bytes(path.read_bytes()[:keep])
        with pytest.raises(InputError, match=r"torn or not a safetensors file.*shard-00001"):
            open_cache(tmp_path)

    def test_a_head_of_other_dimensions(self, tmp_path: Path) -> None:
        write_cache(tmp_path)
        make_head(dim=5).save(tmp_path / "head.safetensors")
        with pytest.raises(InputError, match="classifier has D = 5, its features D = 4"):
            open_cache(tmp_path)

    def test_bare_shards_without_metadata_are_fine(self, tmp_path: Path) -> None:
        """Another tool that writes a folder need not write the fingerprint into its shards."""
        features, labels = np.ones((6, 1, 4), np.float32), np.arange(6) % 3
        for i, part in enumerate((slice(0, 4), slice(4, 6))):
            write_bare(tmp_path / f"part-{i}.safetensors", features=features[part], labels=labels[part])
        shards = [
            {
                "file": f"part-{i}.safetensors",
                "n": n,
                "sha256": files.sha256_file(tmp_path / f"part-{i}.safetensors"),
            }
            for i, n in enumerate((4, 2))
        ]
        files.write_json(tmp_path / "manifest.json", manifest_of(shards=shards))
        files.write_text(tmp_path / "samples.txt", "x\n" * 6)
        assert open_cache(tmp_path).verify() == 2


class TestSingleFile:
    def test_bare(self, tmp_path: Path) -> None:
        cache = open_cache(write_bare(tmp_path / "x.safetensors", other=np.zeros(3)))
        assert (cache.n, cache.views, cache.dim, cache.n_classes) == (6, 1, 4, 3)
        assert cache.head is cache.classes is cache.manifest is cache.fingerprint is None

    def test_with_a_classifier(self, tmp_path: Path) -> None:
        head = make_head(5)
        path = write_bare(tmp_path / "x.safetensors", head__weight=head.weight, head__bias=head.bias)
        cache = open_cache(path)
        assert cache.n_classes == 5
        assert cache.head is not None
        assert (cache.head.name, cache.head.path) == ("stage-1", None)
        np.testing.assert_array_equal(cache.head.bias, head.bias)

    def test_with_a_classifier_without_bias(self, tmp_path: Path) -> None:
        head = open_cache(write_bare(tmp_path / "x.safetensors", head__weight=make_head().weight)).head
        assert head is not None
        assert head.bias.tolist() == [0, 0, 0]

    def test_with_a_manifest(self, tmp_path: Path) -> None:
        cache = open_cache(write_bare(tmp_path / "x.safetensors", manifest_of()))
        assert cache.classes == ("a", "b", "c")
        assert cache.fingerprint == "f" * 64
        assert cache.verify() == 0

    @pytest.mark.parametrize(
        ("changes", "fragment"),
        [
            ({"n": 7, "counts": [3, 2, 2]}, r"says float32 \[7, 1, 4\], the file holds float32 \[6, 1, 4\]"),
            ({"counts": [3, 2, 1]}, "class 0 has 2 samples, the manifest says 3"),
            ({"format": "ltfix-features/2"}, "newer than this ltfix reads"),
            ({"classes": ["a", "b"]}, "classes and counts differ"),
        ],
    )
    def test_a_manifest_that_disagrees(self, tmp_path: Path, changes: dict[str, Any], fragment: str) -> None:
        path = write_bare(tmp_path / "x.safetensors", manifest_of(**changes))
        with pytest.raises(InputError, match=fragment):
            open_cache(path)

    @pytest.mark.parametrize(
        ("tensors", "fragment"),
        [
            ({"head__weight": np.ones(4, np.float32)}, r"weight must be \[K, D\]"),
            ({"head__weight": np.ones((3, 5), np.float32)}, "D = 5"),
            ({"head__weight": np.ones((2, 4), np.float32)}, "label 2 of row 2 is not below K = 2"),
            ({"head__weight": np.ones((3, 4), np.int64)}, "weight is int64"),
            ({"head__weight": np.full((3, 4), np.nan, np.float32)}, "not finite"),
        ],
    )
    def test_a_classifier_that_does_not_fit(
        self, tmp_path: Path, tensors: dict[str, np.ndarray], fragment: str
    ) -> None:
        path = write_bare(tmp_path / "x.safetensors", **tensors)
        with pytest.raises(InputError, match=fragment):
            open_cache(path)


class TestNoCache:
    @pytest.mark.parametrize("name", ["absent", "a\0b"])
    def test_nothing_there(self, tmp_path: Path, name: str) -> None:
        with pytest.raises(InputError, match=r"no such feature cache .*ltfix extract"):
            open_cache(tmp_path / name)

    def test_a_file_that_is_not_there(self, tmp_path: Path) -> None:
        with pytest.raises(InputError, match=r"no such feature cache .*no \.npz beside it is called alike"):
            open_cache(tmp_path / "tset.npz")
        (tmp_path / "test.npz").touch()
        (tmp_path / "junk.npz").touch()
        write_bare(tmp_path / "features/train.safetensors")
        there = r"/features/train\.safetensors"
        meant = {"tset.npz": r"/test\.npz", "tset": r"/test\.npz", "trian.safetensors": there}
        for typed, near in {**meant, "feature/tran": there}.items():
            with pytest.raises(InputError, match=rf"did you mean \S*{near}\?"):
                open_cache(tmp_path / typed)

    def test_a_name_without_its_ending(self, tmp_path: Path) -> None:
        np.savez(tmp_path / "test.npz", features=np.eye(3), labels=[0, 1, 2])
        assert open_cache(tmp_path / "test").path == tmp_path / "test.npz"
        write_bare(tmp_path / "test.safetensors")
        assert open_cache(tmp_path / "test").path == tmp_path / "test.safetensors"
        write_cache(tmp_path / "test")
        assert open_cache(tmp_path / "test").path == tmp_path / "test"

    def test_another_kind_of_file(self, tmp_path: Path) -> None:
        (tmp_path / "x.pt").write_bytes(b"")
        with pytest.raises(InputError, match=r"not a feature cache .*: a cache is a folder, or a file"):
            open_cache(tmp_path / "x.pt")

    def test_a_head(self, tmp_path: Path) -> None:
        make_head().save(tmp_path / "h.safetensors")
        with pytest.raises(InputError, match="its format is 'ltfix-head/1', expected 'ltfix-features/1'"):
            open_cache(tmp_path / "h.safetensors")

    def test_one_shard(self, tmp_path: Path) -> None:
        write_cache(tmp_path)
        with pytest.raises(InputError, match=f"one shard of a feature cache .*open {tmp_path}"):
            open_cache(tmp_path / "shard-00000.safetensors")


def test_writer_and_reader_agree_on_the_fingerprint(tmp_path: Path) -> None:
    assert write_cache(tmp_path).fingerprint == files.sha256_json(make_plan().decisions)


def test_real_features(shared_data: Path) -> None:
    train = open_cache(shared_data / "c100_if100_train.safetensors")
    assert (train.n, train.views, train.dim, train.n_classes) == (10847, 2, 64, 100)
    assert train.counts[[0, 99]].tolist() == [500, 5]
    assert train.head is not None
    test = open_cache(shared_data / "c100_if100_test.safetensors")
    assert (test.n, test.n_classes, test.head) == (10000, 100, None)
    predicted = train.head.logits(np.asarray(test.features[:, 0])).argmax(1)
    assert round(100 * float((predicted == test.labels).mean()), 2) == 37.18
