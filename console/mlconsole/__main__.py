"""The one door: `mlconsole …` runs a command. Only this module may know both faces."""

from __future__ import annotations

import sys


def main() -> None:
    """Run the command line and leave with its exit code (design §6)."""
    from mlconsole.cli.main import run

    sys.exit(run(sys.argv[1:]))


if __name__ == "__main__":
    main()
