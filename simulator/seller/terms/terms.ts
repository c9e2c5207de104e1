// The seller's terms: for each quantum on the menu the payment requirements of every way it is paid, built
// once by the official resource server, and the 402 that announces them.

import { encodePaymentRequiredHeader } from "@x402/core/http";
import type { x402ResourceServer } from "@x402/core/server";
import type { Network, PaymentPayload, PaymentRequirements } from "@x402/core/types";
import type { Goods, Resource } from "../sale/goods.ts";
import type { PaymentWay } from "../sale/payment-ways.ts";
import { type DeclaredExtensions, offerReceipt } from "./declared-extensions.ts";
import type { SignedTerms } from "./signed-terms.ts";

interface TermsOptions {
  readonly resourceServer: x402ResourceServer;
  /** in order of preference */
  readonly ways: readonly PaymentWay[];
  readonly extensions: DeclaredExtensions;
  /** Absent: what is asked is bound by nothing. */
  readonly signed?: SignedTerms | undefined;
  readonly goods: Goods;
  readonly network: Network;
  readonly token: string;
  /** EIP-712 domain of the token */
  readonly tokenName: string;
  readonly tokenVersion: string;
  readonly receiver: string;
  readonly minDepositAtomic: number;
  readonly maxTimeoutSeconds: number;
  /** quanta sold, atomic units */
  readonly menu: readonly number[];
}

export class Terms {
  readonly #options: TermsOptions;
  readonly #offers: ReadonlyMap<number, readonly PaymentRequirements[]>;

  private constructor(options: TermsOptions, offers: ReadonlyMap<number, readonly PaymentRequirements[]>) {
    this.#options = options;
    this.#offers = offers;
  }

  static async build(options: TermsOptions): Promise<Terms> {
    const offers = new Map<number, readonly PaymentRequirements[]>();
    for (const quantum of options.menu) {
      const perWay = await Promise.all(options.ways.map((way) => requirements(options, way, quantum)));
      offers.set(quantum, perWay.flat());
    }
    return new Terms(options, offers);
  }

  get menu(): readonly number[] {
    return this.#options.menu;
  }

  get goods(): Goods {
    return this.#options.goods;
  }

  /** Whether what a payment echoes of the extensions is what was declared; one without an echo is right, too. */
  echoesExtensions(payment: PaymentPayload): boolean {
    const { resourceServer, extensions } = this.#options;
    const declared = { x402Version: 2, accepts: [], resource: { url: "" }, extensions };
    return resourceServer.validateExtensions(declared, payment).valid;
  }

  get signed(): SignedTerms | undefined {
    return this.#options.signed;
  }

  /** `undefined` when the quantum is not on the menu. */
  offers(quantumAtomic: number): readonly PaymentRequirements[] | undefined {
    return this.#offers.get(quantumAtomic);
  }

  /**
   * The PAYMENT-REQUIRED header for one quantum of a resource. With the refused `payment` the official server adds the
   * channel's state, from which a client that counts differently corrects itself. `baseUrl`: where the API is
   * reached, without a trailing slash.
   */
  async paymentRequired(
    baseUrl: string,
    { path, description }: Resource,
    quantumAtomic: number,
    error: string,
    payment?: PaymentPayload,
  ): Promise<string> {
    const offers = this.#offers.get(quantumAtomic) ?? [];
    const { signed, extensions } = this.#options;
    const required = await this.#options.resourceServer.createPaymentRequiredResponse(
      [...offers],
      {
        url: `${baseUrl}${path}?quantum=${quantumAtomic}`,
        description: `${description} for ${quantumAtomic} atomic units`,
        mimeType: "application/json",
      },
      error,
      signed === undefined ? extensions : { ...extensions, ...offerReceipt(signed.offers(path, offers)) },
      undefined,
      payment,
    );
    return encodePaymentRequiredHeader(required);
  }
}

function requirements(
  options: TermsOptions,
  { scheme, transferMethod }: PaymentWay,
  quantum: number,
): Promise<PaymentRequirements[]> {
  const domain = { name: options.tokenName, version: options.tokenVersion };
  const extra = transferMethod === "eip3009" ? domain : { ...domain, assetTransferMethod: transferMethod };
  const minDeposit = String(Math.max(options.minDepositAtomic, quantum));
  return options.resourceServer.buildPaymentRequirements({
    scheme,
    network: options.network,
    payTo: options.receiver,
    price: { amount: String(quantum), asset: options.token, extra },
    maxTimeoutSeconds: options.maxTimeoutSeconds,
    ...(scheme === "batch-settlement" ? { extra: { minDeposit } } : {}),
  });
}
