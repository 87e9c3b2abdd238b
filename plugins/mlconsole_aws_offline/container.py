"""A model's container, played by a module that serves: `python -m mlconsole_aws_offline.container MODULE ARGUMENTS…`, until stdin ends."""

from __future__ import annotations

import runpy
import sys

from mlconsole_aws_offline.lifeline import hold_on


def main() -> None:
    """Run the module as if it had been called itself."""
    hold_on()
    module = sys.argv[1]
    sys.argv = [module, *sys.argv[2:]]
    runpy.run_module(module, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
