"""Use cases as plain functions; stores and buses come in through ports."""
