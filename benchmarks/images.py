"""Networks of ImageNet's size with attention and normalisation: time and memory of reading, bounds.

    python benchmarks/images.py vit_b_16 convnext_tiny --device cuda
    python benchmarks/images.py vit_small convnext_small --methods ibp crown-ibp crown

The box has the radius --radius around a random image, and the first --rows outputs are bounded from
both sides. Weights are random, of seed 42, and the image is `torch.rand` after `manual_seed(7)`.
Each network is a process of its own. Prints one JSON line for reading and one for each method: the
widest bound, and how many of 100 images of the box lie inside the bounds, which must be all.
"""

from __future__ import annotations

import argparse
import copy
import json
import resource
import subprocess
import sys
import time
from fractions import Fraction

import numpy as np
import torch
from image_models import BUILD, SIDES
from measure import MIB
from torch import Tensor, nn

import boundmesh
from boundmesh import Box
from boundmesh.runtime.device import full_precision

SAMPLES = 100


def main(name: str, options: argparse.Namespace) -> None:
    full_precision()
    torch.manual_seed(42)
    module = BUILD[name]().eval()
    fill_zero_weights(module)
    torch.manual_seed(7)
    image = torch.rand(1, 3, SIDES[name], SIDES[name])
    begun = time.perf_counter()
    graph = boundmesh.from_torch(module, image)
    about = {
        "benchmark": "images",
        "network": name,
        "definition": type(module).__module__,
        "weights": sum(array.size for array in graph.weights.values()),
        "nodes": len(graph.nodes),
    }
    reading = {
        "work": "read",
        "seconds": round(time.perf_counter() - begun, 2),
        "host_mib": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024),
    }
    print(json.dumps(about | reading), flush=True)
    outputs = sampled(module, image, options)
    rows = np.eye(outputs.shape[1])[: options.rows]
    box = Box.around(image.numpy(), Fraction(options.radius), (0, 1))
    for method in options.methods:
        line = bounded(graph, box, rows, method, outputs[:, : len(rows)], options)
        print(json.dumps(about | line), flush=True)


def bounded(
    graph: boundmesh.Graph,
    box: Box,
    rows: np.ndarray,
    method: str,
    sample: np.ndarray,
    options: argparse.Namespace,
) -> dict[str, object]:
    """Bound rows of the outputs, and compare the bounds with outputs at sampled points."""
    begun = time.perf_counter()
    bounds = boundmesh.bounds(
        graph,
        box,
        method=method,
        rows=rows,
        device=options.device,
        rounding=options.rounding,
        tile_elements=options.tile_elements,
    )
    inside = ((bounds.lower <= sample) & (sample <= bounds.upper)).all(1).sum()
    return {
        "work": method,
        "radius": options.radius,
        "rounding": options.rounding,
        "rows": 2 * len(rows),
        "seconds": round(time.perf_counter() - begun, 2),
        "seconds_of_the_method": round(bounds.seconds, 2),
        "peak_mib": round(bounds.peak_bytes / MIB),
        "widest": float((bounds.upper - bounds.lower).max()),
        "sampled": float(np.ptp(sample, axis=0).max()),
        "inside": f"{inside} of {SAMPLES}",
        "device": device_name(options.device),
        "torch": torch.__version__,
    }


@torch.no_grad()
def fill_zero_weights(module: nn.Module) -> None:
    """Draw the weights of layers that begin with zeros, as the head of `vit_b_16` does.

    Its outputs would be zero on every input.
    """
    for layer in module.modules():
        if isinstance(layer, nn.Linear) and not layer.weight.any():
            layer.weight.normal_(std=0.02)


@torch.no_grad()
def sampled(module: nn.Module, image: Tensor, options: argparse.Namespace) -> np.ndarray:
    """Return the outputs in float64 at random corners of the box."""
    at = "cuda" if device_name(options.device) != "cpu" else "cpu"
    module = copy.deepcopy(module).to(at, torch.float64)
    radius, found = float(Fraction(options.radius)), []
    for _ in range(SAMPLES):
        signs = torch.randint(0, 2, image.shape) * 2 - 1
        found.append(module((image.double() + radius * signs).clamp(0, 1).to(at)))
    return torch.cat(found).cpu().numpy()


def device_name(chosen: str) -> str:
    cuda = chosen != "cpu" and torch.cuda.is_available()
    return torch.cuda.get_device_name() if cuda else "cpu"


def each_alone(names: list[str]) -> int:
    """Run every network in a process of its own."""
    given = [word for word in sys.argv[1:] if word not in BUILD]
    codes = [subprocess.run([sys.executable, __file__, name, *given]).returncode for name in names]
    return max(codes)


if __name__ == "__main__":
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    options.add_argument("networks", nargs="+", choices=[*BUILD], metavar="NETWORK")
    options.add_argument("--methods", nargs="+", default=["ibp", "crown-ibp"])
    options.add_argument("--radius", default="1e-6")
    options.add_argument("--rows", type=int, default=3, help="outputs to bound from both sides")
    options.add_argument("--rounding", default="real", help="what bounds must outweigh, or trust")
    options.add_argument("--tile-elements", type=int, default=2**23)
    options.add_argument("--device", choices=["auto", "cpu", "cuda"], default="auto")
    chosen = options.parse_args()
    if len(chosen.networks) > 1:
        sys.exit(each_alone(chosen.networks))
    main(chosen.networks[0], chosen)
