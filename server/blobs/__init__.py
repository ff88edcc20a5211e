"""Where the bytes of images are kept: the port and its adapters, one file per technology."""
