"""A run between two nodes: hello, frames and codec, channel, driver, limits, transcript."""
