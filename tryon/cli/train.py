"""``tryon train``: the four stages, one at a time or in order."""

from __future__ import annotations

import argparse
import logging
from pathlib import Path

from tryon.cli.options import Commands, add_device, add_layout, chosen_device, image_size
from tryon.config import TrainConfig
from tryon.distributed import leads, processes
from tryon.engine import train_all, train_stage
from tryon.engine.distributed import joined, started_together
from tryon.errors import InputError
from tryon.precision import LOWERED
from tryon.stages import GUIDANCE, STAGES

ALL = "all"

_log = logging.getLogger(__name__)


def add_arguments(commands: Commands) -> None:
    """Add ``train``; its options are the fields of `TrainConfig`."""
    parser = commands.add_parser("train", help="train tutor and student")
    parser.add_argument("stage", choices=[*STAGES, ALL])
    parser.add_argument("--data", type=Path, required=True, metavar="DIR", help="data folder")
    add_layout(parser)
    parser.add_argument("--out", type=Path, required=True, metavar="RUN", help="run folder")
    parser.add_argument("--init", type=Path, metavar="RUN", help="run with the earlier stages (default: --out)")
    parser.add_argument("--size", type=image_size, metavar="HxW", help="multiples of 32 (default: the data's size)")
    parser.add_argument("--width", type=float, metavar="W", help="channel scale, 1 is published (default: 1)")
    length = parser.add_mutually_exclusive_group()
    length.add_argument("--epochs", type=int, metavar="N", help="passes over the data (default: the published number)")
    length.add_argument("--steps", type=int, metavar="N", help="optimiser steps")
    parser.add_argument("--batch", type=int, metavar="N", help="samples a process takes at a time (default: 4)")
    parser.add_argument("--accumulate", type=int, metavar="K", help="batches whose gradients make a step (default: 1)")
    parser.add_argument("--learning-rate", type=float, metavar="R", help="(default: the published rate)")
    parser.add_argument(
        "--keep-background",
        action="store_true",
        help="show the tutor's generator the photo's background, but for what is near garment and arms",
    )
    parser.add_argument(
        "--copy-mask",
        action="store_true",
        help="give the generators a mask of what they copy from the photo instead of painting it",
    )
    parser.add_argument(
        "--settle-norms",
        type=int,
        metavar="N",
        help="batches over which batch norms' statistics are taken anew after the last step (default: 0, published)",
    )
    parser.add_argument("--precision", choices=LOWERED, help="(default: fp32)")
    parser.add_argument(
        "--recompute", action="store_true", help="compute activations again in the backward: less memory, more time"
    )
    parser.add_argument(
        "--no-graph", dest="graph", action="store_false", help="on a GPU: launch kernels one by one, not as one graph"
    )
    parser.add_argument("--average", type=float, metavar="D", help="save a moving average that keeps D a step")
    parser.add_argument(
        "--generator-from-tutor", action="store_true", help="start the student's generator from the tutor's"
    )
    parser.add_argument(
        "--guidance", choices=GUIDANCE, help="what guides the student: photos, tutor or both (default: full, published)"
    )
    parser.add_argument(
        "--fakes", type=Path, metavar="DIR", help="the student's stages: any system's pictures in the tutor's place"
    )
    parser.add_argument(
        "--surroundings", action="store_true", help="show the student other backgrounds and occluders, to be kept"
    )
    parser.add_argument(
        "--composite", action="store_true", help="show the student the photo's own arms and background, in places"
    )
    parser.add_argument(
        "--hems", action="store_true", help="show the student garments that end lower or higher than its own do"
    )
    parser.add_argument("--perceptual-weights", type=Path, metavar="FILE", help="VGG-19 (default: random features)")
    parser.add_argument("--workers", type=int, metavar="N", help="processes that read data (default: 1)")
    parser.add_argument(
        "--picture-every", type=int, metavar="N", help="steps between pictures, each with a checkpoint (default: 500)"
    )
    parser.add_argument("--checkpoint-minutes", type=float, metavar="M", help="time between checkpoints (default: 10)")
    parser.add_argument("--keep", type=int, metavar="K", help="checkpoints of a stage that are kept (default: 2)")
    parser.add_argument("--tensorboard", action="store_true", help="write for TensorBoard too: RUN/STAGE/tensorboard")
    parser.add_argument("--seed", type=int, metavar="S", help="(default: 0)")
    parser.add_argument("--resume", action="store_true", help="go on from the last checkpoint, if there is one")
    add_device(parser)
    parser.set_defaults(run=_train)


def _train(options: argparse.Namespace) -> None:
    if not started_together():
        _train_on(chosen_device(options.device), options)
        return
    with joined(options.device) as device:
        if leads():
            _log.info("device: %s, %d processes", device, processes())
        else:
            logging.disable(logging.WARNING)
        _train_on(device, options)


def _train_on(device: str, options: argparse.Namespace) -> None:
    given = {name: value for name, value in vars(options).items() if value is not None}
    for name in ("command", "run", "stage"):
        del given[name]
    config = TrainConfig(**given | {"device": device})
    if options.stage == ALL:
        if config.init is not None:
            raise InputError("--init: found with stage all, which starts from the beginning; wanted --out alone")
        folder = train_all(config)
    else:
        folder = train_stage(options.stage, config)
    if leads():
        print(folder)
