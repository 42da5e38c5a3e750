"""Match and count as users know them: request, plan, the initiator's side, the responder's side, result."""
