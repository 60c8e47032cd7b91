"""The drawn sample set: pictures made from a seed, so that everything can be tried without a download.

landscapes   a scene: sky, ground, backdrop, and flowers in front
flowers      the kinds of flowers, and where they stand
pen          what both are drawn with
paintings    a scene as a painting, for CycleGAN
clips        a camera that moves over a scene
folder       a whole set, written as a folder of photos
"""
