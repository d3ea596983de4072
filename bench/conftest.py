"""Its place makes pytest put the root of the repository, where the package `bench` lies, on the path."""
