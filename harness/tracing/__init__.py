"""Where two trainings part, and why: the walk, the search for causes, and what they are told by."""
