// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {SafeERC20} from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";
import {DepositCollector} from "./DepositCollector.sol";

/// The part of EIP-3009 that a collector needs. The bytes form lets a smart wallet (ERC-1271) pay as well.
interface ReceivesWithAuthorization {
    function receiveWithAuthorization(
        address from,
        address to,
        uint256 value,
        uint256 validAfter,
        uint256 validBefore,
        bytes32 nonce,
        bytes calldata signature
    ) external;
}

/// Takes a deposit by a signed EIP-3009 ReceiveWithAuthorization made out to this contract.
/// The authorization's nonce is derived from the channel, so a permission for one channel cannot fund another.
contract Erc3009DepositCollector is DepositCollector {
    using SafeERC20 for IERC20;

    error OnlyX402BatchSettlement();

    address public immutable x402BatchSettlement;

    constructor(address batchSettlement) {
        x402BatchSettlement = batchSettlement;
    }

    /// @param data abi.encode(uint256 validAfter, uint256 validBefore, uint256 salt, bytes signature)
    function collect(address payer, address token, uint256 amount, bytes32 channelId, bytes calldata data) external {
        if (msg.sender != x402BatchSettlement) revert OnlyX402BatchSettlement();
        (uint256 validAfter, uint256 validBefore, uint256 salt, bytes memory signature) =
            abi.decode(data, (uint256, uint256, uint256, bytes));
        bytes32 nonce = keccak256(abi.encode(channelId, salt));
        ReceivesWithAuthorization(token).receiveWithAuthorization(
            payer, address(this), amount, validAfter, validBefore, nonce, signature
        );
        IERC20(token).safeTransfer(msg.sender, amount);
    }
}
