"""Parts of the local learning coefficient: potentials of networks, curvature, sampling with its settings."""
