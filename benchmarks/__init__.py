"""What Headwater costs, measured against programs written by hand."""
