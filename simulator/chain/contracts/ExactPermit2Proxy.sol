// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {Permit2Proxy} from "./Permit2Proxy.sol";
import {SignatureTransfer} from "./SignatureTransfer.sol";

/// Settles payments of x402's exact scheme that are made by Permit2: the whole permitted amount, to the signed payee.
contract ExactPermit2Proxy is Permit2Proxy {
    string public constant WITNESS_TYPE_STRING =
        "Witness witness)TokenPermissions(address token,uint256 amount)Witness(address to,uint256 validAfter)";
    bytes32 public constant WITNESS_TYPEHASH = keccak256("Witness(address to,uint256 validAfter)");

    struct Witness {
        address to;
        uint256 validAfter;
    }

    constructor(address permit2) Permit2Proxy(permit2) {}

    function settle(
        SignatureTransfer.PermitTransferFrom calldata permit,
        address owner,
        Witness calldata witness,
        bytes calldata signature
    ) external nonReentrant {
        _settleWhole(permit, owner, witness, signature);
        emit Settled();
    }

    function settleWithPermit(
        EIP2612Permit calldata permit2612,
        SignatureTransfer.PermitTransferFrom calldata permit,
        address owner,
        Witness calldata witness,
        bytes calldata signature
    ) external nonReentrant {
        _approveByPermit(permit.permitted.token, owner, permit2612, permit.permitted.amount);
        _settleWhole(permit, owner, witness, signature);
        emit SettledWithPermit();
    }

    function _settleWhole(
        SignatureTransfer.PermitTransferFrom calldata permit,
        address owner,
        Witness calldata witness,
        bytes calldata signature
    ) private {
        Settlement memory settlement = Settlement({
            amount: permit.permitted.amount,
            owner: owner,
            to: witness.to,
            validAfter: witness.validAfter,
            witnessHash: keccak256(abi.encode(WITNESS_TYPEHASH, witness.to, witness.validAfter))
        });
        _settle(permit, settlement, WITNESS_TYPE_STRING, signature);
    }
}
