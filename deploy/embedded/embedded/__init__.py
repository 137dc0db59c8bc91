"""The whole product on one machine, for development and tests: servers, a real model, services."""
