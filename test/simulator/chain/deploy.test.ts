import { computeChannelId } from "@x402/evm/batch-settlement/client";
import { createPublicClient, encodeAbiParameters, hashTypedData, http, keccak256, toHex } from "viem";
import { afterAll, beforeAll, expect, test } from "vitest";
import { batchSettlementAbi, tokenAbi } from "#simulator/chain/abi";
import { startAnvil } from "#simulator/chain/anvil";
import { ARTIFACT_NAMES, loadArtifact } from "#simulator/chain/artifact";
import { artifactText, CONTRACTS_DIRECTORY, compileContracts } from "#simulator/chain/compile";
import { connectChain, deployContracts, mint } from "#simulator/chain/deploy";
import { startEscrow } from "./escrow.ts";

let chain: Awaited<ReturnType<typeof startEscrow>>;
beforeAll(async () => {
  chain = await startEscrow();
});
afterAll(() => chain?.stop());

test("the committed artifacts are what their sources compile to", async () => {
  const compiled = await compileContracts(ARTIFACT_NAMES, CONTRACTS_DIRECTORY);
  for (const artifact of compiled) {
    expect(artifactText(await loadArtifact(artifact.contractName as "Multicall3"))).toBe(
      artifactText(artifact),
    );
  }
});

test("everything in the typed ABIs is in the contracts, name by name and type by type", async () => {
  const keys = ["type", "name", "inputs", "outputs", "components", "indexed", "stateMutability"];
  const signature = (item: object) =>
    JSON.stringify(item, keys)
      .replaceAll(/,"name":""|,"indexed":false/g, "")
      .replace('"pure"', '"view"');
  for (const [name, abi] of [
    ["BatchSettlement", batchSettlementAbi],
    ["DevelopmentDollar", tokenAbi],
  ] as const) {
    const compiled = new Set((await loadArtifact(name)).abi.map(signature));
    for (const item of abi)
      expect(compiled, `${name} ${"name" in item ? item.name : ""}`).toContain(signature(item));
  }
});

test("type hashes, delays and domain separator are those of x402 on chain 31337", async () => {
  const { read } = chain;
  expect(await read("CHANNEL_CONFIG_TYPEHASH", [])).toBe(
    "0x1c9a06ceab9b0ebbd3301dc56c9111bb6d9af421356dc9ccb3b7084c755db308",
  );
  expect(await read("VOUCHER_TYPEHASH", [])).toBe(
    "0x1e1bd6ff84c3e0d9029a292b212e039c0ca97ec497c55191a4a5874294609a69",
  );
  expect(await read("REFUND_TYPEHASH", [])).toBe(
    "0xbe23ad087435072cd69b49cc5b92de10ee610fce7ae0ab428307972d764bb216",
  );
  expect(await read("CLAIM_ENTRY_TYPEHASH", [])).toBe(
    "0x30b9a0367528fca13c3e8ec6134c3113f1887ebe7a1ad61de0955aac288b0cf5",
  );
  expect(await read("CLAIM_BATCH_TYPEHASH", [])).toBe(
    "0x42bd57c010b870c2e96203c66341f28a6a19b4d56a74533a8eb5f706b9fd6d57",
  );
  expect(await read("MIN_WITHDRAW_DELAY", [])).toBe(900);
  expect(await read("MAX_WITHDRAW_DELAY", [])).toBe(2_592_000);

  // The separator shows only through a digest: rebuild one from the published value.
  const separator = "0xbf720f8d28a5c76a2f7743512598984fa4b90dd1efdb19af73f64cc6587d68af";
  const channelId = keccak256("0x01");
  const struct = keccak256(
    encodeAbiParameters(
      [{ type: "bytes32" }, { type: "bytes32" }, { type: "uint128" }],
      ["0x1e1bd6ff84c3e0d9029a292b212e039c0ca97ec497c55191a4a5874294609a69", channelId, 5n],
    ),
  );
  expect(await read("getVoucherDigest", [channelId, 5n])).toBe(
    keccak256(`0x1901${separator.slice(2)}${struct.slice(2)}`),
  );
});

test("the token's domain separator is that of USD Coin version 2 at its address", async () => {
  const { client, contracts, anvil } = chain;
  const expected = keccak256(
    encodeAbiParameters(
      [
        { type: "bytes32" },
        { type: "bytes32" },
        { type: "bytes32" },
        { type: "uint256" },
        { type: "address" },
      ],
      [
        keccak256(
          toHex("EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)"),
        ),
        keccak256(toHex("USD Coin")),
        keccak256(toHex("2")),
        BigInt(anvil.chainId),
        contracts.token,
      ],
    ),
  );
  const token = { address: contracts.token, abi: tokenAbi } as const;
  expect(await client.readContract({ ...token, functionName: "DOMAIN_SEPARATOR" })).toBe(expected);
  expect(await client.readContract({ ...token, functionName: "name" })).toBe("USD Coin");
  expect(await client.readContract({ ...token, functionName: "version" })).toBe("2");
  expect(await client.readContract({ ...token, functionName: "decimals" })).toBe(6);
});

test("the contract, the SDK and viem agree on the channel id", async () => {
  const config = chain.config({ salt: keccak256("0x77"), withdrawDelay: 86_400 });
  const onChain = await chain.channelId(config);
  expect(computeChannelId(config, `eip155:${chain.anvil.chainId}`)).toBe(onChain);
  const fields = [
    { name: "payer", type: "address" },
    { name: "payerAuthorizer", type: "address" },
    { name: "receiver", type: "address" },
    { name: "receiverAuthorizer", type: "address" },
    { name: "token", type: "address" },
    { name: "withdrawDelay", type: "uint40" },
    { name: "salt", type: "bytes32" },
  ] as const;
  expect(
    hashTypedData({
      domain: {
        name: "x402 Batch Settlement",
        version: "1",
        chainId: chain.anvil.chainId,
        verifyingContract: chain.contracts.batchSettlement,
      },
      types: { ChannelConfig: fields },
      primaryType: "ChannelConfig",
      message: config,
    }),
  ).toBe(onChain);
});

test("placing again changes nothing, and only the minter makes dollars", async () => {
  const { anvil, client, contracts, stranger, balanceOf, transact } = chain;
  const before = await client.getCode({ address: contracts.token });
  expect(await deployContracts(anvil)).toEqual(contracts);
  expect(await client.getCode({ address: contracts.token })).toBe(before);
  await mint(anvil, stranger.address, 123n);
  expect(await balanceOf(stranger.address)).toBe(123n);
  // mint(address,uint256) sent by somebody else
  const data =
    `0x40c10f19${encodeAbiParameters([{ type: "address" }, { type: "uint256" }], [stranger.address, 1n]).slice(2)}` as const;
  await expect(transact(stranger.address, data, contracts.token)).rejects.toThrow("OnlyMinter");
});

test("viem's own batching works through the placed Multicall3, a failed call beside good ones", async () => {
  const { anvil, contracts, payer } = chain;
  const client = createPublicClient({ transport: http(anvil.rpcUrl) });
  const token = { address: contracts.token, abi: tokenAbi } as const;
  const results = await client.multicall({
    multicallAddress: contracts.multicall3,
    contracts: [
      { ...token, functionName: "symbol" },
      { ...token, functionName: "transfer", args: [payer.address, 1n] },
      { ...token, functionName: "balanceOf", args: [payer.address] },
    ],
  });
  expect(results.map(({ status }) => status)).toEqual(["success", "failure", "success"]);
  expect(results[0]?.result).toBe("USDC");
  expect(results[2]?.result).toBe(1_000_000_000n);
  await expect(
    client.multicall({
      multicallAddress: contracts.multicall3,
      allowFailure: false,
      contracts: [{ ...token, functionName: "transfer", args: [payer.address, 1n] }],
    }),
  ).rejects.toThrow();
});

test("a chain elsewhere is accepted by its id and contracts, and refused by a line that says what to do", async () => {
  const { anvil, contracts } = chain;
  const { token: _, ...expected } = contracts;
  expect(await connectChain(anvil.rpcUrl, 31_337)).toEqual(expected);
  expect(await connectChain(anvil.rpcUrl)).toEqual(expected);
  await expect(connectChain(anvil.rpcUrl, 8453)).rejects.toThrow("expected chain id 8453, found 31337");

  const bare = await startAnvil({ chainId: 77 });
  try {
    await expect(connectChain(bare.rpcUrl, 77)).rejects.toThrow(
      "no code at 0x4020074e9dF2ce1deE5A9C1b5c3f541D02a10003 (batchSettlement) on chain 77",
    );
  } finally {
    await bare.stop();
  }
  await expect(connectChain(bare.rpcUrl, 77)).rejects.toThrow("is the node running there?");
});

test("on another chain id the same contracts give another domain", async () => {
  const other = await startAnvil({ chainId: 4242 });
  try {
    const contracts = await deployContracts(other);
    const client = createPublicClient({ transport: http(other.rpcUrl) });
    const config = chain.config();
    const id = await client.readContract({
      address: contracts.batchSettlement,
      abi: batchSettlementAbi,
      functionName: "getChannelId",
      args: [config],
    });
    expect(id).toBe(computeChannelId(config, "eip155:4242"));
    expect(id).not.toBe(await chain.channelId(config));
  } finally {
    await other.stop();
  }
});
