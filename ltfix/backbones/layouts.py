"""From the names and shapes of a foreign state dict to the model's own."""

from __future__ import annotations

import dataclasses
import fnmatch
import re
from collections import OrderedDict
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from ltfix.backbones.checkpoint import WRAPPERS, Checkpoint, some
from ltfix.errors import InputError

State = Mapping[str, Tensor]
Adapt = Callable[[dict[str, Tensor], int], dict[str, Tensor]]

RESPELLED = ((re.compile(r"(denselayer\d+\.(?:norm|conv))\.(?=[12]\.)"), r"\1"),)
"""Names that their own library has changed since: torchvision's DenseNets were published with ``norm.1``."""
TRAINING_ONLY = (
    "n_averaged",  # SWA
    "*total_ops",  # profilers
    "*total_params",
    "contrast_head.*",  # GLMC, SAMN
    "projection_head.*",
    "head_fc.*",  # BCL, ProCo
    "encoder_k.*",  # MoCo, PaCo
    "queue",
    "queue_*",
    "aux1.*",  # GoogLeNet and Inception's auxiliary classifiers
    "aux2.*",
    "AuxLogits.*",
)
"""Left out where the model has no such tensors."""
CLASSIFIERS = ("fc_cb", "fc", "linear", "head", "classifier", "last_linear")
"""What a classifier may be called besides the model's own name for it."""
_TESTED = "fc_cb"  # of two classifiers, the one that GLMC's and SAMN's code tests with
_COUNTERS = ".num_batches_tracked"


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class Loaded:
    """What loading a checkpoint left to tell.

    Attributes:
        head: (weight [K, D], bias [K]) float32 of the checkpoint's classifier, or None where it has none.
        notes: what was taken and what was left, one line each.
    """

    head: tuple[Tensor, Tensor] | None
    notes: list[str]


def load_weights(
    model: nn.Module, checkpoint: Checkpoint, classifiers: Collection[str], adapt: Adapt | None = None
) -> Loaded:
    """Load all but the classifier into ``model``, in its own dtype, and return the classifier.

    Args:
        model: the network; its buffers and parameters outside ``classifiers`` are overwritten.
        checkpoint: names may carry the prefixes :data:`WRAPPERS`.
        classifiers: the names of the model's own classifier modules.
        adapt: the library's own way from a state dict (of a classifier of K rows, or 0) that does not
            fit to one that does: position embeddings of another size, names of the original code.

    Raises:
        InputError: a missing or unexpected tensor other than the classifier's, or one of another shape.
    """
    body = {n: value for n, value in model.state_dict().items() if not _below(n, classifiers)}
    names = [name for name in (*classifiers, *CLASSIFIERS) if not any(_below(key, [name]) for key in body)]
    state = _renamed(checkpoint, body, names)
    left = [n for n in state if n not in body and any(fnmatch.fnmatchcase(n, p) for p in TRAINING_ONLY)]
    state = {name: value for name, value in state.items() if name not in left}
    head = _head(state, names)
    given = {name: value for name, value in state.items() if not _below(name, names)}
    notes = list(checkpoint.notes)
    fault = _misfit(body, given, checkpoint)
    if fault is not None:
        theirs = _head(state, [*names, *CLASSIFIERS])  # in the original code's names, too
        rows = 0 if theirs is None else len(state[f"{theirs}.weight"])
        fitting = (
            None if adapt is None else _adapted(body, _own_head(state, head, body, classifiers), rows, adapt)
        )
        if fitting is None:
            raise fault
        notes.append(_told_adapted(given, fitting))
        state, given, head = (
            fitting,
            {name: fitting[name] for name in body},
            _head(fitting, list(classifiers)),
        )
    if head is not None:
        told = classifiers if head in classifiers else [head]
        left += [name for name in state if _below(name, names) and not _below(name, told)]
        notes += [] if head in classifiers else [f"the classifier of {checkpoint.path.name} is {head}"]
    put_state(model, given, strict=False)
    if left:
        notes.append(f"left out of {checkpoint.path.name}: {some(list(dict.fromkeys(map(_group, left))))}")
    return Loaded(None if head is None else _classifier(state, head), notes)


def put_state(model: nn.Module, tensors: State, *, strict: bool = True) -> None:
    """``load_state_dict`` of tensors that are known to have this version's names.

    A file keeps no versions of modules, without which torchvision's MNASNet does not load.

    Raises:
        RuntimeError: names (where ``strict``) or shapes are not the model's.
    """
    state: Any = OrderedDict(tensors)
    state._metadata = getattr(model.state_dict(), "_metadata", {})
    model.load_state_dict(state, strict=strict)


def _group(name: str) -> str:
    """What a tensor is told as: its outermost module, or its own name where every module has one."""
    last = name.rpartition(".")[2]
    return last if last.startswith("total_") else name.partition(".")[0]


def _renamed(checkpoint: Checkpoint, body: Collection[str], heads: Collection[str]) -> dict[str, Tensor]:
    state: dict[str, Tensor] = {}
    for given, value in checkpoint.state.items():
        name = _own_name(given, body, heads)
        if name in state:
            raise InputError(f"two tensors of the checkpoint are {name}", where=checkpoint.path)
        state[name] = value
    return state


def _own_name(name: str, body: Collection[str], heads: Collection[str]) -> str:
    """A name without wrappers' prefixes, spelled as the model does; foreign names lose the prefixes only."""
    while name not in body and not _below(name, heads):
        for pattern, spelling in RESPELLED:
            if (respelled := pattern.sub(spelling, name)) in body:
                return respelled
        prefix = next((prefix for prefix in WRAPPERS if name.startswith(prefix)), None)
        if prefix is None:
            break
        name = name.removeprefix(prefix)
    return name


def _below(name: str, modules: Collection[str]) -> bool:
    return any(name.startswith(f"{module}.") for module in modules)


def _head(state: State, names: Sequence[str]) -> str | None:
    """The classifier among those names: a linear layer or a 1×1 convolution, which is one too."""

    def linear(name: str) -> bool:
        weight = state.get(f"{name}.weight")
        return weight is not None and (weight.ndim == 2 or (weight.ndim == 4 and weight.shape[2:] == (1, 1)))

    found = [name for name in names if linear(name)]
    return _TESTED if _TESTED in found else found[0] if found else None


def _classifier(state: State, name: str) -> tuple[Tensor, Tensor]:
    weight = state[f"{name}.weight"].flatten(1)
    return weight.float(), state.get(f"{name}.bias", torch.zeros(len(weight))).float()


def _misfit(body: State, given: State, checkpoint: Checkpoint) -> InputError | None:
    """What is wrong with a state dict for this model; None: it fits."""
    missing = [name for name in body if name not in given and not name.endswith(_COUNTERS)]
    unexpected = [name for name in given if name not in body]
    hint = None
    if missing or unexpected:
        prefixes = _common_prefixes(checkpoint.state, body) if missing else []
        if prefixes:
            what = f"the model's tensors are there under the prefix {' and again under '.join(prefixes)}"
            hint = f"choose by checkpoint_key={prefixes[0].rstrip('.')}"
        else:
            told = (("missing", missing), ("unexpected", unexpected))
            what = "; ".join(f"{kind} {some(names)}" for kind, names in told if names)
            what = f"the checkpoint is of another architecture: {what}"
            hint = None if missing else "leave tensors out by ignore_tensors=PATTERN"
        return InputError(what, where=checkpoint.path, hint=hint)
    for name, value in given.items():
        if value.shape != body[name].shape:
            return InputError(
                f"the checkpoint is of another architecture: {name} is {list(value.shape)}, "
                f"the model's {list(body[name].shape)}",
                where=checkpoint.path,
            )
    return None


def _common_prefixes(names: Collection[str], body: Collection[str]) -> list[str]:
    """The prefixes before which a file has every tensor of the model."""
    wanted = [name for name in body if not name.endswith(_COUNTERS)]
    if not wanted:
        return []
    longest = max(wanted, key=len)
    found = sorted({n.removesuffix(longest) for n in names if n.endswith(f".{longest}")})
    return [prefix for prefix in found if all(prefix + name in names for name in wanted)]


def _own_head(state: State, head: str | None, body: State, own: Collection[str]) -> dict[str, Tensor]:
    """The state dict with its classifier under the model's name for it, if the body's names are its."""
    if head is None or head in own or not own or any(name not in state for name in body):
        return dict(state)
    name = next(iter(own))
    return {f"{name}{key.removeprefix(head)}" if _below(key, [head]) else key: v for key, v in state.items()}


def _adapted(body: State, state: dict[str, Tensor], rows: int, adapt: Adapt) -> dict[str, Tensor] | None:
    """The state dict as the model's own library makes it fit; None where it cannot."""
    try:
        fitting = adapt(state, rows)
    except Exception:  # whatever foreign tensors make the library trip over: it does not fit
        return None
    fits = all(name in fitting and fitting[name].shape == value.shape for name, value in body.items())
    return fitting if fits else None


def _told_adapted(given: State, fitting: State) -> str:
    changed = [
        name for name, value in given.items() if name in fitting and fitting[name].shape != value.shape
    ]
    if changed:
        return f"resampled to this image size, as the model's library does: {some(changed)}"
    return "the original code's names are translated, as the model's library does"
