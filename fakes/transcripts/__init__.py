"""Transcripts: requests and answers that are written to a file, and replayed."""
