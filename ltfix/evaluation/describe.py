"""What a path is: a feature cache, a head, a training run or a checkpoint, in facts: text and JSON."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ltfix import files, runfile
from ltfix.errors import InputError
from ltfix.evaluation import learned
from ltfix.evaluation.shots import group
from ltfix.features import manifest as manifests
from ltfix.features.foreign import USUAL
from ltfix.features.read import FeatureCache, open_cache
from ltfix.heads.head import FORMAT as HEAD_FORMAT
from ltfix.heads.head import Head, load_head
from ltfix.tensorfile import ltfix_metadata, open_safetensors

FORMAT = "ltfix-inspect/1"
_KINDS = "known: .safetensors, .npz, .pth, .pt; `ltfix import` makes caches of .npy, .csv, …"
Tensors = dict[str, tuple[str, list[int]]]  # dtype and shape by name
_LONGEST = 60  # characters of a checkpoint's metadata
_LABELS = {"weights_sha256": "SHA-256 of its tensors (not of the file)", "cache": "cache fingerprint"}


class Fact(NamedTuple):
    """One fact: what it is called and how it is told, and the JSON fields that it stands for.

    Without a label it is JSON alone; with an empty text it is not told.
    """

    label: str
    text: str
    fields: dict[str, Any]


class Description(NamedTuple):
    """What lies at a path: its kind, its facts in order, and in a few words what it holds."""

    path: Path
    kind: str
    facts: Sequence[Fact]
    holds: str = ""

    @property
    def size(self) -> int:
        """Bytes of the file, or of all files below the folder."""
        inside = [p for p in self.path.rglob("*") if p.is_file()] if self.path.is_dir() else [self.path]
        return sum(p.stat().st_size for p in inside)

    @property
    def told(self) -> dict[str, str]:
        """The facts that have something to say, by label."""
        return {fact.label: fact.text for fact in self.facts if fact.label and fact.text}

    def to_dict(self) -> dict[str, Any]:
        """The facts as ``ltfix inspect`` writes them in JSON (docs/format.md)."""
        found = {"format": FORMAT, "path": str(self.path), "bytes": self.size, "kind": self.kind}
        for fact in self.facts:
            found |= fact.fields
        return found


def describe(
    path: Path | str, *, verify: bool = False, features_key: str | None = None, labels_key: str | None = None
) -> Description:
    """Say what lies at ``path``, reading headers and manifests, and of a cache the labels.

    Args:
        path: a folder or file.
        verify: also compare all recorded hashes, read every feature of a cache, refuse what is unfinished.
        features_key, labels_key: as :func:`~ltfix.features.read.open_cache` takes them.

    Returns:
        Its kind is "cache", "unfinished cache", "head", "run" or "checkpoint".

    Raises:
        InputError: missing, torn, nothing of ltfix, not what was recorded, or unfinished (``verify``).
    """
    path = Path(path)
    with files.os_errors(path):
        path.stat()
    if path.is_dir():
        return _folder(path, verify)
    return _file(path, verify, {"features_key": features_key, "labels_key": labels_key})


def _folder(path: Path, verify: bool) -> Description:
    begun, whole = ((path / name).exists() for name in (manifests.PARTIAL, manifests.NAME))
    if begun and not whole and not verify:
        return _unfinished(path)
    if manifests.is_cache(path):  # open_cache refuses what is unfinished, or without its manifest
        return _cache(path, open_cache(path), verify)
    if (path / runfile.NAME).exists():
        return _run(path, verify)
    marks = (manifests.NAME, runfile.NAME)
    ours = [p for p in path.iterdir() if p.suffix == ".safetensors" or any((p / m).exists() for m in marks)]
    inside = sorted(p.name for p in ours)
    hint = f"did you mean {', '.join(str(path / name) for name in inside[:3])}?" if inside else None
    raise InputError("neither a feature cache nor a run", where=path, hint=hint)


def _file(path: Path, verify: bool, keys: Mapping[str, str | None]) -> Description:
    if path.suffix == ".npz":
        return _cache(path, open_cache(path, **keys), verify)
    if path.suffix != ".safetensors":
        raise InputError("not a kind of file that ltfix reads", where=path, hint=_KINDS)
    tensors, metadata = safetensors_header(path)
    written = ltfix_metadata(metadata, path)
    if str(written.get("format", "")).startswith(HEAD_FORMAT.partition("/")[0] + "/"):
        return _head(path, load_head(path))
    if any(keys.values()) or all(tensors.keys() & set(usual) for usual in USUAL.values()):
        return _cache(path, open_cache(path, **keys), verify)
    return describe_tensors(path, tensors, {**metadata, **written})


def safetensors_header(path: Path) -> tuple[Tensors, dict[str, str]]:
    """Dtype and shape of every tensor, whatever it is, and the metadata; InputError of a torn file."""
    with open_safetensors(path) as (_, opened):
        views = {name: opened.get_slice(name) for name in opened.keys()}  # noqa: SIM118 - no mapping
        shapes = {name: (str(view.get_dtype()), list(view.get_shape())) for name, view in views.items()}
        return shapes, dict(opened.metadata() or {})


def describe_tensors(path: Path, tensors: Tensors, metadata: dict[str, Any] | None = None) -> Description:
    """A checkpoint: its tensors in order, how many values they hold, and what it says of itself."""
    parameters = sum(math.prod(shape) for _, shape in tensors.values())
    listed = [{"name": name, "dtype": d, "shape": shape} for name, (d, shape) in tensors.items()]
    values = f"{parameters} in {len(tensors)} tensors"
    facts = [_fact("values", values, parameters=parameters, tensors=listed)]
    if metadata is not None:
        facts.append(_fact(metadata=metadata))
    for key, value in sorted((metadata or {}).items()):
        text = _text(value)
        if key != "ltfix":
            facts.append(_fact(key, text if len(text) <= _LONGEST else text[: _LONGEST - 1] + "…"))
    return Description(path, "checkpoint", facts, values)


def _fact(label: str = "", text: str = "", **fields: Any) -> Fact:
    return Fact(label, text, fields)


def _cache(path: Path, cache: FeatureCache, verify: bool) -> Description:
    head, manifest, dtype = cache.head, cache.manifest, str(cache.shards[0].dtype)
    training = None if head is None else head.counts
    counts = None if cache.unlabelled else cache.counts
    of = "training counts" if training is not None else "this cache's counts"
    samples = f"{cache.n}, {cache.views} views" if cache.views > 1 else f"{cache.n}"
    facts = [
        _fact("samples", samples, n=cache.n, views=cache.views),
        _fact("features", f"{cache.dim} dimensions, {dtype}", dim=cache.dim, dtype=dtype),
        _fact(classes=cache.n_classes),
        _class_names(cache.classes, 0 if cache.unlabelled else cache.n_classes),
        _fact("labels", "none: for ltfix predict" if counts is None else "", unlabelled=counts is None),
        _fact(counts=None if counts is None else counts.tolist()),
        _shots(counts if training is None else training, of),
        _stage1("stage 1", head, "no classifier"),
        _fact("fingerprint", cache.fingerprint or "", fingerprint=cache.fingerprint),
    ]
    if manifest is not None:
        facts += [
            _fact(name, _pairs(getattr(manifest, name)), **{name: getattr(manifest, name)})
            for name in ("backbone", "preprocess", "source")
        ]
        facts += [
            _fact("made by", manifest.created_by, created_by=manifest.created_by),
            _fact("skipped", str(len(manifest.skipped) or ""), skipped=manifest.skipped),
            _fact(shards=len(manifest.shards)),
        ]
    if verify:
        hashes = cache.verify()
        compared = f"{hashes} hashes equal" if hashes else "a single file records no hashes (sha256sum -c)"
        text = f"all features finite, {compared}"
        facts.append(_fact("verified", text, verified={"hashes": hashes, "finite": True}))
    known = "no labels" if cache.unlabelled else f"K {cache.n_classes}"
    return Description(path, "cache", facts, f"{cache.n} samples, V {cache.views}, D {cache.dim}, {known}")


def _classifier(head: Head) -> list[Fact]:
    norms = np.linalg.norm(head.weight.astype(np.float64), axis=1)
    norm = {"least": float(norms.min()), "mean": float(norms.mean()), "most": float(norms.max())}
    spread = f"{norm['least']:.2f} to {norm['most']:.2f}, mean {norm['mean']:.2f}"
    transform = None if head.transform is None else dict(head.transform)
    return [
        _fact("method", head.method, method=head.method),
        _fact("features", f"{head.dim} dimensions", classes=head.n_classes, dim=head.dim),
        _fact("transform", _pairs(transform or {}), transform=transform),
        _fact("row norms", f"K {head.n_classes}, rows of norm {spread}", weight_norm=norm),
        _temperature(head.temperature),
        _fact(counts_known=head.counts is not None),
    ]


def _temperature(found: np.ndarray | None) -> Fact:
    if found is None:
        return _fact(temperature=None)
    least, most = float(found.min()), float(found.max())
    text = f"{least:.3g}" if least == most else f"{least:.3g} to {most:.3g}, by class"
    return _fact("temperature", text, temperature={"least": least, "most": most})


def _stage1(label: str, head: Head | None, none: str = "") -> Fact:
    if head is None:
        return _fact(label, none, stage1=None)
    facts = _classifier(head)
    norms = next(fact.text for fact in facts if fact.label == "row norms")
    return _fact(label, norms, stage1={key: value for f in facts for key, value in f.fields.items()})


def _class_names(names: Sequence[str] | None, n: int) -> Fact:
    text = f"{n}" + (f" ({names[0]} … {names[-1]})" if names else "")
    return _fact("classes", text if n else "", class_names=None if names is None else list(names))


def _shots(counts: Any, of: str = "training counts") -> Fact:
    """The classes of each shot by training samples [K]; nothing where these are not known."""
    if counts is None:
        return _fact(shots=None)
    shots: dict[str, Any] = {**group(np.asarray(counts)).to_dict(), "of": of}
    size = shots["n_classes"]
    text = (
        f"{size['many']} Many (n > {shots['many']}), {size['medium']} Medium, "
        f"{size['few']} Few (n < {shots['few']}), by {of}"
    )
    return _fact("shots", "" if len(set(counts)) == 1 else text, shots=shots)  # as test sets are


def _head(path: Path, head: Head) -> Description:
    counts, sha256 = head.counts, files.sha256_file(path)
    facts = [
        *_classifier(head),
        _class_names(head.classes, head.n_classes),
        _fact(counts=None if counts is None else counts.tolist(), meta=dict(head.meta)),
        _shots(counts),
        _fact("sha256", sha256, sha256=sha256),
        *(_fact(_LABELS.get(k, str(k)).replace("_", " "), _text(v)) for k, v in head.meta.items()),
    ]
    return Description(path, "head", facts, f"{head.method}, D {head.dim}, K {head.n_classes}")


def _unfinished(path: Path) -> Description:
    partial, shards = manifests.read_partial(path), len(list(path.glob("shard-*.safetensors")))
    facts = [
        _fact("shards", f"{shards} so far", shards=shards),
        _fact("fingerprint", partial.fingerprint, fingerprint=partial.fingerprint),
        _fact("run", _pairs(partial.run), run=partial.run),
        _fact("next", partial.next),
    ]
    return Description(path, "unfinished cache", facts, f"{shards} shard{'s' * (shards != 1)} so far")


def _run(path: Path, verify: bool) -> Description:
    run = runfile.read_run(path)
    if verify:
        run.demand_finished()
        safetensors_header(path / runfile.BACKBONE)
    counts, classes = run.content.get("counts"), run.content.get("classes")
    kept = {key: value for key, value in run.content.items() if key not in ("classes", "counts", "format")}
    inside = sorted(p.name for p in path.iterdir() if p.is_file() and not p.name.startswith("."))
    classifier, score = path / runfile.CLASSIFIER, learned.forgetting(path, counts)
    ended = "yes" if run.finished else "no: the same `ltfix train-backbone` goes on with it"
    facts = [
        _fact("finished", ended, finished=run.finished),
        _class_names(classes, len(classes or ())),
        _fact(counts=counts, run=kept, batch_norms=learned.batch_norms(path)),
        _shots(counts),
        _fact("files", ", ".join(inside), files=inside),
        *(_fact(key, _text(value)) for key, value in kept.items() if key not in ("finished", "provenance")),
        _stage1("classifier", load_head(classifier) if classifier.exists() else None),
        _fact("forgetting", learned.told(score, counts, classes), forgetting=score),
    ]
    words = [kept.get("model", "model"), kept.get("recipe", "recipe"), "un" * (not run.finished) + "finished"]
    return Description(path, "run", facts, ", ".join(words))


def _pairs(values: dict[str, Any]) -> str:
    said = [(k, v) for k, v in values.items() if v not in (None, "", {}, [])]
    return ", ".join(f"{_LABELS.get(k, k)} {_text(v)}" for k, v in said)


def _text(value: Any) -> str:
    if isinstance(value, dict) and value.keys() == {"value", "from"}:
        return f"{_text(value['value'])} ({value['from']})"
    if isinstance(value, dict):
        return "(" + _pairs(value) + ")" if value else ""
    if isinstance(value, list) and value and all(isinstance(one, dict) and "score" in one for one in value):
        early = sum("early" in one for one in value)  # what a search tried
        return f"{len(value)} settings" + f" ({early} stopped early)" * bool(early)
    if isinstance(value, list):
        short = value if len(value) <= 12 else [*value[:2], f"… {len(value)} in all …", value[-1]]
        return ",".join(map(_text, short))
    return "" if value is None else str(value)
