/** `watt402-device address`: the device's address, on a terminal also as a picture to photograph. */
import { toString as picture } from "qrcode";
import type { DeviceConfig } from "#node/config/device-config";
import { openOrCreateKey } from "#node/key/keystore";
import { findPassphrase } from "#node/key/passphrase";

/** Makes the key first when there is none. @param withPicture adds a QR code of the address below it */
export async function addressCommand(config: DeviceConfig, withPicture: boolean): Promise<number> {
  const passphrase = findPassphrase(config.keyPassphraseFile)?.text ?? null;
  const { address } = openOrCreateKey(config.keyFile, passphrase).key;
  console.log(address);
  if (withPicture) console.log(await picture(address, { type: "utf8", errorCorrectionLevel: "M" }));
  return 0;
}
