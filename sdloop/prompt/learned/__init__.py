"""Words that somebody taught a model, as files, and what may stand in a word's place. No torch."""
