"""``ltfix train-backbone``: images in, a run folder out that ``ltfix extract`` reads."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ltfix.cli import console
from ltfix.cli import options as opt
from ltfix.cli import parsing as texts

if TYPE_CHECKING:
    from ltfix.stage1.run_folder import Run

_VALUES = (
    "epochs", "batch_size", "lr", "momentum", "nesterov", "weight_decay", "decay", "schedule",
    "warmup_epochs", "sampler", "augment", "crop_pad", "mixup", "cutmix", "clip_grad", "ema", "accumulate",
    "precision", "channels_last", "compile",
)  # fmt: skip


def train_backbone(
    data: opt.Data = None,
    model: Annotated[
        str, typer.Option("--model", metavar="NAME", help="A timm model, or torchvision:NAME.")
    ] = "cifar_resnet32",
    recipe: Annotated[
        str, typer.Option("--recipe", metavar="NAME", help="How to train it; `ltfix recipes`.")
    ] = "ce",
    preset: Annotated[
        str | None,
        typer.Option(
            "--preset",
            metavar="NAME",
            help="cifar, imagenet-lt or inat.  [default: by image size and classes]",
        ),
    ] = None,
    name: Annotated[
        str | None, typer.Option("--name", help="The run's name.  [default: MODEL-RECIPE]")
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--out", metavar="DIR", help="The run folder.  [default: runs/<name>]")
    ] = None,
    split: Annotated[str, typer.Option("--split", help="The split to train on.")] = "train",
    root: opt.Root = None,
    classes: opt.Classes = None,
    imbalance_factor: opt.ImbalanceFactor = None,
    imbalance_seed: opt.ImbalanceSeed = 0,
    limit: opt.Limit = None,
    pretrained: opt.Pretrained = False,
    checkpoint: opt.Checkpoint = None,
    model_arg: opt.ModelArg = None,
    image_size: opt.ImageSize = None,
    crop_pct: opt.CropPct = None,
    mean: opt.Mean = None,
    std: opt.Std = None,
    interpolation: opt.Interpolation = None,
    epochs: opt.Epochs = None,
    batch_size: Annotated[
        int | None, typer.Option("--batch-size", help="Images an update, over all processes.")
    ] = None,
    lr: opt.Rate = None,
    momentum: opt.Momentum = None,
    nesterov: Annotated[
        bool | None, typer.Option("--nesterov/--no-nesterov", help="Nesterov's momentum.")
    ] = None,
    weight_decay: Annotated[
        float | None, typer.Option("--weight-decay", help="L2 penalty on what --decay says.")
    ] = None,
    decay: Annotated[
        str | None,
        typer.Option(
            "--decay",
            metavar="all|conv|conv-fixed-bn",
            help="Decay every parameter, convolutions alone, or these with batch norm fixed.",
        ),
    ] = None,
    schedule: Annotated[
        str | None,
        typer.Option(
            "--schedule", metavar="cosine|constant|steps|gentle-steps", help="Rate over the epochs."
        ),
    ] = None,
    warmup_epochs: Annotated[
        int | None, typer.Option("--warmup-epochs", help="Epochs of rising rate, part of --epochs.")
    ] = None,
    sampler: opt.Sampler = None,
    augment: Annotated[
        str | None,
        typer.Option(
            "--augment",
            metavar="LIST",
            help="crop, flip, resized-crop, color-jitter, randaugment, autoaugment; or none.",
        ),
    ] = None,
    crop_pad: Annotated[
        int | None, typer.Option("--crop-pad", help="Pixels of zeros around an image before crop.")
    ] = None,
    mixup: Annotated[float | None, typer.Option("--mixup", help="α of MixUp; 0 is off.")] = None,
    cutmix: Annotated[float | None, typer.Option("--cutmix", help="α of CutMix; 0 is off.")] = None,
    clip_grad: Annotated[
        float | None, typer.Option("--clip-grad", help="Largest norm of the gradient; 0 is no limit.")
    ] = None,
    ema: Annotated[
        float | None,
        typer.Option("--ema", help="Keep a moving average of weights with this decay; 0 is off."),
    ] = None,
    accumulate: Annotated[
        int | None, typer.Option("--accumulate", help="Compute a batch in so many parts, to save memory.")
    ] = None,
    precision: Annotated[
        str | None,
        typer.Option(
            "--precision", metavar="auto|fp32|bf16|fp16", help="auto: bf16 on a GPU that has it, else fp32."
        ),
    ] = None,
    channels_last: Annotated[
        bool | None, typer.Option("--channels-last/--no-channels-last", help="Memory format of images.")
    ] = None,
    compile: Annotated[
        bool | None, typer.Option("--compile/--no-compile", help="Compile the backbone with torch.compile.")
    ] = None,
    set_: opt.OwnValues = None,
    workers: Annotated[
        str, typer.Option("--workers", help="Decoding processes for large images; auto: one a core.")
    ] = "auto",
    resume: Annotated[
        bool,
        typer.Option("--resume", help="Demand an unfinished run (one that is there is continued anyway)."),
    ] = False,
    tensorboard: Annotated[
        bool, typer.Option("--tensorboard", help="Write event files too (pip install 'ltfix[tb]').")
    ] = False,
    work: opt.Work = Path(),
    seed: opt.Seed = 0,
    device: opt.Device = "auto",
    threads: opt.Threads = None,
    overwrite: opt.Overwrite = False,
) -> None:
    """Train a backbone from images (stage 1).

    Writes a run folder that `ltfix extract --backbone runs/<name>` reads with nothing further said. The
    same command continues an unfinished run. Values that are not given are the recipe's.
    `torchrun --nproc-per-node N -m ltfix train-backbone …` shares every batch out among N processes.
    """
    given = {key: value for key, value in locals().items() if key in _VALUES and value is not None}
    texts.demand("train-backbone", data=data)
    given |= texts.pairs(set_ or [], "--set", "train-backbone")
    _check(recipe, preset, given)

    import warnings

    import ltfix

    warnings.filterwarnings("ignore", module="PIL")  # what matters in them is an error of ours

    run = ltfix.train_backbone(
        str(data),
        out=out or work / "runs" / (name or _run_name(model, recipe)),
        model=model,
        recipe=recipe,
        preset=preset,
        split=split,
        root=root,
        classes=classes,
        imbalance_factor=imbalance_factor,
        imbalance_seed=imbalance_seed,
        limit=limit,
        pretrained=pretrained,
        checkpoint=checkpoint,
        model_args=texts.pairs(model_arg or [], "--model-arg", "train-backbone"),
        preprocess={
            "image_size": image_size,
            "crop_pct": crop_pct,
            "mean": texts.numbers(mean, "--mean"),
            "std": texts.numbers(std, "--std"),
            "interpolation": interpolation,
        },
        seed=seed,
        device=device,
        threads=threads,
        workers=texts.count(workers, "--workers"),
        overwrite=overwrite,
        resume=resume,
        tensorboard=tensorboard,
        progress=console.progress(),
        **given,
    )
    if os.environ.get("RANK", "0") == "0":
        _summarise(run)


def _check(recipe: str, preset: str | None, given: dict[str, Any]) -> None:
    """Refuse unknown and wrong values before torch is imported."""
    from ltfix.stage1 import recipes

    recipes.resolve(recipes.find_recipe(recipe), recipes.choose_preset(preset or "cifar", 0, 0), given)


def _run_name(model: str, recipe: str) -> str:
    """A folder name of the model's and the recipe's."""
    return model.replace(":", "-").replace("/", "-") + f"-{recipe}"


def _summarise(run: Run) -> None:
    """What was trained, how well it fits, where it is and what to do with it."""
    info, last = run.info, run.metrics[-1]
    console.write(
        f"{info['model']}, recipe {info['recipe']} ({info['preset']}): K = {len(info['classes'])}, "
        f"D = {info['dim']}, {info['data']['n']} images, {last['epoch']} epochs\n"
        f"last epoch: loss {last['loss']:.3f}, train accuracy {100 * last['train_accuracy']:.1f} %"
    )
    if "val" in last:
        shots = [f"{name} {100 * value:.1f}" for name, value in last["val"].items() if value is not None]
        console.write("validation accuracy: " + ", ".join(shots))
    console.write(
        f"{info['provenance']['seconds']:.1f} s; run written to {run.path}\n"
        f"next: ltfix extract --backbone {run.path} --data …"
    )
