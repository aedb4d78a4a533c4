"""Features of other tools: every format gives the same cache; what does not fit is one error."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.numpy import save_file

import ltfix
from ltfix.errors import InputError, UsageError

RNG = np.random.default_rng(0)
FEATURES = RNG.normal(size=(25, 6)).astype(np.float32)
LABELS = np.arange(25) % 3
NAMES = [f"{i}.jpg" for i in range(25)]


def write_npy(folder: Path) -> tuple[Path, dict]:
    np.save(folder / "train.npy", FEATURES)
    np.save(folder / "labels.npy", LABELS)
    return folder / "train.npy", {"labels": str(folder / "labels.npy")}


def write_npz(folder: Path) -> tuple[Path, dict]:
    np.savez(folder / "train.npz", embeddings=FEATURES, targets=LABELS)
    return folder / "train.npz", {}


def write_safetensors(folder: Path) -> tuple[Path, dict]:
    save_file({"X": FEATURES, "labels": np.asarray(LABELS)}, folder / "train.safetensors")
    return folder / "train.safetensors", {}


def write_hdf5(folder: Path) -> tuple[Path, dict]:
    with pytest.importorskip("h5py").File(folder / "train.h5", "w") as file:
        file["set/inner"] = FEATURES
        file["labels"] = LABELS
    return folder / "train.h5", {"features": "set/inner"}


def write_torch(folder: Path) -> tuple[Path, dict]:
    torch.save({"features": torch.from_numpy(FEATURES), "labels": LABELS.tolist()}, folder / "train.pt")
    return folder / "train.pt", {}


def write_csv(folder: Path) -> tuple[Path, dict]:
    header = ",".join([*(f"embedding_{i}" for i in range(6)), "filenames", "labels"])
    rows = [
        ",".join([*map(repr, x.tolist()), name, str(y)])
        for x, name, y in zip(FEATURES, NAMES, LABELS, strict=True)
    ]
    (folder / "train.csv").write_text("\n".join([header, *rows]) + "\n")
    return folder / "train.csv", {}


def write_parquet(folder: Path) -> tuple[Path, dict]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    pq.write_table(pa.table({"embedding": FEATURES.tolist(), "label": LABELS}), folder / "train.parquet")
    return folder / "train.parquet", {}


def write_clip_retrieval(folder: Path) -> tuple[Path, dict]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    whole = folder / "clip"
    for name in ("img_emb", "metadata"):
        (whole / name).mkdir(parents=True)
    for number, rows in ((0, slice(0, 10)), (9, slice(10, 11)), (10, slice(11, 25))):
        np.save(whole / "img_emb" / f"img_emb_{number}.npy", FEATURES[rows])
        table = pa.table({"image_path": NAMES[rows], "label": LABELS[rows]})
        pq.write_table(table, whole / "metadata" / f"metadata_{number}.parquet")
    return whole, {}


WRITERS = [
    write_npy,
    write_npz,
    write_safetensors,
    write_hdf5,
    write_torch,
    write_csv,
    write_parquet,
    write_clip_retrieval,
]


@pytest.mark.parametrize("write", WRITERS, ids=lambda write: write.__name__)
def test_every_format_gives_the_same_cache(tmp_path: Path, write):
    source, options = write(tmp_path)
    cache = ltfix.import_features(source, tmp_path / "out", dtype="float32", shard_rows=8, **options)
    np.testing.assert_array_equal(cache.features[:, 0], FEATURES)
    np.testing.assert_array_equal(cache.labels, LABELS)
    assert (cache.classes, len(cache.shards), cache.head) == (("0", "1", "2"), 4, None)
    assert cache.samples is not None
    assert (cache.samples == tuple(NAMES)) == (write in (write_csv, write_clip_retrieval))
    assert cache.verify() == 4


def test_names_are_numbered_as_in_training_and_the_head_comes_from_a_checkpoint(tmp_path: Path):
    weight, bias = torch.randn(3, 6), torch.randn(3)
    torch.save({"state_dict": {"fc.weight": weight, "fc.bias": bias}}, tmp_path / "net.pth")
    head = f"{tmp_path / 'net.pth'}:fc"
    words = np.array(["cow", "ant", "bee"])
    np.savez(tmp_path / "a.npz", features=FEATURES, labels=words[LABELS])
    np.savez(tmp_path / "b.npz", features=FEATURES[:4], labels=words[[2, 2, 0, 0]])
    train = ltfix.import_features(tmp_path / "a.npz", tmp_path / "train", head_from=head)
    test = ltfix.import_features(tmp_path / "b.npz", tmp_path / "test", head_from=head)
    assert train.classes == test.classes == ("ant", "bee", "cow")
    assert test.labels.tolist() == [1, 1, 2, 2]
    assert test.head is not None
    np.testing.assert_array_equal(test.head.weight, weight.numpy())
    np.testing.assert_array_equal(test.head.counts, train.counts)
    assert ltfix.fit(train, "los", epochs=1).n_classes == 3


@pytest.mark.parametrize(
    ("name", "content", "options", "error", "message"),
    [
        ("a.npz", {"features": FEATURES}, {}, InputError, "there are no labels"),
        ("a.npz", {"f": FEATURES, "labels": LABELS}, {}, InputError, r"called as features.*has f, labels"),
        ("a.npz", {"features": FEATURES, "labels": LABELS}, {"labels": "z"}, InputError, "there is no 'z'"),
        ("a.npz", {"features": FEATURES, "labels": LABELS[:9]}, {}, InputError, "25 rows.*9 labels"),
        ("a.npz", {"features": FEATURES, "labels": LABELS}, {"head_from": "x"}, InputError, "no such file"),
        (
            "a.npz",
            {"features": FEATURES * np.nan, "labels": LABELS},
            {},
            InputError,
            r"a feature is NaN or Inf \(a\.npz:0\): leave such rows out",
        ),
        ("a.npz", {"features": FEATURES[:0], "labels": LABELS[:0]}, {}, InputError, "0 rows of features"),
        ("a.npz", {"features": FEATURES, "labels": LABELS[0]}, {}, InputError, r"labels must be \[n\]"),
        ("a.npz", {"features": FEATURES, "y": LABELS * np.nan}, {}, InputError, "no label .*row 0"),
        ("a.npz", {"features": FEATURES, "y": LABELS, "key": NAMES[:9]}, {}, InputError, "25 rows.*9 names"),
        ("a.npz", b"torn", {}, InputError, r"not a readable \.npz"),
        ("a.npz", b"PK\3\4torn", {}, InputError, r"not a readable \.npz"),
        ("a.npy", b"torn", {}, InputError, r"not a readable \.npy"),
        ("a.npy", b"\x93NUMPY\1\0\4\0{(((", {}, InputError, r"not a readable \.npy"),
        ("a.h5", b"torn", {}, InputError, "not a whole HDF5 file"),
        ("a.pt", b"torn", {}, InputError, "torn"),
        ("a.parquet", b"torn", {}, InputError, "not a whole parquet file"),
        ("a.csv", b"x,label\n1,0\nb,1\n", {}, InputError, "not a table of numbers.*line 3"),
        ("a.csv", b"x,kind,label\n1,a,0\n", {}, InputError, "'kind' holds 'a' .*line 2.*features=f0,f1"),
        ("a.csv", b"x,label\n1,cat\n\n2,\n", {}, InputError, r"the row has no label \(.*csv, line 4\): give"),
        ("a.csv", b"x,label\n1,cat\n2,NaN\n", {}, InputError, r"label but 'NaN' \(.*line 3\).*classes=FILE"),
        ("a.csv", b"x,label\n1,0\n2,nan\n", {}, InputError, r"no label but 'nan' \(.*line 3\)"),
        ("a.npz", {"features": FEATURES[:2], "y": np.array(["a", ""])}, {}, InputError, "no label .*row 1"),
        ("a.csv", b"f0;f1;label\n1;2;a\n1;;b\n", {}, InputError, "'f1' holds '' .*line 3"),
        ("a.csv", b"f0\tf1\tlabel\n1\tnan\ta\n", {}, InputError, "'f1' holds 'nan' .*line 2"),
        ("a.csv", b"x y label\n1 2 a\n", {}, InputError, "holds '1 2 a' .*commas, semicolons or tabs"),
        ("a.csv", b"f0,f1,species\n1,2,0\n", {"labels": "specie"}, InputError, "mean species"),
        ("a.csv", b"f0,f1,label\n1,2,0\n", {"features": "f0,g*"}, InputError, "called 'g\\*'"),
        ("a.npz", {"features": FEATURES * 1e6, "labels": LABELS}, {}, InputError, "use dtype=float32"),
        ("a.csv", b"", {}, InputError, "it has no rows of numbers"),
        ("a.csv", b"filename,e_0\na.jpg,1\nb.jpg,2\n", {}, InputError, "there are no labels.*labels=folder"),
        ("a.csv", b"filename,e_0\na/a.jpg,1\nb.jpg,2\n", {"labels": "folder"}, UsageError, "folder before"),
        ("a.npz", {"features": FEATURES}, {"labels": "folder"}, UsageError, "no names of samples"),
        ("a.zip", b"", {}, UsageError, "unknown format"),
        ("a.safetensors", b"", {}, InputError, "torn or not a safetensors file"),
    ],
)
def test_what_does_not_fit(tmp_path: Path, name: str, content, options: dict, error, message: str):
    path = tmp_path / name
    path.write_bytes(content) if isinstance(content, bytes) else np.savez(path, **content)
    with pytest.raises(error, match=message):
        ltfix.import_features(path, tmp_path / "out", **options)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("place", ["fc.pth", "fc.pth:", "fc.pth:fc", "fc.pth:weight", "fc.npz", "fc.npz:fc"])
def test_a_layer_that_was_saved_alone(tmp_path: Path, place: str):
    weight = torch.arange(12.0).reshape(3, 4)
    torch.save({"weight": weight, "bias": torch.ones(3)}, tmp_path / "fc.pth")
    np.savez(tmp_path / "fc.npz", weight=weight.numpy(), bias=np.ones(3, np.float32))
    np.savez(tmp_path / "a.npz", features=FEATURES[:3, :4], labels=[0, 1, 2])
    cache = ltfix.import_features(tmp_path / "a.npz", tmp_path / "a", head_from=f"{tmp_path}/{place}")
    assert cache.head is not None
    np.testing.assert_array_equal(cache.head.weight, weight.numpy())
    np.testing.assert_array_equal(cache.head.bias, 1)


def test_no_layer_alone_and_a_transposed_one(tmp_path: Path):
    np.savez(tmp_path / "a.npz", features=FEATURES[:3, :4], labels=[0, 1, 2])
    torch.save({"fc.weight": torch.ones(4, 3), "conv.weight": torch.ones(1, 1, 1)}, tmp_path / "m.pth")
    for place, message in (
        ("m.pth", r"no layer that was saved alone .*known: fc$"),
        ("m.pth:fc", "transposed"),
    ):
        with pytest.raises(InputError, match=message):
            ltfix.import_features(tmp_path / "a.npz", tmp_path / "a", head_from=f"{tmp_path}/{place}")


def test_a_line_of_labels_that_is_empty_is_named(tmp_path: Path):
    np.save(tmp_path / "x.npy", FEATURES[:3])
    (tmp_path / "y.txt").write_text("a\n\nb\n\n")
    with pytest.raises(InputError, match=r"the row has no label \(.*y\.txt, line 2\)"):
        ltfix.import_features(tmp_path / "x.npy", tmp_path / "a", labels=str(tmp_path / "y.txt"))
    (tmp_path / "y.txt").write_text("")
    with pytest.raises(InputError, match="3 rows of features and 0 labels"):
        ltfix.import_features(tmp_path / "x.npy", tmp_path / "a", labels=str(tmp_path / "y.txt"))


@pytest.mark.parametrize("labels", ["\na\nb\nc\n", "a\n\nb\nc\n", "a\r\nb\r\nc\r\n\r\n"])
@pytest.mark.parametrize(("names", "samples"), [("", "x.npy:0"), ("1\n\n2\n3\n", "1")])
def test_empty_lines_beside_one_for_each_row_are_none(tmp_path: Path, labels: str, names: str, samples: str):
    np.save(tmp_path / "x.npy", FEATURES[:3])
    (tmp_path / "y.txt").write_bytes(labels.encode())
    (tmp_path / "file_names.txt").write_text(names)
    cache = ltfix.import_features(tmp_path / "x.npy", tmp_path / "a", labels=str(tmp_path / "y.txt"))
    assert cache.classes == ("a", "b", "c")
    assert cache.labels.tolist() == [0, 1, 2]
    assert cache.samples[0] == samples


def test_a_class_called_as_what_is_missing_is_named(tmp_path: Path):
    (tmp_path / "a.csv").write_text("x;label\n1;none\n2;cat\n3;none\n")
    cache = ltfix.import_features(tmp_path / "a.csv", tmp_path / "a", classes=["cat", "none"])
    assert cache.labels.tolist() == [1, 0, 1]
    (tmp_path / "b.csv").write_text("filename,x\nnone/1.jpg,1\ncat/2.jpg,2\n")
    cache = ltfix.import_features(tmp_path / "b.csv", tmp_path / "b", labels="folder")
    assert cache.classes == ("cat", "none")


class Told:
    """Progress that keeps its notes."""

    def __init__(self) -> None:
        self.notes = list[str]()

    def note(self, text: str) -> None:
        self.notes.append(text)

    def start(self, what: str, total: int, unit: str) -> None: ...
    def advance(self, n: int = 1) -> None: ...
    def describe(self, text: str) -> None: ...
    def finish(self) -> None: ...


@pytest.mark.parametrize("form", ["beside", "npz", "safetensors"])
def test_a_classifier_beside_the_features_or_in_another_file(tmp_path: Path, form: str):
    layer = {"head.weight": RNG.normal(size=(4, 6)).astype(np.float32), "head.bias": np.arange(4, dtype="f4")}
    given = {"features": FEATURES, "labels": LABELS}
    np.savez(tmp_path / "a.npz", **given, **(layer if form == "beside" else {}))
    other = tmp_path / f"layer.{form}"
    if form == "npz":
        np.savez(other, **layer)
    elif form == "safetensors":
        save_file(layer, other)
    options = {} if form == "beside" else {"head_from": f"{other}:head"}
    head = ltfix.import_features(tmp_path / "a.npz", tmp_path / "out", **options).head
    assert head is not None and (head.method, head.counts.tolist()) == ("stage-1", [9, 8, 8, 0])
    np.testing.assert_array_equal(head.weight, layer["head.weight"])
    np.testing.assert_array_equal(head.bias, layer["head.bias"])


@pytest.mark.parametrize(
    ("options", "columns", "told"),
    [
        ({}, [0, 1, 2], "3 feature columns: f0, f1, g; labels: label; left out: id, target"),
        ({"features": "f*"}, [0, 1], "2 feature columns: f0, f1; labels: label; left out: id, target, g"),
        ({"features": "g,f0"}, [0, 2], "2 feature columns: f0, g; labels: label; left out: id, target, f1"),
    ],
)
def test_which_columns_are_features(tmp_path: Path, options: dict, columns: list[int], told: str):
    table = np.array([[1, 2, 3], [4, 5, 6]], np.float16)
    rows = [",".join(map(str, [7, y, *x.tolist(), y])) for y, x in enumerate(table)]
    (tmp_path / "a.csv").write_text("\n".join(["id,target,f0,f1,g,label", *rows]))
    notes = Told()
    cache = ltfix.import_features(tmp_path / "a.csv", tmp_path / "out", progress=notes, **options)
    np.testing.assert_array_equal(cache.features[:, 0], table[:, columns])
    assert notes.notes == [told]


@pytest.mark.parametrize("first", ["0.16,0.5,cat", "0,0.25,cat", "3,3,cat"])
def test_a_table_without_names_loses_no_sample(tmp_path: Path, first: str):
    (tmp_path / "a.csv").write_text(f"{first}\n0.1,0.2,dog\n0.3,0.4,cat\n")
    with pytest.raises(InputError, match=r"the first line is numbers, where names belong .*a\.csv"):
        ltfix.import_features(tmp_path / "a.csv", tmp_path / "out", labels="cat")


@pytest.mark.parametrize(("names", "options"), [("0,1", {}), ("0.25,0.75", {"features": "*"})])
def test_numbers_may_be_names_of_columns(tmp_path: Path, names: str, options: dict):
    (tmp_path / "a.csv").write_text(f"{names},label\n0.1,0.2,dog\n0.3,0.4,cat\n")
    assert ltfix.import_features(tmp_path / "a.csv", tmp_path / "out", **options).features.shape == (2, 1, 2)


def test_a_failed_import_leaves_the_cache_that_it_was_to_replace(tmp_path: Path):
    np.savez(tmp_path / "good.npz", features=FEATURES, labels=LABELS)
    np.savez(tmp_path / "bad.npz", features=FEATURES * 1e6, labels=LABELS)
    before = ltfix.import_features(tmp_path / "good.npz", tmp_path / "train").fingerprint
    with pytest.raises(InputError, match="overflows float16"):
        ltfix.import_features(tmp_path / "bad.npz", tmp_path / "train", overwrite=True)
    kept = ltfix.open_cache(tmp_path / "train")
    assert kept.verify() == 1  # shard, and whole
    assert kept.fingerprint == before


def test_a_classifier_of_another_shape_beside_the_features_is_left_out(tmp_path: Path):
    np.savez(tmp_path / "a.npz", features=FEATURES, labels=LABELS, **{"head.weight": np.ones((3, 5))})
    assert ltfix.import_features(tmp_path / "a.npz", tmp_path / "train").head is None


def test_what_overflowed_is_imported_as_the_hint_says(tmp_path: Path):
    np.savez(tmp_path / "a.npz", features=FEATURES * np.float32(1e6), labels=LABELS)
    with pytest.raises(InputError, match="overflows float16"):
        ltfix.import_features(tmp_path / "a.npz", tmp_path / "out", shard_rows=8)
    assert ltfix.import_features(tmp_path / "a.npz", tmp_path / "out", dtype="float32").n == 25


@pytest.mark.parametrize(("first", "told"), [(0, []), (1, ["class 0 has no sample: are the labels count"])])
def test_labels_counted_from_one_are_told(tmp_path: Path, first: int, told: list[str]):
    np.savez(tmp_path / "a.npz", features=FEATURES, labels=LABELS + first)
    notes = Told()
    ltfix.import_features(tmp_path / "a.npz", tmp_path / "out", progress=notes)
    assert [note[:43] for note in notes.notes] == told


def test_labels_that_are_no_text_file(tmp_path: Path):
    np.savez(tmp_path / "a.npz", features=FEATURES)
    with pytest.raises(InputError, match=r"not a UTF-8 text file \(.*a\.npz"):
        ltfix.import_features(tmp_path / "a.npz", tmp_path / "out", labels=str(tmp_path / "a.npz"))


@pytest.mark.parametrize("form", ["lightly-train.pth", "lightly-train.csv", "features.pt", "features.hdf5"])
def test_what_has_no_labels_but_folders_in_its_names(tmp_path: Path, form: str):
    """lightly-train's two forms, and thingsvision's, which writes the names beside."""
    names = [f"{'ant' if label else 'Zebra'}/{name}" for label, name in zip(LABELS > 0, NAMES, strict=True)]
    features, path = torch.from_numpy(FEATURES), tmp_path / form
    if form == "lightly-train.pth":
        torch.save({"embeddings": features, "filenames": names}, path)
    elif form == "lightly-train.csv":
        lines = [",".join([name, *map(str, row)]) for name, row in zip(names, FEATURES.tolist(), strict=True)]
        path.write_text("\n".join(["filename," + ",".join(f"embedding_{i}" for i in range(6)), *lines]))
    else:
        (tmp_path / "file_names.txt").write_text("".join(f"{name}\n" for name in names))
        if path.suffix == ".pt":
            torch.save(features, path)
        else:
            with pytest.importorskip("h5py").File(path, "w") as file:
                file["features"] = FEATURES
    cache = ltfix.import_features(path, tmp_path / "out", labels="folder", dtype="float32")
    assert (cache.classes, cache.samples) == (("Zebra", "ant"), tuple(names))
    np.testing.assert_array_equal(cache.labels, LABELS > 0)
    np.testing.assert_array_equal(cache.features[:, 0], FEATURES)


def test_names_with_spaces(tmp_path: Path):
    source, options = write_npy(tmp_path)
    (tmp_path / "file_names.txt").write_text("".join(f"a {name}\n" for name in NAMES))
    cache = ltfix.import_features(source, tmp_path / "out", **options)
    assert cache.samples == tuple(f"a {name}" for name in NAMES)


def test_tensors_that_want_a_gradient(tmp_path: Path):
    features = torch.from_numpy(FEATURES).requires_grad_()
    torch.save({"features": features, "labels": torch.from_numpy(LABELS)}, tmp_path / "a.pt")
    cache = ltfix.import_features(tmp_path / "a.pt", tmp_path / "out", dtype="float32")
    np.testing.assert_array_equal(cache.features[:, 0], FEATURES)


def test_a_table_with_a_name_or_a_label_missing(tmp_path: Path):
    import pyarrow as pa
    import pyarrow.parquet as pq

    table = {"embedding": [[1.0], [2.0]], "label": [0, None], "path": ["a", "b"]}
    pq.write_table(pa.table(table), tmp_path / "a.parquet")
    with pytest.raises(InputError, match=r"the row has no label \(.*a\.parquet, row 1"):
        ltfix.import_features(tmp_path / "a.parquet", tmp_path / "out")


def test_a_head_of_more_classes_than_the_labels_show(tmp_path: Path):
    np.savez(tmp_path / "a.npz", features=FEATURES, labels=LABELS)
    for k, d in ((5, 6), (5, 7)):
        torch.save({"fc.weight": torch.ones(k, d), "fc.bias": torch.zeros(k)}, tmp_path / f"{d}.pth")
    cache = ltfix.import_features(tmp_path / "a.npz", tmp_path / "out", head_from=f"{tmp_path}/6.pth:fc")
    assert (cache.n_classes, cache.counts.tolist()) == (5, [9, 8, 8, 0, 0])
    with pytest.raises(InputError, match=r"does not fit: \[5, 7\], 5 classes and D = 6"):
        ltfix.import_features(tmp_path / "a.npz", tmp_path / "no", head_from=f"{tmp_path}/7.pth:fc")
    assert not (tmp_path / "no").exists()


def test_a_damaged_table_is_one_line(tmp_path: Path):
    whole, _ = write_parquet(tmp_path)
    data = bytearray(whole.read_bytes())
    data[4:40] = bytes(36)
    whole.write_bytes(data)
    with pytest.raises(InputError, match=r"not a whole parquet file: [^\n]+ \(.*train\.parquet"):
        ltfix.import_features(whole, tmp_path / "out")


def test_a_column_that_is_not_of_lists(tmp_path: Path):
    whole, _ = write_parquet(tmp_path)
    with pytest.raises(InputError, match="the column label is not one of lists"):
        ltfix.import_features(whole, tmp_path / "out", features="label")


def test_a_damaged_hdf5_file_is_one_line(tmp_path: Path):
    whole, options = write_hdf5(tmp_path)
    data, wrong = whole.read_bytes(), 0
    for place in range(8, 1200, 24):
        whole.write_bytes(data[:place] + b"\xff" * 8 + data[place + 8 :])
        try:
            ltfix.import_features(whole, tmp_path / f"out{place}", **options)
        except InputError:
            wrong += 1
    assert wrong > 5


def test_which_arrays_were_taken_is_told(tmp_path: Path):
    given = {
        "feats": FEATURES,
        "y": LABELS,
        "ids": LABELS,
        "fc.weight": np.ones((3, 6)),
        "fc.bias": np.ones(3),
    }
    np.savez(tmp_path / "a.npz", **given)
    notes = Told()
    ltfix.import_features(tmp_path / "a.npz", tmp_path / "out", progress=notes)
    taken = "features: feats; labels: y; left out: fc.bias, fc.weight, ids"
    assert notes.notes == [f"{taken}; head_from={tmp_path}/a.npz:fc makes fc the stage-1 classifier"]
    told, place = Told(), f"{tmp_path}/a.npz:fc"
    ltfix.import_features(tmp_path / "a.npz", tmp_path / "with", head_from=place, progress=told)
    assert told.notes == ["features: feats; labels: y; left out: ids"]


@pytest.mark.parametrize("labels", [LABELS + 1, np.array(["a", "b", "x"])[LABELS]])
def test_labels_that_the_training_cache_lacks_name_it(tmp_path: Path, labels: np.ndarray):
    names = labels.dtype.kind == "U"
    np.savez(
        tmp_path / "a.npz", features=FEATURES, labels=np.array(["a", "b", "c"])[LABELS] if names else LABELS
    )
    np.savez(tmp_path / "b.npz", features=FEATURES, labels=labels)
    ltfix.import_features(tmp_path / "a.npz", tmp_path / "train")
    hint = rf"[?;] the classes are those of {tmp_path}/train[,;] (classes=FILE names others, )?out=DIR"
    with pytest.raises(InputError, match=hint):
        ltfix.import_features(tmp_path / "b.npz", tmp_path / "test")


def test_numbers_beside_a_training_cache_of_names(tmp_path: Path):
    np.savez(tmp_path / "a.npz", features=FEATURES, labels=np.array(["cow", "ant", "bee"])[LABELS])
    np.savez(tmp_path / "b.npz", features=FEATURES, labels=LABELS)
    ltfix.import_features(tmp_path / "a.npz", tmp_path / "train")
    notes = Told()
    test = ltfix.import_features(tmp_path / "b.npz", tmp_path / "test", progress=notes)
    assert test.labels.tolist() == LABELS.tolist()
    assert f"K = 3 and class names are those of {tmp_path}/train: 0 is taken for ant" in notes.notes[-1]
    own = ltfix.import_features(tmp_path / "b.npz", tmp_path / "x/test", classes=["cow", "ant", "bee"])
    assert own.classes == ("cow", "ant", "bee")


@pytest.mark.parametrize("few", [LABELS % 2, np.array(["a", "b"])[LABELS % 2]], ids=["numbers", "names"])
def test_classes_that_come_from_training_alone_are_told(tmp_path: Path, few: np.ndarray):
    all_of_them = np.array(["a", "b", "c"])[LABELS] if few.dtype.kind == "U" else LABELS
    for name, labels in (("train", all_of_them), ("same", all_of_them), ("few", few)):
        np.savez(tmp_path / f"{name}.npz", features=FEATURES, labels=labels)
    notes = Told()
    for name in ("train", "same", "few"):
        ltfix.import_features(tmp_path / f"{name}.npz", tmp_path / "of" / name, progress=notes)
    ways = "classes=FILE names others, out=DIR in another folder has its own"
    assert notes.notes == [f"K = 3 and class names are those of {tmp_path}/of/train; {ways}"]


def test_names_that_lack_the_first_class_are_not_taken_for_numbers(tmp_path: Path):
    for name, labels in (("train", LABELS), ("few", LABELS % 2 + 1)):
        np.savez(tmp_path / f"{name}.npz", features=FEATURES, labels=np.array(["a", "b", "c"])[labels])
    notes = Told()
    for name in ("train", "few"):
        ltfix.import_features(tmp_path / f"{name}.npz", tmp_path / "of" / name, progress=notes)
    assert "is taken for" not in notes.notes[-1]
    assert notes.notes[-1].startswith("K = 3 and class names are those of ")
