"""SGD with momentum over parameters [S, M, ...]: S seeds and M settings side by side."""

from __future__ import annotations

import dataclasses

from torch import Tensor

Number = float | Tensor


@dataclasses.dataclass(slots=True)
class Sgd:
    """g ← g + λθ, v ← μv + g, θ ← θ − ηv: no dampening, no Nesterov, as the published recipes have it.

    Attributes:
        rate: η of the running epoch, one number or [M].
        momentum: μ. weight_decay: λ (L2, not decoupled), one number or [M].
    """

    rate: Number
    momentum: float
    weight_decay: Number = 0.0

    def update(
        self,
        parameter: Tensor,
        velocity: Tensor,
        gradient: Tensor,
        *,
        batch: int,
        axis: int = 1,
        decay: bool = True,
    ) -> None:
        """One step; ``gradient`` is a sum over ``batch`` samples, ``decay=False`` spares the parameter λ.

        Args:
            axis: where the M settings lie.
        """
        velocity.mul_(self.momentum).add_(gradient, alpha=1 / batch)
        self.finish(parameter, velocity, axis=axis, decay=decay)

    def finish(self, parameter: Tensor, velocity: Tensor, *, axis: int = 1, decay: bool = True) -> None:
        """The end of a step whose ``velocity`` already holds μv + g without decay."""
        if decay and not (isinstance(self.weight_decay, float) and self.weight_decay == 0):
            add_scaled_(velocity, parameter, self.weight_decay, axis)
        add_scaled_(parameter, velocity, -self.rate, axis)


def add_scaled_(target: Tensor, other: Tensor, factor: Number, axis: int = 1) -> None:
    """target += factor · other, with one factor for all or one a setting."""
    if isinstance(factor, Tensor):
        target.addcmul_(other, factor.view(-1, *[1] * (target.dim() - 1 - axis)))
    else:
        target.add_(other, alpha=factor)
