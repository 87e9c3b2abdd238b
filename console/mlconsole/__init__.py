"""mlconsole: deploy model versions, shift traffic, watch, and revert, from a terminal."""
