// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {SafeERC20} from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";
import {ECDSA} from "@openzeppelin/contracts/utils/cryptography/ECDSA.sol";
import {EIP712} from "@openzeppelin/contracts/utils/cryptography/EIP712.sol";
import {SignatureChecker} from "@openzeppelin/contracts/utils/cryptography/SignatureChecker.sol";
import {Math} from "@openzeppelin/contracts/utils/math/Math.sol";
import {Multicall} from "@openzeppelin/contracts/utils/Multicall.sol";
import {ReentrancyGuardTransient} from "@openzeppelin/contracts/utils/ReentrancyGuardTransient.sol";
import {BatchSettlementInterface} from "./BatchSettlementInterface.sol";
import {DepositCollector} from "./DepositCollector.sol";

/// Escrow for x402's batch-settlement scheme. A payer deposits once; a receiver claims many channels in one
/// transaction with cumulative vouchers and is paid by one transfer.
///
/// Promises: totalClaimed <= balance in every channel; claims, settlements and refund nonces only rise; what is
/// held of a token equals what its channels and receivers are still owed. Every amount is in atomic token units.
contract BatchSettlement is BatchSettlementInterface, EIP712, Multicall, ReentrancyGuardTransient {
    using SafeERC20 for IERC20;

    uint40 public constant MIN_WITHDRAW_DELAY = 15 minutes;
    uint40 public constant MAX_WITHDRAW_DELAY = 30 days;

    bytes32 public constant CHANNEL_CONFIG_TYPEHASH = keccak256(
        "ChannelConfig(address payer,address payerAuthorizer,address receiver,address receiverAuthorizer,address token,uint40 withdrawDelay,bytes32 salt)"
    );
    bytes32 public constant VOUCHER_TYPEHASH = keccak256("Voucher(bytes32 channelId,uint128 maxClaimableAmount)");
    bytes32 public constant REFUND_TYPEHASH = keccak256("Refund(bytes32 channelId,uint256 nonce,uint128 amount)");
    bytes32 public constant CLAIM_ENTRY_TYPEHASH =
        keccak256("ClaimEntry(bytes32 channelId,uint128 maxClaimableAmount,uint128 totalClaimed)");
    bytes32 public constant CLAIM_BATCH_TYPEHASH = keccak256(
        "ClaimBatch(ClaimEntry[] claims)ClaimEntry(bytes32 channelId,uint128 maxClaimableAmount,uint128 totalClaimed)"
    );

    mapping(bytes32 channelId => ChannelState) public channels;
    mapping(bytes32 channelId => WithdrawalState) public pendingWithdrawals;
    mapping(bytes32 channelId => uint256) public refundNonce;
    mapping(address receiver => mapping(address token => ReceiverState)) public receivers;

    constructor() EIP712("x402 Batch Settlement", "1") {}

    /// Anyone may bring a deposit, the payer's permission is in collectorData. The balance is raised before the
    /// collector runs and checked after it, so a token that keeps a fee is refused.
    function deposit(ChannelConfig calldata config, uint128 amount, address collector, bytes calldata collectorData)
        external
        nonReentrant
    {
        if (amount == 0) revert ZeroDeposit();
        if (collector == address(0)) revert InvalidCollector();
        _requireValid(config);

        bytes32 channelId = getChannelId(config);
        ChannelState storage channel = channels[channelId];
        uint256 newBalance = uint256(channel.balance) + amount;
        if (newBalance > type(uint128).max) revert DepositOverflow();
        channel.balance = uint128(newBalance);

        // A balance is never below what was claimed: an empty channel is one that nothing was claimed from.
        if (newBalance == amount) emit ChannelCreated(channelId, config);
        emit Deposited(channelId, msg.sender, amount, uint128(newBalance));

        uint256 heldBefore = IERC20(config.token).balanceOf(address(this));
        DepositCollector(collector).collect(config.payer, config.token, amount, channelId, collectorData);
        uint256 heldAfter = IERC20(config.token).balanceOf(address(this));
        if (heldAfter < heldBefore || heldAfter - heldBefore != amount) revert DepositCollectionFailed();
    }

    /// The caller must be receiver or receiverAuthorizer of every entry. One bad entry reverts the batch.
    function claim(VoucherClaim[] calldata voucherClaims) external nonReentrant {
        if (voucherClaims.length == 0) revert EmptyBatch();
        for (uint256 i = 0; i < voucherClaims.length; ++i) {
            ChannelConfig calldata config = voucherClaims[i].voucher.channel;
            if (msg.sender != config.receiver && msg.sender != config.receiverAuthorizer) {
                revert NotAuthorizedToClaim();
            }
            _claim(voucherClaims[i], getChannelId(config));
        }
    }

    /// Anyone may relay; the receiverAuthorizer that all entries share has signed the batch (EOA or ERC-1271).
    function claimWithSignature(VoucherClaim[] calldata voucherClaims, bytes calldata authorizerSignature)
        external
        nonReentrant
    {
        if (voucherClaims.length == 0) revert EmptyBatch();
        address authorizer = voucherClaims[0].voucher.channel.receiverAuthorizer;
        bytes32[] memory entries = new bytes32[](voucherClaims.length);
        for (uint256 i = 0; i < voucherClaims.length; ++i) {
            ChannelConfig calldata config = voucherClaims[i].voucher.channel;
            if (config.receiverAuthorizer != authorizer) revert NotReceiverAuthorizer();
            bytes32 channelId = getChannelId(config);
            entries[i] = _claimEntryHash(voucherClaims[i], channelId);
            _claim(voucherClaims[i], channelId);
        }
        bytes32 digest = _claimBatchDigest(entries);
        if (!SignatureChecker.isValidSignatureNowCalldata(authorizer, digest, authorizerSignature)) {
            revert InvalidSignature();
        }
    }

    /// Permissionless: pays the receiver everything claimed and not yet settled; with nothing to pay it is quiet.
    function settle(address receiver, address token) external nonReentrant {
        ReceiverState storage state = receivers[receiver][token];
        uint128 amount = state.totalClaimed - state.totalSettled;
        if (amount == 0) return;
        state.totalSettled = state.totalClaimed;
        emit Settled(receiver, token, msg.sender, amount);
        IERC20(token).safeTransfer(receiver, amount);
    }

    /// The payer's way out without the receiver: announce, wait withdrawDelay, finalize. Claims stay possible.
    function initiateWithdraw(ChannelConfig calldata config, uint128 amount) external nonReentrant {
        if (msg.sender != config.payer && msg.sender != config.payerAuthorizer) revert InvalidChannel();
        if (amount == 0) revert NothingToWithdraw();
        bytes32 channelId = getChannelId(config);
        WithdrawalState storage withdrawal = pendingWithdrawals[channelId];
        if (withdrawal.initiatedAt != 0) revert WithdrawalAlreadyPending();
        if (amount > _available(channelId)) revert WithdrawAmountExceedsAvailable();
        withdrawal.amount = amount;
        withdrawal.initiatedAt = uint40(block.timestamp);
        emit WithdrawInitiated(channelId, amount, uint40(block.timestamp) + config.withdrawDelay);
    }

    /// Pays the payer the announced amount, or what claims have left of it.
    function finalizeWithdraw(ChannelConfig calldata config) external nonReentrant {
        if (msg.sender != config.payer && msg.sender != config.payerAuthorizer) {
            revert NotAuthorizedToFinalizeWithdraw();
        }
        bytes32 channelId = getChannelId(config);
        WithdrawalState memory withdrawal = pendingWithdrawals[channelId];
        if (withdrawal.initiatedAt == 0) revert WithdrawalNotPending();
        if (block.timestamp < uint256(withdrawal.initiatedAt) + config.withdrawDelay) revert WithdrawDelayNotElapsed();

        delete pendingWithdrawals[channelId];
        uint128 amount = uint128(Math.min(withdrawal.amount, _available(channelId)));
        channels[channelId].balance -= amount;
        emit WithdrawFinalized(channelId, msg.sender, amount);
        _payOut(config, channelId, amount);
    }

    /// The receiver, or its authorizer, gives back escrow it will not claim.
    function refund(ChannelConfig calldata config, uint128 amount) external nonReentrant {
        if (msg.sender != config.receiver && msg.sender != config.receiverAuthorizer) revert NotAuthorizedToRefund();
        _refund(config, getChannelId(config), amount);
    }

    /// As refund, relayed by anyone under the receiverAuthorizer's signature; each nonce serves once.
    function refundWithSignature(
        ChannelConfig calldata config,
        uint128 amount,
        uint256 nonce,
        bytes calldata receiverAuthorizerSignature
    ) external nonReentrant {
        bytes32 channelId = getChannelId(config);
        if (nonce != refundNonce[channelId]) revert InvalidRefundNonce();
        bytes32 digest = getRefundDigest(channelId, nonce, amount);
        if (
            !SignatureChecker.isValidSignatureNowCalldata(
                config.receiverAuthorizer, digest, receiverAuthorizerSignature
            )
        ) {
            revert InvalidSignature();
        }
        _refund(config, channelId, amount);
    }

    function getChannelId(ChannelConfig calldata config) public view returns (bytes32) {
        return _hashTypedDataV4(keccak256(abi.encode(CHANNEL_CONFIG_TYPEHASH, config)));
    }

    function getVoucherDigest(bytes32 channelId, uint128 maxClaimableAmount) public view returns (bytes32) {
        return _hashTypedDataV4(keccak256(abi.encode(VOUCHER_TYPEHASH, channelId, maxClaimableAmount)));
    }

    function getRefundDigest(bytes32 channelId, uint256 nonce, uint128 amount) public view returns (bytes32) {
        return _hashTypedDataV4(keccak256(abi.encode(REFUND_TYPEHASH, channelId, nonce, amount)));
    }

    function getClaimBatchDigest(VoucherClaim[] calldata voucherClaims) external view returns (bytes32) {
        bytes32[] memory entries = new bytes32[](voucherClaims.length);
        for (uint256 i = 0; i < voucherClaims.length; ++i) {
            entries[i] = _claimEntryHash(voucherClaims[i], getChannelId(voucherClaims[i].voucher.channel));
        }
        return _claimBatchDigest(entries);
    }

    /// A stale entry is skipped before anything else is looked at: two batches that overlap must not hurt each other.
    function _claim(VoucherClaim calldata entry, bytes32 channelId) private {
        ChannelState storage channel = channels[channelId];
        uint128 claimedBefore = channel.totalClaimed;
        uint128 claimedNow = entry.totalClaimed;
        if (claimedNow <= claimedBefore) return;
        if (claimedNow > entry.voucher.maxClaimableAmount) revert ClaimExceedsCeiling();
        if (claimedNow > channel.balance) revert ClaimExceedsBalance();
        ChannelConfig calldata config = entry.voucher.channel;
        _requireVoucherSigned(config, getVoucherDigest(channelId, entry.voucher.maxClaimableAmount), entry.signature);

        uint128 amount = claimedNow - claimedBefore;
        channel.totalClaimed = claimedNow;
        receivers[config.receiver][config.token].totalClaimed += amount;
        emit Claimed(channelId, msg.sender, amount, claimedNow);
    }

    /// A named payerAuthorizer is always a plain key, so that a seller can check vouchers without a chain.
    function _requireVoucherSigned(ChannelConfig calldata config, bytes32 digest, bytes calldata signature) private view {
        if (config.payerAuthorizer != address(0)) {
            if (ECDSA.recoverCalldata(digest, signature) != config.payerAuthorizer) revert InvalidSignature();
        } else if (!SignatureChecker.isValidSignatureNowCalldata(config.payer, digest, signature)) {
            revert InvalidSignature();
        }
    }

    /// The nonce is used even when nothing is left to give back, so a signed refund can never come back later.
    function _refund(ChannelConfig calldata config, bytes32 channelId, uint128 requested) private {
        if (requested == 0) revert ZeroRefund();
        ++refundNonce[channelId];
        uint128 amount = uint128(Math.min(requested, _available(channelId)));
        if (amount == 0) return;

        channels[channelId].balance -= amount;
        WithdrawalState storage withdrawal = pendingWithdrawals[channelId];
        if (withdrawal.initiatedAt != 0) {
            if (amount >= withdrawal.amount) delete pendingWithdrawals[channelId];
            else withdrawal.amount -= amount;
        }
        emit Refunded(channelId, msg.sender, amount);
        _payOut(config, channelId, amount);
    }

    function _payOut(ChannelConfig calldata config, bytes32 channelId, uint128 amount) private {
        if (channels[channelId].balance == 0) emit ChannelClosed(channelId, config);
        if (amount > 0) IERC20(config.token).safeTransfer(config.payer, amount);
    }

    function _available(bytes32 channelId) private view returns (uint128) {
        ChannelState memory channel = channels[channelId];
        return channel.balance - channel.totalClaimed;
    }

    function _claimEntryHash(VoucherClaim calldata entry, bytes32 channelId) private pure returns (bytes32) {
        return keccak256(
            abi.encode(CLAIM_ENTRY_TYPEHASH, channelId, entry.voucher.maxClaimableAmount, entry.totalClaimed)
        );
    }

    function _claimBatchDigest(bytes32[] memory entries) private view returns (bytes32) {
        return _hashTypedDataV4(keccak256(abi.encode(CLAIM_BATCH_TYPEHASH, keccak256(abi.encodePacked(entries)))));
    }

    function _requireValid(ChannelConfig calldata config) private pure {
        if (
            config.payer == address(0) || config.receiver == address(0) || config.receiverAuthorizer == address(0)
                || config.token == address(0)
        ) {
            revert InvalidChannel();
        }
        if (config.withdrawDelay < MIN_WITHDRAW_DELAY || config.withdrawDelay > MAX_WITHDRAW_DELAY) {
            revert WithdrawDelayOutOfRange();
        }
    }
}
