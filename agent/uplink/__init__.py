"""The way to the county: connection, link, delivery, commands."""
