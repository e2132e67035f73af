"""What several runs say together: times, differences, couplings, and the error they may have."""
