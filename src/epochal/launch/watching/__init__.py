"""Who is told while training goes on: the terminal, a notebook, W&B, who follows from elsewhere."""
