"""What every room uses and that knows no other: errors, words for a terminal, limits, versions, archives."""
