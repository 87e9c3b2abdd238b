"""What is claimed, measured: `python -m tests.bench [--long] [--only NAME]`. Figures compare within one run only: machines are noisy."""
