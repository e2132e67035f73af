"""Studies: planned, frozen at the first data, trained look by look, analysed."""
