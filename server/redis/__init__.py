"""What goes through Redis: nothing of it is the only copy, so all of it may be lost at any moment."""
