"""lucic-nets with batch norm in the discriminator, as that paper's GAN, LSGAN, WGAN and DRAGAN by default."""

from gankit_extensions.lucic_nets import Extension

networks = Extension(d_batch_norm=True)
