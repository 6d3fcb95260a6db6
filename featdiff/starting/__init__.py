"""A new project from somebody's own images: what they are, what settings suit them and this machine, and its files."""
