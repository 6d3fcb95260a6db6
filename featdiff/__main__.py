"""``python -m featdiff`` is the command ``featdiff``."""

from featdiff.cli import main

if __name__ == "__main__":
    main()
