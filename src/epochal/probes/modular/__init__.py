"""What probes of networks that learn ``a op b`` modulo a number share: the table in order, waves over it."""
