"""Who is asking: users, their passwords and profiles, and the places in which they are kept."""
