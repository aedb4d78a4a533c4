"""``ltfix report``: one HTML page of a project."""

from __future__ import annotations

import contextlib
import shlex
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from ltfix.cli import config, console
from ltfix.cli.caches import (
    USUAL_NAMES,
    chosen_heads,
    known_caches,
    locate,
    open_named,
    usual,
)
from ltfix.cli.inspect import written
from ltfix.cli.made import Caches, beside, made, usual_pair
from ltfix.cli.options import (
    FewBound,
    ManyBound,
    MayOverwrite,
    RandomSeed,
    TestCache,
    WorkFolder,
    WrittenFormat,
)
from ltfix.cli.signature import ARGUMENT
from ltfix.cli.starts import with_start
from ltfix.errors import InputError, LtfixError
from ltfix.option import Option

if TYPE_CHECKING:
    from ltfix.evaluation.describe import Description
    from ltfix.evaluation.measure import Evaluation
    from ltfix.features.cache import FeatureCache
    from ltfix.features.manifest import Manifest
    from ltfix.heads.head import Head
    from ltfix.report.thumbnails import Thumbnails


def report(
    heads: Annotated[
        list[Path] | None,
        Option(
            "Head files; a training cache stands for its stage-1 classifier and its counts. "
            "Default: features/train and every head in heads/.",
            metavar="HEAD",
        ),
        ARGUMENT,
    ] = None,
    cache: TestCache = None,
    data: Annotated[
        str | None,
        Option(
            "Where the pictures are, to show those that are confused.  [default: what extract's table in "
            "ltfix.toml says, or the folder of that name in the project]",
            metavar="SRC",
            path="data",
        ),
    ] = None,
    results: Annotated[
        list[Path] | None,
        Option(
            "A sweep or comparison (JSON) or a trace of fit to draw too; repeatable.  [default: those in the "
            "project folder]",
            metavar="FILE",
        ),
    ] = None,
    out: Annotated[Path, Option("The page; - is stdout.", metavar="FILE")] = Path("report.html"),
    overwrite: MayOverwrite = False,
    many: ManyBound = 100,
    few: FewBound = 20,
    seed: RandomSeed = 0,
    format: WrittenFormat = "table",
    work: WorkFolder = Path(),
) -> None:
    """Write one HTML page about a project: its data, its heads, and pictures of what they do.

    The page needs nothing beside itself: it opens from the disk, prints, and follows the reader's light or
    dark scheme.
    """
    from ltfix.evaluation.measure import Evaluation
    from ltfix.report import findings
    from ltfix.report.page import demand_page, make_page
    from ltfix.report.subject import Subject

    demand_page()
    place = work / out if config.origin("out") == "default" else out
    console.claim(place, overwrite=overwrite)
    if console.is_stdout(place):
        console.refuse_unused(["format"], "report --out -")
    test = locate(cache, work, "test", "--cache CACHE")
    train = usual(work, "train")
    kept = chosen_heads(heads or (), test, work)
    first = [train] if not heads and cache is None and train is not None and _has_classes(train, kept) else []
    chosen = with_start([*first, *kept], test, work, USUAL_NAMES)
    found = findings.read(results) if results else findings.find(work)
    evaluation = Evaluation.of(chosen, test, many=many, few=few, seed=seed)
    for line in (*evaluation.otherwise, *evaluation.other_counts):
        console.note(line)
    page = make_page(
        Subject(evaluation, found),
        name=work.resolve().name,
        origins=_origins(evaluation, first, work),
        commands=list(_commands(evaluation, work)),
        pictures=_pictures(data, test, work),
        left_out=_left_out(evaluation, heads or [work / "heads"]),
        progress=console.progress(),
    )
    console.deliver(page, place, overwrite=overwrite)
    if not console.is_stdout(place):
        console.note(f"wrote {place}")
        if format == "json":
            written([place], "page")


def _left_out(evaluation: Evaluation, given: Sequence[Path]) -> list[str]:
    """The heads of folders that do not fit the test features; what is no head is not told."""
    from ltfix.evaluation.given import heads_in, open_given
    from ltfix.heads.head import Head

    rows = {Path(row.path).resolve() for row in evaluation.rows if row.path}
    paths = [Path(str(path)) for folder in given for path in heads_in(folder)]
    paths = [path for path in paths if path.resolve() not in rows]
    return [str(path) for path in paths if isinstance(open_given(path), Head)]


def _has_classes(train: Path, kept: Sequence[Any]) -> bool:
    """Whether the training features can be of as many classes as all heads are."""
    opened = open_named(train, USUAL_NAMES)
    return opened.classes is None or all(head.n_classes == opened.n_classes for head in kept)


def _pictures(data: str | None, test: FeatureCache, work: Path) -> Thumbnails | None:
    """The source that was named, else the one that the project was extracted from, if it is still there."""
    from ltfix.report.thumbnails import thumbnails

    if data is not None:
        return thumbnails(data, test)
    root = None if test.manifest is None else test.manifest.source.get("root")
    for spec in (*config.of_extract("data"), *([str(work / root)] if root else [])):
        if not _is_far(spec):
            with contextlib.suppress(LtfixError):  # no longer there, or another: the page has no pictures
                return thumbnails(spec, test)
    return None


def _is_far(spec: str) -> bool:
    """Whether pictures would be downloaded: a page does that only for a source that was named to it."""
    from ltfix.images.source import kind_of

    return "://" in spec or kind_of(spec)[0] == "hf"


def _origins(evaluation: Evaluation, caches: Sequence[Path], work: Path) -> list[Description]:
    """What the files say of themselves: caches, heads, and the runs that made the backbone."""
    from ltfix.evaluation.describe import describe

    heads = [row.head.path for row in evaluation.rows if row.head.path is not None]
    runs = [path.parent for path in sorted(work.glob("runs/*/run.json"))]
    return [describe(path) for path in (*runs, *caches, evaluation.test.cache.path, *heads)]


def _commands(evaluation: Evaluation, work: Path) -> Iterator[str]:
    """The commands that made runs, features, heads and this page, as far as their files tell.

    A head tells all that is not its method's own, a cache its source and backbone.
    """
    from ltfix import runfile
    from ltfix.features import manifest as manifests
    from ltfix.features.read import open_cache

    for path in sorted(work.glob(f"runs/*/{runfile.NAME}")):
        provenance = runfile.read_run(path.parent).content.get("provenance")
        argv = provenance.get("argv") if isinstance(provenance, dict) else None
        if isinstance(argv, list) and argv:
            yield shlex.join(["ltfix", *map(str, argv[1:])])
    place = usual(work, "train")
    train = None if place is None else open_cache(place)
    manifest = (train or evaluation.test.cache).manifest
    if manifest is not None and manifests.command_of(manifest.source) == "extract":
        yield shlex.join(["ltfix", "extract", *_extract(manifest)])
    heads = [row.head for row in evaluation.rows if row.path and not row.is_start]
    kept, used = known_caches(work), [head.meta.get("cache") for head in heads]
    places, left = {known: f"features/{path.name}" for known, path in kept.items()}, dict(kept)
    for known in filter([*used, evaluation.test.cache.identity].__contains__, kept):
        with contextlib.suppress(LtfixError, KeyError, TypeError):  # a damaged one
            yield from _made_by(known, left, places, train)
    pair = usual_pair(work)
    yield from dict.fromkeys(_told(head, places, pair) for head in heads)  # of several seeds one
    yield shlex.join(["ltfix", "report", *_typed(config.current())])


def _made_by(
    known: str, left: dict[str, Path], places: Mapping[str, str], train: FeatureCache | None
) -> Iterator[str]:
    """The commands that made a cache, behind those of what it was joined of; of one that is ``left`` alone.

    Those of the usual splits are made together. Classes that ``train`` has not came from a file.
    """
    from ltfix.features import manifest as manifests
    from ltfix.features.read import open_cache
    from ltfix.images.source import SPLITS

    path = left.pop(known, None)
    cache = None if path is None else open_cache(path)
    manifest = None if cache is None else cache.manifest
    if path is None or cache is None or manifest is None:
        return
    if manifests.command_of(manifest.source) == "extract" and path.is_dir() and path.name not in SPLITS:
        named = ["--classes", "FILE"] if train is not None and cache.classes != train.classes else []
        yield shlex.join(["ltfix", "extract", *_extract(manifest), "--split", path.name, *named])
    found = []
    for one in manifest.source.get(manifests.JOINED, ()):
        yield from _made_by(one["fingerprint"], left, places, train)
        found.append(places.get(one["fingerprint"], f"DIR/{one['name']}"))
    if found:
        yield shlex.join(["ltfix", "import", *found, "--out", places[known]])


def _told(head: Head, places: Mapping[str, str], pair: Caches) -> str:
    """The command that made a head, or in a comment why none is told; ``places`` and ``pair`` as `made` takes
    them, but of heads of no features in the project."""
    name, own = f"heads/{Path(head.path or '').name}", "@" in str(head.meta.get("parts"))
    if own:
        return f"# {name} was fitted with a method or a loss of your own"
    try:
        words = [*made(head, places if pair[0] or head.meta.get("cache") in places else None, pair)]
    except InputError:  # another tool's
        return f"# {name} does not say how it was fitted"
    except LookupError:
        return f"# {name} was fitted on none of the caches in features/"
    return shlex.join(["ltfix", *beside(words, Path(name), head)])


def _typed(here: config.Invocation) -> Iterator[str]:
    """The running command's options that are not at their defaults, and its arguments."""
    for key, parameter in here.options.items():
        value = here.values.get(key)
        if here.origins.get(key, "default") != "default" and key != "quiet":
            for item in value if isinstance(value, list | tuple) else [value]:
                yield from [parameter.typed(item), *([] if isinstance(item, bool) else [str(item)])]
    yield from map(str, here.values.get("heads") or ())


def _extract(manifest: Manifest) -> Iterator[str]:
    for name, value in manifest.asked.items():
        yield f"--{'no-' * (value is False)}{name.replace('_', '-')}"
        yield from [] if isinstance(value, bool) else [_place(value) if name == "checkpoint" else str(value)]


def _place(name: str) -> str:
    """Where a checkpoint lies, of which a cache records the name alone."""
    said = (one for one in config.of_extract("checkpoint") if Path(one).name == name)
    return name if Path(name).exists() else next(said, f"DIR/{name}")
