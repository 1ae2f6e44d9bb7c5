"""Ground truth on one event loop: fastapi and httpx. See tests/src/truth."""

import asyncio
import os
import random
from contextlib import asynccontextmanager

import fastapi
import httpx

UPSTREAM = os.environ["UPSTREAM"]


@asynccontextmanager
async def lifespan(app):
    limits = httpx.Limits(max_connections=256, max_keepalive_connections=256)
    async with httpx.AsyncClient(limits=limits, timeout=30) as app.state.client:
        yield


app = fastapi.FastAPI(lifespan=lifespan)


async def pause():
    await asyncio.sleep(random.uniform(0, 0.005))


async def call(name, number):
    (await app.state.client.get(f"{UPSTREAM}/up/{name}/{number}")).raise_for_status()


@app.get("/seq/{name}")
async def seq(name: int):
    await call(name, 1)
    await call(name, 2)
    return "ok"


@app.get("/pause/{name}")
async def pauses(name: int):
    await pause()
    await call(name, 1)
    await pause()
    await call(name, 2)
    await pause()
    return "ok"


@app.get("/fan/{name}")
async def fan(name: int):
    await asyncio.gather(call(name, 1), call(name, 2))
    await call(name, 3)
    return "ok"
