"""From a plan to stored rows: processes, workers, the scheduler, and one run of them all."""
