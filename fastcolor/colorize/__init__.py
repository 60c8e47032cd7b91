"""From a photo to a coloured photo: one way for the command, the page, Python and the tests.

    colorizer.py  `Colorizer` and `predict`: one network, loaded once, and photos through it
    engine.py     what runs a network, as all of these see it: `Engine`
    hints.py      your own colours: `Hint`, and the files that keep them
    reach.py      hints as the planes of points that a network takes, and its answer at their places
    listening.py  what a network makes of hints, and which colours it finds likely
    like.py       colours of a reference photo as hints
    prepared.py   a photo kept small between clicks
    guided.py     colours that end where the light does
    load.py       which engine runs which weights
    onnx.py       networks run by onnxruntime: `.onnx` files, and weights files with a known graph
    with_torch.py networks run by torch: all others
    options.py    which sizes and strengths can be asked for
    tiles.py      networks that change a photo's light too (CycleGAN), at any size
    folder.py     `fastcolor colorize`: the command
    work.py       one process of it: a network, and files here or at addresses through it
    shared.py     many processes: what they remember together, and work on a Ray cluster
    films.py      the films among them
    plan.py       what it will read, and where each result goes
    flow.py       many photos at once: reading, colouring and writing overlap
    record.py     what results were made with, and the mark of a machine
    report.py     what a run says at its end
    export.py     `fastcolor export`: a network as an `.onnx` file
    graph.py      the graph of a network, without its weights
"""
