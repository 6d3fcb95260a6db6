"""The machine that computes: devices, who has claimed them, compiled code."""
