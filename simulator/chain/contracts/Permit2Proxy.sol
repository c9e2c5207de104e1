// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {ReentrancyGuardTransient} from "@openzeppelin/contracts/utils/ReentrancyGuardTransient.sol";
import {Permit2Spender} from "./Permit2Spender.sol";
import {SignatureTransfer} from "./SignatureTransfer.sol";

/// The spender that an x402 payment by Permit2 names. The payee is in the witness that the payer signed, so whoever
/// brings the payment can send it nowhere else. Holds no tokens.
abstract contract Permit2Proxy is Permit2Spender, ReentrancyGuardTransient {
    event Settled();
    event SettledWithPermit();

    error InvalidAmount();
    error InvalidOwner();
    error InvalidDestination();
    error PaymentTooEarly();

    /// What one settlement moves, apart from the permission for it.
    struct Settlement {
        uint256 amount;
        address owner;
        address to;
        uint256 validAfter;
        bytes32 witnessHash;
    }

    constructor(address permit2) Permit2Spender(permit2) {}

    function _settle(
        SignatureTransfer.PermitTransferFrom calldata permit,
        Settlement memory settlement,
        string memory witnessTypeString,
        bytes calldata signature
    ) internal {
        if (settlement.amount == 0) revert InvalidAmount();
        if (settlement.owner == address(0)) revert InvalidOwner();
        if (settlement.to == address(0)) revert InvalidDestination();
        if (block.timestamp < settlement.validAfter) revert PaymentTooEarly();
        PERMIT2.permitWitnessTransferFrom(
            permit,
            SignatureTransfer.SignatureTransferDetails({to: settlement.to, requestedAmount: settlement.amount}),
            settlement.owner,
            settlement.witnessHash,
            witnessTypeString,
            signature
        );
    }
}
