"""Rules that take another one's gradient elsewhere: at noisy weights, at the worst point nearby."""
