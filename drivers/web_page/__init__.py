"""The village's page (本村网页): whether it answers, and with the expected content."""
