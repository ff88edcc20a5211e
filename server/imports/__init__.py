"""Import by URL: fetching a file from the public internet, and from nowhere else."""
