"""`fastcolor app`: a page that colours photos in a browser, and shows runs while they train.

    command.py  `fastcolor app`: the address, and how it ends
    server.py   what is answered to which request
    guard.py    who may ask
    desk.py     the photos that were handed in, and the thread that colours them one after the other
    page/       the page itself: plain HTML, CSS and JavaScript, nothing from elsewhere

What is in run folders is read by `fastcolor.runs.listing`.
"""
