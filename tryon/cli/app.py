"""``tryon app``: a local web page that dresses people."""

from __future__ import annotations

import argparse

from tryon.cli.options import Commands, add_device, add_weights, chosen_device
from tryon.inference import TryOn
from tryon.precision import LOWERED

LOOPBACK = "127.0.0.1"
PORT = 7860


def add_arguments(commands: Commands) -> None:
    """Add ``app``."""
    parser = commands.add_parser("app", help="a local web page that dresses people")
    add_weights(parser)
    parser.add_argument(
        "--host", default=LOOPBACK, metavar="ADDRESS", help=f"address to listen at (default: {LOOPBACK}, this machine)"
    )
    parser.add_argument("--port", type=int, default=PORT, metavar="N", help=f"0: any that is free (default: {PORT})")
    parser.add_argument(
        "--precision", choices=LOWERED, help="(default: bf16 on a CPU that multiplies it itself, else fp32)"
    )
    add_device(parser)
    parser.set_defaults(run=_app)


def _app(options: argparse.Namespace) -> None:
    from tryon.app.server import serve

    model = TryOn.load(options.weights, chosen_device(options.device), options.precision)
    serve(model, options.host, options.port, lambda address: print(address, flush=True))
