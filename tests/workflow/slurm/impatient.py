"""Snakemake, but it looks at its jobs each second: the plugin waits longer after each look that finds nothing new."""

import asyncio
import sys

from snakemake.cli import main
from snakemake_interface_executor_plugins.executors.remote import RemoteExecutor


async def second(self: RemoteExecutor) -> None:
    await asyncio.sleep(1)


RemoteExecutor.sleep = second  # type: ignore[method-assign]
sys.exit(main(sys.argv[1:]))
