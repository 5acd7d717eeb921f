"""``python -m reports`` is ``crawl-audit``."""

from reports.cli import main

if __name__ == "__main__":
    main()
