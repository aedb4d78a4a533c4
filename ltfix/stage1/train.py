"""``train_backbone``: from images to a run folder that `extract` reads."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ltfix import files
from ltfix.backbones import augment
from ltfix.compute import available_cpus, use_threads
from ltfix.evaluation.metrics import shot_accuracy
from ltfix.heads.head import STAGE1, Head
from ltfix.images.split import Split
from ltfix.progress import SILENT, Progress, listener
from ltfix.public import public
from ltfix.stage1 import events
from ltfix.stage1.average import MovingAverage
from ltfix.stage1.distributed import Processes, joined
from ltfix.stage1.images import Images, open_images
from ltfix.stage1.loop import Trainer, predict
from ltfix.stage1.objectives import build_objective
from ltfix.stage1.optimise import build_optimizer, rate_at
from ltfix.stage1.preparation import Plan, prepare_training, versions
from ltfix.stage1.request import TrainingRequest
from ltfix.stage1.run_folder import Run, RunFolder
from ltfix.stage1.state import capture, restore
from ltfix.stage1.streams import ImageStream, open_stream
from ltfix.stage1.trainee import CosineClassifier, arrays_of


@public
def train_backbone(
    data: str | Path,
    *,
    out: str | Path,
    model: str = "cifar_resnet32",
    recipe: str = "ce",
    preprocess: Mapping[str, Any] | None = None,
    progress: Progress | bool = SILENT,
    **options: Any,
) -> Run:
    """Train a backbone and its classifier from images, and return the finished run.

    An unfinished run in ``out`` is continued where its last epoch ended and gives the same weights as
    one that was never interrupted (bit by bit on a CPU with equal threads). Where the data has a split
    ``val``, its accuracy is noted after every epoch; nothing is chosen by it, the last epoch is kept.
    Under ``torchrun`` every process takes an equal part of each batch of ``batch_size`` images, so an
    update is the same for any number of processes but for batch norm, which sees a process's own part.

    For example::

        run = ltfix.train_backbone("photos", model="resnet18", recipe="balanced-softmax", out="runs/mine")
        ltfix.extract("photos", backbone=str(run.path))

    Args:
        data: images, as `extract` takes them: a folder, ``list:FILE``, ….
        out: the run folder.
        model: a timm name or ``torchvision:NAME``.
        recipe: a name of :func:`ltfix.stage1.recipes.recipes`.
        preprocess: image_size, crop_pct, mean, std, interpolation, where they are not options of their own.
        progress: told of images and epochs; True shows a bar.
        options: further fields of :class:`TrainingRequest`, and values of the recipe: epochs, lr, ….

    Raises:
        UsageError: unknown names or values, a finished run of other ones in ``out``, nothing to resume.
        InputError: images, a checkpoint or an unfinished run that do not fit; a loss that diverges.
        EnvironmentFault: no such device or precision; ``out`` cannot be written.
    """
    given = {**options, **(preprocess or {})}
    request = TrainingRequest.of(data=data, out=out, model=model, recipe=recipe, **given)
    return train(request, open_images(request), listener(progress))


def train(request: TrainingRequest, images: Images, progress: Progress = SILENT) -> Run:
    """Run a request for :func:`train_backbone` to its end, in this process of possibly several."""
    use_threads(request.threads)
    if request.tensorboard:
        events.demand()
    with joined(request.device) as (processes, device):
        plan = prepare_training(request, images, device)
        progress = progress if processes.first else SILENT
        for split in filter(None, (plan.train, plan.val)):
            for note in split.notes:
                progress.note(note)
        return _Training(plan, processes, progress).run()


class _Training:
    """One run from its plan to its published folder, in one process of possibly several."""

    def __init__(self, plan: Plan, processes: Processes, progress: Progress) -> None:
        self.plan, self.processes, self.progress = plan, processes, progress

    def run(self) -> Run:
        out = Path(self.plan.request.out)
        with contextlib.ExitStack() as held:
            self.processes.by_first(lambda: held.enter_context(files.lock(out)))
            return self._run_in(out)

    def _run_in(self, out: Path) -> Run:
        plan, processes = self.plan, self.processes
        for note in plan.backbone.notes:
            self.progress.note(note)
        again = {"overwrite": plan.request.overwrite, "resume": plan.request.resume}
        folder = processes.by_first(lambda: RunFolder(out, plan.decides(), **again))
        if folder.done is not None:
            self.progress.note(f"{folder.path} is finished already and kept")
            return folder.done
        info = plan.describe(processes.size)
        trainer, done = self._trainer(), 0
        if folder.state is not None:
            done = folder.state.epoch
            restore(folder.state, trainer.moving())
            self.progress.note(f"resuming {folder.path} after epoch {done} of {plan.values['epochs']}")
        if processes.first:
            folder.begin(info)
        told = events.Events(folder.path, done) if plan.request.tensorboard and processes.first else None
        self._epochs(trainer, folder, done, told)
        if told is not None:
            told.close()
        info["provenance"]["seconds"] = round(sum(entry["seconds"] for entry in folder.metrics), 3)
        body, heads = plan.backbone.network.body, plan.trainee.heads
        with _kept(trainer):
            return processes.by_first(
                lambda: folder.publish(info, arrays_of(body), _classifier(plan), arrays_of(heads))
            )

    def _epochs(self, trainer: Trainer, folder: RunFolder, done: int, told: events.Events | None) -> None:
        """The epochs that remain, each committed."""
        plan, progress, epochs = self.plan, self.progress, self.plan.values["epochs"]
        val, test_head = None, plan.recipe.test_head
        if plan.val is not None and self.processes.first:
            val = self._stream(plan.val, (), 0)
        progress.start(f"train {plan.request.model}", (epochs - done) * len(plan.train), "images")
        for epoch in range(done, epochs):
            rate = rate_at(epoch, plan.values)
            entry = trainer.epoch(epoch, rate, progress).to_dict()
            if plan.val is not None and val is not None:
                with _kept(trainer):
                    found = predict(trainer.trainee, val, len(plan.val), test_head, plan.compute)
                entry["val"] = shot_accuracy(found, plan.val.labels, plan.train.counts)
            progress.note(_line(entry, epochs))
            if self.processes.first:
                folder.commit(entry, capture(epoch + 1, folder.decides, trainer.moving()))
                if told is not None:
                    told.write(entry)
        progress.finish()

    def _trainer(self) -> Trainer:
        plan, values, compute = self.plan, self.plan.values, self.plan.compute
        trainee = compute.place(plan.trainee)
        optimizer = build_optimizer(trainee, values)
        if values["compile"]:
            trainee.extractor.compile()
        return Trainer(
            trainee=trainee,
            optimizer=optimizer,
            objective=build_objective(plan.recipe, values, plan.train.counts, compute.device),
            images=self._stream(plan.train, augment.parse(values["augment"]), values["crop_pad"]),
            labels=plan.train.labels,
            n_classes=plan.train.n_classes,
            values=values,
            seed=plan.request.seed,
            compute=compute,
            processes=self.processes,
            average=MovingAverage(trainee, values["ema"]) if values["ema"] else None,
        )

    def _stream(self, split: Split, names: tuple[str, ...], crop_pad: int) -> ImageStream:
        workers = self.plan.request.workers
        return open_stream(
            split,
            self.plan.backbone.preprocess,
            self.plan.compute,
            names=names,
            crop_pad=crop_pad,
            workers=available_cpus() // self.processes.size if workers is None else workers,
            progress=self.progress,
        )


def _kept(trainer: Trainer) -> contextlib.AbstractContextManager[None]:
    """The network as it is kept: its average where there is one."""
    return contextlib.nullcontext() if trainer.average is None else trainer.average.applied()


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


def _classifier(plan: Plan) -> Head:
    """The test head as a head file has it."""
    test = plan.recipe.test_head
    module: Any = plan.trainee.heads[test]
    cosine = isinstance(module, CosineClassifier)
    weight, bias, transform = module.head() if cosine else (module.weight, module.bias, None)
    return Head(
        weight=weight.detach().cpu().numpy(),
        bias=bias.detach().cpu().numpy(),
        method=STAGE1,
        classes=plan.train.classes,
        counts=plan.train.counts,
        transform=transform,
        meta={
            "recipe": plan.recipe.name,
            "test_head": test,
            "seed": plan.request.seed,
            "versions": versions(),
        },
    )
