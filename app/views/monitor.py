"""Accounts at brokers and the loop that watches them."""

from app import room
from app.components import broker_accounts

broker_accounts.show(room.actor())
