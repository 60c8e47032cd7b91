"""What all stages and recipes share around fastai's training loop. Most files are one callback.

- `fit`: the loop with all of the callbacks: `fit`
- `history`: a row in history.csv per epoch, with warnings; image metrics
- `resume`: save the state, and go on from it
- `stop`: Ctrl-C, and a loss that is not a number
- `precision`: bf16, and what happens when memory is too small
- `together`: one step by several processes; batch norm and dropout of whole batches
- `average`: a running average of the weights
- `optimizer`: Adam, fused
- `order`: in which order the callbacks run
- `losses`: losses of an image: `make_loss`; a new loss is a row in `LOSSES`
- `heads`: what a network that listens learns beside its image: `HeadsLoss`
- `ears`: at last, how far points of colour reach: `teach`
- `hours`: as many passes as fit into `--hours`: `passes`
- `adversarial`: losses of a critic's scores
- `steps`: what adversarial steps are made of: `Step`, `recipe_learner`, `ImagePool`
- `gan`: stage 4's adversarial step, on fastai's GANLearner
- `report`: sample grids, contact sheets, tables
"""
