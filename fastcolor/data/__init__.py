"""The photos of a run: which ones, decoded once, cut into batches.

- `prepare`: what has to be there first: the sample, the choice of photos, the split: `prepare_photos`
- `split`: which photos are trained on and which are held out: `read_split`, `write_split`
- `photos`: the prepared photos, loaded: `load_photos`
- `cache`: decoded squares in one memory-mapped file
- `batches`: training batches for fastai: `color_batches`, `critic_batches`, `unpaired_batches`, `batch_size`
- `points`: points of colour, drawn as a user might set them: `sample_points`
- `fakes`: what a generator makes of the photos: `write_fakes`, `load_fakes`
"""
