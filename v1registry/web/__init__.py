"""The pages for people: browse, log in, consent."""
