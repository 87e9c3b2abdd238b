"""The use cases: plan, apply, revert, recover, observe. They know roles, never a backend by name; faces call them and hold no rules."""
