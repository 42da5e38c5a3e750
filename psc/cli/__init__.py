"""The command line: a thin face over the SDK. Modules load what is heavy only when a command needs it."""
