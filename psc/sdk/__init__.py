"""The Python face of a node: open it, connect to partners, plan and run; serve partners."""
