// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {ERC20} from "@openzeppelin/contracts/token/ERC20/ERC20.sol";

/// A token that misbehaves on demand: it keeps a fee, or calls somewhere in the middle of a transfer.
contract HookedToken is ERC20 {
    uint256 public feeAtomic;
    address public hookTarget;
    bytes public hookData;
    bool public hookSucceeded;
    bytes public hookResult;

    constructor() ERC20("Hooked", "HOOK") {}

    function mint(address to, uint256 amount) external {
        _mint(to, amount);
    }

    function keepFee(uint256 amount) external {
        feeAtomic = amount;
    }

    function hook(address target, bytes calldata data) external {
        hookTarget = target;
        hookData = data;
    }

    function _update(address from, address to, uint256 value) internal override {
        bool minted = from == address(0);
        if (!minted && feeAtomic > 0) {
            super._update(from, address(0), feeAtomic);
            value -= feeAtomic;
        }
        super._update(from, to, value);
        if (!minted && hookTarget != address(0)) (hookSucceeded, hookResult) = hookTarget.call(hookData);
    }
}
