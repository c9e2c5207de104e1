// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

/// A way of bringing a payer's tokens into BatchSettlement. Each collector knows one kind of permission
/// (EIP-3009, Permit2, ...); the settlement contract trusts none of them and counts what arrived.
interface DepositCollector {
    /// @param payer whose tokens are taken
    /// @param token the channel's token
    /// @param amount atomic units that must reach the caller, no more and no less
    /// @param channelId the channel the permission must be bound to
    /// @param data the permission, in the collector's own encoding
    function collect(address payer, address token, uint256 amount, bytes32 channelId, bytes calldata data) external;
}
