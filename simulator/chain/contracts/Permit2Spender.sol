// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {IERC20Permit} from "@openzeppelin/contracts/token/ERC20/extensions/IERC20Permit.sol";
import {SignatureTransfer} from "./SignatureTransfer.sol";

/// What everything that spends through Permit2 has in common: where Permit2 is, and approving it by the owner's
/// EIP-2612 permit, so that an owner without ether needs no transaction.
abstract contract Permit2Spender {
    event EIP2612PermitFailedWithReason(address indexed token, address indexed owner, string reason);
    event EIP2612PermitFailedWithPanic(address indexed token, address indexed owner, uint256 errorCode);
    event EIP2612PermitFailedWithData(address indexed token, address indexed owner, bytes data);

    error InvalidPermit2Address();
    error Permit2612AmountMismatch();

    struct EIP2612Permit {
        uint256 value;
        uint256 deadline;
        bytes32 r;
        bytes32 s;
        uint8 v;
    }

    SignatureTransfer public immutable PERMIT2;

    constructor(address permit2) {
        if (permit2 == address(0)) revert InvalidPermit2Address();
        PERMIT2 = SignatureTransfer(permit2);
    }

    /// A permit that fails is reported by an event and stops nothing: anyone may have presented it before, and then the
    /// approval is there. Without an approval the transfer that follows fails by itself.
    function _approveByPermit(address token, address owner, EIP2612Permit memory approval, uint256 amount) internal {
        if (approval.value != amount) revert Permit2612AmountMismatch();
        try IERC20Permit(token).permit(
            owner, address(PERMIT2), approval.value, approval.deadline, approval.v, approval.r, approval.s
        ) {} catch Error(string memory reason) {
            emit EIP2612PermitFailedWithReason(token, owner, reason);
        } catch Panic(uint256 errorCode) {
            emit EIP2612PermitFailedWithPanic(token, owner, errorCode);
        } catch (bytes memory data) {
            emit EIP2612PermitFailedWithData(token, owner, data);
        }
    }
}
