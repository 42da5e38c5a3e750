"""What can be proved afterwards: receipts signed by both parties."""
