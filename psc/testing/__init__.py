"""For tests, of psc's users too: a pair of nodes that trust each other, ideal protocols, faulty channels, made-up data."""

from psc.testing.nodes import NodePair, node_pair

__all__ = ["NodePair", "node_pair"]
