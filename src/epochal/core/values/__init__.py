"""Plain values: specs, axes, identities, events, outcomes, schedules, figures. Never torch."""
