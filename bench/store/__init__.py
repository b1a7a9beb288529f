"""The database: schema, writing, querying."""
