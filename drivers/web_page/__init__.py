"""The village's page (本村网页): does it answer, and with what it should say?"""
