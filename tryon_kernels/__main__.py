"""`python -m tryon_kernels`: what runs where, and the reason for each thing that is missing.

With `--variants`: the names of the instruction sets that `TRYON_KERNELS_ISA` may ask for on this CPU.
"""

import argparse

from tryon_kernels.backends import report, variants

parser = argparse.ArgumentParser(prog="python -m tryon_kernels", description="What runs where, and why not.")
parser.add_argument("--variants", action="store_true", help="only the instruction sets that this CPU runs, best first")
print("\n".join(variants.runnable) if parser.parse_args().variants else report())
