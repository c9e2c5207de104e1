import { encodeFunctionData, type Hex, keccak256, parseSignature, toHex } from "viem";
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from "vitest";
import { tokenAbi } from "#simulator/chain/abi";
import { type Authorization, FAR_FUTURE_SECONDS, type Party, startEscrow } from "./escrow.ts";

let chain: Awaited<ReturnType<typeof startEscrow>>;
let snapshot: Hex;
beforeAll(async () => {
  chain = await startEscrow();
});
beforeEach(async () => {
  snapshot = await chain.client.snapshot();
});
afterEach(() => chain.client.revert({ id: snapshot }));
afterAll(() => chain?.stop());

type Kind = "transferWithAuthorization" | "receiveWithAuthorization";
const TYPE_OF = {
  transferWithAuthorization: "TransferWithAuthorization",
  receiveWithAuthorization: "ReceiveWithAuthorization",
} as const;

const authorization = (changed: Partial<Authorization> = {}): Authorization => ({
  from: chain.payer.address,
  to: chain.receiver.address,
  value: 25n,
  validAfter: 0n,
  validBefore: FAR_FUTURE_SECONDS,
  nonce: keccak256(toHex("nonce")),
  ...changed,
});

async function present(
  kind: Kind,
  form: "bytes" | "vrs",
  message: Authorization,
  options: { signer?: Party; sender?: Party; signedAs?: Kind } = {},
) {
  const { signer = chain.payer, sender = chain.receiver, signedAs = kind } = options;
  const signature = await chain.signAuthorization(TYPE_OF[signedAs], message, signer);
  const { from, to, value, validAfter, validBefore, nonce } = message;
  const terms = [from, to, value, validAfter, validBefore, nonce] as const;
  const { r, s, v } = parseSignature(signature);
  const data =
    form === "bytes"
      ? encodeFunctionData({ abi: tokenAbi, functionName: kind, args: [...terms, signature] })
      : encodeFunctionData({ abi: tokenAbi, functionName: kind, args: [...terms, Number(v), r, s] });
  return chain.transact(sender.address, data, chain.contracts.token);
}

const stateOf = (authorizer: Hex, nonce: Hex) =>
  chain.client.readContract({
    address: chain.contracts.token,
    abi: tokenAbi,
    functionName: "authorizationState",
    args: [authorizer, nonce],
  });

const kinds = ["transferWithAuthorization", "receiveWithAuthorization"] as const;
const forms = ["bytes", "vrs"] as const;
const cases = kinds.flatMap((kind) => forms.map((form) => ({ kind, form })));

test.each(cases)(
  "$kind in its $form form pays once, emits Transfer, and marks the nonce used",
  async ({ kind, form }) => {
    const message = authorization();
    const { payer, receiver, balanceOf } = chain;
    expect(await stateOf(payer.address, message.nonce)).toBe(false);
    const { events } = await present(kind, form, message);
    expect(events).toEqual([
      { name: "AuthorizationUsed", args: { authorizer: payer.address, nonce: message.nonce } },
      { name: "Transfer", args: { from: payer.address, to: receiver.address, value: 25n } },
    ]);
    expect(await balanceOf(receiver.address)).toBe(25n);
    expect(await stateOf(payer.address, message.nonce)).toBe(true);
    for (const again of cases) {
      await expect(present(again.kind, again.form, message)).rejects.toThrow("AuthorizationUsedOrCanceled");
    }
  },
);

test.each(cases)(
  "$kind ($form) obeys its window, its signer, its terms and the balance",
  async ({ kind, form }) => {
    const { timestamp } = await chain.client.getBlock();
    await expect(present(kind, form, authorization({ validBefore: timestamp }))).rejects.toThrow(
      "AuthorizationExpired",
    );
    await expect(present(kind, form, authorization({ validAfter: timestamp + 600n }))).rejects.toThrow(
      "AuthorizationNotYetValid",
    );
    await expect(present(kind, form, authorization(), { signer: chain.device })).rejects.toThrow(
      "InvalidSignature",
    );
    const otherKind =
      kind === "transferWithAuthorization" ? "receiveWithAuthorization" : "transferWithAuthorization";
    await expect(present(kind, form, authorization(), { signedAs: otherKind })).rejects.toThrow(
      "InvalidSignature",
    );
    await expect(present(kind, form, authorization({ value: 10n ** 15n }))).rejects.toThrow(
      "ERC20InsufficientBalance",
    );
    expect(await stateOf(chain.payer.address, authorization().nonce)).toBe(false);
  },
);

test("a transfer is relayed by anyone, a receive only by its payee", async () => {
  await expect(
    present("receiveWithAuthorization", "bytes", authorization(), { sender: chain.stranger }),
  ).rejects.toThrow("CallerMustBePayee");
  await present("transferWithAuthorization", "bytes", authorization(), { sender: chain.stranger });
});

test.each(forms)(
  "a cancelled authorization (%s) never pays, and only its author cancels it",
  async (form) => {
    const { payer, device, stranger, contracts, transact, signCancel } = chain;
    const message = authorization();
    const cancel = (signature: Hex) => {
      const { r, s, v } = parseSignature(signature);
      const terms = [payer.address, message.nonce] as const;
      const data =
        form === "bytes"
          ? encodeFunctionData({
              abi: tokenAbi,
              functionName: "cancelAuthorization",
              args: [...terms, signature],
            })
          : encodeFunctionData({
              abi: tokenAbi,
              functionName: "cancelAuthorization",
              args: [...terms, Number(v), r, s],
            });
      return transact(stranger.address, data, contracts.token);
    };
    await expect(cancel(await signCancel(message.nonce, device))).rejects.toThrow("InvalidSignature");
    const { events } = await cancel(await signCancel(message.nonce));
    expect(events).toEqual([
      { name: "AuthorizationCanceled", args: { authorizer: payer.address, nonce: message.nonce } },
    ]);
    await expect(present("transferWithAuthorization", "bytes", message)).rejects.toThrow(
      "AuthorizationUsedOrCanceled",
    );
    await expect(cancel(await signCancel(message.nonce))).rejects.toThrow("AuthorizationUsedOrCanceled");
  },
);
