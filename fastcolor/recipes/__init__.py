"""Neighbouring systems, a module each, whose `main` reads as the recipe. A new module here is a new command.

It has NAME, OUTPUTS (the weights files that it leaves in its run folder), a step and `main`.
"""
