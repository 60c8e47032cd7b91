"""The four neighbouring systems, each as it was described: one module each, whose `main` reads as the recipe."""
