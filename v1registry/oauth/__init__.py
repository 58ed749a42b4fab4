"""The OAuth 2 and accounts APIs: applications that act for a user, profiles, addresses."""
