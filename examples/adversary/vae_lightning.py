"""The VAE of vae.py as a LightningModule with automatic optimisation; the adversary is a module of it.

    pip install pytorch-lightning
    python examples/adversary/vae_lightning.py [STEPS]

Lightning moves the adversary to the device and puts its state into every checkpoint. It has an optimiser of its own,
so `configure_optimizers` names the VAE's parameters only.
"""

import sys
from typing import Any

import pytorch_lightning as lightning
import torch
from torch import Tensor
from torch.utils.data import DataLoader, TensorDataset
from vae import Vae, digits, discriminator

import gankit


class AdversarialVae(lightning.LightningModule):
    def __init__(self) -> None:
        super().__init__()
        self.vae = Vae()
        self.adversary = gankit.Adversary(
            discriminator(), "hinge", shape=(1, 28, 28), parts=["r1"], lr=1e-3, betas=(0.5, 0.9), penalty_every=4
        )
        self.entrance = gankit.Entrance(wait=100, ramp=200, last_layer=self.vae.last.weight)

    def training_step(self, batch: tuple[Tensor], number: int) -> Tensor:
        (real,) = batch
        fake, kl = self.vae(real)
        error = (fake - real).abs().mean()
        self.log_dict({"error": error, **self.adversary.d_step(real, fake)})
        return error + 1e-4 * kl.mean() + self.entrance(error, self.adversary.g_loss(fake, real))

    def configure_optimizers(self) -> Any:
        return torch.optim.Adam(self.vae.parameters(), 1e-3)


def main(steps: int) -> None:
    lightning.seed_everything(0)
    batches = DataLoader(TensorDataset(digits()), batch_size=32, shuffle=True)
    trainer = lightning.Trainer(
        max_steps=steps, accelerator="cpu", logger=False, enable_progress_bar=False, enable_model_summary=False
    )
    trainer.fit(AdversarialVae(), batches)
    print({name: round(float(value), 4) for name, value in trainer.callback_metrics.items()})


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 1000)
