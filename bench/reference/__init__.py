"""The plain service to compare with: Tornado and Peewee, written the way most would write it."""
