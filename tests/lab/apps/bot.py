"""A bot on aiogram that polls a Bot API server and asks its backend now and then."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import sys

import aiohttp
from aiogram import Bot, Dispatcher, types
from aiogram.client.session.aiohttp import AiohttpSession
from aiogram.client.telegram import TelegramAPIServer
from aiogram.filters import CommandStart

log = logging.getLogger("bot")
BACKEND = os.environ.get("BACKEND_URL", "http://backend:8000/api/v1/users")
dispatcher = Dispatcher()


@dispatcher.message(CommandStart())
async def start(message: types.Message) -> None:
    await message.answer("Welcome")


async def ask_backend() -> None:
    """Ask the backend every two seconds, and say in the log what it answers if it is not well."""
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=3)) as session:
        while True:
            try:
                async with session.get(BACKEND) as answer:
                    if answer.status >= 500:
                        log.error("backend answered %s for %s", answer.status, BACKEND)
            except (aiohttp.ClientError, TimeoutError, OSError) as error:
                log.error("cannot reach the backend: %s: %s", type(error).__name__, error)
            await asyncio.sleep(2)


async def main() -> None:
    token = os.environ.get(os.environ.get("BOT_READS", "BOT_TOKEN"), "")
    if not token:
        log.critical("BOT_TOKEN is not set")
        sys.exit(1)
    server = TelegramAPIServer.from_base(os.environ["TELEGRAM_API"])
    bot = Bot(token, session=AiohttpSession(api=server))
    asker = asyncio.create_task(ask_backend())
    try:
        me = await bot.get_me()
        log.info("Start polling as @%s", me.username)
        await dispatcher.start_polling(bot, polling_timeout=5, handle_signals=True)
    finally:
        asker.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await asker
        await bot.session.close()


if __name__ == "__main__":
    logging.basicConfig(
        level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s", stream=sys.stdout
    )
    asyncio.run(main())
