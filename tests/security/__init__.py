"""Tests that play an attacker: each of them got through once, or would without what stands in the way."""
