"""``train_backbone``: from images to a run folder that `extract` reads."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ltfix.compute import use_threads
from ltfix.evaluation.scores import shot_accuracy
from ltfix.extraction.decode import available_workers
from ltfix.heads.head import STAGE1, Head
from ltfix.images.split import Split
from ltfix.progress import SILENT, Progress
from ltfix.stage1 import augment, events, recipes
from ltfix.stage1 import state as checkpoint
from ltfix.stage1 import trainee as network
from ltfix.stage1.average import MovingAverage
from ltfix.stage1.distributed import Processes, joined
from ltfix.stage1.heads import CosineClassifier
from ltfix.stage1.loop import EpochResult, Pace, Trainer, predict
from ltfix.stage1.objectives import build_objective
from ltfix.stage1.optimise import build_sgd
from ltfix.stage1.preparation import Data, Plan, make_plan, versions
from ltfix.stage1.run_folder import Run, RunFolder
from ltfix.stage1.schedule import rate_at
from ltfix.stage1.streams import ImageStream, open_stream

VAL_BATCH = 256
_PACE = ("sampler", "batch_size", "accumulate", "epochs", "clip_grad")


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
    tensorboard: bool = False,
    progress: Progress = SILENT,
    **values: Any,
) -> Run:
    """Train a backbone and its classifier from images, and return the finished run.

    An unfinished run in ``out`` is continued where its last epoch ended and gives the same weights as
    one that was never interrupted (bit by bit on a CPU with equal threads). Where the data has a split
    ``val``, its accuracy is noted after every epoch; nothing is chosen by it, the last epoch is kept.
    Under ``torchrun`` every process takes an equal part of each batch of ``batch_size`` images, so an
    update is the same for any number of processes but for batch norm, which sees a process's own part.

    Args:
        data: images, as `extract` takes them: a folder, ``list:FILE``, ….
        out: the run folder.
        model: a timm name or ``torchvision:NAME``.
        recipe: a name of :func:`ltfix.stage1.recipes.recipes`.
        preset: "cifar", "imagenet-lt" or "inat"; default: by image size and K.
        split: the split to train on.
        root, classes: where a list's paths start; class names in index order, or a file of them.
        imbalance_factor, imbalance_seed, limit: cut to the exponential profile; at most so many images.
        pretrained, checkpoint: start from the model's own weights, or from a file.
        model_args, preprocess: for its constructor; image_size, crop_pct, mean, std, interpolation.
        seed: of everything random.
        device: "auto", "cpu", "cuda", "cuda:N" or "mps".
        threads: CPU threads.
        workers: decoding processes where the images are not resident; None: one per CPU.
        overwrite, resume: replace a run that is there; demand an unfinished one.
        tensorboard: write event files into the run folder too.
        progress: told of images and epochs.
        values: of the recipe: epochs, lr, batch_size, weight_decay, augment, precision, ….

    Raises:
        UsageError: unknown names or values, a finished run in ``out``, nothing to resume.
        InputError: images, a checkpoint or an unfinished run that do not fit; a loss that diverges.
        EnvironmentFault: no such device or precision; ``out`` cannot be written.
    """
    use_threads(threads)
    chosen = recipes.find_recipe(recipe)
    if tensorboard:
        events.demand()
    with joined(device) as (processes, place):
        images = Data(data, split, root, classes, imbalance_factor, imbalance_seed, limit).open()
        start = network.build(
            model,
            n_classes=images[0].n_classes,
            heads=chosen.heads,
            kind=chosen.head,
            pretrained=pretrained,
            checkpoint=checkpoint,
            model_args=model_args,
            preprocess=preprocess,
            seed=seed,
        )
        plan = make_plan(chosen, images, start, preset=preset, given=values, seed=seed, device=place)
        training = _Training(plan, processes, workers, progress if processes.first else SILENT)
        return training.run(Path(out), overwrite=overwrite, resume=resume, tensorboard=tensorboard)


class _Training:
    """One run from its plan to its published folder, in one process of possibly several."""

    def __init__(self, plan: Plan, processes: Processes, workers: int | None, progress: Progress) -> None:
        self.plan, self.processes, self.progress = plan, processes, progress
        self.workers = available_workers() // processes.size if workers is None else workers

    def run(self, out: Path, *, overwrite: bool, resume: bool, tensorboard: bool) -> Run:
        plan, processes, progress = self.plan, self.processes, self.progress
        folder = processes.by_first(lambda: RunFolder(out, plan.decides, overwrite=overwrite, resume=resume))
        info = plan.describe(processes.size)
        trainer, done = self._trainer(), 0
        if folder.checkpoint is not None:
            done = folder.checkpoint.epoch
            checkpoint.restore(folder.checkpoint, trainer.trainee, trainer.optimizer, **_state(trainer))
            progress.note(f"resuming {folder.path} after epoch {done} of {plan.values['epochs']}")
        if processes.first:
            folder.begin(info)
        told = events.Events(out, done) if tensorboard and processes.first else None
        self._epochs(trainer, folder, done, told)
        if told is not None:
            told.close()
        info["provenance"]["seconds"] = round(sum(entry["seconds"] for entry in folder.metrics), 3)
        with _kept(trainer):
            return processes.by_first(lambda: self._publish(folder, info))

    def _epochs(self, trainer: Trainer, folder: RunFolder, done: int, told: events.Events | None) -> None:
        """The epochs that remain, each committed."""
        plan, progress, epochs = self.plan, self.progress, self.plan.values["epochs"]
        val = None
        if plan.val is not None and self.processes.first:
            val = self._stream(plan.val, (), 0)
        progress.start(f"train {plan.start.name}", (epochs - done) * len(plan.train), "images")
        for epoch in range(done, epochs):
            rate = rate_at(epoch, plan.values)
            entry = _entry(epoch, rate, trainer.epoch(epoch, rate, progress))
            if plan.val is not None and val is not None:
                with _kept(trainer):
                    entry["val"] = self._validate(trainer, val, plan.val)
            progress.note(_line(entry, epochs))
            if self.processes.first:
                state = checkpoint.capture(
                    epoch + 1, plan.decides, trainer.trainee, trainer.optimizer, **_state(trainer)
                )
                folder.commit(entry, state)
                if told is not None:
                    told.write(entry)
        progress.finish()

    def _validate(self, trainer: Trainer, val: ImageStream, split: Split) -> dict[str, float | None]:
        head, counts = self.plan.recipe.test_head, self.plan.train.counts
        found = predict(
            trainer.trainee, val, len(split), batch_size=VAL_BATCH, test_head=head, compute=self.plan.compute
        )
        return shot_accuracy(found, split.labels, counts)

    def _publish(self, folder: RunFolder, info: dict[str, Any]) -> Run:
        heads = self.plan.start.head_arrays()
        return folder.publish(info, self.plan.start.backbone_arrays(), _classifier(self.plan, heads), heads)

    def _trainer(self) -> Trainer:
        plan, values, compute = self.plan, self.plan.values, self.plan.compute
        trainee = compute.place(plan.start.trainee)
        optimizer = build_sgd(trainee, values)
        if values["compile"]:
            trainee.extractor.compile()
        pace = Pace(**{key: values[key] for key in _PACE}, seed=plan.seed)
        return Trainer(
            trainee=trainee,
            optimizer=optimizer,
            objective=build_objective(plan.recipe, values, plan.train.counts, compute.device),
            images=self._stream(plan.train, augment.parse(values["augment"]), values["crop_pad"]),
            labels=plan.train.labels,
            pace=pace,
            compute=compute,
            processes=self.processes,
            average=MovingAverage(trainee, values["ema"]) if values["ema"] else None,
        )

    def _stream(self, split: Split, names: tuple[str, ...], crop_pad: int) -> ImageStream:
        return open_stream(
            split,
            self.plan.start.preprocess,
            names=names,
            crop_pad=crop_pad,
            device=self.plan.compute.device,
            memory_format=self.plan.compute.memory_format,
            workers=self.workers,
            progress=self.progress,
        )


def _kept(trainer: Trainer) -> contextlib.AbstractContextManager[None]:
    """The network as it is kept: its average where there is one."""
    return contextlib.nullcontext() if trainer.average is None else trainer.average.applied()


def _state(trainer: Trainer) -> dict[str, Any]:
    """What a checkpoint holds besides the network and its optimizer."""
    return {"average": trainer.average, "scaler": trainer.scaler}


def _entry(epoch: int, rate: float, result: EpochResult) -> dict[str, Any]:
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
    """The test head as a head file has it."""
    test = plan.recipe.test_head
    module = plan.start.trainee.heads[test]
    weight, bias, transform = heads[f"{test}.weight"], heads.get(f"{test}.bias"), None
    if isinstance(module, CosineClassifier):
        rows, zeros, transform = module.head()
        weight, bias = rows.cpu().numpy(), zeros.cpu().numpy()
    return Head(
        weight=weight,
        bias=np.zeros(len(weight), np.float32) if bias is None else bias,
        method=STAGE1,
        classes=plan.train.classes,
        counts=plan.train.counts,
        transform=transform,
        meta={"recipe": plan.recipe.name, "test_head": test, "seed": plan.seed, "versions": versions()},
    )
