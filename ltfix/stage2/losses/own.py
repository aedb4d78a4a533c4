"""A loss that is a plain function of logits and labels, differentiated by autograd."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from ltfix.errors import UsageError
from ltfix.stage2.losses.loss import Settings
from ltfix.stage2.methods.own import own_loss, parameters, told


class Autograd:
    """A function of logits [n, K] and labels [n] that gives their mean loss, called for each run and setting.

    Args:
        function: it gets the training counts [K] too where it has a parameter ``counts``.
        settings: the class counts, and the values of each setting.

    Raises:
        UsageError: it fails on two samples, gives no single number, or one that autograd cannot follow.
    """

    def __init__(self, function: Callable[..., Any], settings: Settings) -> None:
        self.function, self.name = function, getattr(function, "__name__", type(function).__name__)
        counts = settings.table(lambda n: n.astype(float))[0]
        takes = {"counts", *own_loss(function).values} & parameters(function).keys()
        given = [{"counts": counts, **values} for values in settings.values]
        self.more = [{name: values[name] for name in takes & values.keys()} for values in given]
        z = counts.new_zeros(2, 1, len(counts), requires_grad=True)
        y = torch.tensor([0, len(counts) - 1], device=z.device)
        with torch.enable_grad():
            found = self._of(z[:, 0], y, 0)
        if not found.requires_grad:
            raise self._wrong("autograd does not lead from what it gives to the logits")
        hit = 10 * torch.nn.functional.one_hot(y, len(counts)).to(z)
        wrong = self._of(-hit, y, 0)
        self.is_reversed = bool(self._of(hit, y, 0) > wrong)  # of the wrong sign, most likely
        twice = self._of(-hit.repeat(2, 1), y.repeat(2), 0)
        self.is_summed = bool(torch.isclose(twice, 2 * wrong) & (wrong != 0) & wrong.isfinite())

    def value(self, z: Tensor, y: Tensor) -> Tensor:
        """Mean loss per setting, [..., M]."""
        runs, labels = z.reshape(-1, *z.shape[-3:]), y.reshape(-1, y.shape[-1])
        found = [
            self._of(x[:, m], t, m) for x, t in zip(runs, labels, strict=True) for m in range(x.shape[1])
        ]
        return torch.stack(found).reshape(*z.shape[:-3], z.shape[-2])

    def grad_(self, z: Tensor, y: Tensor) -> Tensor:
        """B · ∂value/∂z."""
        with torch.enable_grad():
            z = z.detach().requires_grad_()
            (grad,) = torch.autograd.grad(self.value(z, y).sum(), z)
        return grad.mul_(z.shape[-3])

    def _of(self, z: Tensor, y: Tensor, m: int) -> Tensor:
        try:
            found = self.function(z, y, **self.more[m])
        except Exception as err:
            code = getattr(self.function, "__code__", getattr(type(self.function).__call__, "__code__", None))
            why = told(err, getattr(code, "co_filename", ""))
            raise self._wrong(f"it fails on logits {list(z.shape)}, labels {list(y.shape)}: {why}") from err
        if not isinstance(found, Tensor) or found.numel() != 1:
            shape = list(found.shape) if isinstance(found, Tensor) else type(found).__name__
            what = f"it gives {shape}, not a torch tensor of one number: the mean loss of the samples"
            raise self._wrong(what)
        return found.reshape(())

    def _wrong(self, what: str) -> UsageError:
        return UsageError(f"the loss {self.name}: {what}", where="loss")
