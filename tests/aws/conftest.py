"""Fixtures of the AWS plugin's tests."""

from __future__ import annotations

from aws.parts import aws, servers

__all__ = ["aws", "servers"]
