// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {Permit2Proxy} from "./Permit2Proxy.sol";
import {SignatureTransfer} from "./SignatureTransfer.sol";

/// Settles payments of x402's upto scheme: any amount up to the permitted one, to the signed payee. How much is decided
/// by the facilitator whose address the payer signed, and by nobody else.
contract UptoPermit2Proxy is Permit2Proxy {
    string public constant WITNESS_TYPE_STRING =
        "Witness witness)TokenPermissions(address token,uint256 amount)Witness(address to,address facilitator,uint256 validAfter)";
    bytes32 public constant WITNESS_TYPEHASH = keccak256("Witness(address to,address facilitator,uint256 validAfter)");

    error AmountExceedsPermitted();
    error UnauthorizedFacilitator();

    struct Witness {
        address to;
        address facilitator;
        uint256 validAfter;
    }

    constructor(address permit2) Permit2Proxy(permit2) {}

    function settle(
        SignatureTransfer.PermitTransferFrom calldata permit,
        uint256 amount,
        address owner,
        Witness calldata witness,
        bytes calldata signature
    ) external nonReentrant {
        _requireAllowed(permit, amount, witness);
        _settlePart(permit, amount, owner, witness, signature);
        emit Settled();
    }

    function settleWithPermit(
        EIP2612Permit calldata permit2612,
        SignatureTransfer.PermitTransferFrom calldata permit,
        uint256 amount,
        address owner,
        Witness calldata witness,
        bytes calldata signature
    ) external nonReentrant {
        _requireAllowed(permit, amount, witness);
        _approveByPermit(permit.permitted.token, owner, permit2612, permit.permitted.amount);
        _settlePart(permit, amount, owner, witness, signature);
        emit SettledWithPermit();
    }

    function _requireAllowed(
        SignatureTransfer.PermitTransferFrom calldata permit,
        uint256 amount,
        Witness calldata witness
    ) private view {
        if (amount > permit.permitted.amount) revert AmountExceedsPermitted();
        if (msg.sender != witness.facilitator) revert UnauthorizedFacilitator();
    }

    function _settlePart(
        SignatureTransfer.PermitTransferFrom calldata permit,
        uint256 amount,
        address owner,
        Witness calldata witness,
        bytes calldata signature
    ) private {
        Settlement memory settlement = Settlement({
            amount: amount,
            owner: owner,
            to: witness.to,
            validAfter: witness.validAfter,
            witnessHash: keccak256(
                abi.encode(WITNESS_TYPEHASH, witness.to, witness.facilitator, witness.validAfter)
            )
        });
        _settle(permit, settlement, WITNESS_TYPE_STRING, signature);
    }
}
