/** What an installer reads when the board on the line is none, or not the one that was named. */
import { type AddressInfo, createServer, type Server } from "node:net";
import { expect, it } from "vitest";
import { uploadToBoard } from "#hardware/flash/board/board-upload";
import { BOARDS } from "../../../hardware/espruino/build/boards.ts";

interface Firmware {
  readonly version: string;
  readonly board: string;
  readonly totalBytes: number;
  readonly fileBytes: number;
  readonly trashBytes: number;
  readonly files: Record<string, readonly [number, number]>;
}

const GOOD: Firmware = {
  version: "2v29",
  board: "ESP32",
  totalBytes: 917_504,
  fileBytes: 0,
  trashBytes: 0,
  files: {},
};

/** A console that answers as such a firmware does, and takes nothing. */
async function consoleOf(firmware: Firmware): Promise<Server> {
  const server = createServer((socket) => {
    let typed = "";
    socket.on("error", () => {});
    socket.on("data", (bytes) => {
      typed += bytes.toString("latin1");
      for (let end = typed.indexOf("\n"); end >= 0; end = typed.indexOf("\n")) {
        const line = typed.slice(0, end);
        typed = typed.slice(end + 1);
        const { version, board } = firmware;
        if (line.includes("@w402")) socket.write(`@w402 ${JSON.stringify(firmware)}\r\n`);
        else if (line.includes("JSON.stringify(process.env)"))
          socket.write(`< << ${JSON.stringify({ VERSION: version, BOARD: board })} >> >\r\n`);
        socket.write("\r\n>");
      }
    });
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return server;
}

/** In one line why the light was not put onto it. */
async function refusal(port: string): Promise<string> {
  const files = new Map([["w402.key", new Uint8Array(96)]]);
  try {
    await uploadToBoard({ port, board: BOARDS.esp32, image: "print(1);\n".repeat(10), files });
    return "flashed";
  } catch (error) {
    return (error as Error).message;
  }
}

async function refusalOf(firmware: Firmware): Promise<string> {
  const server = await consoleOf(firmware);
  const port = `tcp://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const reported = await refusal(port);
  await new Promise<void>((resolve) => server.close(() => resolve()));
  return reported.replace(`--port ${port}: `, "");
}

it("no port and no board are reported in one line, though the CLI ends well", async () => {
  expect(await refusal("/dev/no-such-board")).toBe(
    "--port: expected a serial port, found no /dev/no-such-board; is the board plugged in?",
  );
  expect(await refusal("tcp://127.0.0.1:1")).toBe(
    "--port tcp://127.0.0.1:1: expected a board with Espruino's prompt, found nothing that can be opened: ECONNREFUSED",
  );
});

it("another board, an old firmware, a flash without room, and a line that loses bytes are distinguished", async () => {
  const others = { ...GOOD, fileBytes: 917_400, trashBytes: 50 };
  const torn = { ...GOOD, fileBytes: 900_000, files: { ".bootcde": [100, 1] as const } };
  const [board, version, flash, line] = await Promise.all([
    refusalOf({ ...GOOD, board: "PICO_R1_3" }),
    refusalOf({ ...GOOD, version: "2v18.12" }),
    refusalOf(others),
    refusalOf(torn),
  ]);
  expect(board).toBe("expected the firmware of ESP32 (ESP32), found PICO_R1_3; see --board");
  expect(version).toBe("expected Espruino 2v29 or newer, found 2v18.12; flash its firmware first");
  expect(flash).toBe(
    "expected 260 bytes free in the board's flash, found 104; delete files of others, or erase it",
  );
  // Reported only after it was sent twice.
  expect(line).toBe(
    "expected .bootcde, w402.key whole on the board, found another length or checksum, sent twice; " +
      "is the line too long or too noisy?",
  );
});
