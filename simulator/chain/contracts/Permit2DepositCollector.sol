// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {DepositCollector} from "./DepositCollector.sol";
import {Permit2Spender} from "./Permit2Spender.sol";
import {SignatureTransfer} from "./SignatureTransfer.sol";

/// Takes a deposit by Permit2, straight from the payer to the settlement contract. The channel is the witness that the
/// payer signed, so a permission for one channel cannot fund another.
contract Permit2DepositCollector is DepositCollector, Permit2Spender {
    /// EIP-712 wants the named structs in alphabetical order.
    string public constant DEPOSIT_WITNESS_TYPE_STRING =
        "DepositWitness witness)DepositWitness(bytes32 channelId)TokenPermissions(address token,uint256 amount)";
    bytes32 public constant DEPOSIT_WITNESS_TYPEHASH = keccak256("DepositWitness(bytes32 channelId)");

    error OnlyX402BatchSettlement();

    address public immutable x402BatchSettlement;

    constructor(address batchSettlement, address permit2) Permit2Spender(permit2) {
        x402BatchSettlement = batchSettlement;
    }

    /// @param data abi.encode(uint256 nonce, uint256 deadline, bytes signature, bytes approval); approval is empty, or
    /// abi.encode(uint256 value, uint256 deadline, uint8 v, bytes32 r, bytes32 s) of an EIP-2612 permit
    function collect(address payer, address token, uint256 amount, bytes32 channelId, bytes calldata data) external {
        if (msg.sender != x402BatchSettlement) revert OnlyX402BatchSettlement();
        (uint256 nonce, uint256 deadline, bytes memory signature, bytes memory approval) =
            abi.decode(data, (uint256, uint256, bytes, bytes));
        if (approval.length > 0) _approveByPermit(token, payer, _decodeApproval(approval), amount);
        PERMIT2.permitWitnessTransferFrom(
            SignatureTransfer.PermitTransferFrom({
                permitted: SignatureTransfer.TokenPermissions({token: token, amount: amount}),
                nonce: nonce,
                deadline: deadline
            }),
            SignatureTransfer.SignatureTransferDetails({to: x402BatchSettlement, requestedAmount: amount}),
            payer,
            keccak256(abi.encode(DEPOSIT_WITNESS_TYPEHASH, channelId)),
            DEPOSIT_WITNESS_TYPE_STRING,
            signature
        );
    }

    function _decodeApproval(bytes memory approval) private pure returns (EIP2612Permit memory decoded) {
        (decoded.value, decoded.deadline, decoded.v, decoded.r, decoded.s) =
            abi.decode(approval, (uint256, uint256, uint8, bytes32, bytes32));
    }
}
