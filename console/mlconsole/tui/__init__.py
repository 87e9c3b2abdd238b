"""The Textual app: one screen per module, widgets beside them. Screens hold no rules; they render snapshots and ask the engine."""
