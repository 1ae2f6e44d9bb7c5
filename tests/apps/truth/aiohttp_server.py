"""Ground truth on one event loop: aiohttp as the server and the client. See tests/src/truth. Takes a port."""

import asyncio
import os
import random
import sys

import aiohttp
from aiohttp import web

UPSTREAM = os.environ["UPSTREAM"]
SESSION = web.AppKey("session", aiohttp.ClientSession)


async def pause():
    await asyncio.sleep(random.uniform(0, 0.005))


def caller(request):
    session, name = request.app[SESSION], request.match_info["id"]

    async def call(number):
        async with session.get(f"{UPSTREAM}/up/{name}/{number}") as answer:
            answer.raise_for_status()
            await answer.read()

    return call


async def seq(request):
    call = caller(request)
    await call(1)
    await call(2)
    return web.Response(text="ok")


async def pauses(request):
    call = caller(request)
    await pause()
    await call(1)
    await pause()
    await call(2)
    await pause()
    return web.Response(text="ok")


async def fan(request):
    call = caller(request)
    await asyncio.gather(call(1), call(2))
    await call(3)
    return web.Response(text="ok")


async def session(app):
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=256)) as made:
        app[SESSION] = made
        yield


app = web.Application()
app.cleanup_ctx.append(session)
app.add_routes([web.get("/seq/{id}", seq), web.get("/pause/{id}", pauses), web.get("/fan/{id}", fan)])
web.run_app(app, host="127.0.0.1", port=int(sys.argv[1]), print=None, access_log=None)
