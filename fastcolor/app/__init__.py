"""`fastcolor app`: a page that colours photos and films in a browser, and shows runs while they train.

    command.py  `fastcolor app`: what is said, and how it ends
    addresses.py  the addresses under which others reach the page, and their QR code
    server.py   what is answered to which request
    film_server.py  the same for films
    bodies.py   what comes with a request
    zipping.py  a zip file, made while it is sent
    guard.py    who may ask
    limits.py   what slow and greedy clients may take
    desk.py     the photos that were handed in, and the thread that works on them one after the other
    handed.py   one of these photos
    looks.py    what the page shows of it
    own.py      its points of colour
    films.py    the films that were handed in
    film_work.py  work on one of them, in a process of its own
    page/       the page itself: plain HTML, CSS and JavaScript, nothing from elsewhere

What is in run folders is read by `fastcolor.runs.listing`.
"""
