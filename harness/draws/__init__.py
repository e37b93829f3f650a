"""Everything random: splits, starts, batches, masks; drawn once, for all backends."""
