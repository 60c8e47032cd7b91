"""What all stages and recipes share: the fit, its history, losses, the adversarial steps, resuming."""
