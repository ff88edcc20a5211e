"""Assets: the images and files of rooms, from the announcement of an upload to their removal.

    uploads.py    routes by which bytes come: announced and signed, in parts, straight, from an address
    reading.py    routes by which they are read and listed
    intake.py     the check of what really arrived
    keeping.py    rows: quotas, "the same bytes once", letting go
    rendering.py  the job that makes smaller forms
    sweep.py      the job that removes what nobody refers to
    names.py      keys and file names
    shapes.py     the JSON of all this

Does not own: where bytes are (`server/blobs`), what a picture is (`server/media`).
"""
