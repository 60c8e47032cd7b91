"""Related methods, a module each. `main` reads as the recipe, and a new module here is a new command.

- `pix2pix`: grey RGB to RGB, with a U-Net and a critic that sees both
- `lab_gan`: L to a and b, with an encoder and decoder, and nothing but a critic to learn from
- `lab_cgan`: L to a and b, with a U-Net; BCE, LSGAN or WGAN-GP
- `cyclegan`: photos to paintings and back, without pairs

A module has NAME, OUTPUTS (the weights files that it leaves in its run folder), a step and `main`.
"""
