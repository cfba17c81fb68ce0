"""The VAE of vae.py with accelerate: its backward passes, and gradients of D that it accumulates as those of the VAE.

pip install accelerate
accelerate launch examples/adversary/vae_accelerate.py [STEPS]
"""

import sys

import torch
from accelerate import Accelerator
from torch.utils.data import DataLoader, TensorDataset
from vae import Vae, digits, discriminator

import gankit

ACCUMULATED = 2


def main(steps: int) -> None:
    accelerator = Accelerator(gradient_accumulation_steps=ACCUMULATED, cpu=not torch.cuda.is_available())
    torch.manual_seed(0)
    vae = Vae()
    optimizer = torch.optim.Adam(vae.parameters(), 1e-3)
    batches = DataLoader(TensorDataset(digits()), batch_size=32, shuffle=True, drop_last=True)
    vae, optimizer, batches = accelerator.prepare(vae, optimizer, batches)
    adversary = gankit.Adversary(
        discriminator().to(accelerator.device), "hinge", shape=(1, 28, 28), parts=["r1"], lr=1e-3, betas=(0.5, 0.9)
    )
    entrance = gankit.Entrance(wait=100, ramp=200, last_layer=accelerator.unwrap_model(vae).last.weight)
    for step, (real,) in zip(range(1, steps + 1), batches, strict=False):
        with accelerator.accumulate(vae):
            fake, kl = vae(real)
            error = (fake - real).abs().mean()
            accelerator.backward(adversary.d_loss(real, fake))  # divides by the number of accumulated steps
            if accelerator.sync_gradients:
                adversary.d_update()
            accelerator.backward(error + 1e-4 * kl.mean() + entrance(error, adversary.g_loss(fake, real)))
            optimizer.step()
            optimizer.zero_grad()
        if step % 100 == 0 or step == steps:
            accelerator.print(f"step {step}: error {error.item():.4f}, D has moved {adversary.steps} times")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 300)
