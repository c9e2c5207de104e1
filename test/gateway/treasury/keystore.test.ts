// The treasury's key at rest and elsewhere: other wallets' files open, a bent file or a wrong signer never signs.

import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createServer, type IncomingMessage } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { generatePrivateKey } from "viem/accounts";
import { afterAll, beforeAll, expect, test } from "vitest";
import { checkConfig } from "#gateway/config/config";
import { externalSigner } from "#gateway/treasury/external-signer";
import { openTreasury } from "#gateway/treasury/open-treasury";
import { openKeystore, writeKeystore } from "#gateway/treasury/web3-keystore";
import { fromHex, toHex } from "#payment/bytes";
import { openKey } from "#payment/key";

const CHEAP = { n: 1024, r: 8, p: 1 };
const DIGEST = new Uint8Array(32).fill(7);

let directory: string;
beforeAll(() => {
  directory = mkdtempSync(join(tmpdir(), "watt402-treasury-"));
});
afterAll(() => rmSync(directory, { recursive: true, force: true }));

/** The scrypt example that the definition of Web3 Secret Storage gives. */
const PUBLISHED = {
  password: "testpassword",
  secret: "0x7a28b5ba57c53603b0b07b56bba752f7784bf506fa95edc395f5cf6c7514fe9d",
  keystore: {
    crypto: {
      cipher: "aes-128-ctr",
      cipherparams: { iv: "83dbcc02d8ccb40e466191a123791e0e" },
      ciphertext: "d172bf743a674da9cdad04534d56926ef8358534d458fffccd4e6ad2fbde479c",
      kdf: "scrypt",
      kdfparams: {
        dklen: 32,
        n: 262144,
        r: 1,
        p: 8,
        salt: "ab0c7876052600dd703518d6fc3fe8984592145b591fc8fb5c6d43190334ba19",
      },
      mac: "2103ac29920d71da29f15d75b4a16dbe95cfd7ff8faea1056c33131d846e3097",
    },
    id: "3198bc9c-6672-5ab3-d995-4942343ae5b6",
    version: 3,
  },
} as const;

test("the published example opens as the published key", async () => {
  const key = await openKeystore(JSON.stringify(PUBLISHED.keystore), PUBLISHED.password);
  expect(key.address).toBe(openKey(fromHex(PUBLISHED.secret)).address);
});

test("a keystore written here opens with its password and shows no secret", async () => {
  const secret = generatePrivateKey();
  const text = await writeKeystore(fromHex(secret), "correct horse", CHEAP);
  expect(text.toLowerCase()).not.toContain(secret.slice(2));
  const key = await openKeystore(text, "correct horse");
  expect(key.address).toBe(openKey(fromHex(secret)).address);
  const older = text.replace('"crypto"', '"Crypto"');
  expect((await openKeystore(older, "correct horse")).address).toBe(key.address);
});

test("a wrong password, a bent byte and another file are errors in one line, never another key", async () => {
  const text = await writeKeystore(fromHex(generatePrivateKey()), "correct horse", CHEAP);
  await expect(openKeystore(text, "wrong horse")).rejects.toThrow(/^expected the keystore's password, found/);
  const bent = text.replace(
    /"ciphertext": "(.)/,
    (_, digit) => `"ciphertext": "${digit === "0" ? "1" : "0"}`,
  );
  await expect(openKeystore(bent, "correct horse")).rejects.toThrow("or the file is damaged");
  await expect(openKeystore("{", "x")).rejects.toThrow("expected a keystore in JSON");
  await expect(openKeystore(text.replace('"scrypt"', '"pbkdf2"'), "x")).rejects.toThrow("crypto.kdf");
  await expect(openKeystore(text.replace('"n": 1024', '"n": 1073741824'), "x")).rejects.toThrow(
    "kdfparams.n",
  );
});

function treasuryConfig(treasury: Record<string, unknown>) {
  const gateway = { key: "unused", data: directory };
  const seller = { url: "http://127.0.0.1:9", network: "eip155:1", asset: `0x${"70".repeat(20)}` };
  return checkConfig({ gateway, seller, treasury, chain: { rpc: "http://127.0.0.1:9" } }, "test").treasury;
}

test("a configuration opens a keystore by its password file, and says what is missing without showing it", async () => {
  const secret = generatePrivateKey();
  const file = (name: string, text: string, mode = 0o600) => {
    const path = join(directory, name);
    writeFileSync(path, text, { mode });
    return path;
  };
  const key = file("keystore.json", await writeKeystore(fromHex(secret), "correct horse", CHEAP));
  const passwordFile = file("password", "correct horse\n");
  const treasury = await openTreasury(treasuryConfig({ key, passwordFile }), false);
  expect(treasury.address).toBe(openKey(fromHex(secret)).address);
  expect(toHex(await treasury.sign(DIGEST))).toBe(toHex(openKey(fromHex(secret)).sign(DIGEST)));
  await expect(openTreasury(treasuryConfig({ key }), false)).rejects.toThrow(
    `treasury.key: ${key}: it is a keystore; name the file of its password: treasury.passwordFile`,
  );
  const wrong = file("wrong", "wrong horse");
  const refused = openTreasury(treasuryConfig({ key, passwordFile: wrong }), false);
  await expect(refused).rejects.toThrow(/^treasury\.key: .*expected the keystore's password/);
  await expect(refused).rejects.not.toThrow("wrong horse");
  const open = file("open.json", await writeKeystore(fromHex(secret), "correct horse", CHEAP), 0o644);
  await expect(openTreasury(treasuryConfig({ key: open, passwordFile }), false)).rejects.toThrow(
    "expected mode 0600",
  );
});

test("an external signer is asked with its token and believed only when the signature is the treasury's", async () => {
  const key = openKey(fromHex(generatePrivateKey()));
  const stranger = openKey(fromHex(generatePrivateKey()));
  const asked: { authorization: string | undefined; body: unknown }[] = [];
  let answer: (digest: Uint8Array) => { status: number; body: string };
  const signature = (signer: typeof key) => (digest: Uint8Array) => ({
    status: 200,
    body: JSON.stringify({ signature: toHex(signer.sign(digest)) }),
  });
  const server = createServer(async (request, response) => {
    const body = JSON.parse(await textOf(request)) as { digest: `0x${string}` };
    asked.push({ authorization: request.headers.authorization, body });
    const reported = answer(fromHex(body.digest));
    response.writeHead(reported.status).end(reported.body);
  }).listen(0, "127.0.0.1");
  await new Promise((resolve) => server.once("listening", resolve));
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/sign`;
  const tokenFile = join(directory, "token");
  writeFileSync(tokenFile, "sesame\n", { mode: 0o600 });
  const treasury = await openTreasury(
    treasuryConfig({ signerUrl: url, signerTokenFile: tokenFile, signerAddress: key.address }),
    false,
  );

  answer = signature(key);
  expect(toHex(await treasury.sign(DIGEST))).toBe(toHex(key.sign(DIGEST)));
  expect(asked).toEqual([
    { authorization: "Bearer sesame", body: { address: key.address, digest: toHex(DIGEST) } },
  ]);
  answer = signature(stranger);
  await expect(treasury.sign(DIGEST)).rejects.toThrow(`found one of ${stranger.address}`);
  answer = () => signature(key)(new Uint8Array(32).fill(8));
  await expect(treasury.sign(DIGEST)).rejects.toThrow(/found one of 0x/);
  answer = () => ({ status: 403, body: "no" });
  await expect(treasury.sign(DIGEST)).rejects.toThrow("found HTTP 403");
  answer = () => ({ status: 200, body: '{"signature":"0x12"}' });
  await expect(treasury.sign(DIGEST)).rejects.toThrow("found another answer");
  server.close();
  server.closeAllConnections();
  const gone = externalSigner({ url, token: "sesame", address: key.address });
  await expect(gone.sign(DIGEST)).rejects.toThrow(/^treasury\.signerUrl .*found no answer/);
  await expect(gone.sign(DIGEST)).rejects.not.toThrow("sesame");
});

async function textOf(request: IncomingMessage): Promise<string> {
  let text = "";
  for await (const chunk of request) text += chunk;
  return text;
}

test("of a signer that answers without end no more than a signature's length is read", async () => {
  let isLeft: Promise<void> | undefined;
  const server = createServer((_request, response) => {
    isLeft = new Promise((resolve) => response.once("close", () => resolve()));
    const more = (): void => {
      while (!response.destroyed && response.write("[".repeat(65_536)));
    };
    response.on("drain", more);
    response.on("error", () => undefined);
    more();
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as { port: number };
  const address: `0x${string}` = `0x${"ab".repeat(20)}`;
  const signer = externalSigner({ url: `http://127.0.0.1:${port}`, token: "sesame", address });
  await expect(signer.sign(new Uint8Array(32))).rejects.toThrow("found another answer");
  await isLeft;
  server.close();
});
