"""A flow model that needs 32 steps, and a student that learns from its samples to do it in one: points on a ring.

    python examples/adversary/distillation.py [STEPS]

The student begins as one long step of the teacher. A relativistic critic compares its samples with those of the
teacher, which are made beforehand. The share of samples within 0.2 of a mode of the ring is printed.
"""

import copy
import sys

import torch
from torch import Tensor, nn

import gankit
from gankit.data import builtin_datasets, load_dataset

EULER_STEPS = 32


class Flow(nn.Module):
    """Points [N, 2] and times [N, 1] -> velocities [N, 2]."""

    def __init__(self, width: int = 128) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(3, width), nn.SiLU(), nn.Linear(width, width), nn.SiLU(),
            nn.Linear(width, width), nn.SiLU(), nn.Linear(width, 2),
        )  # fmt: skip

    def forward(self, x: Tensor, t: Tensor) -> Tensor:
        velocity: Tensor = self.layers(torch.cat([x, t], 1))
        return velocity

    def sample(self, z: Tensor, steps: int) -> Tensor:
        """Points that z [N, 2] flows to in so many steps."""
        x = z
        for step in range(steps):
            x = x + self(x, torch.full((len(x), 1), step / steps)) / steps
        return x


def train_teacher(real: Tensor, steps: int) -> Flow:
    """Flow matching along straight lines (Lipman et al. 2023)."""
    teacher = Flow()
    optimizer = torch.optim.Adam(teacher.parameters(), 2e-3)
    for _ in range(steps):
        x, z, t = real[torch.randint(len(real), (256,))], torch.randn(256, 2), torch.rand(256, 1)
        loss = (teacher(z + t * (x - z), t) - (x - z)).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return teacher.requires_grad_(False)


def distil(teacher: Flow, steps: int) -> Flow:
    """The student of a teacher: one step."""
    student = copy.deepcopy(teacher).requires_grad_(True)
    lessons = teacher.sample(torch.randn(20_000, 2), EULER_STEPS)
    critic = nn.Sequential(
        nn.Linear(2, 128), nn.LeakyReLU(0.2), nn.Linear(128, 128), nn.LeakyReLU(0.2), nn.Linear(128, 1), nn.Flatten(0)
    )
    adversary = gankit.Adversary(critic, "r3gan", shape=(2,), options={"gamma": 0.1}, lr=1e-3, betas=(0.0, 0.99))
    optimizer = torch.optim.Adam(student.parameters(), 5e-4, (0.0, 0.99))
    for step in range(1, steps + 1):
        real = lessons[torch.randint(len(lessons), (256,))]
        fake = student.sample(torch.randn(256, 2), 1)
        adversary.d_step(real, fake)
        loss = adversary.g_loss(fake, real)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if step % 500 == 0 or step == steps:
            print(f"step {step}: {adversary.verdict()}")
    return student


def on_the_ring(points: Tensor) -> str:
    """The share of points within 0.2 of one of the eight modes, and how many of the modes have a twentieth of them."""
    angles = torch.arange(8) * torch.pi / 4
    distance, mode = torch.cdist(points, 2 * torch.stack([angles.cos(), angles.sin()], 1)).min(1)
    near = mode[distance < 0.2]
    return f"{len(near) / len(points):.0%} near {int((near.bincount(minlength=8) > len(points) / 20).sum())} of 8 modes"


def main(steps: int) -> None:
    torch.manual_seed(0)
    real = load_dataset("ring8", builtin_datasets()).samples
    teacher = train_teacher(real, 2 * steps)
    z = torch.randn(2_000, 2)
    print(f"teacher, {EULER_STEPS} steps: {on_the_ring(teacher.sample(z, EULER_STEPS))}")
    print(f"teacher, 1 step: {on_the_ring(teacher.sample(z, 1))}")
    student = distil(teacher, steps)
    with torch.no_grad():
        print(f"student, 1 step: {on_the_ring(student.sample(z, 1))}")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 3000)
