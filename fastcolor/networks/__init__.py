"""Generators and critics, each rebuilt from its config, and their weights files.

- `registry`: the table of all networks; a new network is a new row: `build`
- `unet`: the lean generator of the four stages
- `hint_unet`: a larger one, which takes points of colour and tells classes of colours; its `encoders` and `ears`
- `critics`: the lean critic of the four stages
- `fastai_nets`: fastai's own generator and critic, with the same interface
- `classic`: the recipes' networks
- `layers`: what several networks share
- `pretrained`: first weights: bundled, ImageNet's, another run's: `load_pretrained`
- `checkpoint`: weights files: `save_network`, `load_network`
"""
