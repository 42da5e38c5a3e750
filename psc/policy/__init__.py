"""Permissions: agreements, the decision on a run, the ledger of quotas, and what a partner may see."""
