/**
 * A CSE7766 on a UART: power, voltage, current and pulses of energy, without being asked.
 *
 * Promise: energy is the chip's own pulses, over their 16-bit wrap; pulses that no supply could have
 * carried since the frame before are a restart of the chip, and are not counted. The chip's count before
 * the first frame is not known to be this process's, and not counted either.
 */

import type { MeterContext, MeterDriver } from "../meter-driver.ts";
import { explainSerial, serialStream } from "../modbus/line.ts";
import type { OpenStream } from "../modbus/rtu-port.ts";
import { rangeFault } from "../physical-range.ts";
import { CountedMeter } from "../pulse/counted-meter.ts";
import { type CseFrame, CseFrames } from "./cse7766-frames.ts";

/** The part's line: data sheet, section on the serial interface. */
const LINE = { baud: 4800, parity: "even", stopBits: 1 } as const;

const REOPEN_MS = 2000;

/** Frames come twenty a second; this long without one is silence. */
const FRESH_MS = 3000;

const PULSES_WRAP = 0x10000;

/** Bytes of noise in a row that mean a wrong line format. */
const NOISE_BYTES = 240;

interface Cse7766Settings {
  readonly serial: string;
  /** Reference over shown, energy and power alike. */
  readonly calibration: number;
}

/** @param open the stream of frames; the serial port unless a test has another */
export function cse7766Meter(
  { serial, calibration }: Cse7766Settings,
  context: MeterContext,
  open: OpenStream = serialStream(serial, LINE),
): MeterDriver {
  const meter = new CountedMeter(
    {
      name: "cse7766",
      location: `on ${serial}`,
      settleMs: FRESH_MS,
      freshMs: FRESH_MS,
      remedy: "check its power, that its TX reaches RX, and enable_uart=1 in config.txt",
    },
    context,
  );
  let last: number | null = null;
  let power = 0;

  const take = (frame: CseFrame) => {
    if (frame.kind === "uncalibrated")
      return meter.fail("expected a calibrated chip, found status 0xAA; replace it");
    if (frame.kind === "abnormal") {
      return meter.fail(
        `expected a sound chip, found status 0x${frame.head.toString(16).toUpperCase()}; replace it`,
      );
    }
    const pulses = last === null ? 0 : (frame.pulses - last + PULSES_WRAP) % PULSES_WRAP;
    const used = pulses * frame.pulseMilliwattHours * calibration;
    power = frame.powerMilliwatts === null ? power : frame.powerMilliwatts * calibration;
    const voltage = frame.voltageMillivolts;
    const fault = voltage === null ? null : rangeFault("voltage", voltage / 1000, 80, 300, "V");
    const counted = meter.isCredible(used) ? used : 0;
    // Pulses of a frame that is refused are counted with the next one.
    if (fault === null) last = frame.pulses;
    meter.show(
      {
        powerMilliwatts: power,
        ...(voltage === null ? {} : { voltageMillivolts: voltage }),
        ...(frame.currentMilliamps === null ? {} : { currentMilliamps: frame.currentMilliamps }),
      },
      counted,
      fault,
    );
  };
  meter.onClose(listen(open, serial, context, meter, take));
  return meter;
}

/** Keeps the port open and hands its frames on; returns the end of it. */
function listen(
  open: OpenStream,
  serial: string,
  { clock }: MeterContext,
  meter: CountedMeter,
  take: (frame: CseFrame) => void,
): () => Promise<null> {
  let close: () => void = () => {};
  let ended = false;
  const again = (reason: string) => {
    if (ended) return;
    meter.fail(reason);
    close = clock.at(clock.nowMs() + REOPEN_MS, start);
  };
  const start = () =>
    open((error, stream) => {
      if (stream === null) return again(explainSerial(serial, error!));
      if (ended) {
        stream.destroy();
        return;
      }
      const frames = new CseFrames();
      close = () => stream.destroy();
      stream.on("error", () => {});
      stream.once("close", () =>
        again(`${serial}: expected the port to stay, found it gone; check the adapter`),
      );
      stream.on("data", (chunk: Buffer) => {
        const whole = frames.take(chunk);
        if (whole.length > 0) frames.skipped = 0;
        else if (frames.skipped > NOISE_BYTES) {
          meter.fail("expected frames at 4800 baud, even parity, found noise; check what is on this port");
        }
        for (const frame of whole) take(frame);
      });
    });
  start();
  return async () => {
    ended = true;
    close();
    return null;
  };
}
