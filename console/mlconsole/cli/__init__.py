"""`mlconsole …`: one small module per noun. Faces hold no rules; what a command does, `engine` does."""
