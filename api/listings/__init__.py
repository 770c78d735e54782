"""What listings share: their filters, and rows as CSV."""
