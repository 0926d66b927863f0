"""``tryon data``: draw a data set, prepare own photos, check a data folder."""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict
from pathlib import Path

from tryon.cli.options import Commands, add_layout, image_size
from tryon.data.check import Finding, FolderCheck
from tryon.data.synthetic import synthesize
from tryon.errors import InputError
from tryon.prepare.inputs import find_files
from tryon.prepare.networks import NORMALISATIONS
from tryon.prepare.parser import Parser, read_scheme
from tryon.prepare.person import Sight
from tryon.prepare.pose_network import PoseNetwork
from tryon.prepare.writer import prepare
from tryon.progress import Progress


def add_arguments(commands: Commands) -> None:
    """Add ``data synthesize``, ``data prepare`` and ``data check``."""
    actions = commands.add_parser("data", help="draw, prepare or check a data set").add_subparsers(
        dest="action", required=True, metavar="ACTION"
    )
    parser = actions.add_parser("synthesize", help="draw a VITON-style data set whose truth is known")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="new or empty folder")
    parser.add_argument("--train", type=int, required=True, metavar="N", help="training people")
    parser.add_argument("--test", type=int, required=True, metavar="N", help="test people")
    parser.add_argument("--size", type=image_size, default=(256, 192), metavar="HxW", help="(default: 256x192)")
    parser.add_argument("--seed", type=int, default=0, metavar="S", help="same seed, same bytes (default: 0)")
    parser.add_argument("--parsing-noise", type=float, default=0.0, metavar="P", help="0 exact .. 1 (default: 0)")
    parser.set_defaults(run=_synthesize)
    _add_prepare(actions.add_parser("prepare", help="photos of people and their garments to a data set"))
    parser = actions.add_parser("check", help="read every file of a data folder and say what is wrong")
    parser.add_argument("folder", type=Path, metavar="DIR")
    parser.add_argument("--size", type=image_size, metavar="HxW", help="to train at (default: the photos' own)")
    add_layout(parser)
    parser.add_argument("--json", action="store_true", help="print all as JSON")
    parser.set_defaults(run=_check)


def _add_prepare(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("folder", type=Path, metavar="IN", help="folder with people/ and garments/, and what there is")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="new or empty folder")
    parser.add_argument("--size", type=image_size, default=(256, 192), metavar="HxW", help="(default: 256x192)")
    parser.add_argument("--parser", type=Path, metavar="FILE", help="ONNX parser for people without labels/NAME.png")
    parser.add_argument(
        "--labels",
        default="lip",
        metavar="NAME",
        help="labels of parser and label maps: lip, atr, lip-neck (10 is the neck), or a file of names (default: lip)",
    )
    parser.add_argument(
        "--pose", type=Path, metavar="FILE", help="ONNX pose network for people without poses/NAME.json"
    )
    for name, default in (("parser", "imagenet-bgr"), ("pose", "imagenet")):
        parser.add_argument(
            f"--{name}-input",
            choices=NORMALISATIONS,
            default=default,
            help=f"how the {name} file's input is normalised (default: {default})",
        )
    parser.add_argument(
        "--confidence", type=float, default=0.3, metavar="C", help="least score of a joint (default: 0.3)"
    )
    parser.add_argument(
        "--framing", choices=("body", "whole"), default="body", help="around the body, or as photos are"
    )
    parser.add_argument(
        "--body-parts", choices=("pose", "none"), default="pose", help="in DensePose's place (default: pose)"
    )
    parser.set_defaults(run=_prepare)


def _prepare(options: argparse.Namespace) -> None:
    scheme = read_scheme(options.labels)
    sight = Sight(
        size=options.size,
        scheme=scheme,
        parser=options.parser and Parser(options.parser, scheme, options.parser_input),
        pose=options.pose and PoseNetwork(options.pose, options.pose_input, options.confidence),
        whole=options.framing == "whole",
        body_parts=options.body_parts == "pose",
    )
    with Progress("prepare", len(find_files(options.folder)), "people") as progress:
        findings = prepare(options.folder, options.out, sight, progress.update)
    for finding in findings:
        print(finding)
    print(options.out)
    if refused := sum(bool(finding.refused) for finding in findings):
        raise InputError(
            f"{options.folder}: {refused} of {len(findings)} people refused; the others are in {options.out}"
        )


def _synthesize(options: argparse.Namespace) -> None:
    with Progress("synthesize", options.train + options.test, "people") as progress:
        synthesize(
            options.out,
            train=options.train,
            test=options.test,
            size=options.size,
            seed=options.seed,
            parsing_noise=options.parsing_noise,
            progress=progress.update,
        )
    print(options.out)


def _check(options: argparse.Namespace) -> None:
    check = FolderCheck(options.folder, options.size, options.layout)
    with Progress("check", check.files, "files") as progress:
        check.run(progress.update)
    if options.json:
        found = {"layout": check.layout, "licence": check.licence, "splits": check.summaries, "faults": check.faults}
        print(json.dumps(found | {"findings": [asdict(finding) for finding in check.findings]}, indent=2))
    else:
        for line in (*check.summaries, *_table(check.findings)):
            print(line)
    if check.faults:
        count = f"{check.faults} fault{'s' if check.faults > 1 else ''}"
        raise InputError(f"{options.folder}: found {count} that would stop training or dressing")


def _table(findings: list[Finding]) -> list[str]:
    """A line a finding, its columns below one another."""
    if not findings:
        return ["nothing is wrong"]
    rows = [("", "split", "kind", "file", "what is wrong")]
    for each in findings:
        rows.append(("stops" if each.stops else "look", each.split, each.kind, each.file, each.found))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return ["  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip() for row in rows]
