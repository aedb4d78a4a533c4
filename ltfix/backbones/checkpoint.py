"""Reading foreign checkpoints: safetensors, or ``.pth`` without unpickling anything but tensors."""

from __future__ import annotations

import argparse
import dataclasses
import fnmatch
import json
import pickle
import re
import warnings
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ltfix.backbones.given import demand_readable
from ltfix.errors import InputError, UsageError, nearest

PLACES = (
    ("state_dict_ema",),  # timm's train.py
    ("model_ema",),  # DeiT, ConvNeXt, torchvision's references
    ("state_dict",),  # most training code, Lightning
    ("model",),  # DeiT, torchvision's references
    ("state_dict_best",),  # Decoupling, around its two parts
    ("state_dict_model", "state_dict_classifier"),  # MiSLAS
    ("feat_model", "classifier"),  # Decoupling
    ("model_state_dict",),  # PyTorch's tutorial
)
"""Where a file keeps its state dict, tried in order: averaged weights first, as timm. Two keys: two parts."""
WRAPPERS = ("module.", "_orig_mod.", "model.", "backbone.", "encoder.", "encoder_q.")
"""Prefixes that wrappers put before the names: DataParallel and SWA, torch.compile, Lightning, …."""
_DEEP, _MANY, _SHOWN = 16, 100_000, 4
_EXPANDED = 64 << 20  # bytes: a few numbers can be saved as a view of any size


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class Checkpoint:
    """A state dict and what its file says about it.

    Attributes:
        path: the file.
        state: tensors by the names in the file.
        metadata: a safetensors file's metadata; empty for ``.pth``.
        notes: which of several state dicts was taken, and what was left, one line each.
    """

    path: Path
    state: dict[str, Tensor]
    metadata: Mapping[str, str]
    notes: tuple[str, ...] = ()


def read_checkpoint(path: Path | str, key: str | None = None, ignore: Sequence[str] = ()) -> Checkpoint:
    """Read a checkpoint; its state dict is found as :data:`PLACES` says.

    Args:
        path: safetensors, or anything that ``torch.save`` wrote.
        key: the state dict's place instead, as ``teacher`` or ``ema.model``, or a prefix of its names.
        ignore: patterns of names of tensors to leave out, as ``decoder.*``.

    Raises:
        InputError: missing, torn, of another kind, or with pickled objects other than tensors.
        UsageError: nothing lies under ``key``, or a pattern matches nothing.
    """
    path = Path(path)
    safe = path.suffix == ".safetensors"
    content, metadata = _read_safetensors(path) if safe else (read_tensors(path), {})
    state, taken, left = _choose(content, key, path)
    kept = _without(state, ignore)
    for name, value in kept.items():
        _demand_plain(name, value, path)
    notes = []
    if taken:
        others = f"; left there: {', '.join(left)}" if left else ""
        notes.append(f"the weights of {path.name} are those under {taken}{others}")
    if len(kept) < len(state):
        notes.append(f"ignored in {path.name}: {some([name for name in state if name not in kept])}")
    return Checkpoint(path, kept, metadata, tuple(notes))


def read_tensors(path: Path) -> Any:
    """What ``torch.save`` wrote of tensors, lists and dictionaries; nothing else is unpickled.

    Raises:
        InputError: as :func:`read_checkpoint`.
    """
    demand_readable(path)
    try:
        with warnings.catch_warnings(action="ignore"), torch.serialization.safe_globals(_harmless()):
            return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as err:
        named = re.search(r"GLOBAL ([\w.]+)", str(err))
        raise InputError(
            f"the checkpoint holds more than tensors{f' ({named[1]})' if named else ''}, "
            "and nothing else is unpickled",
            where=path,
            hint="save its state dict alone, best as safetensors",
        ) from err
    except MemoryError:
        raise
    except Exception as err:  # the unpickler raises whatever a foreign file makes it trip over
        raise InputError("not a checkpoint that torch can read, or a torn one", where=path) from err


def _read_safetensors(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    from safetensors import SafetensorError, safe_open

    demand_readable(path)
    try:
        with safe_open(path, framework="pt") as file:
            state = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            metadata = dict(file.metadata() or {})
    except (SafetensorError, OSError) as err:
        raise InputError(f"not a safetensors file, or a torn one: {err}", where=path) from err
    return state, {**metadata, **_of_a_run(metadata)}


def _of_a_run(metadata: Mapping[str, str]) -> dict[str, str]:
    """The backbone of a train-backbone run says in its own words what timm's files say in theirs."""
    try:
        ours = json.loads(metadata.get("ltfix", "{}"))
        model, values = str(ours["model"]), dict(ours["preprocess"])
        side = int(values.pop("image_size"))
    except (ValueError, KeyError, TypeError, OverflowError, RecursionError):
        return {}
    return {"timm_model": model, "pretrained_cfg": json.dumps({**values, "input_size": [3, side, side]})}


def _harmless() -> list[Any]:
    """What training code saves beside tensors: its arguments, and numbers that numpy made.

    The first is timm's own list; of the others, numpy 1 and 2 name the same function differently.
    """
    scalar: Any = np.float64(0).__reduce__()[0]
    kinds = [type(np.dtype(kind)) for kind in ("f2", "f4", "f8", "i4", "i8", "?")]
    spelled = [(scalar, f"numpy.{core}.multiarray.scalar") for core in ("core", "_core")]
    return [argparse.Namespace, np.dtype, *kinds, *spelled]


def _choose(content: Any, key: str | None, path: Path) -> tuple[dict[str, Tensor], str, list[str]]:
    """The state dict, where it was found and which others lie there."""
    begin = content if key is None else _at(content, key)
    if key is not None and begin is None:
        return _under_prefix(content, key)
    inner, way, left = _descend(begin)
    state = _tensors(inner)
    if not state:
        raise _no_state_dict(content, path)
    return state, ".".join([*([] if key is None else [key]), *way]), left


def _under_prefix(content: Any, key: str) -> tuple[dict[str, Tensor], str, list[str]]:
    """The tensors whose names begin with ``key``, within the state dict that is found without it."""
    inner, way, left = _descend(content)
    start = f"{key}."
    state = {n.removeprefix(start): v for n, v in _tensors(inner).items() if n.startswith(start)}
    if not state:
        known = [place for place, _ in _named_tensors(content) if place]
        raise UsageError(f"no tensors lie under {key!r}", where="checkpoint_key", hint=nearest(key, known))
    return state, ".".join([*way, key]), left


def _at(content: Any, key: str) -> Mapping[Any, Any] | None:
    """What lies under a key, or under its parts one below the other; None where that is no state dict."""
    if not isinstance(content, Mapping):
        return None
    if isinstance(content.get(key), Mapping):
        return content[key]  # type: ignore[no-any-return]
    for part in key.split("."):
        content = content.get(part) if isinstance(content, Mapping) else None
    return content if isinstance(content, Mapping) else None


def _descend(content: Any) -> tuple[Any, list[str], list[str]]:
    """Follow :data:`PLACES` inwards: what is found there, the way, and the state dicts left beside it."""
    way: list[str] = []
    left: list[str] = []
    while isinstance(content, Mapping) and len(way) < _DEEP:  # a dictionary can lie in itself
        for place in PLACES:
            if all(isinstance(content.get(key), Mapping) for key in place):
                break
        else:
            break
        left += [str(key) for key, value in content.items() if key not in place and _tensors(value)]
        way.append(" + ".join(place))
        content = content[place[0]] if len(place) == 1 else _joined(*(content[key] for key in place))
    return content, way, left


def _joined(body: Mapping[str, Any], classifier: Mapping[str, Any]) -> dict[str, Any]:
    """A body and a classifier that a file keeps apart, as one state dict."""
    named = {str(name).rpartition("module.")[2]: value for name, value in classifier.items()}
    return {**body, **{n if "." in n else f"classifier.{n}": value for n, value in named.items()}}


def _tensors(content: Any) -> dict[str, Tensor]:
    """The tensors directly under a mapping, by name."""
    if not isinstance(content, Mapping):
        return {}
    return {str(name): value for name, value in content.items() if isinstance(value, Tensor)}


def _named_tensors(content: Any) -> Iterator[tuple[str, int]]:
    """Every place of a file that holds tensors, and how many; each container once, however they nest."""
    todo: list[tuple[str, Any]] = [("", content)] if isinstance(content, Mapping | list | tuple) else []
    seen: set[int] = set()
    while todo and len(seen) < _MANY:
        place, value = todo.pop(0)
        if id(value) in seen:
            continue
        seen.add(id(value))
        entries = value.items() if isinstance(value, Mapping) else enumerate(value)
        inner = [(str(name), entry) for name, entry in entries]
        count = sum(isinstance(entry, Tensor) for _, entry in inner)
        if count:
            yield place, count
        todo += [
            (f"{place}.{name}".lstrip("."), entry)
            for name, entry in inner
            if isinstance(entry, Mapping | list | tuple)
        ]


def _no_state_dict(content: Any, path: Path) -> InputError:
    places = list(_named_tensors(content))
    named = [(place, count) for place, count in places if place]
    if named:
        told = some([f"{place} ({count})" for place, count in named])
        largest = max(named, key=lambda entry: entry[1])[0]
        what = f"no state dict at the usual places; tensors lie under {told}"
        return InputError(what, where=path, hint=f"choose by checkpoint_key={largest}")
    if places or isinstance(content, Tensor):
        return InputError("the checkpoint's tensors have no names", where=path, hint="save a state dict")
    return InputError("the checkpoint holds no tensors", where=path)


def _without(state: dict[str, Tensor], ignore: Sequence[str]) -> dict[str, Tensor]:
    """The tensors whose name, with or without a wrapper's prefix, no pattern matches."""
    for pattern in ignore:
        kept = {name: value for name, value in state.items() if not _matches(name, pattern)}
        if len(kept) == len(state):
            raise UsageError(
                f"no tensor's name matches {pattern!r}", where="ignore_tensors", hint=nearest(pattern, state)
            )
        state = kept
    return state


def _matches(name: str, pattern: str) -> bool:
    while not fnmatch.fnmatchcase(name, pattern):
        prefix = next((prefix for prefix in WRAPPERS if name.startswith(prefix)), None)
        if prefix is None:
            return False
        name = name.removeprefix(prefix)
    return True


def _demand_plain(name: str, value: Tensor, path: Path) -> None:
    """Refuse tensors that are not a block of real numbers (InputError)."""
    if value.is_meta:
        fault = "has no data"
    elif value.layout is not torch.strided or value.is_nested:
        fault = "is sparse or nested"
    elif value.is_quantized or value.is_complex():
        fault = f"holds {value.dtype}"
    elif value.nbytes > max(value.untyped_storage().nbytes(), _EXPANDED):
        fault = f"claims {value.nbytes} bytes, more than the file has"
    else:
        return
    raise InputError(f"the checkpoint's {name} {fault}", where=path, hint="save it as a plain tensor")


def some(names: Sequence[str]) -> str:
    """A few names, and how many more."""
    rest = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + rest
