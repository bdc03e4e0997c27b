"""The command; `python -m examples.reproduce --help`."""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from fastnn import data
from fastnn.io import write_atomic

from .recipe import Job, Recipe, recipes, select
from .record import PAGE, load, measure, number, ours, page, save


def main(argv: Sequence[str] | None = None) -> int:
    """Returns the exit code: 0, 2 for bad input, 130 after Ctrl-C."""
    try:
        _run(_parser().parse_args(argv))
    except KeyboardInterrupt:
        print("interrupted; the seeds done are kept", file=sys.stderr)
        return 130
    except (ValueError, OSError, ImportError) as error:
        print("reproduce: error:", " ".join(str(error).split()), file=sys.stderr)
        return 2
    return 0


def _run(options: argparse.Namespace) -> None:
    known = recipes()
    if options.list:
        chosen = select(known, options.ids or ["all"])
        print(listing({recipe.id: recipe for recipe in chosen}, options.results))
        return
    if options.docs:
        if options.ids:
            raise ValueError(f"[reproduce] --docs is of all recipes; got {' '.join(options.ids)}")
        for recipe in known.values():
            if result := load(recipe, options.results):
                save(
                    result, options.results or recipe.results
                )  # with the texts that the recipe has now
        write_atomic(PAGE, page(known, options.results).encode())
        print(f"wrote {PAGE}")
        return
    if not options.ids:
        raise ValueError("[reproduce] name recipes, or use --list to see them")
    if options.download:
        data.mnist(options.data_dir, download=True)
        data.mnist1d(options.data_dir, download=True)
    for recipe in select(known, options.ids):
        if options.quick:
            quick(recipe, options.data_dir)
        else:
            seeds = options.seed_list or range(options.seeds or recipe.seeds)
            measure(
                *(recipe, seeds, options.data_dir), force=options.force, results=options.results
            )


def quick(recipe: Recipe, data_dir: Path) -> dict[str, float]:
    """Run a recipe on little data for an epoch or a few steps, and leave nothing behind."""
    with tempfile.TemporaryDirectory() as folder:
        run = Path(folder, f"{recipe.id}-0")  # beside which a recipe may look for others' runs
        run.mkdir()
        values = recipe.values(Job(0, data_dir, run, quick=True))
    shown = ", ".join(f"{name} {number(value)}" for name, value in values.items())
    print(f"{recipe.id} works (quick: {shown})", flush=True)
    return values


def listing(known: dict[str, Recipe], results: Path | None = None) -> str:
    """A line for each recipe, and one for each of its measures."""
    lines = []
    for recipe in known.values():
        lines.append(f"{recipe.id:4} {recipe.title} ({recipe.metric}; {recipe.minutes:g} min)")
        result = load(recipe, results)
        for name, reported in recipe.reported.items():
            found = ours(result, name) if result else "not run"
            lines.append(f"     {name}: reported {reported or 'none'}, ours {found}")
    return "\n".join(lines)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m examples.reproduce", description="Experiments of the documents, done again."
    )
    parser.add_argument("ids", nargs="*", help="C4 ..., a section (A, B, C, R for records), or all")
    parser.add_argument("--list", action="store_true", help="the recipes, and what came of them")
    parser.add_argument("--docs", action="store_true", help="write docs/reproductions.md")
    parser.add_argument("--quick", action="store_true", help="seconds each; no result is written")
    parser.add_argument("--data-dir", type=Path, default=Path("data"), help="holds MNIST, MNIST1D")
    parser.add_argument("--download", action="store_true", help="put MNIST, MNIST1D there")
    parser.add_argument(
        "--seeds", type=_count, help="how many, from 0; the recipe's own by default"
    )
    parser.add_argument("--seed-list", type=_seeds, metavar="3,5", help="these seeds instead")
    parser.add_argument(
        "--force", action="store_true", help="do these seeds again where they are there"
    )
    parser.add_argument(
        "--results", type=Path, help="the folder of results, instead of those beside the recipes"
    )
    return parser


def _count(text: str) -> int:
    if not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"must be a number from 1; got {text!r}")
    return int(text)


def _seeds(text: str) -> list[int]:
    try:
        seeds = [int(part) for part in text.split(",")]
    except ValueError:
        seeds = [-1]
    if min(seeds) < 0:
        raise argparse.ArgumentTypeError(f"must be numbers from 0, such as 3,5; got {text!r}")
    return seeds


if __name__ == "__main__":
    sys.exit(main())
