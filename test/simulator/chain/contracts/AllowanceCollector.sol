// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";

/// Collects by a plain allowance, `shortfall` units too little when told so.
contract AllowanceCollector {
    function collect(address payer, address token, uint256 amount, bytes32, bytes calldata data) external {
        uint256 shortfall = data.length == 0 ? 0 : abi.decode(data, (uint256));
        if (amount > shortfall) IERC20(token).transferFrom(payer, msg.sender, amount - shortfall);
    }
}
