"""The Hub (Index) API: users, repositories, image lists, tokens, search."""
