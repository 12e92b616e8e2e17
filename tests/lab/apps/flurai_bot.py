"""flurai's bot: the bot of the lab, logging JSON as flurai's production does."""

from __future__ import annotations

import asyncio

import bot
from shared_parts import log_as_json

if __name__ == "__main__":
    log_as_json()
    asyncio.run(bot.main())
