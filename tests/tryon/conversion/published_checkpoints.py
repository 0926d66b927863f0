"""Checkpoints in the published layout, and the published networks with them."""

import torch

from benchmarks.plain.networks import Generator, WarpNetwork
from benchmarks.plain.people import dress, student_input, tutor_condition, tutor_input, warp
from tryon.conversion import NETWORKS, key_table

PLAIN = {
    "tutor_warp": lambda: WarpNetwork(condition_channels=45, width=1),
    "tutor_generator": lambda: Generator(in_channels=8, width=1),
    "student_warp": lambda: WarpNetwork(condition_channels=3, width=1),
    "student_generator": lambda: Generator(in_channels=7, width=1),
}


def our_shapes(kind):
    with torch.device("meta"):
        return {key: list(value.shape) for key, value in NETWORKS[kind]().state_dict().items()}


def blank_checkpoint(kind):
    """A checkpoint of the right keys and shapes that occupies no memory."""
    ours = our_shapes(kind)
    return {published: torch.zeros(()).expand(ours[key]) for published, key in key_table(kind).items()}


def random_checkpoint(kind):
    """Published keys; convolutions keep the scale of what passes through, and no two normalisations are alike."""
    generator = torch.Generator().manual_seed(0)
    ours, state = our_shapes(kind), {}
    for key, shape in ((published, ours[key]) for published, key in key_table(kind).items()):
        if len(shape) == 4:
            scale = (shape[1] * shape[2] * shape[3]) ** -0.5
            state[key] = torch.randn(shape, generator=generator) * scale
        elif key.endswith(("running_var", "weight")):
            state[key] = 0.5 + torch.rand(shape, generator=generator)
        elif key.endswith("tracked"):
            state[key] = torch.tensor(7)
        else:
            state[key] = 0.1 * torch.randn(shape, generator=generator)
    return state


def published_network(kind, state):
    """The published network in its plain form, with this checkpoint."""
    with torch.device("meta"):
        network = PLAIN[kind]()
    network.load_state_dict(state, assign=True)
    return network.eval()


def student_try_on(networks, person, garment):
    """One try-on as published, all results by name; `networks` are warp network and generator."""
    warp_network, generator = networks
    warped = warp(warp_network, garment, person.photo)
    return results(warped, dress(generator, student_input(person.photo, warped), warped))


def tutor_try_on(networks, person, garment):
    """The same of the tutor."""
    warp_network, generator = networks
    warped = warp(warp_network, garment, tutor_condition(person))
    return results(warped, dress(generator, tutor_input(person, warped, covered=warped.mask), warped))


def results(warped, dressed):
    """All that a try-on gives, ours or the plain form's, by name."""
    return {
        "warped garment": warped.garment,
        "warped mask": warped.mask,
        "rendered": dressed.rendered,
        "composition": dressed.composition,
        "image": dressed.image,
    }
