"""Work done after the answer: what a job's handler is given, the runner, the list of kinds, the routes."""
