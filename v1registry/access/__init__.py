"""What callers may do: rights, tokens, credentials, holders."""
