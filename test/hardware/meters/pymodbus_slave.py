"""A Modbus RTU slave by another implementation: the oracle of the meters' system test.

Usage: pymodbus_slave.py DEVICE SLAVE < registers as JSON {"address": word}. Prints "ready", serves until killed.
"""
import asyncio
import json
import sys

from pymodbus.datastore import ModbusSequentialDataBlock, ModbusServerContext, ModbusSlaveContext
from pymodbus.server import StartAsyncSerialServer
from pymodbus.transaction import ModbusRtuFramer


async def main() -> None:
    device, slave = sys.argv[1], int(sys.argv[2])
    words = [0] * 512
    for address, word in json.load(sys.stdin).items():
        words[int(address)] = word
    block = ModbusSequentialDataBlock(0, words)
    context = ModbusServerContext(slaves={slave: ModbusSlaveContext(ir=block, zero_mode=True)}, single=False)
    print("ready", flush=True)
    await StartAsyncSerialServer(
        context=context, framer=ModbusRtuFramer, port=device, baudrate=9600, timeout=0.01
    )


asyncio.run(main())
