"""The help of a command: its options in groups, and examples."""

from __future__ import annotations

from typing import Any

import typer.core

from ltfix.cli import config

_GROUPS = {
    "What": "method methods over seeds loss set init metric backbone model recipe preset name data split "
    "root columns unlabelled classes classes_order limit train test cache report to features head by against "
    "fail_under baseline max_drop features_key labels_key checkpoint checkpoint_key ignore_tensors "
    "model_arg pretrained verify labels head_from",
    "How": "",  # all that stands nowhere else
    "Validation": "val val_fraction val_per_class val_from_rest tune select calibrate",
    "Output": "out output format overwrite plot trace save_heads probs tensorboard results many few order "
    "all sort dry_run bibtex on_error top abstain",
    "Project": "work config seed device threads quiet debug help",
}
_GROUP_OF = {key: title for title, keys in _GROUPS.items() for key in keys.split()}
_FEW = 8  # options that need no groups
EXAMPLES = {
    "extract": (
        "ltfix extract --backbone resnet50.a1_in1k --data photos",
        "ltfix extract --backbone runs/mine --data list:train=train.txt,test=test.txt --root images",
        "ltfix extract --backbone vit_small_patch14_dinov2 --data photos --views center,hflip --dry-run",
    ),
    "import": (
        "ltfix import train.npz --out features/train",
        "ltfix import embeddings.h5 --features clip --labels classes.txt --out features/train",
        "ltfix import train.npy --labels y.npy --head-from model.pth:fc --out features/train",
    ),
    "fit": (
        "ltfix fit --method samn",
        "ltfix fit --method los --set delta=0.9 --seeds 3",
        "ltfix fit features/train --method auto --val features/val",
    ),
    "evaluate": (
        "ltfix evaluate",
        "ltfix evaluate features/train heads/samn-freq.safetensors --against stage-1",
        "ltfix evaluate --baseline last.json --max-drop few=1.0,all=0.5 --format github",
    ),
    "compare": (
        "ltfix compare --methods ce,samn,los --seeds 3",
        "ltfix compare --methods samn,los,los:delta=0.9 --against samn-freq",
        "ltfix compare --tune --format latex --output table.tex",
    ),
    "sweep": (
        "ltfix sweep --method los --over delta=0.5,0.9,0.98",
        "ltfix sweep --method samn --over lr=1e-5..1e-1 --seeds 3 --plot lr.png",
        "ltfix sweep --method vs --over gamma=0.1,0.2 --over tau=0.5,1.0 --format csv",
    ),
    "train-backbone": (
        "ltfix train-backbone --model resnet50 --data photos",
        "ltfix train-backbone --model cifar_resnet32 --recipe glmc --data cifar --imbalance-factor 100",
        "torchrun --nproc-per-node 8 -m ltfix train-backbone --model resnet50 --data photos",
    ),
    "predict": (
        "ltfix predict heads/samn-freq.safetensors --data new-photos",
        "ltfix predict exported --data new-photos --format csv --output labels.csv",
        "find . -name '*.jpg' | ltfix predict heads/samn-freq.safetensors --data - --top 3",
    ),
    "export": (
        "ltfix export heads/samn-freq.safetensors --out repaired",
        "ltfix export heads/samn-freq.safetensors --to onnx --out model.onnx",
        "ltfix export heads/samn-freq.safetensors --to onnx --features --out head.onnx",
    ),
    "calibrate": (
        "ltfix calibrate heads/samn-freq.safetensors",
        "ltfix calibrate heads/samn-freq.safetensors --by shots",
        "ltfix calibrate heads/los.safetensors --val features/val --out heads/los-calibrated.safetensors",
    ),
    "report": (
        "ltfix report",
        "ltfix report heads/samn-freq.safetensors --out samn.html",
        "ltfix report --cache features/test --overwrite",
    ),
    "inspect": ("ltfix inspect", "ltfix inspect features/train --verify", "ltfix inspect model.pth --all"),
    "methods": ("ltfix methods", "ltfix methods samn", "ltfix methods samn+los --bibtex"),
    "recipes": ("ltfix recipes", "ltfix recipes glmc", "ltfix recipes --format json"),
    "init": ("ltfix init", "ltfix init --check", "ltfix init --output -"),
    "demo": ("ltfix demo", "ltfix demo --out somewhere", "ltfix demo --seed 1"),
}


class GroupedCommand(typer.core.TyperCommand):
    """A command whose help parts its options by what they are for."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Keep --work, where the configuration file may lie that has values for the others."""
        config.current().work = self.make_parser(ctx).parse_args(list(args))[0].get("work")
        return super().parse_args(ctx, args)

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """Write the arguments, then each group that has an option."""
        found: dict[str, list[tuple[str, str]]] = {title: [] for title in ("Arguments", *_GROUPS)}
        parameters = [p for p in self.get_params(ctx) if p.get_help_record(ctx)]
        for parameter in parameters:
            group = _GROUP_OF.get(parameter.name or "", "How")
            title = "Arguments" if parameter.param_type_name == "argument" else group
            found[title].append(parameter.get_help_record(ctx) or ("", ""))
        if len(parameters) <= _FEW:
            arguments = found.pop("Arguments")
            found = {"Arguments": arguments, "Options": [row for rows in found.values() for row in rows]}
        for title, rows in found.items():
            if rows:
                with formatter.section(title):
                    formatter.write_dl(rows)

    def format_epilog(self, ctx: Any, formatter: Any) -> None:
        """Write the examples, each on a line that can be copied."""
        lines = EXAMPLES.get(str(self.name), ())
        if lines:
            with formatter.section("Examples"):
                formatter.write("".join(f"  {line}\n" for line in lines))
