"""Fixtures of the offline servers' own tests."""

from __future__ import annotations

from aws.parts import aws, servers

__all__ = ["aws", "servers"]
