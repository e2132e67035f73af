"""What measures of linear regions share: frames, points that can be moved, counts of units that are cut."""
