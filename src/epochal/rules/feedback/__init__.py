"""What rules with feedback matrices share: credit straight to sites, backward passes without transport."""
