"""Channels: in memory, and over gRPC dialled by either side.

``mailbox`` holds a session's frames where the two ends meet; ``pump`` moves them for an end that is elsewhere; ``memory``
joins two ends in one process; ``grpc`` carries calls over mutual TLS. Nothing here sees the inside of a document or a frame.
"""
