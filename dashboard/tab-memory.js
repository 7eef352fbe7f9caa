/**
 * What a tab knows after it is loaded anew: the admin token, and how its operator has set the page up. It is gone when the
 * tab is closed, and when they log out. Nothing of the fleet is in it.
 */

/** @typedef {"admin-token" | "paused" | "machines-filter" | "pools-filter" | "machines-show" | `${string}-order`} KeptName */

/** @param {KeptName} name */
const keyOf = (name) => `poolkeeper-${name}`;

/** @param {KeptName} name */
export const kept = (name) => sessionStorage.getItem(keyOf(name));

/**
 * @param {KeptName} name
 * @param {string} value
 */
export const keep = (name, value) => sessionStorage.setItem(keyOf(name), value);

/** @param {KeptName} name */
export const forget = (name) => sessionStorage.removeItem(keyOf(name));

export const forgetAll = () => sessionStorage.clear();
