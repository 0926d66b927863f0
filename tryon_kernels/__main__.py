"""`python -m tryon_kernels`: what runs where, and the reason for each thing that is missing.

With `--variants`: the names of the instruction sets that `TRYON_KERNELS_ISA` may ask for on this CPU.
With `--explain OP`: which backend serves a call, and why no other does.
With `--check`: try all kernels that are there, and time those for GPUs.
"""

import argparse
import sys

import torch

from tryon_kernels.availability import OPS
from tryon_kernels.libraries import variants
from tryon_kernels.report import check, explain, report

DTYPES = ("float32", "float64", "float16", "bfloat16")


def size(text: str) -> tuple[int, ...]:
    """NxCxHxW as four numbers."""
    sizes = tuple(map(int, text.split("x")))
    if len(sizes) != 4 or min(sizes) < 1:
        raise ValueError
    return sizes


parser = argparse.ArgumentParser(prog="python -m tryon_kernels", description="What runs where, and why not.")
what = parser.add_mutually_exclusive_group()
what.add_argument("--variants", action="store_true", help="only the instruction sets that this CPU runs, best first")
what.add_argument("--explain", choices=OPS, metavar="OP", help=f"which backend serves a call of {', '.join(OPS)}")
what.add_argument("--check", action="store_true", help="try all kernels here; exit status 1 if one is wrong")
parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu", help="of the call to explain")
parser.add_argument("--dtype", choices=DTYPES, default="float32", help="of its features")
parser.add_argument("--shape", type=size, default=(4, 256, 64, 48), metavar="NxCxHxW", help="of its features")
given = parser.parse_args()
if given.variants:
    print("\n".join(variants().runnable))
elif given.explain:
    print(explain(given.explain, given.device, getattr(torch, given.dtype), given.shape))
elif given.check:
    table, right = check(given.shape)
    print(table)
    sys.exit(0 if right else 1)
else:
    print(report())
