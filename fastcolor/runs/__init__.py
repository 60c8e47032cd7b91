"""The run folder: what is in it, who may write there, what must not change.

- `folder`: where everything in a run folder lies, config.json and history.csv: `RunFolder`
- `settings`: what all stages of a run share: `Settings`
- `run`: a run, opened by a command's flags: `open_run`, `open_recipe`
- `provenance`: what a training was made with: versions, device, git revision
- `curves`: history.csv as a picture: `draw_history`
- `listing`: what the web page shows of run folders
"""
