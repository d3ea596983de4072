"""Makes pytest put the root of the repository, which contains the package `bench`, on the path."""
