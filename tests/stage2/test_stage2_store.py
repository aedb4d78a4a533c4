"""Finished runs in a folder: found again, fitted again where anything changed, never over foreign files."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from ltfix import files
from ltfix.errors import EnvironmentFault, InputError, UsageError
from ltfix.features.cache import FeatureCache
from ltfix.heads.head import Head
from ltfix.stage2.tuning.store import FORMAT, Finished, Store, digest

SETTINGS = {"caches": {"train": "a"}, "seed": 3}
SCORES = {"all": 0.4, "many": 0.5, "medium": None, "few": None, "worst_class": 0.1}
RUN = Finished(SCORES, 1.5, "owl", "gA==")


@pytest.fixture
def head() -> Head:
    return Head(np.ones((3, 2), np.float32), np.zeros(3, np.float32), "ce")


def test_what_was_kept_is_found(tmp_path: Path, head: Head):
    store = Store(tmp_path / "runs")
    assert store.find("ce-s0", SETTINGS) is None
    store.save("ce-s0", SETTINGS, head, RUN)
    assert store.find("ce-s0", SETTINGS) == RUN
    assert store.find("ce-s0", {**SETTINGS, "seed": 4}) is None
    assert store.find("ce-s1", SETTINGS) is None
    assert {p.name for p in (tmp_path / "runs").iterdir()} == {"ce-s0.json", "ce-s0.safetensors"}


def test_what_a_budget_left_is_kept_by_request_and_never_over_foreign_files(tmp_path: Path):
    store, own = Store(tmp_path), tmp_path / "budget.json"
    assert store.level("a") is None
    store.begin("a", (5, 1.0, 1.0))
    store.begin("b", (1, 0.5, 0.25))
    assert store.level("a") == (5, 1.0, 1.0)
    assert store.level("b") == (1, 0.5, 0.25)
    own.write_text(own.read_text().replace("0.5", "1.5"))
    with pytest.raises(InputError, match="levels"):
        store.level("b")
    own.write_text('{"mine": 1}')
    with pytest.raises(UsageError, match="not from a comparison"):
        store.begin("a", (1, 1.0, 1.0))
    forced = Store(tmp_path, overwrite=True)
    forced.begin("a", (1, 1.0, 1.0))
    assert store.level("a") == (1, 1.0, 1.0)


def test_without_a_folder_nothing_is_kept(head: Head):
    Store(None).begin("a", (1, 1.0, 1.0))
    assert Store(None).level("a") is None
    Store(None).save("ce-s0", SETTINGS, head, RUN)
    assert Store(None).find("ce-s0", SETTINGS) is None


@pytest.mark.parametrize("step", [0, 1, 2])
def test_a_writer_killed_between_its_files_loses_only_that_run(
    tmp_path: Path, head: Head, monkeypatch: pytest.MonkeyPatch, step: int
):
    store, done = Store(tmp_path), []
    write = files.write_json

    def dying(path: Path, value: object, **options: bool) -> None:
        done.append(path)
        if len(done) == (1 if step == 0 else 2):
            raise KeyboardInterrupt
        write(path, value, **options)

    if step == 1:
        monkeypatch.setattr(Head, "save", lambda *_, **__: (_ for _ in ()).throw(KeyboardInterrupt))
    else:
        monkeypatch.setattr(files, "write_json", dying)
    with pytest.raises(KeyboardInterrupt):
        store.save("ce-s0", SETTINGS, head, RUN)
    monkeypatch.undo()
    assert store.find("ce-s0", SETTINGS) is None
    store.save("ce-s0", SETTINGS, head, RUN)
    assert store.find("ce-s0", SETTINGS) == RUN


def test_heads_of_others_stay(tmp_path: Path, head: Head):
    head.save(tmp_path / "ce-s0.safetensors")
    with pytest.raises(UsageError, match=r"not from a comparison .*ce-s0\.safetensors.*overwrite=True"):
        Store(tmp_path).find("ce-s0", SETTINGS)
    assert Store(tmp_path, overwrite=True).find("ce-s0", SETTINGS) is None
    (tmp_path / "los-s0.json").write_text('{"format": "mine"}')
    with pytest.raises(UsageError, match=r"los-s0\.json"):
        Store(tmp_path).find("los-s0", SETTINGS)


@pytest.mark.parametrize("text", ["", "torn {", f'{{"format": "{FORMAT}"}}'])
def test_what_is_torn_is_called_so_and_made_anew(tmp_path: Path, head: Head, text: str):
    store, forced = Store(tmp_path), Store(tmp_path, overwrite=True)
    store.save("ce-s0", SETTINGS, head, RUN)
    for name in ("ce-s0.json", "ce-s0.safetensors"):
        (tmp_path / name).write_text(text)
        with pytest.raises(InputError, match=rf"{name}\): overwrite=True makes it anew"):
            store.find("ce-s0", SETTINGS)
        assert forced.find("ce-s0", SETTINGS) is None
        forced.save("ce-s0", SETTINGS, head, RUN)
        assert store.find("ce-s0", SETTINGS) == RUN


def test_a_head_that_was_replaced_by_hand_is_not_replaced_again(tmp_path: Path, head: Head):
    store = Store(tmp_path)
    store.save("ce-s0", SETTINGS, head, RUN)
    dataclasses.replace(head, bias=np.ones(3, np.float32)).save(tmp_path / "ce-s0.safetensors")
    with pytest.raises(UsageError, match="not from a comparison"):
        store.find("ce-s0", SETTINGS)
    (tmp_path / "ce-s0.safetensors").unlink()
    assert store.find("ce-s0", SETTINGS) is None


def test_a_record_vouches_for_the_head_that_its_writer_wrote(
    tmp_path: Path, head: Head, monkeypatch: pytest.MonkeyPatch
):
    """Somebody replaces the head between it and its record."""
    store, real = Store(tmp_path), Head.save

    def overtaken(mine: Head, path: Path, **options: bool) -> str:
        told = real(mine, path, **options)
        real(dataclasses.replace(head, bias=np.ones(3, np.float32)), path)
        return told

    monkeypatch.setattr(Head, "save", overtaken)
    store.save("ce-s0", SETTINGS, head, RUN)
    monkeypatch.undo()
    with pytest.raises(UsageError, match="not from a comparison"):
        store.find("ce-s0", SETTINGS)
    head.save(tmp_path / "ce-s0.safetensors")
    assert store.find("ce-s0", SETTINGS) == RUN


@pytest.mark.parametrize("name", ["ce-s0.json", "ce-s0.safetensors"])
def test_what_others_wrote_meanwhile_is_not_replaced(tmp_path: Path, head: Head, name: str):
    store = Store(tmp_path)
    assert store.find("ce-s0", SETTINGS) is None
    (tmp_path / name).write_text("mine")
    with pytest.raises(EnvironmentFault, match=rf"already there .*{name}"):
        store.save("ce-s0", SETTINGS, head, RUN)
    assert (tmp_path / name).read_text() == "mine"
    Store(tmp_path, overwrite=True).save("ce-s0", SETTINGS, head, RUN)
    assert store.find("ce-s0", SETTINGS) == RUN


def test_one_comparison_at_a_time_holds_the_folder(tmp_path: Path):
    with (
        Store(tmp_path / "runs").held(),
        pytest.raises(EnvironmentFault, match=r"another process .*runs\): wait until it has ended"),
        Store(tmp_path / "runs").held(),
    ):
        pass
    with Store(None).held(), Store(None).held(), Store(tmp_path / "runs").held():
        pass
    assert not (tmp_path / "runs").exists()


def test_the_digest_is_of_what_the_cache_holds(draw_cache):
    cache = draw_cache([9, 4, 2])

    def same(**changed) -> bool:
        parts = {"classes": cache.classes, "head": cache.head} | changed
        shards, labels = parts.pop("shards", cache.shards), parts.pop("labels", cache.labels)
        return digest(FeatureCache(Path("elsewhere"), shards, labels, **parts)) == digest(cache)

    assert same()
    assert same(shards=[cache.shards[0].copy()])
    assert not same(shards=[cache.shards[0] + np.float32(1e-6)])
    assert not same(shards=[cache.shards[0].astype(np.float16)])
    assert not same(labels=cache.labels[::-1].copy())
    assert not same(head=None)
    assert not same(head=dataclasses.replace(cache.head, bias=cache.head.bias + 1))
    assert not same(classes=("a", "b", "c"))
    assert not same(head=dataclasses.replace(cache.head, meta={"recipe": "glmc"}))  # presets go by it
