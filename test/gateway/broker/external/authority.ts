// Certificates for tests, made as they are needed: an authority, servers, devices.

import { mkdtempSync, writeFileSync } from "node:fs";
import { rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { generate } from "selfsigned";

export interface Issued {
  readonly cert: string;
  readonly key: string;
  readonly certFile: string;
  readonly keyFile: string;
}

export interface Authority extends Issued {
  /** A certificate of this authority. @param names DNS names beside the common name */
  issue(commonName: string, names?: readonly string[], expires?: Date): Promise<Issued>;
  remove(): Promise<void>;
}

const CURVE = { keyType: "ec", curve: "P-256", algorithm: "sha256" } as const;

export async function newAuthority(commonName = "test authority"): Promise<Authority> {
  const directory = mkdtempSync(join(tmpdir(), "watt402-certificates-"));
  let count = 0;
  const written = ({ cert, private: key }: { cert: string; private: string }): Issued => {
    count += 1;
    const [certFile, keyFile] = [join(directory, `${count}.crt`), join(directory, `${count}.key`)];
    writeFileSync(certFile, cert);
    writeFileSync(keyFile, key, { mode: 0o600 });
    return { cert, key, certFile, keyFile };
  };
  const root = written(
    await generate([{ name: "commonName", value: commonName }], {
      ...CURVE,
      extensions: [
        { name: "basicConstraints", cA: true, critical: true },
        { name: "keyUsage", keyCertSign: true, cRLSign: true, critical: true },
      ],
    }),
  );
  return {
    ...root,
    async issue(name, names = [], expires) {
      const altNames = [{ type: 7 as const, ip: "127.0.0.1" }, ...[name, ...names].map(dns)];
      const pems = await generate([{ name: "commonName", value: name }], {
        ...CURVE,
        ...(expires === undefined ? {} : { notAfterDate: expires }),
        ca: { key: root.key, cert: root.cert },
        extensions: [
          { name: "basicConstraints", cA: false, critical: true },
          { name: "subjectAltName", altNames },
        ],
      });
      return written(pems);
    },
    remove: () => rm(directory, { recursive: true, force: true }),
  };
}

function dns(value: string) {
  return { type: 2 as const, value };
}
