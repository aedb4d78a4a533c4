"""``train_backbone``: from images to a run folder that `extract` reads."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ltfix.backbones.device import resolve_device, use_threads
from ltfix.evaluation.scores import shot_accuracy
from ltfix.heads.head import STAGE1, Head
from ltfix.images.split import Split
from ltfix.progress import SILENT, Progress
from ltfix.stage1 import augment, checkpoint, network, recipes
from ltfix.stage1.batches import ImageStream, open_stream
from ltfix.stage1.loop import EpochResult, Trainer, predict
from ltfix.stage1.plan import Data, Plan, make_plan, versions
from ltfix.stage1.run import Run, RunFolder
from ltfix.stage1.schedule import rate_at
from ltfix.stage2.losses import build_loss

VAL_BATCH = 256


def train_backbone(
    data: str | Path,
    *,
    out: str | Path,
    model: str = "cifar_resnet32",
    recipe: str = "ce",
    preset: str | None = None,
    split: str = "train",
    root: str | Path | None = None,
    classes: str | Path | Sequence[str] | None = None,
    imbalance_factor: float | None = None,
    imbalance_seed: int = 0,
    limit: int | None = None,
    pretrained: bool = False,
    checkpoint: str | Path | None = None,
    model_args: Mapping[str, Any] | None = None,
    preprocess: Mapping[str, Any] | None = None,
    seed: int = 0,
    device: str = "auto",
    threads: int | None = None,
    workers: int | None = None,
    overwrite: bool = False,
    resume: bool = False,
    progress: Progress = SILENT,
    **values: Any,
) -> Run:
    """Train a backbone and its classifier from images.

    An unfinished run in ``out`` is continued where its last epoch ended and gives the same weights as
    one that was never interrupted (bit by bit on a CPU with equal threads). Where the data has a split
    ``val``, its accuracy is noted after every epoch; nothing is chosen by it, the last epoch is kept.

    Args:
        data: images, as `extract` takes them: a folder, ``list:FILE``, ….
        out: the run folder.
        model: a timm name or ``torchvision:NAME``.
        recipe: a name of :func:`ltfix.stage1.recipes.recipes`.
        preset: "cifar", "imagenet-lt" or "inat"; default: by image size and K.
        split: the split to train on.
        root: the folder that a list's paths start from.
        classes: class names in index order, or a file of them.
        imbalance_factor, imbalance_seed: cut the split to the exponential profile first.
        limit: at most so many images.
        pretrained, checkpoint: start from the model's own weights, or from a file.
        model_args: for the model's constructor.
        preprocess: overrides: image_size, crop_pct, mean, std, interpolation.
        seed: of everything random.
        device: "auto", "cpu", "cuda", "cuda:N" or "mps".
        threads: CPU threads.
        workers: decoding processes where the images are not resident; None: one per CPU.
        overwrite: replace a run that is there.
        resume: demand an unfinished run.
        progress: told of images and epochs.
        values: of the recipe: epochs, lr, batch_size, weight_decay, augment, ….

    Returns:
        The finished run.

    Raises:
        UsageError: unknown names or values, a finished run in ``out``, nothing to resume.
        InputError: images, a checkpoint or an unfinished run that do not fit; a loss that diverges.
        EnvironmentFault: no such device; ``out`` cannot be written.
    """
    use_threads(threads)
    place = resolve_device(device)
    chosen = recipes.find_recipe(recipe)
    images = Data(data, split, root, classes, imbalance_factor, imbalance_seed, limit).open()
    start = network.build(
        model,
        n_classes=images[0].n_classes,
        heads=(chosen.test_head,),
        pretrained=pretrained,
        checkpoint=checkpoint,
        model_args=model_args,
        preprocess=preprocess,
        seed=seed,
    )
    plan = make_plan(chosen, images, start, preset=preset, given=values, seed=seed)
    folder = RunFolder(Path(out), plan.decides, overwrite=overwrite, resume=resume)
    return _Training(plan, folder, place, workers, progress).run()


class _Training:
    """One run from its plan to its published folder."""

    def __init__(
        self, plan: Plan, folder: RunFolder, device: torch.device, workers: int | None, progress: Progress
    ) -> None:
        self.plan, self.folder, self.device, self.progress = plan, folder, device, progress
        self.workers = len(os.sched_getaffinity(0)) if workers is None else workers

    def run(self) -> Run:
        plan, folder, progress = self.plan, self.folder, self.progress
        info = plan.describe(self.device)
        trainer, done = self._trainer(), 0
        if folder.checkpoint is not None:
            done = folder.checkpoint.epoch
            checkpoint.restore(folder.checkpoint, trainer.trainee, trainer.optimizer)
            progress.note(f"resuming {folder.path} after epoch {done} of {trainer.epochs}")
        folder.begin(info)
        val = None if plan.val is None else self._stream(plan.val, (), 0)
        progress.start(f"train {plan.start.name}", (trainer.epochs - done) * len(plan.train), "images")
        for epoch in range(done, trainer.epochs):
            rate = rate_at(epoch, plan.values)
            entry = self._entry(epoch, rate, trainer.epoch(epoch, rate, progress))
            if plan.val is not None and val is not None:
                found = predict(trainer.trainee, val, len(plan.val), VAL_BATCH, trainer.test_head)
                entry["val"] = shot_accuracy(found, plan.val.labels, plan.train.counts)
            progress.note(_line(entry, trainer.epochs))
            state = checkpoint.capture(epoch + 1, plan.decides, trainer.trainee, trainer.optimizer)
            folder.commit(entry, state)
        progress.finish()
        info["provenance"]["seconds"] = round(sum(entry["seconds"] for entry in folder.metrics), 3)
        heads = plan.start.head_arrays()
        return folder.publish(info, plan.start.backbone_arrays(), _classifier(plan, heads), heads)

    def _trainer(self) -> Trainer:
        plan, values, head = self.plan, self.plan.values, self.plan.recipe.test_head
        trainee = plan.start.trainee.to(self.device)
        loss = build_loss(plan.recipe.loss, torch.from_numpy(plan.train.counts), [values], device=self.device)
        return Trainer(
            trainee=trainee,
            optimizer=torch.optim.SGD(
                trainee.parameters(),
                lr=values["lr"],
                momentum=values["momentum"],
                nesterov=values["nesterov"],
                weight_decay=values["weight_decay"],
            ),
            images=self._stream(plan.train, augment.parse(values["augment"]), values["crop_pad"]),
            objective=lambda features, logits, labels: loss.value(logits[head][:, None], labels)[0],
            labels=plan.train.labels,
            sampler=values["sampler"],
            batch_size=values["batch_size"],
            epochs=values["epochs"],
            test_head=head,
            seed=plan.seed,
            device=self.device,
        )

    def _stream(self, split: Split, names: tuple[str, ...], crop_pad: int) -> ImageStream:
        return open_stream(
            split,
            self.plan.start.preprocess,
            names=names,
            crop_pad=crop_pad,
            device=self.device,
            workers=self.workers,
            progress=self.progress,
        )

    def _entry(self, epoch: int, rate: float, result: EpochResult) -> dict[str, Any]:
        return {
            "epoch": epoch + 1,
            "lr": rate,
            "loss": result.loss,
            "train_accuracy": result.accuracy,
            "images_per_second": round(result.images / result.seconds, 1),
            "seconds": round(result.seconds, 3),
        }


def _line(entry: Mapping[str, Any], epochs: int) -> str:
    """An epoch's metrics in one line, accuracies in percent."""
    parts = [
        f"epoch {entry['epoch']}/{epochs}: loss {entry['loss']:.3f}",
        f"train {100 * entry['train_accuracy']:.1f} %",
        *([f"val {100 * entry['val']['all']:.1f} %"] if "val" in entry else []),
        f"lr {entry['lr']:.3g}",
        f"{entry['images_per_second']:.0f} images/s",
    ]
    return ", ".join(parts)


def _classifier(plan: Plan, heads: Mapping[str, np.ndarray]) -> Head:
    test = plan.recipe.test_head
    return Head(
        weight=heads[f"{test}.weight"],
        bias=heads[f"{test}.bias"],
        method=STAGE1,
        classes=plan.train.classes,
        counts=plan.train.counts,
        meta={"recipe": plan.recipe.name, "test_head": test, "seed": plan.seed, "versions": versions()},
    )
