"""Rate limits: how often somebody may do something, counted here or in Redis."""
