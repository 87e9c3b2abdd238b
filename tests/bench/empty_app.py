"""The least that Textual can be: what the console's start is measured against."""

from __future__ import annotations

from textual.app import App

if __name__ == "__main__":
    App[None]().run()
