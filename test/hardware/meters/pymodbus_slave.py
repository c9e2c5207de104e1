"""A Modbus RTU slave by another implementation: the oracle of the meters' system test.

Usage: pymodbus_slave.py DEVICE SLAVE < registers as JSON {"address": word}. Prints "ready", serves until killed.
"""
import asyncio
import json
import sys

from pymodbus.datastore import ModbusSequentialDataBlock, ModbusServerContext, ModbusSlaveContext
from pymodbus.server import StartAsyncSerialServer

try:
    from pymodbus.transaction import ModbusRtuFramer as RTU
except ImportError:  # from 3.7 on
    from pymodbus import FramerType

    RTU = FramerType.RTU


def slave_of(words: list[int]) -> ModbusSlaveContext:
    try:
        return ModbusSlaveContext(ir=ModbusSequentialDataBlock(0, words), zero_mode=True)
    except TypeError:  # later versions count from 1 always
        return ModbusSlaveContext(ir=ModbusSequentialDataBlock(1, words))


async def main() -> None:
    device, slave = sys.argv[1], int(sys.argv[2])
    words = [0] * 512
    for address, word in json.load(sys.stdin).items():
        words[int(address)] = word
    context = ModbusServerContext(slaves={slave: slave_of(words)}, single=False)
    print("ready", flush=True)
    await StartAsyncSerialServer(
        context=context, framer=RTU, port=device, baudrate=9600, timeout=0.01
    )


asyncio.run(main())
