"""ltfix.features.store: the same bytes however often the writing stops; nothing torn, nothing mixed."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from caches import contents, fill, make_features, make_head, make_plan, write_cache
from hypothesis import given, settings
from hypothesis import strategies as st

from ltfix import files
from ltfix.errors import EnvironmentFault, InputError, UsageError
from ltfix.evaluation.describe import describe
from ltfix.features.manifest import read_partial
from ltfix.features.read import open_cache
from ltfix.features.store import CacheWriter, cache_state


@given(
    n=st.integers(1, 30),
    shape=st.tuples(st.integers(1, 3), st.integers(1, 5)),
    dtype=st.sampled_from(["float16", "float32"]),
    shard_rows=st.integers(5, 12),
    stops=st.lists(st.integers(0, 30), max_size=3),
    data=st.data(),
)
@settings(max_examples=15, deadline=None)
def test_resumed_equals_uninterrupted(
    n: int, shape: tuple[int, int], dtype: str, shard_rows: int, stops: list[int], data: st.DataObject
) -> None:
    skipped = frozenset(data.draw(st.sets(st.integers(0, n - 1), max_size=n - 1)))
    plan = make_plan(n, views=shape[0], dim=shape[1], dtype=dtype, shard_rows=shard_rows)
    with tempfile.TemporaryDirectory() as folder:
        whole, pieces = Path(folder) / "whole", Path(folder) / "pieces"
        writer = CacheWriter(whole, plan)
        fill(writer, skipped=skipped)
        cache = writer.publish(make_head(dim=shape[1]))
        for stop in stops:
            stopped = CacheWriter(pieces, plan)
            fill(stopped, stopped.pending()[:stop], skipped)
        last = CacheWriter(pieces, plan)
        assert last.resumed == bool(stops)
        fill(last, skipped=skipped)
        last.publish(make_head(dim=shape[1]))
        assert contents(whole) == contents(pieces)

        kept = [i for i in range(n) if i not in skipped]
        np.testing.assert_array_equal(cache.features, make_features(plan)[kept].astype(dtype))
        np.testing.assert_array_equal(cache.labels, plan.labels[kept])
        assert cache.samples == tuple(plan.samples[i] for i in kept)
        assert cache.manifest is not None
        assert cache.manifest.skipped == [plan.samples[i] for i in sorted(skipped)]
        assert cache.verify() == len(plan.shards())


def test_finished_folder(tmp_path: Path) -> None:
    cache = write_cache(tmp_path / "c", make_head())
    assert sorted(contents(tmp_path / "c")) == [
        "head.safetensors",
        "manifest.json",
        "samples.txt",
        "shard-00000.safetensors",
        "shard-00001.safetensors",
        "shard-00002.safetensors",
    ]
    assert cache_state(tmp_path / "c") == ("finished", cache.fingerprint)
    assert not any(str(tmp_path).encode() in data for data in contents(tmp_path / "c").values())
    with pytest.raises(UsageError, match=r"finished feature cache is there .*overwrite=True replaces it"):
        CacheWriter(tmp_path / "c", make_plan())


def test_states(tmp_path: Path) -> None:
    plan = make_plan()
    assert cache_state(tmp_path / "c") == ("absent", None)
    writer = CacheWriter(tmp_path / "c", plan)
    assert cache_state(tmp_path / "c") == ("partial", writer.fingerprint)
    with pytest.raises(InputError, match="an unfinished feature cache"):
        open_cache(tmp_path / "c")


def test_resume_takes_over_what_the_first_start_resolved(tmp_path: Path) -> None:
    first = CacheWriter(tmp_path, make_plan(run={"batch_size": 64, "mean": (1, 2)}))
    assert not first.resumed
    second = CacheWriter(tmp_path, make_plan(run={"batch_size": 8}))
    assert second.resumed
    assert first.run == second.run == {"batch_size": 64, "mean": [1, 2]}


def test_another_plan_is_told_apart(tmp_path: Path) -> None:
    CacheWriter(tmp_path, make_plan())
    before = contents(tmp_path)
    with pytest.raises(InputError, match=r"preprocess.size was 32, is 64.*: the command that began it"):
        CacheWriter(tmp_path, make_plan(preprocess={"size": 64, "mean": [0.5, 0.5, 0.5]}))
    assert contents(tmp_path) == before


def test_stopped_between_the_manifest_and_the_end(tmp_path: Path) -> None:
    whole = write_cache(tmp_path / "c").path
    expected = contents(whole)
    CacheWriter(tmp_path / "d", make_plan())
    (whole / "partial.json").write_bytes((tmp_path / "d" / "partial.json").read_bytes())
    assert open_cache(whole).n == 25
    assert cache_state(whole)[0] == "partial"
    again = CacheWriter(whole, make_plan())
    assert again.resumed
    assert again.pending() == []
    again.publish(None)
    assert contents(whole) == expected


def test_leftovers_of_killed_writers_go(tmp_path: Path) -> None:
    CacheWriter(tmp_path, make_plan())
    (tmp_path / ".shard-00001.safetensors.99-aa.ltfix-tmp").write_bytes(b"half")
    writer = CacheWriter(tmp_path, make_plan())
    assert sorted(contents(tmp_path)) == ["partial.json"]
    fill(writer)
    (tmp_path / ".shard-00002.safetensors.99-aa.ltfix-tmp").write_bytes(b"half")
    writer.publish(None)
    assert not any(name.startswith(".") for name in contents(tmp_path))


class TestOverwrite:
    def test_replaces_a_finished_and_an_unfinished_cache(self, tmp_path: Path) -> None:
        plan = make_plan(n=5)
        write_cache(tmp_path / "finished", make_head())
        fill(CacheWriter(tmp_path / "unfinished", make_plan()))
        for name in ("finished", "unfinished"):
            writer = CacheWriter(tmp_path / name, plan, overwrite=True)
            assert not writer.resumed
            fill(writer)
            writer.publish(None)
        write_cache(tmp_path / "fresh", n=5)
        assert (
            contents(tmp_path / "fresh")
            == contents(tmp_path / "finished")
            == contents(tmp_path / "unfinished")
        )

    @pytest.mark.parametrize("overwrite", [False, True])
    def test_never_touches_a_folder_that_is_no_cache(self, tmp_path: Path, overwrite: bool) -> None:
        for name in ("head.safetensors", "notes.txt"):
            (tmp_path / name).write_bytes(b"mine")
        with pytest.raises(UsageError, match=r"holds other files .*notes.txt"):
            CacheWriter(tmp_path, make_plan(), overwrite=overwrite)
        assert contents(tmp_path) == {"head.safetensors": b"mine", "notes.txt": b"mine"}

    def test_goes_on_after_an_interrupted_overwrite(self, tmp_path: Path) -> None:
        write_cache(tmp_path / "c")
        (tmp_path / "c" / "manifest.json").unlink()
        (tmp_path / "c" / "probe.safetensors").write_bytes(b"of a fit")
        with pytest.raises(
            UsageError, match=r"cache without its manifest is there .*: overwrite=True replaces"
        ):
            CacheWriter(tmp_path / "c", make_plan())
        with pytest.raises(
            InputError,
            match=r"whose manifest.json is gone .*anew: `ltfix.extract\(\.\.\., split=.*, overwrite=True\)`",
        ):
            describe(tmp_path / "c")
        CacheWriter(tmp_path / "c", make_plan(), overwrite=True)
        assert sorted(contents(tmp_path / "c")) == ["partial.json"]

    def test_says_to_the_last_whose_shards_are_there(self, tmp_path: Path, monkeypatch) -> None:
        writer, remove = CacheWriter(tmp_path, make_plan()), files.remove
        fill(writer, writer.pending()[:2])

        def killed(path: Path) -> None:
            if path.name == "shard-00001.safetensors":
                raise KeyboardInterrupt
            remove(path)

        monkeypatch.setattr(files, "remove", killed)
        with pytest.raises(KeyboardInterrupt):
            CacheWriter(tmp_path, make_plan(n=12), overwrite=True)
        assert cache_state(tmp_path) == ("partial", writer.fingerprint)

    def test_keeps_what_is_not_its_own(self, tmp_path: Path) -> None:
        write_cache(tmp_path)
        (tmp_path / "notes.txt").write_bytes(b"mine")
        CacheWriter(tmp_path, make_plan(n=3), overwrite=True)
        assert sorted(contents(tmp_path)) == ["notes.txt", "partial.json"]


class TestTwoWriters:
    def test_of_one_plan_share_the_work(self, tmp_path: Path) -> None:
        plan = make_plan()
        one, two = CacheWriter(tmp_path / "c", plan), CacheWriter(tmp_path / "c", plan)
        pending = two.pending()
        fill(one)
        before = contents(tmp_path / "c")
        for shard in pending:  # what the first one wrote stays, even where a GPU would differ in a bit
            two.write_shard(shard, make_features(plan)[shard.start : shard.stop] + 1)
        assert contents(tmp_path / "c") == before
        one.publish(None)
        finished = contents(tmp_path / "c")
        two.write_shard(pending[0], make_features(plan)[:10] + 1)
        two.publish(None)
        assert contents(tmp_path / "c") == finished
        open_cache(tmp_path / "c").verify()

    def test_a_taken_over_folder_is_left_alone(self, tmp_path: Path) -> None:
        old = CacheWriter(tmp_path, make_plan())
        shard = old.pending()[0]
        new = CacheWriter(tmp_path, make_plan(n=12), overwrite=True)
        with pytest.raises(InputError, match="another extraction has taken over"):
            old.write_shard(shard, make_features(old.plan)[:10])
        with pytest.raises(InputError, match="another extraction has taken over"):
            old.publish(None)
        fill(new)
        assert new.publish(None).n == 12

    def test_a_shard_of_another_plan_is_written_again(self, tmp_path: Path) -> None:
        other = write_cache(tmp_path / "other", decides={"precision": "bf16"}).path
        writer = CacheWriter(tmp_path / "c", make_plan())
        foreign = (other / "shard-00001.safetensors").read_bytes()
        (tmp_path / "c" / "shard-00001.safetensors").write_bytes(foreign)
        (tmp_path / "c" / "shard-00002.safetensors").write_bytes(foreign[:100])
        assert [shard.index for shard in writer.pending()] == [0, 1, 2]
        fill(writer)
        (tmp_path / "c" / "shard-00001.safetensors").write_bytes(foreign)
        with pytest.raises(InputError, match=r"another extraction .*shard-00001"):
            writer.publish(None)
        assert cache_state(tmp_path / "c")[0] == "partial"


class TestWriteShard:
    @pytest.mark.parametrize("dtype", ["float16", "float32"])
    @pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
    def test_names_the_sample_of_a_value_that_is_not_finite(
        self, tmp_path: Path, dtype: str, value: float
    ) -> None:
        writer = CacheWriter(tmp_path, make_plan(dtype=dtype))
        features = make_features(writer.plan)[10:20][1:]
        features[3, 1, 2] = value
        with pytest.raises(InputError, match=r"NaN or Inf \(class-2/014.png\): check the checkpoint"):
            writer.write_shard(writer.pending()[1], features, [10])
        assert sorted(contents(tmp_path)) == ["partial.json"]

    def test_names_the_sample_of_an_overflow(self, tmp_path: Path) -> None:
        writer = CacheWriter(tmp_path, make_plan())
        features = make_features(writer.plan)[:10]
        features[7, 0, 0] = 7e4
        with pytest.raises(InputError, match=r"overflows float16 \(class-1/007.png\): use dtype=float32"):
            writer.write_shard(writer.pending()[0], features)

    def test_shapes_and_skips_must_fit(self, tmp_path: Path) -> None:
        writer = CacheWriter(tmp_path, make_plan())
        shard, features = writer.pending()[0], make_features(writer.plan)
        for wrong, skipped in ((features[:9], []), (features[:10, :1], []), (features[:10], [20])):
            with pytest.raises(ValueError, match="features must be"):
                writer.write_shard(shard, wrong, skipped)


class TestPublish:
    def test_a_shard_without_samples(self, tmp_path: Path) -> None:
        writer = CacheWriter(tmp_path, make_plan())
        fill(writer, skipped=frozenset(range(10, 20)))
        cache = writer.publish(None)
        assert cache.n == 15
        np.testing.assert_array_equal(cache.rows(np.array([9, 10])), cache.features[9:11])
        assert [len(block) for _, block in cache.blocks()] == [10, 5]

    def test_no_sample_at_all(self, tmp_path: Path) -> None:
        writer = CacheWriter(tmp_path, make_plan())
        fill(writer, skipped=frozenset(range(25)))
        with pytest.raises(InputError, match="no image could be read"):
            writer.publish(None)

    @pytest.mark.parametrize(
        ("head", "fragment"),
        [
            ({"dim": 5}, "its classifier has D = 5, its features D = 4"),
            ({"n_classes": 4}, "disagree on the number of classes.*classifier K = 4"),
            ({"weight": np.full((3, 4), np.nan)}, "weight holds values that are not finite"),
        ],
    )
    def test_a_head_that_does_not_fit(self, tmp_path: Path, head: dict[str, Any], fragment: str) -> None:
        writer = CacheWriter(tmp_path, make_plan())
        fill(writer)
        with pytest.raises(InputError, match=fragment):
            writer.publish(make_head(**head))
        assert cache_state(tmp_path)[0] == "partial"

    def test_a_missing_shard(self, tmp_path: Path) -> None:
        writer = CacheWriter(tmp_path, make_plan())
        fill(writer, writer.pending()[:2])
        with pytest.raises(InputError, match=r"no such file.*shard-00002"):
            writer.publish(None)
        assert cache_state(tmp_path)[0] == "partial"


def test_file_names_that_are_not_utf8(tmp_path: Path) -> None:
    samples = ["class\udce9/a\udcff.png", "class é/\u2028.png", "c\r/\x0b.png"]
    cache = write_cache(tmp_path, n=3, samples=samples, shard_rows=2)
    assert cache.samples == tuple(samples)
    assert open_cache(tmp_path).samples == tuple(samples)


@pytest.mark.parametrize("raw", [b"[]", b"{}", b'{"fingerprint": 1, "decides": {}, "run": {}}', b""])
def test_a_broken_partial_json(tmp_path: Path, raw: bytes) -> None:
    (tmp_path / "partial.json").write_bytes(raw)
    with pytest.raises(InputError, match=r"partial\.json"):
        read_partial(tmp_path)
    with pytest.raises(InputError, match=r"partial\.json"):
        CacheWriter(tmp_path, make_plan())


@pytest.mark.skipif(not Path("/sys/kernel").is_dir(), reason="needs a folder nobody may write to")
def test_a_folder_without_permission() -> None:
    with pytest.raises(EnvironmentFault, match=r"no permission|read-only"):
        CacheWriter("/sys/kernel/ltfix", make_plan())


def test_the_folder_is_a_file(tmp_path: Path) -> None:
    files.write_bytes(tmp_path / "f", b"")
    with pytest.raises(InputError, match="file exists"):
        CacheWriter(tmp_path / "f", make_plan())
