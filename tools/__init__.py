"""Programs people run by hand."""
