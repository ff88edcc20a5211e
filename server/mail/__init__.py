"""Mails the server sends: the port, its two adapters, and the job that sends them."""
