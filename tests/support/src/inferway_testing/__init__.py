"""Support for tests: waiting, processes, running gateways. No product package imports it."""
