"""How often the samples of a class are forgotten in training (Toneva et al., ICLR 2019)."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from ltfix.stage1.distributed import Processes


class Forgetting:
    """Counts by class how many samples were right when last trained on and are wrong now.

    Summed over the epochs and divided by a class's samples it is the mean number of times that one of them
    was forgotten. A sample that is never learned is never forgotten.

    Args:
        labels: [N] int64. n_classes: K. device: where the counting is done.

    Attributes:
        right: [N] bool, the samples that were right when last seen (both times, of one twice in a batch).
    """

    def __init__(self, labels: np.ndarray, n_classes: int, device: torch.device) -> None:
        self.labels = torch.from_numpy(labels).to(device)
        self.right = torch.zeros(len(labels), dtype=torch.bool, device=device)
        self.lost = torch.zeros(n_classes, dtype=torch.int64, device=device)
        self._before = self.right.clone()

    def see(self, rows: Tensor, right: Tensor) -> None:
        """A batch's samples [B], and which of them are right [B]."""
        lost = self.right[rows] & ~right
        self.lost.index_add_(0, self.labels[rows], lost.long())
        self.right[rows] = True  # equal writes, so that their order does not matter
        self.right[rows[~right]] = False

    def end_epoch(self, processes: Processes) -> list[int]:
        """[K] samples forgotten since the last call, of all processes; what each saw is then known to all."""
        lost, self.lost = processes.sum(self.lost), torch.zeros_like(self.lost)
        if processes.size > 1:
            moved = processes.sum(self.right.long() - self._before.long())
            self.right = (self._before.long() + moved) > 0
        self._before = self.right.clone()
        counts: list[int] = lost.tolist()
        return counts

    def load(self, right: Tensor) -> None:
        """Go on from what an interrupted run knew."""
        self.right.copy_(right.bool())
        self._before.copy_(self.right)
